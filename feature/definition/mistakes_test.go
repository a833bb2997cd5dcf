package definition_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"millrace/feature"
	"millrace/feature/definition"
)

// base is a project without faults; each mistake replaces a part of it.
const base = `project: rides
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
sources:
  - name: trips
    kafka: {topic: trips, start: 24h}
    format: json
    fields:
      - {name: driver_id, type: int64, path: driver.id}
      - {name: fare, type: float64}
      - {name: km, type: float64}
      - {name: at, type: timestamp, unit: ms}
    event_time: at
  - {name: quote, request: {}, fields: [{name: pickup_km, type: float64, optional: true}]}
views:
  - name: driver_trips
    entity: driver
    source: trips
    where: km > 0
    ttl: 1w2d
    features:
      - {name: last_fare, expr: fare, default: 1.5}
      - {name: rate, expr: "fare / nullif(km, 0)"}
      - {name: doubled, expr: rate * 2, at: read}
services:
  - name: eta
    features:
      - driver_trips
      - {view: driver_trips, as: backup, keys: {driver_id: other_id}, features: [rate]}
`

func load(text string) (*definition.Project, error) {
	return definition.Load([]definition.File{{Name: "a.yaml", Data: []byte(text)}})
}

func TestAProjectWithoutFaults(t *testing.T) {
	p, err := load(base)
	if err != nil {
		t.Fatal(err)
	}
	v := p.Catalog.View("driver_trips")
	if v.TTL.Hours() != 9*24 || v.Keys[0].Expr != "driver_id" || v.Revision != 1 || v.Generation != 1 {
		t.Errorf("view %+v", v)
	}
	if d := v.Features[0].Default; d == nil || d.Floats[0] != 1.5 {
		t.Errorf("default %+v", d)
	}
	if v.Features[2].At != feature.PhaseRead || v.Features[1].Type != feature.Of(feature.KindFloat64) {
		t.Errorf("features %+v", v.Features)
	}
	refs := p.Catalog.Service("eta").Features
	if len(refs) != 4 || refs[3].As != "backup" || refs[3].Keys["driver_id"] != "other_id" {
		t.Errorf("service %+v", refs)
	}
	if s := p.Catalog.Source("trips"); s.Start.Back.Hours() != 24 || s.Fields[0].Path != "driver.id" || s.EventTime != "at" {
		t.Errorf("source %+v", s)
	}
	if p.Plans["driver_trips"] == nil {
		t.Error("the view has no plan")
	}
}

// mistake is a replacement in the base, and what is told of it: where, and a part
// of the message or the hint.
type mistake struct{ name, old, new, at, says string }

