package pipeline

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"millrace/internal/synctest"
	"millrace/sinks/memory"
	"millrace/sources"
)

// gate lets a test hold an operation of the store.
type gate struct {
	op   string
	open chan struct{}
	seen chan struct{}
}

func (r *rig) gate(op string) *gate {
	g := &gate{op: op, open: make(chan struct{}), seen: make(chan struct{}, 100)}
	r.store.Fail(func(op string) error {
		if op == g.op {
			g.seen <- struct{}{}
			<-g.open
		}
		return nil
	})
	return g
}

// The committer has read a mark and waits for Sync; the partition goes; Sync
// ends. The mark must not be committed any more.
func TestACommitUnderWayDoesNotFollowItsPartition(t *testing.T) {
	for name, away := range map[string]func(*rig){
		"lost": func(r *rig) {
			r.src.h.Lost([]sources.Partition{p0})
			r.src.mu.Lock()
			defer r.src.mu.Unlock()
			r.src.gone[p0], r.src.owned = true, nil
		},
		"revoked": func(r *rig) { r.src.revoke(p0) },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(r *rig) {
				r.assign(fresh(p0))
				settle()
				g := r.gate("Sync")
				r.src.h.Deliver(fetch(p0, record(0, 'a', 10)))
				<-g.seen // the committer holds mark 1
				if name == "revoked" {
					r.src.drain = 0 // its own commit is to have no time
				}
				go func() { time.Sleep(time.Second); close(g.open) }()
				away(r)
				settle()
				settle()
			})
		})
	}
}

func TestARevokeKeepsTimeToCommitWhatIsFinished(t *testing.T) {
	run(t, func(s *Settings) { s.CommitInterval = time.Hour }, func(r *rig) {
		r.assign(fresh(p0), fresh(p1))
		synctest.Wait()
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10)))
		synctest.Wait()
		r.faults.set("Write", errDown)
		r.src.h.Deliver(fetch(p1, record(0, 'b', 10)))
		synctest.Wait()
		began := time.Now()
		r.src.revoke(p0, p1)
		if took := time.Since(began); took > r.src.drain {
			t.Errorf("revoke took %s of %s", took, r.src.drain)
		}
		r.wantCommit(p0, 1)
		r.wantCommit(p1, 0)
	})
}

func TestARevokeWithoutADeadlineTakesTheDrainTimeout(t *testing.T) {
	run(t, func(s *Settings) { s.DrainTimeout = 3 * time.Second }, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.faults.set("Write", errDown)
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10)))
		synctest.Wait()
		began := time.Now()
		r.src.h.Revoked(context.Background(), []sources.Partition{p0})
		if took := time.Since(began); took > 3*time.Second || took < 2*time.Second {
			t.Errorf("revoke took %s", took)
		}
		r.src.owned = nil
		r.faults.set("Write", nil)
	})
}

func TestARevokedLaneIsSeenDraining(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.faults.set("Write", errDown)
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10)))
		synctest.Wait()
		go r.src.revoke(p0)
		synctest.Wait()
		if all := r.p.Snapshot(); len(all) != 1 || all[0].State != "draining" {
			t.Errorf("snapshot %+v", all)
		}
		if !r.src.h.Deliver(fetch(p0, record(1, 'a', 10))) {
			t.Error("a partition on its way out takes records")
		}
		time.Sleep(time.Minute)
		if all := r.p.Snapshot(); len(all) != 0 {
			t.Errorf("snapshot %+v", all)
		}
	})
}

func TestAnUnfinishedBatchIsReadAgainByTheNextOwner(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.faults.set("Write", errDown)
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10)))
		synctest.Wait()
		r.src.revoke(p0)
		r.faults.set("Write", nil)
		last, _ := r.src.last(p0)
		a := fresh(p0)
		a.Committed, a.Metadata = last.Offset, last.Metadata
		if starts := r.assign(a); starts[0].Offset != 0 {
			t.Errorf("start %+v", starts)
		}
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10)))
		settle()
		r.wantCommit(p0, 1)
	})
}

func TestShutdownGivesUpAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, new(memory.Store), func(s *Settings) { s.DrainTimeout = time.Hour })
		r.src.drain = time.Hour // the source would wait
		r.assign(fresh(p0))
		settle()
		r.faults.set("Write", errDown)
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10)))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		began := time.Now()
		if err := r.p.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-r.runErr; err != nil {
			t.Errorf("run ended with %v", err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the end took %s", took)
		}
		r.wantCommit(p0, 0)
		r.cancel()
	})
}

func TestRunWorksOnce(t *testing.T) {
	run(t, nil, func(r *rig) {
		if err := r.p.Run(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("second run: %v", err)
		}
	})
}

func TestAPanicOfTheStoreEndsRunWithAnErrorAndCommitsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, new(memory.Store), nil)
		r.assign(fresh(p0), fresh(p1))
		settle()
		r.store.Fail(func(op string) error {
			if op == "Write" {
				panic("a bug")
			}
			return nil
		})
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10)))
		err := <-r.runErr
		if err == nil || !strings.Contains(err.Error(), "partition 0: panic: a bug") {
			t.Errorf("run ended with %v", err)
		}
		r.wantCommit(p0, 0)
		r.cancel()
	})
}

func TestAPanicOfTheCommitterEndsRunWithAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, new(memory.Store), nil)
		r.assign(fresh(p0))
		settle()
		r.store.Fail(func(op string) error {
			if op == "Sync" {
				r.store.Fail(nil)
				panic("a bug")
			}
			return nil
		})
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10)))
		if err := <-r.runErr; err == nil || !strings.Contains(err.Error(), "commit offsets: panic: a bug") {
			t.Errorf("run ended with %v", err)
		}
		r.cancel()
	})
}
