package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace/feature"
	"millrace/internal/synctest"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sources"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	p0 = sources.Partition{Topic: "trips", Number: 0}
	p1 = sources.Partition{Topic: "trips", Number: 1}
)

// rig is a pipeline with everything around it faked, in virtual time.
type rig struct {
	t      *testing.T
	src    *fakeSource
	store  *memory.Store
	faults *faults
	p      *Pipeline
	epochs *sinks.Epochs

	mu      sync.Mutex
	ends    ViewEnds
	records int
	events  []string
	runErr  chan error
	cancel  context.CancelFunc
}

// run starts a pipeline inside a bubble, lets test drive it, and ends it.
func run(t *testing.T, change func(*Settings), test func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, new(memory.Store), change)
		test(r)
		r.stop()
		if len(r.src.faults) > 0 {
			t.Errorf("%v", r.src.faults)
		}
	})
}

func newRig(t *testing.T, store *memory.Store, change func(*Settings)) *rig {
	t.Helper()
	r := &rig{t: t, src: newFakeSource(), store: store, faults: new(faults), runErr: make(chan error, 1)}
	r.epochs = sinks.NewEpochs(store)
	store.Fail(r.faults.check)
	view := &feature.View{Name: "v", Entity: "e", Revision: 1}
	s := Settings{
		Source: r.src, NewEncoder: func() sinks.Encoder { return fakeEncoder{} }, Sink: store, DeadLetter: store, Refusals: store, Epochs: r.epochs,
		CatalogVersion: 3, LatestVersion: func(context.Context) (int64, error) { return 3, nil },
		Routes: []Route{{
			Source: "trips", Topic: "trips",
			Shapes: []Shape{{Fields: keyField, NewDecoder: func() sources.Decoder { return fakeDecoder{r.faults} }}},
			Views:  []RouteView{fakeView(view)},
		}},
		Events: r.listen(),
	}
	if change != nil {
		change(&s)
	}
	var err error
	if r.p, err = New(s); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.runErr <- r.p.Run(ctx) }()
	<-r.src.started
	return r
}

func (r *rig) stop() {
	r.cancel()
	if err := <-r.runErr; err != nil {
		r.t.Errorf("run ended with %v", err)
	}
}

func (r *rig) listen() Events {
	note := func(format string, args ...any) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, fmt.Sprintf(format, args...))
	}
	return Events{
		Full:           func(p sources.Partition) { note("full %d", p.Number) },
		Resumed:        func(p sources.Partition) { note("resumed %d", p.Number) },
		Failed:         func(_ sources.Partition, op string, _ error) { note("failed %s", op) },
		Recovered:      func(_ sources.Partition, op string, _ int) { note("recovered %s", op) },
		Stopped:        func(_ string, _ sources.Assignment, err error) { note("stopped: %v", err) },
		Expired:        func(p sources.Partition, n int64) { note("expired %d", n) },
		TopicRecreated: func(p sources.Partition) { note("recreated %d", p.Number) },
		BatchDone: func(b *BatchStats) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.records += b.Records
			r.ends.Received += b.Views[0].Received
			r.ends.Stored += b.Views[0].Stored
			r.ends.Superseded += b.Views[0].Superseded
			r.ends.Filtered += b.Views[0].Filtered
			r.ends.DeadLettered += b.Views[0].DeadLettered
		},
	}
}

func (r *rig) saw(what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if strings.HasPrefix(e, what) {
			return true
		}
	}
	return false
}

func fresh(p sources.Partition) sources.Assignment {
	return sources.Assignment{Partition: p, TopicID: sources.TopicID{1}, Committed: -1, LogEnd: 1 << 30}
}

func (r *rig) assign(as ...sources.Assignment) []sources.Start {
	r.t.Helper()
	starts, err := r.src.assign(as...)
	if err != nil {
		r.t.Fatal(err)
	}
	return starts
}

// settle lets virtual time pass until commits are made.
func settle() { time.Sleep(time.Second); synctest.Wait() }

func (r *rig) wantCommit(p sources.Partition, offset int64) {
	r.t.Helper()
	got, ok := r.src.last(p)
	if !ok || got.Offset != offset {
		r.t.Errorf("committed %v (%v), want offset %d", got, ok, offset)
	}
}

func TestRowsReachTheirEnds(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.assign(fresh(p0))
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10), record(1, '!', 20), record(2, '?', 30), record(5, '~', 40), record(6, 'a', 5)))
		settle()
		r.wantCommit(p0, 7)
		if r.records != 5 || r.ends.Stored != 2 || r.ends.Superseded != 1 || r.ends.Filtered != 1 || r.ends.DeadLettered != 2 {
			t.Errorf("%d records, ends %+v", r.records, r.ends)
		}
		rows := r.store.Rows()
		if len(rows) != 1 || rows[0].Stamp != 10_000 {
			t.Errorf("stored %v: the newest by event time must stay", rows)
		}
		letters := r.store.Letters()
		if len(letters) != 2 || letters[0].View != "" || letters[0].Offset != 1 || letters[1].View != "v" || letters[1].Offset != 5 {
			t.Errorf("letters %+v", letters)
		}
	})
}

