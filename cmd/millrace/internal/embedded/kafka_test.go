package embedded

import (
	"context"
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
