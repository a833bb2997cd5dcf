package sweep

import (
	"context"
	"errors"
	"fmt"

	"millrace/serving"
)

// Strikes are failures of keys between which others did not fail: by that, a key
// that fails is told from a model that is away, whose keys all wait for it. They
// are counted anew when some of the batch do not fail any more: those that failed
// together are tried in halves, and fewer are left beside the one that fails.
const (
	maxStrikes = 8 // then keys are passed over
	// minStrikes, of all that were counted, are enough when nothing else is left to
	// do, or the model goes away as well.
	minStrikes = 3
)

var errFailed = errors.New("the model or the store fails")

// work brings a batch to its end. An error ends the sweep.
func (j *job) work(ctx context.Context, b batch) error {
	var counts Counts
	if err := j.try(ctx, b, &counts); err != nil {
		j.tracker.partly(&counts)
		return err
	}
	j.tracker.done(b.chunk, &counts)
	j.tell()
	return nil
}

// try counts the ends of a batch's keys, and tries what fails again.
func (j *job) try(ctx context.Context, b batch, counts *Counts) error {
	var wait backoff
	left := b.keys
	for strikes, all, goods := -1, -1, int64(-1); ; {
		ends, cause, err := j.refresh(ctx, left)
		if err != nil {
			return err
		}
		before := len(left)
		left = count(counts, left, ends)
		j.trouble.good(int64(before - len(left)))
		if len(left) == 0 {
			return nil
		}
		if now := j.trouble.goods(); now > goods {
			strikes, all, goods = strikes+1, all+1, now
		}
		if len(left) < before { // those that failed together are tried in halves
			strikes = 0
		}
		long := j.trouble.failed(cause, j.s.GiveUp)
		if strikes >= maxStrikes || long && all >= minStrikes {
			counts[serving.RefreshFailed] += int64(len(left))
			return nil
		}
		if long {
			return fmt.Errorf("%w for %v: %w", ErrGaveUp, j.s.GiveUp, cause)
		}
		j.tell()
		if err := wait.sleep(ctx); err != nil {
			return err
		}
	}
}

// refresh calls the Refresher once. cause is why keys have failed; err ends the
// sweep.
func (j *job) refresh(ctx context.Context, keys []string) (ends []serving.RefreshEnd, cause, err error) {
	if err := j.pace.wait(ctx, len(keys)); err != nil {
		return nil, nil, err
	}
	call, cancel := context.WithTimeout(ctx, j.s.CallTime)
	defer cancel()
	ends, cause = j.s.Refresher.Refresh(call, j.s.Model, keys, j.s.By, make([]serving.RefreshEnd, 0, len(keys)))
	switch {
	case ctx.Err() != nil:
		return nil, nil, ctx.Err()
	case cause != nil:
		return nil, cause, nil
	case len(ends) != len(keys):
		return nil, nil, fmt.Errorf("%d keys were to be refreshed and have %d ends", len(keys), len(ends))
	}
	return ends, errFailed, nil
}

// count adds the ends of keys and returns those that are to be tried again. No
// ends are failures of all.
func count(counts *Counts, keys []string, ends []serving.RefreshEnd) (again []string) {
	if ends == nil {
		return keys
	}
	for i, end := range ends {
		if end >= serving.RefreshFailed {
			again = append(again, keys[i])
		} else {
			counts[end]++
		}
	}
	return again
}
