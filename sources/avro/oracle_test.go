package avro_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	library "github.com/twmb/avro"
	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/avro"
)

// shape is a type that a test draws, with the kind of field that reads it and
// values of it.
type shape struct {
	typ   string
	kind  feature.Type
	value func(*rapid.T) (native any, shown string)
}

func quoted(s string) string { return strconv.Quote(s) }

// scalars are drawn for fields, elements and branches.
func scalars(names *int) []shape {
	*names++
	unique := fmt.Sprintf("N%d", *names)
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	return []shape{
		{`"boolean"`, feature.Of(feature.KindBool), func(t *rapid.T) (any, string) {
			v := rapid.Bool().Draw(t, "bool")
			return v, strconv.FormatBool(v)
		}},
		{`"int"`, feature.Of(feature.KindInt32), func(t *rapid.T) (any, string) {
			v := rapid.Int32().Draw(t, "int")
			return v, strconv.Itoa(int(v))
		}},
		{`"long"`, feature.Of(feature.KindInt64), func(t *rapid.T) (any, string) {
			v := rapid.Int64().Draw(t, "long")
			return v, strconv.FormatInt(v, 10)
		}},
		{`"int"`, feature.Of(feature.KindFloat64), func(t *rapid.T) (any, string) {
			v := rapid.Int32().Draw(t, "int")
			return v, number(float64(v))
		}},
		{`"float"`, feature.Of(feature.KindFloat64), func(t *rapid.T) (any, string) {
			v := rapid.Float32().Draw(t, "float")
			return v, number(float64(v))
		}},
		{`"double"`, feature.Of(feature.KindFloat64), func(t *rapid.T) (any, string) {
			v := rapid.Float64().Draw(t, "double")
			return v, number(v)
		}},
		{`"string"`, feature.Of(feature.KindString), func(t *rapid.T) (any, string) {
			v := rapid.String().Draw(t, "string")
			return v, quoted(v)
		}},
		{`"bytes"`, feature.Of(feature.KindBytes), func(t *rapid.T) (any, string) {
			v := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
			return v, fmt.Sprintf("%x", v)
		}},
		{`{"type":"fixed","name":"` + unique + `F","size":3}`, feature.Of(feature.KindBytes), func(t *rapid.T) (any, string) {
			v := rapid.SliceOfN(rapid.Byte(), 3, 3).Draw(t, "fixed")
			return v, fmt.Sprintf("%x", v)
		}},
		{`{"type":"enum","name":"` + unique + `E","symbols":["A","B","C"]}`, feature.Of(feature.KindString), func(t *rapid.T) (any, string) {
			v := rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "enum")
			return v, quoted(v)
		}},
		{`{"type":"long","logicalType":"timestamp-micros"}`, feature.Of(feature.KindTimestamp), func(t *rapid.T) (any, string) {
			v := time.UnixMicro(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "time")).UTC()
			return v, v.Format(time.RFC3339Nano)
		}},
		{`{"type":"bytes","logicalType":"decimal","precision":40,"scale":3}`, feature.Of(feature.KindString), func(t *rapid.T) (any, string) {
			n := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 14).Draw(t, "decimal"))
			if rapid.Bool().Draw(t, "negative") {
				n.Neg(n)
			}
			v := new(big.Rat).SetFrac(n, big.NewInt(1000))
			return v, quoted(v.FloatString(3))
		}},
	}
}

// branchOf names the branch of a union as goavro does; "" when it cannot be one.
func branchOf(typ string) string {
	if strings.HasPrefix(typ, `"`) {
		return strings.Trim(typ, `"`)
	}
	return ""
}

