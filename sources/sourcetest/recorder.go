package sourcetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millrace/sources"
)

// Recorder is a handler that writes down what it is given and checks, call by
// call, what every source owes its handler: calls are serial, offsets go up,
// nothing comes for partitions that are not assigned, full or held.
//
// The functions may be set before Run; they run inside the handler's call. The
// other methods may be called from any goroutine.
type Recorder struct {
	Begin     func(context.Context, sources.Assignment) (sources.Start, error) // default: the committed offset, else Begin
	Full      func(sources.Fetch) bool                                         // default: never
	OnRevoked func(context.Context, []sources.Partition)

	calling atomic.Bool
	mu      struct {
		sync.Mutex
		changed  chan struct{}
		assigned []sources.Assignment // every one, in order
		lanes    map[sources.Partition]*lane
		given    map[sources.Partition][]sources.Record // over all assignments
		losses   map[sources.Partition]error
		revoked  []sources.Partition
		lost     []sources.Partition
		breaches []string
	}
}

// lane is what is known of an owned partition.
type lane struct {
	next   int64
	closed bool // full or held
}

// NewRecorder returns a Recorder that takes everything.
func NewRecorder() *Recorder {
	r := &Recorder{}
	r.mu.changed = make(chan struct{})
	r.mu.lanes = make(map[sources.Partition]*lane)
	r.mu.given = make(map[sources.Partition][]sources.Record)
	r.mu.losses = make(map[sources.Partition]error)
	return r
}

// call marks one call of the handler; its result ends it.
func (r *Recorder) call(name string) func() {
	if !r.calling.CompareAndSwap(false, true) {
		r.breachf("%s was called during another call", name)
		return func() { r.notify() }
	}
	return func() {
		r.calling.Store(false)
		r.notify()
	}
}

func (r *Recorder) breachf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.breaches = append(r.mu.breaches, fmt.Sprintf(format, args...))
}

func (r *Recorder) notify() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.mu.changed)
	r.mu.changed = make(chan struct{})
}

// Assigned implements sources.Handler.
func (r *Recorder) Assigned(ctx context.Context, as []sources.Assignment) ([]sources.Start, error) {
	defer r.call("Assigned")()
	starts := make([]sources.Start, 0, len(as))
	for _, a := range as {
		st := sources.Start{Partition: a.Partition, Offset: a.Begin}
		if a.Committed >= 0 {
			st.Offset = a.Committed
		}
		if r.Begin != nil {
			var err error
			if st, err = r.Begin(ctx, a); err != nil {
				return nil, err
			}
		}
		starts = append(starts, st)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, a := range as {
		if r.mu.lanes[a.Partition] != nil {
			r.mu.breaches = append(r.mu.breaches, fmt.Sprintf("%v was assigned twice", a.Partition))
		}
		r.mu.assigned = append(r.mu.assigned, a)
		r.mu.lanes[a.Partition] = &lane{next: starts[i].Offset, closed: starts[i].Hold}
	}
	return starts, nil
}

// Deliver implements sources.Handler.
func (r *Recorder) Deliver(f sources.Fetch) bool {
	defer r.call("Deliver")()
	full := r.Full != nil && r.Full(f)
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.mu.lanes[f.Partition]
	switch {
	case l == nil:
		r.mu.breaches = append(r.mu.breaches, fmt.Sprintf("%v was delivered, not being assigned", f.Partition))
		return true
	case l.closed:
		r.mu.breaches = append(r.mu.breaches, fmt.Sprintf("%v was delivered while full or held", f.Partition))
	case f.Err != nil && len(f.Records) > 0:
		r.mu.breaches = append(r.mu.breaches, fmt.Sprintf("%v came with an error and records", f.Partition))
	}
	for i := range f.Records {
		if o := f.Records[i].Offset; o < l.next {
			r.mu.breaches = append(r.mu.breaches, fmt.Sprintf("%v: offset %d came after %d", f.Partition, o, l.next-1))
		}
		l.next = f.Records[i].Offset + 1
	}
	r.mu.given[f.Partition] = append(r.mu.given[f.Partition], f.Records...)
	if f.Err != nil {
		r.mu.losses[f.Partition] = f.Err
	}
	l.closed = full || f.Err != nil
	return full
}

// Revoked implements sources.Handler.
func (r *Recorder) Revoked(ctx context.Context, ps []sources.Partition) {
	defer r.call("Revoked")()
	if r.OnRevoked != nil {
		r.OnRevoked(ctx, ps)
	}
	if _, has := ctx.Deadline(); !has {
		r.breachf("Revoked came without a deadline")
	}
	r.drop(ps, &r.mu.revoked)
}

// Lost implements sources.Handler.
func (r *Recorder) Lost(ps []sources.Partition) {
	defer r.call("Lost")()
	r.drop(ps, &r.mu.lost)
}

func (r *Recorder) drop(ps []sources.Partition, to *[]sources.Partition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*to = append(*to, ps...)
	for _, p := range ps {
		if r.mu.lanes[p] == nil {
			r.mu.breaches = append(r.mu.breaches, fmt.Sprintf("%v was taken away, not being assigned", p))
		}
		delete(r.mu.lanes, p)
	}
}

// Resume tells src to reopen p, and the recorder to expect it.
func (r *Recorder) Resume(src sources.Source, p sources.Partition, at int64) {
	r.mu.Lock()
	if l := r.mu.lanes[p]; l != nil {
		l.closed = false
		if at != sources.KeepPosition {
			l.next = at
		}
	}
	r.mu.Unlock()
	src.Resume(p, at)
}

// Owned lists the partitions at hand, in order.
func (r *Recorder) Owned() []int32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ns []int32
	for p := range r.mu.lanes {
		ns = append(ns, p.Number)
	}
	slices.Sort(ns)
	return ns
}

