package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"millrace/serving"
	"millrace/sinks"
)

// saved is the JSON that a model has in sinks.MetaRefreshes while a sweep is
// not at its end.
type saved struct {
	Work     string           `json:"work"`
	Cursor   sinks.KeyCursor  `json:"cursor"`
	Progress float64          `json:"progress"`
	Begun    time.Time        `json:"begun"`
	Saved    time.Time        `json:"saved"`
	Ends     map[string]int64 `json:"ends"` // of the keys before the cursor
}

func (s *saved) counts() (c Counts) {
	for end := range c {
		c[end] = s.Ends[serving.RefreshEnd(end).String()]
	}
	return c
}

// place is the entry of a model. It belongs to one goroutine. Of two processes
// at work on one model the later save stands, and the one that is at its end
// removes what the other has saved, who saves again.
type place struct {
	store sinks.Meta
	model string
	text  []byte // the entry as it was read or written last; nil is none
}

// load reads the entry; saved is zero where there is none.
func (p *place) load(ctx context.Context) (s saved, err error) {
	p.text, err = p.store.Get(ctx, sinks.MetaRefreshes, p.model)
	if errors.Is(err, sinks.ErrNoEntry) {
		p.text = nil
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("look for the place where it stopped: %w", err)
	}
	if err := json.Unmarshal(p.text, &s); err != nil {
		return s, fmt.Errorf("read the place where it stopped: %w; --restart begins anew", err)
	}
	return s, nil
}

// put makes text the entry, nil removes it, whatever another process has saved.
func (p *place) put(ctx context.Context, text []byte) error {
	for {
		swapped, err := p.store.Swap(ctx, sinks.MetaRefreshes, p.model, p.text, text)
		if err != nil {
			return fmt.Errorf("save the place: %w", err)
		}
		if swapped {
			p.text = text
			return nil
		}
		p.text, err = p.store.Get(ctx, sinks.MetaRefreshes, p.model)
		if errors.Is(err, sinks.ErrNoEntry) {
			p.text, err = nil, nil
		}
		if err != nil {
			return fmt.Errorf("save the place: %w", err)
		}
		if p.text == nil && text == nil {
			return nil
		}
	}
}

// resume finds the place to begin at.
func (j *job) resume(ctx context.Context) error {
	s, err := j.place.load(ctx)
	if unread := j.place.text != nil; err != nil && (!j.s.Restart || !unread) {
		return err // what cannot be read is no hindrance to beginning anew
	}
	if j.s.Restart || s.Work != j.s.Work || s.Cursor == "" {
		s = saved{Begun: time.Now().UTC()}
		if j.place.text != nil { // nobody is to go on from there any more
			if err := j.place.put(ctx, nil); err != nil {
				return err
			}
		}
	}
	j.resumed = s
	j.tracker.at = chunk{next: s.Cursor, progress: s.Progress}
	return nil
}

// save saves the place if it has moved since it was saved last.
func (j *job) save(ctx context.Context) error {
	at := j.tracker.place()
	if at.next == j.savedAt {
		return nil
	}
	s := saved{Work: j.s.Work, Cursor: at.next, Progress: at.progress, Begun: j.resumed.Begun, Saved: time.Now().UTC(), Ends: make(map[string]int64)}
	earlier := j.resumed.counts()
	for end, n := range at.counts {
		if n += earlier[end]; n > 0 {
			s.Ends[serving.RefreshEnd(end).String()] = n
		}
	}
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("save the place: %w", err)
	}
	if err := j.place.put(ctx, text); err != nil {
		return err
	}
	j.savedAt = at.next
	return nil
}

// saveOften saves until ctx ends. What fails is tried at the next time: an older
// place is as good, and the last save says what is wrong.
func (j *job) saveOften(ctx context.Context) {
	tick := time.NewTicker(j.s.SaveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = j.save(ctx)
		}
	}
}
