package protorec_test

import (
	gocontext "context"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/protorec"
)

func fieldsOf(src *feature.Source) []feature.Field {
	var fields []feature.Field
	for _, f := range src.Fields {
		fields = append(fields, f.Field)
	}
	return fields
}

func declared(name, typ, path string) feature.SourceField {
	t, err := feature.ParseType(typ)
	if err != nil {
		panic(err)
	}
	return feature.SourceField{Field: feature.Field{Name: name, Type: t}, Path: path}
}

func sourceOf(fields ...feature.SourceField) *feature.Source {
	return &feature.Source{Name: "trips", Fields: fields}
}

// decodeAll decodes values as one batch of all fields of src.
func decodeAll(t testing.TB, src *feature.Source, s protorec.Settings, values ...[]byte) *feature.Batch {
	t.Helper()
	d, err := protorec.New(src, fieldsOf(src), s)
	if err != nil {
		t.Fatal(err)
	}
	b, err := decodeWith(t, d, src, values...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decodeWith(t testing.TB, d *protorec.Decoder, src *feature.Source, values ...[]byte) (*feature.Batch, error) {
	t.Helper()
	recs := make([]sources.Record, len(values))
	for i, v := range values {
		recs[i] = sources.Record{Value: v, Offset: int64(10 + i), TimeMillis: 5}
	}
	b := new(feature.Batch)
	b.Reset(fieldsOf(src), 0)
	return b, d.Decode(t.Context(), b, recs)
}

const tiny = `syntax = "proto3";
message T { int64 a = 1; repeated int64 xs = 2; T sub = 3; repeated T subs = 4; string s = 5; repeated bool with_a_very_long_name_indeed = 6; }
message U { string u = 1; message Deep { map<string, string> m = 1; message First { int64 a = 1; } message Second { int64 a = 1; } } }
`

func TestRowsAndRejectsNameTheirRecords(t *testing.T) {
	md := messageOf(t, tiny, "T")
	b := decodeAll(t, sourceOf(declared("a", "int64", "")), protorec.Settings{Message: md}, []byte{8, 1}, []byte{8}, []byte{8, 3})
	want := []feature.Origin{{Offset: 10, RecordMillis: 5, EventMicros: 5000}, {Offset: 12, RecordMillis: 5, EventMicros: 5000, Record: 2}}
	if b.Rows() != 2 || b.Origins[0] != want[0] || b.Origins[1] != want[1] || b.Columns[0].Len() != 2 {
		t.Errorf("origins %+v, %d values", b.Origins, b.Columns[0].Len())
	}
	r := b.Rejects[0]
	if r.Origin.Offset != 11 || r.Origin.Record != 1 || r.Origin.RecordMillis != 5 || r.Stage != feature.StageDecode {
		t.Errorf("reject %+v", r)
	}
}

func TestDecodeAppendsToABatch(t *testing.T) {
	md := messageOf(t, tiny, "T")
	src := sourceOf(declared("a", "int64", ""), declared("at", "timestamp", "sub.a"))
	src.Fields[1].Unit = 1e9
	src.EventTime = "at"
	d, err := protorec.New(src, fieldsOf(src)[:1], protorec.Settings{Message: md})
	if err != nil {
		t.Fatal(err)
	}
	var b feature.Batch
	b.Reset(fieldsOf(src)[:1], 0)
	for _, v := range []string{"a: 1 sub {a: 7}", "a: 2", "a: 3 sub {a: 8}"} {
		if err := d.Decode(t.Context(), &b, []sources.Record{{Value: encode(t, md, v)}, {}}); err != nil {
			t.Fatal(err)
		}
	}
	if b.Rows() != 3 || b.Columns[0].Ints[2] != 3 || b.Origins[0].EventMicros != 7e6 || b.Origins[1].EventMicros != 0 || len(b.Rejects) != 3 {
		t.Errorf("rows %+v, %v, rejects %+v", b.Origins, b.Columns[0].Ints, b.Rejects)
	}
}

func TestTombstoneAndEmptyValueAreTwoThings(t *testing.T) {
	b := decodeAll(t, sourceOf(declared("a", "int64", "")), protorec.Settings{Message: messageOf(t, tiny, "T")}, nil, []byte{})
	if len(b.Rejects) != 1 || b.Rejects[0].Message != "tombstone" || b.Rejects[0].Reason != feature.ReasonMalformed || b.Rows() != 1 {
		t.Fatalf("rejects %+v", b.Rejects)
	}
}

func TestLimitsOfARecord(t *testing.T) {
	md := messageOf(t, tiny, "T")
	src := sourceOf(declared("a", "int64", ""), declared("sub", "json", ""), declared("subs", "json", ""))
	nested := func(levels int) []byte {
		var v []byte
		for range levels {
			v = protowire.AppendBytes([]byte{3<<3 | 2}, v)
		}
		return v
	}
	many := func(n int) []byte { return []byte(strings.Repeat("\x22\x00", n)) }
	s := protorec.Settings{Message: md, Limits: protorec.Limits{MaxBytes: 1000, MaxJSONBytes: 500, MaxDepth: 4}}
	for _, c := range []struct {
		name  string
		value []byte
		fits  bool
	}{
		{"as long as allowed", append([]byte("\x2a\xe5\x07"), make([]byte, 997)...), true},
		{"one byte longer", append([]byte("\x2a\xe6\x07"), make([]byte, 998)...), false},
		{"as deep as allowed", nested(4), true},
		{"one level deeper", nested(5), false},
		{"much deeper", nested(300), false},
		{"few messages", many(2), true},
		{"two bytes each on the wire, a hundred as text", many(20), false},
		{"more bytes than JSON may have", append([]byte("\x1a\xf6\x03\x2a\xf3\x03"), make([]byte, 499)...), false},
	} {
		b := decodeAll(t, src, s, c.value, []byte{8, 1})
		if c.fits != (len(b.Rejects) == 0) || !c.fits && b.Rejects[0].Reason != feature.ReasonTooLarge {
			t.Errorf("%s: rejects %+v", c.name, b.Rejects)
		}
		if b.Columns[0].Ints[b.Rows()-1] != 1 {
			t.Errorf("%s: the record behind it was lost", c.name)
		}
	}
}

// TestLyingLengthsCostNothing: memory follows the bytes that are there.
func TestLyingLengthsCostNothing(t *testing.T) {
	src := sourceOf(declared("xs", "list<int64>", ""), declared("s", "string", ""), declared("sub", "json", ""))
	d, err := protorec.New(src, fieldsOf(src), protorec.Settings{Message: messageOf(t, tiny, "T")})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, number := range []protowire.Number{2, 3, 5, 9} {
		for _, n := range []uint64{1 << 20, 1 << 31, 1 << 40, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
			value := append(protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.BytesType), n), 1, 2, 3)
			b, err := decodeWith(t, d, src, value)
			if err != nil || len(b.Rejects) != 1 || b.Rejects[0].Reason != feature.ReasonMalformed {
				t.Fatalf("length %d of field %d: %v, %+v", n, number, err, b.Rejects)
			}
		}
	}
	deep := []byte(strings.Repeat("\x53", 1<<20)) // groups within groups
	if b, err := decodeWith(t, d, src, deep); err != nil || len(b.Rejects) != 1 {
		t.Fatal(err, b.Rejects)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("%d bytes were allocated", grown)
	}
}

