package avro_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/avro"
)

func sourceOf(fields ...feature.SourceField) *feature.Source {
	return &feature.Source{Name: "trips", Fields: fields}
}

func declared(name string, kind feature.Kind) feature.SourceField {
	return feature.SourceField{Field: feature.Field{Name: name, Type: feature.Of(kind)}}
}

func fieldsOf(src *feature.Source) []feature.Field {
	var fields []feature.Field
	for _, f := range src.Fields {
		fields = append(fields, f.Field)
	}
	return fields
}

// schemaOf is a schema without references.
func schemaOf(text string) sources.Schema {
	return sources.Schema{Type: sources.SchemaAvro, Text: text}
}

// plain reads records of one schema without a frame.
func plain(text string) avro.Settings {
	return avro.Settings{Framing: avro.FramingNone, Writers: []sources.Schema{schemaOf(text)}}
}

// record is a schema of a record with these fields.
func record(fields ...string) string {
	return `{"type":"record","name":"Trip","fields":[` + strings.Join(fields, ",") + `]}`
}

func field(name, typ string) string { return `{"name":"` + name + `","type":` + typ + `}` }

func newDecoder(t testing.TB, src *feature.Source, s avro.Settings) *avro.Decoder {
	t.Helper()
	d, err := avro.New(src, fieldsOf(src), s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func recordsOf(values ...[]byte) []sources.Record {
	recs := make([]sources.Record, len(values))
	for i, v := range values {
		recs[i] = sources.Record{Value: v, Offset: int64(10 + i), TimeMillis: 5}
	}
	return recs
}

// decodeAll decodes values as one batch of all fields of src.
func decodeAll(t testing.TB, src *feature.Source, s avro.Settings, values ...[]byte) *feature.Batch {
	t.Helper()
	b := new(feature.Batch)
	b.Reset(fieldsOf(src), 0)
	if err := newDecoder(t, src, s).Decode(t.Context(), b, recordsOf(values...)); err != nil {
		t.Fatal(err)
	}
	return b
}

// registry is a sources.Schemas of this process.
type registry struct {
	schemas map[int32]sources.Schema
	down    error
	asked   int
}

func (r *registry) Schema(_ context.Context, id int32) (sources.Schema, error) {
	r.asked++
	if r.down != nil {
		return sources.Schema{}, r.down
	}
	s, ok := r.schemas[id]
	if !ok {
		return s, fmt.Errorf("look up schema %d: %w", id, sources.ErrUnknownSchema)
	}
	return s, nil
}

func framed(id int32, value []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), value...)
}

