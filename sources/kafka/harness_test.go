package kafka_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"millrace/feature"
	"millrace/internal/synctest"
	"millrace/sources"
	"millrace/sources/kafka"
	"millrace/sources/sourcetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	topic         = "rides"
	group         = "millrace-test"
	revokeTimeout = 10 * time.Second
)

// world is a broker, and a client of it that has nothing to do with a source.
type world struct {
	net     *kfake.VirtualNetwork // nil: real sockets
	cluster *kfake.Cluster
	client  *kgo.Client
	admin   *kadm.Client
}

// newWorld starts a broker on a network without sockets, for tests with a
// clock of their own.
func newWorld(t *testing.T, opts ...kfake.Opt) *world {
	t.Helper()
	w := &world{net: &kfake.VirtualNetwork{}}
	w.start(t, append([]kfake.Opt{
		kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(w.net.Listen),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}),
	}, opts...)...)
	return w
}

func (w *world) start(t *testing.T, opts ...kfake.Opt) {
	t.Helper()
	var err error
	if w.cluster, err = kfake.NewCluster(opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.cluster.Close)
	w.client = w.connect(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	w.admin = kadm.NewClient(w.client)
}

// connect makes a client that is closed at the end.
func (w *world) connect(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	all := append([]kgo.Opt{kgo.SeedBrokers(w.cluster.ListenAddrs()...)}, w.dial()...)
	client, err := kgo.NewClient(append(all, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func (w *world) dial() []kgo.Opt {
	if w.net == nil {
		return nil
	}
	return []kgo.Opt{kgo.Dialer(w.net.DialContext)}
}

func (w *world) createTopic(t *testing.T, name string, partitions int32) {
	t.Helper()
	if _, err := w.admin.CreateTopic(t.Context(), partitions, 1, nil, name); err != nil {
		t.Fatal(err)
	}
}

// settings are those of a member of the test's group.
func (w *world) settings(start feature.StartAt) kafka.Settings {
	return kafka.Settings{
		Brokers: w.cluster.ListenAddrs(), Group: group,
		Topics:        []kafka.Topic{{Name: topic, Start: start}},
		RevokeTimeout: revokeTimeout, RebalanceTimeout: 3 * revokeTimeout,
		SessionTimeout: 10 * time.Second, Heartbeat: 500 * time.Millisecond,
		Opts: w.dial(),
	}
}

// open makes a source after change has seen the settings.
func (w *world) open(t *testing.T, change func(*kafka.Settings)) *kafka.Source {
	t.Helper()
	set := w.settings(feature.StartAt{})
	set.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	if change != nil {
		change(&set)
	}
	src, err := kafka.New(set)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// produce appends values to a partition of name; "<nil>" is a tombstone.
func (w *world) produce(t *testing.T, name string, partition int32, values ...string) {
	t.Helper()
	produce(t, w.client, name, partition, values...)
}

func produce(t *testing.T, client *kgo.Client, name string, partition int32, values ...string) {
	t.Helper()
	records := make([]*kgo.Record, len(values))
	for i, v := range values {
		records[i] = &kgo.Record{
			Topic: name, Partition: partition, Key: []byte("k"), Value: []byte(v),
			Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}},
		}
		if v == "<nil>" {
			records[i].Value = nil
		}
	}
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func (w *world) committed(t *testing.T, partition int32) (int64, string) {
	t.Helper()
	return committed(t, w.admin, group, topic, partition)
}

func committed(t *testing.T, admin *kadm.Client, group, topic string, partition int32) (int64, string) {
	t.Helper()
	os, err := admin.FetchOffsets(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	o, is := os.Lookup(topic, partition)
	if !is {
		return -1, ""
	}
	return o.At, o.Metadata
}

// bubble runs f with a clock of its own and a broker with the test's topic.
func bubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.createTopic(t, topic, 2)
		f(t, w)
	})
}

func rides(n int32) sources.Partition { return sources.Partition{Topic: topic, Number: n} }

func many(prefix string, n int) []string {
	vs := make([]string, n)
	for i := range vs {
		vs[i] = fmt.Sprint(prefix, i)
	}
	return vs
}

func TestContract(t *testing.T) {
	sourcetest.Run(t, synctest.Test, func(t *testing.T) sourcetest.Harness {
		w := newWorld(t)
		w.createTopic(t, topic, 2)
		return sourcetest.Harness{
			Topic: topic,
			Open: func(t *testing.T, start feature.StartAt) sources.Source {
				return w.open(t, func(s *kafka.Settings) { s.Topics[0].Start = start })
			},
			Append: func(t *testing.T, partition int32, values ...string) {
				w.produce(t, topic, partition, values...)
			},
			Committed: w.committed,
			Deadline:  2 * time.Second, RevokeTimeout: revokeTimeout,
		}
	})
}
