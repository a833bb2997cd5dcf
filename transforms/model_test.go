package transforms_test

import (
	"strings"
	"testing"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/transforms"
)

const modelled = `project: rides
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources:
  - name: trips
    kafka: {topic: trips}
    fields: [{name: driver_id, type: int64}, {name: fare, type: float64}, {name: km, type: float64}, {name: tags, type: list<string>}]
views:
  - name: v
    entity: driver
    source: trips
    features:
      - {name: last_fare, expr: fare, default: 1}
      - {name: rate, expr: last_fare / base, at: read}
      - {name: base, expr: km + 1, at: read}
      - {name: other, expr: km * 5, at: read}
      - {name: trips, agg: count, window: 24h}
      - {name: long, agg: count, filter: km > 20, window: 24h}
      - {name: share, expr: long / trips, at: read}
      - {name: tags, expr: tags, default: [a, b]}
  - {name: w, entity: driver, source: trips, ttl: 1d, features: [{name: fare}]}
on_demand_views:
  - name: q
    sources: [v, w]
    features:
      - {name: sum, expr: half + v.rate}
      - {name: half, expr: w.fare / 2, default: 3}
      - {name: quiet_s, expr: epoch(now()) - epoch(event_time(w))}
      - {name: tagged, expr: len(v.tags)}
      - {name: unused, expr: w.fare * 7}
models:
  - name: m
    version: "1"
    endpoint: http://m
    entity: driver
    inputs: [INPUTS]
    outputs: [{name: score, type: float64}]
`

