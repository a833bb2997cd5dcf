package sample_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"millrace/cmd/millrace/internal/sample"
	"millrace/feature"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const topic = "trips"

// broker is a cluster with the topic, of three partitions.
func broker(t *testing.T) (sample.Connect, *kgo.Client) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	connect := func(more ...kgo.Opt) (*kgo.Client, error) {
		opts := append(more, kgo.SeedBrokers(cluster.ListenAddrs()...)) //nolint:gocritic // more is made for this call
		return kgo.NewClient(opts...)
	}
	client, err := connect(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 3, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	return connect, client
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// produce appends n records to a partition, a second apart and before noon.
func produce(t *testing.T, client *kgo.Client, partition int32, n int) {
	t.Helper()
	for i := range n {
		r := &kgo.Record{Topic: topic, Partition: partition, Value: []byte("v"), Timestamp: noon.Add(time.Duration(i-n) * time.Second)}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func places(records []sample.Record) string {
	var all []string
	for i := range records {
		all = append(all, strings.TrimPrefix(records[i].Position(), topic+"/"))
	}
	return strings.Join(all, " ")
}

// TestASampleIsSharedOverPartitions, as far as they have records.
func TestASampleIsSharedOverPartitions(t *testing.T) {
	connect, client := broker(t)
	produce(t, client, 0, 1)
	produce(t, client, 2, 20)
	for _, c := range []struct {
		n    int
		from *feature.StartAt
		want string
	}{
		{4, nil, "0@0 2@17 2@18 2@19"},
		{4, &feature.StartAt{}, "0@0 2@0 2@1 2@2"},
		{3, &feature.StartAt{Back: 10 * time.Second}, "0@0 2@10 2@11"},
		{99, &feature.StartAt{Back: 2 * time.Second}, "0@0 2@18 2@19"},
		{1, nil, "0@0"},
	} {
		got, err := sample.Read(t.Context(), connect, sample.Settings{Topic: topic, N: c.n, From: c.from, Now: noon})
		if err != nil || places(got) != c.want {
			t.Errorf("%d from %v: %s, not %s, %v", c.n, c.from, places(got), c.want, err)
		}
	}
}

// TestASampleSeesCommittedRecordsOnly: half of the log is control records, and
// what was aborted is no record.
func TestASampleSeesCommittedRecordsOnly(t *testing.T) {
	connect, _ := broker(t)
	tx, err := connect(kgo.TransactionalID("t"), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	for i := range 12 {
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := tx.ProduceSync(t.Context(), &kgo.Record{Value: []byte(fmt.Sprint(i))}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := tx.EndTransaction(t.Context(), kgo.TransactionEndTry(i%4 != 3)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := sample.Read(t.Context(), connect, sample.Settings{Topic: topic, N: 5, Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for i := range got {
		values = append(values, string(got[i].Value))
	}
	if text := strings.Join(values, " "); text != "5 6 8 9 10" {
		t.Errorf("the newest five are %s", text)
	}
}

// TestLatestWaitsForRecords that are to come, and a person may end the wait.
func TestLatestWaitsForRecords(t *testing.T) {
	connect, client := broker(t)
	produce(t, client, 1, 3)
	type answer struct {
		records []sample.Record
		err     error
	}
	done := make(chan answer)
	latest := &feature.StartAt{Latest: true}
	go func() {
		records, err := sample.Read(t.Context(), connect, sample.Settings{Topic: topic, N: 2, From: latest, Wait: time.Minute})
		done <- answer{records, err}
	}()
	for ended := false; !ended; {
		select {
		case a := <-done:
			if ended = true; a.err != nil || len(a.records) != 2 || strings.Contains(places(a.records), "1@0") {
				t.Errorf("%s, %v", places(a.records), a.err)
			}
		default:
			produce(t, client, 1, 1) // until the reader has found the end and seen two
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	connecting := func(more ...kgo.Opt) (*kgo.Client, error) {
		if len(more) > 1 { // the log's ends are known
			cancel()
		}
		return connect(more...)
	}
	if got, err := sample.Read(ctx, connecting, sample.Settings{Topic: topic, N: 2, From: latest}); err != nil || len(got) != 0 {
		t.Errorf("ended by a person: %v, %v", got, err)
	}
}
