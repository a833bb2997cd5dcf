package jsonrec_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/jsonrec"
)

// FuzzDecode: nothing panics, and the decoder takes for a JSON object what
// encoding/json does, bytes that are not UTF-8 and deep nesting aside.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"a":1,"b":{"c":"x\u00e9\ud83d\ude42"},"d":[1.5e-3,null,true]}`, `{"a":"b"} `, `{}`, `[]`, `{"a":-0.0E+5}`,
		`{"a":{"a":{}},"a":[]}`, `{"d":[[1],[2.25]],"i":1,"i":-0.0,"x":123456789012345678}`, "\t{\"x\\\"y\" : false}\n", `{"t":"2023-11-14T22:13:20.5+01:00","e":"AP8="}`,
		`{"q":"9007199254740993","p":"-1.5e3"}`, `{"q":7,"p":" 1"}`, `{"q":"\u0031","p":""}`, `{"p":"1e999"}`,
	} {
		f.Add([]byte(seed))
	}
	for _, rec := range trips(3) {
		f.Add(rec.Value)
	}
	src := fuzzSource()
	limits := jsonrec.Limits{MaxDepth: 64, MaxBytes: 1 << 20}
	f.Fuzz(func(t *testing.T, text []byte) {
		if text == nil {
			text = []byte{}
		}
		// Twice, because the second time every name is where it was before, and
		// between them cut off.
		b := decodeAll(t, src, limits, text, text[:len(text)/2], text)
		if b.Rows()+len(b.Rejects) != 3 {
			t.Fatalf("%d rows and %d rejects of three records", b.Rows(), len(b.Rejects))
		}
		if results := rendering.Outcomes(b, 3); results[0] != results[2] {
			t.Fatalf("%q: %s at first, then %s", text, results[0], results[2])
		}
		accepted := len(b.Rejects) == 0 || b.Rejects[0].Origin.Record > 0
		if !accepted {
			switch b.Rejects[0].Reason {
			case feature.ReasonTooLarge:
				return
			case feature.ReasonWrongType, feature.ReasonLength:
				accepted = true
			default:
			}
		}
		if want := isObject(text); accepted != want {
			t.Fatalf("%q: accepted %v, encoding/json says %v: %+v", text, accepted, want, b.Rejects)
		}
	})
}

// FuzzFinished: a finished row is taken only if it is an object that has every
// column, by its name at the top, and those left out are counted.
func FuzzFinished(f *testing.F) {
	for _, seed := range []string{
		`{"k":1,"event_timestamp":"2023-11-14T22:13:20Z","a":1.5,"b":[1,2],"c":null}`, `{"a":null,"b":null}`, `{"a":1}`, `{}`, `[]`,
		`{"\u0061":1,"b":[]}`, `{"x":{"a":1,"b":[]}}`,
	} {
		f.Add([]byte(seed))
	}
	keys := []feature.Field{{Name: "k", Type: feature.Of(feature.KindInt64)}}
	columns := []feature.SourceField{
		declared("a", feature.KindFloat64),
		{Field: feature.Field{Name: "b", Type: feature.ListOf(feature.Of(feature.KindInt32))}},
		declared("c", feature.KindString),
	}
	columns[2].Optional = true
	layout := []feature.Field{keys[0], columns[0].Field, columns[1].Field, columns[2].Field}
	d, err := jsonrec.NewFinished(keys, columns)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var b feature.Batch
		b.Reset(layout, 0)
		if err := d.Decode(t.Context(), &b, []sources.Record{{Value: text}}); err != nil {
			t.Fatal(err)
		}
		if b.Rows()+len(b.Rejects) != 1 {
			t.Fatalf("%d rows and %d rejects of one record", b.Rows(), len(b.Rejects))
		}
		var members map[string]json.RawMessage
		if json.Unmarshal(text, &members) != nil {
			members = nil
		}
		_, a := members["a"]
		_, bb := members["b"]
		_, c := members["c"]
		if b.Rows() == 1 && (!a || !bb || (b.Absent == 1) == c) {
			t.Fatalf("%q is taken; a %v, b %v, c %v, %d absent", text, a, bb, c, b.Absent)
		}
		if len(b.Rejects) == 1 && b.Rejects[0].Reason == feature.ReasonMissing && a && bb {
			t.Fatalf("%q lacks nothing: %s", text, b.Rejects[0].Message)
		}
	})
}

