package produce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Summary is what became of the rows of a file.
type Summary struct {
	Source   string    `json:"source"`
	Topic    string    `json:"topic"`
	Rows     int       `json:"rows"`
	Sent     int       `json:"sent"` // and acknowledged
	Refused  int       `json:"refused"`
	Refusals []Refusal `json:"refusals,omitempty"` // the first ones
}

// Refusal is a row that was not sent, and why.
type Refusal struct {
	Line  int    `json:"line"`
	Error string `json:"error"`
}

// MaxRefusals is how many refusals a Summary lists.
const MaxRefusals = 100

// Push writes every row that fits to the source's topic and waits until the
// brokers have them. refused hears of each row that does not fit, progress of
// the Summary so far, after each row; neither is called twice at a time.
// It fails when the rows cannot be read to their end; the Summary holds then too.
func Push(ctx context.Context, client *kgo.Client, e *Encoder, rows *Rows, refused func(Refusal), progress func(*Summary)) (*Summary, error) {
	p := &pusher{summary: Summary{Source: e.src.Name, Topic: e.src.Topic}, refused: refused, progress: progress}
	err := p.run(ctx, client, e, rows)
	flushed := client.Flush(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if flushed != nil || ctx.Err() != nil {
		err = errors.Join(err, errors.New("interrupted before all rows were acknowledged"))
	}
	s := p.summary
	return &s, err
}

type pusher struct {
	refused  func(Refusal)
	progress func(*Summary)

	mu      sync.Mutex
	summary Summary // under mu
}

func (p *pusher) run(ctx context.Context, client *kgo.Client, e *Encoder, rows *Rows) error {
	for ctx.Err() == nil {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var rec *kgo.Record
		if err = row.Fault; err == nil {
			rec, err = e.Encode(row.Fields)
		}
		if err != nil {
			p.end(row.Line, err)
			continue
		}
		client.Produce(ctx, rec, func(_ *kgo.Record, err error) {
			if err != nil {
				err = fmt.Errorf("was not taken by the broker: %w", err)
			}
			p.end(row.Line, err)
		})
	}
	return nil
}

// end counts a row.
func (p *pusher) end(line int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.summary
	s.Rows++
	if err == nil {
		s.Sent++
	} else {
		r := Refusal{line, err.Error()}
		if s.Refused++; len(s.Refusals) < MaxRefusals {
			s.Refusals = append(s.Refusals, r)
		}
		p.refused(r)
	}
	p.progress(s)
}
