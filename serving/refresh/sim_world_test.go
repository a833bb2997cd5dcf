package refresh_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"millrace/sinks"
)

// world is what the processes of a simulation share: a store, a changelog and
// its group, a model. It notes what would break invariant 12.
type world struct {
	mu      sync.Mutex
	rng     *rand.Rand
	kind    *kind
	broken  string // one of the sabotages, or ""
	begin   time.Time
	behind  sync.WaitGroup // what goes on whoever waits for it
	faults  []string
	healed  bool // nothing fails any more
	down    bool // the store
	slow    bool // reads take longer than a refresh; then those who serve do not crash: see docs/predictions.md
	model   model
	cells   map[cell]sinks.Row
	tiles   map[sinks.TileID]sinks.Tile
	epochs  int64 // of lanes
	kept    int   // predictions that were stored
	changes changelog
	trace   map[string][]string // what happened to keys
	wrote   map[written]wrote
}

type cell struct{ entity, key, view string }

func newWorld(seed uint64, broken string) *world {
	w := &world{
		rng: rand.New(rand.NewPCG(seed, 12)), broken: broken, begin: time.Now(),
		cells: make(map[cell]sinks.Row), tiles: make(map[sinks.TileID]sinks.Tile),
	}
	w.trace, w.wrote = make(map[string][]string), make(map[written]wrote)
	w.model.computed = make(map[string]time.Time)
	w.changes.flying = make(map[string][]*refreshes)
	w.changes.began = make(map[string]began)
	return w
}

// faultf notes a broken invariant; the caller holds mu.
func (w *world) faultf(format string, args ...any) {
	if len(w.faults) < 5 {
		w.faults = append(w.faults, time.Since(w.begin).String()+": "+fmt.Sprintf(format, args...))
	}
}

// tracef notes something of a key; the caller holds mu.
func (w *world) tracef(key, format string, args ...any) {
	w.trace[key] = append(w.trace[key], time.Since(w.begin).String()+" "+fmt.Sprintf(format, args...))
}

// n is a random number below most.
func (w *world) n(most int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(most)
}

// oneIn is true once in n times.
func (w *world) oneIn(n int) bool { return w.n(n) == 0 }

// fails is true once in n times, until all is healed.
func (w *world) fails(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.healed && w.rng.IntN(n) == 0
}

// span is a random duration up to most, and once in twenty times up to twenty
// times as much.
func (w *world) span(most time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rng.IntN(20) == 0 {
		most *= 20
	}
	return time.Duration(1 + w.rng.Int64N(int64(most)))
}

// errors of a simulated process.
var (
	errDown    = errors.New("the store is down")
	errCrashed = errors.New("this process is dead")
)

// life is a process as long as it lives.
type life struct{ over chan struct{} }

// written is a prediction that was stored.
type written struct {
	key   string
	stamp int64
}

// wrote is who stored a prediction.
type wrote struct {
	by *process
	as string // one of transforms.By…
}

func newLife() *life { return &life{over: make(chan struct{})} }

func (l *life) ended() bool {
	select {
	case <-l.over:
		return true
	default:
		return false
	}
}

// sleep waits, and says what ended it before its time.
func (l *life) sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.over:
		return errCrashed
	}
}

// storeOp bounds, most of the time, a third of what a call of the store takes.
const storeOp = 8 * time.Millisecond

// settleMost is longer than a former owner works on without knowing that it is
// one, and the store then goes on with what it wrote.
const settleMost = 20*unawareOp + 4*20*storeOp

// unawareOp bounds, most of the time, how long an owner whose partition was
// stolen does not know.
const unawareOp = 200 * time.Millisecond

// conn is a process's connection to the store. What it writes takes effect at
// some time between the call and its end, cell by cell; after a call that its
// caller did not wait for, or that failed, maybe later, maybe never. What it
// reads of a cell was there at some time during the call.
type conn struct {
	w *world
	*life

	audits bool // its reads are of one moment
}

