package definition_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
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

// TestMistakes makes every mistake once and reads what the person is told.
func TestMistakes(t *testing.T) {
	for _, c := range []struct{ name, old, new, at, says string }{
		{"unknown key", "kafka: {topic", "kafka: {topik", "6:13", "did you mean topic?"},
		{"key written twice", "    where: km > 0\n", "    where: km > 0\n    where: km > 1\n", "20:5", "where is written twice"},
		{"missing name", "  - name: trips\n", "  - description: x\n", "5:", "name is missing"},
		{"unknown type", "type: int64}]", "type: int46}]", "3:56", `unknown type "int46"`},
		{"key that cannot be one", "type: int64}]", "type: float64}]", "3:56", "a join key cannot be float64"},
		{"bad duration", "ttl: 1w2d", "ttl: soon", "20:10", "write 90s, 15m, 24h, 7d"},
		{"bad start", "start: 24h", "start: yesterday", "6:34", "none of earliest, latest"},
		{"unit of a number", "{name: km, type: float64}", "{name: km, type: float64, unit: s}", "11:41", "unit is for timestamps"},
		{"unknown unit", "unit: ms", "unit: min", "12:43", "is not one of s, ms, us, ns"},
		{"field twice", "{name: km,", "{name: fare,", "11:16", "declares field fare twice"},
		{"event time of no field", "event_time: at", "event_time: att", "13:17", "did you mean at?"},
		{"event time that is no time", "event_time: at", "event_time: km", "13:17", "which is float64"},
		{"unknown entity", "entity: driver\n", "entity: drivr\n", "17:13", "did you mean driver?"},
		{"unknown source", "source: trips\n", "source: trip\n", "18:13", "did you mean trips?"},
		{"request source feeds a view", "source: trips\n", "source: quote\n", "18:13", "cannot be fed by request source"},
		{"unknown name in an expression", "expr: fare,", "expr: farre,", "22:33", "did you mean fare?"},
		{"unknown function in quotes", `"fare / nullif(km, 0)"`, `"fare / nulif(km, 0)"`, "23:36", "did you mean nullif?"},
		{"type error", "where: km > 0", "where: km", "19:12", "where is float64, not bool"},
		{"syntax of an expression", "where: km > 0", "where: km >", "19:", "unexpected end"},
		{"comma without quotes", `expr: "fare / nullif(km, 0)"`, "expr: fare / nullif(km, 0)", "23:", "put the text before it in quotes"},
		{"field's name", "{name: last_fare, expr: fare, default: 1.5}", "{name: km, expr: fare}", "22:", "has the name of a field"},
		{"bad default", "default: 1.5", "default: much", "22:48", "write a float64"},
		{"default of a mapping", "default: 1.5", "default: {a: 1}", "22:", "a single value or a list"},
		{"stated type", "expr: fare, default: 1.5", "expr: fare, type: int64", "22:45", "is stated to be int64"},
		{"circle", "expr: rate * 2, at: read", "expr: doubled * 2", "24:", "computed from itself"},
		{"unknown view in a service", "      - driver_trips\n", "      - driver_trip\n", "28:9", "did you mean driver_trips?"},
		{"unknown feature in a service", "features: [rate]", "features: [rat]", "29:9", "did you mean rate?"},
		{"served twice", "as: backup, ", "", "29:9", "serves driver_trips:rate twice"},
		{"foreign join key", "keys: {driver_id: other_id}", "keys: {driver: other_id}", "29:", "has no join key driver"},
		{"two sources, one topic", "  - {name: quote, request: {}", "  - {name: quote, kafka: {topic: trips}", "14:5", "both read topic trips"},
		{"two kinds", "request: {}", "request: {}, push: {}", "14:5", "must be one of kafka, push and request"},
		{"name taken", "name: quote", "name: driver_trips", "16:11", "has the name of a source"},
		{"project's name", "project: rides", "project: Rides!", "1:10", "cannot name a project"},
		{"windows", "expr: fare, default: 1.5", "agg: sum, of: fare, window: 1h", "22:", "windowed features are not available"},
		{"on-demand views", "services:\n", "on_demand_views: []\nservices:\n", "25:1", "on-demand views are not available"},
		{"avro", "format: json", "format: avro", "7:13", "format avro is not available"},
		{"not YAML", "project: rides", "project: [", "1:", "not YAML"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(base, c.old) {
				t.Fatalf("the base has no %q", c.old)
			}
			_, err := load(strings.Replace(base, c.old, c.new, 1))
			if err == nil {
				t.Fatal("it loads")
			}
			if !strings.Contains(err.Error(), "a.yaml:"+c.at) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("want a.yaml:%s with %q in\n%v", c.at, c.says, err)
			}
		})
	}
}

func TestTenMistakesAtOnce(t *testing.T) {
	text := strings.NewReplacer("topic:", "topik:", "type: int64}]", "type: int46}]", "unit: ms", "unit: min", "event_time: at", "event_time: att",
		"1w2d", "soon", "expr: fare,", "expr: farre,", "as: backup", "az: backup", "- driver_trips\n", "- driver_trip\n",
		"format: json", "format: avro", "optional: true", "optional: perhaps").Replace(base)
	_, err := load(text)
	var all definition.Errors
	if !errors.As(err, &all) || len(all) < 10 {
		t.Errorf("%d mistakes are reported:\n%v", len(all), err)
	}
	for i := 1; i < len(all); i++ {
		if all[i].Line < all[i-1].Line {
			t.Errorf("line %d comes after line %d", all[i].Line, all[i-1].Line)
		}
	}
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
	for _, key := range []string{`"on_null_key"`, `"ttl_mode"`, `"enforce"`, `"default"`, `"join_keys"`} {
		if !strings.Contains(string(text), key) {
			t.Errorf("the schema lacks %s", key)
		}
	}
	if strings.Contains(string(text), `"windows"`) {
		t.Error("the schema offers what is not available")
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(base)
	f.Add("project: p\nviews: [{features: [{default: [1, {a: 2}]}]}]")
	f.Add("- 1\n- {a: *b}")
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := load(text); err == nil && p == nil {
			t.Error("neither a project nor an error")
		}
	})
}
