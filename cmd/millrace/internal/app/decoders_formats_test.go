package app

import (
	"strings"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"

	"millrace/feature"
	"millrace/sources"
	"millrace/transforms"
)

func sourceField(name string, k feature.Kind) feature.SourceField {
	return feature.SourceField{Field: feature.Field{Name: name, Type: feature.Of(k)}}
}

// avroSource is a source whose schema is in a file.
func avroSource(schema string, fields ...feature.SourceField) *feature.Source {
	return &feature.Source{
		Name: "s", Format: feature.FormatAvro, Schema: &feature.SourceSchema{File: "s.avsc", Text: []byte(schema)},
		Fields: fields, TransformOnWrite: true,
	}
}

// shapeOf is the shape of all plain fields of src.
func shapeOf(src *feature.Source) transforms.Shape {
	var s transforms.Shape
	for _, f := range src.Fields {
		s.Fields = append(s.Fields, f.Field)
	}
	return s
}

func avroRecord(t *testing.T, schema, text string) sources.Record {
	t.Helper()
	codec, err := goavro.NewCodecForStandardJSONFull(schema)
	if err != nil {
		t.Fatal(err)
	}
	native, _, err := codec.NativeFromTextual([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	value, err := codec.BinaryFromNative(nil, native)
	if err != nil {
		t.Fatal(err)
	}
	return sources.Record{Value: value}
}

func TestDecodersSayWhatIsMissing(t *testing.T) {
	const schema = `{"type":"record","name":"s","fields":[{"name":"n","type":"long"}]}`
	inKey := sourceField("id", feature.KindInt64)
	inKey.Key, inKey.Path = true, "id"
	change := func(src *feature.Source, to feature.SourceSchema) *feature.Source { src.Schema = &to; return src }
	n := sourceField("n", feature.KindInt64)
	for _, c := range []struct {
		name string
		src  *feature.Source
		says string
	}{
		{"a subject, and no registry", change(avroSource(schema, n), feature.SourceSchema{Subject: "s-value", Text: []byte(schema)}), "schema_registry.urls"},
		{"a field of the key, whose schema no file has", avroSource(schema, n, inKey), "read the whole key, without path"},
		{"a descriptor set that is none", change(&feature.Source{Name: "s", Format: feature.FormatProtobuf, Fields: []feature.SourceField{n}},
			feature.SourceSchema{Descriptors: "s.binpb", Message: "a.S", Text: []byte("none")}), "descriptor set"},
		{"no schema", &feature.Source{Name: "s", Format: feature.FormatAvro, Fields: []feature.SourceField{n}}, "needs a schema"},
	} {
		if _, err := (&decoders{}).shape(c.src, shapeOf(c.src)); err == nil || !strings.Contains(err.Error(), "source s: ") || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestElementsOfChangeEvents: the list stands in the row after the change, and
// so do the schemas of its elements.
func TestElementsOfChangeEvents(t *testing.T) {
	const schema = `{"type":"record","name":"change","fields":[{"name":"op","type":"string"},
		{"name":"source","type":{"type":"record","name":"source","fields":[{"name":"ts_ms","type":"long"}]}},
		{"name":"after","type":["null",{"type":"record","name":"trip","fields":[{"name":"id","type":"long"},
			{"name":"lines","type":{"type":"array","items":{"type":"record","name":"line","fields":[{"name":"qty","type":"int"},{"name":"sku","type":"string"}]}}}]}]}]}`
	lines := sourceField("lines", feature.KindJSON)
	lines.Type = feature.ListOf(lines.Type)
	lines.Of = []feature.SourceField{sourceField("sku", feature.KindString)}
	src := avroSource(schema, sourceField("id", feature.KindInt64), lines)
	src.Envelope = feature.EnvelopeDebezium
	fields := []feature.Field{{Name: "id", Type: feature.Of(feature.KindInt64)}, {Name: "line.sku", Type: feature.Of(feature.KindString)}}
	d, err := (&decoders{}).shape(src, transforms.Shape{Unnest: &feature.Unnest{Field: "lines", As: "line"}, Fields: fields})
	if err != nil {
		t.Fatal(err)
	}
	recs := []sources.Record{
		avroRecord(t, schema, `{"op":"c","source":{"ts_ms":5},"after":{"id":7,"lines":[{"qty":1,"sku":"a"},{"qty":2,"sku":"b"}]}}`),
		avroRecord(t, schema, `{"op":"d","source":{"ts_ms":6},"after":null}`),
	}
	var b feature.Batch
	b.Reset(fields, 0)
	if err := d.Decode(t.Context(), &b, recs); err != nil || len(b.Rejects) > 0 || b.Rows() != 3 {
		t.Fatalf("%d rows, %v, %v", b.Rows(), b.Rejects, err)
	}
	for row, sku := range []string{"a", "b"} {
		if b.Columns[0].Ints[row] != 7 || b.Columns[1].Strings[row] != sku || b.Origins[row].EventMicros != 5000 {
			t.Errorf("row %d: %d %q %+v", row, b.Columns[0].Ints[row], b.Columns[1].Strings[row], b.Origins[row])
		}
	}
	if o := b.Origins[2]; !o.Deleted || o.EventMicros != 6000 || !b.Columns[1].IsNull(2) {
		t.Errorf("the delete: %+v", o)
	}
}

// TestFinishedRowsAreJSON, whatever raw records are.
func TestFinishedRowsAreJSON(t *testing.T) {
	const schema = `{"type":"record","name":"s","fields":[{"name":"id","type":"long"},{"name":"n","type":"long"}]}`
	src := avroSource(schema, sourceField("id", feature.KindInt64), sourceField("n", feature.KindInt64))
	entity := &feature.Entity{Name: "e", JoinKeys: []feature.Field{{Name: "id", Type: feature.Of(feature.KindInt64)}}}
	v := &feature.View{Name: "v", Features: []feature.Feature{{Name: "twice", Expr: "2 * n"}}}
	plan, problems := transforms.Compile(v, src, entity)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	d, err := (&decoders{}).finished(plan)
	if err != nil {
		t.Fatal(err)
	}
	var b feature.Batch
	b.Reset(plan.FinishedFields(), 0)
	recs := []sources.Record{{Value: []byte(`{"id":7,"event_timestamp":"2026-01-01T00:00:00Z","twice":4}`)}, avroRecord(t, schema, `{"id":7,"n":2}`)}
	if err := d.Decode(t.Context(), &b, recs); err != nil || b.Rows() != 1 || len(b.Rejects) != 1 || b.Rejects[0].Origin.Record != 1 {
		t.Fatalf("%d rows, %v, %v", b.Rows(), b.Rejects, err)
	}
	if b.Columns[0].Ints[0] != 7 || b.Columns[1].Ints[0] != 4 {
		t.Errorf("%v %v", b.Columns[0].Ints, b.Columns[1].Ints)
	}
	raw, err := (&decoders{}).shape(src, shapeOf(src))
	if err != nil {
		t.Fatal(err)
	}
	b.Reset(shapeOf(src).Fields, 0)
	if err := raw.Decode(t.Context(), &b, recs[1:]); err != nil || b.Rows() != 1 || b.Columns[1].Ints[0] != 2 {
		t.Errorf("the raw record: %d rows, %v, %v", b.Rows(), b.Rejects, err)
	}
}

// TestPushedRowsAreJSONOfTheFieldsByName, whatever is around records of the
// topic and wherever in them fields stand.
func TestPushedRowsAreJSONOfTheFieldsByName(t *testing.T) {
	const schema = `{"type":"record","name":"change","fields":[{"name":"op","type":"string"},{"name":"after","type":["null",
		{"type":"record","name":"trip","fields":[{"name":"trip","type":{"type":"record","name":"inner","fields":[{"name":"km","type":"double"}]}}]}]}]}`
	id, region, km, at := sourceField("id", feature.KindInt64), sourceField("region", feature.KindString), sourceField("km", feature.KindFloat64), sourceField("at", feature.KindTimestamp)
	id.Key, region.Header, km.Path, at.Path, at.Unit = true, "r", "trip.km", "meta.at", time.Second
	lines := sourceField("lines", feature.KindJSON)
	lines.Type, lines.Path = feature.ListOf(lines.Type), "deep.lines"
	lines.Of = []feature.SourceField{sourceField("sku", feature.KindString)}
	lines.Of[0].Path = "x.y"
	debezium := avroSource(schema, id, region, km, at, lines)
	debezium.Envelope, debezium.EventTime = feature.EnvelopeDebezium, "at"
	events := *debezium
	events.Format, events.Schema, events.Envelope = feature.FormatJSON, nil, feature.EnvelopeCloudEvents
	protobuf := *debezium
	protobuf.Format, protobuf.Schema, protobuf.Envelope = feature.FormatProtobuf, &feature.SourceSchema{Descriptors: "none"}, feature.EnvelopeNone
	const row = `{"id": 7, "region": "eu", "km": 1.5, "at": 10, "lines": [{"sku": "a"}, {"sku": "b"}], "trip": {"km": 9}, "op": "d"}`
	for name, src := range map[string]*feature.Source{"debezium in avro": debezium, "cloudevents in json": &events, "protobuf": &protobuf} {
		recs := []sources.Record{{Key: []byte("8"), Headers: []sources.Header{{Key: "r", Value: []byte("us")}}, Value: []byte(row)}, {Key: []byte("8"), Value: []byte(`{"id": 9, "km": "far"}`)}}
		whole := shapeOf(src)
		d, err := (&decoders{}).fields(src, whole)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var b feature.Batch
		b.Reset(whole.Fields, 0)
		if err := d.Decode(t.Context(), &b, recs); err != nil || b.Rows() != 1 || len(b.Rejects) != 1 {
			t.Fatalf("%s: %d rows, %v, %v", name, b.Rows(), b.Rejects, err)
		}
		if b.Columns[0].Ints[0] != 7 || b.Columns[1].Strings[0] != "eu" || b.Columns[2].Floats[0] != 1.5 || b.Origins[0].EventMicros != 10_000_000 || b.Origins[0].Deleted {
			t.Errorf("%s: %v %v %v, %+v", name, b.Columns[0].Ints, b.Columns[1].Strings, b.Columns[2].Floats, b.Origins[0])
		}
		elements := transforms.Shape{
			Unnest: &feature.Unnest{Field: "lines", As: "line"},
			Fields: []feature.Field{id.Field, {Name: "line.sku", Type: feature.Of(feature.KindString)}},
		}
		if d, err = (&decoders{}).fields(src, elements); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		b.Reset(elements.Fields, 0)
		if err := d.Decode(t.Context(), &b, recs[:1]); err != nil || b.Rows() != 2 || b.Columns[0].Ints[1] != 7 || b.Columns[1].Strings[1] != "b" {
			t.Errorf("%s, elements: %d rows, %v, %v", name, b.Rows(), b.Rejects, err)
		}
	}
}
