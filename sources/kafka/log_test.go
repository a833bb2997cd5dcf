package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/feature"
	"millrace/internal/synctest"
	"millrace/sources"
	"millrace/sources/kafka"
	"millrace/sources/sourcetest"
)

// fullOn makes a recorder that is full after every delivery of partition n.
func fullOn(n int32) *sourcetest.Recorder {
	r := sourcetest.NewRecorder()
	r.Full = func(f sources.Fetch) bool { return f.Number == n }
	return r
}

func TestAbortedTransactionsAreNotDelivered(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		tx := w.connect(t, kgo.TransactionalID("tx"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		for i, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
			if err := tx.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			produce(t, tx, topic, 0, fmt.Sprint(i, end == kgo.TryCommit))
			if err := tx.EndTransaction(t.Context(), end); err != nil {
				t.Fatal(err)
			}
		}
		w.produce(t, topic, 0, "plain")
		m := sourcetest.Start(t, w.open(t, nil), sourcetest.NewRecorder())
		m.WaitValues(t, rides(0), "1 true", "plain")
	})
}

func TestOpenTransactionsHoldNothingBackButTheirOwn(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		tx := w.connect(t, kgo.TransactionalID("tx"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		w.produce(t, topic, 0, "before")
		produce(t, tx, topic, 0, "inside")
		m := sourcetest.Start(t, w.open(t, nil), sourcetest.NewRecorder())
		m.WaitValues(t, rides(0), "before")
		if err := tx.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		m.WaitValues(t, rides(0), "before", "inside")
	})
}

// TestResumedPartitionDoesNotWaitForAnIdleFetch: the broker holds a fetch of the
// other partitions, which have nothing, and the resumed one is in none before.
func TestResumedPartitionDoesNotWaitForAnIdleFetch(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.produce(t, topic, 0, "v0")
		m := sourcetest.Start(t, w.open(t, nil), fullOn(0))
		m.WaitValues(t, rides(0), "v0")
		for n := 2; n < 8; n++ {
			time.Sleep(1100 * time.Millisecond) // some of the time into a fetch
			w.produce(t, topic, 0, fmt.Sprint("v", n-1))
			resumed := time.Now()
			m.Resume(m.Source, rides(0), sources.KeepPosition)
			m.WaitValues(t, rides(0), many("v", n)...)
			if took := time.Since(resumed); took > 400*time.Millisecond {
				t.Errorf("record %d came %v after its partition was resumed", n-1, took)
			}
		}
	})
}

func TestRecordsThatExpireAreLeftOut(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.produce(t, topic, 0, "a")
		rec, expired := fullOn(0), []int64(nil)
		full := rec.Full
		rec.Full = func(f sources.Fetch) bool {
			expired = append(expired, f.Expired)
			return full(f)
		}
		m := sourcetest.Start(t, w.open(t, nil), rec)
		m.WaitValues(t, rides(0), "a")
		w.produce(t, topic, 0, "b", "c", "d")
		w.expire(t, 0, 3)
		m.Resume(m.Source, rides(0), sources.KeepPosition)
		m.WaitValues(t, rides(0), "a", "d")
		if got := m.Records(rides(0))[1].Offset; got != 3 {
			t.Errorf("went on at offset %d", got)
		}
		if !slices.Equal(expired, []int64{0, 2}) {
			t.Errorf("%d records expired before each fetch, want 0 and 2", expired)
		}
		if err := m.Loss(rides(0)); err != nil {
			t.Errorf("expiry was taken for loss: %v", err)
		}
	})
}

func TestOffsetsBelowTheLogAreReportedAsTheyAre(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.produce(t, topic, 0, many("v", 10)...)
		w.commit(t, 0, 2, "meta")
		w.expire(t, 0, 6)
		m := sourcetest.Start(t, w.open(t, nil), sourcetest.NewRecorder())
		m.WaitValues(t, rides(0), "v6", "v7", "v8", "v9")
		a := m.Assignments(rides(0))[0]
		if a.Committed != 2 || a.Metadata != "meta" || a.LogStart != 6 || a.LogEnd != 10 || a.Begin != 6 || a.Partitions < 1 {
			t.Errorf("assigned as %+v", a)
		}
	})
}