func TestStoreDownBlocksWithoutLoss(t *testing.T) {
	limits := func(s *Settings) { s.LaneBytes, s.TotalBytes, s.MaxRows, s.InFlight = 1000, 10_000, 2, 2 }
	run(t, limits, func(r *rig) {
		r.assign(fresh(p0))
		settle() // adopted
		r.faults.set("Write", errDown)
		full, offset := false, int64(0)
		for !full {
			full = r.src.h.Deliver(fetch(p0, record(offset, byte('a'+offset), 10)))
			offset++
		}
		time.Sleep(time.Hour)
		if got, _ := r.src.last(p0); got.Offset != 0 {
			t.Errorf("committed %d with the store down", got.Offset)
		}
		if !r.saw("full") || !r.saw("failed write") || r.saw("resumed") {
			t.Errorf("events %v", r.events)
		}
		r.faults.set("Write", nil)
		time.Sleep(time.Minute)
		if !r.saw("recovered write") || !r.saw("resumed") {
			t.Errorf("events %v", r.events)
		}
		if rs := <-r.src.resumed; rs.p != p0 || rs.at != sources.KeepPosition {
			t.Errorf("resumed %v", rs)
		}
		r.wantCommit(p0, offset)
		if len(r.store.Rows()) != int(offset) {
			t.Errorf("%d rows of %d records", len(r.store.Rows()), offset)
		}
	})
}

func TestDeadLetterStoreDownBlocks(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.faults.set("Put", errDown)
		r.src.h.Deliver(fetch(p0, record(0, '!', 10), record(1, 'a', 10)))
		time.Sleep(time.Hour)
		r.wantCommit(p0, 0)
		if len(r.store.Rows()) != 0 {
			t.Errorf("rows were stored before their batch's letters")
		}
		r.faults.set("Put", nil)
		time.Sleep(time.Minute)
		r.wantCommit(p0, 2)
	})
}

func TestOtherLanesAreUndisturbed(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.assign(fresh(p0), fresh(p1))
		settle()
		r.faults.set("decode", errDown)
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10)))
		time.Sleep(time.Second)
		r.faults.set("decode", nil)
		r.src.h.Deliver(fetch(p1, record(0, 'b', 10)))
		time.Sleep(300 * time.Millisecond)
		r.wantCommit(p1, 1)
	})
}

func TestSyncComesBeforeCommit(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.faults.set("Sync", errDown)
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10)))
		time.Sleep(time.Minute)
		r.wantCommit(p0, 0)
		r.faults.set("Sync", nil)
		settle()
		r.wantCommit(p0, 1)
	})
}

func TestRevokeDrainsCommitsAndLetsGo(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.assign(fresh(p0))
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10)))
		synctest.Wait()
		r.src.revoke(p0)
		r.wantCommit(p0, 1)
		time.Sleep(time.Minute)
		if got := r.p.budget.used.Load(); got != 0 {
			t.Errorf("%d bytes are still charged", got)
		}
	})
}

func TestRevokeWithTheStoreDownMeetsItsDeadline(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.faults.set("Write", errDown)
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10)))
		synctest.Wait()
		began := time.Now()
		r.src.revoke(p0)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("revoke took %s", took)
		}
		r.faults.set("Write", nil)
		time.Sleep(time.Minute)
		r.wantCommit(p0, 0)
	})
}

func TestLostDoesNotCommit(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10)))
		r.src.mu.Lock()
		r.src.gone[p0] = true
		r.src.owned = nil
		r.src.mu.Unlock()
		r.src.h.Lost([]sources.Partition{p0})
		time.Sleep(time.Minute)
	})
}

func TestCommitFailureIsRetried(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.src.mu.Lock()
		r.src.fail = errDown
		r.src.mu.Unlock()
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10)))
		settle()
		r.src.mu.Lock()
		r.src.fail = nil
		r.src.mu.Unlock()
		settle()
		r.wantCommit(p0, 1)
	})
}

func TestShutdownTwiceAndBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, new(memory.Store), nil)
		r.assign(fresh(p0))
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10)))
		synctest.Wait()
		for range 2 {
			if err := r.p.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		}
		if err := <-r.runErr; err != nil {
			t.Errorf("run ended with %v", err)
		}
		r.wantCommit(p0, 1)
		r.cancel()
		unused, err := New(r.p.s)
		if err != nil {
			t.Fatal(err)
		}
		if err := unused.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := unused.Run(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("run after shutdown: %v", err)
		}
	})
}

