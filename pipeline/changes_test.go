package pipeline

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"

	"millrace/feature"
	"millrace/sinks"
)

// fakeChanges is a changelog that keeps what it is told.
type fakeChanges struct {
	faults *faults
	before func(sinks.Change) // an acknowledgement

	mu    sync.Mutex
	calls int
	told  []sinks.Change
}

// Publish implements sinks.Changes.
func (f *fakeChanges) Publish(_ context.Context, changes []sinks.Change) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if err := f.faults.check("changelog"); err != nil {
		return err
	}
	for _, c := range changes {
		if f.before != nil {
			f.before(c)
		}
		f.told = append(f.told, sinks.Change{Entity: c.Entity, Key: string([]byte(c.Key)), Views: slices.Clone(c.Views), More: c.More})
	}
	return nil
}

// called returns how often it was called.
func (f *fakeChanges) called() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// want compares what was told since it was asked last.
func (f *fakeChanges) want(t *testing.T, want ...sinks.Change) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	same := func(a, b sinks.Change) bool {
		return a.Entity == b.Entity && a.Key == b.Key && a.More == b.More && slices.Equal(a.Views, b.Views)
	}
	if !slices.EqualFunc(f.told, want, same) {
		t.Errorf("told %+v\nwant %+v", f.told, want)
	}
	f.told = nil
}

// changed is a change of one row of view v.
func changed(key string, millis int64) sinks.Change {
	return sinks.Change{Entity: "e", Key: key, Views: []sinks.ChangedView{rowChange("v@0", millis)}}
}

func rowChange(view string, millis int64) sinks.ChangedView {
	return sinks.ChangedView{View: view, EventMicros: millis * 1000, RecordMillis: millis, Row: true}
}

// telling has every view tell a changelog; both are returned.
func telling(also func(*Settings)) (*fakeChanges, func(*Settings)) {
	f := &fakeChanges{faults: new(faults)}
	return f, func(s *Settings) {
		if also != nil {
			also(s)
		}
		s.Changes = f
		for i := range s.Routes[0].Views {
			s.Routes[0].Views[i].Changes = true
		}
	}
}

func TestChangesAreToldBehindTheWriteAndBeforeTheCommit(t *testing.T) {
	f, change := telling(nil)
	run(t, change, func(r *rig) {
		f.before = func(c sinks.Change) {
			if !slices.ContainsFunc(r.store.Rows(), func(row sinks.Row) bool { return row.Key == c.Key }) {
				t.Errorf("a change of %s is told, and its row is not stored", c.Key)
			}
			if m, _ := r.src.last(p0); m.Offset > 0 {
				t.Errorf("%d is committed, and a change below it is not told", m.Offset)
			}
		}
		r.assign(fresh(p0))
		settle()
		r.faults.set("Write", errDown)
		f.faults.set("changelog", errDown)
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10), record(1, 'b', 20)))
		settle()
		if f.called() != 0 {
			t.Errorf("the changelog was called %d times before the write was acknowledged", f.called())
		}
		r.faults.set("Write", nil)
		settle()
		settle()
		if len(r.store.Rows()) != 2 || f.called() < 2 || !r.saw("failed changelog") || r.records != 0 {
			t.Errorf("%d rows, %d calls, events %v, %d records done", len(r.store.Rows()), f.called(), r.events, r.records)
		}
		r.wantCommit(p0, 0)
		f.faults.set("changelog", nil)
		for range 6 {
			settle()
		}
		f.want(t, changed("a", 10), changed("b", 20))
		r.wantCommit(p0, 2)
		if !r.saw("recovered changelog") {
			t.Errorf("events %v", r.events)
		}
	})
}

