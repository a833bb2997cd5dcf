package embedded

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // only its number was wanted
	return l.Addr().String()
}

func client(t *testing.T, k *Kafka, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(k.Addr()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestRecordsSurviveAReopenedBroker produces, reopens the folder, and reads.
func TestRecordsSurviveAReopenedBroker(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s := Settings{Addr: freeAddr(t), DataDir: t.TempDir()}
	k, err := OpenKafka(s)
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, k)
	if _, err := kadm.NewClient(c).CreateTopic(ctx, 1, 1, TopicConfigs(0), "trips"); err != nil {
		t.Fatal(err)
	}
	if err := c.ProduceSync(ctx, &kgo.Record{Topic: "trips", Value: []byte("kept")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c.Close()
	k.Close()
	if k, err = OpenKafka(s); err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	fs := client(t, k, kgo.ConsumeTopics("trips")).PollFetches(ctx)
	if rs := fs.Records(); len(rs) != 1 || string(rs[0].Value) != "kept" {
		t.Errorf("read %v, %v", rs, fs.Err())
	}
}

// TestCompactedTopicsKeepEveryKey: records that are older than any retention,
// and more of them than a partition keeps.
func TestCompactedTopicsKeepEveryKey(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	k, err := OpenKafka(Settings{Addr: freeAddr(t), DataDir: t.TempDir(), RetentionBytes: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	key := func(i int) int {
		if i == 40 {
			return i
		}
		return i % 20
	}
	configs := CompactedConfigs()
	configs["cleanup.policy"] = new("compact")
	c := client(t, k)
	if _, err := kadm.NewClient(c).CreateTopic(ctx, 1, 1, configs, "changes"); err != nil {
		t.Fatal(err)
	}
	for i := range 41 { // twice every key, a batch each; the last one is not compacted
		r := &kgo.Record{Topic: "changes", Key: fmt.Appendf(nil, "k%d", key(i)), Value: make([]byte, 100+i), Timestamp: time.Now().Add(-30 * 24 * time.Hour)}
		if err := c.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	k.cluster.Compact()
	reader, seen := client(t, k, kgo.ConsumeTopics("changes")), make(map[string]int)
	for seen["k40"] == 0 {
		fs := reader.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatalf("%v, after %v", err, seen)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if seen[string(r.Key)] != 0 {
				t.Errorf("%s is there twice", r.Key)
			}
			seen[string(r.Key)] = len(r.Value)
		})
	}
	for i := range 20 {
		if n := seen[fmt.Sprintf("k%d", i)]; n != 120+i {
			t.Errorf("of k%d there is %d", i, n)
		}
	}
}

func TestBadAddressesNameTheNextStep(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // the test is over
	for addr, says := range map[string]string{
		taken.Addr().String(): "--kafka",
		"nonsense":            "host:port",
		"127.0.0.1:http":      "not a port",
		"0.0.0.0:9092":        "127.0.0.1:9092",
	} {
		k, err := OpenKafka(Settings{Addr: addr, DataDir: t.TempDir()})
		if err == nil {
			k.Close()
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", addr, err)
		}
	}
}