func TestRegisteredSchemas(t *testing.T) {
	r := &registry{schemas: map[int32]sources.Schema{
		1: schemaOf(record(field("a", `"int"`))),
		2: schemaOf(record(field("b", `"string"`), field("a", `["null","long"]`))),
		3: {Type: sources.SchemaProtobuf, Text: "syntax"},
		4: schemaOf(`{"type":"record"}`),
	}}
	src := sourceOf(declared("a", feature.KindInt64))
	d := newDecoder(t, src, avro.Settings{Schemas: r})
	values := [][]byte{
		framed(1, []byte{2}), framed(2, []byte{2, 'x', 2, 4}), framed(1, []byte{6}), // 1, 2, 3
		framed(9, nil), framed(3, nil), framed(4, nil), {1, 0, 0, 0, 1, 2}, {0, 0, 0, 0}, nil, framed(1, []byte{8}),
	}
	var b feature.Batch
	for range 2 {
		b.Reset(fieldsOf(src), 0)
		if err := d.Decode(t.Context(), &b, recordsOf(values...)); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(b.Columns[0].Ints); got != "[1 2 3 4]" {
		t.Errorf("rows %s", got)
	}
	if r.asked != 5+1 { // the unknown one again
		t.Errorf("asked %d times", r.asked)
	}
	for i, want := range []struct {
		reason feature.Reason
		text   string
	}{
		{feature.ReasonSchema, "does not have it"},
		{feature.ReasonSchema, "schema 3 is of no use: the schema is PROTOBUF"},
		{feature.ReasonSchema, "schema 4 is of no use"},
		{feature.ReasonMalformed, "at byte 0: no 0 and id"},
		{feature.ReasonMalformed, "no 0 and id"},
		{feature.ReasonMalformed, "tombstone"},
	} {
		if got := b.Rejects[i]; got.Reason != want.reason || !strings.Contains(got.Message, want.text) || got.Stage != feature.StageDecode {
			t.Errorf("reject %d: %+v", i, got)
		}
	}
}

func TestRegistryThatIsAwayIsAnError(t *testing.T) {
	r := &registry{schemas: map[int32]sources.Schema{1: schemaOf(record(field("a", `"int"`)))}, down: errors.New("away")}
	src := sourceOf(declared("a", feature.KindInt64))
	d := newDecoder(t, src, avro.Settings{Schemas: r})
	var b feature.Batch
	b.Reset(fieldsOf(src), 0)
	if err := d.Decode(t.Context(), &b, recordsOf(framed(1, []byte{2}))); !errors.Is(err, r.down) || !strings.Contains(err.Error(), "offset 10") {
		t.Fatal(err)
	}
	r.down = nil
	b.Reset(fieldsOf(src), 0)
	if err := d.Decode(t.Context(), &b, recordsOf(framed(1, []byte{2}))); err != nil || b.Rows() != 1 {
		t.Error(err, b.Rejects)
	}
}

func TestPlansAreBounded(t *testing.T) {
	r := &registry{schemas: make(map[int32]sources.Schema)}
	var values [][]byte
	for id := range int32(6) {
		r.schemas[id] = schemaOf(record(field("a", `"int"`)))
		values = append(values, framed(id, []byte{2}))
	}
	src := sourceOf(declared("a", feature.KindInt64))
	d := newDecoder(t, src, avro.Settings{Schemas: r, Limits: avro.Limits{MaxPlans: 2}})
	var b feature.Batch
	for range 2 {
		b.Reset(fieldsOf(src), 0)
		if err := d.Decode(t.Context(), &b, recordsOf(values...)); err != nil || b.Rows() != 6 {
			t.Fatal(err, b.Rejects)
		}
	}
	if r.asked < 6+4 {
		t.Errorf("asked %d times: more plans are kept than allowed", r.asked)
	}
}

func TestReferencesOfASchema(t *testing.T) {
	r := &registry{schemas: map[int32]sources.Schema{1: {
		Type: sources.SchemaAvro,
		Text: `{"type":"record","name":"Trip","namespace":"x","fields":[` + field("a", `"y.Place"`) + `,` + field("b", `["null","Money"]`) + `]}`,
		References: []sources.SchemaReference{
			{Name: "y.Place", Text: `{"type":"record","name":"Place","namespace":"y","fields":[` + field("city", `"string"`) + `]}`},
			{Name: "x.Money", Text: `{"type":"record","name":"x.Money","fields":[` + field("cents", `"long"`) + `,` + field("at", `"y.Place"`) + `]}`},
		},
	}}}
	src := sourceOf(declared("city", feature.KindString), declared("cents", feature.KindInt64), declared("where", feature.KindString))
	src.Fields[0].Path, src.Fields[1].Path, src.Fields[2].Path = "a.city", "b.cents", "b.at.city"
	b := decodeAll(t, src, avro.Settings{Schemas: r}, framed(1, []byte{2, 'x', 2, 10, 2, 'y'}))
	if len(b.Rejects) > 0 || b.Columns[0].Strings[0] != "x" || b.Columns[1].Ints[0] != 5 || b.Columns[2].Strings[0] != "y" {
		t.Errorf("%+v %+v", b.Columns, b.Rejects)
	}
}

func TestSingleObjects(t *testing.T) {
	// The fingerprint of "int" is in the specification's test data.
	b := decodeAll(t, sourceOf(), avro.Settings{Framing: avro.FramingSingleObject, Writers: []sources.Schema{schemaOf(`"int"`), schemaOf(`"long"`)}},
		[]byte{0xC3, 0x01, 0x8f, 0x5c, 0x39, 0x3f, 0x1a, 0xd5, 0x75, 0x72, 2}, []byte{0xC3, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 2}, []byte{0xC3, 0x02})
	if b.Rows() != 1 || len(b.Rejects) != 2 || b.Rejects[0].Reason != feature.ReasonSchema || b.Rejects[1].Reason != feature.ReasonMalformed {
		t.Errorf("%d rows, %+v", b.Rows(), b.Rejects)
	}
}

func TestRowsAndRejectsNameTheirRecords(t *testing.T) {
	src := sourceOf(declared("a", feature.KindInt64), declared("b", feature.KindInt64))
	b := decodeAll(t, src, plain(record(field("a", `"int"`), field("b", `["null","int","string"]`))),
		[]byte{2, 2, 2}, []byte{4, 4, 2, 'x'}, []byte{6, 0})
	want := []feature.Origin{{Offset: 10, RecordMillis: 5, EventMicros: 5000}, {Offset: 12, RecordMillis: 5, EventMicros: 5000, Record: 2}}
	if b.Rows() != 2 || b.Origins[0] != want[0] || b.Origins[1] != want[1] || b.Columns[0].Len() != 2 {
		t.Errorf("origins %+v, %d values", b.Origins, b.Columns[0].Len())
	}
	if b.Columns[0].Ints[1] != 3 || !b.Columns[1].IsNull(1) {
		t.Error("the refused record left a trace")
	}
	if r := b.Rejects[0]; r.Origin.Offset != 11 || r.Origin.Record != 1 || r.Reason != feature.ReasonWrongType {
		t.Errorf("reject %+v", r)
	}
}

func TestLimitsOfARecord(t *testing.T) {
	list := `{"type":"record","name":"Node","fields":[` + field("next", `["null","Node"]`) + `]}`
	deep := record(field("j", `{"type":"array","items":`+list+`}`), field("skipped", `{"type":"array","items":"Node"}`), field("e", `{"type":"array","items":"null"}`))
	src := sourceOf(declared("j", feature.KindJSON))
	chain := func(n int) []byte { return append([]byte{2}, append([]byte(strings.Repeat("\x02", n)), 0, 0)...) }
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	s := plain(deep)
	s.Limits = avro.Limits{MaxDepth: 5, MaxBytes: 100, MaxElements: 10}
	none := []byte{0}
	for _, c := range []struct {
		name  string
		value []byte
		fits  bool
	}{
		{"as deep as allowed", join(chain(3), none, none), true},
		{"one level deeper", join(chain(4), none, none), false},
		{"as deep as allowed, skipped", join(none, chain(3), none), true},
		{"deeper, skipped", join(none, chain(5), none), false},
		{"as many elements as allowed", join(none, none, []byte{18, 0}), true},
		{"too many elements of no bytes", join(none, none, []byte{0xfe, 0xff, 0xff, 0xff, 0x0f, 0}), false},
		{"too long", make([]byte, 101), false},
	} {
		b := decodeAll(t, src, s, c.value, make([]byte, 3))
		if c.fits != (len(b.Rejects) == 0) || !c.fits && b.Rejects[0].Reason != feature.ReasonTooLarge {
			t.Errorf("%s: %+v", c.name, b.Rejects)
		}
		if b.Rows() == 0 || b.Columns[0].Strings[b.Rows()-1] != "[]" {
			t.Errorf("%s: the record behind it was lost", c.name)
		}
	}
}

func TestJSONTextIsBounded(t *testing.T) {
	wide := `{"type":"record","name":"E","fields":[` + field(strings.Repeat("n", 1000), `"null"`) + `]}`
	s := plain(record(field("j", `{"type":"array","items":`+wide+`}`)))
	s.Limits.MaxBytes = 1 << 16
	b := decodeAll(t, sourceOf(declared("j", feature.KindJSON)), s, []byte{0x80, 0x80, 0x10, 0})
	if len(b.Rejects) != 1 || b.Rejects[0].Reason != feature.ReasonTooLarge {
		t.Errorf("%+v", b.Rejects)
	}
}

func TestMessagesCarryNoValues(t *testing.T) {
	secret := "\x0csecret"
	for _, c := range []struct {
		typ  string
		kind feature.Kind
	}{
		{`"string"`, feature.KindInt64},
		{`"string"`, feature.KindTimestamp},
		{`{"type":"map","values":"int"}`, feature.KindBool},
		{`{"type":"bytes","logicalType":"decimal","precision":4}`, feature.KindInt32},
		{`{"type":"map","values":{"type":"array","items":"string"}}`, feature.KindJSON},
	} {
		b := decodeAll(t, sourceOf(declared("a", c.kind)), plain(record(field("a", c.typ))), []byte(secret), []byte("\x02"+secret))
		for _, r := range b.Rejects {
			if strings.Contains(r.Message, "secret") || !strings.Contains(r.Message, "at byte ") {
				t.Errorf("%s: %s", c.typ, r.Message)
			}
		}
		if len(b.Rejects) == 0 {
			t.Errorf("%s: nothing was refused", c.typ)
		}
	}
}

func TestDecoderRefusesWhatDoesNotFitTogether(t *testing.T) {
	good := declared("a", feature.KindInt64)
	trip := schemaOf(record(field("a", `"long"`)))
	one := plain(trip.Text)
	reader := one
	reader.Reader = &trip
	for _, c := range []struct {
		name     string
		source   *feature.Source
		fields   []feature.Field
		settings avro.Settings
		text     string
	}{
		{"an unknown field", sourceOf(good), []feature.Field{{Name: "b", Type: good.Type}}, one, "field b: is not declared"},
		{"another type", sourceOf(good), []feature.Field{{Name: "a", Type: feature.Of(feature.KindBool)}}, one, "declared int64, not bool"},
		{"no type", sourceOf(declared("a", feature.KindInvalid)), []feature.Field{{Name: "a"}}, one, "no valid type"},
		{"an odd unit", sourceOf(feature.SourceField{Field: good.Field, Unit: time.Minute}), []feature.Field{good.Field}, one, "units of 1m"},
		{"an empty path part", sourceOf(feature.SourceField{Field: good.Field, Path: "x..a"}), []feature.Field{good.Field}, one, "empty part"},
		{"a path that the reader lacks", sourceOf(feature.SourceField{Field: good.Field, Path: "x"}), []feature.Field{good.Field}, reader, "no field x"},
		{"a path through a number", sourceOf(feature.SourceField{Field: good.Field, Path: "a.b"}), []feature.Field{good.Field}, reader, "through a long"},
		{"an event time of no timestamp", &feature.Source{Name: "trips", Fields: []feature.SourceField{good}, EventTime: "a"}, []feature.Field{good.Field}, one, "not timestamp"},
		{"an unknown event time", &feature.Source{Name: "trips", EventTime: "at"}, nil, one, "field at: is not declared"},
		{"no registry", sourceOf(good), nil, avro.Settings{}, "there is none"},
		{"no writer", sourceOf(good), nil, avro.Settings{Framing: avro.FramingNone}, "must be one, not 0"},
		{"no fingerprint", sourceOf(good), nil, avro.Settings{Framing: avro.FramingSingleObject}, "none is known"},
		{"a framing of tomorrow", sourceOf(good), nil, avro.Settings{Framing: 9}, "unknown framing"},
		{"a schema of no use", sourceOf(good), nil, plain(`{`), "the writer's schema"},
	} {
		_, err := avro.New(c.source, c.fields, c.settings)
		if err == nil || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "trips") {
			t.Errorf("%s: %v, want %q", c.name, err, c.text)
		}
	}
}

