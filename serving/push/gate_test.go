package push

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"millrace/internal/synctest"
)

// callers go in and out of a gate again and again until the time is over;
// between two visits each pauses.
type callers struct {
	g      *gate
	n      int
	rows   int
	stream bool
	pause  time.Duration
	takes  func() time.Duration // how long the store takes for a push

	mu      sync.Mutex
	refused []time.Time
	done    int
}

func (c *callers) run(d time.Duration) {
	var all sync.WaitGroup
	end := time.Now().Add(d)
	for range c.n {
		all.Go(func() {
			for time.Now().Before(end) {
				c.visit()
				time.Sleep(c.pause)
			}
		})
	}
	all.Wait()
}

func (c *callers) visit() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	v, err := c.g.enter(ctx, max(1, c.rows), c.stream)
	if err != nil {
		c.mu.Lock()
		c.refused = append(c.refused, time.Now())
		c.mu.Unlock()
		time.Sleep(time.Millisecond)
		return
	}
	time.Sleep(c.takes())
	v.leave(answered)
	c.mu.Lock()
	c.done++
	c.mu.Unlock()
}

// after counts the refusals since a time.
func (c *callers) after(at time.Time) (n int) {
	for _, r := range c.refused {
		if r.After(at) {
			n++
		}
	}
	return n
}

// jitter is a time between two, of its own for every push.
func jitter(from, to time.Duration) func() time.Duration {
	r := rand.New(rand.NewPCG(3, 4))
	var mu sync.Mutex
	return func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return from + time.Duration(r.Int64N(int64(to-from)))
	}
}

// TestGateLetsAFastStoreBe: as many as there are callers, when more of them make
// none slower, however different their times are.
func TestGateLetsAFastStoreBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		c := &callers{g: newGate(256, directQuick, time.Now, nil), n: 200, takes: jitter(time.Millisecond, 20*time.Millisecond)}
		c.run(10 * time.Second)
		if n := c.after(begun.Add(time.Second)); n > 0 || c.done < 100_000 {
			t.Errorf("%d were refused after the first second, %d done; the limit is %d", n, c.done, c.g.pace.limit)
		}
	})
}

// TestGateLearnsANewUsual: a store that has become slower for everybody is no
// reason to refuse for long.
func TestGateLearnsANewUsual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		before, after := jitter(4*time.Millisecond, 8*time.Millisecond), jitter(30*time.Millisecond, 50*time.Millisecond)
		c := &callers{g: newGate(256, directQuick, time.Now, nil), n: 50, takes: func() time.Duration {
			if time.Since(begun) < 20*time.Second {
				return before()
			}
			return after()
		}}
		c.run(40 * time.Second)
		if n := c.after(begun.Add(25 * time.Second)); n > 0 {
			t.Errorf("%d were refused 5 s later; the limit is %d", n, c.g.pace.limit)
		}
	})
}

// TestGateGrowsAgain: when a store that had a queue is fast again.
func TestGateGrowsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var g *gate
		c := &callers{n: 40, takes: func() time.Duration {
			took := 5 * time.Millisecond
			if in := time.Since(begun); in > 5*time.Second && in < 10*time.Second {
				g.mu.Lock()
				defer g.mu.Unlock()
				took *= time.Duration(g.flying) // one after the other
			}
			return took
		}}
		g = newGate(256, directQuick, time.Now, nil)
		c.g = g
		c.run(20 * time.Second)
		slow, fast := c.after(begun.Add(5*time.Second))-c.after(begun.Add(10*time.Second)), c.after(begun.Add(12*time.Second))
		if slow < 1000 || fast > 0 {
			t.Errorf("%d were refused while it was slow, and %d from 2 s after", slow, fast)
		}
	})
}

// TestGateSharesWithStreams: streams wait for their turn, and neither they nor
// others take all there is.
func TestGateSharesWithStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(4, directQuick, time.Now, nil)
		takes := func() time.Duration { return 10 * time.Millisecond }
		streams := &callers{g: g, n: 20, stream: true, rows: 500, takes: takes}
		others := &callers{g: g, n: 20, takes: takes}
		var both sync.WaitGroup
		both.Go(func() { streams.run(2 * time.Second) })
		both.Go(func() { others.run(2 * time.Second) })
		both.Wait()
		if len(streams.refused) > 0 || streams.done < 300 || others.done < 300 || len(others.refused) < 1000 {
			t.Errorf("streams: %d done, %d refused; others: %d, %d", streams.done, len(streams.refused), others.done, len(others.refused))
		}
		if g.flying != 0 || g.streams != 0 || len(g.waiting) != 0 {
			t.Errorf("%d are inside, %d of them streams, %d wait", g.flying, g.streams, len(g.waiting))
		}
	})
}

// TestGateGivesUpWaiting: a stream that waited too long leaves no place taken.
func TestGateGivesUpWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2, directQuick, time.Now, nil)
		first, err := g.enter(t.Context(), 1, true)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.enter(ctx, 1, true); err == nil || time.Since(first.since) != time.Second {
			t.Errorf("a second stream: %v after %v", err, time.Since(first.since))
		}
		first.leave(noAnswer)
		second, err := g.enter(t.Context(), 1, true)
		if err != nil {
			t.Fatal(err)
		}
		second.leave(noAnswer)
		if g.flying != 0 || g.streams != 0 || len(g.waiting) != 0 {
			t.Errorf("%d are inside, %d of them streams, %d wait", g.flying, g.streams, len(g.waiting))
		}
	})
}
