package protorec_test

import (
	gocontext "context"
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/protorec"
)

// The oracle: what dynamicpb reads from the same bytes, looked up by path.

const oracleProto3 = `syntax = "proto3";
import "google/protobuf/wrappers.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
message A {
  bool b = 1; int32 i32 = 2; sint32 s32 = 3; sfixed32 f32 = 4; uint32 u32 = 5; fixed32 x32 = 6;
  int64 i64 = 7; sint64 s64 = 8; sfixed64 f64 = 9; uint64 u64 = 10; fixed64 x64 = 11;
  float f = 12; double d = 13; string s = 14; bytes y = 15; Color c = 16;
  optional int32 oi = 17; optional string os = 18; optional Color oc = 19;
  repeated int64 xs = 20; repeated string names = 21; repeated fixed32 fx = 22; repeated double ds = 23; repeated Color cs = 24;
  repeated uint64 us = 25; repeated sint32 ss = 26; repeated bool bs = 27; repeated bytes ys = 28;
  repeated int64 loose = 29 [packed = false];
  A sub = 30;
  oneof pick { int64 pi = 31; string ps = 32; A pa = 33; Color pc = 34; google.protobuf.Int64Value pw = 35; google.protobuf.Timestamp pt = 36; }
  map<string, int64> counts = 40; map<string, A> subs = 41; map<string, string> words = 42; map<int32, A> numbered = 43;
  google.protobuf.Int64Value wi = 50; google.protobuf.StringValue ws = 51; google.protobuf.UInt64Value wu = 52;
  google.protobuf.Timestamp at = 60; google.protobuf.Duration took = 61;
  repeated A more = 70;
  int64 far = 1000; string farther = 536870911;
  enum Color { NONE = 0; RED = 1; GREEN = 300; BLACK = -1; }
}
`

const oracleProto2 = `syntax = "proto2";
message A {
  optional bool b = 1 [default = true]; optional int32 i32 = 2 [default = -3]; required int64 i64 = 7;
  optional uint64 u64 = 10 [default = 9]; optional string s = 14 [default = "x"]; optional bytes y = 15; optional Color c = 16 [default = GREEN];
  optional double d = 13 [default = inf]; optional Color oc = 19;
  repeated int64 xs = 20; repeated string names = 21; repeated sint32 ss = 26 [packed = true];
  optional A sub = 30;
  oneof pick { int64 pi = 31; string ps = 32; A pa = 33; group Part = 37 { optional int64 id = 1; repeated int64 xs = 2; } }
  map<string, int64> counts = 40; map<string, A> subs = 41;
  optional group Old = 44 { optional int64 id = 1; optional A sub = 2; }
  repeated group Olds = 45 { optional int64 id = 1; }
  extensions 100 to 200;
  enum Color { RED = 1; GREEN = 300; BLACK = -1; }
}
`

// oracleSource declares every field that can be had, and some by paths.
func oracleSource(md protoreflect.MessageDescriptor) *feature.Source {
	src := &feature.Source{Name: "trips"}
	add := func(path string, typ feature.Type) {
		name := "f" + strconv.Itoa(len(src.Fields))
		src.Fields = append(src.Fields, feature.SourceField{Field: feature.Field{Name: name, Type: typ}, Path: path})
	}
	for _, f := range protorec.Fields(md) {
		add(f.Name, f.Type)
		if strings.HasPrefix(f.Name, "sub") || strings.HasPrefix(f.Name, "p") || strings.HasPrefix(f.Name, "old") {
			continue
		}
		for _, through := range []string{"sub", "pa", "sub.sub", "subs.k", "subs..dot", "old.sub", "pa.pa"} {
			if path := through + "." + f.Name; !strings.Contains(path, "..") && exists(md, path) {
				add(path, f.Type)
			}
		}
	}
	for _, p := range []struct{ path, typ string }{
		{"sub.pi", "int64"},
		{"pa.ps", "string"},
		{"subs.k.pa.xs", "list<int64>"},
		{"counts.k", "int64"},
		{"counts.q", "int64"},
		{"words.k", "string"},
		{"part.id", "int64"},
		{"part.xs", "list<int64>"},
		{"old.id", "int64"},
		{"took", "int64"},
		{"at.nanos", "int32"},
		{"c", "int64"},
		{"u32", "int32"},
		{"u64", "float64"},
		{"d", "float32"},
		{"i64", "float32"},
		{"s", "bytes"},
		{"u64", "json"},
		{"s", "json"},
		{"c", "json"},
		{"oi", "json"},
		{"counts.k", "json"},
		{"sub.xs", "json"},
		{"ps", "json"},
		{"i64", "int32"},
		{"i32", "float64"},
		{"f", "float64"},
		{"sub.counts.k", "int64"},
		{"pw.value", "int64"},
		{"i64", "int64"},
		{"pa.sub.i32", "int32"},
	} {
		typ, _ := feature.ParseType(p.typ)
		if exists(md, p.path) {
			add(p.path, typ)
		}
	}
	return src
}