// expire deletes the records of a partition below offset.
func (w *world) expire(t *testing.T, partition int32, offset int64) {
	t.Helper()
	var os kadm.Offsets
	os.Add(kadm.Offset{Topic: topic, Partition: partition, At: offset})
	if _, err := w.admin.DeleteRecords(t.Context(), os); err != nil {
		t.Fatal(err)
	}
}

// commit stores an offset for the test's group, which must have no members.
func (w *world) commit(t *testing.T, partition int32, offset int64, metadata string) {
	t.Helper()
	var os kadm.Offsets
	os.Add(kadm.Offset{Topic: topic, Partition: partition, At: offset, LeaderEpoch: -1, Metadata: metadata})
	if err := w.admin.CommitAllOffsets(t.Context(), group, os); err != nil {
		t.Fatal(err)
	}
}

func TestOffsetsBeyondTheLogAreReportedAsTheyAre(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.produce(t, topic, 0, "a", "b")
		w.commit(t, 0, 9, "meta")
		r := sourcetest.NewRecorder()
		r.Begin = func(_ context.Context, a sources.Assignment) (sources.Start, error) {
			return sources.Start{Partition: a.Partition, Offset: max(a.Committed, 0), Hold: a.Committed > a.LogEnd}, nil
		}
		m := sourcetest.Start(t, w.open(t, nil), r)
		m.Wait(t, "both partitions", func() bool { return len(m.Owned()) == 2 })
		if a := m.Assignments(rides(0))[0]; a.Committed != 9 || a.LogEnd != 2 {
			t.Errorf("assigned as %+v", a)
		}
		w.produce(t, topic, 0, "c")
		time.Sleep(time.Second)
		if got := m.Values(rides(0)); len(got) > 0 {
			t.Fatalf("a held partition gave %q", got)
		}
		m.Resume(m.Source, rides(0), 2)
		m.WaitValues(t, rides(0), "c")
	})
}

func TestBeginningBeyondTheLogIsLoss(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.produce(t, topic, 0, "a", "b")
		r := sourcetest.NewRecorder()
		r.Begin = func(_ context.Context, a sources.Assignment) (sources.Start, error) {
			return sources.Start{Partition: a.Partition, Offset: 50}, nil
		}
		m := sourcetest.Start(t, w.open(t, nil), r)
		m.Wait(t, "the loss", func() bool { return m.Loss(rides(0)) != nil })
		w.produce(t, topic, 0, many("v", 100)...)
		time.Sleep(5 * time.Second)
		if got := m.Values(rides(0)); len(got) > 0 {
			t.Fatalf("delivered %q after the loss", got)
		}
		m.Resume(m.Source, rides(0), 100)
		m.WaitValues(t, rides(0), "v98", "v99")
	})
}

// cutLog makes brokers answer that the log of partition 0 ends at offset in
// whatever epoch they are asked for, as after an unclean election.
func (w *world) cutLog(offset int64) {
	w.cluster.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		ask := req.(*kmsg.OffsetForLeaderEpochRequest)
		resp := ask.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		for _, t := range ask.Topics {
			rt := kmsg.NewOffsetForLeaderEpochResponseTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				rp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
				rp.Partition, rp.LeaderEpoch, rp.EndOffset = p.Partition, p.LeaderEpoch, offset
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
}

func TestLogThatWasCutIsToldOnceAndNothingFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.NumBrokers(2), kfake.Ports(9092, 9093))
		w.createTopic(t, topic, 1)
		w.produce(t, topic, 0, "a", "b", "c", "d")
		var told int
		r := sourcetest.NewRecorder()
		r.Full = func(f sources.Fetch) bool {
			if f.Err != nil {
				told++
			}
			return false
		}
		m := sourcetest.Start(t, w.open(t, nil), r)
		m.WaitValues(t, rides(0), "a", "b", "c", "d")
		w.cutLog(2)
		w.moveLeader(t)
		m.Wait(t, "the loss", func() bool { return m.Loss(rides(0)) != nil })
		w.produce(t, topic, 0, "e")
		time.Sleep(10 * time.Second)
		m.WaitValues(t, rides(0), "a", "b", "c", "d")
		if told != 1 {
			t.Errorf("the loss was told %d times", told)
		}
		var loss *kgo.ErrDataLoss
		if err := m.Loss(rides(0)); !errors.As(err, &loss) || loss.ResetTo != 2 || loss.ConsumedTo != 4 {
			t.Errorf("told as %v", err)
		}
		m.Resume(m.Source, rides(0), 2)
		m.WaitValues(t, rides(0), "a", "b", "c", "d", "c", "d", "e")
	})
}

func TestPositionSurvivesALossWhenKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.NumBrokers(2), kfake.Ports(9092, 9093))
		w.createTopic(t, topic, 1)
		w.produce(t, topic, 0, "a", "b", "c", "d")
		m := sourcetest.Start(t, w.open(t, nil), sourcetest.NewRecorder())
		m.WaitValues(t, rides(0), "a", "b", "c", "d")
		w.cutLog(1)
		w.moveLeader(t)
		m.Wait(t, "the loss", func() bool { return m.Loss(rides(0)) != nil })
		w.produce(t, topic, 0, "e")
		m.Resume(m.Source, rides(0), sources.KeepPosition)
		m.WaitValues(t, rides(0), "a", "b", "c", "d", "e")
	})
}

// moveLeader gives partition 0 another leader, and with it another epoch.
func (w *world) moveLeader(t *testing.T) {
	t.Helper()
	leader := w.cluster.LeaderFor(topic, 0)
	if err := w.cluster.MoveTopicPartition(topic, 0, 1-leader); err != nil {
		t.Fatal(err)
	}
}

func TestCommitsCarryTheLeaderEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.NumBrokers(2), kfake.Ports(9092, 9093))
		w.createTopic(t, topic, 1)
		w.produce(t, topic, 0, "a", "b")
		m := sourcetest.Start(t, w.open(t, nil), fullOn(0))
		m.WaitValues(t, rides(0), "a", "b")
		// The fake broker knows an epoch from its first record on; asked
		// before, it answers as after an unclean election.
		written := make(chan struct{})
		w.cluster.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.SleepControl(func() {
				select {
				case <-written:
				case <-t.Context().Done():
				}
			})
			return nil, nil, false //nolint:nilnil // kfake's way to say: go on
		})
		w.moveLeader(t)
		w.produce(t, topic, 0, "c")
		close(written)
		m.Resume(m.Source, rides(0), sources.KeepPosition)
		m.WaitValues(t, rides(0), "a", "b", "c")
		epochs := make(map[int64]int32)
		for _, at := range []int64{1, 2, 3} {
			if err := m.Source.Commit(t.Context(), []sources.Mark{{Partition: rides(0), Offset: at}}); err != nil {
				t.Fatal(err)
			}
			os, err := w.admin.FetchOffsets(t.Context(), group)
			if err != nil {
				t.Fatal(err)
			}
			o, _ := os.Lookup(topic, 0)
			epochs[at] = o.LeaderEpoch
		}
		if epochs[1] != epochs[2] || epochs[3] <= epochs[2] || epochs[1] < 0 {
			t.Errorf("committed epochs %v by offset", epochs)
		}
		// A log cut below the committed offset is noticed by the next owner,
		// though its end lies above the offset again.
		m.Stop(t)
		w.cutLog(2)
		w.produce(t, topic, 0, "d", "e")
		next := sourcetest.Start(t, w.open(t, nil), sourcetest.NewRecorder())
		next.Wait(t, "the loss", func() bool { return next.Loss(rides(0)) != nil })
		if got := next.Values(rides(0)); len(got) > 0 {
			t.Errorf("delivered %q", got)
		}
	})
}

func TestRecreatedTopicIsAssignedAnew(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.produce(t, topic, 0, "old")
		m := sourcetest.Start(t, w.open(t, nil), fullOn(1))
		m.WaitValues(t, rides(0), "old")
		requests := w.count(kmsg.JoinGroup)
		for round := range 2 {
			w.recreate(t)
			w.produce(t, topic, 0, fmt.Sprint("new", round))
			begun := time.Now()
			m.Wait(t, "the new topic", func() bool { return len(m.Assignments(rides(0))) == round+2 })
			t.Logf("assigned anew after %v", time.Since(begun))
			m.WaitValues(t, rides(0), []string{"old", "new0", "new1"}[:round+2]...)
		}
		as := m.Assignments(rides(0))
		for _, a := range as[1:] {
			if a.TopicID == as[0].TopicID {
				t.Errorf("assigned under the old id")
			}
		}
		if revoked, lost := m.TakenAway(); len(revoked) < 4 || len(lost) > 0 {
			t.Errorf("revoked %v, lost %v", revoked, lost)
		}
		if n := requests(); n > 12 {
			t.Errorf("joined the group %d times", n)
		}
	})
}

