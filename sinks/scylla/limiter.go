package scylla

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// limiter bounds how many requests are under way. It adds one place for every
// round of successes and halves them when the database says, or shows, that it
// is overloaded, so that a struggling cluster is given air instead of more of
// the same.
//
// Many requests fail of one overload: only one that began after the last
// halving halves again. Places never fall below one.
type limiter struct {
	max int
	mu  struct {
		sync.Mutex
		limit   float64
		used    int
		waiting list.List // of chan struct{}; closed when the place is given
		halved  time.Time
	}
}

func newLimiter(most int) *limiter {
	l := &limiter{max: most}
	l.mu.limit = float64(most)
	return l
}

// acquire waits for a place, first come, first served. It fails only when ctx
// ends.
func (l *limiter) acquire(ctx context.Context) error {
	l.mu.Lock()
	if l.mu.used < int(l.mu.limit) && l.mu.waiting.Len() == 0 {
		l.mu.used++
		l.mu.Unlock()
		return nil
	}
	given := make(chan struct{})
	at := l.mu.waiting.PushBack(given)
	l.mu.Unlock()
	select {
	case <-given:
		return nil
	case <-ctx.Done():
		l.withdraw(at, given)
		return ctx.Err()
	}
}

// withdraw leaves the queue, or passes on a place that was given meanwhile.
func (l *limiter) withdraw(at *list.Element, given chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-given:
		l.mu.used--
	default:
		l.mu.waiting.Remove(at)
	}
	l.grant()
}

// release gives a place back. began is when its request was sent.
func (l *limiter) release(began time.Time, o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.used--
	switch o {
	case outcomeDone:
		l.mu.limit = min(l.mu.limit+1/l.mu.limit, float64(l.max))
	case outcomeOverload:
		if began.After(l.mu.halved) {
			l.mu.limit = max(l.mu.limit/2, 1)
			l.mu.halved = time.Now()
		}
	case outcomePassing, outcomePermanent:
	}
	l.grant()
}

// grant gives free places to those who wait. The lock is held.
func (l *limiter) grant() {
	for l.mu.used < int(l.mu.limit) && l.mu.waiting.Len() > 0 {
		given, _ := l.mu.waiting.Remove(l.mu.waiting.Front()).(chan struct{})
		l.mu.used++
		close(given)
	}
}

// places returns how many requests may be under way now.
func (l *limiter) places() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.mu.limit)
}