// FuzzQuoted: text in quotes is the value that it is without them, and refused
// if it is no JSON number.
func FuzzQuoted(f *testing.F) {
	for _, seed := range []string{
		"0", "-0", "12", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "2147483648", "1e3", "1.0", "0.1", "1e400", "1E-2",
		"", " 1", "1 ", "+1", "01", "1.", ".5", "-", "0x1f", "NaN", "Infinity", "null", "true", "[1]", "1_000", "1,2", "\"1\"", "１",
	} {
		f.Add(seed)
	}
	millis := feature.SourceField{Field: feature.Field{Type: feature.Of(feature.KindTimestamp)}, Unit: time.Millisecond}
	list := feature.SourceField{Field: feature.Field{Type: feature.ListOf(feature.Of(feature.KindFloat32))}}
	plain := []feature.SourceField{declared("", feature.KindInt32), declared("", feature.KindInt64), declared("", feature.KindFloat64), millis, list}
	f.Fuzz(func(t *testing.T, text string) {
		isNumber := json.Valid([]byte(text)) && strings.Trim(text, "-0123456789.eE+") == ""
		quotes, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range plain {
			field.Name = "n"
			shape := `{"n":%s}`
			if field.Type.IsList() {
				shape = `{"n":[%s]}`
			}
			field.Quoted = true
			src := sourceOf(field)
			got := rendering.Outcomes(decodeAll(t, src, jsonrec.DefaultLimits(), fmt.Appendf(nil, shape, quotes)), 1)[0]
			if !isNumber {
				if !strings.HasPrefix(got, "reject wrong_type field n at byte ") || !strings.HasSuffix(got, "is a string that is not a number") {
					t.Fatalf("%s %q: %s", field.Type, text, got)
				}
				continue
			}
			src.Fields[0].Quoted = false
			if want := rendering.Outcomes(decodeAll(t, src, jsonrec.DefaultLimits(), fmt.Appendf(nil, shape, text)), 1)[0]; got != want {
				t.Fatalf("%s %q: %s, without quotes %s", field.Type, text, got, want)
			}
		}
	})
}

func isObject(text []byte) bool {
	trimmed := bytes.TrimLeft(text, " \t\r\n")
	return len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(text) && utf8.Valid(text)
}

// fuzzSource has a field of every shape.
func fuzzSource() *feature.Source {
	src := sourceOf(
		declared("a", feature.KindInt64), declared("i", feature.KindInt32), declared("x", feature.KindFloat64),
		declared("y", feature.KindFloat32), declared("o", feature.KindBool), declared("s", feature.KindString),
		declared("e", feature.KindBytes), declared("t", feature.KindTimestamp), declared("j", feature.KindJSON))
	unit := declared("u", feature.KindTimestamp)
	unit.Unit = time.Millisecond
	q, p := declared("q", feature.KindInt64), declared("p", feature.KindFloat64)
	q.Quoted, p.Quoted = true, true
	deep := declared("c", feature.KindString)
	deep.Path = "b.c"
	list := feature.SourceField{Field: feature.Field{Name: "d", Type: feature.ListOf(feature.ListOf(feature.Of(feature.KindFloat64)))}}
	element := declared("f", feature.KindFloat64)
	element.Path = "d.1.0"
	src.Fields = append(src.Fields, unit, q, p, deep, list, element)
	return src
}

// event is what the differential test draws; encoding/json is the oracle.
type event struct {
	A *int64             `json:"a"`
	I *int32             `json:"i"`
	X *float64           `json:"x"`
	Y *float32           `json:"y"`
	O *bool              `json:"o"`
	S *string            `json:"s"`
	E []byte             `json:"e"`
	T *time.Time         `json:"t"`
	Q *int64             `json:"q,string"`
	P *float64           `json:"p,string"`
	B struct{ C string } `json:"b"`
	D [][]*float64       `json:"d"`
}

