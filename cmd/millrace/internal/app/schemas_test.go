package app_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bufbuild/protocompile"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	"millrace/cmd/millrace/internal/app"
	"millrace/feature/definition"
	"millrace/feature/history"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sources"
	"millrace/sources/schemaregistry"
)

const avroTrip = `{"type":"record","name":"trip","fields":[{"name":"id","type":"long"},{"name":"fare","type":"double"},{"name":"city","type":"string"},
	{"name":"lines","type":{"type":"array","items":{"type":"record","name":"line","fields":[{"name":"sku","type":"string"}]}}}]}`

const avroChange = `{"type":"record","name":"change","fields":[{"name":"before","type":["null",` + avroTrip + `]},
	{"name":"after","type":["null","trip"]},{"name":"op","type":"string"}]}`

const protoTrip = `syntax = "proto3"; package p;
message Trip { int64 id = 1; double fare = 2; string city = 3; repeated Line lines = 4; }
message Line { string sku = 1; }
message Change { Trip before = 1; Trip after = 2; string op = 3; }
`

// folder holds the schemas as files.
func folder(t *testing.T) string {
	t.Helper()
	compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(map[string]string{"trip.proto": protoTrip})}}
	files, err := compiler.Compile(t.Context(), "trip.proto")
	if err != nil {
		t.Fatal(err)
	}
	set, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{protodesc.ToFileDescriptorProto(files[0])}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{"trip.avsc": []byte(avroTrip), "change.avsc": []byte(avroChange), "trip.binpb": set} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

type latest struct{ *schemaregistry.Registry }

func (l latest) Latest(ctx context.Context, subject string) (sources.Schema, error) {
	s, _, err := l.Registry.Latest(ctx, subject)
	return s, err
}

