package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"millrace/sinks"
	"millrace/sources"
)

// process is one process of the simulated group: a pipeline and the source that
// drives it. Its handler calls are made by Run's goroutine alone.
type process struct {
	w     *world
	p     *Pipeline
	store *store
	group simGroup
	ended chan struct{}
	fault error // of Run; good when ended is closed
	kill  context.CancelFunc

	// guarded by world.mu
	dead    bool
	at      map[sources.Partition]*place
	told    map[sources.Partition]bool // revoked or lost: commits are faults
	resumes map[sources.Partition]int64
}

type place struct {
	next   int64
	paused bool
}

// simGroup is the process's sources.Source.
type simGroup struct {
	m      *process
	orders chan func(sources.Handler)
}

const (
	simLaneBytes  = 1500
	simTotalBytes = 4000
	simFetch      = 6 // records
	simRevoke     = 400 * time.Millisecond
)

func (w *world) join() (*process, error) {
	m := &process{w: w, ended: make(chan struct{}), at: make(map[sources.Partition]*place), told: make(map[sources.Partition]bool), resumes: make(map[sources.Partition]int64)}
	m.store, m.group = &store{w: w, m: m}, simGroup{m: m, orders: make(chan func(sources.Handler))}
	var together sinks.TogetherSink
	if w.together {
		together = m.store
	}
	w.mu.Lock()
	w.stores = append(w.stores, m.store)
	version := w.latest()
	w.mu.Unlock()
	p, err := New(Settings{
		Source: &m.group, NewEncoder: func() sinks.Encoder { return fakeEncoder{} }, Sink: m.store, DeadLetter: m.store, Refusals: m.store,
		Tiles: m.store, Together: together, Sinces: sinks.NewSinces(w.meta), TileBytes: 3000, Changes: simChanges{m.store},
		Epochs: simEpochs{sinks.NewEpochs(w.meta), w}, CatalogVersion: version, Routes: []Route{w.route(version)},
		LatestVersion: func(context.Context) (int64, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.latest(), nil
		},
		MaxRows: 4, InFlight: 3, LaneBytes: simLaneBytes, TotalBytes: simTotalBytes, CommitTimeout: 300 * time.Millisecond,
		BackoffMax: 50 * time.Millisecond, Events: Events{BatchDone: m.batchDone},
	})
	if err != nil {
		return nil, err
	}
	m.p = p
	ctx, kill := context.WithCancel(context.Background())
	m.kill = kill
	go func() {
		m.fault = p.Run(ctx)
		close(m.ended)
	}()
	return m, nil
}

// batchDone checks invariant 8 over one batch.
func (m *process) batchDone(b *BatchStats) {
	v := &b.Views[0]
	if v.Received != v.Stored+v.Filtered+v.DeadLettered || b.Records != v.Received || v.Superseded > v.Stored {
		m.w.reportf("%d records, %d rows, %d rejects, ends %+v", b.Records, b.Rows, len(b.Rejects), *v)
	}
}

// Run implements sources.Source.
func (g *simGroup) Run(ctx context.Context, h sources.Handler) error {
	tick := time.NewTicker(7 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			g.m.revoke(h, g.m.owned()...)
			return nil
		case order := <-g.orders:
			order(h)
		case <-tick.C:
			g.m.poll(h)
		}
	}
}

// Resume implements sources.Source.
func (g *simGroup) Resume(p sources.Partition, at int64) {
	g.m.w.mu.Lock()
	defer g.m.w.mu.Unlock()
	g.m.resumes[p] = at
}

// Commit implements sources.Source: it takes its time, may fail after it took
// effect, and must not name what was taken away, when sent or when it arrives.
func (g *simGroup) Commit(ctx context.Context, marks []sources.Mark) error {
	w := g.m.w
	g.check(marks, "sent")
	lag := w.delay(20 * time.Millisecond)
	if w.chance(5) {
		lag = w.delay(600 * time.Millisecond)
	}
	late := !sleep(ctx, lag)
	g.check(marks, "arriving")
	w.mu.Lock()
	defer w.mu.Unlock()
	if g.m.dead {
		return errCrashed
	}
	fails := late || w.brokerDown || w.rng.IntN(20) == 0
	if fails && w.rng.IntN(2) == 0 {
		return errDown
	}
	for _, m := range marks {
		if w.owner[m.Partition] != g.m {
			return errors.New("fenced: another generation")
		}
		w.accept(m)
	}
	if fails {
		return errDown
	}
	return nil
}

// check is invariant 2.
func (g *simGroup) check(marks []sources.Mark, when string) {
	w := g.m.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range marks {
		if g.m.told[m.Partition] && !g.m.dead {
			w.faultf("a commit of %d of partition %d, %s after the partition was taken away", m.Offset, m.Number, when)
		}
	}
}

