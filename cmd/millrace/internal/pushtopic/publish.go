package pushtopic

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/serving/push"
)

// rowOverheadBytes is what a row on its way costs beside its bytes.
const rowOverheadBytes = 256

func bytesOf(rows []push.Row) (payload, all int64) {
	for i := range rows {
		payload += int64(len(rows[i].Key) + len(rows[i].Value))
		for _, h := range rows[i].Headers {
			payload += int64(len(h.Value))
		}
	}
	return payload, payload + rowOverheadBytes*int64(len(rows))
}

// Publish implements push.Topic. The rows are the caller's again when it
// returns, also when rows are on their way still because ctx ended. An error
// that wraps ErrOverloaded says that nothing was appended.
func (t *Topic) Publish(ctx context.Context, source string, rows []push.Row) ([]push.Position, error) {
	name, err := t.nameOf(source)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	topic, err := t.topics.find(ctx, name)
	if err != nil {
		return nil, err
	}
	payload, all := bytesOf(rows)
	if !t.takeOff(all) {
		return nil, fmt.Errorf("publish %d rows to topic %s: %w", len(rows), name, ErrOverloaded)
	}
	flying, cancel := context.WithTimeout(ctx, deliveryTimeout)
	f := &flight{at: make([]push.Position, len(rows)), left: len(rows), landed: make(chan struct{}), release: func() {
		cancel()
		t.flying.Add(-all)
	}}
	records := copies(name, rows, payload)
	for i := range records {
		t.client.Produce(flying, &records[i], func(r *kgo.Record, err error) { f.land(i, topic.id, r, err) })
	}
	select {
	case <-f.landed:
	case <-ctx.Done():
		return nil, fmt.Errorf("publish %d rows to topic %s: %w", len(rows), name, ctx.Err())
	}
	if f.err != nil {
		t.topics.forget(name)
		return nil, fmt.Errorf("publish %d rows to topic %s: %w", len(rows), name, f.err)
	}
	return f.at, nil
}

// takeOff lets n bytes go if there is room, or if they are the only ones.
func (t *Topic) takeOff(n int64) bool {
	for {
		flying := t.flying.Load()
		if flying > 0 && flying+n > t.s.MaxBytes {
			return false
		}
		if t.flying.CompareAndSwap(flying, flying+n) {
			return true
		}
	}
}

// copies makes records that share nothing with rows: the client may hold them
// longer than the caller waits.
func copies(topic string, rows []push.Row, payload int64) []kgo.Record {
	buffer := make([]byte, 0, payload)
	keep := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		from := len(buffer)
		buffer = append(buffer, b...)
		return buffer[from:len(buffer):len(buffer)]
	}
	records := make([]kgo.Record, len(rows))
	for i := range rows {
		r := &rows[i]
		records[i] = kgo.Record{Topic: topic, Key: keep(r.Key), Value: keep(r.Value), Timestamp: time.UnixMilli(r.Millis)}
		for _, h := range r.Headers {
			records[i].Headers = append(records[i].Headers, kgo.RecordHeader{Key: h.Key, Value: keep(h.Value)})
		}
	}
	return records
}

// flight is the rows of one call, until the last is acknowledged or failed.
type flight struct {
	landed  chan struct{}
	release func()

	mu   sync.Mutex
	at   []push.Position // read after landed
	err  error           // the first
	left int
}

func (f *flight) land(i int, topic [16]byte, r *kgo.Record, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at[i] = (push.Position{TopicID: topic, Partition: r.Partition, Offset: r.Offset, Millis: r.Timestamp.UnixMilli()}); err != nil && f.err == nil {
		f.err = err
	}
	if f.left--; f.left == 0 {
		f.release()
		close(f.landed)
	}
}
