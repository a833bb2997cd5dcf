package predict

import (
	"math"
	"slices"
	"testing"
	"unicode/utf8"

	"millrace/feature"
)

func fuzzModel(allow bool) *Model {
	vector := feature.ListOf(feature.Of(feature.KindFloat32))
	vector.Length = 2
	return &Model{Name: "m", Version: "1", Outputs: []Port{
		{Name: "f", Type: feature.Of(feature.KindFloat64), AllowNaN: allow},
		{Name: "i", Type: feature.Of(feature.KindInt32)},
		{Name: "v", Type: vector},
		{Name: "s", Type: feature.Of(feature.KindString)},
		{Name: "b", Type: feature.Of(feature.KindBool)},
	}}
}

const fuzzSeed = `{"model_name":"m","model_version":"1","outputs":[` +
	`{"name":"f","shape":[2,1],"datatype":"FP64","data":[1.5,NaN]},` +
	`{"name":"i","shape":[2],"datatype":"INT32","data":[1,-2]},` +
	`{"name":"v","shape":[2,2],"datatype":"FP32","data":[[1,2],[3,4]]},` +
	`{"name":"s","shape":[2,1],"datatype":"BYTES","data":["a\u00e9","\"NaN"]},` +
	`{"name":"b","shape":[2,1],"datatype":"BOOL","data":[true,false]}]}`

const fuzzBinary = `{"model_name":"m","outputs":[` +
	`{"name":"b","shape":[2,1],"datatype":"BOOL","parameters":{"binary_data_size":2}},` +
	`{"name":"f","shape":[2,1],"datatype":"FP16","parameters":{"binary_data_size":4}},` +
	`{"name":"i","shape":[2],"datatype":"INT16","parameters":{"binary_data_size":4}},` +
	`{"name":"v","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}},` +
	`{"name":"s","shape":[2,1],"datatype":"BYTES","parameters":{"binary_data_size":11}}]}` +
	"\x01\x00\x00\x3c\x00\xbc\x01\x00\xff\xff0000111122223333\x02\x00\x00\x00ab\x01\x00\x00\x00c"

// FuzzDecode: whatever bytes come, the decoder ends, and what it hands out
// keeps what the package promises.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(fuzzSeed), uint(len(fuzzSeed)), uint8(2), false)
	f.Add([]byte(fuzzSeed), uint(len(fuzzSeed)), uint8(2), true)
	f.Add([]byte(fuzzBinary), uint(len(fuzzBinary)-37), uint8(2), false)
	f.Add([]byte(`{"model_name":"m","outputs":[]}`), uint(31), uint8(1), false)
	f.Fuzz(func(t *testing.T, text []byte, header uint, rows uint8, allow bool) {
		m := fuzzModel(allow)
		n := min(int(header&math.MaxInt32), len(text))
		out, bad, fault := new(decoder).decode(m, int(rows), answer{text[:n], text[n:]})
		if fault != nil {
			if fault.reason == ReasonNone || fault.err == nil {
				t.Fatalf("a fault without a reason: %+v", fault)
			}
			return
		}
		for row := range int(rows) {
			for i := range out {
				if out[i].Len() != int(rows) || out[i].IsNull(row) != (bad[row] != nil) {
					t.Fatalf("output %d has %d rows of %d, row %d is null: %v", i, out[i].Len(), rows, row, out[i].IsNull(row))
				}
			}
			if bad[row] == nil {
				checkRow(t, m, out, row)
			}
		}
	})
}

func checkRow(t *testing.T, m *Model, out []feature.Column, row int) {
	t.Helper()
	if v := out[0].Floats[row]; !m.Outputs[0].AllowNaN && (math.IsNaN(v) || math.IsInf(v, 0)) {
		t.Fatalf("row %d is %v", row, v)
	}
	if v := out[1].Ints[row]; v != int64(int32(v)) {
		t.Fatalf("row %d is %d", row, v)
	}
	s := out[2].Spans[row]
	if s.End-s.Start != 2 || int(s.End) > out[2].Elems.Len() {
		t.Fatalf("row %d has a list of %d", row, s.End-s.Start)
	}
	for _, v := range out[2].Elems.Floats[s.Start:s.End] {
		if math.IsNaN(v) || math.IsInf(v, 0) || v != float64(float32(v)) {
			t.Fatalf("row %d has %v in a list of float32", row, v)
		}
	}
	if !utf8.ValidString(out[3].Strings[row]) {
		t.Fatalf("row %d has a string that is no UTF-8", row)
	}
}

// TestFuzzSeedsAreGood: a seed that fails at its beginning would explore little.
func TestFuzzSeedsAreGood(t *testing.T) {
	for _, c := range []struct {
		text string
		n    int
		bad  int
	}{{fuzzSeed, len(fuzzSeed), 1}, {fuzzBinary, len(fuzzBinary) - 37, 0}} {
		m := fuzzModel(false)
		_, bad, fault := new(decoder).decode(m, 2, answer{[]byte(c.text[:c.n]), []byte(c.text[c.n:])})
		if fault != nil || len(bad) != c.bad {
			t.Errorf("%v, %d rows are bad", fault, len(bad))
		}
	}
}

