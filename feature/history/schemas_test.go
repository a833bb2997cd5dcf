package history_test

import (
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

func (r registry) Read(src *feature.Source) (*feature.SourceSchema, []feature.SourceField, error) {
	s := *src.Schema
	s.ID, s.Text = r.id, []byte{byte(r.id)}
	return &s, r.fields, nil
}

func (registry) Check(*feature.Source, feature.Field) error { return nil }

func field(name string, k feature.Kind) feature.SourceField {
	return feature.SourceField{Field: feature.Field{Name: name, Type: feature.Of(k)}}
}

func withSchema(t *testing.T, r registry) *definition.Project {
	t.Helper()
	p, err := definition.LoadWith([]definition.File{{Name: "a.yaml", Data: []byte(`project: p
entities: [{name: e, join_keys: [{name: id, type: int64}]}]
sources: [{name: s, kafka: {topic: t}, format: avro, schema: {subject: s}}]
views: [{name: v, entity: e, source: s, features: [{name: fare}]}]
`)}}, definition.Options{Schemas: r})
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
