package serving

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"millrace/feature"
	"millrace/transforms"
)

// KeepEnd is what becomes of a prediction that was to be stored.
type KeepEnd uint8

// The ends.
const (
	KeptWritten KeepEnd = iota // it is stored
	KeptNewer                  // not stored: a process with a newer catalog has stored one
	KeptLost                   // another one of inputs that were read later was found, before it was stored or in its place
	KeptFailed                 // the store failed, or may not see it
	KeptDropped                // too much was being stored already
)

// Keeps is how many ends there are.
const Keeps = int(KeptDropped) + 1

// String returns the name that metrics carry.
func (e KeepEnd) String() string {
	return [...]string{"written", "newer", "lost", "failed", "dropped"}[min(e, KeptDropped)]
}

// keeping is predictions of one model to be stored. It points into nothing that
// a request owns.
type keeping struct {
	plan    *transforms.ModelPlan
	keys    []string
	prints  []string         // fingerprints, parallel to keys
	rows    []int            // in outputs, parallel to keys
	outputs []feature.Column // parallel to the model's
	stamps  []int64          // parallel to keys: see add
	at      int64            // when the inputs were read, micros
	catalog int64
	by      string
	newer   int // that are not stored
	lost    int // the same
}

// readLag is by how much the stamps of what reads have computed lag behind, and
// by how much clocks of processes may differ.
const readLag = time.Minute

// add takes the prediction of a key, whose stored one is u, that is in a row of
// outputs, and returns its stamp. That is when its inputs were read, but later
// than the stamp of what was stored then: otherwise a process whose clock is
// ahead would keep what it wrote in the place of what was made after it.
//
// What was refreshed after a change is stored over what reads compute at the
// same time, whose inputs may be those before it: nobody is told of the change
// again, and who stored the other may be dead, or have an older catalog and
// find its own fresh. So stamps of the latter lag, and go up by less. Nor do reads
// store over what was read after they began: rows and windows are not read in
// one moment, so that a slow read may find old inputs beside the prediction of
// new ones.
func (k *keeping) add(key, printed string, row int, u *unit) int64 {
	stamp, more := k.at, int64(2)
	if k.by == transforms.ByRead {
		stamp, more = k.at-readLag.Microseconds(), 1
	}
	if u.stamp != 0 {
		stamp = max(stamp, u.stamp+more)
	}
	k.keys, k.prints = append(k.keys, strings.Clone(key)), append(k.prints, printed)
	k.rows, k.stamps = append(k.rows, row), append(k.stamps, stamp)
	return stamp
}

// keep stores predictions and returns which of its keys, by place, no store may
// see the predictions of.
func (s *Service) keep(ctx context.Context, k *keeping) (refused []int, err error) {
	name := k.plan.Model.Name
	s.tellKept(name, KeptNewer, k.newer)
	s.tellKept(name, KeptLost, k.lost)
	if len(k.keys) == 0 {
		return nil, nil
	}
	rows := new(feature.Rows)
	k.plan.ResetRows(rows)
	columns, err := keyColumns(k.plan.Entity, k.keys)
	if err != nil {
		return nil, fmt.Errorf("keep predictions of model %s: %w", name, err)
	}
	for i := range k.keys {
		k.plan.AppendRow(rows, columns, i, k.outputs, k.rows[i], &transforms.StoredPrediction{
			AtMicros: k.at, Stamp: k.stamps[i], Version: k.plan.Model.Version, Fingerprint: []byte(k.prints[i]), Catalog: k.catalog, By: k.by,
		})
	}
	if err := s.predictions.WriteRows(ctx, rows); err != nil {
		s.tellKept(name, KeptFailed, len(k.keys))
		return nil, fmt.Errorf("keep predictions of model %s: %w", name, err)
	}
	for i := range rows.Rejects {
		refused = append(refused, int(rows.Rejects[i].Origin.Record))
	}
	s.tellKept(name, KeptFailed, len(refused))
	s.tellKept(name, KeptWritten, len(k.keys)-len(refused))
	return refused, nil
}

func (s *Service) tellKept(model string, end KeepEnd, n int) {
	if n > 0 && s.events.Kept != nil {
		s.events.Kept(model, end, n)
	}
}

// keyColumns reads entity keys back into columns, a row for each.
func keyColumns(e *feature.Entity, keys []string) ([]feature.Column, error) {
	columns := emptyKeys(e)
	for _, key := range keys {
		if err := feature.ParseKey(key, columns); err != nil {
			return nil, fmt.Errorf("read a key of entity %s: %w", e.Name, err)
		}
	}
	return columns, nil
}

