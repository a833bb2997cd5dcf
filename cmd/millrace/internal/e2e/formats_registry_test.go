package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// registrySources have schemas of values and of keys in a registry.
var registrySources = `
  - name: avro
    kafka: {topic: TOPIC_avro}
    format: avro
    schema: {subject: TOPIC_avro-value}
    fields:` + declaredOfKey + `
    event_time: at
  - name: proto
    kafka: {topic: TOPIC_proto}
    format: protobuf
    schema: {subject: TOPIC_proto-value, message: rides.Ride}
    fields:` + declaredOfKey + `
    event_time: at`

var declaredOfKey = strings.Replace(declared, "key: true", "key: true, path: id", 1)

// The schemas that are the newest at apply, so that records are read as these:
// what a writer lacks is a default, and what it has in a narrower type widens.
const (
	avroPinned = `{"type":"record","name":"Ride","fields":[
  {"name":"n","type":"long"},{"name":"fare","type":"double"},{"name":"tier","type":"string","default":"none"},{"name":"at","type":"long"},
  {"name":"tip","type":"double","default":2.25},
  {"name":"stops","type":{"type":"array","items":{"type":"record","name":"Stop","fields":[{"name":"town","type":"string"},{"name":"minutes","type":"long"}]}}}]}`
	protoPinned = `syntax = "proto3"; package rides;
message Ride { int64 n = 1; double fare = 2; string tier = 3; int64 at = 4; repeated Stop stops = 5; optional double tip = 6; }
message Stop { string town = 1; int32 minutes = 2; }`
)

// avroNewRide, against avroPinned: stops and their members in another order,
// extra and note came, tier went, tip, fare and n have narrower types.
const avroNewRide = `{"type":"record","name":"Ride","fields":[
  {"name":"stops","type":{"type":"array","items":{"type":"record","name":"Stop","fields":[
    {"name":"minutes","type":"int"},{"name":"note","type":"string"},{"name":"town","type":"string"}]}}},
  {"name":"extra","type":{"type":"map","values":"string"}},{"name":"tip","type":"int"},{"name":"at","type":"long"},{"name":"fare","type":"float"},{"name":"n","type":"int"}]}`

const (
	avroKey    = `{"type":"record","name":"Key","fields":[{"name":"id","type":"long"}]}`
	avroNewKey = `{"type":"record","name":"Key","fields":[{"name":"region","type":"string"},{"name":"id","type":"int"}]}`
)

// key and newKey are keys of records, as newRide is to ride.
type key struct {
	ID int64 `json:"id"`
}

type newKey struct {
	Region string `json:"region"`
	ID     int64  `json:"id"`
}

// keyMessage is where protoRide has message Key.
const keyMessage = 2

// nobody is an id that no registry gave.
const nobody = 2_000_000_000

// dialect is one format's way to write keys and rides, before and after the
// schemas change.
type dialect struct {
	format            string
	key, newKey       func(id int64) []byte
	ride, newRide     func(n int64, town string) []byte
	absent, gone, tip string // a tip that a writer lacks; a tier that a newer one lacks; a tip that it has
}

func (r *registry) avroRides(suffix string) dialect {
	r.s.t.Helper()
	value, keys := r.subject(suffix, "value"), r.subject(suffix, "key")
	before, key1 := r.avro(value, avroRide), r.avro(keys, avroKey)
	r.avro(value, avroPinned)
	var after, key2 *avroWriter
	return dialect{
		format: "avro", absent: "2.25", gone: `"none"`, tip: "7",
		key:  func(id int64) []byte { return key1.framed(key{id}) },
		ride: func(n int64, town string) []byte { return before.framed(rideOf(n, town)) },
		newKey: func(id int64) []byte {
			if key2 == nil {
				key2 = r.avro(keys, avroNewKey)
			}
			return key2.framed(newKey{"north", id})
		},
		newRide: func(n int64, town string) []byte {
			if after == nil {
				after = r.avro(value, avroNewRide)
			}
			return after.framed(newRideOf(n, town))
		},
	}
}

func (r *registry) protobufRides(suffix string) dialect {
	r.s.t.Helper()
	value, keys := r.subject(suffix, "value"), r.subject(suffix, "key")
	before, key1 := r.protobuf(value, protoRide), r.protobuf(keys, protoRide)
	r.protobuf(value, protoPinned)
	var after, key2 *protoWriter
	return dialect{
		format: "proto", absent: "null", gone: "null", tip: "7",
		key:  func(id int64) []byte { return key1.framed(key{id}, keyMessage) },
		ride: func(n int64, town string) []byte { return before.framed(rideOf(n, town), 0) },
		newKey: func(id int64) []byte {
			if key2 == nil {
				key2 = r.protobuf(keys, protoNewRide)
			}
			return key2.framed(newKey{"north", id}, keyMessage)
		},
		newRide: func(n int64, town string) []byte {
			if after == nil {
				after = r.protobuf(value, protoNewRide)
			}
			return after.framed(newRideOf(n, town), 0)
		},
	}
}

