package draft_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"millrace/cmd/millrace/internal/draft"
	"millrace/sources"
	"millrace/sources/schemaregistry"
)

const (
	tripAvro = `{"type": "record", "name": "Trip", "namespace": "rides", "fields": [
		{"name": "driver", "type": {"type": "record", "name": "Driver", "fields": [{"name": "id", "type": "long"}, {"name": "end", "type": "string"}]}},
		{"name": "backup", "type": ["null", "Driver"]},
		{"name": "fare", "type": ["null", "double"]},
		{"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
		{"name": "stops", "type": {"type": "array", "items": {"type": "record", "name": "Stop", "fields": [{"name": "city", "type": "string"}]}}},
		{"name": "labels", "type": {"type": "map", "values": "string"}}]}`
	changeAvro = `{"type": "record", "name": "Envelope", "namespace": "db", "fields": [
		{"name": "before", "type": ["null", {"type": "record", "name": "Value", "fields": [{"name": "id", "type": "long"}, {"name": "name", "type": "string"}]}]},
		{"name": "after", "type": ["null", "Value"]},
		{"name": "source", "type": {"type": "record", "name": "Source", "fields": [{"name": "ts_ms", "type": "long"}]}},
		{"name": "op", "type": "string"}]}`
	keyAvro   = `{"type": "record", "name": "Key", "namespace": "db", "fields": [{"name": "id", "type": "long"}]}`
	tripProto = `syntax = "proto3"; package rides; import "google/protobuf/timestamp.proto";
		message Other { string x = 1; }
		message Trip {
			message Driver { int64 id = 1; }
			Driver driver = 1; double fare = 2; google.protobuf.Timestamp at = 3; repeated Driver crew = 4; map<string, string> labels = 5; repeated string tags = 6;
		}`
)

func registry(t *testing.T) *schemaregistry.Registry {
	t.Helper()
	fake := srfake.NewRegistry()
	fake.SeedSchema("trips-value", 1, 1, sr.Schema{Schema: tripAvro})
	fake.SeedSchema("changes-value", 1, 2, sr.Schema{Schema: changeAvro})
	fake.SeedSchema("changes-key", 1, 3, sr.Schema{Schema: keyAvro})
	fake.SeedSchema("pb-value", 1, 4, sr.Schema{Schema: tripProto, Type: sr.TypeProtobuf})
	fake.SeedSchema("js-value", 1, 5, sr.Schema{Schema: `{"type": "object"}`, Type: sr.TypeJSON})
	fake.SeedSchema("elsewhere", 1, 6, sr.Schema{Schema: `{"type": "record", "name": "X", "fields": [{"name": "a", "type": "int"}]}`})
	server := httptest.NewServer(fake.Handler())
	t.Cleanup(server.Close)
	r, err := schemaregistry.New(schemaregistry.Settings{URLs: []string{server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// framed is a record as a schema registry's writers frame it.
func framed(key, value []byte) []sources.Record { return []sources.Record{{Key: key, Value: value}} }

// TestSchemasBecomeSources, by the records that name them.
func TestSchemasBecomeSources(t *testing.T) {
	r := registry(t)
	for _, c := range []struct {
		topic   string
		records []sources.Record
		want    string
	}{
		{"trips", framed([]byte("7"), []byte{0, 0, 0, 0, 1, 9}), `sources:
  - name: s
    kafka: {topic: trips}
    format: avro
    schema: {subject: trips-value}
    fields:
      - {name: record_key, type: int64, key: true}
      - {name: driver_id, type: int64, path: driver.id}
      - {name: driver_end, type: string, path: driver.end}
      - {name: backup_id, type: int64, path: backup.id}
      - {name: backup_end, type: string, path: backup.end}
      - {name: fare, type: float64}
      - {name: at, type: timestamp}
      - name: stops
        of: # a row per element: unnest in a view
          - {name: city, type: string}
      - {name: labels, type: json}
    event_time: at
`},
		{"changes", framed([]byte{0, 0, 0, 0, 3, 9}, []byte{0, 0, 0, 0, 2, 9}), `sources:
  - name: s
    kafka: {topic: changes}
    format: avro
    schema: {subject: changes-value}
    envelope: debezium
    fields:
      - {name: id, type: int64, key: true, path: id}
      - {name: name, type: string}
`},
		{"pb", framed(nil, []byte{0, 0, 0, 0, 4, 2, 2, 9}), `sources:
  - name: s
    kafka: {topic: pb}
    format: protobuf
    schema: {subject: pb-value, message: rides.Trip}
    fields:
      - {name: driver_id, type: int64, path: driver.id}
      - {name: fare, type: float64}
      - {name: at, type: timestamp}
      - name: crew
        of: # a row per element: unnest in a view
          - {name: id, type: int64}
      - {name: labels, type: json}
      - {name: tags, type: list<string>}
    event_time: at
`},
	} {
		s, err := draft.FromRecords(t.Context(), "s", c.topic, c.records, r)
		if err != nil {
			t.Errorf("%s: %v", c.topic, err)
			continue
		}
		load(t, s.YAML())
		if _, got, _ := strings.Cut(string(s.YAML()), "sources:"); "sources:"+got != c.want {
			t.Errorf("%s becomes\n%s\nnot\n%s", c.topic, "sources:"+got, c.want)
		}
	}
}

func TestASubjectIsFoundOrAskedFor(t *testing.T) {
	r := registry(t)
	s, err := draft.FromSubject(t.Context(), "x", "anywhere", "elsewhere", r)
	if err != nil || !strings.Contains(string(s.YAML()), "schema: {subject: elsewhere}") {
		t.Errorf("%v", err)
	}
	for _, c := range []struct {
		topic string
		id    byte
		says  string
	}{
		{"unknown", 6, "there is no subject unknown-value, nor X, nor unknown-X; name it with --subject"},
		{"js", 5, "JSON Schema"},
		{"none", 99, "99"},
	} {
		if _, err := draft.FromRecords(t.Context(), "s", c.topic, framed(nil, []byte{0, 0, 0, 0, c.id, 9}), r); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.topic, err)
		}
	}
	if _, err := draft.FromRecords(t.Context(), "s", "t", framed(nil, []byte{0, 0, 0, 0, 1, 9}), nil); err == nil || !strings.Contains(err.Error(), "set schema_registry.urls") {
		t.Errorf("without a registry: %v", err)
	}
}
