package kafka_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/synctest"
	"millrace/sources"
	"millrace/sources/kafka"
	"millrace/sources/sourcetest"
)

func textLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func TestSessionThatExpiresLosesPartitions(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.produce(t, topic, 0, "a")
		m := sourcetest.Start(t, w.open(t, nil), sourcetest.NewRecorder())
		m.WaitValues(t, rides(0), "a")
		w.cluster.ControlKey(int16(kmsg.Heartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
			resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
			resp.ErrorCode = kerr.UnknownMemberID.Code
			return resp, nil, true
		})
		m.Wait(t, "the loss", func() bool { _, lost := m.TakenAway(); return len(lost) == 2 })
		m.Wait(t, "the return", func() bool { return len(m.Owned()) == 2 })
		if revoked, _ := m.TakenAway(); len(revoked) > 0 {
			t.Errorf("%v were revoked as well", revoked)
		}
		m.WaitValues(t, rides(0), "a", "a")
	})
}

func TestBlockedAssignmentHoldsNoRebalanceUp(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.produce(t, topic, 0, "a")
		w.produce(t, topic, 1, "a")
		r := sourcetest.NewRecorder()
		calls, ended := 0, 0
		r.Begin = func(ctx context.Context, a sources.Assignment) (sources.Start, error) {
			if calls++; calls == 1 {
				<-ctx.Done()
				ended++
				return sources.Start{}, ctx.Err()
			}
			return sources.Start{Partition: a.Partition}, nil
		}
		one := sourcetest.Start(t, w.open(t, nil), r)
		synctest.Wait()
		time.Sleep(time.Second)
		begun := time.Now()
		two := sourcetest.Start(t, w.open(t, nil), sourcetest.NewRecorder())
		two.Wait(t, "its share", func() bool { return len(two.Owned()) == 1 })
		one.Wait(t, "its share", func() bool { return len(one.Owned()) == 1 })
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("the rebalance took %v", took)
		}
		if ended != 1 {
			t.Error("the blocked call was not ended")
		}
		one.WaitValues(t, rides(one.Owned()[0]), "a")
		two.WaitValues(t, rides(two.Owned()[0]), "a")
	})
}

func TestBlockedAssignmentDoesNotEndTheMembership(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.produce(t, topic, 0, "a")
		r := sourcetest.NewRecorder()
		r.Begin = func(ctx context.Context, a sources.Assignment) (sources.Start, error) {
			select {
			case <-time.After(10 * time.Minute): // a store that is away for long
			case <-ctx.Done():
			}
			return sources.Start{Partition: a.Partition}, ctx.Err()
		}
		m := sourcetest.Start(t, w.open(t, nil), r)
		time.Sleep(25 * time.Minute)
		m.WaitValues(t, rides(0), "a")
		if n := len(m.Assignments(rides(0))); n != 1 {
			t.Errorf("assigned %d times", n)
		}
	})
}

func TestCommitNamesWhatTheBrokerRefused(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.produce(t, topic, 0, "a")
		m := sourcetest.Start(t, w.open(t, nil), sourcetest.NewRecorder())
		m.Wait(t, "both partitions", func() bool { return len(m.Owned()) == 2 })
		w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
			ask := req.(*kmsg.OffsetCommitRequest)
			resp := ask.ResponseKind().(*kmsg.OffsetCommitResponse)
			for _, t := range ask.Topics {
				rt := kmsg.NewOffsetCommitResponseTopic()
				rt.Topic, rt.TopicID = t.Topic, t.TopicID
				for _, p := range t.Partitions {
					rp := kmsg.NewOffsetCommitResponseTopicPartition()
					if rp.Partition = p.Partition; p.Partition == 1 {
						rp.ErrorCode = kerr.OffsetMetadataTooLarge.Code
					}
					rt.Partitions = append(rt.Partitions, rp)
				}
				resp.Topics = append(resp.Topics, rt)
			}
			return resp, nil, true
		})
		marks := []sources.Mark{{Partition: rides(0), Offset: 1}, {Partition: rides(1)}}
		err := m.Source.Commit(t.Context(), marks)
		if !errors.Is(err, kerr.OffsetMetadataTooLarge) || !strings.Contains(err.Error(), "rides/1") ||
			strings.Contains(err.Error(), "rides/0") {
			t.Errorf("commit returned %v", err)
		}
		if err := m.Source.Commit(t.Context(), marks); err != nil {
			t.Errorf("the next commit returned %v", err)
		}
	})
}

func TestCommitBeforeRunAndOfOthersIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		src := w.open(t, nil)
		if err := src.Commit(t.Context(), []sources.Mark{{Partition: rides(0)}}); !errors.Is(err, kafka.ErrNotOwned) {
			t.Errorf("commit returned %v", err)
		}
		if err := src.Commit(t.Context(), nil); err != nil {
			t.Errorf("an empty commit returned %v", err)
		}
		src.Resume(rides(0), 3)
	})
}

func TestCommitInARebalanceIsAnErrorAndNotTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.produce(t, topic, 0, "a")
		m := sourcetest.Start(t, w.open(t, nil), sourcetest.NewRecorder())
		m.WaitValues(t, rides(0), "a")
		w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.IllegalGeneration, Count: 1})
		err := m.Source.Commit(t.Context(), []sources.Mark{{Partition: rides(0), Offset: 1}})
		if !errors.Is(err, kerr.IllegalGeneration) {
			t.Errorf("commit returned %v", err)
		}
		w.produce(t, topic, 0, "b")
		m.WaitValues(t, rides(0), "a", "b")
	})
}

