package history_test

import (
	"errors"
	"strings"
	"testing"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/feature/history"
	"millrace/sinks/memory"
)

// registry holds one schema, whatever the subject.
type registry struct {
	id     int32
	fields []feature.SourceField
}

const withSubject = `project: p
entities: [{name: e, join_keys: [{name: id, type: int64}]}]
sources: [{name: s, kafka: {topic: t}, format: avro, schema: {subject: s}}]
views: [{name: v, entity: e, source: s, features: [{name: fare}]}]
`

func (r registry) Read(src *feature.Source) (*feature.SourceSchema, []feature.SourceField, error) {
	s := *src.Schema
	s.ID, s.Text = r.id, []byte{byte(r.id)}
	return &s, r.fields, nil
}

func (registry) Check(*feature.Source, *feature.SourceField, feature.SourceField) error { return nil }

func field(name string, k feature.Kind) feature.SourceField {
	return feature.SourceField{Field: feature.Field{Name: name, Type: feature.Of(k)}}
}

func withSchema(t *testing.T, r registry, replace ...string) *definition.Project {
	t.Helper()
	p, err := loadWithSchema(r, replace...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSchemasArePinned(t *testing.T) {
	id, fare := field("id", feature.KindInt64), field("fare", feature.KindFloat64)
	first, _ := apply(t, new(memory.Store), withSchema(t, registry{7, []feature.SourceField{id, fare}}))
	p, err := history.Open(first)
	if err != nil {
		t.Fatal(err)
	}
	if s := p.Catalog.Source("s"); s.Schema.ID != 7 || len(s.Fields) != 2 || string(s.Schema.Text) != "\x07" {
		t.Errorf("opened %+v of %+v", s, s.Schema)
	}
	if _, changes, err := history.Next(first, p); err != nil || len(changes) != 0 {
		t.Errorf("what was pinned changes: %v, %v", changes, err)
	}
	more := withSchema(t, registry{9, []feature.SourceField{id, fare, field("tip", feature.KindBool)}})
	next, changes, err := history.Next(first, more)
	if err != nil || len(changes) != 1 || changes[0].Kind != history.ChangeFree ||
		!strings.Contains(changes[0].Text, "from id 7 to 9: field tip is new") || next.Views["v"].Revision != 1 {
		t.Errorf("a new field: %v, %v", changes, err)
	}
	other := withSchema(t, registry{9, []feature.SourceField{id, field("fare", feature.KindInt64)}})
	if _, _, err := history.Next(first, other); err == nil || !strings.Contains(err.Error(), "field fare") {
		t.Errorf("another kind: %v", err)
	}
}

func loadWithSchema(r registry, replace ...string) (*definition.Project, error) {
	text := strings.NewReplacer(replace...).Replace(withSubject)
	return definition.LoadWith([]definition.File{{Name: "a.yaml", Data: []byte(text)}}, definition.Options{Schemas: r})
}

// TestAFieldThatTheSchemaLost is told where the view uses it, before anything
// is compared with what was applied.
func TestAFieldThatTheSchemaLost(t *testing.T) {
	_, err := loadWithSchema(registry{9, []feature.SourceField{field("id", feature.KindInt64), field("fares", feature.KindFloat64)}})
	if err == nil || !strings.Contains(err.Error(), "a.yaml:4:") || !strings.Contains(err.Error(), "unknown name fare") || !strings.Contains(err.Error(), "did you mean fares?") {
		t.Errorf("%v", err)
	}
	_, err = loadWithSchema(registry{9, []feature.SourceField{field("fare", feature.KindFloat64)}})
	if err == nil || !strings.Contains(err.Error(), "a.yaml:4:") || !strings.Contains(err.Error(), "no field id for the join key") {
		t.Errorf("%v", err)
	}
}

// TestHowRecordsAreWrittenIsTheirShape: another format or message is other
// records, and what elements hold is what rows are made of.
func TestHowRecordsAreWrittenIsTheirShape(t *testing.T) {
	r := registry{7, []feature.SourceField{field("id", feature.KindInt64), field("fare", feature.KindFloat64)}}
	const avro = "format: avro, schema: {subject: s}"
	const lines = "fields: [{name: lines, of: [{name: fee, type: float64}, {name: tip, type: int64}]}]"
	const unnest = "source: s, unnest: {field: lines, as: line}"
	proto := func() []string {
		return []string{avro, "format: protobuf, schema: {subject: s, message: a.A}, " + lines, "source: s", unnest, "{name: fare}", "{name: fee, expr: line.fee}"}
	}
	with := func(change ...string) []string {
		base := proto()
		for i := 0; i < len(change); i += 2 {
			base[1] = strings.Replace(base[1], change[i], change[i+1], 1)
		}
		return base
	}
	first, _ := apply(t, new(memory.Store), withSchema(t, r, proto()...))
	for _, c := range []struct {
		name    string
		replace []string
		says    string // "" where it is not refused
	}{
		{"nothing", proto(), ""},
		{"the message", with("a.A", "a.B"), "changing message"},
		{"the format", with("protobuf", "avro", ", message: a.A", ""), "changing format, message"},
		{"an element's kind", with("{name: fee, type: float64}", "{name: fee, type: float32}"), "changing field line.fee"},
		{"an element's path", with("{name: fee, type: float64}", "{name: fee, type: float64, path: cost}"), "changing field line.fee"},
		{"the list's path", with("{name: lines,", "{name: lines, path: all.lines,"), "changing field lines"},
		{"an element's field that is not used", with("{name: tip, type: int64}", "{name: tip, type: bool}"), ""},
	} {
		_, _, err := history.Next(first, withSchema(t, r, c.replace...))
		if (err == nil) != (c.says == "") || err != nil && (!errors.Is(err, history.ErrNeedsGeneration) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
}

// TestRecordsOfOlderVersions do not say what there was no choice of.
func TestRecordsOfOlderVersions(t *testing.T) {
	first, _ := apply(t, new(memory.Store), project(t))
	for _, name := range []string{"envelope", "on_tombstone", "unnest", "format", "message"} {
		if _, had := first.Views["v"].Shape[name]; !had {
			t.Errorf("%s is not part of the shape", name)
		}
		delete(first.Views["v"].Shape, name)
	}
	if _, changes, err := history.Next(first, project(t)); err != nil || len(changes) != 0 {
		t.Errorf("%v, %v", changes, err)
	}
	if _, _, err := history.Next(first, project(t, "topic: trips}", "topic: trips}\n    envelope: debezium")); err == nil || !strings.Contains(err.Error(), "changing envelope") {
		t.Errorf("%v", err)
	}
}
