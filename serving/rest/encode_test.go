package rest

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/feature"
)

// standard is what encoding/json writes.
func standard(t *rapid.T, v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// column is one value of a kind, and what encoding/json has to be given to
// write it.
func column(t *rapid.T, typ feature.Type, depth int) (c *feature.Column, same any) {
	c = new(feature.Column)
	c.Reset(typ)
	c.Resize(1)
	if rapid.IntRange(0, 9).Draw(t, "null") == 0 {
		return c, nil
	}
	return c, fill(t, c, 0, depth)
}

func fill(t *rapid.T, c *feature.Column, row, depth int) any {
	finite := func(f float64) float64 {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return 0
		}
		return f
	}
	switch c.Type.Layout() {
	case feature.LayoutBool:
		v := rapid.Bool().Draw(t, "bool")
		c.SetBool(row, v)
		return v
	case feature.LayoutInt:
		v := rapid.Int64().Draw(t, "int")
		if c.Type.Kind == feature.KindTimestamp {
			v = rapid.Int64Range(minTimeMicros, maxTimeMicros).Draw(t, "micros")
			c.SetInt(row, v)
			return timeText(v)
		}
		c.SetInt(row, v)
		return v
	case feature.LayoutFloat:
		if c.Type.Kind == feature.KindFloat32 {
			v := float32(finite(float64(rapid.Float32().Draw(t, "float32"))))
			c.SetFloat(row, float64(v))
			return v
		}
		v := finite(rapid.Float64().Draw(t, "float64"))
		c.SetFloat(row, v)
		return v
	case feature.LayoutString:
		return fillString(t, c, row)
	case feature.LayoutList:
		list := []any{}
		start := c.Elems.Len()
		for range rapid.IntRange(0, 4).Draw(t, "elements") {
			list = append(list, fill(t, c.Elems, c.Elems.AppendNull(), depth-1))
		}
		c.SetList(row, start)
		return list
	case feature.LayoutNone:
	}
	return nil
}

func fillString(t *rapid.T, c *feature.Column, row int) any {
	switch c.Type.Kind {
	case feature.KindBytes:
		v := rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "bytes")
		c.SetString(row, string(v))
		return v
	case feature.KindJSON:
		v := rapid.SampledFrom([]string{`{"a":[1,null]}`, `"x"`, `1e3`}).Draw(t, "json")
		c.SetString(row, v)
		return json.RawMessage(v)
	default:
		v := rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.SampledFrom([]rune("a\"\\\n\t\x00\u2028\u2029é<&>\x7f")), 0, 20, -1),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "string")
		c.SetString(row, v)
		return v
	}
}

// timeText is RFC 3339 by the standard library, in steps of three digits.
func timeText(micros int64) string {
	layout := "2006-01-02T15:04:05.000000Z"
	switch {
	case micros%1e6 == 0:
		layout = "2006-01-02T15:04:05Z"
	case micros%1e3 == 0:
		layout = "2006-01-02T15:04:05.000Z"
	}
	return time.UnixMicro(micros).UTC().Format(layout)
}

var scalarKinds = []feature.Kind{
	feature.KindBool, feature.KindInt64, feature.KindFloat32, feature.KindFloat64, feature.KindString,
	feature.KindBytes, feature.KindTimestamp, feature.KindJSON,
}

func TestValuesAreWrittenAsTheStandardLibraryDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := feature.Of(rapid.SampledFrom(scalarKinds).Draw(t, "kind"))
		for range rapid.IntRange(0, 2).Draw(t, "depth") {
			typ = feature.ListOf(typ)
		}
		c, same := column(t, typ, 2)
		var e encoder
		e.value(c, 0)
		want := standard(t, same)
		if _, isJSON := same.(json.RawMessage); isJSON {
			want = string(same.(json.RawMessage))
		}
		if string(e.out) != want || e.unencodable != 0 {
			t.Fatalf("%s: %s, not %s", typ, e.out, want)
		}
	})
}

func TestTimesAreWrittenAsTheStandardLibraryDoes(t *testing.T) {
	var d dates // one for all, as in an answer
	rapid.Check(t, func(t *rapid.T) {
		micros := rapid.OneOf(rapid.Int64Range(minTimeMicros, maxTimeMicros),
			rapid.Map(rapid.Int64Range(-62_000_000, 200_000_000), func(s int64) int64 { return s * 1e6 })).Draw(t, "micros")
		if got := string(d.append(nil, micros)); got != timeText(micros) {
			t.Fatalf("%d: %s, not %s", micros, got, timeText(micros))
		}
	})
	for _, micros := range []int64{minTimeMicros, maxTimeMicros, -1, 0, 951782400_000_000, 4107542400_000_000} {
		if got := string(d.append(nil, micros)); got != timeText(micros) {
			t.Errorf("%d: %s, not %s", micros, got, timeText(micros))
		}
	}
}

func TestWhatJSONCannotHold(t *testing.T) {
	for _, c := range []struct {
		what          string
		kind          feature.Kind
		float         float64
		micros        int64
		text          string
		native, feast string
		lost          int // values counted as unencodable, natively
	}{
		{"NaN", feature.KindFloat64, math.NaN(), 0, "", `null`, `null`, 1},
		{"infinity", feature.KindFloat32, math.Inf(1), 0, "", `null`, `"Infinity"`, 1},
		{"negative infinity", feature.KindFloat64, math.Inf(-1), 0, "", `null`, `"-Infinity"`, 1},
		{"whole float", feature.KindFloat64, 3, 0, "", `3`, `3.0`, 0},
		{"negative zero", feature.KindFloat64, math.Copysign(0, -1), 0, "", `-0`, `-0.0`, 0},
		{"great float", feature.KindFloat64, 1e21, 0, "", `1e+21`, `1e+21`, 0},
		{"float32", feature.KindFloat32, float64(float32(0.1)), 0, "", `0.1`, `0.10000000149011612`, 0},
		{"time beyond year 9999", feature.KindTimestamp, 0, math.MaxInt64, "", `null`, `9223372036854`, 1},
		{"time before year 0", feature.KindTimestamp, 0, math.MinInt64, "", `null`, `-9223372036855`, 1},
		{"broken json", feature.KindJSON, 0, 0, `{"a":`, `null`, `"{\"a\":"`, 1},
	} {
		col := new(feature.Column)
		col.Reset(feature.Of(c.kind))
		col.Resize(1)
		switch col.Type.Layout() {
		case feature.LayoutFloat:
			col.SetFloat(0, c.float)
		case feature.LayoutInt:
			col.SetInt(0, c.micros)
		default:
			col.SetString(0, c.text)
		}
		for _, feast := range []bool{false, true} {
			e, want := encoder{feast: feast}, c.native
			if feast {
				want = c.feast
			}
			e.value(col, 0)
			if string(e.out) != want || (!feast && e.unencodable != c.lost) {
				t.Errorf("%s: %s (%d lost), not %s", c.what, e.out, e.unencodable, want)
			}
		}
	}
}
