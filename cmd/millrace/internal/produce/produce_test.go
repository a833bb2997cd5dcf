package produce_test

import (
	"encoding/json"
	"fmt"
	"maps"
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
	"pgregory.net/rapid"

	"millrace/cmd/millrace/internal/app"
	"millrace/cmd/millrace/internal/config"
	"millrace/cmd/millrace/internal/produce"
	"millrace/feature"
	"millrace/feature/definition"
	"millrace/sources"
	"millrace/sources/avro"
	"millrace/sources/envelope"
	"millrace/sources/jsonrec"
	"millrace/sources/protorec"
	"millrace/sources/sourcetest"
	"millrace/sources/unnest"
)

const declared = `
    fields:
      - {name: id, type: int64, path: in.id}
      - {name: n, type: int32}
      - {name: ok, type: bool}
      - {name: f, type: float32}
      - {name: d, type: float64}
      - {name: s, type: string}
      - {name: b, type: bytes}
      - {name: at, type: timestamp}
      - {name: ms, type: timestamp, unit: ms}
      - {name: kind, type: string}
      - {name: tags, type: list<string>}
      - {name: city, type: string, path: labels.city}
      - {name: items, of: [{name: sku, type: string, path: p.sku}, {name: qty, type: int64}]}
      - {name: trace, type: string, header: trace-id}
      - {name: k, type: int64, key: true}
    event_time: at
`

const avroSchema = `{"type": "record", "name": "E", "namespace": "x", "fields": [
	{"name": "in", "type": ["null", {"type": "record", "name": "In", "fields": [{"name": "id", "type": ["null", "long"], "default": null}]}], "default": null},
	{"name": "n", "type": ["null", "int"]}, {"name": "ok", "type": ["null", "boolean"]}, {"name": "f", "type": ["null", "float"]},
	{"name": "d", "type": ["null", "double"]}, {"name": "s", "type": ["null", "string"]}, {"name": "b", "type": ["null", "bytes"]},
	{"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]}, {"name": "ms", "type": ["null", "long"]},
	{"name": "kind", "type": ["null", {"type": "enum", "name": "K", "symbols": ["A", "B"]}]},
	{"name": "tags", "type": ["null", {"type": "array", "items": "string"}]}, {"name": "labels", "type": {"type": "map", "values": "string"}, "default": {}},
	{"name": "items", "type": ["null", {"type": "array", "items": {"type": "record", "name": "Item", "fields": [
		{"name": "p", "type": {"type": "record", "name": "P", "fields": [{"name": "sku", "type": "string"}]}}, {"name": "qty", "type": ["null", "long"]}]}}]}]}`

const protoSchema = `syntax = "proto3"; package x; import "google/protobuf/timestamp.proto";
message Other { map<string, string> m = 1; }
message Outer {
	map<string, int64> entries = 1;
	message E {
		In in = 1; optional int32 n = 2; optional bool ok = 3; optional float f = 4; optional double d = 5; optional string s = 6;
		optional bytes b = 7; google.protobuf.Timestamp at = 8; optional int64 ms = 9; optional K kind = 10; repeated string tags = 11;
		map<string, string> labels = 12; repeated Item items = 13;
	}
}
message In { optional int64 id = 1; } enum K { NONE = 0; A = 1; B = 2; }
message Item { P p = 1; optional int64 qty = 2; } message P { string sku = 1; }`

// descriptors compiles protoSchema.
func descriptors(t testing.TB) []byte {
	t.Helper()
	c := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"e.proto": protoSchema}),
	})}
	files, err := c.Compile(t.Context(), "e.proto")
	if err != nil {
		t.Fatal(err)
	}
	b, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		protodesc.ToFileDescriptorProto(files[0].Imports().Get(0).FileDescriptor), protodesc.ToFileDescriptorProto(files[0]),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// world has a registry and files with the schemas.
