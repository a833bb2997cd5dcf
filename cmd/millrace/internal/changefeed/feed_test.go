package changefeed_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"millrace/cmd/millrace/internal/changefeed"
	"millrace/sinks/changelog"
)

func TestChangesOfTheModelsEntityAreRefreshed(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		p := w.start()
		w.wait("the group", func() bool { return p.Status().Partitions == 1 })
		w.change("driver", "a", "b")
		w.change("item", "a", "c")
		w.change("driver", "a")
		w.wait("predictions", func() bool { return len(w.behind()) == 0 })
		w.wait("the commit", func() bool { return w.committed(0) == 5 })
		if st := p.Status(); st.Lag != 0 || st.Pending != 0 || !st.Member || st.Err != nil {
			t.Errorf("%+v", st)
		}
	})
}

func TestNothingIsCommittedBeforeItsEnd(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		w.fails = true
		p := w.start()
		w.wait("the group", func() bool { return p.Status().Partitions == 1 })
		w.change("item", "x")
		w.change("driver", "a")
		w.change("item", "x")
		time.Sleep(time.Minute)
		if got := w.committed(0); got != 1 || p.Status().Lag != 2 || p.Status().Pending != 1 {
			t.Errorf("%d is committed, %+v", got, p.Status())
		}
		w.set(false)
		w.wait("the commit", func() bool { return w.committed(0) == 3 })
	})
}

func (w *world) set(fails bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fails = fails
}

// TestDeadModelHoldsItsChangesForTheNextProcess: what was not refreshed is read
// again, although nothing of it had been when the first process began.
func TestDeadModelHoldsItsChangesForTheNextProcess(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		w.fails = true
		p := w.start()
		w.wait("the group", func() bool { return p.Status().Partitions == 1 })
		w.change("driver", "a")
		w.wait("a call", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.calls > 0 })
		time.Sleep(time.Second)
		p.end()
		w.set(false)
		time.Sleep(time.Hour) // the next one would begin behind the change, had the first not committed
		w.start()
		w.wait("the prediction", func() bool { return len(w.behind()) == 0 })
	})
}

func TestDamagedRecordsAreRefreshedWhereTheirKeyCanBeRead(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		p := w.start()
		w.wait("the group", func() bool { return p.Status().Partitions == 1 })
		key := func(k string) []byte { b, _ := changelog.AppendKey(nil, "driver", k); return b }
		w.input["damaged"], w.input["newer"], w.input["gone"] = 1, 1, 1
		w.produce(key("damaged"), []byte{1, 9})
		w.produce([]byte("no entity"), []byte{1, 0, 0})
		w.produce(key("newer"), []byte{2, 0, 0})
		w.produce(key("gone"), nil)
		w.wait("predictions", func() bool { return len(w.behind()) == 0 })
		w.wait("the commit", func() bool { return w.committed(0) == 4 })
		for offset, want := range []int{1, 1, 0, 1} {
			if got := p.count("corrupt", 0, offset); got != want {
				t.Errorf("offset %d was told to be corrupt %d times, want %d", offset, got, want)
			}
		}
	})
}

func TestTopicThatIsMadeAgainIsReadFromItsStart(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		p := w.start()
		w.wait("the group", func() bool { return p.Status().Partitions == 1 })
		w.change("driver", "a", "b", "c")
		w.wait("the commit", func() bool { return w.committed(0) == 3 })
		p.end()
		committed, err := w.admin.FetchOffsets(t.Context(), group)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.admin.DeleteTopics(t.Context(), topic); err != nil {
			t.Fatal(err)
		}
		w.create(1)
		w.changes = changelog.New(w.connect(changelog.Opts()...), topic) // the other knows the topic before
		// A broker may keep the group's offsets longer than the topic.
		stale := make(kadm.Offsets)
		committed.Offsets().Each(func(o kadm.Offset) {
			stale.Add(kadm.Offset{Topic: o.Topic, Partition: o.Partition, At: o.At, Metadata: o.Metadata})
		})
		if err := kadm.NewClient(w.connect()).CommitAllOffsets(t.Context(), group, stale); err != nil {
			t.Fatal(err)
		}
		w.change("driver", "d", "e", "f", "g") // more than were committed of the one before
		w.start()
		w.wait("predictions", func() bool { return len(w.behind()) == 0 })
		w.wait("the commit", func() bool { return w.committed(0) == 4 })
	})
}

