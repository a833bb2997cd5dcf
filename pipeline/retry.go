package pipeline

import (
	"context"
	"math/rand/v2"
	"time"
)

// retry repeats op until it succeeds or ctx ends, with capped exponential
// back-off and full jitter, and reports whether it succeeded. Only the lane
// that calls it waits. The listener hears of the first failure and of the
// success after it, not of every attempt.
func (l *lane) retry(ctx context.Context, operation string, op func(context.Context) error) bool {
	s := &l.p.s
	wait := s.BackoffMin
	for attempt := 1; ; attempt++ {
		err := op(ctx)
		if err == nil {
			if attempt > 1 {
				s.Events.Recovered(l.partition, operation, attempt)
			}
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if attempt == 1 {
			s.Events.Failed(l.partition, operation, err)
		}
		s.Events.Retried(l.partition, operation)
		if !sleep(ctx, wait/2+rand.N(wait/2+1)) {
			return false
		}
		wait = min(2*wait, s.BackoffMax)
	}
}

// sleep waits for d or the end of ctx; false when ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