// drawShape draws a scalar, one that may be null, or a list of it.
func drawShape(t *rapid.T, names *int) shape {
	s := rapid.SampledFrom(scalars(names)).Draw(t, "shape")
	if branch := branchOf(s.typ); branch != "" && rapid.Bool().Draw(t, "nullable") {
		inner := s
		s.typ = rapid.SampledFrom([]string{`["null",` + inner.typ + `]`, `[` + inner.typ + `,"null"]`}).Draw(t, "order")
		s.value = func(t *rapid.T) (any, string) {
			if rapid.Bool().Draw(t, "null") {
				return nil, "null"
			}
			v, shown := inner.value(t)
			return goavro.Union(branch, v), shown
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "list") > 0 {
		return s
	}
	elem := s
	return shape{`{"type":"array","items":` + elem.typ + `}`, feature.ListOf(elem.kind), func(t *rapid.T) (any, string) {
		natives, shown := []any{}, []string{}
		for range rapid.IntRange(0, 4).Draw(t, "elements") {
			v, s := elem.value(t)
			natives, shown = append(natives, v), append(shown, s)
		}
		return natives, "[" + strings.Join(shown, ",") + "]"
	}}
}

// drawn is a schema of a record, the fields that are read of it, and the means
// to draw values.
type drawn struct {
	typ   string
	src   *feature.Source
	value func(*rapid.T) (native map[string]any, shown []string)
}

// drawRecord draws a record; some of its fields are records themselves, some
// are not read.
func drawRecord(t *rapid.T, names *int, path string, depth int) drawn {
	*names++
	name := fmt.Sprintf("R%d", *names)
	d := drawn{src: sourceOf()}
	var fields []string
	var values []func(*rapid.T) (any, []string)
	for i := range rapid.IntRange(0, 5).Draw(t, "fields") {
		name := fmt.Sprintf("f%d", i)
		if depth < 3 && rapid.IntRange(0, 4).Draw(t, "nested") == 0 {
			inner := drawRecord(t, names, path+name+".", depth+1)
			fields = append(fields, field(name, inner.typ))
			d.src.Fields = append(d.src.Fields, inner.src.Fields...)
			values = append(values, func(t *rapid.T) (any, []string) { v, s := inner.value(t); return v, s })
			continue
		}
		s := drawShape(t, names)
		fields = append(fields, field(name, s.typ))
		read := rapid.Bool().Draw(t, "read")
		if read {
			f := feature.SourceField{Field: feature.Field{Name: strings.ReplaceAll(path, ".", "_") + name, Type: s.kind}, Path: path + name}
			d.src.Fields = append(d.src.Fields, f)
		}
		values = append(values, func(t *rapid.T) (any, []string) {
			v, shown := s.value(t)
			if !read {
				return v, nil
			}
			return v, []string{shown}
		})
	}
	d.typ = fmt.Sprintf(`{"type":"record","name":"%s","fields":[%s]}`, name, strings.Join(fields, ","))
	d.value = func(t *rapid.T) (map[string]any, []string) {
		native, all := make(map[string]any), []string{}
		for i, v := range values {
			n, shown := v(t)
			native[fmt.Sprintf("f%d", i)], all = n, append(all, shown...)
		}
		return native, all
	}
	return d
}

func codecOf(t *rapid.T, schema string) *goavro.Codec {
	c, err := goavro.NewCodecWithOptions(schema, &goavro.CodecOption{EnableDecimalBinarySpecCompliantEncoding: true})
	if err != nil {
		t.Fatal(schema, err)
	}
	return c
}

// TestReadsWhatGoavroWrites draws schemas and values; what goavro writes comes
// out as it was drawn.
func TestReadsWhatGoavroWrites(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := drawRecord(rt, new(int), "", 0)
		codec := codecOf(rt, d.typ)
		var values [][]byte
		var want [][]string
		for range 3 {
			native, shown := d.value(rt)
			v, err := codec.BinaryFromNative([]byte{}, native)
			if err != nil {
				rt.Fatal(d.typ, native, err)
			}
			values, want = append(values, v), append(want, shown)
		}
		b := decodeAll(t, d.src, plain(d.typ), values...)
		if len(b.Rejects) > 0 {
			rt.Fatalf("%s: %+v", d.typ, b.Rejects[0])
		}
		for row := range want {
			for i := range b.Columns {
				if got := rendering.Show(&b.Columns[i], row); got != want[row][i] {
					rt.Fatalf("%s: field %s is %s, want %s", d.typ, b.Fields[i].Name, got, want[row][i])
				}
			}
		}
	})
}

