package sweep

import (
	"context"
	"errors"
	"fmt"

	"millrace/sinks"
)

// batch is keys of one call, of a chunk.
type batch struct {
	keys  []string
	chunk *chunk
}

// scan hands out the keys of the store, and goes on where a scan fails.
func (j *job) scan(ctx context.Context, batches chan<- batch) error {
	from := j.resumed.Cursor
	var scanning trouble
	var wait backoff
	for {
		err := j.s.Store.EachKey(ctx, j.s.Entity, from, func(p *sinks.KeyPage) error {
			scanning.good(1)
			wait = backoff{}
			from = p.Next
			j.keys = append(j.keys, p.Keys...)
			if len(j.keys) > 0 && len(j.keys) < j.s.MaxBatch {
				return nil // a call for a few keys costs as much as a full one
			}
			return j.hand(ctx, batches, p.Next, p.Progress)
		})
		switch {
		case err == nil:
			return j.hand(ctx, batches, from, 1)
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, sinks.ErrKeyCursor):
			return err
		}
		if scanning.failed(err, j.s.GiveUp) {
			return fmt.Errorf("%w for %v: %w", ErrGaveUp, j.s.GiveUp, err)
		}
		if err := wait.sleep(ctx); err != nil {
			return err
		}
	}
}

// hand makes a chunk of the keys that have come together, and gives its batches
// to the workers: as many as are needed, of about one size.
func (j *job) hand(ctx context.Context, batches chan<- batch, next sinks.KeyCursor, progress float64) error {
	keys := j.keys
	j.keys = nil
	j.handed += int64(len(keys))
	n := (len(keys) + j.s.MaxBatch - 1) / j.s.MaxBatch
	c := j.tracker.add(next, progress, n)
	for i := range n {
		b := batch{keys: keys[i*len(keys)/n : (i+1)*len(keys)/n], chunk: c}
		select {
		case batches <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if n == 0 {
		j.tell()
	}
	return nil
}