var mistakesInSources = []mistake{
	{"unknown key", "kafka: {topic", "kafka: {topik", "6:13", "did you mean topic?"},
	{"key written twice", "    where: km > 0\n", "    where: km > 0\n    where: km > 1\n", "20:5", "where is written twice"},
	{"missing name", "  - name: trips\n", "  - description: x\n", "5:5", "name is missing"},
	{"unknown type", "type: int64}]", "type: int46}]", "3:56", `unknown type "int46"`},
	{"key that cannot be one", "type: int64}]", "type: float64}]", "3:56", "a join key cannot be float64"},
	{"bad start", "start: 24h", "start: yesterday", "6:34", "none of earliest, latest"},
	{"unit of a number", "{name: km, type: float64}", "{name: km, type: float64, unit: s}", "11:41", "unit is for timestamps"},
	{"unknown unit", "unit: ms", "unit: min", "12:43", "is not one of s, ms, us, ns"},
	{"field twice", "{name: km,", "{name: fare,", "11:16", "declares field fare twice"},
	{"event time of no field", "event_time: at", "event_time: att", "13:17", "did you mean at?"},
	{"event time that is no time", "event_time: at", "event_time: km", "13:17", "which is float64"},
	{
		"two sources, one topic",
		"request: {}, fields: [{name: pickup_km, type: float64, optional: true}]",
		"kafka: {topic: trips}, fields: [{name: pickup_km, type: float64}]",
		"14:34", "sources trips and quote both read topic trips",
	},
	{"two kinds", "request: {}", "request: {}, push: {}", "14:5", "must be one of kafka, push and request"},
	{"name taken", "name: quote", "name: driver_trips", "16:11", "view driver_trips has the name of the source at a.yaml:14"},
	{"project's name", "project: rides", "project: Rides!", "1:10", "cannot name a project"},
	{"permissions", "services:\n", "permissions: []\nservices:\n", "25:1", "permissions are not available"},
	{"avro", "format: json", "format: avro", "7:13", "format avro needs a schema"},
	{"length without a type", "rate * 2, at: read", "rate * 2, length: 3", "24:49", "without a type"},
	{"key of another type", "    where: km > 0\n", "    keys: {driver_id: fare}\n", "19:23", "is int64 but its expression is float64"},
	{"topic that cannot be one", "topic: trips", "topic: a b", "6:20", "cannot be a topic"},
	{"path with an empty step", "path: driver.id", "path: driver..id", "9:46", "has an empty step"},
	{"path of a request", "type: float64, optional: true", "type: float64, path: x", "14:80", "path is for fields of kafka sources"},
	{"optional in a record", "{name: km, type: float64}", "{name: km, type: float64, optional: true}", "11:45", "optional is for fields of request sources"},
	{"event time of a request", "request: {},", "request: {}, event_time: pickup_km,", "14:44", "event_time is for sources that are stored"},
	{"no type", "{name: km, type: float64}", "{name: km}", "11:9", "field km has no type"},
	{"length of no list", "{name: km, type: float64}", "{name: km, type: float64, length: 3}", "11:43", "length fixes the number of elements of a list"},
	{"length of nothing", "{name: km, type: float64}", "{name: x, type: list<int64>, length: 0}\n      - {name: km, type: float64}", "11:46", "length 0 is not between"},
	{"no fields", "fields: [{name: pickup_km, type: float64, optional: true}]", "fields: []", "14:40", "source quote declares no fields"},
	{"not YAML", "project: rides", "project: [", "1:10", "not YAML"},
}

var mistakesInViews = []mistake{
	{"bad duration", "ttl: 1w2d", "ttl: soon", "20:10", "write 90s, 15m, 24h, 7d"},
	{"unknown entity", "entity: driver\n", "entity: drivr\n", "17:13", "did you mean driver?"},
	{"unknown source", "source: trips\n", "source: trip\n", "18:13", "did you mean trips?"},
	{"request source feeds a view", "source: trips\n", "source: quote\n", "18:13", "cannot be fed by request source"},
	{"unknown name in an expression", "expr: fare,", "expr: farre,", "22:33", "did you mean fare?"},
	{"unknown function in quotes", `"fare / nullif(km, 0)"`, `"fare / nulif(km, 0)"`, "23:36", "did you mean nullif?"},
	{"type error", "where: km > 0", "where: km", "19:12", "where is float64, not bool"},
	{"syntax of an expression", "where: km > 0", "where: km >", "19:16", "unexpected end"},
	{"comma without quotes", `expr: "fare / nullif(km, 0)"`, "expr: fare / nullif(km, 0)", "23:46", "put the text before it in quotes"},
	{"field's name", "{name: last_fare, expr: fare, default: 1.5}", "{name: km, expr: fare}", "22:26", "has the name of a field"},
	{"bad default", "default: 1.5", "default: much", "22:48", "write a float64"},
	{"default of a mapping", "default: 1.5", "default: {a: 1}", "22:48", "default of feature last_fare is not a float64\nwrite one value, or a list of them"},
	{"stated type", "expr: fare, default: 1.5", "expr: fare, type: int64", "22:45", "is stated to be int64"},
	{"circle", "expr: rate * 2, at: read", "expr: doubled * 2", "24:31", "computed from itself"},
	{
		"no features",
		"    features:\n      - {name: last_fare, expr: fare, default: 1.5}\n      - {name: rate, expr: \"fare / nullif(km, 0)\"}\n      - {name: doubled, expr: rate * 2, at: read}\n",
		"    features: []\n",
		"21:15", "view driver_trips has no features",
	},
	{"feature twice", "{name: rate, expr", "{name: last_fare, expr", "23:16", "has feature last_fare twice"},
	{"feature with a join key's name", "{name: doubled, expr: rate * 2", "{name: driver_id, expr: driver_id", "24:16", "the name of a join key"},
	{"feature with the time's name", "name: doubled", "name: event_timestamp", "24:16", "the name of the time"},
	{"a word of the language", "name: doubled", "name: case", "24:16", "is a word of the expression language"},
	{
		"at write, though it cannot be",
		"rate * 2, at: read",
		"rate * 2, at: read}\n      - {name: tripled, expr: doubled + rate, at: write",
		"25:51", "names a feature that is computed at read",
	},
	{"short for an unknown field", "{name: last_fare, expr: fare, default: 1.5}", "{name: farre}", "22:16", "unknown name farre\ndid you mean fare?"},
	{"where of what is not stored", "where: km > 0", "where: doubled > 0", "19:12", "feature doubled is computed at read"},
	{"empty where", "where: km > 0", "where: ''", "19:12", "where is empty"},
	{"empty expr", "expr: rate * 2", "expr: ''", "24:31", "expr is empty"},
	{"ttl_mode without ttl", "ttl: 1w2d", "ttl_mode: report", "20:15", "there is no ttl"},
	{"expire below ttl", "ttl: 1w2d", "ttl: 1w2d\n    expire: 8d", "21:13", "expire is shorter than ttl"},
	{"negative duration", "ttl: 1w2d", "ttl: -1h", "20:10", "is not a duration"},
	{"no duration at all", "ttl: 1w2d", "ttl: 0s", "20:10", "is not a duration"},
	{"more than 64 bits", "ttl: 1w2d", "ttl: 20000w", "20:10", "up to 36500d"},
	{"key without an expression", "    where: km > 0\n", "    keys: {driver_id: ''}\n", "19:23", "join key driver_id has no expression"},
	{"no field for a key", "{name: driver_id, type: int64, path", "{name: driver, type: int64, path", "16:5", "has no field driver_id for the join key"},
	{"anchor", "ttl: 1w2d", "ttl: &t 1w2d", "20:10", "an anchor, which definitions do without"},
	{"a list where a value is meant", "ttl: 1w2d", "ttl: [1w2d]", "20:10", "is not a duration"},
	{"nothing where a name is meant", "entity: driver\n", "entity:\n", "17:12", "must be a single value, not nothing"},
}