func TestMessagesCarryNoValues(t *testing.T) {
	md := messageOf(t, `syntax = "proto3"; import "google/protobuf/any.proto";
message V { uint64 u = 1; string at = 2; string j = 3; string s = 4; google.protobuf.Any any = 5; }`, "")
	src := sourceOf(declared("u", "int64", ""), declared("at", "timestamp", ""), declared("j", "json", ""),
		declared("s", "string", ""), declared("any", "json", ""))
	for _, text := range []string{"u: 18446744073709551615", `at: "secret"`, "0x1a077365637265 74ff", `any {type_url: "secret"}`, "0x22077365637265 74ff"} {
		b := decodeAll(t, src, protorec.Settings{Message: md}, encode(t, md, text))
		if len(b.Rejects) != 1 || strings.Contains(b.Rejects[0].Message, "secret") || strings.Contains(b.Rejects[0].Message, "1844") {
			t.Errorf("%s: %+v", text, b.Rejects)
		}
	}
}

func TestDecoderRefusesWhatTheSourceDoesNotDeclare(t *testing.T) {
	md := messageOf(t, tiny, "T")
	good := declared("a", "int64", "")
	odd := sourceOf(good)
	odd.EventTime = "a"
	for _, c := range []struct {
		name     string
		source   *feature.Source
		fields   []feature.Field
		settings protorec.Settings
		text     string
	}{
		{"an unknown field", sourceOf(good), []feature.Field{{Name: "b", Type: good.Type}}, protorec.Settings{Message: md}, "field b: is not declared"},
		{"another type", sourceOf(good), []feature.Field{{Name: "a", Type: feature.Of(feature.KindBool)}}, protorec.Settings{Message: md}, "declared int64, not bool"},
		{"no type", sourceOf(feature.SourceField{Field: feature.Field{Name: "a"}}), []feature.Field{{Name: "a"}}, protorec.Settings{Message: md}, "no valid type"},
		{"an odd unit", sourceOf(feature.SourceField{Field: good.Field, Unit: 60e9}), []feature.Field{good.Field}, protorec.Settings{Message: md}, "units of 1m"},
		{"an event time of no timestamp", odd, []feature.Field{good.Field}, protorec.Settings{Message: md}, "not timestamp"},
		{"an unknown event time", &feature.Source{Name: "trips", EventTime: "at"}, nil, protorec.Settings{Message: md}, "field at: is not declared"},
		{"nothing to read by", sourceOf(good), nil, protorec.Settings{}, "neither a message nor schemas"},
	} {
		_, err := protorec.New(c.source, c.fields, c.settings)
		if err == nil || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "trips") {
			t.Errorf("%s: %v, want %q", c.name, err, c.text)
		}
	}
}