// poll delivers up to a fetch of every open partition, and checks invariant 9.
func (m *process) poll(h sources.Handler) {
	for _, p := range m.owned() {
		f, open := m.next(p)
		if open && h.Deliver(f) {
			m.w.mu.Lock()
			m.at[p].paused = true
			m.w.mu.Unlock()
		}
	}
	biggest := fetch(p0, make([]sources.Record, simFetch)...).Records
	var slack int64
	for i := range biggest {
		biggest[i].Value, biggest[i].Headers = []byte{0}, finishedHeader
		slack += int64(biggest[i].Bytes())
	}
	if used, most := m.p.budget.used.Load(), simTotalBytes+slack*int64(len(m.owned())); used > most || used < 0 {
		m.w.reportf("%d bytes are held, the bound is %d", used, most)
	}
}

// next applies a resume and takes records from the log.
func (m *process) next(p sources.Partition) (sources.Fetch, bool) {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	at := m.at[p]
	if to, resumed := m.resumes[p]; resumed {
		delete(m.resumes, p)
		at.paused = false
		if to != sources.KeepPosition {
			at.next = to
		}
	}
	if at.paused || m.dead {
		return sources.Fetch{}, false
	}
	log := m.w.logs[p]
	i, _ := slices.BinarySearchFunc(log, at.next, func(r sources.Record, to int64) int { return int(r.Offset - to) })
	recs := slices.Clone(log[i:min(len(log), i+simFetch)])
	if len(recs) > 0 {
		at.next = recs[len(recs)-1].Offset + 1
	}
	return sources.Fetch{Partition: p, Records: recs, LogEnd: m.w.end(p)}, true
}

func (m *process) owned() []sources.Partition {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	var ps []sources.Partition
	for p := range m.at {
		ps = append(ps, p)
	}
	slices.SortFunc(ps, func(a, b sources.Partition) int { return int(a.Number - b.Number) })
	return ps
}

// order has Run's goroutine do something, and waits for it.
func (m *process) order(do func(sources.Handler)) {
	done := make(chan struct{})
	select {
	case m.group.orders <- func(h sources.Handler) { do(h); close(done) }:
		<-done
	case <-m.ended:
	}
}

func (m *process) revoke(h sources.Handler, ps ...sources.Partition) {
	ctx, cancel := context.WithTimeout(context.Background(), simRevoke)
	defer cancel()
	began := time.Now()
	h.Revoked(ctx, ps)
	if took := time.Since(began); took > 2*simRevoke { // one commit may be under way already
		m.w.reportf("a revoke took %s", took)
	}
	m.forget(ps...)
}

func (m *process) forget(ps ...sources.Partition) {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	for _, p := range ps {
		delete(m.at, p)
		delete(m.resumes, p)
		m.told[p] = true
		if m.w.owner[p] == m {
			delete(m.w.owner, p)
		}
	}
}

// assign makes m the owner of p, whatever a former owner believes.
func (m *process) assign(p sources.Partition) {
	m.order(func(h sources.Handler) {
		m.w.mu.Lock()
		m.w.owner[p] = m
		delete(m.told, p)
		a := sources.Assignment{Partition: p, TopicID: m.w.topicOf(p), Committed: -1, LogEnd: m.w.end(p)}
		if c, committed := m.w.commits[p]; committed {
			a.Committed, a.Metadata = c.Offset, c.Metadata
		}
		m.w.mu.Unlock()
		starts, err := h.Assigned(context.Background(), []sources.Assignment{a})
		if _, old := errors.AsType[*CatalogError](err); old {
			m.kill() // a source gives up with what its handler says
			m.forget(p)
			return
		}
		if err != nil || len(starts) != 1 || starts[0].Hold {
			m.w.reportf("assigned: %+v %v", starts, err)
			return
		}
		m.w.mu.Lock()
		m.at[p] = &place{next: starts[0].Offset}
		m.w.mu.Unlock()
	})
}

// crash ends m at once: nothing it does has an effect any more, and what it
// had not made durable is gone.
func (m *process) crash() error {
	m.w.mu.Lock()
	m.dead = true
	m.store.rows, m.store.left, m.store.tiles = nil, nil, nil
	m.w.mu.Unlock()
	return m.leave()
}

// leave ends m in good order.
func (m *process) leave() error {
	m.kill()
	<-m.ended
	if _, old := errors.AsType[*CatalogError](m.fault); m.fault != nil && !old {
		return fmt.Errorf("run ended with: %w", m.fault)
	}
	if used := m.p.budget.used.Load(); used != 0 {
		return fmt.Errorf("%d bytes are still charged after the end", used)
	}
	return nil
}