// Values returns the values delivered of p, "<nil>" for tombstones.
func (r *Recorder) Values(p sources.Partition) []string {
	var vs []string
	for _, rec := range r.Records(p) {
		if rec.Value == nil {
			vs = append(vs, "<nil>")
		} else {
			vs = append(vs, string(rec.Value))
		}
	}
	return vs
}

// Records returns what was delivered of p.
func (r *Recorder) Records(p sources.Partition) []sources.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.mu.given[p])
}

// Assignments returns every assignment of p, in order.
func (r *Recorder) Assignments(p sources.Partition) []sources.Assignment {
	r.mu.Lock()
	defer r.mu.Unlock()
	var as []sources.Assignment
	for _, a := range r.mu.assigned {
		if a.Partition == p {
			as = append(as, a)
		}
	}
	return as
}

// Loss returns the last error delivered of p.
func (r *Recorder) Loss(p sources.Partition) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.losses[p]
}

// TakenAway returns what was revoked and what was lost.
func (r *Recorder) TakenAway() (revoked, lost []sources.Partition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.mu.revoked), slices.Clone(r.mu.lost)
}

// patience is how long Wait waits; under a fake clock it costs nothing.
const patience = time.Minute

// Wait returns when is holds; it is asked again after every call of the
// handler and every little while.
func (r *Recorder) Wait(t testing.TB, what string, is func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		changed := r.mu.changed
		r.mu.Unlock()
		if is() {
			return
		}
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// WaitValues returns when exactly these values of p were delivered.
func (r *Recorder) WaitValues(t testing.TB, p sources.Partition, want ...string) {
	t.Helper()
	r.Wait(t, fmt.Sprintf("%d records of %v", len(want), p), func() bool { return len(r.Records(p)) >= len(want) })
	if got := r.Values(p); !slices.Equal(got, want) {
		t.Fatalf("%v: delivered %q, want %q", p, got, want)
	}
}

// Check fails the test for every breach of the contract seen so far.
func (r *Recorder) Check(t testing.TB) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.mu.breaches {
		t.Errorf("contract: %s", b)
	}
}

// forgive drops breaches that the test itself provoked.
func (r *Recorder) forgive() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.breaches = nil
}