func TestBatchOfOtherFieldsIsRefused(t *testing.T) {
	src := sourceOf(declared("a", "int64", ""))
	d, err := protorec.New(src, fieldsOf(src), protorec.Settings{Message: messageOf(t, tiny, "T")})
	if err != nil {
		t.Fatal(err)
	}
	var b feature.Batch
	b.Reset([]feature.Field{{Name: "a", Type: feature.Of(feature.KindBool)}}, 0)
	if err := d.Decode(t.Context(), &b, []sources.Record{{Value: []byte{}}}); err == nil {
		t.Error("a batch of another type was filled")
	}
}

func TestFieldsOfAMessage(t *testing.T) {
	md := messageOf(t, oracleProto3, "A")
	src := &feature.Source{Name: "trips", Fields: protorec.Fields(md)}
	if len(src.Fields) != md.Fields().Len() {
		t.Errorf("%d fields of %d", len(src.Fields), md.Fields().Len())
	}
	if _, err := protorec.New(src, fieldsOf(src), protorec.Settings{Message: md}); err != nil {
		t.Error(err)
	}
	want := map[string]string{
		"i32": "int32", "u32": "int64", "u64": "int64", "f": "float32", "c": "string", "xs": "list<int64>", "cs": "list<string>", "y": "bytes",
		"sub": "json", "counts": "json", "more": "json", "wi": "int64", "ws": "string", "at": "timestamp", "took": "float64",
	}
	for name, typ := range want {
		if f, ok := src.Field(name); !ok || f.Type.String() != typ {
			t.Errorf("%s is %s, want %s", name, f.Type, typ)
		}
	}
}