var mistakesInServices = []mistake{
	{"unknown view in a service", "      - driver_trips\n", "      - driver_trip\n", "28:9", "did you mean driver_trips?"},
	{"unknown feature in a service", "features: [rate]", "features: [rat]", "29:82", "did you mean rate?"},
	{"served twice", "{view: driver_trips, as: backup, keys: {driver_id: other_id}, features: [rate]}", "driver_trips:rate", "29:9", "serves driver_trips:rate twice"},
	{"one name, two meanings", "as: backup, ", "", "29:9", "uses the name driver_trips for view driver_trips under different keys\ngive one of the two another name with as:"},
	{"foreign join key", "keys: {driver_id: other_id}", "keys: {driver: other_id}", "29:49", "has no join key driver"},
	{"source in a service", "      - driver_trips\n", "      - trips\n", "28:9", "trips is a source, not a view"},
	{"unknown feature in the short form", "      - driver_trips\n", "      - driver_trips:lastfare\n", "28:22", "did you mean last_fare?"},
	{"name that cannot be one", "as: backup", "as: back-up", "29:34", "cannot be a name"},
	{"column that cannot be one", "driver_id: other_id", "driver_id: other-id", "29:60", "cannot be the name of a request's column"},
	{
		"service of nothing",
		"    features:\n      - driver_trips\n      - {view: driver_trips, as: backup, keys: {driver_id: other_id}, features: [rate]}\n",
		"    features: []\n",
		"27:15", "serves nothing",
	},
	{"a value where a list is meant", "features: [rate]", "features: rate", "29:81", "must be a list, not a single value"},
}