// TestHalf holds floats of 16 bits to their definition.
func TestHalf(t *testing.T) {
	for b, want := range map[uint16]float64{
		0x3c00: 1, 0xbc00: -1, 0x0001: math.Ldexp(1, -24), 0x7bff: 65504, 0x3555: 0.333251953125, 0x7c00: math.Inf(1), 0xfc00: math.Inf(-1), 0x8000: 0,
	} {
		if got := half(b); got != want {
			t.Errorf("%04x is %v, want %v", b, got, want)
		}
	}
	if !math.IsNaN(half(0x7e00)) {
		t.Error("7e00 is a number")
	}
}

// TestBinaryValues: every datatype is read as what it is, and nothing may be
// missing or left over.
func TestBinaryValues(t *testing.T) {
	for _, c := range []struct {
		kind     feature.Kind
		datatype string
		data     string
		ints     []int64
		floats   []float64
		reason   Reason
	}{
		{kind: feature.KindInt64, datatype: "INT8", data: "\xff\x7f", ints: []int64{-1, 127}},
		{kind: feature.KindInt64, datatype: "UINT8", data: "\xff\x7f", ints: []int64{255, 127}},
		{kind: feature.KindInt32, datatype: "INT16", data: "\xfe\xff\x00\x01", ints: []int64{-2, 256}},
		{kind: feature.KindInt32, datatype: "UINT16", data: "\xfe\xff\x00\x01", ints: []int64{65534, 256}},
		{kind: feature.KindInt64, datatype: "INT32", data: "\xfd\xff\xff\xff\x01\x00\x00\x00", ints: []int64{-3, 1}},
		{kind: feature.KindInt64, datatype: "UINT32", data: "\xfd\xff\xff\xff\x01\x00\x00\x00", ints: []int64{4294967293, 1}},
		{kind: feature.KindInt64, datatype: "INT64", data: "\xfc\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00\x80", ints: []int64{-4, math.MinInt64 + 1}},
		{kind: feature.KindFloat64, datatype: "INT8", data: "\xff\x7f", floats: []float64{-1, 127}},
		{kind: feature.KindFloat64, datatype: "FP16", data: "\x00\x3c\x00\xc0", floats: []float64{1, -2}},
		{kind: feature.KindFloat32, datatype: "FP32", data: "\x00\x00\x20\x3e\x00\x00\x80\xbf", floats: []float64{0.15625, -1}},
		{kind: feature.KindInt64, datatype: "INT8", data: "\xff", reason: ReasonShape},
		{kind: feature.KindInt64, datatype: "INT8", data: "\xff\x00\x00", reason: ReasonShape},
		{kind: feature.KindBool, datatype: "BOOL", data: "\x00\x02", reason: ReasonType},
		{kind: feature.KindString, datatype: "BYTES", data: "\x00\x00\x00\x00\x01\x00\x00\x00ab", reason: ReasonShape},
		{kind: feature.KindString, datatype: "BYTES", data: "\x00\x00\x00\x00\x02\x00\x00\x00a", reason: ReasonShape},
		{kind: feature.KindString, datatype: "BYTES", data: "\x00\x00\x00\x00\x02\x00", reason: ReasonShape},
		{kind: feature.KindString, datatype: "BYTES", data: "\x00\x00\x00\x00\x01\x00\x00\x00\xff", reason: ReasonType},
	} {
		var cells feature.Column
		cells.Reset(feature.Of(c.kind))
		cells.Resize(2)
		f := decodeBinary(&cells, c.datatype, []byte(c.data))
		switch {
		case f != nil || c.reason != ReasonNone:
			if f == nil || f.reason != c.reason {
				t.Errorf("%s %q: %+v, want %s", c.datatype, c.data, f, c.reason)
			}
		case !slices.Equal(cells.Ints, c.ints) || !slices.Equal(cells.Floats, c.floats):
			t.Errorf("%s %q is %v %v", c.datatype, c.data, cells.Ints, cells.Floats)
		}
	}
}

// TestValuesOfOtherTypes: integers are integers of their width, in JSON.
func TestValuesOfOtherTypes(t *testing.T) {
	for _, c := range []struct {
		kind feature.Kind
		text string
		want bool
	}{
		{feature.KindInt32, "2147483647", true},
		{feature.KindInt32, "2147483648", false},
		{feature.KindInt64, "9223372036854775807", true},
		{feature.KindInt64, "9223372036854775808", false},
		{feature.KindInt64, "1.0", false},
		{feature.KindInt64, "1e3", false},
		{feature.KindInt64, "null", false},
		{feature.KindInt64, `"1"`, false},
		{feature.KindBool, "true", true},
		{feature.KindBool, "1", false},
		{feature.KindString, `"a"`, true},
		{feature.KindString, "null", false},
		{feature.KindString, "1", false},
		{feature.KindFloat64, "1", true},
		{feature.KindFloat64, `"1"`, false},
		{feature.KindFloat64, "[1]", false},
	} {
		var d decoder
		var cells feature.Column
		cells.Reset(feature.Of(c.kind))
		cells.Resize(1)
		if err := d.value(&cells, 0, d.parse([]byte(c.text))); (err == nil) != c.want {
			t.Errorf("%s as %s: %v", c.text, c.kind, err)
		}
	}
}