func TestLoad(t *testing.T) {
	md := messageOf(t, `syntax = "proto3"; package a.b; import "google/protobuf/timestamp.proto";
message T { google.protobuf.Timestamp at = 1; message In { int64 x = 1; } }`, "")
	set := &descriptorpb.FileDescriptorSet{}
	add := func(f protoreflect.FileDescriptor) { set.File = append(set.File, protodesc.ToFileDescriptorProto(f)) }
	add(md.ParentFile().Imports().Get(0).FileDescriptor)
	add(md.ParentFile())
	whole, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	set.File = set.GetFile()[1:]
	partial, _ := proto.Marshal(set)
	for _, c := range []struct {
		name    string
		set     []byte
		message string
		text    string
	}{
		{"by name", whole, "a.b.T", ""},
		{"a message in a message", whole, "a.b.T.In", ""},
		{"the only message", whole, "", ""},
		{"another name", whole, "a.T", "message a.T"},
		{"a field", whole, "a.b.T.at", "is no message"},
		{"without imports", partial, "a.b.T", "--include_imports"},
		{"no descriptor set", []byte("syntax"), "a.b.T", "buf build"},
		{"nothing", nil, "a.b.T", "no files"},
	} {
		got, err := protorec.Load(c.set, c.message)
		switch {
		case c.text == "" && (err != nil || c.message != "" && string(got.FullName()) != c.message):
			t.Errorf("%s: %v, %v", c.name, got, err)
		case c.text != "" && (err == nil || !strings.Contains(err.Error(), c.text)):
			t.Errorf("%s: %v, want %q", c.name, err, c.text)
		}
	}
}

// registry answers like a schema registry.
type registry struct {
	schemas map[int32]sources.Schema
	err     error
	asked   int
}

func (r *registry) Schema(_ gocontext.Context, id int32) (sources.Schema, error) {
	r.asked++
	if r.err != nil {
		return sources.Schema{}, r.err
	}
	s, ok := r.schemas[id]
	if !ok {
		return sources.Schema{}, sources.ErrUnknownSchema
	}
	s.ID = id
	return s, nil
}

// framed puts Confluent's header before a value.
func framed(id uint32, value []byte, indexes ...int64) []byte {
	out := binary.BigEndian.AppendUint32([]byte{0}, id)
	if len(indexes) == 0 {
		return append(append(out, 0), value...)
	}
	out = protowire.AppendVarint(out, protowire.EncodeZigZag(int64(len(indexes))))
	for _, i := range indexes {
		out = protowire.AppendVarint(out, protowire.EncodeZigZag(i))
	}
	return append(out, value...)
}

func protobufSchema(text string, refs ...sources.SchemaReference) sources.Schema {
	return sources.Schema{Type: sources.SchemaProtobuf, Text: text, References: refs}
}