func TestDecodesLikeEncodingJSON(t *testing.T) {
	src := fuzzSource()
	src.Fields[len(src.Fields)-3].Path = "b.C"
	rapid.Check(t, func(rt *rapid.T) {
		ev := drawEvent(rt)
		text, err := json.Marshal(ev)
		if err != nil {
			rt.Fatal(err)
		}
		if rapid.Bool().Draw(rt, "indent") {
			var indented bytes.Buffer
			_ = json.Indent(&indented, text, "\r\n", "\t ")
			text = indented.Bytes()
		}
		b := decodeAll(t, src, jsonrec.DefaultLimits(), text)
		if len(b.Rejects) > 0 {
			rt.Fatalf("%s: %+v", text, b.Rejects[0])
		}
		for i, want := range ev.shown() {
			if got := rendering.Show(&b.Columns[i], 0); got != want {
				rt.Fatalf("%s: field %s is %s, want %s", text, src.Fields[i].Name, got, want)
			}
		}
	})
}

func drawEvent(t *rapid.T) event {
	var ev event
	ev.A = rapid.Ptr(rapid.Int64(), true).Draw(t, "a")
	ev.I = rapid.Ptr(rapid.Int32(), true).Draw(t, "i")
	ev.X = rapid.Ptr(rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64), true).Draw(t, "x")
	ev.Q = rapid.Ptr(rapid.Int64(), true).Draw(t, "q")
	ev.P = rapid.Ptr(rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64), true).Draw(t, "p")
	ev.Y = rapid.Ptr(rapid.Float32Range(-math.MaxFloat32, math.MaxFloat32), true).Draw(t, "y")
	ev.O = rapid.Ptr(rapid.Bool(), true).Draw(t, "o")
	ev.S = rapid.Ptr(rapid.String(), true).Draw(t, "s")
	ev.E = rapid.SliceOf(rapid.Byte()).Draw(t, "e")
	ev.B.C = rapid.String().Draw(t, "c")
	ev.D = rapid.SliceOfN(rapid.SliceOfN(rapid.Ptr(rapid.Float64Range(-1e9, 1e9), true), 0, 3), 0, 3).Draw(t, "d")
	if rapid.Bool().Draw(t, "has time") {
		seconds := rapid.Int64Range(-62_135_596_800+86_400, 253_402_300_799-86_400).Draw(t, "seconds")
		zone := time.FixedZone("", 60*rapid.IntRange(-23*60, 23*60).Draw(t, "minutes"))
		at := time.Unix(seconds, rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")).In(zone)
		ev.T = &at
	}
	return ev
}

// shown returns the fields as show writes them, in the order of fuzzSource.
func (ev event) shown() []string {
	out := []string{
		pointer(ev.A, func(v int64) string { return strconv.FormatInt(v, 10) }),
		pointer(ev.I, func(v int32) string { return strconv.Itoa(int(v)) }),
		pointer(ev.X, number),
		pointer(ev.Y, func(v float32) string { return number(float64(v)) }),
		pointer(ev.O, strconv.FormatBool),
		pointer(ev.S, strconv.Quote),
		fmt.Sprintf("%x", ev.E),
		pointer(ev.T, func(v time.Time) string { return v.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano) }),
		"null", "null",
		pointer(ev.Q, func(v int64) string { return strconv.FormatInt(v, 10) }),
		pointer(ev.P, number),
		strconv.Quote(ev.B.C),
	}
	lists := "["
	for i, inner := range ev.D {
		if i > 0 {
			lists += ","
		}
		lists += "["
		for k, v := range inner {
			if k > 0 {
				lists += ","
			}
			lists += pointer(v, number)
		}
		lists += "]"
	}
	element := "null"
	if len(ev.D) > 1 && len(ev.D[1]) > 0 {
		element = pointer(ev.D[1][0], number)
	}
	return append(out, lists+"]", element)
}