func TestABatchTellsEveryKeyOnce(t *testing.T) {
	var stats []int
	f, change := telling(func(s *Settings) {
		s.Routes[0].Views = append(s.Routes[0].Views, fakeView(&feature.View{Name: "w", Entity: "e", Revision: 2}))
		s.Events = Events{BatchDone: func(b *BatchStats) { stats = append(stats, b.Changes) }}
	})
	run(t, change, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		a := headed(4, 'a', 5, flag, "false", named, "v") // a finished row, of one view
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10), record(1, 'a', 30), record(2, '~', 40), record(3, 'b', 20), a, record(5, '?', 60), record(6, '!', 60)))
		settle()
		both := func(key string, millis int64) sinks.Change {
			return sinks.Change{Entity: "e", Key: key, Views: []sinks.ChangedView{rowChange("v@0", millis), rowChange("w@0", millis)}}
		}
		f.want(t, both("a", 30), both("b", 20))
		if !slices.Equal(stats, []int{2}) {
			t.Errorf("batches told %v keys", stats)
		}
		r.src.h.Deliver(fetch(p0, record(7, 'a', 10))) // older than what is stored
		settle()
		f.want(t, both("a", 10))
	})
}

func TestNothingIsToldOfViewsThatDoNotAsk(t *testing.T) {
	f := &fakeChanges{faults: new(faults)}
	change := func(s *Settings) {
		s.Changes = f
		asks := fakeView(&feature.View{Name: "w", Entity: "e", Revision: 2})
		asks.Changes = true
		s.Routes[0].Views = append(s.Routes[0].Views, asks)
	}
	run(t, change, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		rec := headed(0, 'a', 10, named, "v")
		r.src.h.Deliver(fetch(p0, rec))
		settle()
		if f.called() != 0 || len(r.store.Rows()) != 1 {
			t.Errorf("%d calls for a row of a view that does not ask, %d rows", f.called(), len(r.store.Rows()))
		}
		r.src.h.Deliver(fetch(p0, record(1, 'a', 20)))
		settle()
		f.want(t, sinks.Change{Entity: "e", Key: "a", Views: []sinks.ChangedView{rowChange("w@0", 20)}})
	})
}

// A view of windows alone stores no row, and nothing at all for records that its
// tiles have counted: whoever stored these may not have lived to tell.
func TestReplayedRowsOfWindowsTellAgain(t *testing.T) {
	only := *simWindows
	only.Only = true
	var tiles []int
	f, change := telling(func(s *Settings) {
		store := s.Sink.(interface {
			Tiles
			sinks.Meta
		})
		s.Tiles, s.Sinces = store, sinks.NewSinces(store)
		v := simView()
		v.Windows = &only
		s.Routes[0].Views = []RouteView{v}
		s.Events = Events{BatchDone: func(b *BatchStats) { tiles = append(tiles, b.Tiles) }}
	})
	run(t, change, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		f.faults.set("changelog", errDown)
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10), record(1, 'a', 5)))
		settle()
		r.src.revoke(p0)
		if len(tiles) != 0 || f.called() == 0 {
			t.Fatalf("batches of %v tiles are done, %d calls of a changelog that is down", tiles, f.called())
		}
		f.faults.set("changelog", nil)
		r.assign(fresh(p0))
		settle()
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10), record(1, 'a', 5)))
		settle()
		f.want(t, sinks.Change{Entity: "e", Key: "a", Views: []sinks.ChangedView{{View: "v@1", EventMicros: 10_000}}})
		if !slices.Equal(tiles, []int{0}) || len(r.store.Rows()) != 0 {
			t.Errorf("batches stored %v tiles, and %d rows: nothing was to be counted again", tiles, len(r.store.Rows()))
		}
	})
}

func TestAChangeNamesSoManyViewsAndNoMore(t *testing.T) {
	var c sinks.Change
	for i := range sinks.MaxChangedViews {
		changeView(&c, rowChange("v"+strconv.Itoa(i), 1))
	}
	if c.More || len(c.Views) != sinks.MaxChangedViews {
		t.Fatalf("more %v with %d views", c.More, len(c.Views))
	}
	changeView(&c, rowChange("w", 1))
	if !c.More || len(c.Views) != sinks.MaxChangedViews {
		t.Errorf("more %v with %d views", c.More, len(c.Views))
	}
}

// BenchmarkLaneWithChanges is BenchmarkLane of a view that tells a changelog.
func BenchmarkLaneWithChanges(b *testing.B) {
	benchLane(b, func(s *Settings) {
		s.MaxRows, s.InFlight, s.Sink, s.Changes = 2048, 3, dropSink{}, dropChanges{}
		s.Routes[0].Views[0].Changes = true
	})
}

type dropChanges struct{}

func (dropChanges) Publish(context.Context, []sinks.Change) error { return nil }