func TestUnreachableBrokerIsSaidOnceAndAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newWorld(t)
		var logged strings.Builder
		src := first.open(t, func(s *kafka.Settings) {
			s.Brokers = []string{"localhost:9999"}
			s.Logger = textLog(&logged)
		})
		m := sourcetest.Start(t, src, sourcetest.NewRecorder())
		time.Sleep(5 * time.Minute)
		if src.Health() == nil {
			t.Error("a broker that is away is called healthy")
		}
		late := &world{net: first.net}
		late.start(t, kfake.NumBrokers(1), kfake.Ports(9999), kfake.ListenFn(first.net.Listen))
		late.createTopic(t, topic, 1)
		late.produce(t, topic, 0, "a")
		m.WaitValues(t, rides(0), "a")
		if err := src.Health(); err != nil {
			t.Error(err)
		}
		m.Stop(t)
		if n := strings.Count(logged.String(), "cannot be reached"); n != 1 {
			t.Errorf("said %d times that the broker is away:\n%s", n, logged.String())
		}
	})
}

func TestStopWithoutABrokerIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := sourcetest.Start(t, w.open(t, nil), sourcetest.NewRecorder())
		m.Wait(t, "both partitions", func() bool { return len(m.Owned()) == 2 })
		w.cluster.Close()
		if took := m.Stop(t); took > revokeTimeout+6*time.Second {
			t.Errorf("stopping took %v", took)
		}
		if len(m.Owned()) > 0 {
			t.Error("partitions were kept")
		}
	})
}

func TestStopWhileNobodyAnswersIsQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := sourcetest.Start(t, w.open(t, func(s *kafka.Settings) { s.Brokers = []string{"localhost:9999"} }),
			sourcetest.NewRecorder())
		time.Sleep(time.Minute)
		if took := m.Stop(t); took > 6*time.Second {
			t.Errorf("stopping took %v", took)
		}
	})
}

// Whatever happens to a group, each partition's records come in order and
// none is left out between one owner's commit and the next owner's start.
func TestNothingIsLeftOutWhateverHappens(t *testing.T) {
	for seed := range uint64(25) {
		synctest.Test(t, func(t *testing.T) { turmoil(t, seed) })
	}
}

// turmoil runs members that commit what they saw, fill up at random and come
// and go, while records arrive, leaders move and sessions break.
func turmoil(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t, kfake.NumBrokers(2), kfake.Ports(9092, 9093))
	w.createTopic(t, topic, 3)
	var members []*sourcetest.Member
	var all []*sourcetest.Recorder
	join := func() {
		src := w.open(t, func(s *kafka.Settings) { s.Logger = nil })
		r := sourcetest.NewRecorder()
		r.Full = func(f sources.Fetch) bool {
			// A leader that moved before anything was written to the new one
			// looks like loss to the fake broker; it is resumed as well.
			full := len(f.Records)%3 == 0 || f.Err != nil
			if full {
				time.AfterFunc(20*time.Millisecond, func() { r.Resume(src, f.Partition, sources.KeepPosition) })
			}
			return full
		}
		commit := func(ctx context.Context) {
			for n := range int32(3) {
				if recs := r.Records(rides(n)); len(recs) > 0 {
					_ = src.Commit(ctx, []sources.Mark{{Partition: rides(n), Offset: recs[len(recs)-1].Offset + 1}})
				}
			}
		}
		r.OnRevoked = func(ctx context.Context, _ []sources.Partition) { commit(ctx) }
		members, all = append(members, sourcetest.Start(t, src, r)), append(all, r)
	}
	join()
	total := make([]int, 3)
	for range 40 {
		switch rnd.IntN(8) {
		case 0:
			if len(members) < 3 {
				join()
			}
		case 1:
			if len(members) > 1 {
				i := rnd.IntN(len(members))
				members[i].Stop(t)
				members = slices.Delete(members, i, i+1)
			}
		case 2:
			n := int32(rnd.IntN(3))
			if err := w.cluster.MoveTopicPartition(topic, n, 1-w.cluster.LeaderFor(topic, n)); err != nil {
				t.Fatal(err)
			}
		case 3:
			w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID, Count: 1})
		default:
			n := rnd.IntN(3)
			vs := many("", 1+rnd.IntN(7))
			w.produce(t, topic, int32(n), vs...)
			total[n] += len(vs)
		}
		time.Sleep(time.Duration(rnd.IntN(1500)) * time.Millisecond)
	}
	for n := range int32(3) {
		members[0].Wait(t, "everything", func() bool { return seen(all, n) == total[n] })
	}
}

// seen counts the distinct offsets of a partition over all recorders.
func seen(all []*sourcetest.Recorder, n int32) int {
	offsets := make(map[int64]bool)
	for _, r := range all {
		for _, rec := range r.Records(rides(n)) {
			offsets[rec.Offset] = true
		}
	}
	return len(offsets)
}

// TestGroupBeginsAtAMoment that does not move while brokers are waited for.
func TestGroupBeginsAtAMoment(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.produce(t, topic, 0, "before")
		time.Sleep(time.Minute)
		since := time.Now()
		src := w.open(t, func(s *kafka.Settings) { s.Topics[0].Since, s.Topics[0].Start.Latest = since, true })
		w.produce(t, topic, 0, "then")
		time.Sleep(time.Hour)
		w.produce(t, topic, 0, "later")
		m := sourcetest.Start(t, src, sourcetest.NewRecorder())
		m.WaitValues(t, rides(0), "then", "later")
	})
}
