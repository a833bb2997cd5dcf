package pushtopic

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"millrace/serving/push"
	"millrace/sinks"
	"millrace/sinks/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	group  = "millrace-test"
	source = "trips"
	topic0 = "trips.topic"
)

// world is a broker with the topic of a source, and a Topic over it.
type world struct {
	cluster *kfake.Cluster
	admin   *kadm.Client
	client  *kgo.Client
	store   *memory.Store
	topic   *Topic
	id      [16]byte
}

func newWorld(t *testing.T, change ...func(*Settings)) *world {
	t.Helper()
	w := &world{store: new(memory.Store)}
	var err error
	if w.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, topic0)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.cluster.Close)
	w.client = w.connect(t)
	t.Cleanup(w.client.Close)
	w.admin = kadm.NewClient(w.client)
	s := Settings{Group: group, Sources: map[string]Source{source: {Topic: topic0, Direct: true}, "none": {}}, Numbers: sinks.NewEpochs(w.store), Letters: w.store}
	for _, c := range change {
		c(&s)
	}
	w.topic = New(w.connect(t, Opts()...), s)
	t.Cleanup(w.topic.Close)
	w.id = w.topicID(t)
	return w
}

func (w *world) connect(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.MetadataMinAge(10*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *world) topicID(t *testing.T) [16]byte {
	t.Helper()
	details, err := w.admin.ListTopics(t.Context(), topic0)
	if err != nil || details[topic0].Err != nil {
		t.Fatal(err, details[topic0].Err)
	}
	return details[topic0].ID
}

// commit is what a lane's commit looks like.
func (w *world) commit(t *testing.T, id [16]byte, partition int32, offset int64) {
	t.Helper()
	w.commitWith(t, fmt.Sprintf(`{"catalog":1,"topic":%q}`, hex.EncodeToString(id[:])), partition, offset)
}

func (w *world) commitWith(t *testing.T, metadata string, partition int32, offset int64) {
	t.Helper()
	var os kadm.Offsets
	os.Add(kadm.Offset{Topic: topic0, Partition: partition, At: offset, Metadata: metadata})
	if _, err := w.admin.CommitOffsets(t.Context(), group, os); err != nil {
		t.Fatal(err)
	}
}

// recreate deletes the topic and makes it again.
func (w *world) recreate(t *testing.T) {
	t.Helper()
	if _, err := w.admin.DeleteTopics(t.Context(), topic0); err != nil {
		t.Fatal(err)
	}
	if _, err := w.admin.CreateTopic(t.Context(), 3, 1, nil, topic0); err != nil {
		t.Fatal(err)
	}
}

func rows(n int) []push.Row {
	all := make([]push.Row, n)
	for i := range all {
		all[i] = push.Row{
			Key: fmt.Appendf(nil, "k%d", i%7), Value: fmt.Appendf(nil, `{"n":%d}`, i), Millis: 1_700_000_000_000 + int64(i),
			Headers: []push.Header{{Key: "millrace-format", Value: []byte("fields")}, {Key: "millrace-wait"}},
		}
	}
	return all
}

// read returns the first n records of the topic by where they are.
func (w *world) read(t *testing.T, n int) map[string]*kgo.Record {
	t.Helper()
	c := w.connect(t, kgo.ConsumeTopics(topic0))
	defer c.Close()
	all := make(map[string]*kgo.Record)
	for len(all) < n {
		f := c.PollFetches(t.Context())
		if err := f.Err(); err != nil {
			t.Fatal(err)
		}
		f.EachRecord(func(r *kgo.Record) { all[fmt.Sprint(r.Partition, "/", r.Offset)] = r })
	}
	return all
}

func TestPublishedRowsAreWhereItSays(t *testing.T) {
	w := newWorld(t)
	const n = 50
	in := rows(n)
	at, err := w.topic.Publish(t.Context(), source, in)
	if err != nil || len(at) != n {
		t.Fatalf("%d positions, %v", len(at), err)
	}
	got := w.read(t, n)
	partition := make(map[string]int32)
	for i := range in {
		r := got[fmt.Sprint(at[i].Partition, "/", at[i].Offset)]
		if r == nil || string(r.Key) != string(in[i].Key) || string(r.Value) != string(in[i].Value) ||
			r.Timestamp.UnixMilli() != in[i].Millis || at[i].Millis != in[i].Millis || at[i].TopicID != w.id {
			t.Fatalf("row %d is not at %+v: %+v", i, at[i], r)
		}
		if len(r.Headers) != 2 || r.Headers[0].Key != "millrace-format" || string(r.Headers[0].Value) != "fields" || r.Headers[1].Key != "millrace-wait" {
			t.Errorf("row %d: headers %v", i, r.Headers)
		}
		if p, seen := partition[string(r.Key)]; seen && p != r.Partition {
			t.Errorf("key %s is in partitions %d and %d", r.Key, p, r.Partition)
		}
		partition[string(r.Key)] = r.Partition
	}
	if len(partition) < 7 || w.topic.flying.Load() != 0 {
		t.Errorf("%d keys, %d bytes on their way", len(partition), w.topic.flying.Load())
	}
	if _, err := w.topic.Publish(t.Context(), "none", in); err == nil || !strings.Contains(err.Error(), "source none has no topic") {
		t.Errorf("a source without a topic: %v", err)
	}
}

func TestATopicThatIsNotThere(t *testing.T) {
	w := newWorld(t, func(s *Settings) { s.Sources["other"] = Source{Topic: "missing", Direct: true} })
	if _, err := w.topic.Publish(t.Context(), "other", rows(1)); !errors.Is(err, kerr.UnknownTopicOrPartition) || !strings.Contains(err.Error(), "millrace apply") {
		t.Errorf("error %v", err)
	}
	if _, err := w.topic.Passed(t.Context(), "other", []push.Position{{TopicID: w.id}}); !errors.Is(err, push.ErrOtherTopic) {
		t.Errorf("positions on it: %v", err)
	}
}

// TestBytesOnTheirWayAreBounded holds produce requests back.
func TestBytesOnTheirWayAreBounded(t *testing.T) {
	w := newWorld(t, func(s *Settings) { s.MaxBytes = 10_000 })
	held := make(chan struct{})
	w.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		<-held
		return nil, nil, false //nolint:nilnil // the broker answers by itself
	})
	first, ended := rows(5), make(chan error, 1)
	go func() { _, err := w.topic.Publish(t.Context(), source, first); ended <- err }()
	for w.topic.flying.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	soon, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	if _, err := w.topic.Publish(soon, source, rows(50)); !errors.Is(err, ErrOverloaded) {
		t.Errorf("with too many bytes on their way: %v", err)
	}
	// A caller who goes leaves rows behind, which count until they have landed.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	before := w.topic.flying.Load()
	late := rows(1)
	if _, err := w.topic.Publish(ctx, source, late); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("past the deadline: %v", err)
	}
	clear(late[0].Value) // the caller's again
	if before == 0 {
		t.Error("nothing is on its way")
	}
	close(held)
	if err := <-ended; err != nil {
		t.Errorf("the first: %v", err)
	}
	for w.topic.flying.Load() != 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := w.topic.Publish(t.Context(), source, rows(500)); err != nil {
		t.Errorf("more than the bound, alone: %v", err)
	}
}