// TestDamagedRecordsAreTakenAsGoavroTakesThem flips, cuts and adds bytes. What
// goavro refuses and we take must be in what no field looks at; what goavro
// takes we take, limits aside.
func TestDamagedRecordsAreTakenAsGoavroTakesThem(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := drawRecord(rt, new(int), "", 0)
		codec := codecOf(rt, d.typ)
		native, _ := d.value(rt)
		v, err := codec.BinaryFromNative([]byte{}, native)
		if err != nil {
			rt.Fatal(err)
		}
		v = damage(rt, v)
		b := decodeAll(t, d.src, plain(d.typ), v)
		if b.Rows()+len(b.Rejects) != 1 {
			rt.Fatalf("%d rows and %d rejects of one record", b.Rows(), len(b.Rejects))
		}
		if rest, ok := taken(codec, v); !ok || rest > 0 || len(b.Rejects) == 0 {
			return
		}
		ours := b.Rejects[0].Reason != feature.ReasonMalformed    // a limit, or a field of a definition
		for _, lax := range []string{"UTF-8", "beyond 32 bits"} { // goavro does not look
			ours = ours || strings.Contains(b.Rejects[0].Message, lax)
		}
		if !ours {
			rt.Fatalf("%s: %x: goavro takes it: %+v", d.typ, v, b.Rejects[0])
		}
	})
}

// taken reports whether goavro takes v, and how much it leaves.
func taken(codec *goavro.Codec, v []byte) (rest int, ok bool) {
	defer func() {
		if recover() != nil { // it happens
			ok = false
		}
	}()
	_, left, err := codec.NativeFromBinary(v)
	return len(left), err == nil
}

func damage(t *rapid.T, v []byte) []byte {
	v = append([]byte{}, v...)
	for range rapid.IntRange(1, 3).Draw(t, "damages") {
		if len(v) == 0 || rapid.IntRange(0, 4).Draw(t, "add") == 0 {
			v = append(v, rapid.Byte().Draw(t, "byte"))
			continue
		}
		at := rapid.IntRange(0, len(v)-1).Draw(t, "at")
		if rapid.IntRange(0, 3).Draw(t, "cut") == 0 {
			v = v[:at]
			continue
		}
		// Small changes: what goavro does about large lengths takes memory.
		v[at] ^= 1 << rapid.IntRange(0, 6).Draw(t, "bit")
	}
	return v
}

// TestResolvesLikeTheLibrary draws a writer's and a reader's schema of the same
// fields, differing in order, names, types and presence; twmb/avro's Resolve is
// the oracle.
func TestResolvesLikeTheLibrary(t *testing.T) {
	// From a writer's type to those it promotes to, with the kind that reads it.
	promotions := map[string][]string{
		"int": {"int", "long", "float", "double"}, "long": {"long", "float", "double"}, "float": {"float", "double"},
		"double": {"double"}, "string": {"string", "bytes"}, "bytes": {"bytes", "string"},
	}
	kindOf := map[string]feature.Kind{
		"int": feature.KindInt32, "long": feature.KindInt64, "float": feature.KindFloat32, "double": feature.KindFloat64,
		"string": feature.KindString, "bytes": feature.KindBytes,
	}
	preset := map[string]string{"int": "7", "long": "-8", "float": "0.5", "double": "1e3", "string": `"s"`, "bytes": `"b"`}
	types := []string{"int", "long", "float", "double", "string", "bytes"}
	nullable := func(t *rapid.T, typ string) string {
		return rapid.SampledFrom([]string{`"` + typ + `"`, `["null","` + typ + `"]`, `["` + typ + `","null"]`}).Draw(t, "nullable")
	}
	rapid.Check(t, func(rt *rapid.T) {
		var writer, reader []string
		src := sourceOf()
		for i := range rapid.IntRange(1, 6).Draw(rt, "fields") {
			name := fmt.Sprintf("f%d", i)
			from := rapid.SampledFrom(types).Draw(rt, "from")
			to := rapid.SampledFrom(promotions[from]).Draw(rt, "to")
			readerType := nullable(rt, to)
			// A reader that takes no null fits no writer that has some.
			writerType := `"` + from + `"`
			if strings.HasPrefix(readerType, "[") {
				writerType = nullable(rt, from)
			}
			old := name
			extra := ""
			if rapid.IntRange(0, 2).Draw(rt, "renamed") == 0 {
				old, extra = "old_"+name, `,"aliases":["x_`+name+`","old_`+name+`"]`
			}
			in := rapid.SampledFrom([]string{"both", "both", "writer", "reader"}).Draw(rt, "in")
			if in != "reader" {
				writer = append(writer, field(old, writerType))
			}
			if in != "writer" {
				def := preset[to]
				if strings.HasPrefix(readerType, `["null"`) {
					def = "null"
				}
				reader = append(reader, `{"name":"`+name+`","type":`+readerType+`,"default":`+def+extra+`}`)
				src.Fields = append(src.Fields, declared(name, kindOf[to]))
			}
		}
		w := record(rapid.Permutation(writer).Draw(rt, "order")...)
		r := record(reader...)
		written, err := library.Parse(w)
		if err != nil {
			rt.Fatal(w, err)
		}
		read, err := library.Parse(r)
		if err != nil {
			rt.Fatal(r, err)
		}
		resolved, err := library.Resolve(written, read)
		if err != nil {
			rt.Fatalf("%s\n%s\n%v", w, r, err)
		}
		value := drawValue(rt, written.Root())
		data, err := written.AppendEncode([]byte{}, value)
		if err != nil {
			rt.Fatal(w, value, err)
		}
		var want map[string]any
		if _, err := resolved.Decode(data, &want); err != nil {
			rt.Fatal(err)
		}
		s, rs := plain(w), schemaOf(r)
		s.Reader = &rs
		b := decodeAll(t, src, s, data)
		if len(b.Rejects) > 0 {
			rt.Fatalf("%s\n%s\n%+v", w, r, b.Rejects[0])
		}
		for i := range b.Columns {
			if got, want := rendering.Show(&b.Columns[i], 0), shownNative(want[b.Fields[i].Name]); got != want {
				rt.Fatalf("%s\n%s\nfield %s is %s, want %s", w, r, b.Fields[i].Name, got, want)
			}
		}
	})
}

