package predict_test

import (
	"bytes"
	"math"
	"net/http"
	"testing"

	"millrace/feature"
	"millrace/internal/synctest"
	"millrace/serving/predict"
	"millrace/serving/predict/predicttest"
)

// headed changes the headers of answers.
type headed struct {
	http.RoundTripper

	change func(http.Header)
}

func (h headed) RoundTrip(r *http.Request) (*http.Response, error) {
	a, err := h.RoundTripper.RoundTrip(r)
	if err == nil {
		h.change(a.Header)
	}
	return a, err
}

// inBinary returns a client that has learned that its server speaks binary.
func inBinary(t *testing.T, m predict.Model, b behaviour, change func(http.Header)) *predict.Client {
	t.Helper()
	server := scoring(t)
	server.Binary = true
	c := open(t, m, predict.Settings{Transport: headed{server.Memory(t), change}})
	if _, _, err := c.Learn(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.Behave(b)
	return c
}

func same(http.Header) {}

// TestBadAnswersInBinary: what TestBadAnswers says of JSON.
func TestBadAnswersInBinary(t *testing.T) {
	cut := func(n int) behaviour {
		return behaviour{Rewrite: func(b []byte) []byte { return b[:len(b)-n] }}
	}
	header := func(value string) func(http.Header) {
		return func(h http.Header) { h.Set("Inference-Header-Content-Length", value) }
	}
	for name, c := range map[string]struct {
		b      behaviour
		change func(http.Header)
		want   predict.Reason
	}{
		"a byte less":        {cut(1), same, predict.ReasonTruncated},
		"no data":            {cut(24), same, predict.ReasonTruncated},
		"within the JSON":    {cut(40), same, predict.ReasonTruncated},
		"a byte more":        {behaviour{Rewrite: func(b []byte) []byte { return append(b, 0) }}, same, predict.ReasonMalformed},
		"claims more":        {rewrite(`"binary_data_size":24`, `"binary_data_size":25`), same, predict.ReasonTruncated},
		"claims less":        {rewrite(`"binary_data_size":24`, `"binary_data_size":16`), same, predict.ReasonMalformed},
		"fewer values":       {change(func(a *answer) { a.Outputs[0].Data = a.Outputs[0].Data[1:] }), same, predict.ReasonShape},
		"another width":      {rewrite(`FP64`, `FP32`), same, predict.ReasonShape},
		"another type":       {change(func(a *answer) { a.Outputs[0].Datatype = "INT64" }), same, predict.ReasonType},
		"one row more":       {change(func(a *answer) { o := &a.Outputs[0]; o.Shape[0], o.Data = 4, append(o.Data, 1.0) }), same, predict.ReasonRows},
		"another version":    {change(func(a *answer) { a.ModelVersion = "8" }), same, predict.ReasonModel},
		"cut off":            {behaviour{Cut: 60}, same, predict.ReasonTruncated},
		"header no number":   {behaviour{}, header("many"), predict.ReasonMalformed},
		"header too great":   {behaviour{}, header("999"), predict.ReasonTruncated},
		"header too small":   {behaviour{}, header("20"), predict.ReasonMalformed},
		"header not there":   {behaviour{}, header(""), predict.ReasonMalformed},
		"packed":             {behaviour{Rewrite: func([]byte) []byte { return []byte("\x1f\x8b\x08 not unpacked, and longer than the header") }}, same, predict.ReasonTruncated},
		"oversized":          {behaviour{Rewrite: func(b []byte) []byte { return append(b, make([]byte, 5<<20)...) }}, same, predict.ReasonOversized},
		"status with a body": {behaviour{Status: 400, Text: `{"error":"no"}`}, same, predict.ReasonHTTP},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := infer(t, inBinary(t, sum(), c.b, c.change), rowsOf(1, 3))
				wantReasons(t, r, c.want, c.want, c.want)
			})
		})
	}
}

// TestNaNInBinary is withheld alone, or served if declared.
func TestNaNInBinary(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for _, declared := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				m := sum()
				m.Outputs[0].AllowNaN = declared
				c := inBinary(t, m, change(func(a *answer) { a.Outputs[0].Data[1] = v }), same)
				r := infer(t, c, rowsOf(1, 3))
				if !declared {
					wantReasons(t, r, predict.ReasonNone, predict.ReasonNonFinite, predict.ReasonNone)
					return
				}
				wantReasons(t, r, predict.ReasonNone, predict.ReasonNone, predict.ReasonNone)
				if got := r.Outputs[0].Floats[1]; got != v && !(math.IsNaN(got) && math.IsNaN(v)) {
					t.Errorf("%v is %v", v, got)
				}
			})
		}
	}
}