func TestAwaitNeedsEveryPartitionOfThatTopic(t *testing.T) {
	w := newWorld(t)
	at := []push.Position{{TopicID: w.id, Partition: 0, Offset: 4}, {TopicID: w.id, Partition: 1, Offset: 9}, {TopicID: w.id, Partition: 1, Offset: 7}}
	other := [16]byte{1}
	w.commit(t, w.id, 0, 5)
	for name, wrong := range map[string]func(){
		"nothing of one":    func() {},
		"not beyond":        func() { w.commit(t, w.id, 1, 9) },
		"of another topic":  func() { w.commit(t, other, 1, 100) },
		"by somebody else":  func() { w.commitWith(t, "", 1, 100) },
		"by somebody's own": func() { w.commitWith(t, "mine", 1, 100) },
	} {
		wrong()
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Millisecond)
		if err := w.topic.Await(ctx, source, at); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		if n, err := w.topic.Passed(t.Context(), source, at); err != nil || n != 1 && name != "not beyond" || name == "not beyond" && n != 2 {
			t.Errorf("%s: %d passed, %v", name, n, err)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- w.topic.Await(t.Context(), source, at) }()
	w.commit(t, w.id, 1, 10)
	if err := <-ended; err != nil {
		t.Errorf("committed: %v", err)
	}
	if n, err := w.topic.Passed(t.Context(), source, at); err != nil || n != 3 {
		t.Errorf("%d passed, %v", n, err)
	}
}

// TestThoseWhoWaitShareAQuestion counts what the broker is asked.
func TestThoseWhoWaitShareAQuestion(t *testing.T) {
	var asked atomic.Int64
	got := make(chan kadm.OffsetResponses, 1)
	c := newCommits(time.Millisecond, func(ctx context.Context) (kadm.OffsetResponses, error) {
		asked.Add(1)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case g := <-got:
			return g, nil
		}
	})
	defer c.close()
	const callers = 100
	ended := make(chan error, callers)
	for range callers {
		go func() { ended <- c.watch(t.Context(), func(kadm.OffsetResponses) bool { return true }) }()
	}
	for joined := 0; joined < callers; {
		c.mu.Lock()
		joined = len(c.waiting)
		c.mu.Unlock()
	}
	got <- nil
	for range callers {
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("%d questions for %d callers", n, callers)
	}
	c.loops.Wait() // nobody waits, so nobody asks
	got <- nil
	if err := c.watch(t.Context(), func(kadm.OffsetResponses) bool { return true }); err != nil || asked.Load() != 2 {
		t.Errorf("the next one: %v, %d questions", err, asked.Load())
	}
}

func TestWaitingSaysWhyThereIsNoAnswer(t *testing.T) {
	down := errors.New("it is down")
	c := newCommits(time.Millisecond, func(context.Context) (kadm.OffsetResponses, error) { return nil, down })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	look := func(kadm.OffsetResponses) bool { t.Error("there was nothing to see"); return true }
	if err := c.watch(ctx, look); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, down) {
		t.Errorf("error %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.watch(t.Context(), look) }()
	for joined := 0; joined == 0; {
		c.mu.Lock()
		joined = len(c.waiting)
		c.mu.Unlock()
	}
	c.close()
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if err := c.watch(t.Context(), look); !errors.Is(err, ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

// TestRecordsAreNotTheCallers: the client may hold them longer than it waits.
func TestRecordsAreNotTheCallers(t *testing.T) {
	in := rows(3)
	payload, _ := bytesOf(in)
	out := copies(topic0, in, payload)
	for i := range in {
		clear(in[i].Key)
		clear(in[i].Value)
		for _, h := range in[i].Headers {
			clear(h.Value)
		}
	}
	for i, want := range rows(3) {
		r := &out[i]
		if string(r.Key) != string(want.Key) || string(r.Value) != string(want.Value) || string(r.Headers[0].Value) != "fields" || r.Headers[1].Value != nil {
			t.Errorf("record %d: %q %q %v", i, r.Key, r.Value, r.Headers)
		}
	}
}