// registry serves the schemas as subjects.
func registry(t *testing.T) (*srfake.Registry, app.Subjects) {
	t.Helper()
	fake := srfake.NewRegistry()
	fake.SeedSchema("avro", 1, 7, sr.Schema{Schema: avroTrip})
	fake.SeedSchema("avro-change", 1, 8, sr.Schema{Schema: avroChange})
	fake.SeedSchema("proto", 1, 9, sr.Schema{Schema: protoTrip, Type: sr.TypeProtobuf})
	server := httptest.NewServer(fake.Handler())
	t.Cleanup(server.Close)
	r, err := schemaregistry.New(schemaregistry.Settings{URLs: []string{server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return fake, latest{r}
}

const project = `project: p
entities: [{name: e, join_keys: [{name: id, type: int64}]}]
sources:
  - {name: s, kafka: {topic: t}, SOURCE}
views: [{name: v, entity: e, source: s, features: [{name: last, expr: fare}]}]
`

// load checks a project with one source, as source says it.
func load(r *app.SchemaReader, source string) (*definition.Project, error) {
	text := strings.Replace(project, "SOURCE", source, 1)
	return definition.LoadWith([]definition.File{{Name: "a.yaml", Data: []byte(text)}}, definition.Options{Schemas: r})
}

// TestFieldsComeFromTheSchema wherever it is, and declared ones must fit it.
func TestFieldsComeFromTheSchema(t *testing.T) {
	dir := folder(t)
	_, subjects := registry(t)
	for name, schema := range map[string]string{
		"avro file":         "format: avro, schema: {file: trip.avsc}",
		"avro subject":      "format: avro, schema: {subject: avro}",
		"protobuf file":     "format: protobuf, schema: {descriptors: trip.binpb, message: p.Trip}",
		"protobuf subject":  "format: protobuf, schema: {subject: proto}",
		"message":           "format: protobuf, schema: {subject: proto, message: p.Trip}",
		"avro changes":      "format: avro, envelope: debezium, schema: {file: change.avsc}",
		"subject's changes": "format: avro, envelope: debezium, schema: {subject: avro-change}",
		"protobuf changes":  "format: protobuf, envelope: debezium, schema: {descriptors: trip.binpb, message: p.Change}",
	} {
		p, err := load(app.ReadSchemas(t.Context(), dir, subjects), schema)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var all []string
		for _, f := range p.Catalog.Source("s").Fields {
			all = append(all, f.Name+" "+f.Type.String())
		}
		if got := strings.Join(all, ", "); got != "id int64, fare float64, city string, lines json" && got != "id int64, fare float64, city string, lines list<json>" {
			t.Errorf("%s: fields %s", name, got)
		}
		if s := p.Catalog.Source("s").Schema; len(s.Text) == 0 || (s.ID != 0) != strings.Contains(schema, "subject") {
			t.Errorf("%s: %+v", name, s)
		}
		for _, c := range []struct{ fields, says string }{
			{"{name: city, type: string}, {name: lines, of: [{name: sku, type: string}]}", ""},
			{"{name: place, path: city}", ""},
			{"{name: city, type: int64}", "string"},
			{"{name: x, type: int64, path: nowhere}", "nowhere"},
			{"{name: city, of: [{name: sku, type: string}]}", "string"},
			{"{name: lines, of: [{name: sku, type: int64}]}", "string"},
			{"{name: lines, of: [{name: price, type: int64}]}", "price"},
			{"{name: city, type: int64, key: true}", ""},
			{"{name: nowhere, type: int64, header: h}", ""},
		} {
			_, err := load(app.ReadSchemas(t.Context(), dir, subjects), schema+", fields: ["+c.fields+"]")
			var faults definition.Errors
			errors.As(err, &faults)
			switch {
			case c.says == "" && err != nil, c.says != "" && len(faults) != 1:
				t.Errorf("%s, %s: %v", name, c.fields, err)
			case c.says != "" && (faults[0].Line != 4 || faults[0].Column < len(schema) || !strings.Contains(faults[0].Message, c.says) || faults[0].Hint == ""):
				t.Errorf("%s, %s: %v at column %d", name, c.fields, faults[0], faults[0].Column)
			}
		}
	}
}

// TestSchemasThatCannotBe says what is wrong with what a source names.
func TestSchemasThatCannotBe(t *testing.T) {
	dir := folder(t)
	fake, subjects := registry(t)
	fake.SeedSchema("broken", 1, 10, sr.Schema{Schema: "syntax", Type: sr.TypeProtobuf})
	for _, c := range []struct{ source, says string }{
		{"format: avro, schema: {file: none.avsc}", "none.avsc"},
		{"format: avro, schema: {file: trip.binpb}", "read the schema"},
		{"format: avro, schema: {subject: nobody}", `subject "nobody"`},
		{"format: avro, schema: {subject: nobody}, fields: [{name: id, type: int64}, {name: fare, type: float64}]", `subject "nobody"`},
		{"format: avro, schema: {subject: proto}", "holds a schema of type PROTOBUF, and the format is avro"},
		{"format: avro, envelope: debezium, schema: {subject: avro}", "has no field after"},
		{"format: protobuf, schema: {subject: avro}", "holds a schema of type AVRO"},
		{"format: protobuf, schema: {subject: proto, message: p.Nobody}", "no message p.Nobody"},
		{"format: protobuf, schema: {subject: broken}", "compile schema 10"},
		{"format: protobuf, schema: {descriptors: trip.avsc, message: p.Trip}", "read descriptor set"},
		{"format: protobuf, schema: {descriptors: trip.binpb, message: p.Nobody}", "p.Nobody"},
		{"format: protobuf, envelope: debezium, schema: {descriptors: trip.binpb, message: p.Trip}", "has no message after"},
	} {
		_, err := load(app.ReadSchemas(t.Context(), dir, subjects), c.source)
		if err == nil || !strings.Contains(err.Error(), "a.yaml:4:") || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.source, err, c.says)
		}
	}
}

// TestWithoutTheRegistry: what was applied stands in for it, and nothing is
// applied that was never seen.
func TestWithoutTheRegistry(t *testing.T) {
	fake, subjects := registry(t)
	down := false
	fake.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		if down {
			w.WriteHeader(http.StatusBadGateway)
		}
		return down
	})
	const bySubject, typed = "format: avro, schema: {subject: avro}", "format: avro, schema: {subject: avro}, fields: [{name: id, type: int64}, {name: fare, type: float64}]"
	p, err := load(app.ReadSchemas(t.Context(), "", subjects), bySubject)
	if err != nil {
		t.Fatal(err)
	}
	store := new(memory.Store)
	applied, _, err := history.Apply(t.Context(), store, sinks.NewSchemas(store), p, "ann", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	fake.SeedSchema("avro", 2, 11, sr.Schema{Schema: strings.Replace(avroTrip, `"long"`, `"int"`, 1)})

	role := app.ReadSchemas(t.Context(), "", subjects)
	role.Prefer(applied)
	if p, err = load(role, bySubject); err != nil || p.Catalog.Source("s").Schema.ID != 7 || app.Pin(t.Context(), store, p) != nil {
		t.Errorf("a role does not run what was applied: %v", err)
	}

	down = true
	asked := 0
	offline := func(source string) (*definition.Project, []string, error) {
		r := app.ReadSchemas(t.Context(), "", subjects)
		r.FallBack(func() (*history.Applied, error) { asked++; return history.Latest(t.Context(), store) })
		p, err := load(r, source)
		return p, r.Notes(), err
	}
	p, notes, err := offline(bySubject)
	if err != nil || p.Catalog.Source("s").Schema.ID != 7 || asked != 1 || app.RequireSchemas(p.Catalog) != nil ||
		len(notes) != 1 || !strings.Contains(notes[0], "source s keeps the schema of subject avro that was applied with catalog version 1 (id 7)") {
		t.Errorf("%v, noted %q", err, notes)
	}
	if _, _, err = offline(strings.Replace(bySubject, "subject: avro", "subject: other", 1)); err == nil || !strings.Contains(err.Error(), "schema_registry.urls") {
		t.Errorf("another subject: %v", err)
	}
	store = new(memory.Store)
	if _, _, err = offline(bySubject); err == nil || !strings.Contains(err.Error(), "declare every field with its type") {
		t.Errorf("nothing applied: %v", err)
	}
	p, notes, err = offline(typed)
	if err != nil || len(notes) != 1 || !strings.Contains(notes[0], "is not held against its schema") {
		t.Fatalf("declared fields: %v, noted %q", err, notes)
	}
	if err := app.RequireSchemas(p.Catalog); err == nil || !strings.Contains(err.Error(), "subject avro") || !strings.Contains(err.Error(), "schema_registry.urls") {
		t.Errorf("a schema that nobody has seen is applied: %v", err)
	}
	if p, err = load(app.ReadSchemas(t.Context(), "", nil), typed); err != nil || app.RequireSchemas(p.Catalog) == nil {
		t.Errorf("without a registry: %v", err)
	}
}
