package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/cmd/millrace/internal/sample"
)

// cluster is a broker beside a folder of definitions.
type cluster struct {
	t       *testing.T
	brokers string
	client  *kgo.Client
	dir     string
}

func newTestCluster(t *testing.T, topics ...string) *cluster {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	c := &cluster{t: t, brokers: strings.Join(fake.ListenAddrs(), ","), dir: t.TempDir()}
	if c.client, err = kgo.NewClient(kgo.SeedBrokers(fake.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.client.Close)
	if _, err := kadm.NewClient(c.client).CreateTopics(t.Context(), 2, 1, nil, topics...); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) produce(records ...*kgo.Record) {
	c.t.Helper()
	if err := c.client.ProduceSync(c.t.Context(), records...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
}

// define writes a file into the folder of definitions.
func (c *cluster) define(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func values(topic string, partition int32, texts ...string) []*kgo.Record {
	records := make([]*kgo.Record, len(texts))
	for i, v := range texts {
		records[i] = &kgo.Record{Topic: topic, Partition: partition, Value: []byte(v)}
	}
	return records
}

const orders = `
project: shop
entities:
  - {name: item, join_keys: [{name: sku, type: string}]}
sources:
  - name: orders
    kafka: {topic: orders}
    fields:
      - {name: status, type: string}
      - {name: at, type: timestamp}
      - {name: lines, of: [{name: sku, type: string}, {name: price, type: float64}, {name: n, type: int64}]}
    event_time: at
  - {name: idle, push: {}, fields: [{name: sku, type: string}]}
views:
  - name: items
    entity: item
    source: orders
    unnest: {field: lines, as: line}
    keys: {sku: line.sku}
    where: status = 'paid'
    features:
      - {name: price, expr: line.price}
      - {name: each, expr: "line.price / nullif(line.n, 0)"}
      - {name: age_s, expr: "epoch(now()) - epoch(event_time())", at: read}
  - {name: pushed, entity: item, source: idle, features: [{name: x, expr: upper(sku)}]}
`

// TestTryShowsTheEndOfEveryElement: rows with features of both halves, filtered
// ones, and refusals with their reasons, named as dead letters are.
func TestTryShowsTheEndOfEveryElement(t *testing.T) {
	c := newTestCluster(t, "orders")
	c.define("shop.yaml", orders)
	at := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	c.produce(values("orders", 0,
		`{"status": "paid", "at": "`+at+`", "lines": [{"sku": "a", "price": 3, "n": 2}, {"sku": "b", "price": "x"}, {"price": 1}]}`,
		`{"status": "open", "at": "`+at+`", "lines": [{"sku": "a"}]}`)...)
	c.produce(values("orders", 1, `{"status": "paid", "at": "`+at+`", "lines": []}`, `oops`)...)
	out, err := command(t, "try", "items", "--brokers", c.brokers, "--definitions", c.dir)
	if err != nil {
		t.Fatal(err, out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for i, want := range []string{
		`{"record":"orders/0@0#1","end":"reject","stage":"decode","reason":"wrong_type","message":"`,
		`{"record":"orders/0@0#2","end":"reject","stage":"transform","reason":"null_key","message":"`,
		`{"record":"orders/0@0","end":"row","event_time":"` + at + `","keys":{"sku":"a"},"features":{"price":3,"each":1.5,"age_s":36`,
		`{"record":"orders/0@1","end":"filtered"}`,
		`{"record":"orders/1@0","end":"no row"}`,
		`{"record":"orders/1@1","end":"reject","stage":"decode","reason":"malformed","message":"`,
	} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d does not begin with %s:\n%s", i+1, want, out)
		}
	}
	if out, err = command(t, "try", "items", "-n", "2", "--from", "earliest", "--brokers", c.brokers, "--definitions", c.dir); err != nil ||
		!strings.Contains(out, "orders/0@0\"") || !strings.Contains(out, "orders/1@0\"") || strings.Contains(out, "@1\"") {
		t.Errorf("two records from the start: %v\n%s", err, out)
	}
	groups, err := kadm.NewClient(c.client).ListGroups(t.Context())
	if err != nil || len(groups) > 0 {
		t.Errorf("groups were made: %v, %v", groups, err)
	}
}

func TestTrySaysWhatCannotBeTried(t *testing.T) {
	c := newTestCluster(t)
	c.define("shop.yaml", orders)
	for _, x := range []struct{ args, says string }{
		{"item --brokers " + c.brokers, "has no such view"},
		{"pushed --brokers " + c.brokers, "source idle has no topic"},
		{"items --brokers " + c.brokers, "the brokers have no such topic"},
		{"items --brokers 127.0.0.1:1", "reach Kafka at 127.0.0.1:1"},
		{"items --from yesterday --brokers 127.0.0.1:1", "write 15m, 1h or 7d"},
		{"items -n 0 --brokers " + c.brokers, "write -n 1 or more"},
	} {
		args := append([]string{"try", "--definitions", c.dir}, strings.Fields(x.args)...)
		if out, err := command(t, args...); err == nil || !strings.Contains(err.Error(), x.says) {
			t.Errorf("try %s: %v\n%s", x.args, err, out)
		}
	}
}

// TestTheTableOfTry is for people: a line per row or element, then the sum.
func TestTheTableOfTry(t *testing.T) {
	var out strings.Builder
	features := sample.Values{{Name: "a", JSON: []byte("1")}, {Name: "b", JSON: []byte("null"), Why: "log of 0"}}
	err := tryTable(&out, []sample.Outcome{
		{Record: "t/0@1", End: sample.EndRow, EventTime: "2026-01-01T00:00:00Z", Keys: sample.Values{{Name: "id", JSON: []byte("7")}}, Features: features},
		{Record: "t/0@2", End: sample.EndReject, Stage: "decode", Reason: "malformed", Message: "it ends early"},
		{Record: "t/0@3", End: sample.EndRow},
	}, 3, "t")
	const want = `RECORD  END     EVENT TIME            KEY   FEATURES, OR WHY NOT
t/0@1   row     2026-01-01T00:00:00Z  id=7  a=1 b=null (log of 0)
t/0@2   reject                              malformed at decode: it ends early
t/0@3   row                                 
3 records of topic t: 2 row, 1 reject
`
	if err != nil || out.String() != want {
		t.Errorf("%v\n%s", err, out.String())
	}
}
