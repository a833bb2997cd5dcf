package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// stop is a stop of a ride.
type stop struct {
	Town    string `json:"town"`
	Minutes int64  `json:"minutes"`
}

// ride is an event as producers wrote it first.
type ride struct {
	N     int64   `json:"n"`
	Fare  float64 `json:"fare"`
	Tier  string  `json:"tier"`
	At    int64   `json:"at"`
	Stops []stop  `json:"stops"`
}

// newStop and newRide are what producers write after a change: members came,
// went and stand in another order.
type newStop struct {
	Minutes int64  `json:"minutes"`
	Note    string `json:"note"`
	Town    string `json:"town"`
}

type newRide struct {
	Stops []newStop         `json:"stops"`
	Extra map[string]string `json:"extra"`
	Tip   float64           `json:"tip"`
	At    int64             `json:"at"`
	Fare  float64           `json:"fare"`
	N     int64             `json:"n"`
}

// formatDefinitions has the views of a source for each of names; sources says
// what the sources are, and extra is more features of rides.
func formatDefinitions(sources, extra string, names ...string) string {
	var b strings.Builder
	b.WriteString(`
project: PROJECT
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
  - {name: town, join_keys: [{name: town, type: string}]}
sources:` + sources + `
views:`)
	for _, name := range names {
		b.WriteString(strings.NewReplacer("NAME", name, "EXTRA", extra).Replace(`
  - name: NAME_rides
    entity: driver
    source: NAME
    features:
      - {name: n, expr: n}
      - {name: fare, expr: fare}
      - {name: tier, expr: tier}
      - {name: trace, expr: trace}EXTRA
  - name: NAME_stops
    entity: town
    source: NAME
    keys: {town: stop.town}
    unnest: {field: stops, as: stop}
    features:
      - {name: minutes, expr: stop.minutes}
      - {name: "by", expr: driver_id}`))
	}
	return b.String()
}

// base is when rides happen: before their records are written, so that a
// tombstone is later.
var base = time.Now().Add(-time.Hour).UnixMicro()

// rideOf is the n'th ride, to the town of that name.
func rideOf(n int64, town string) ride {
	return ride{N: n, Fare: float64(n) + 0.5, Tier: "gold", At: base + n%1_000_000, Stops: []stop{{town, n % 1000}, {town + " end", n%1000 + 1}}}
}

func newRideOf(n int64, town string) newRide {
	return newRide{
		Stops: []newStop{{n % 1000, "x", town}, {n%1000 + 1, "", town + " end"}}, Extra: map[string]string{"a": "b"}, Tip: 7,
		At: base + n%1_000_000, Fare: float64(n) + 0.5, N: n,
	}
}

// put sends a record to the topic with suffix.
func (s *stack) put(suffix string, key, value []byte) *kgo.Record {
	s.t.Helper()
	return s.send(&kgo.Record{Topic: s.topic + suffix, Key: key, Value: value, Headers: []kgo.RecordHeader{header("trace-id", "t")}})
}

// row is what the read API says of features of one entity: their values, with
// spaces between, or the status of all of them.
func (s *stack) row(entity map[string]any, view string, features ...string) (string, error) {
	for i := range features {
		features[i] = view + ":" + features[i]
	}
	status, text, err := s.post("/v1/lookup", map[string]any{"features": features, "entities": []any{entity}, "include": []string{"status"}})
	if err != nil {
		return "", err
	}
	var a answer
	if status != http.StatusOK {
		return "", fmt.Errorf("status %d: %s", status, text)
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return "", err
	}
	if a.Rows[0].Status[0] == "NOT_FOUND" {
		return "NOT_FOUND", nil
	}
	return strings.Trim(strings.ReplaceAll(fmt.Sprintf("%s", a.Rows[0].Values), "\x00", ""), "[]"), nil
}

// waitRow waits until features of an entity have values.
func (s *stack) waitRow(entity map[string]any, view, features, want string) {
	s.t.Helper()
	s.eventually(20*time.Second, fmt.Sprintf("%v: %s of %s = %s", entity, features, view, want), func() error {
		got, err := s.row(entity, view, strings.Fields(features)...)
		if err == nil && got != want {
			err = fmt.Errorf("it is %s", got)
		}
		return err
	})
}

func driver(id int64) map[string]any    { return map[string]any{"driver_id": id} }
func townOf(name string) map[string]any { return map[string]any{"town": name} }