func modelOf(t *testing.T, inputs string, replace ...string) *transforms.ModelPlan {
	t.Helper()
	text := strings.Replace(modelled, "INPUTS", inputs, 1)
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("there is no %q", replace[i])
		}
		text = strings.Replace(text, replace[i], replace[i+1], 1)
	}
	p, err := definition.Load([]definition.File{{Name: "a.yaml", Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return p.Models["m"]
}

// TestWhatAPredictionIsMadeOf: views behind on-demand views are part of it,
// rows only where they are read.
func TestWhatAPredictionIsMadeOf(t *testing.T) {
	for _, c := range []struct{ inputs, want string }{
		{"v:last_fare", "v 1 row"},
		{"v:trips", "v 1 [trips]"},
		{"v:share", "v 1 [long trips]"},
		{"v:share, v:rate", "v 1 row [long trips]"},
		{"q:sum", "q 0; v 1 row; w 1 row"},
		{"q:half", "q 0; w 1 row"},
		{"q:quiet_s", "q 0; w 1 row"},
		{"q:quiet_s, v:trips", "q 0; v 1 [trips]; w 1 row"},
	} {
		var got []string
		for _, s := range modelOf(t, c.inputs).Sources() {
			text := s.Name + " " + string(rune('0'+s.Generation))
			if s.Row {
				text += " row"
			}
			if len(s.Windows) > 0 {
				text += " [" + strings.Join(s.Windows, " ") + "]"
			}
			if (s.View == nil) != (s.Name == "q") {
				t.Errorf("source %+v", s)
			}
			got = append(got, text)
		}
		if text := strings.Join(got, "; "); text != c.want {
			t.Errorf("%s is made of %q, want %q", c.inputs, text, c.want)
		}
	}
}

// TestReadHash changes with how inputs are read, and with nothing else.
func TestReadHash(t *testing.T) {
	const inputs = "v:last_fare, v:share, q:sum, q:tagged"
	hashes := func(p *transforms.ModelPlan) map[string]uint64 {
		all := make(map[string]uint64)
		for _, s := range p.Sources() {
			all[s.Name] = s.Read
		}
		return all
	}
	before := hashes(modelOf(t, inputs))
	for _, c := range []struct {
		name, changes string // names of the sources whose hash changes
		replace       []string
	}{
		{"nothing", "", nil},
		{"white space", "", []string{"half + v.rate", "half  +  v.rate"}},
		{"an expression at write", "", []string{"expr: fare,", "expr: fare + 1,"}},
		{"a feature that is not read", "", []string{"km * 5", "km * 6"}},
		{"an on-demand feature that is not read", "", []string{"w.fare * 7", "w.fare * 8"}},
		{"a description", "", []string{"expr: km + 1", "description: x, expr: km + 1"}},
		{"a default", "v", []string{"default: 1}", "default: 2}"}},
		{"a default that goes", "v", []string{", default: 1}", "}"}},
		{"a default of a list", "v", []string{"[a, b]", "[a, c]"}},
		{"elements of a default", "v", []string{"[a, b]", "['a, b']"}},
		{"a read-time expression", "v", []string{"last_fare / base", "last_fare - base"}},
		{"a read-time expression behind another", "v", []string{"km + 1", "km + 2"}},
		{"one of windows", "v", []string{"long / trips", "trips / long"}},
		{"a window", "v", []string{"km > 20, window: 24h", "km > 20, window: 48h"}},
		{"a filter", "v", []string{"km > 20", "km > 30"}},
		{"an on-demand expression", "q", []string{"half + v.rate", "half - v.rate"}},
		{"an on-demand expression behind another", "q", []string{"w.fare / 2", "w.fare / 4"}},
		{"ttl", "w", []string{"ttl: 1d", "ttl: 2d"}},
		{"what ttl means", "w", []string{"ttl: 1d", "ttl: 1d, ttl_mode: report"}},
		{"a default behind an on-demand view", "w", []string{"{name: fare}]", "{name: fare, default: 1}]"}},
		{"a feature becomes one at write", "v", []string{"expr: km + 1, at: read", "expr: km + 1"}},
	} {
		after := hashes(modelOf(t, inputs, c.replace...))
		for name := range before {
			if changed := before[name] != after[name]; changed != (name == c.changes) {
				t.Errorf("%s: the hash of %s changed: %t", c.name, name, changed)
			}
		}
	}
}

// TestReadHashHasWhatApplyGives: a column or window that was gone and comes back
// is another one.
func TestReadHashHasWhatApplyGives(t *testing.T) {
	p := modelOf(t, "v:last_fare, v:trips, w:fare")
	before, texts := p.Sources(), p.ReadTexts()
	p.Inputs[0].View.Stored.Columns[0].Since = 2
	column := p.Sources()
	p.Inputs[0].View.Windows.Features[0].Since = 9
	window := p.Sources()
	if column[0].Read == before[0].Read || window[0].Read == column[0].Read || window[1].Read != before[1].Read {
		t.Errorf("%+v, %+v, %+v", before, column, window)
	}
	if p.ReadTexts()["v"] != texts["v"] {
		t.Error("texts of two folders do not compare")
	}
	p.Inputs[0].View.View.Generation = 3
	if s := p.Sources(); s[0].Generation != 3 || s[0].Read != window[0].Read {
		t.Errorf("%+v", s)
	}
}

func TestShape(t *testing.T) {
	base := modelOf(t, "v:last_fare, w:fare").Shape()
	for name, other := range map[string]*transforms.ModelPlan{
		"order":   modelOf(t, "w:fare, v:last_fare"),
		"tensors": modelOf(t, "v:last_fare, w:fare", "    entity: driver\n    inputs", "    entity: driver\n    tensors: stacked\n    tensor_name: x\n    inputs"),
		"outputs": modelOf(t, "v:last_fare, w:fare", "name: score, type: float64", "name: score, type: float32"),
	} {
		if other.Shape() == base {
			t.Errorf("another %s is the same shape", name)
		}
	}
	if modelOf(t, "v:last_fare, w:fare", `version: "1"`, `version: "2"`).Shape() != base {
		t.Error("the version, which is compared by itself, is part of the shape")
	}
}

func TestTensors(t *testing.T) {
	list := feature.ListOf(feature.Of(feature.KindFloat32))
	list.Length = 4
	for typ, want := range map[feature.Type]string{
		feature.Of(feature.KindBool): "BOOL [1]", feature.Of(feature.KindInt32): "INT32 [1]", feature.Of(feature.KindTimestamp): "INT64 [1]",
		feature.Of(feature.KindFloat32): "FP32 [1]", feature.Of(feature.KindBytes): "BYTES [1]", list: "FP32 [4]",
		feature.Of(feature.KindJSON):                 "no tensor carries json: cast it to string, or take values out of it",
		feature.ListOf(list):                         "no tensor carries list<list<float32>>: make one list of it, of fixed length",
		feature.ListOf(feature.Of(feature.KindBool)): "no tensor carries list<bool> of any length: fix it with length: N",
	} {
		got, err := transforms.TensorOf(typ)
		var text string
		if err != nil {
			text = err.Error()
		} else {
			text = string(got.Datatype) + " [" + string(rune('0'+got.Dims[0])) + "]"
		}
		if text != want {
			t.Errorf("%s: %s, want %s", typ, text, want)
		}
	}
}