func exists(md protoreflect.MessageDescriptor, path string) bool {
	names := strings.Split(path, ".")
	for i := 0; i < len(names); i++ {
		fd := md.Fields().ByName(protoreflect.Name(names[i]))
		if fd == nil {
			return false
		}
		if fd.IsMap() && i+1 < len(names) {
			i++
			md = fd.MapValue().Message()
			continue
		}
		if i+1 < len(names) && (fd.Message() == nil || fd.IsList()) {
			return false
		}
		md = fd.Message()
	}
	return true
}

// expected returns what field f of m is shown as, and whether it is one that
// has to be refused.
func expected(m protoreflect.Message, f feature.SourceField) (text string, refused bool) {
	names := strings.Split(f.Path, ".")
	for i := 0; i < len(names); i++ {
		fd := m.Descriptor().Fields().ByName(protoreflect.Name(names[i]))
		last := i == len(names)-1
		switch {
		case fd.IsMap() && !last:
			i++
			v := m.Get(fd).Map().Get(protoreflect.ValueOfString(names[i]).MapKey())
			if !v.IsValid() {
				return "null", false
			}
			if i == len(names)-1 && f.Type.Kind == feature.KindJSON {
				return strconv.Quote(strconv.FormatInt(v.Int(), 10)), false
			}
			if i == len(names)-1 {
				return scalar(fd.MapValue(), v, f.Type.Kind)
			}
			m = v.Message()
		case !last:
			if !m.Has(fd) {
				return "null", false
			}
			m = m.Get(fd).Message()
		case f.Type.Kind == feature.KindJSON:
			return asJSON(m, fd), false
		case fd.IsList():
			var elems []string
			for k := range m.Get(fd).List().Len() {
				elem, bad := scalar(fd, m.Get(fd).List().Get(k), f.Type.Kind)
				elems, refused = append(elems, elem), refused || bad
			}
			return "[" + strings.Join(elems, ",") + "]", refused
		case fd.HasPresence() && !m.Has(fd) && (!fd.HasDefault() || fd.ContainingOneof() != nil):
			return "null", false
		default:
			return scalar(fd, m.Get(fd), f.Type.Kind)
		}
	}
	return "?", true
}

func asJSON(m protoreflect.Message, fd protoreflect.FieldDescriptor) string {
	switch {
	case fd.HasPresence() && !m.Has(fd) && (!fd.HasDefault() || fd.ContainingOneof() != nil):
		return "null"
	case fd.IsMap() && !m.Has(fd):
		return "{}"
	case fd.IsList() && !m.Has(fd):
		return "[]"
	}
	alone := dynamicpb.NewMessage(m.Descriptor())
	if m.Has(fd) || fd.HasDefault() && fd.ContainingOneof() == nil {
		alone.Set(fd, m.Get(fd))
	}
	raw, err := protojson.MarshalOptions{AllowPartial: true, UseProtoNames: true, EmitDefaultValues: true}.Marshal(alone)
	if err != nil {
		return "error"
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return "error"
	}
	return sorted(members[fd.TextName()])
}

// sorted is JSON text in one form, or "error".
func sorted(text []byte) string {
	var tree any
	if json.Unmarshal(text, &tree) != nil {
		return "error"
	}
	out, err := json.Marshal(tree)
	if err != nil {
		return "error"
	}
	return string(out)
}