// TestWhatCameBeforeDoesNotMatter: a record is the same row whatever records,
// with members in whatever order, a decoder read before it.
func TestWhatCameBeforeDoesNotMatter(t *testing.T) {
	src := sourceOf(declared("a", feature.KindFloat64), declared("b", feature.KindString), declared("c", feature.KindInt64))
	src.Fields[2].Path = "o.c"
	member := rapid.Custom(func(t *rapid.T) string {
		name := rapid.SampledFrom([]string{`"a"`, `"b"`, `"o"`, `"ab"`, `"\u0061"`, `"a" `, `""`}).Draw(t, "name")
		return name + ":" + rapid.SampledFrom([]string{"1", " null", `"x"`, `{"c":2,"d":3}`, `{"d":3,"c":2}`, `{"c" :4}`, "0.1"}).Draw(t, "value")
	})
	record := rapid.Custom(func(t *rapid.T) []byte {
		return []byte("{" + strings.Join(rapid.SliceOfN(member, 0, 5).Draw(t, "members"), ",") + "}")
	})
	rapid.Check(t, func(rt *rapid.T) {
		values := rapid.SliceOfN(record, 1, 6).Draw(rt, "records")
		for i, got := range rendering.Outcomes(decodeAll(t, src, jsonrec.DefaultLimits(), values...), len(values)) {
			if want := rendering.Outcomes(decodeAll(t, src, jsonrec.DefaultLimits(), values[i]), 1)[0]; got != want {
				rt.Fatalf("%s: %s\nalone %s", values[i], got, want)
			}
		}
	})
}

// TestShortNumbersReadLikeTheStandardLibrary: the quick way rounds alike.
func TestShortNumbersReadLikeTheStandardLibrary(t *testing.T) {
	src := sourceOf(declared("x", feature.KindFloat64))
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?([eE]-?[0-9]{1,2})?`).Draw(rt, "number")
		want, err := strconv.ParseFloat(text, 64)
		if err != nil {
			rt.Skip()
		}
		b := decodeAll(t, src, jsonrec.DefaultLimits(), []byte(`{"x":`+text+`}`))
		if got := b.Columns[0].Floats[0]; math.Float64bits(got) != math.Float64bits(want) {
			rt.Fatalf("%s: %v, want %v", text, got, want)
		}
	})
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func pointer[T any](v *T, text func(T) string) string {
	if v == nil {
		return "null"
	}
	return text(*v)
}

func TestTimesReadLikeTheStandardLibrary(t *testing.T) {
	src := sourceOf(declared("t", feature.KindTimestamp))
	digits := func(n int) *rapid.Generator[string] { return rapid.StringMatching(fmt.Sprintf(`[0-9]{%d}`, n)) }
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringMatching(`(19|20)[0-9]{2}-(0[0-9]|1[0-3])-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]`).Draw(rt, "clock") +
			rapid.SampledFrom([]string{"", "." + digits(3).Draw(rt, "f3"), "." + digits(9).Draw(rt, "f9"), ".", ","}).Draw(rt, "fraction") +
			rapid.SampledFrom([]string{"Z", "+05:30", "-23:59", "+24:00", "", "Z "}).Draw(rt, "zone")
		want, err := time.Parse(time.RFC3339, text)
		b := decodeAll(t, src, jsonrec.DefaultLimits(), []byte(`{"t":`+strconv.Quote(text)+`}`))
		if (err == nil) != (b.Rows() == 1) && text[len(text)-6:] != "+24:00" {
			rt.Fatalf("%s: standard library says %v, we %+v", text, err, b.Rejects)
		}
		if err == nil && b.Rows() == 1 && b.Columns[0].Ints[0] != want.UnixMicro() {
			rt.Fatalf("%s: %d, want %d", text, b.Columns[0].Ints[0], want.UnixMicro())
		}
	})
}

func TestBytesAreStandardBase64(t *testing.T) {
	src := sourceOf(declared("e", feature.KindBytes))
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringMatching(`[A-Za-z0-9+/=_-]{0,12}`).Draw(rt, "text")
		want, err := base64.StdEncoding.DecodeString(text)
		b := decodeAll(t, src, jsonrec.DefaultLimits(), []byte(`{"e":"`+text+`"}`))
		if (err == nil) != (b.Rows() == 1) || err == nil && b.Columns[0].Strings[0] != string(want) {
			rt.Fatalf("%q: %v, %+v", text, err, b.Rejects)
		}
	})
}