func TestBatchOfOtherFieldsIsRefused(t *testing.T) {
	src := sourceOf(declared("a", feature.KindInt64))
	d := newDecoder(t, src, plain(record(field("a", `"long"`))))
	var b feature.Batch
	b.Reset([]feature.Field{{Name: "a", Type: feature.Of(feature.KindBool)}}, 0)
	if err := d.Decode(t.Context(), &b, recordsOf([]byte{2})); err == nil {
		t.Error("a batch of another type was filled")
	}
}

func TestFieldsOfASchema(t *testing.T) {
	types := []struct{ typ, want string }{
		{`"boolean"`, "bool"},
		{`"int"`, "int32"},
		{`"long"`, "int64"},
		{`"float"`, "float32"},
		{`"double"`, "float64"},
		{`"string"`, "string"},
		{`"bytes"`, "bytes"},
		{`"null"`, "json"},
		{`["null","int"]`, "int32"},
		{`["int","string"]`, "json"},
		{`{"type":"int","logicalType":"date"}`, "timestamp"},
		{`{"type":"int","logicalType":"time-millis"}`, "int32"},
		{`{"type":"long","logicalType":"timestamp-millis"}`, "timestamp"},
		{`{"type":"long","logicalType":"local-timestamp-nanos"}`, "timestamp"},
		{`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, "float64"},
		{`{"type":"string","logicalType":"uuid"}`, "string"},
		{`{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}`, "string"},
		{`{"type":"fixed","name":"F","size":12,"logicalType":"duration"}`, "bytes"},
		{`{"type":"enum","name":"E","symbols":["a"]}`, "string"},
		{`{"type":"map","values":"int"}`, "json"},
		{`{"type":"record","name":"R","fields":[]}`, "json"},
		{`{"type":"array","items":["null","double"]}`, "list<float64>"},
		{`{"type":"array","items":{"type":"array","items":"string"}}`, "list<list<string>>"},
		{`{"type":"array","items":"R"}`, "json"},
	}
	var fields []string
	for i, c := range types {
		fields = append(fields, field(fmt.Sprintf("f%d", i), c.typ))
	}
	got, err := avro.Fields(schemaOf(record(fields...)))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range types {
		if got[i].Type.String() != c.want || got[i].Name != fmt.Sprintf("f%d", i) {
			t.Errorf("%s: %s %s, want %s", c.typ, got[i].Name, got[i].Type, c.want)
		}
	}
	if _, err := avro.Fields(schemaOf(`"int"`)); err == nil || !strings.Contains(err.Error(), "not a record") {
		t.Error(err)
	}
}

// TestFormatsPageTellsTheTruth holds the table in docs/formats.md to what
// schemas give and decoders accept.
func TestFormatsPageTellsTheTruth(t *testing.T) {
	text, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, " | ")
		typ, ok := strings.CutPrefix(cells[0], "| `")
		if !ok || len(cells) < 4 || !strings.ContainsAny(typ[:1], `"{[`) {
			continue
		}
		rows++
		typ = strings.TrimSuffix(typ, "`")
		schema := record(field("a", typ))
		natural, err := avro.Fields(schemaOf(schema))
		if err != nil {
			t.Fatal(typ, err)
		}
		if got := natural[0].Type.String(); got != cells[1] {
			t.Errorf("%s becomes %s, not %s", typ, got, cells[1])
		}
		allowed := append(strings.Split(cells[2], ", "), cells[1])
		for _, kind := range feature.KindNames() {
			for _, name := range []string{kind, "list<" + kind + ">", "list<list<" + kind + ">>"} {
				if got := takes(t, schema, name); got != slices.Contains(allowed, name) && !looser(typ, name) {
					t.Errorf("%s as %s: taken is %v", typ, name, got)
				}
			}
		}
	}
	if rows < 20 {
		t.Errorf("only %d rows were found", rows)
	}
}

// looser reports whether the page says in words what becomes of typ as name.
func looser(typ, name string) bool {
	return strings.HasPrefix(typ, `{"type":"array"`) && strings.HasPrefix(name, "list<") || typ == `["long","string"]`
}

// takes reports whether a field of this kind reads values of a schema.
func takes(t *testing.T, schema, kind string) bool {
	typ, err := feature.ParseType(kind)
	if err != nil {
		t.Fatal(err)
	}
	src := sourceOf(feature.SourceField{Field: feature.Field{Name: "a", Type: typ}})
	for _, value := range [][]byte{make([]byte, 40), append([]byte{2, 2, 0}, make([]byte, 40)...)} {
		for _, r := range decodeAll(t, src, plain(schema), value).Rejects {
			if strings.HasSuffix(r.Message, ", not "+kind) {
				return false
			}
		}
	}
	return true
}