func scalar(fd protoreflect.FieldDescriptor, v protoreflect.Value, kind feature.Kind) (string, bool) {
	integer := func(n int64) (string, bool) {
		switch kind {
		case feature.KindInt32:
			return strconv.FormatInt(n, 10), n != int64(int32(n))
		case feature.KindFloat64:
			return strconv.FormatFloat(float64(n), 'g', -1, 64), false
		case feature.KindFloat32:
			return strconv.FormatFloat(float64(float32(n)), 'g', -1, 64), false
		default:
			return strconv.FormatInt(n, 10), false
		}
	}
	switch v := v.Interface().(type) {
	case bool:
		return strconv.FormatBool(v), false
	case int32:
		return integer(int64(v))
	case int64:
		return integer(v)
	case uint32:
		return integer(int64(v))
	case uint64:
		if kind == feature.KindFloat64 {
			return strconv.FormatFloat(float64(v), 'g', -1, 64), false
		}
		text, bad := integer(int64(v))
		return text, bad || v > math.MaxInt64
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 64), false
	case float64:
		if kind == feature.KindFloat32 {
			return strconv.FormatFloat(float64(float32(v)), 'g', -1, 64), math.IsInf(float64(float32(v)), 0) && !math.IsInf(v, 0)
		}
		return strconv.FormatFloat(v, 'g', -1, 64), false
	case string:
		if kind == feature.KindBytes {
			return hex.EncodeToString([]byte(v)), !utf8.ValidString(v)
		}
		return strconv.Quote(v), !utf8.ValidString(v)
	case []byte:
		return hex.EncodeToString(v), false
	case protoreflect.EnumNumber:
		if kind != feature.KindString {
			return integer(int64(v))
		}
		if named := fd.Enum().Values().ByNumber(v); named != nil {
			return strconv.Quote(string(named.Name())), false
		}
		return strconv.Quote(strconv.Itoa(int(v))), false
	case protoreflect.Message:
		return message(v, kind)
	}
	return "?", true
}

func message(m protoreflect.Message, kind feature.Kind) (string, bool) {
	fields := m.Descriptor().Fields()
	value := fields.ByName("value")
	if value != nil {
		return scalar(value, m.Get(value), kind)
	}
	s, n := m.Get(fields.ByName("seconds")).Int(), m.Get(fields.ByName("nanos")).Int()
	if m.Descriptor().FullName() == "google.protobuf.Timestamp" {
		at := time.Unix(s, n)
		fits := s < math.MaxInt64/1_000_000 && s > math.MinInt64/1_000_000
		return time.UnixMicro(at.UnixMicro()).UTC().Format(time.RFC3339Nano), !fits || n < 0 || n > 999_999_999
	}
	bad := s > 315_576_000_000 || s < -315_576_000_000 || n > 999_999_999 || n < -999_999_999 || s > 0 && n < 0 || s < 0 && n > 0
	if kind == feature.KindInt64 {
		return strconv.FormatInt(s*1e6+n/1000, 10), bad
	}
	return strconv.FormatFloat(float64(s)+float64(n)/1e9, 'g', -1, 64), bad
}

// drawWire draws the bytes of fields of md: mostly what it declares, in right
// and sometimes in wrong wire types, repeated, out of order, with strangers.
func drawWire(t *rapid.T, md protoreflect.MessageDescriptor, depth int) []byte {
	var out []byte
	for range rapid.IntRange(0, 6).Draw(t, "fields") {
		fd := md.Fields().Get(rapid.IntRange(0, md.Fields().Len()-1).Draw(t, "field"))
		switch rapid.IntRange(0, 19).Draw(t, "how") {
		case 0:
			number := rapid.SampledFrom([]protowire.Number{fd.Number(), 99, 150, 2000}).Draw(t, "number")
			out = appendAny(t, out, number)
		case 1:
			if fd.IsList() && fd.Message() == nil {
				out = appendPacked(t, out, fd)
				continue
			}
			out = appendField(t, out, fd, depth)
		default:
			out = appendField(t, out, fd, depth)
		}
	}
	return out
}

func appendAny(t *rapid.T, out []byte, number protowire.Number) []byte {
	switch typ := rapid.SampledFrom([]protowire.Type{0, 1, 2, 3, 5}).Draw(t, "type"); typ {
	case protowire.VarintType:
		return protowire.AppendVarint(protowire.AppendTag(out, number, typ), rapid.Uint64().Draw(t, "varint"))
	case protowire.Fixed64Type:
		return protowire.AppendFixed64(protowire.AppendTag(out, number, typ), rapid.Uint64().Draw(t, "fixed"))
	case protowire.Fixed32Type:
		return protowire.AppendFixed32(protowire.AppendTag(out, number, typ), rapid.Uint32().Draw(t, "fixed"))
	case protowire.StartGroupType:
		out = protowire.AppendVarint(protowire.AppendTag(protowire.AppendTag(out, number, typ), 1, 0), 5)
		return protowire.AppendTag(out, number, protowire.EndGroupType)
	default:
		return protowire.AppendBytes(protowire.AppendTag(out, number, protowire.BytesType), rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "bytes"))
	}
}