// addFile writes a file into the folder of definitions.
func (s *stack) addFile(name string, data []byte) {
	s.t.Helper()
	dir := filepath.Join(s.dir, "definitions")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// wantLetters asserts which records have letters, and of what reasons.
func (s *stack) wantLetters(want map[*kgo.Record]string) {
	s.t.Helper()
	s.waitCaughtUp(20 * time.Second)
	got := make(map[string][]string)
	place := func(topic string, partition int32, offset int64) string {
		return fmt.Sprintf("%s/%d@%d", topic, partition, offset)
	}
	for _, l := range s.letters() {
		at := place(l.Topic, l.Partition, l.Offset)
		got[at] = append(got[at], strings.TrimPrefix(l.View+" "+l.Reason, " "))
	}
	for r, reason := range want {
		at := place(r.Topic, r.Partition, r.Offset)
		if strings.Join(got[at], ", ") != reason {
			s.t.Errorf("the letters of %s are %q, want %q", at, got[at], reason)
		}
		delete(got, at)
	}
	for at, reasons := range got {
		s.t.Errorf("%s has letters %q", at, reasons)
	}
}

// cut takes the end of a record away, so that it is broken in any format.
func cut(value []byte) []byte { return value[:len(value)-1] }

func decimal(id int64) []byte { return fmt.Appendf(nil, "%d", id) }

// fixedSources have their schemas in files, the first of them none.
var fixedSources = `
  - name: plain
    kafka: {topic: TOPIC_plain}
    fields:` + declared + `
      - {name: tier, type: string}
    event_time: at
  - name: avro
    kafka: {topic: TOPIC_avro}
    format: avro
    schema: {file: ride.avsc}
    fields:` + declared + `
    event_time: at
  - name: proto
    kafka: {topic: TOPIC_proto}
    format: protobuf
    schema: {descriptors: ride.binpb, message: rides.Ride}
    fields:` + declared + `
    event_time: at`

// declared are the fields that a schema does not tell, or not as wide as they
// may become.
const declared = `
      - {name: n, type: int64}
      - {name: fare, type: float64}
      - {name: driver_id, type: int64, key: true}
      - {name: trace, type: string, header: trace-id}
      - {name: at, type: timestamp, unit: us}
      - {name: stops, of: [{name: town, type: string}, {name: minutes, type: int64}]}`

const avroRide = `{"type":"record","name":"Ride","fields":[
  {"name":"n","type":"int"},{"name":"fare","type":"float"},{"name":"tier","type":"string"},{"name":"at","type":"long"},
  {"name":"stops","type":{"type":"array","items":{"type":"record","name":"Stop","fields":[{"name":"town","type":"string"},{"name":"minutes","type":"int"}]}}}]}`

const protoRide = `syntax = "proto3"; package rides;
message Ride { int32 n = 1; double fare = 2; string tier = 3; int64 at = 4; repeated Stop stops = 5; }
message Stop { string town = 1; int32 minutes = 2; }
message Key { int64 id = 1; }`

// protoNewRide has another order, another width of n, no tier, and fields that
// came.
const protoNewRide = `syntax = "proto3"; package rides;
message Ride { repeated Stop stops = 5; map<string, string> extra = 7; optional double tip = 6; int64 at = 4; double fare = 2; int64 n = 1; reserved 3; }
message Stop { int64 minutes = 2; string note = 3; string town = 1; }
message Key { string region = 2; int64 id = 1; }`

// TestFixedSchemas changes what producers write in mid-stream. JSON tells by
// itself; so does Protobuf, whose new fields wait for apply; plain Avro cannot,
// and is applied between the old records and the new ones.
func TestFixedSchemas(t *testing.T) {
	s := newStack(t, "fixed")
	s.suffixes = []string{"_plain", "_avro", "_proto"}
	avro, protobuf := newAvroWriter(t, avroRide), newProtoWriter(t, protoRide)
	s.addFile("ride.avsc", []byte(avroRide))
	s.addFile("ride.binpb", protobuf.descriptors())
	s.write(formatDefinitions(fixedSources, "", "plain", "avro", "proto"))
	p := s.up(1)

	letters := make(map[*kgo.Record]string)
	s.put("_plain", decimal(1), asJSON(t, rideOf(1, "Rome")))
	s.put("_avro", decimal(1), avro.plain(rideOf(1, "Oslo")))
	s.put("_proto", decimal(1), protobuf.plain(rideOf(1, "Bern"), 0))
	for view, town := range map[string]string{"plain": "Rome", "avro": "Oslo", "proto": "Bern"} {
		s.waitRow(driver(1), view+"_rides", "n fare tier trace", `1 1.5 "gold" "t"`)
		s.waitRow(townOf(town), view+"_stops", "minutes by", "1 1")
		s.waitRow(townOf(town+" end"), view+"_stops", "minutes by", "2 1")
	}
	letters[s.put("_plain", decimal(1), []byte(`{"n": 2,`))] = "malformed"
	letters[s.put("_avro", decimal(1), cut(avro.plain(rideOf(2, "Oslo"))))] = "malformed"
	letters[s.put("_proto", decimal(1), cut(protobuf.plain(rideOf(2, "Bern"), 0)))] = "malformed"

	// Old records and new ones, on one topic.
	later := newProtoWriter(t, protoNewRide)
	s.put("_plain", decimal(2), asJSON(t, newRideOf(3, "Rome")))
	s.put("_plain", decimal(3), asJSON(t, rideOf(4, "Pisa")))
	s.put("_avro", decimal(2), avro.single(rideOf(3, "Oslo")))
	s.put("_avro", decimal(3), avro.plain(rideOf(4, "Moss")))
	s.put("_proto", decimal(2), later.plain(newRideOf(3, "Bern"), 0))
	s.put("_proto", decimal(3), protobuf.plain(rideOf(4, "Chur"), 0))
	for view, want := range map[string][3]string{"plain": {"null", "Rome", "Pisa"}, "avro": {`"gold"`, "Oslo", "Moss"}, "proto": {`""`, "Bern", "Chur"}} {
		s.waitRow(driver(2), view+"_rides", "n fare tier", "3 3.5 "+want[0])
		s.waitRow(townOf(want[1]), view+"_stops", "minutes by", "3 2")
		s.waitRow(driver(3), view+"_rides", "n fare tier", `4 4.5 "gold"`)
		s.waitRow(townOf(want[2]), view+"_stops", "minutes by", "4 3")
	}
	for _, suffix := range s.suffixes {
		letters[s.put(suffix, decimal(1), nil)] = suffix[1:] + "_stops no_key"
		s.waitRow(driver(1), suffix[1:]+"_rides", "n", "NOT_FOUND")
	}
	s.wantLetters(letters)

	s.endIngest(p)
	changed := strings.Replace(avroRide, `"fields":[`, `"fields":[{"name":"tip","type":"double","default":2.25},`, 1)
	changed = strings.Replace(changed, `{"name":"n","type":"int"}`, `{"name":"n","type":"long"}`, 1)
	s.addFile("ride.avsc", []byte(changed))
	s.addFile("ride.binpb", newProtoWriter(t, strings.Replace(protoNewRide, "reserved 3;", "string tier = 3;", 1)).descriptors())
	sources := strings.Replace(fixedSources, "- {name: tier,", "- {name: tip, type: float64}\n      - {name: tier,", 1)
	s.write(formatDefinitions(sources, "\n      - {name: tip, expr: tip}", "plain", "avro", "proto"))
	s.goOn()
	avro = newAvroWriter(t, changed)
	tipped := struct {
		ride
		Tip float64 `json:"tip"`
	}{rideOf(1<<40, "Oslo"), 7}
	s.put("_plain", decimal(5), asJSON(t, newRideOf(5, "Rome")))
	s.put("_plain", decimal(6), asJSON(t, rideOf(6, "Rome")))
	s.put("_avro", decimal(5), avro.plain(tipped))
	s.put("_avro", decimal(6), avro.single(tipped))
	s.put("_proto", decimal(5), later.plain(newRideOf(1<<40, "Bern"), 0))
	s.put("_proto", decimal(6), protobuf.plain(rideOf(6, "Bern"), 0))
	s.waitRow(driver(5), "plain_rides", "n tier tip", "5 null 7")
	s.waitRow(driver(6), "plain_rides", "n tier tip", `6 "gold" null`)
	s.waitRow(driver(5), "avro_rides", "n tier tip", `1099511627776 "gold" 7`)
	s.waitRow(driver(6), "avro_rides", "n tier tip", `1099511627776 "gold" 7`)
	s.waitRow(driver(5), "proto_rides", "n tier tip", `1099511627776 "" 7`)
	s.waitRow(driver(6), "proto_rides", "n tier tip", `6 "gold" null`)
	s.waitRow(townOf("Rome"), "plain_stops", "minutes by", "6 6")
	s.waitRow(townOf("Bern"), "proto_stops", "minutes by", "776 5")
	s.wantLetters(letters)
}
