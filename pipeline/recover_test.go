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

func (r *rig) recover(offset int64) {
	r.t.Helper()
	if _, err := r.epochs.Recover(context.Background(), "trips", 0, sources.TopicID{1}, offset); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) failCommits(err error) {
	r.src.mu.Lock()
	defer r.src.mu.Unlock()
	r.src.fail = err
}

// The committer has read mark 1 and waits for Sync; the log loses records, a
// recovery moves the lane to 100 and commits that; Sync ends. Mark 1 must not
// be committed over it: it would carry the recovery's number, and the recovery
// would never be tried again.
func TestALateCommitDoesNotUndoARecovery(t *testing.T) {
	run(t, func(s *Settings) { s.CommitTimeout = time.Hour }, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		g := r.gate("Sync")
		r.src.h.Deliver(fetch(p0, record(0, 'a', 10)))
		<-g.seen
		r.recover(100)
		r.src.h.Deliver(sources.Fetch{Partition: p0, Err: errDown})
		time.Sleep(5 * time.Second)
		r.wantCommit(p0, 100)
		close(g.open)
		settle()
		r.src.mu.Lock()
		defer r.src.mu.Unlock()
		for _, m := range r.src.commits {
			if m.Offset == 1 {
				t.Errorf("committed %+v after the recovery", m)
			}
		}
	})
}

func TestAHealthyLaneTakesARecoveryAtItsNextAssignment(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.recover(20)
		if starts := r.assign(committed(50, ours(3))); starts[0].Offset != 20 {
			t.Errorf("start %+v", starts[0])
		}
		settle()
		r.wantCommit(p0, 20)
	})
}

func TestARecoveryIsForOneTopicAndOneLossOnly(t *testing.T) {
	taken := ours(3)
	taken.Recovery = 1
	foreign := committed(50, metadata{})
	foreign.Metadata = "set by a tool"
	other := committed(50, metadata{Catalog: 3, Topic: sources.TopicID{2}.Hex()})
	other.TopicID = sources.TopicID{2}
	for name, a := range map[string]sources.Assignment{
		"taken before":                  committed(50, taken),
		"an offset that somebody set":   foreign,
		"a recovery of another topic":   other,
		"a group that begins once more": {Partition: p0, TopicID: sources.TopicID{1}, Committed: -1, Begin: 50, LogEnd: 100},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(r *rig) {
				r.recover(20)
				if starts := r.assign(a); starts[0].Offset != 50 {
					t.Errorf("start %+v", starts[0])
				}
				settle()
				// What it commits then says that the recovery is behind it.
				got, _ := r.src.last(p0)
				r.src.revoke(p0)
				if a.TopicID == (sources.TopicID{1}) && got.Metadata != "" {
					next := committed(got.Offset, metadata{})
					next.Metadata = got.Metadata
					if starts := r.assign(next); starts[0].Offset != 50 {
						t.Errorf("later start %+v", starts[0])
					}
				}
			})
		})
	}
}

func TestARecoveryDropsWhatWasDelivered(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.assign(committed(150, ours(3))) // beyond the log's end: held
		settle()
		if s := r.p.Snapshot()[0]; s.State != "held" {
			t.Errorf("state %s", s.State)
		}
		r.recover(100)
		time.Sleep(3 * time.Second)
		r.src.h.Deliver(fetch(p0, record(100, 'a', 10)))
		synctest.Wait()
		if used := r.p.budget.used.Load(); used != 0 {
			t.Errorf("%d bytes are charged", used)
		}
	})
}

func TestAHeldLaneCanBeRevoked(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.assign(committed(150, ours(3)))
		settle()
		began := time.Now()
		r.src.revoke(p0)
		if took := time.Since(began); took > time.Millisecond {
			t.Errorf("revoke took %s", took)
		}
		if _, found := r.src.last(p0); found {
			t.Error("a held lane committed")
		}
	})
}

func TestAssignmentWaitsForTheStore(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.faults.set("Get", errDown)
		go func() { time.Sleep(time.Minute); r.faults.set("Get", nil) }()
		began := time.Now()
		r.assign(fresh(p0), fresh(p1))
		if took := time.Since(began); took < time.Minute || took > time.Minute+10*time.Second {
			t.Errorf("assigned after %s", took)
		}
		if !r.saw("failed epochs") || !r.saw("recovered epochs") {
			t.Errorf("events %v", r.events)
		}
	})
}

func TestAnAssignmentThatIsCutShortLeavesNothing(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.faults.set("Get", errDown)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := r.src.h.Assigned(ctx, []sources.Assignment{fresh(p0)}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("assigned: %v", err)
		}
		if all := r.p.Snapshot(); len(all) != 0 {
			t.Errorf("lanes %v", all)
		}
		r.faults.set("Get", nil)
		r.assign(fresh(p0))
	})
}

func TestAssignmentsOutOfOrderAreRefused(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.assign(fresh(p0))
		for want, a := range map[string]sources.Assignment{
			"topic trips, partition 0 was assigned twice":           fresh(p0),
			"topic other was assigned but no source reads it":       fresh(sources.Partition{Topic: "other"}),
			"topic trips, partition 0 was assigned twice (in part)": fresh(p0),
		} {
			as := []sources.Assignment{a}
			if strings.Contains(want, "in part") {
				as = append(as, fresh(p1))
			}
			_, err := r.src.h.Assigned(context.Background(), as)
			if err == nil || !strings.HasPrefix(want, err.Error()) {
				t.Errorf("%q, want %q", err, want)
			}
		}
		if all := r.p.Snapshot(); len(all) != 1 {
			t.Errorf("lanes %v", all)
		}
	})
}

func TestAdoptionWaitsForTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, new(memory.Store), nil)
		r.failCommits(errDown)
		r.assign(committed(50, ours(2)))
		r.src.h.Deliver(fetch(p0, record(50, 'a', 10)))
		time.Sleep(time.Minute)
		if len(r.store.Rows()) != 0 {
			t.Error("a batch was stored before the catalog version was committed")
		}
		r.failCommits(nil)
		time.Sleep(time.Minute)
		r.src.mu.Lock()
		first := r.src.commits[0]
		r.src.mu.Unlock()
		if m, _ := parseMetadata(first.Metadata); first.Offset != 50 || m.Catalog != 3 {
			t.Errorf("first commit %+v", first)
		}
		r.wantCommit(p0, 51)
		r.stop()
	})
}