func appendField(t *rapid.T, out []byte, fd protoreflect.FieldDescriptor, depth int) []byte {
	number := fd.Number()
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		var body []byte
		switch {
		case fd.IsMap():
			body = drawEntry(t, fd, depth)
		case depth > 0 || fd.Message().Fields().Len() < 4:
			body = drawWire(t, fd.Message(), depth-1)
		}
		if fd.Kind() == protoreflect.GroupKind {
			out = append(protowire.AppendTag(out, number, protowire.StartGroupType), body...)
			return protowire.AppendTag(out, number, protowire.EndGroupType)
		}
		return protowire.AppendBytes(protowire.AppendTag(out, number, protowire.BytesType), body)
	case protoreflect.StringKind, protoreflect.BytesKind:
		text := rapid.SampledFrom([]string{"", "a", "é", "long enough for two", "k", "q"}).Draw(t, "text")
		if rapid.IntRange(0, 40).Draw(t, "broken") == 0 {
			text = "\xff"
		}
		return protowire.AppendString(protowire.AppendTag(out, number, protowire.BytesType), text)
	default:
		typ, value := drawNumber(t, fd.Kind())
		return append(protowire.AppendTag(out, number, typ), value...)
	}
}

func drawEntry(t *rapid.T, fd protoreflect.FieldDescriptor, depth int) []byte {
	var parts [][]byte
	if rapid.IntRange(0, 9).Draw(t, "keyed") > 0 {
		parts = append(parts, appendField(t, nil, fd.MapKey(), 0))
	}
	for range rapid.SampledFrom([]int{1, 1, 1, 0, 2}).Draw(t, "values") {
		parts = append(parts, appendField(t, nil, fd.MapValue(), depth-1))
	}
	if rapid.IntRange(0, 9).Draw(t, "strange") == 0 {
		parts = append(parts, appendAny(t, nil, rapid.SampledFrom([]protowire.Number{1, 2, 3}).Draw(t, "number")))
	}
	var out []byte
	for _, p := range rapid.Permutation(parts).Draw(t, "order") {
		out = append(out, p...)
	}
	return out
}

func appendPacked(t *rapid.T, out []byte, fd protoreflect.FieldDescriptor) []byte {
	if k := fd.Kind(); k == protoreflect.StringKind || k == protoreflect.BytesKind {
		return out
	}
	var body []byte
	for range rapid.IntRange(0, 5).Draw(t, "elements") {
		_, value := drawNumber(t, fd.Kind())
		body = append(body, value...)
	}
	return protowire.AppendBytes(protowire.AppendTag(out, fd.Number(), protowire.BytesType), body)
}

func drawNumber(t *rapid.T, kind protoreflect.Kind) (protowire.Type, []byte) {
	v := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 400), rapid.Just(uint64(math.MaxUint64))).Draw(t, "value")
	switch kind {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type, protowire.AppendFixed32(nil, uint32(v))
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type, protowire.AppendFixed64(nil, v)
	default:
		return protowire.VarintType, protowire.AppendVarint(nil, v)
	}
}

type fataler interface {
	Fatalf(format string, args ...any)
}

// compare holds the decoder to the oracle on bytes.
func compare(t fataler, d *protorec.Decoder, src *feature.Source, md protoreflect.MessageDescriptor, values ...[]byte) {
	fields := fieldsOf(src)
	recs := make([]sources.Record, len(values))
	for i, v := range values {
		recs[i] = sources.Record{Value: append([]byte{}, v...), TimeMillis: 5}
	}
	var b feature.Batch
	b.Reset(fields, 0)
	if err := d.Decode(gocontext.Background(), &b, recs); err != nil {
		t.Fatalf("%v", err)
	}
	if b.Rows()+len(b.Rejects) != len(values) {
		t.Fatalf("%d rows and %d rejects of %d records", b.Rows(), len(b.Rejects), len(values))
	}
	rejects := make(map[int32]feature.Reject)
	for _, r := range b.Rejects {
		rejects[r.Origin.Record] = r
	}
	row := 0
	for i, v := range values {
		reject, rejected := rejects[int32(i)]
		if !rejected {
			row++
		}
		compareOne(t, &b, row-1, reject, rejected, src, md, v)
	}
}

