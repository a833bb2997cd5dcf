package sweep

import (
	"context"
	"errors"
	"fmt"

	"millrace/serving"
)

// maxTries is how often a key is tried while others succeed.
const maxTries = 8

var errFailed = errors.New("the model or the store does not answer")

// work brings a batch to its end: it tries what fails again. An error ends the
// sweep.
func (j *job) work(ctx context.Context, b batch) error {
	var counts Counts
	var wait backoff
	left := b.keys
	for try, goods := 1, int64(0); ; try++ {
		ends, cause, err := j.refresh(ctx, left)
		if err != nil {
			return err
		}
		before := len(left)
		left = count(&counts, left, ends)
		j.trouble.good(int64(before - len(left)))
		if len(left) == 0 {
			break
		}
		if try == 1 {
			goods = j.trouble.goods()
		}
		if try >= maxTries && j.trouble.goods() > goods {
			counts[serving.RefreshFailed] += int64(len(left)) // these keys are at fault, not the model
			break
		}
		if j.trouble.failed(cause, j.s.GiveUp) {
			return fmt.Errorf("%w for %v: %w", ErrGaveUp, j.s.GiveUp, cause)
		}
		j.tell()
		if err := wait.sleep(ctx); err != nil {
			return err
		}
	}
	j.tracker.done(b.chunk, &counts)
	j.tell()
	return nil
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