// TestProcessesOfAGroup: while keys change, processes come, leave in good order
// and die. A key is in one refresh at a time over all of them, and when all is
// quiet every prediction is of its inputs. It runs in true time: a commit that
// waits for a rebalance holds a mutex of the client, which stops a bubble's clock.
func TestProcessesOfAGroup(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 4, nil)
			comeAndGo(t, w, rand.New(rand.NewPCG(seed, 1)))
			w.check()
		})
	}
}

func comeAndGo(t *testing.T, w *world, random *rand.Rand) {
	t.Helper()
	w.takes = time.Duration(1+random.IntN(300)) * time.Millisecond
	slow := func(s *changefeed.Settings) { s.Refresh.MaxBatch, s.Refresh.MaxKeys = 1+random.IntN(20), 50 }
	ps := []*process{w.start(slow)}
	for round := range 300 {
		keys := make([]string, 1+random.IntN(5))
		for i := range keys {
			keys[i] = fmt.Sprint("k", random.IntN(100))
		}
		w.change("driver", keys...)
		time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond)
		if round%30 != 29 {
			continue
		}
		switch i := random.IntN(len(ps)); {
		case len(ps) < 2:
			ps = append(ps, w.start(slow))
		case random.IntN(2) == 0:
			// One that dies while the group gathers was seen to stay a member for long.
			w.wait("a stable group", func() bool { return w.stable(len(ps)) })
			ps[i].kill()
			ps = append(ps[:i], ps[i+1:]...)
		default:
			ps[i].end()
			ps = append(ps[:i], ps[i+1:]...)
		}
	}
	defer func() {
		for i, p := range ps {
			p.mu.Lock()
			t.Logf("process %d: %+v, told %q", i, p.Status(), p.told)
			p.mu.Unlock()
		}
		if gs, err := w.admin.DescribeGroups(context.Background(), group); err == nil {
			t.Logf("the group is %s with %d members", gs[group].State, len(gs[group].Members))
		}
	}()
	w.wait("predictions to be of their inputs", func() bool { return len(w.behind()) == 0 })
	w.wait("commits up to the log's end", func() bool { return w.atEnd() })
}

// stable reports whether the group has so many members, and gathers none.
func (w *world) stable(members int) bool {
	w.t.Helper()
	gs, err := w.admin.DescribeGroups(w.t.Context(), group)
	return err == nil && gs[group].State == "Stable" && len(gs[group].Members) == members
}

// atEnd reports whether the group has committed everything.
func (w *world) atEnd() bool {
	w.t.Helper()
	ends, err := w.admin.ListEndOffsets(w.t.Context(), topic)
	if err != nil {
		w.t.Fatal(err)
	}
	for n := range int32(4) {
		end, _ := ends.Lookup(topic, n)
		if got := w.committed(n); got != end.Offset && (got >= 0 || end.Offset > 0) {
			return false
		}
	}
	return true
}

// TestPartitionsMoveWithTheirKeys to a process that comes, before either has
// ended.
func TestPartitionsMoveWithTheirKeys(t *testing.T) {
	w := newWorld(t, 4, nil)
	one := w.start()
	w.wait("one", func() bool { return one.Status().Partitions == 4 })
	two := w.start()
	w.wait("both", func() bool { return one.Status().Partitions == 2 && two.Status().Partitions == 2 })
	keys := make([]string, 50)
	for i := range keys {
		keys[i] = hex.EncodeToString([]byte{byte(i)})
	}
	w.change("driver", keys...)
	w.wait("predictions", func() bool { return len(w.behind()) == 0 })
	w.wait("commits", func() bool { return w.atEnd() })
	w.check()
}
