package changelog

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/sinks"
)

const topic = "millrace.p.changelog"

func cluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func open(t *testing.T, c *kfake.Cluster, opts ...kgo.Opt) *Publisher {
	t.Helper()
	client, err := kgo.NewClient(append(append(Opts(), kgo.SeedBrokers(c.ListenAddrs()...), kgo.UnknownTopicRetries(1)), opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	p := New(client, topic)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func changes(n int) []sinks.Change {
	all := make([]sinks.Change, n)
	for i := range all {
		all[i] = *documented()
		all[i].Key = strings.Repeat("k", i)
	}
	return all
}

// read returns n records of the topic.
func read(t *testing.T, c *kfake.Cluster, n int) []*kgo.Record {
	t.Helper()
	reader, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var got []*kgo.Record
	for len(got) < n {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d records: %v", len(got), err)
		}
		got = append(got, fetches.Records()...)
	}
	return got
}

func TestChangesArePublishedByKey(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(3, topic))
	acks := make(chan int16, 100)
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		acks <- req.(*kmsg.ProduceRequest).Acks
		return nil, nil, false //nolint:nilnil // kfake's way to say: go on
	})
	p, all := open(t, c), changes(20)
	for range 2 {
		if err := p.Publish(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Publish(t.Context(), nil); err != nil {
		t.Error(err)
	}
	where := make(map[string]int32)
	for _, r := range read(t, c, 40) {
		var got sinks.Change
		if err := Decode(r.Key, r.Value, &got); err != nil {
			t.Fatal(err)
		}
		i := len(got.Key)
		if i >= len(all) || got.Entity != "driver" || !slices.Equal(got.Views, all[i].Views) {
			t.Errorf("read %+v", got)
		}
		if at, seen := where[got.Key]; seen && at != r.Partition {
			t.Errorf("key %q is in partitions %d and %d", got.Key, at, r.Partition)
		}
		where[got.Key] = r.Partition
	}
	if len(where) != len(all) {
		t.Errorf("%d keys, want %d", len(where), len(all))
	}
	for range len(acks) {
		if n := <-acks; n != -1 {
			t.Errorf("%d acknowledgements are asked for, want those of all in sync", n)
		}
	}
}

func TestWhatABrokerRefusesIsNotAcknowledged(t *testing.T) {
	c := cluster(t)
	err := open(t, c).Publish(t.Context(), changes(2))
	if !errors.Is(err, kerr.UnknownTopicOrPartition) || !strings.Contains(err.Error(), "millrace apply") {
		t.Errorf("published to a topic that is not there: %v", err)
	}
}

func TestWhatCannotBeWrittenIsNotSent(t *testing.T) {
	all := changes(2)
	all[1].Views = []sinks.ChangedView{{}}
	if err := open(t, cluster(t, kfake.SeedTopics(1, topic))).Publish(t.Context(), all); err == nil {
		t.Error("a view without a name is published")
	}
}

// hold has the broker keep produce requests until the test ends.
func hold(t *testing.T, c *kfake.Cluster) (arrived <-chan struct{}) {
	t.Helper()
	came, over := make(chan struct{}, 100), make(chan struct{})
	t.Cleanup(func() { close(over) })
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		came <- struct{}{}
		c.SleepControl(func() { <-over })
		return nil, nil, false //nolint:nilnil // kfake's way to say: go on
	})
	return came
}

// A call ends with its context and with its own deadline, whatever the broker
// does, and what it was given is the caller's at once.
func TestACallEndsThoughTheBrokerDoesNot(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, topic))
	p, arrived := open(t, c), hold(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Publish(ctx, changes(3)) }()
	<-arrived
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended by its caller: %v", err)
	}
	p.timeout = 50 * time.Millisecond
	if err := p.Publish(t.Context(), changes(3)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ended by its deadline: %v", err)
	}
}

// What waits for a broker is bounded: a call waits for room until it ends.
func TestBufferedBytesAreBounded(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, topic))
	const room = 2000
	if n := open(t, c).client.OptValue(kgo.MaxBufferedBytes); n != int64(maxBufferedBytes) {
		t.Errorf("a client of ours buffers %v bytes, want %d", n, maxBufferedBytes)
	}
	p := open(t, c, kgo.MaxBufferedBytes(room))
	hold(t, c)
	p.timeout = 100 * time.Millisecond
	if err := p.Publish(t.Context(), changes(200)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("more than there is room for: %v", err)
	}
	if n := p.client.BufferedProduceBytes(); n > room {
		t.Errorf("%d bytes are buffered, at most %d", n, room)
	}
}

func TestTheTopicIsCompacted(t *testing.T) {
	c := cluster(t)
	p := open(t, c)
	configs := make(map[string]*string)
	for k, v := range TopicConfigs() {
		configs[k] = &v
	}
	admin := kadm.NewClient(p.client)
	if _, err := admin.CreateTopic(t.Context(), 1, 1, configs, Topic("p")); err != nil {
		t.Fatal(err)
	}
	got, err := admin.DescribeTopicConfigs(t.Context(), Topic("p"))
	if err != nil {
		t.Fatal(err)
	}
	policy := ""
	for _, one := range got[0].Configs {
		if one.Key == "cleanup.policy" {
			policy = one.MaybeValue()
		}
	}
	if policy != "compact" {
		t.Errorf("the topic has the policy %q", policy)
	}
	if err := p.Publish(t.Context(), changes(1)); err != nil {
		t.Error(err)
	}
}