func TestRecordsNameTheirSchema(t *testing.T) {
	r := &registry{schemas: map[int32]sources.Schema{
		1: protobufSchema(tiny),
		2: protobufSchema(`syntax = "proto3"; message T { string s = 5; int64 a = 9; }`),
		3: protobufSchema(`syntax = "proto3"; message T { string s = 5; }`),
		4: protobufSchema(`syntax = "proto3"; message T { string a = 1; }`),
		5: protobufSchema(`syntax = "proto3"; message T {`),
		6: {Type: sources.SchemaAvro, Text: `"int"`},
		7: protobufSchema(`syntax = "proto3"; import "other.proto"; import "confluent/meta.proto"; import "confluent/type/decimal.proto";
import "google/protobuf/timestamp.proto";
message T { option (confluent.message_meta).doc = "d"; p.Other s_from = 2; int64 a = 3; confluent.type.Decimal d = 4; google.protobuf.Timestamp at = 6; }`,
			sources.SchemaReference{Name: "other.proto", Text: `syntax = "proto3"; package p; message Other { string s = 1; }`}),
	}}
	src := sourceOf(declared("a", "int64", ""), declared("s", "string", ""))
	b := decodeAll(t, src, protorec.Settings{Schemas: r},
		framed(1, []byte{8, 1}),                         // 0
		framed(1, []byte{8, 2}, 0),                      // 1: the long form of the same
		framed(2, []byte{9 << 3, 3}),                    // 2: moved to another number
		framed(3, []byte{8, 4}),                         // 3: gone
		framed(4, []byte{10, 0}),                        // 4: of another type
		framed(5, nil), framed(6, nil), framed(99, nil), // 5, 6, 7
		framed(1, []byte{10, 1, 'x'}, 1),        // 8: U has neither
		framed(1, []byte{8, 5}, 1, 0, 1),        // 9: U.Deep.Second
		framed(1, nil, 2), framed(1, nil, 0, 0), // 10, 11: no such message
		[]byte{0, 0, 0}, []byte{8, 1, 0, 0, 0, 0, 0}, framed(1, nil, -1), framed(1, nil, make([]int64, 17)...), // 12–15
		framed(7, []byte{3 << 3, 6}), // 16
		framed(1, []byte{8}),         // 17
		[]byte{0, 0, 0, 0, 1, 0x80},  // 18
		framed(99, nil),              // 19
	)
	want := []string{
		`row a=1 s="" @5000`, `row a=2 s="" @5000`, `row a=3 s="" @5000`, `row a=null s="" @5000`,
		"reject wrong_type schema 4: field a: T.a is string, which does not become int64",
		"reject unknown_schema compile schema 5", "reject unknown_schema schema 6: is AVRO, not Protobuf",
		"reject unknown_schema the schema registry has no schema 99, or not all that it refers to",
		"row a=null s=null @5000", "row a=5 s=null @5000",
		"reject unknown_schema schema 1: it has no message", "reject unknown_schema schema 1: it has no message",
		"reject malformed malformed Protobuf at byte 0: the record is too short to name its schema",
		"reject malformed malformed Protobuf at byte 0: the record does not begin with a schema's id",
		"reject malformed malformed Protobuf at byte 6: the record names no message of its schema",
		"reject malformed malformed Protobuf at byte 5: the record names its message by too many indexes",
		"row a=6 s=null @5000",
		"reject malformed malformed Protobuf at byte 7: a number is cut off",
		"reject malformed malformed Protobuf at byte 5: a number is cut off",
		"reject unknown_schema the schema registry has no schema 99, or not all that it refers to",
	}
	for i, got := range rendering.Outcomes(b, len(want)) {
		if !strings.HasPrefix(got, want[i]) {
			t.Errorf("record %d: %s\nwant %s", i, got, want[i])
		}
	}
}

func TestASchemaIsAskedForOnce(t *testing.T) {
	r := &registry{schemas: map[int32]sources.Schema{1: protobufSchema(tiny), 2: protobufSchema(tiny), 3: protobufSchema("x")}}
	src := sourceOf(declared("a", "int64", ""))
	d, err := protorec.New(src, fieldsOf(src), protorec.Settings{Schemas: r})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		b, err := decodeWith(t, d, src, framed(1, nil), framed(2, nil), framed(1, nil), framed(3, nil), framed(3, nil), framed(2, nil))
		if err != nil || b.Rows() != 4 || len(b.Rejects) != 2 {
			t.Fatal(err, b.Rejects)
		}
	}
	if r.asked != 3 {
		t.Errorf("asked %d times for three schemas", r.asked)
	}
	// An id that is unknown is asked for once a batch: it may come to be.
	for range 2 {
		if b, err := decodeWith(t, d, src, framed(9, nil), framed(9, nil)); err != nil || len(b.Rejects) != 2 {
			t.Fatal(err, b.Rejects)
		}
	}
	if r.asked != 5 {
		t.Errorf("asked %d times, not 5", r.asked)
	}
	r.schemas[9] = protobufSchema(tiny)
	if b, err := decodeWith(t, d, src, framed(9, nil)); err != nil || b.Rows() != 1 {
		t.Fatal(err, b.Rejects)
	}
}

