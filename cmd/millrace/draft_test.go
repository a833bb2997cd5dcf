package main

import (
	"encoding/binary"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// view is what a person adds to a draft.
func view(fields string) string {
	return `
project: mine
entities: [{name: driver, join_keys: [{name: id, type: int64}]}]
views:
  - {name: v, entity: driver, source: trips, keys: {id: driver_id}, features: [` + fields + `]}
`
}

// TestADraftIsCheckedAndTried: a draft, an entity and a view are a project
// whose rows come out of the topic that was drafted.
func TestADraftIsCheckedAndTried(t *testing.T) {
	c := newTestCluster(t, "trips")
	for _, r := range values("trips", 0,
		`{"driver": {"id": 7}, "fare": 12.5, "status": "secret", "ended_at": "2026-01-01T00:00:00Z", "lines": [{"sku": "a"}]}`,
		`{"driver": {"id": 8}, "fare": 3, "status": null, "ended_at": "2026-01-01T00:01:00Z", "lines": []}`) {
		r.Key = []byte("k1")
		c.produce(r)
	}
	out, err := command(t, "draft", "source", "--topic", "trips", "--brokers", c.brokers)
	if err != nil || strings.Contains(out, "secret") || strings.Contains(out, "k1") {
		t.Fatal(err, out)
	}
	c.define("trips.yaml", out)
	c.define("mine.yaml", view("{name: fare}, {name: status}"))
	if out, err = command(t, "check", "--definitions", c.dir); err != nil || !strings.Contains(out, "no errors") {
		t.Fatal(err, out)
	}
	out, err = command(t, "try", "v", "--brokers", c.brokers, "--definitions", c.dir)
	if want := `{"record":"trips/0@0","end":"row","event_time":"2026-01-01T00:00:00Z","keys":{"id":7},"features":{"fare":12.5,"status":"secret"}}
{"record":"trips/0@1","end":"row","event_time":"2026-01-01T00:01:00Z","keys":{"id":8},"features":{"fare":3,"status":null}}
`; err != nil || out != want {
		t.Errorf("%v\n%s", err, out)
	}
	for _, x := range []struct{ args, says string }{
		{"", "--topic NAME or --subject NAME"},
		{"--topic nope --brokers " + c.brokers, "the brokers have no such topic"},
		{"--subject s", "set schema_registry.urls"},
		{"--topic t --brokers 127.0.0.1:1", "reach Kafka at 127.0.0.1:1"},
	} {
		if out, err := command(t, append([]string{"draft", "source"}, strings.Fields(x.args)...)...); err == nil || !strings.Contains(err.Error(), x.says) {
			t.Errorf("draft source %s: %v\n%s", x.args, err, out)
		}
	}
}

const (
	tripV1 = `{"type": "record", "name": "trip", "fields": [{"name": "driver_id", "type": "long"}, {"name": "fare", "type": "double"}]}`
	tripV2 = `{"type": "record", "name": "trip", "fields": [{"name": "driver_id", "type": "long"}, {"name": "fare", "type": "double"},
		{"name": "tip", "type": "double", "default": 0}]}`
)

// avroTrip is a trip of driver 7 as a registry's writers frame it.
func avroTrip(schema byte, fare float64) []byte {
	return binary.LittleEndian.AppendUint64([]byte{0, 0, 0, 0, schema, 14}, math.Float64bits(fare))
}

// TestOnlineChecksAskWhatIsThere: topics, schemas, what was applied; each
// answer that is an error comes with its place and the next step.
func TestOnlineChecksAskWhatIsThere(t *testing.T) {
	c := newTestCluster(t, "trips")
	fake := srfake.NewRegistry()
	fake.SeedSchema("trips-value", 1, 1, sr.Schema{Schema: tripV1})
	server := httptest.NewServer(fake.Handler())
	t.Cleanup(server.Close)
	data := filepath.Join(t.TempDir(), "data")
	t.Setenv("MILLRACE_SCHEMA_REGISTRY_URLS", server.URL)
	t.Setenv("MILLRACE_KAFKA_BROKERS", c.brokers)
	t.Setenv("MILLRACE_STORE_TYPE", "embedded")
	t.Setenv("MILLRACE_STORE_DATA_DIR", data)
	c.produce(&kgo.Record{Topic: "trips", Value: avroTrip(1, 2.5)})
	drafted, err := command(t, "draft", "source", "--topic", "trips")
	if err != nil {
		t.Fatal(err)
	}
	c.define("trips.yaml", drafted)
	c.define("mine.yaml", view("{name: fare}"))

	online := func(wantErr bool, says ...string) {
		t.Helper()
		out, err := command(t, "check", "--online", "--definitions", c.dir)
		if (err != nil) != wantErr {
			t.Errorf("it ended with %v\n%s", err, out)
		}
		for _, want := range says {
			if !strings.Contains(out, want) {
				t.Errorf("it lacks %q:\n%s", want, out)
			}
		}
	}
	online(false, "topic trips has 2 partitions", "subject trips-value is at schema 1, which has every declared field", "online: 0 errors, 0 warnings")
	if out, err := command(t, "try", "v", "--definitions", c.dir); err != nil || !strings.Contains(out, `"keys":{"id":7},"features":{"fare":2.5}`) {
		t.Errorf("try: %v\n%s", err, out)
	}
	if out, err := command(t, "apply", "--definitions", c.dir); err != nil {
		t.Fatal(err, out)
	}
	fake.SeedSchema("trips-value", 2, 2, sr.Schema{Schema: tripV2})
	online(false, "trips.yaml:", "warning: subject trips-value has a newer schema than catalog version 1: 2, not 1; other fields are tip", "apply takes it", "0 errors, 1 warnings")

	c.define("trips.yaml", strings.Replace(drafted, "fare, type: float64", "fare, type: bool", 1))
	online(true, "trips.yaml:", "fare", "bool")
	c.define("trips.yaml", strings.Replace(drafted, "{topic: trips}", "{topic: trisp}", 1))
	online(true, "trips.yaml:5:20: topic trisp is not there", "correct the name", "1 errors")
	c.define("trips.yaml", drafted)
	t.Setenv("MILLRACE_KAFKA_BROKERS", "127.0.0.1:1")
	online(true, "reach Kafka at 127.0.0.1:1", "subject trips-value is at schema 2")
	t.Setenv("MILLRACE_KAFKA_BROKERS", c.brokers)
	server.Close()
	online(true, "topic trips has 2 partitions", "trips.yaml:7:23: ", "correct the subject, or schema_registry.urls")
	windows := "{name: n, agg: count, window: 24h, hop: 1m}"
	c.define("mine.yaml", view(windows))
	online(true, "mine.yaml:5:", "1441 tiles of hop 1m from each of 2 partitions of topic trips: 2882, and reads of more than 2000 are refused",
		"write a longer hop or shorter windows; or use a topic of fewer partitions (at most 1), or one keyed by the entity", "key: true; or rekey: true")
	c.define("mine.yaml", view(strings.Replace(windows, "1m", "5m", 1)))
	online(true, "topic trips has 2 partitions", "online: 1 errors") // the registry's
	c.define("mine.yaml", view("{name: fare}"))
	if err := os.Unsetenv("MILLRACE_SCHEMA_REGISTRY_URLS"); err != nil {
		t.Fatal(err)
	}
	online(true, "no schema registry is configured to ask for subject trips-value")
}