// TestMistakes makes every mistake once and reads what the person is told.
func TestMistakes(t *testing.T) {
	for _, c := range slices.Concat(mistakesInSources, mistakesInViews, mistakesInServices) {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(base, c.old) {
				t.Fatalf("the base has no %q", c.old)
			}
			_, err := load(strings.Replace(base, c.old, c.new, 1))
			if err == nil {
				t.Fatal("it loads")
			}
			var all definition.Errors
			if !errors.As(err, &all) || len(all) != 1 {
				t.Fatalf("want one error, not %d:\n%v", len(all), err)
			}
			if at := fmt.Sprintf("%s:%d:%d", all[0].File, all[0].Line, all[0].Column); at != "a.yaml:"+c.at || !strings.Contains(all[0].Message+"\n"+all[0].Hint, c.says) {
				t.Errorf("want a.yaml:%s with %q in\n%v", c.at, c.says, err)
			}
			if all[0].Hint == "" {
				t.Errorf("no next step in\n%v", err)
			}
		})
	}
}

func TestTenMistakesAtOnce(t *testing.T) {
	text := strings.NewReplacer("topic:", "topik:", "type: int64}]", "type: int46}]", "unit: ms", "unit: min", "event_time: at", "event_time: att",
		"1w2d", "soon", "expr: fare,", "expr: farre,", "as: backup", "az: backup", "- driver_trips\n", "- driver_trip\n",
		"format: json", "envelope: soap", "optional: true", "optional: perhaps").Replace(base)
	want := "3:56 6:13 7:15 12:43 13:17 14:84 20:10 22:33 28:9 29:30" // topik is one: that topic is missing follows
	if got := places(t, text); got != want {
		t.Errorf("mistakes at %s, want %s", got, want)
	}
}

// places lists where a text has errors, in the order in which they are told.
func places(t *testing.T, text string) string {
	t.Helper()
	_, err := load(text)
	var all definition.Errors
	if err != nil && !errors.As(err, &all) {
		t.Fatalf("the error is %T", err)
	}
	at := make([]string, len(all))
	for i, e := range all {
		at[i] = fmt.Sprintf("%d:%d", e.Line, e.Column)
	}
	return strings.Join(at, " ")
}

func TestCaretStandsUnderTheFault(t *testing.T) {
	_, err := load(strings.Replace(base, "where: km > 0", "where: kmm > 0", 1))
	lines := strings.Split(err.Error(), "\n")
	if len(lines) < 3 || strings.Index(lines[2], "^") != strings.Index(lines[1], "kmm") {
		t.Errorf("\n%v", err)
	}
}

func TestReadDir(t *testing.T) {
	dir := t.TempDir()
	for _, where := range []string{filepath.Join(dir, "nowhere"), dir} {
		if _, err := definition.ReadDir(where); err == nil || !strings.Contains(err.Error(), "definitions") {
			t.Errorf("%s: %v", where, err)
		}
	}
	for name, text := range map[string]string{"b.yml": "entities: []", "a.yaml": "project: p", "c.txt": "no"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := definition.ReadDir(dir)
	if err != nil || len(files) != 2 || files[0].Name != "a.yaml" {
		t.Errorf("%v, %v", files, err)
	}
}

func TestSchemaListsWhatTheReaderKnows(t *testing.T) {
	text, err := definition.Schema()
	if err != nil || !json.Valid(text) {
		t.Fatalf("%v", err)
	}
	for _, key := range []string{`"on_null_key"`, `"ttl_mode"`, `"enforce"`, `"default"`, `"join_keys"`, `"on_demand_views"`, `"windows"`, `"count_distinct"`} {
		if !strings.Contains(string(text), key) {
			t.Errorf("the schema lacks %s", key)
		}
	}
	if strings.Contains(string(text), `"permissions"`) {
		t.Error("the schema offers what is not available")
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(base)
	f.Add("project: p\nviews: [{features: [{default: [1, {a: 2}]}]}]")
	f.Add("- 1\n- {a: *b}")
	f.Add(onDemandBase)
	f.Add(windowsBase)
	f.Add("project: p\non_demand_views: [{name: q, sources: [q, r, r], features: [{name: a, expr: event_time(q)}, {name: a, at: write}]}]")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := load(text)
		var all definition.Errors
		if errors.As(err, &all) == (p != nil) {
			t.Fatalf("project %v, error %v", p, err)
		}
		for _, e := range all {
			if e.Message != "no file names the project" && (e.Line < 1 || e.Column < 1 || e.Line > strings.Count(text, "\n")+strings.Count(text, "\r")+1) {
				t.Errorf("no place for %v", e)
			}
		}
	})
}