func TestManySchemasAreForgotten(t *testing.T) {
	r := &registry{schemas: map[int32]sources.Schema{}}
	src := sourceOf(declared("a", "int64", ""))
	d, err := protorec.New(src, fieldsOf(src), protorec.Settings{Schemas: r})
	if err != nil {
		t.Fatal(err)
	}
	for id := range int32(600) {
		r.schemas[id] = sources.Schema{Type: sources.SchemaAvro}
		if _, err := decodeWith(t, d, src, framed(uint32(id), nil)); err != nil {
			t.Fatal(err)
		}
	}
	if n := protorec.KnownSchemas(d); n > 256 {
		t.Errorf("%d are remembered", n)
	}
}

func TestARegistryThatIsAwayIsNoFaultOfTheRecord(t *testing.T) {
	away := errors.New("connection refused")
	r := &registry{schemas: map[int32]sources.Schema{1: protobufSchema(tiny)}, err: away}
	src := sourceOf(declared("a", "int64", ""))
	d, err := protorec.New(src, fieldsOf(src), protorec.Settings{Schemas: r})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodeWith(t, d, src, framed(1, []byte{8, 1})); !errors.Is(err, away) || !strings.Contains(err.Error(), "schema 1") {
		t.Fatalf("got %v", err)
	}
	r.err = nil
	if b, err := decodeWith(t, d, src, framed(1, []byte{8, 1})); err != nil || b.Rows() != 1 {
		t.Fatal(err, b.Rejects)
	}
	// A context that ended while a schema was compiled says nothing of it.
	ctx, cancel := gocontext.WithCancel(t.Context())
	cancel()
	r.schemas[2] = protobufSchema(tiny)
	var b feature.Batch
	b.Reset(fieldsOf(src), 0)
	if err := d.Decode(ctx, &b, []sources.Record{{Value: framed(2, nil)}}); !errors.Is(err, gocontext.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestANamedMessageIsTheOnlyOneRead(t *testing.T) {
	r := &registry{schemas: map[int32]sources.Schema{1: protobufSchema(tiny)}}
	src := sourceOf(declared("a", "int64", ""))
	second := protorec.Settings{Schemas: r, Name: "U.Deep.Second"}
	b := decodeAll(t, src, second, framed(1, []byte{8, 5}, 1, 0, 1), framed(1, []byte{8, 6}, 1, 0, 2), framed(1, []byte{8, 7}, 1), framed(1, nil))
	// Serialisers disagree on whether the entry of a map has an index.
	if b.Rows() != 2 || len(b.Rejects) != 2 || b.Rejects[0].Message != "schema 1: the record is another message than U.Deep.Second" {
		t.Errorf("%d rows, rejects %+v", b.Rows(), b.Rejects)
	}
	b = decodeAll(t, src, protorec.Settings{Schemas: r, Name: "V"}, framed(1, nil))
	if b.Rejects[0].Message != "schema 1: it has no message V" {
		t.Errorf("rejects %+v", b.Rejects)
	}
}

func TestFramedRecordsOfOneMessage(t *testing.T) {
	s := protorec.Settings{Message: messageOf(t, tiny, "T"), Framed: true}
	b := decodeAll(t, sourceOf(declared("a", "int64", "")), s, framed(9, []byte{8, 7}, 0), framed(10, []byte{8, 8}), []byte{8, 1})
	if b.Rows() != 2 || b.Columns[0].Ints[0] != 7 || b.Columns[0].Ints[1] != 8 || len(b.Rejects) != 1 {
		t.Errorf("%v, rejects %+v", b.Columns[0].Ints, b.Rejects)
	}
}