type world struct {
	registry *srfake.Registry
	config   config.Config
	dir      string // of definitions
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{registry: srfake.New(), config: config.Default(), dir: t.TempDir()}
	for name, data := range map[string][]byte{"e.avsc": []byte(avroSchema), "e.binpb": descriptors(t)} {
		if err := os.WriteFile(filepath.Join(w.dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(w.registry.Close)
	w.config.SchemaRegistry.URLs = []string{w.registry.URL()}
	w.registry.SeedSchema("e-avro", 1, 4711, sr.Schema{Schema: avroSchema})
	w.registry.SeedSchema("e-proto", 1, 4712, sr.Schema{Schema: protoSchema, Type: sr.TypeProtobuf})
	return w
}

// formats say how a source names each format and schema.
var formats = map[string]string{
	"json":              "format: json",
	"avro, file":        "format: avro\n    schema: {file: e.avsc}",
	"avro, subject":     "format: avro\n    schema: {subject: e-avro}",
	"protobuf, file":    "format: protobuf\n    schema: {descriptors: e.binpb, message: x.Outer.E}",
	"protobuf, subject": "format: protobuf\n    schema: {subject: e-proto, message: x.Outer.E}",
}

// source loads a definition; more is behind its fields.
func (w *world) source(t testing.TB, format, more string) *feature.Source {
	t.Helper()
	text := "project: p\nsources:\n  - name: e\n    kafka: {topic: events}\n    " + format + declared + more
	subjects, err := app.OpenSubjects(&w.config)
	if err != nil {
		t.Fatal(err)
	}
	schemas := app.ReadSchemas(t.Context(), w.dir, subjects)
	p, err := definition.LoadWith([]definition.File{{Name: "e.yaml", Data: []byte(text)}}, definition.Options{Schemas: schemas})
	if err != nil {
		t.Fatal(err)
	}
	return p.Catalog.Sources[0]
}

// decoded is what our decoder reads in a record of src.
func (w *world) decoded(t testing.TB, src *feature.Source, key, text []byte, headers []sources.Header) string {
	t.Helper()
	registry, err := app.OpenRegistry(&w.config)
	if err != nil {
		t.Fatal(err)
	}
	value := func(p unnest.Part) (sources.Decoder, error) { return jsonrec.New(p.Source, p.Fields) }
	switch src.Format {
	case feature.FormatAvro:
		settings := avro.Settings{Schemas: registry}
		if src.Schema.File != "" {
			schema := sources.Schema{Type: sources.SchemaAvro, Text: string(src.Schema.Text)}
			settings = avro.Settings{Framing: avro.FramingNone, Writers: []sources.Schema{schema}}
		}
		value = func(p unnest.Part) (sources.Decoder, error) {
			settings.Raw, settings.At = p.Raw, p.At
			return avro.New(p.Source, p.Fields, settings)
		}
	case feature.FormatProtobuf:
		settings := protorec.Settings{Schemas: registry, Name: src.Schema.Message}
		if src.Schema.Descriptors != "" {
			md, err := protorec.Load(src.Schema.Text, src.Schema.Message)
			if err != nil {
				t.Fatal(err)
			}
			settings = protorec.Settings{Message: md}
		}
		value = func(p unnest.Part) (sources.Decoder, error) {
			settings.Raw, settings.At = p.Raw, p.At
			return protorec.New(p.Source, p.Fields, settings)
		}
	case feature.FormatJSON:
	}
	part := func(p unnest.Part) (sources.Decoder, error) {
		if p.At != "" {
			if src.Envelope == feature.EnvelopeDebezium {
				p.At = envelope.DebeziumRow + p.At
			}
			return value(p)
		}
		whole := func(s *feature.Source, f []feature.Field) (sources.Decoder, error) {
			return value(unnest.Part{Source: s, Fields: f, Raw: p.Raw})
		}
		newJSON := func(s *feature.Source, f []feature.Field) (sources.Decoder, error) { return jsonrec.New(s, f) }
		return envelope.New(p.Source, p.Fields, envelope.Formats{Value: whole, Key: newJSON, JSON: newJSON})
	}
	var fields []feature.Field
	for _, f := range src.Fields {
		switch f.Name {
		case "in", "labels": // of the schemas alone
		case "items":
			for _, x := range f.Of {
				fields = append(fields, feature.Field{Name: "item." + x.Name, Type: x.Type})
			}
		default:
			fields = append(fields, f.Field)
		}
	}
	d, err := unnest.New(src, feature.Unnest{Field: "items", As: "item"}, fields, part)
	if err != nil {
		t.Fatal(err)
	}
	b := new(feature.Batch)
	b.Reset(fields, 0)
	rec := sources.Record{Key: key, Value: text, Headers: headers, TimeMillis: 1}
	if err := d.Decode(t.Context(), b, []sources.Record{rec}); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(sourcetest.Rendering{}.Outcomes(b, 1)[0], " ", "\n")
}

// written encodes a row and decodes it again.
func (w *world) written(t testing.TB, src *feature.Source, row map[string]any) (string, error) {
	t.Helper()
	e, err := produce.New(t.Context(), src, produce.Settings{Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := e.Encode(row)
	if err != nil {
		return "", err
	}
	var headers []sources.Header
	for _, h := range rec.Headers {
		headers = append(headers, sources.Header{Key: h.Key, Value: h.Value})
	}
	return w.decoded(t, src, rec.Key, rec.Value, headers), nil
}

func clock() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func rowOf(t testing.TB, text string) map[string]any {
	t.Helper()
	row, err := produce.NewRows(strings.NewReader(strings.ReplaceAll(text, "\n", " "))).Next()
	if err != nil || row.Fault != nil {
		t.Fatal(err, row.Fault)
	}
	return row.Fields
}

const everything = `{"id": 9007199254740993, "n": -3, "ok": true, "f": 0.1, "d": 1e-7, "s": "naïve", "b": "AP8=", "at": "2026-01-02T03:04:05.000006Z",
	"ms": 1767323045006, "kind": "B", "tags": ["x", ""], "city": "Oslo", "items": [{"sku": "a", "qty": 2}], "trace": "t-1", "k": 77}`

// TestEveryFormatCarriesTheRow: what is read is what was written, whatever lies
// between.
func TestEveryFormatCarriesTheRow(t *testing.T) {
	w := newWorld(t)
	want := []string{
		"id=9007199254740993", "n=-3", "ok=true", "f=0.10000000149011612", "d=1e-07", `s="naïve"`, "b=00ff", "at=2026-01-02T03:04:05.000006Z",
		"ms=2026-01-02T03:04:05.006Z", `kind="B"`, `tags=["x",""]`, `city="Oslo"`, `item.sku="a"`, "item.qty=2", `trace="t-1"`, "k=77", "@1767323045000006",
	}
	for name, format := range formats {
		for _, envelope := range []string{"", "    envelope: cloudevents"} {
			t.Run(name+envelope, func(t *testing.T) {
				got, err := w.written(t, w.source(t, format, envelope), rowOf(t, everything))
				if err != nil {
					t.Fatal(err)
				}
				for _, part := range want {
					if !strings.Contains(got, part) {
						t.Errorf("lacks %s:\n%s", part, got)
					}
				}
			})
		}
	}
	t.Run("debezium", func(t *testing.T) {
		src := w.source(t, formats["json"], "    envelope: debezium")
		src.EventTime = "" // it is the change's
		got, err := w.written(t, src, rowOf(t, everything))
		if want := fmt.Sprint("@", clock().UnixMicro()); err != nil || !strings.Contains(got, "id=9007199254740993") || !strings.Contains(got, want) {
			t.Errorf("%v\n%s", err, got)
		}
	})
}

// TestFormatsAgree: any row becomes the same columns in every format.
func TestFormatsAgree(t *testing.T) {
	w := newWorld(t)
	all := make(map[string]*feature.Source)
	for name, format := range formats {
		all[name] = w.source(t, format, "")
	}
	number := func(format string, v any) json.Number { return json.Number(fmt.Sprintf(format, v)) }
	text := rapid.StringOf(rapid.RuneFrom([]rune("aä\"\\\n€ "))).Filter(func(s string) bool { return !strings.Contains(s, " ") })
	rapid.Check(t, func(rt *rapid.T) {
		row := map[string]any{
			"id": number("%d", rapid.Int64().Draw(rt, "id")), "n": number("%d", rapid.Int32().Draw(rt, "n")), "ok": rapid.Bool().Draw(rt, "ok"),
			"f": number("%g", rapid.Float32Range(-1e30, 1e30).Draw(rt, "f")), "d": number("%g", rapid.Float64Range(-1e300, 1e300).Draw(rt, "d")),
			"s": text.Draw(rt, "s"), "b": "AAEC", "at": time.UnixMicro(rapid.Int64Range(-1e15, 1e15).Draw(rt, "at")).UTC().Format(time.RFC3339Nano),
			"ms": number("%d", rapid.Int64Range(-1e12, 1e12).Draw(rt, "ms")), "kind": rapid.SampledFrom([]any{"A", "B", nil}).Draw(rt, "kind"),
			"city": text.Draw(rt, "city"), "trace": "t", "k": number("%d", rapid.Int64().Draw(rt, "k")),
			"tags": []any{text.Draw(rt, "tag")}, "items": []any{map[string]any{"sku": "x", "qty": json.Number("1")}},
		}
		for _, name := range []string{"id", "n", "ok", "f", "d", "s", "b", "ms", "k", "city"} {
			switch rapid.IntRange(0, 5).Draw(rt, name) {
			case 0:
				delete(row, name)
			case 1:
				row[name] = nil
			}
		}
		lines := func(name string) map[string]bool {
			got, err := w.written(t, all[name], maps.Clone(row))
			if err != nil {
				rt.Fatalf("%s: %v", name, err)
			}
			set := make(map[string]bool)
			for line := range strings.SplitSeq(got, "\n") {
				set[line] = true
			}
			return set
		}
		want := lines("json")
		for name := range all {
			if got := lines(name); !maps.Equal(got, want) {
				rt.Fatalf("%s: %v\njson: %v", name, got, want)
			}
		}
	})
}

// TestRefusals: a row that does not fit names the field and says nothing of
// its value.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	const at = `"at": "2026-01-02T03:04:05Z", `
	for _, c := range []struct{ formats, row, want string }{
		{"", `{` + at + `"nope": 1}`, "field nope: is not declared; there are: id, n, "},
		{"", `{` + at + `"n": "secret"}`, "field n: is a string, not int32"},
		{"", `{` + at + `"n": 3000000000}`, "field n: is a number beyond int32"},
		{"", `{` + at + `"n": 1.5}`, "field n: is not a whole number within int32"},
		{"", `{` + at + `"f": 1e39}`, "field f: is a number beyond float32"},
		{"", `{` + at + `"b": "secret!"}`, "field b: bytes are written as base64, with padding"},
		{"", `{"at": "yesterday"}`, "field at: is no RFC 3339 time such as 2026-01-02T03:04:05Z"},
		{"", `{"at": 5}`, "field at: is a number, and the source gives no unit for it: write an RFC 3339 time"},
		{"", `{` + at + `"tags": "x"}`, "field tags: is a string, not list<string>"},
		{"", `{` + at + `"items": [{"sku": "a", "secret": 1}]}`, "field items: element 0: field secret: is not declared; there are: qty, sku"},
		{"", `{` + at + `"k": true}`, "field k: is a bool, not int64"},
		{"avro", `{` + at + `"kind": "secret"}`, "field kind: is none of the symbols of K"},
		{"avro", `{` + at + `"tags": [null]}`, "field tags: element 0: is null, which the schema does not allow"},
		{"protobuf", `{` + at + `"kind": "secret"}`, "field kind: is a string, not Protobuf's x.K"},
		{"protobuf", `{` + at + `"tags": [null]}`, "field tags: element 0: is null, which Protobuf does not have"},
	} {
		for name, format := range formats {
			if !strings.HasPrefix(name, c.formats) {
				continue
			}
			_, err := w.written(t, w.source(t, format, ""), rowOf(t, c.row))
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%s: %s\n got %v\nwant %s", name, c.row, err, c.want)
			}
		}
	}
}