func compareOne(t fataler, b *feature.Batch, row int, reject feature.Reject, rejected bool,
	src *feature.Source, md protoreflect.MessageDescriptor, v []byte,
) {
	m := dynamicpb.NewMessage(md)
	if !understood(v, m) {
		return // what only stands where no field looks is not seen
	}
	if rejected && reject.Reason == feature.ReasonTooLarge {
		return
	}
	refused := ""
	for c, f := range src.Fields {
		want, bad := expected(m, f)
		if bad || want == "error" {
			refused += f.Path + " "
			continue
		}
		if rejected {
			continue
		}
		got := rendering.Show(&b.Columns[c], row)
		if f.Type.Kind == feature.KindJSON && got != "null" {
			got = sorted([]byte(got))
		}
		if got != want {
			t.Fatalf("%x: %s is %s, want %s", v, f.Path, got, want)
		}
	}
	if rejected != (refused != "") {
		// A broken string that a later one replaced is refused all the same.
		if rejected && reject.Reason == feature.ReasonMalformed && strings.Contains(reject.Message, "UTF-8") {
			return
		}
		t.Fatalf("%x: rejected is %v (%s), the oracle refuses %q", v, rejected, reject.Message, refused)
	}
}

// understood reports whether the library reads v; on some maps it panics.
func understood(v []byte, m proto.Message) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return proto.UnmarshalOptions{AllowPartial: true}.Unmarshal(v, m) == nil
}

func TestReadsWhatTheProtobufLibraryReads(t *testing.T) {
	for _, text := range []string{oracleProto3, oracleProto2} {
		md := messageOf(t, text, "A")
		src := oracleSource(md)
		d, err := protorec.New(src, fieldsOf(src), protorec.Settings{Message: md})
		if err != nil {
			t.Fatal(err)
		}
		t.Run(md.ParentFile().Syntax().GoString(), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				var values [][]byte
				for range rapid.IntRange(1, 4).Draw(rt, "records") {
					values = append(values, drawWire(rt, md, 3))
				}
				compare(rt, d, src, md, values...)
			})
		})
	}
}

// FuzzDecode: nothing panics, no length is believed, and what dynamicpb reads
// is what is decoded.
func FuzzDecode(f *testing.F) {
	md3, md2 := messageOf(f, oracleProto3, "A"), messageOf(f, oracleProto2, "A")
	for i := range 40 {
		f.Add(rapid.Custom(func(t *rapid.T) []byte { return drawWire(t, md3, 3) }).Example(i))
		f.Add(rapid.Custom(func(t *rapid.T) []byte { return drawWire(t, md2, 3) }).Example(i))
	}
	src3, src2 := oracleSource(md3), oracleSource(md2)
	limits := protorec.Limits{MaxBytes: 1 << 16, MaxJSONBytes: 1 << 12, MaxDepth: 16}
	d3, err3 := protorec.New(src3, fieldsOf(src3), protorec.Settings{Message: md3, Limits: limits})
	d2, err2 := protorec.New(src2, fieldsOf(src2), protorec.Settings{Message: md2, Limits: limits})
	if err3 != nil || err2 != nil {
		f.Fatal(err3, err2)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		compare(t, d3, src3, md3, value)
		compare(t, d2, src2, md2, value)
	})
}

// FuzzHeader: no header makes anything panic, or takes away what is not its.
func FuzzHeader(f *testing.F) {
	for _, seed := range [][]byte{
		framed(1, []byte{8, 1}), framed(1, []byte{8, 1}, 0), framed(1, []byte{8, 1}, 1, 0, 1), framed(2, nil, -1), {0, 0}, framed(1, nil, 1<<40),
	} {
		f.Add(seed)
	}
	r := &registry{schemas: map[int32]sources.Schema{1: protobufSchema(tiny)}}
	src := sourceOf(declared("a", "int64", ""))
	f.Fuzz(func(t *testing.T, value []byte) {
		d, err := protorec.New(src, fieldsOf(src), protorec.Settings{Schemas: r})
		if err != nil {
			t.Fatal(err)
		}
		value = append([]byte{}, value...)
		b, err := decodeWith(t, d, src, value, framed(1, []byte{8, 7}), value)
		if err != nil || b.Rows()+len(b.Rejects) != 3 {
			t.Fatalf("%x: %v, %d rows, %+v", value, err, b.Rows(), b.Rejects)
		}
		results := rendering.Outcomes(b, 3)
		if results[0] != results[2] || results[1] != "row a=7 @5000" {
			t.Fatalf("%x: %q", value, results)
		}
	})
}