func (w *world) recreate(t *testing.T) {
	t.Helper()
	w.deleteTopic(t)
	w.createTopic(t, topic, 2)
}

func (w *world) deleteTopic(t *testing.T) {
	t.Helper()
	if _, err := w.admin.DeleteTopics(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	w.client.PurgeTopicsFromProducing(topic)
}

// count counts requests of a kind from now on.
func (w *world) count(key kmsg.Key) func() int {
	var n int
	w.cluster.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		n++
		return nil, nil, false //nolint:nilnil // kfake's way to say: go on
	})
	return func() int { return n }
}

func TestDeletedTopicComesBackLater(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.produce(t, topic, 0, "old")
		m := sourcetest.Start(t, w.open(t, nil), sourcetest.NewRecorder())
		m.WaitValues(t, rides(0), "old")
		w.deleteTopic(t)
		metadata := w.count(kmsg.Metadata)
		time.Sleep(2 * time.Minute)
		if n := metadata(); n > 120 {
			t.Errorf("asked %d times for metadata in two minutes without the topic", n)
		}
		w.createTopic(t, topic, 2)
		w.produce(t, topic, 0, "new")
		m.WaitValues(t, rides(0), "old", "new")
	})
}

func TestTopicThatDoesNotExistYetIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var logged strings.Builder
		m := sourcetest.Start(t, w.open(t, func(s *kafka.Settings) { s.Logger = textLog(&logged) }), sourcetest.NewRecorder())
		time.Sleep(time.Minute)
		w.createTopic(t, topic, 2)
		w.produce(t, topic, 0, "a")
		m.WaitValues(t, rides(0), "a")
		m.Stop(t)
		if n := strings.Count(logged.String(), "does not exist yet"); n != 1 {
			t.Errorf("said %d times that the topic is missing:\n%s", n, logged.String())
		}
	})
}

func TestOneMissingTopicDisturbsNoOther(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.produce(t, topic, 1, "a")
		m := sourcetest.Start(t, w.open(t, func(s *kafka.Settings) {
			s.Topics = append(s.Topics, kafka.Topic{Name: "later", Start: feature.StartAt{Latest: true}})
		}), sourcetest.NewRecorder())
		m.WaitValues(t, rides(1), "a")
		w.createTopic(t, "later", 1)
		w.produce(t, "later", 0, "x")
		later := sources.Partition{Topic: "later"}
		m.Wait(t, "the topic", func() bool { return len(m.Assignments(later)) == 1 })
		w.produce(t, "later", 0, "y")
		m.Wait(t, "its record", func() bool { return slices.Contains(m.Values(later), "y") })
		if len(m.Assignments(rides(1))) != 1 {
			t.Error("the other topic was assigned again")
		}
	})
}

func TestRecordsLargerThanEveryBoundStillCome(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		big := w.connect(t, kgo.ProducerBatchMaxBytes(8<<20), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		large := strings.Repeat("x", 900<<10)
		produce(t, big, topic, 0, "a", large, "b")
		m := sourcetest.Start(t, w.open(t, func(s *kafka.Settings) {
			s.FetchMaxBytes, s.FetchMaxPartitionBytes = 64<<10, 16<<10
		}), sourcetest.NewRecorder())
		m.WaitValues(t, rides(0), "a", large, "b")
	})
}

func TestNewPartitionsAreFound(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := sourcetest.Start(t, w.open(t, nil), sourcetest.NewRecorder())
		m.Wait(t, "two partitions", func() bool { return len(m.Owned()) == 2 })
		if _, err := w.admin.CreatePartitions(t.Context(), 1, topic); err != nil {
			t.Fatal(err)
		}
		m.Wait(t, "three partitions", func() bool { return len(m.Owned()) == 3 })
	})
}