func committed(offset int64, m metadata) sources.Assignment {
	a := fresh(p0)
	a.Committed, a.Metadata, a.LogEnd = offset, m.encode(), 100
	return a
}

func ours(catalog int64) metadata {
	return metadata{Catalog: catalog, Topic: sources.TopicID{1}.Hex()}
}

func TestWhereALaneBegins(t *testing.T) {
	for _, c := range []struct {
		name   string
		a      sources.Assignment
		offset int64
		hold   bool
		event  string
	}{
		{"no commit: where start says", sources.Assignment{Partition: p0, TopicID: sources.TopicID{1}, Committed: -1, Begin: 40, LogEnd: 100}, 40, false, ""},
		{"a commit", committed(50, ours(3)), 50, false, ""},
		{"another topic of that name", committed(50, metadata{Catalog: 3, Topic: "00"}), 0, false, "recreated"},
		{"beyond the log's end", committed(101, ours(3)), 101, true, "stopped"},
		{"below the log's start", func() sources.Assignment { a := committed(5, ours(3)); a.LogStart = 20; return a }(), 20, false, "expired 15"},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, nil, func(r *rig) {
				starts := r.assign(c.a)
				if starts[0].Offset != c.offset || starts[0].Hold != c.hold {
					t.Errorf("start %+v", starts[0])
				}
				if c.event != "" && !r.saw(c.event) {
					t.Errorf("events %v", r.events)
				}
				settle()
				got, ok := r.src.last(p0)
				if c.hold {
					if ok {
						t.Errorf("a held lane committed %v", got)
					}
				} else if m, _ := parseMetadata(got.Metadata); c.a.Committed != c.offset && m != ours(3) {
					t.Errorf("it adopted %+v", got)
				}
			})
		})
	}
}

func TestCatalogNeverGoesBack(t *testing.T) {
	for name, a := range map[string]sources.Assignment{
		"a commit under a newer version": committed(5, ours(4)),
		"no metadata, newer applied":     fresh(p0),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, new(memory.Store), func(s *Settings) { s.LatestVersion = func(context.Context) (int64, error) { return 4, nil } })
				_, err := r.src.assign(a)
				var refused *CatalogError
				if !errors.As(err, &refused) || refused.Needs != 4 || !strings.Contains(err.Error(), "restart") {
					t.Errorf("assigned: %v", err)
				}
				r.src.owned = nil
				r.stop()
			})
		})
	}
}

func TestRecoveryIsTakenOnce(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.assign(committed(150, ours(3)))
		settle()
		if _, err := r.epochs.Recover(context.Background(), "trips", 0, sources.TopicID{1}, 100); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		rs := <-r.src.resumed
		if rs.at != 100 {
			t.Errorf("resumed at %d", rs.at)
		}
		r.src.h.Deliver(fetch(p0, record(100, 'a', 10)))
		settle()
		r.wantCommit(p0, 101)
		got, _ := r.src.last(p0)
		r.src.revoke(p0)
		a := committed(got.Offset, metadata{})
		a.Metadata, a.LogEnd = got.Metadata, 200
		if starts := r.assign(a); starts[0].Offset != 101 {
			t.Errorf("the recovery was taken twice: %+v", starts[0])
		}
	})
}

func TestDataLossInMidRunStopsTheLane(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.assign(fresh(p0))
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10)))
		if !r.src.h.Deliver(sources.Fetch{Partition: p0, Err: errors.New("records 1 to 9 are gone")}) {
			t.Error("the source is not asked to pause")
		}
		settle()
		r.wantCommit(p0, 1)
		if !r.saw("stopped: source trips, partition 0: records 1 to 9 are gone; when") {
			t.Errorf("events %v", r.events)
		}
		if s := r.p.Snapshot(); s[0].State != "held" {
			t.Errorf("state %s", s[0].State)
		}
		if _, err := r.epochs.Recover(context.Background(), "trips", 0, sources.TopicID{1}, 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		r.src.h.Deliver(fetch(p0, record(1, 'b', 10)))
		settle()
		r.wantCommit(p0, 2)
	})
}

func TestAPanicEndsRunWithAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, new(memory.Store), nil)
		r.assign(fresh(p0))
		r.src.h.Deliver(fetch(p0, sources.Record{Value: nil})) // the fake decoder reads its first byte
		err := <-r.runErr
		if err == nil || !strings.Contains(err.Error(), "lane of source trips") {
			t.Errorf("run ended with %v", err)
		}
		r.cancel()
	})
}
