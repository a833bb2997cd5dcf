package push

import (
	"context"
	"slices"
	"sync"
	"time"

	"millrace/serving"
)

// fewest is the least that a gate lets in at a time: one stream and one that is
// none.
const fewest = 2

// gate bounds how many pushes wait for the store at a time by how long it takes
// to answer: beyond its rate they would only wait for each other. Whoever finds
// it full is refused before anything is written; parts of streams, which hold
// their bytes either way, wait for their turn and have at most half of it.
type gate struct {
	clock func() time.Time
	told  func(limit int) // may be nil

	mu      sync.Mutex
	pace    pace
	flying  int
	streams int       // of these
	waiting []*waiter // parts of streams
}

// waiter is a part of a stream before the gate.
type waiter struct{ open chan struct{} }

// visit is one push inside a gate.
type visit struct {
	gate   *gate
	since  time.Time
	beside int // pushes inside when it came in, itself included
	rows   int
	stream bool
}

func newGate(most int, quick time.Duration, clock func() time.Time, told func(int)) *gate {
	g := &gate{clock: clock, told: told, pace: newPace(most, quick)}
	g.tell(0)
	return g
}

// enter lets a push of so many rows in. A stream's part waits until ctx ends.
func (g *gate) enter(ctx context.Context, rows int, stream bool) (*visit, *serving.Error) {
	g.mu.Lock()
	if g.open(stream) {
		defer g.mu.Unlock()
		return g.let(rows, stream), nil
	}
	limit := g.pace.limit
	if !stream {
		g.pace.full = true
		g.mu.Unlock()
		return nil, full(limit)
	}
	w := &waiter{make(chan struct{})}
	g.waiting = append(g.waiting, w)
	g.mu.Unlock()
	select {
	case <-w.open:
	case <-ctx.Done():
		if g.left(w) {
			return nil, full(limit)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flying, g.streams = g.flying-1, g.streams-1 // the place that was kept for it
	return g.let(rows, true), nil
}

func full(limit int) *serving.Error {
	return serving.Errorf(serving.CodeOverloaded, "the store is slower than pushes come: it has the %d that it can take at a time", limit).
		At("rows", "nothing was written: push them again later, or asynchronously")
}

// open reports whether there is a place.
func (g *gate) open(stream bool) bool {
	limit := g.pace.now(g.clock())
	return g.flying < limit && (!stream || g.streams < max(1, limit/2))
}

func (g *gate) let(rows int, stream bool) *visit {
	g.flying++
	if stream {
		g.streams++
	}
	return &visit{g, g.clock(), g.flying, rows, stream}
}

// left takes a waiter away; false when it was let in already.
func (g *gate) left(w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, w)
	if i < 0 {
		return false
	}
	g.waiting = slices.Delete(g.waiting, i, i+1)
	return true
}

// outcome is what a push says of the store.
type outcome uint8

const (
	noAnswer outcome = iota // the store was not asked, or failed
	answered
	tooLate // it did not answer in time
)

// leave gives the place back.
func (v *visit) leave(how outcome) {
	g := v.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flying--
	if v.stream {
		g.streams--
	}
	before, now := g.pace.limit, g.clock()
	if how != noAnswer {
		g.pace.learn(now, sample{beside: v.beside, rows: v.rows, took: now.Sub(v.since), whole: how == answered})
	}
	g.tell(before)
	for len(g.waiting) > 0 && g.open(true) {
		close(g.waiting[0].open)
		g.waiting = g.waiting[1:]
		g.flying, g.streams = g.flying+1, g.streams+1
	}
	g.pace.full = g.pace.full || len(g.waiting) > 0
}

func (g *gate) tell(before int) {
	if g.told != nil && g.pace.limit != before {
		g.told(g.pace.limit)
	}
}