func drawValue(t *rapid.T, n *library.SchemaNode) any {
	switch n.Type {
	case "record":
		v := make(map[string]any)
		for i := range n.Fields {
			v[n.Fields[i].Name] = drawValue(t, &n.Fields[i].Type)
		}
		return v
	case "union":
		return drawValue(t, &n.Branches[rapid.IntRange(0, len(n.Branches)-1).Draw(t, "branch")])
	case "int":
		return rapid.Int32().Draw(t, "int")
	case "long":
		return rapid.Int64().Draw(t, "long")
	case "float":
		return rapid.Float32Range(-1e30, 1e30).Draw(t, "float")
	case "double":
		return rapid.Float64Range(-1e300, 1e300).Draw(t, "double")
	case "string":
		return rapid.String().Draw(t, "string")
	case "bytes":
		return []byte(rapid.String().Draw(t, "bytes"))
	default:
		return nil
	}
}

// shownNative is v as show writes it.
func shownNative(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return quoted(v)
	case []byte:
		return fmt.Sprintf("%x", v)
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 64)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}

// TestFingerprintsAreTheSpecifications holds single objects to what another
// implementation writes, for drawn schemas.
func TestFingerprintsAreTheSpecifications(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := drawRecord(rt, new(int), "", 0)
		if strings.Contains(d.typ, "logicalType") {
			return // goavro keeps the object around the type; the specification does not
		}
		codec := codecOf(rt, d.typ)
		native, _ := d.value(rt)
		v, err := codec.SingleFromNative(nil, native)
		if err != nil {
			rt.Fatal(err)
		}
		s := avro.Settings{Framing: avro.FramingSingleObject, Writers: []sources.Schema{schemaOf(d.typ)}}
		if b := decodeAll(t, d.src, s, v); len(b.Rejects) > 0 {
			rt.Fatalf("%s: %+v", d.typ, b.Rejects[0])
		}
	})
}

// TestJSONTextIsValid holds the text of json fields to encoding/json.
func TestJSONTextIsValid(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := drawRecord(rt, new(int), "", 0)
		typ := record(field("j", d.typ), field("m", `{"type":"map","values":"string"}`))
		native, _ := d.value(rt)
		m := make(map[string]any)
		for k, v := range rapid.MapOf(rapid.String(), rapid.String()).Draw(rt, "map") {
			m[k] = v
		}
		v, err := codecOf(rt, typ).BinaryFromNative([]byte{}, map[string]any{"j": native, "m": m})
		if err != nil {
			rt.Fatal(err)
		}
		b := decodeAll(t, sourceOf(declared("j", feature.KindJSON), declared("m", feature.KindJSON)), plain(typ), v)
		if len(b.Rejects) > 0 || !json.Valid([]byte(b.Columns[0].Strings[0])) {
			rt.Fatalf("%s: %q %+v", typ, b.Columns[0].Strings, b.Rejects)
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(b.Columns[1].Strings[0]), &got); err != nil || fmt.Sprint(got) != fmt.Sprint(m) {
			rt.Fatalf("%v, want %v: %v", got, m, err)
		}
	})
}