// TestRegistrySchemas changes the schemas of values and of keys in mid-stream:
// every record is read by the schema that it names, without a restart, and one
// that names none, or does not have its form, costs itself only.
func TestRegistrySchemas(t *testing.T) {
	s := newStack(t, "registry")
	s.suffixes = []string{"_avro", "_proto"}
	r := s.newRegistry()
	all := []dialect{r.avroRides("_avro"), r.protobufRides("_proto")}
	s.write(formatDefinitions(registrySources, "\n      - {name: tip, expr: tip}", "avro", "proto"))
	p := s.up(1)

	letters := make(map[*kgo.Record]string)
	for _, w := range all {
		topic, view, stops := "_"+w.format, w.format+"_rides", w.format+"_stops"
		s.put(topic, w.key(1), w.ride(1, "Oslo"))
		s.put(topic, w.key(2), w.ride(2, "Bern"))
		s.waitRow(driver(1), view, "n fare tier tip trace", `1 1.5 "gold" `+w.absent+` "t"`)
		s.waitRow(townOf("Oslo"), stops, "minutes by", "1 1")

		letters[s.put(topic, w.key(3), append(confluentHeader(nobody), w.ride(3, "Nowhere")[5:]...))] = "unknown_schema"
		s.put(topic, w.key(3), w.newRide(4, "Rome"))
		letters[s.put(topic, w.key(3), cut(w.newRide(5, "Rome")))] = "malformed"
		s.put(topic, w.newKey(1), w.newRide(6, "Oslo"))
		letters[s.put(topic, append(confluentHeader(nobody), w.key(3)[5:]...), w.ride(7, "Rome"))] = "unknown_schema"
		s.put(topic, w.newKey(4), w.ride(8, "Pisa"))
		s.waitRow(driver(3), view, "n fare tier tip trace", "4 4.5 "+w.gone+" "+w.tip+` "t"`)
		s.waitRow(driver(1), view, "n fare tier tip trace", "6 6.5 "+w.gone+" "+w.tip+` "t"`)
		s.waitRow(driver(4), view, "n fare tier tip trace", `8 8.5 "gold" `+w.absent+` "t"`)
		s.waitRow(townOf("Rome"), stops, "minutes by", "4 3")
		s.waitRow(townOf("Rome end"), stops, "minutes by", "5 3")
		s.waitRow(townOf("Oslo"), stops, "minutes by", "6 1")
		s.waitRow(townOf("Pisa"), stops, "minutes by", "8 4")

		letters[s.put(topic, w.newKey(2), nil)] = stops + " no_key"
		s.waitRow(driver(2), view, "n", "NOT_FOUND")
		s.waitRow(driver(1), view, "n", "6")
	}
	s.wantLetters(letters)
	s.checkReceived(map[string]float64{"avro_rides": 9, "proto_rides": 9, "avro_stops": 5*2 + 3 + 1, "proto_stops": 5*2 + 3 + 1})
	if !p.running() {
		t.Errorf("the process ended: %v", p.err)
	}
}

// changeSource has Debezium's change events.
var changeSource = `
  - name: change
    kafka: {topic: TOPIC}
    envelope: debezium
    fields:` + strings.Replace(declaredOfKey, "{name: at, type: timestamp, unit: us}", "{name: tier, type: string}", 1)

// changeOf is a change event, n milliseconds after base.
func changeOf(t *testing.T, op string, n int64, after any) []byte {
	return fmt.Appendf(nil, `{"schema":{},"payload":{"before":null,"after":%s,"source":{"ts_ms":%d},"op":%q}}`, asJSON(t, after), base/1000+n, op)
}

// TestChangeEvents follows a row of a database: inserted, changed by a table
// that has other columns by then, deleted, and inserted again.
func TestChangeEvents(t *testing.T) {
	s := newStack(t, "changes")
	s.write(formatDefinitions(changeSource, "", "change"))
	s.up(1)
	of := func(id int) []byte { return fmt.Appendf(nil, `{"schema":{},"payload":{"id":%d}}`, id) }
	letters := make(map[*kgo.Record]string)
	s.put("", of(1), changeOf(t, "c", 1, rideOf(1, "Oslo")))
	s.put("", of(2), changeOf(t, "r", 2, rideOf(2, "Rome")))
	s.waitRow(driver(1), "change_rides", "n fare tier trace", `1 1.5 "gold" "t"`)
	s.waitRow(townOf("Oslo end"), "change_stops", "minutes by", "2 1")
	s.put("", of(1), changeOf(t, "u", 3, newRideOf(3, "Oslo")))
	s.waitRow(driver(1), "change_rides", "n fare tier trace", `3 3.5 null "t"`)
	s.waitRow(townOf("Oslo"), "change_stops", "minutes by", "3 1")

	letters[s.put("", of(1), []byte(`{"n":1}`))] = "malformed"
	letters[s.put("", of(1), changeOf(t, "d", 4, nil))] = "change_stops no_key"
	letters[s.put("", of(1), nil)] = "change_stops no_key"
	s.waitRow(driver(1), "change_rides", "n", "NOT_FOUND")
	s.waitRow(driver(2), "change_rides", "n", "2")
	s.put("", of(1), changeOf(t, "c", 5, rideOf(5, "Oslo")))
	s.waitRow(driver(1), "change_rides", "n fare tier trace", `5 5.5 "gold" "t"`)
	s.wantLetters(letters)
}