// emptyKeys is columns for keys of an entity.
func emptyKeys(e *feature.Entity) []feature.Column {
	columns := make([]feature.Column, len(e.JoinKeys))
	for i, k := range e.JoinKeys {
		columns[i].Reset(k.Type)
	}
	return columns
}

// Bounds of what goes on behind lookups.
const (
	maxKeeping = 256              // stores at a time
	maxLater   = 16_384           // keys of a model that are to be refreshed
	keepFor    = 10 * time.Second // of one store
)

// behind does what lookups do not wait for: storing predictions, looking
// whether they are still those of their inputs, refreshing those that were
// served as stale.
//
// Invariants: a model has one goroutine at most that refreshes, and a key is in
// one refresh at most; what is dropped was a convenience, for reads judge
// predictions by themselves.
type behind struct {
	service *Service
	ctx     context.Context //nolint:containedctx // outlives the requests
	stop    context.CancelFunc
	slots   chan struct{}
	done    sync.WaitGroup

	mu     sync.Mutex
	closed bool
	queues map[string]*laterQueue // by model
}

// laterQueue is the keys of a model that are to be refreshed.
type laterQueue struct {
	stamps  map[string]int64 // by key: of what was stored last and is to be verified; 0 if nothing was
	running bool
}

func newBehind(s *Service) *behind {
	b := &behind{service: s, slots: make(chan struct{}, maxKeeping), queues: make(map[string]*laterQueue)}
	b.ctx, b.stop = context.WithCancel(context.Background())
	return b
}

func (b *behind) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.stop()
	b.done.Wait()
}

// begin runs f unless b is closed.
func (b *behind) begin(f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.done.Go(f)
	return true
}

// keep stores k and has it verified; it waits for the former, or for the end of
// ctx.
func (b *behind) keep(ctx context.Context, k *keeping) {
	s, name := b.service, k.plan.Model.Name
	select {
	case b.slots <- struct{}{}:
	default:
		s.tellKept(name, KeptDropped, len(k.keys))
		return
	}
	stored := make(chan struct{})
	if !b.begin(func() {
		defer func() { <-b.slots }()
		defer close(stored)
		ctx, cancel := context.WithTimeout(b.ctx, keepFor)
		defer cancel()
		if _, err := s.keep(ctx, k); err != nil {
			s.tellFailed(err)
			return
		}
		b.later(name, k.keys, k.stamps)
	}) {
		<-b.slots
		return
	}
	select {
	case <-stored:
	case <-ctx.Done():
	}
}

func (s *Service) tellFailed(err error) {
	if s.events.Failed != nil {
		s.events.Failed(err)
	}
}

// later has keys refreshed, which is nothing where their predictions are fresh;
// stamps, if any, are those of what was just stored for them. keys are b's.
func (b *behind) later(model string, keys []string, stamps []int64) {
	if len(keys) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	q := b.queues[model]
	if q == nil {
		q = &laterQueue{stamps: make(map[string]int64)}
		b.queues[model] = q
	}
	for i, key := range keys {
		at, known := q.stamps[key]
		switch {
		case !known && len(q.stamps) >= maxLater:
		case stamps != nil:
			q.stamps[key] = max(at, stamps[i])
		default:
			q.stamps[key] = at
		}
	}
	if !q.running {
		q.running = true
		b.done.Go(func() { b.drain(model, q) })
	}
}

// drain refreshes what q has until it has nothing.
func (b *behind) drain(model string, q *laterQueue) {
	for {
		keys, stamps, within := b.take(model, q)
		if len(keys) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(b.ctx, within)
		_, err := b.service.refresh(ctx, model, keys, stamps, transforms.ByRead, nil)
		cancel()
		if err != nil && b.ctx.Err() == nil {
			b.service.tellFailed(err)
		}
	}
}

// take takes the keys of one refresh out of q, which rests when there are none.
// It may take as long as the model may for its calls, and the store.
func (b *behind) take(model string, q *laterQueue) (keys []string, stamps []int64, within time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	most := 0
	if m := b.service.current.Load().Models[model]; m != nil && b.ctx.Err() == nil {
		most, within = m.Model.MaxBatch, keepFor+maxWrites*m.Model.Timeout
	} else {
		clear(q.stamps)
	}
	for key, at := range q.stamps {
		if len(keys) == most {
			break
		}
		keys, stamps = append(keys, key), append(stamps, at)
		delete(q.stamps, key)
	}
	q.running = len(keys) > 0
	return keys, stamps, within
}
