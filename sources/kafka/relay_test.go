package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/kafka"
)

const into = "rides.by.driver"

// byLetter makes a copy for every letter of a value.
type byLetter struct {
	mu   sync.Mutex
	fail error
}

func (c *byLetter) set(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = err
}

func (c *byLetter) Copies(_ context.Context, from sources.Partition, recs []sources.Record, dst []sources.Record) ([]sources.Record, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return dst, c.fail
	}
	for i := range recs {
		letters, _, _ := strings.Cut(string(recs[i].Value), " ")
		one := sources.Copy{Partition: from, Offset: recs[i].Offset, TimeMillis: recs[i].TimeMillis, Key: recs[i].Key, First: true}
		for _, l := range letters {
			dst = append(dst, sources.Record{Key: []byte(string(l)), Value: recs[i].Value, Headers: one.Pack(recs[i].Headers)})
			one.First = false
		}
	}
	return dst, nil
}

// notes is a ledger in memory, shared by the relays of a test.
type notes struct {
	mu     sync.Mutex
	opened map[int32][]sources.TopicID
	missed map[int32]int
	order  []string
}

func newNotes() *notes {
	return &notes{opened: make(map[int32][]sources.TopicID), missed: make(map[int32]int)}
}

func (n *notes) Opened(_ context.Context, p int32, id sources.TopicID) (this, earlier bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, o := range n.opened[p] {
		this, earlier = this || o == id, earlier || o != id
	}
	return this, earlier, nil
}

func (n *notes) Open(_ context.Context, p int32, id sources.TopicID) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.opened[p] = append(n.opened[p], id)
	n.order = append(n.order, fmt.Sprint("open ", p))
	return nil
}

func (n *notes) Missed(_ context.Context, p int32) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.missed[p]++
	n.order = append(n.order, fmt.Sprint("missed ", p))
	return nil
}

func (n *notes) Recovery(context.Context, int32) (kafka.Recovery, error) {
	return kafka.Recovery{}, nil
}

func (n *notes) said() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.order)
}

// relays are those of a test, which share a group and a ledger.
type relays struct {
	w      *world
	notes  *notes
	copier *byLetter
	started,
	aborted int
	mu sync.Mutex
}

func newRelays(w *world) *relays {
	return &relays{w: w, notes: newNotes(), copier: new(byLetter)}
}

// start runs a relay until the returned function is called.
func (rs *relays) start(t *testing.T, change func(*kafka.RelaySettings)) (*kafka.Relay, func()) {
	t.Helper()
	rs.started++
	set := kafka.RelaySettings{
		Settings: rs.w.settings(feature.StartAt{}), To: into, TransactionalID: fmt.Sprint("relay-", rs.started),
		Copier: rs.copier, Ledger: rs.notes,
		Events: kafka.RelayEvents{
			Assigned: func(int32, int64) {}, Gone: func(int32) {}, Copied: func(int32, int, int, int64) {},
			Aborted: func() { rs.mu.Lock(); rs.aborted++; rs.mu.Unlock() },
			Failed:  func(err error) { t.Logf("waits: %v", err) }, Recovered: func() {}, Expired: func(int32, int64) {},
		},
	}
	if change != nil {
		change(&set)
	}
	r, err := kafka.NewRelay(set)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return r, stop
}