// TestBadValues of each kind, written as JSON may write them.
func TestBadValues(t *testing.T) {
	for name, c := range map[string]struct {
		port     predict.Port
		datatype string
		values   []any // of a row
		want     predict.Reason
	}{
		"fraction":          {port("o", feature.KindInt64), "INT64", []any{predicttest.Literal("1.5")}, predict.ReasonType},
		"whole fraction":    {port("o", feature.KindInt64), "INT64", []any{predicttest.Literal("1.0")}, predict.ReasonType},
		"beyond int64":      {port("o", feature.KindInt64), "INT64", []any{predicttest.Literal("9223372036854775808")}, predict.ReasonType},
		"beyond int32":      {port("o", feature.KindInt32), "INT32", []any{predicttest.Literal("2147483648")}, predict.ReasonType},
		"null integer":      {port("o", feature.KindInt64), "INT64", []any{nil}, predict.ReasonType},
		"quoted integer":    {port("o", feature.KindInt64), "INT64", []any{"1"}, predict.ReasonType},
		"wider integer":     {port("o", feature.KindInt32), "INT64", []any{int64(1)}, predict.ReasonType},
		"wider float":       {port("o", feature.KindFloat32), "FP64", []any{1.0}, predict.ReasonType},
		"beyond float32":    {port("o", feature.KindFloat32), "FP32", []any{1e39}, predict.ReasonNonFinite},
		"number for bool":   {port("o", feature.KindBool), "BOOL", []any{int64(1)}, predict.ReasonType},
		"number for text":   {port("o", feature.KindString), "BYTES", []any{int64(1)}, predict.ReasonType},
		"null text":         {port("o", feature.KindString), "BYTES", []any{nil}, predict.ReasonType},
		"list of NaN":       {listOf("o", feature.KindFloat64, 2), "FP64", []any{1.0, nil}, predict.ReasonNonFinite},
		"shorter list":      {listOf("o", feature.KindFloat64, 2), "FP64", []any{1.0}, predict.ReasonShape},
		"longer list":       {listOf("o", feature.KindFloat64, 2), "FP64", []any{1.0, 2.0, 3.0}, predict.ReasonShape},
		"list for a scalar": {port("o", feature.KindFloat64), "FP64", []any{1.0, 2.0}, predict.ReasonShape},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := scoring(t)
				server.Behave(change(func(a *answer) {
					a.Outputs = append(a.Outputs, predicttest.Tensor{Name: "o", Datatype: c.datatype, Shape: []int{1, len(c.values)}, Data: c.values})
				}))
				m := sum()
				m.Outputs = append(m.Outputs, c.port)
				wantReasons(t, infer(t, serve(t, server, m, predict.Settings{}), rowsOf(1, 1)), c.want)
			})
		})
	}
}

// TestBadTextInBinary is not let through as UTF-8.
func TestBadTextInBinary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := sum()
		m.Outputs = append(m.Outputs, port("o", feature.KindString))
		b := change(func(a *answer) {
			a.Outputs = append(a.Outputs, predicttest.Tensor{Name: "o", Datatype: "BYTES", Shape: []int{1, 1}, Data: []any{"good"}})
		})
		wantReasons(t, infer(t, inBinary(t, m, b, same), rowsOf(1, 1)), predict.ReasonNone)
		b.Rewrite = func(text []byte) []byte { return bytes.Replace(text, []byte("good"), []byte("\xff\xfeod"), 1) }
		wantReasons(t, infer(t, inBinary(t, m, b, same), rowsOf(1, 1)), predict.ReasonType)
		b.Rewrite = func(text []byte) []byte {
			return bytes.Replace(text, []byte("\x04\x00\x00\x00good"), []byte("\x05\x00\x00\x00good"), 1)
		}
		wantReasons(t, infer(t, inBinary(t, m, b, same), rowsOf(1, 1)), predict.ReasonShape)
	})
}