// effects has effects happen one after the other, and waits for them.
func (c conn) effects(ctx context.Context, all []func()) error {
	if c.ended() {
		return errCrashed
	}
	c.w.mu.Lock()
	fails := !c.w.healed && (c.w.down || c.w.rng.IntN(30) == 0)
	c.w.mu.Unlock()
	end := make(chan error, 1)
	c.w.behind.Go(func() {
		var err error
		if fails {
			err = errDown
		}
		for _, effect := range all {
			time.Sleep(c.w.span(storeOp))
			if (fails || c.ended()) && c.w.oneIn(2) {
				continue
			}
			c.w.mu.Lock()
			effect()
			c.w.mu.Unlock()
		}
		time.Sleep(c.w.span(storeOp))
		end <- err
	})
	select {
	case err := <-end:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-c.over:
		return errCrashed
	}
}

// Write implements sinks.Sink.
func (c conn) Write(ctx context.Context, rows []sinks.Row) error {
	var all []func()
	for _, r := range rows {
		at := cell{string([]byte(r.Entity)), string([]byte(r.Key)), string([]byte(r.View))}
		r = sinks.Row{Entity: at.entity, Key: at.key, View: at.view, Stamp: r.Stamp, Value: bytes.Clone(r.Value)}
		all = append(all, func() {
			if old, found := c.w.cells[at]; !found || r.Newer(&old) {
				c.w.cells[at] = r
				c.w.tracef(at.key, "%p stored %s %d", c.life, at.view, r.Stamp)
			} else {
				c.w.tracef(at.key, "%p lost %s %d", c.life, at.view, r.Stamp)
			}
		})
	}
	return c.effects(ctx, all)
}

// Sync implements sinks.Sink: what was acknowledged is durable.
func (c conn) Sync(context.Context) error { return nil }

// writeTiles stores tiles.
func (c conn) writeTiles(ctx context.Context, tiles []sinks.Tile) error {
	var all []func()
	for _, t := range tiles {
		all = append(all, func() {
			if old, found := c.w.tiles[t.TileID]; !found || t.Newer(&old) {
				c.w.tiles[t.TileID] = t
				c.w.tracef(t.Key, "%p stored tile %d", c.life, t.Stamp)
			}
		})
	}
	return c.effects(ctx, all)
}

// look is a part of a read: what is between two of them happens at once.
func (c conn) look(ctx context.Context) error {
	if c.audits {
		return nil
	}
	most := storeOp
	if c.w.slow && c.w.oneIn(4) {
		most *= 20
	}
	if err := c.sleep(ctx, c.w.span(most)); err != nil {
		return err
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if !c.w.healed && (c.w.down || c.w.rng.IntN(40) == 0) {
		return errDown
	}
	return nil
}

// ReadCells implements sinks.Cells.
func (c conn) ReadCells(ctx context.Context, entity string, keys, views []string, dst *sinks.CellSet) error {
	dst.Reset(len(keys), len(views))
	order := c.w.order(len(keys) * len(views))
	for i, place := range order {
		if i == 0 || !c.audits && c.w.oneIn(3) {
			if err := c.look(ctx); err != nil {
				return err
			}
		}
		c.w.mu.Lock()
		dst.Values[place] = c.w.cells[cell{entity, keys[place/len(views)], views[place%len(views)]}].Value
		c.w.mu.Unlock()
	}
	return c.look(ctx)
}

// order is numbers below n in any order.
func (w *world) order(n int) []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.Perm(n)
}

// ReadWindows implements sinks.TileReader.
func (c conn) ReadWindows(ctx context.Context, entity string, keys []string, ranges []sinks.TileRange, dst *sinks.WindowSet) error {
	dst.Reset(len(keys), len(ranges))
	for i, key := range keys {
		for j, r := range ranges {
			if err := c.look(ctx); err != nil {
				return err
			}
			c.w.mu.Lock()
			for id, t := range c.w.tiles { // of one view and source, at most one is in the range
				if id.Entity == entity && id.Key == key && id.View == r.View && id.HopSeconds == r.HopSeconds && r.From <= id.Start && id.Start < r.To {
					dst.Add(i, j, id.Start, id.Source, t.State)
				}
			}
			c.w.mu.Unlock()
		}
	}
	return c.look(ctx)
}