// copies returns what is committed in the topic of copies: key and value of
// each, by partition.
func (rs *relays) copies(t *testing.T) []string {
	t.Helper()
	ends, err := rs.w.admin.ListEndOffsets(t.Context(), into)
	if err != nil {
		t.Fatal(err)
	}
	left := make(map[int32]int64)
	for p, o := range ends[into] {
		if o.Offset > 0 {
			left[p] = o.Offset
		}
	}
	client := rs.w.connect(t, kgo.ConsumeTopics(into), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	defer client.Close()
	var all []string
	for len(left) > 0 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		fetches := client.PollFetches(ctx)
		cancel()
		if err := fetches.Err0(); err != nil {
			t.Fatalf("read copies up to %v: %v", left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if age := time.Since(r.Timestamp); age > time.Hour {
				t.Errorf("a copy is %s old: the log may drop it", age)
			}
			if !r.Attrs.IsControl() {
				all = append(all, string(r.Key)+" of "+string(r.Value))
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	slices.Sort(all)
	return all
}

// wait waits for what is checked for every now and then.
func wait(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 6000 {
		if is() {
			return
		}
		time.Sleep(20 * time.Millisecond) // polling a broker from outside
	}
	t.Fatalf("%s: not within two minutes", what)
}

func (rs *relays) waitCommitted(t *testing.T, partition int32, offset int64) {
	t.Helper()
	wait(t, fmt.Sprintf("partition %d copied up to %d", partition, offset), func() bool {
		os, err := rs.w.admin.FetchOffsets(t.Context(), group)
		if err != nil {
			return false // there is no such group yet
		}
		o, _ := os.Lookup(topic, partition)
		return o.At == offset
	})
}

func relayed(t *testing.T, f func(t *testing.T, rs *relays)) {
	t.Helper()
	bubble(t, func(t *testing.T, w *world) {
		w.createTopic(t, into, 3)
		f(t, newRelays(w))
	})
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	counts := make(map[string]int)
	for _, c := range got {
		counts[c]++
	}
	for _, c := range want {
		counts[c]--
	}
	wrong := 0
	for _, c := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[c]; n != 0 {
			if wrong++; wrong <= 10 {
				t.Errorf("%s: %+d copies", c, n)
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d copies are wrong", wrong, len(want))
	}
}

func TestRelayCopiesAndSaysWhere(t *testing.T) {
	relayed(t, func(t *testing.T, rs *relays) {
		rs.w.produce(t, topic, 0, "ab 1", "a 2")
		rs.w.produce(t, topic, 1, "b 3")
		r, _ := rs.start(t, nil)
		rs.waitCommitted(t, 0, 2)
		rs.waitCommitted(t, 1, 1)
		want(t, rs.copies(t), "a of ab 1", "b of ab 1", "a of a 2", "b of b 3")
		if _, meta := rs.w.committed(t, 0); !strings.Contains(meta, `"topic":`) || !strings.Contains(meta, `"into":`) {
			t.Errorf("the commit carries %q", meta)
		}
		if !r.Member() || r.Health() != nil {
			t.Errorf("member %v, health %v", r.Member(), r.Health())
		}
		if said := rs.notes.said(); len(said) != 2 {
			t.Errorf("the ledger has %q", said)
		}
	})
}

// TestRelaysShareAndCopyOnce: relays come and go while records arrive, and a
// session's every transaction may be cut by a rebalance. It takes real time: the
// client holds a mutex over waits for the group, which keeps a virtual clock
// still.
func TestRelaysShareAndCopyOnce(t *testing.T) {
	w := new(world)
	w.start(t, kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	w.createTopic(t, topic, 2)
	w.createTopic(t, into, 3)
	rs := newRelays(w)
	quick := func(s *kafka.RelaySettings) { s.Heartbeat = 50 * time.Millisecond }
	_, stop := rs.start(t, quick)
	var all []string
	const rounds, each = 10, 40
	for round := range rounds {
		for p := range int32(2) {
			values := many(fmt.Sprintf("ab %d.%d.", round, p), each)
			w.produce(t, topic, p, values...)
			for _, v := range values {
				all = append(all, "a of "+v, "b of "+v)
			}
		}
		_, next := rs.start(t, quick)
		time.Sleep(time.Duration(round*37%200) * time.Millisecond) // wherever this finds them
		stop()
		stop = next
	}
	rs.waitCommitted(t, 0, rounds*each)
	rs.waitCommitted(t, 1, rounds*each)
	want(t, rs.copies(t), all...)
	t.Logf("%d transactions were ended by rebalances", rs.aborted)
}

// TestACommitThatTheGroupRefusesTakesTheCopiesBack, as a member's that was put
// out without noticing.
func TestACommitThatTheGroupRefusesTakesTheCopiesBack(t *testing.T) {
	relayed(t, func(t *testing.T, rs *relays) {
		refusals := 0
		rs.w.cluster.ControlKey(int16(kmsg.TxnOffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
			rs.w.cluster.KeepControl()
			if refusals++; refusals > 3 {
				return nil, nil, false //nolint:nilnil // what the broker wants to go on by itself
			}
			in := req.(*kmsg.TxnOffsetCommitRequest)
			resp := in.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
			for _, topic := range in.Topics {
				x := kmsg.NewTxnOffsetCommitResponseTopic()
				x.Topic = topic.Topic
				for _, p := range topic.Partitions {
					y := kmsg.NewTxnOffsetCommitResponseTopicPartition()
					y.Partition, y.ErrorCode = p.Partition, kerr.IllegalGeneration.Code
					x.Partitions = append(x.Partitions, y)
				}
				resp.Topics = append(resp.Topics, x)
			}
			return resp, nil, true
		})
		rs.w.produce(t, topic, 0, "a 1", "b 2")
		rs.start(t, nil)
		rs.waitCommitted(t, 0, 2)
		want(t, rs.copies(t), "a of a 1", "b of b 2")
		rs.mu.Lock()
		defer rs.mu.Unlock()
		if refusals < 4 || rs.aborted != 3 {
			t.Errorf("%d commits were asked for, %d transactions aborted", refusals, rs.aborted)
		}
	})
}

// TestWhatIsLostIsNotCopiedAgain: the group's offsets are part of the data.
func TestWhatIsLostIsNotCopiedAgain(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(t *testing.T, w *world)
		says string
	}{
		{"deleted", func(t *testing.T, w *world) {
			if _, err := w.admin.DeleteGroup(t.Context(), group); err != nil {
				t.Fatal(err)
			}
		}, "the group has no offset of it any more"},
		{"set back", func(t *testing.T, w *world) {
			commitFor(t, w, 0, 0)
		}, "the group's offset was not set by this relay"},
	} {
		t.Run(c.name, func(t *testing.T) {
			relayed(t, func(t *testing.T, rs *relays) {
				rs.w.produce(t, topic, 0, "a 1")
				_, stop := rs.start(t, nil)
				rs.waitCommitted(t, 0, 1)
				stop()
				c.lose(t, rs.w)
				rs.w.produce(t, topic, 0, "a 2")
				r, _ := rs.start(t, nil)
				wait(t, "complaint", func() bool { return r.Health() != nil })
				if err := r.Health(); !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "partition ") {
					t.Errorf("%v", err)
				}
				time.Sleep(time.Minute)
				want(t, rs.copies(t), "a of a 1")
			})
		})
	}
}

// TestALogThatLostRecordsHoldsTheRelay until a person has said how it goes on,
// or where that is not asked for.
func TestALogThatLostRecordsHoldsTheRelay(t *testing.T) {
	relayed(t, func(t *testing.T, rs *relays) {
		rs.w.produce(t, topic, 0, "a 1")
		_, stop := rs.start(t, nil)
		rs.waitCommitted(t, 0, 1)
		stop()
		_, meta := rs.w.committed(t, 0)
		var os kadm.Offsets
		os.Add(kadm.Offset{Topic: topic, Partition: 0, At: 50, LeaderEpoch: -1, Metadata: meta}) // as if 49 were lost
		if err := rs.w.admin.CommitAllOffsets(t.Context(), group, os); err != nil {
			t.Fatal(err)
		}
		r, stop := rs.start(t, nil)
		wait(t, "complaint", func() bool { return r.Health() != nil })
		if !strings.Contains(r.Health().Error(), "run millrace recover SOURCE --partition 0") {
			t.Errorf("%v", r.Health())
		}
		stop()
		rs.start(t, func(s *kafka.RelaySettings) { s.GoOn = true })
		rs.waitCommitted(t, 0, 1)
		rs.w.produce(t, topic, 0, "a 2")
		rs.waitCommitted(t, 0, 2)
		want(t, rs.copies(t), "a of a 1", "a of a 2")
	})
}

func commitFor(t *testing.T, w *world, partition int32, offset int64) {
	t.Helper()
	os := kadmOffsets(topic, partition, offset)
	if err := w.admin.CommitAllOffsets(t.Context(), group, os); err != nil {
		t.Fatal(err)
	}
}

// TestATopicMadeAnewIsCopiedFromItsStart: its records are new ones.
func TestATopicMadeAnewIsCopiedFromItsStart(t *testing.T) {
	relayed(t, func(t *testing.T, rs *relays) {
		rs.w.produce(t, topic, 0, "a 1", "a 2")
		_, stop := rs.start(t, nil)
		rs.waitCommitted(t, 0, 2)
		stop()
		if _, err := rs.w.admin.DeleteTopics(t.Context(), topic); err != nil {
			t.Fatal(err)
		}
		rs.w.createTopic(t, topic, 2)
		produce(t, rs.w.connect(t, kgo.RecordPartitioner(kgo.ManualPartitioner())), topic, 0, "a 3")
		rs.start(t, func(s *kafka.RelaySettings) { s.Topics[0].Start = feature.StartAt{Latest: true} })
		rs.waitCommitted(t, 0, 1)
		want(t, rs.copies(t), "a of a 1", "a of a 2", "a of a 3")
	})
}

// TestWhatIsNeverCopiedIsSaidFirst where a relay begins behind records.
func TestWhatIsNeverCopiedIsSaidFirst(t *testing.T) {
	relayed(t, func(t *testing.T, rs *relays) {
		rs.w.produce(t, topic, 1, "a 1")
		rs.start(t, func(s *kafka.RelaySettings) { s.Topics[0].Start = feature.StartAt{Latest: true} })
		wait(t, "begun", func() bool { return len(rs.notes.said()) == 3 })
		rs.w.produce(t, topic, 1, "a 2")
		rs.waitCommitted(t, 1, 2)
		want(t, rs.copies(t), "a of a 2")
		said := rs.notes.said()
		if slices.Index(said, "missed 1") > slices.Index(said, "open 1") || slices.Contains(said, "missed 0") || !slices.Contains(said, "missed 1") {
			t.Errorf("the ledger was told %q", said)
		}
	})
}

// TestARelayWaitsAndGoesOn when records cannot be read, and when the topic of
// copies is not there.
func TestARelayWaitsAndGoesOn(t *testing.T) {
	relayed(t, func(t *testing.T, rs *relays) {
		rs.copier.set(errors.New("the registry is away"))
		rs.w.produce(t, topic, 0, "a 1")
		r, _ := rs.start(t, nil)
		wait(t, "complaint", func() bool { return r.Health() != nil })
		if !strings.Contains(r.Health().Error(), "the registry is away") {
			t.Errorf("%v", r.Health())
		}
		rs.copier.set(nil)
		rs.waitCommitted(t, 0, 1)
		wait(t, "recovery", func() bool { return r.Health() == nil })
		missing, _ := rs.start(t, func(s *kafka.RelaySettings) { s.To, s.Group = "absent", "other" })
		wait(t, "complaint", func() bool { return missing.Health() != nil })
		if !strings.Contains(missing.Health().Error(), "run millrace apply") {
			t.Errorf("%v", missing.Health())
		}
	})
}

// TestALargeRecordIsCopied where the topic takes it, and named where not.
func TestALargeRecordIsCopied(t *testing.T) {
	relayed(t, func(t *testing.T, rs *relays) {
		large := "a " + strings.Repeat("x", 3<<20)
		producer := rs.w.connect(t, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(8<<20))
		limit := "8388608"
		for name, value := range map[string]*string{topic: &limit, "wide": &limit} {
			if name == "wide" {
				if _, err := rs.w.admin.CreateTopic(t.Context(), 1, 1, map[string]*string{"max.message.bytes": value}, name); err != nil {
					t.Fatal(err)
				}
				continue
			}
			alter(t, rs.w, name, "max.message.bytes", *value)
		}
		produce(t, producer, topic, 0, large)
		r, stop := rs.start(t, nil)
		wait(t, "complaint", func() bool { return r.Health() != nil })
		if !strings.Contains(r.Health().Error(), "raise the topic's max.message.bytes") {
			t.Errorf("%v", r.Health())
		}
		stop()
		rs.start(t, func(s *kafka.RelaySettings) { s.To = "wide" })
		rs.waitCommitted(t, 0, 1)
	})
}

func kadmOffsets(topic string, partition int32, offset int64) kadm.Offsets {
	var os kadm.Offsets
	os.Add(kadm.Offset{Topic: topic, Partition: partition, At: offset, LeaderEpoch: -1})
	return os
}

func alter(t *testing.T, w *world, topic, name, value string) {
	t.Helper()
	if _, err := w.admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: name, Value: &value}}, topic); err != nil {
		t.Fatal(err)
	}
}
