package sweep

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// trouble knows for how long everything fails. It is safe for concurrent use.
type trouble struct {
	mu     sync.Mutex
	passed int64     // keys that did not fail
	since  time.Time // of the first failure after the last that did not
	err    error     // the last failure
}

// good records that n keys did not fail.
func (t *trouble) good(n int64) {
	if n == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.passed, t.since, t.err = t.passed+n, time.Time{}, nil
}

// goods returns how many keys did not fail until now.
func (t *trouble) goods() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.passed
}

// failed records a failure, and reports whether nothing else has happened for
// so long.
func (t *trouble) failed(err error, long time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.since.IsZero() {
		t.since = time.Now()
	}
	t.err = err
	return time.Since(t.since) >= long
}

func (t *trouble) state() (time.Time, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.since, t.err
}

const (
	firstWait   = 100 * time.Millisecond
	longestWait = 5 * time.Second
)

// backoff is the wait before the next try: it doubles, with jitter.
type backoff struct{ wait time.Duration }

// sleep waits, or returns the error of ctx when that ends first.
func (b *backoff) sleep(ctx context.Context) error {
	b.wait = min(max(2*b.wait, firstWait), longestWait)
	return sleep(ctx, b.wait/2+rand.N(b.wait/2))
}

// pace lets keys through at a rate. It is safe for concurrent use.
type pace struct {
	rate float64 // keys per second; 0 is no bound

	mu   sync.Mutex
	next time.Time // when the next keys may go
}

// wait returns when n keys may go, or the error of ctx when that ends first.
func (p *pace) wait(ctx context.Context, n int) error {
	if p.rate <= 0 {
		return ctx.Err()
	}
	p.mu.Lock()
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	at := p.next
	p.next = at.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
	p.mu.Unlock()
	return sleep(ctx, time.Until(at))
}
