package predict_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/internal/synctest"
	"millrace/serving/predict"
	"millrace/serving/predict/predicttest"
)

type (
	behaviour = predicttest.Behaviour
	answer    = predicttest.Answer
)

func change(f func(a *answer)) behaviour { return behaviour{Change: f} }

func rewrite(from, to string) behaviour {
	return behaviour{Rewrite: func(b []byte) []byte { return bytes.Replace(b, []byte(from), []byte(to), 1) }}
}

// TestBadAnswers: whatever a server says, its reason is one of the set and no
// row has a value.
func TestBadAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		b    behaviour
		want predict.Reason
	}{
		"plain text 500":     {behaviour{Status: 500, Text: "Internal Server Error"}, predict.ReasonHTTP},
		"json 404":           {behaviour{Status: 404, Text: `{"error":"Model nope not found"}`}, predict.ReasonHTTP},
		"no content":         {behaviour{Status: 204}, predict.ReasonHTTP},
		"busy":               {behaviour{Status: 429, Text: "later"}, predict.ReasonUnavailable},
		"another host":       {behaviour{Status: 307, Location: "http://elsewhere/v2/models/sum/infer"}, predict.ReasonRedirect},
		"another port":       {behaviour{Status: 307, Location: "http://models:8081/v2/models/sum/infer"}, predict.ReasonRedirect},
		"another scheme":     {behaviour{Status: 308, Location: "https://models:8080/v2/models/sum/infer"}, predict.ReasonRedirect},
		"another method":     {behaviour{Status: 303, Location: "/v2/models/sum/infer"}, predict.ReasonRedirect},
		"in a circle":        {behaviour{Status: 307, Location: "/v2/models/sum/infer"}, predict.ReasonRedirect},
		"redirect nowhere":   {behaviour{Status: 304}, predict.ReasonRedirect},
		"dropped":            {behaviour{Drop: true}, predict.ReasonUnreachable},
		"cut":                {behaviour{Cut: 20}, predict.ReasonTruncated},
		"too slow":           {behaviour{Delay: 1e10}, predict.ReasonTimeout},
		"oversized":          {behaviour{Text: `{"x":"` + strings.Repeat("x", 1<<16) + `"}`}, predict.ReasonOversized},
		"oversized chunks":   {behaviour{Chunked: true, Text: `{"x":"` + strings.Repeat("x", 1<<16) + `"}`}, predict.ReasonOversized},
		"cut chunks":         {behaviour{Chunked: true, Cut: 20}, predict.ReasonTruncated},
		"not json":           {behaviour{Text: "OK"}, predict.ReasonMalformed},
		"json cut":           {behaviour{Text: `{"model_name":"sum","outputs":[`}, predict.ReasonMalformed},
		"control character":  {rewrite(`"score"`, "\"score\",\"x\":\"\x01\""), predict.ReasonMalformed},
		"json and more":      {behaviour{Rewrite: func(b []byte) []byte { return append(b, '1') }}, predict.ReasonMalformed},
		"a list":             {behaviour{Text: `[]`}, predict.ReasonMalformed},
		"null":               {behaviour{Text: `null`}, predict.ReasonMalformed},
		"no outputs":         {behaviour{Text: `{"model_name":"sum"}`}, predict.ReasonMalformed},
		"outputs no list":    {behaviour{Text: `{"model_name":"sum","outputs":{"0":{"name":"score"}}}`}, predict.ReasonMalformed},
		"bad escape":         {rewrite(`"score"`, `"score","x":"\q"`), predict.ReasonMalformed},
		"deep":               {behaviour{Text: strings.Repeat("[", 2000) + strings.Repeat("]", 2000)}, predict.ReasonMalformed},
		"another model":      {change(func(a *answer) { a.ModelName = "sun" }), predict.ReasonModel},
		"no model":           {rewrite(`"model_name":"sum",`, ""), predict.ReasonModel},
		"another version":    {change(func(a *answer) { a.ModelVersion = "8" }), predict.ReasonModel},
		"version no text":    {rewrite(`"model_version":"7"`, `"model_version":7`), predict.ReasonModel},
		"another output":     {change(func(a *answer) { a.Outputs[0].Name = "scores" }), predict.ReasonMissingOutput},
		"no output":          {change(func(a *answer) { a.Outputs = nil }), predict.ReasonMissingOutput},
		"twice":              {change(func(a *answer) { a.Outputs = append(a.Outputs, a.Outputs[0]) }), predict.ReasonMalformed},
		"INT64":              {change(func(a *answer) { a.Outputs[0].Datatype = "INT64" }), predict.ReasonType},
		"no datatype":        {rewrite(`"datatype":"FP64",`, ""), predict.ReasonType},
		"text":               {change(func(a *answer) { a.Outputs[0].Data[1] = "1" }), predict.ReasonType},
		"bool":               {change(func(a *answer) { a.Outputs[0].Data[1] = true }), predict.ReasonType},
		"odd number":         {change(func(a *answer) { a.Outputs[0].Data[1] = predicttest.Literal("1-2") }), predict.ReasonMalformed},
		"no shape":           {rewrite(`"shape":[3,1],`, ""), predict.ReasonMalformed},
		"shape no numbers":   {rewrite(`[3,1]`, `[3,"1"]`), predict.ReasonMalformed},
		"negative":           {rewrite(`[3,1]`, `[3,-1]`), predict.ReasonMalformed},
		"wide":               {change(func(a *answer) { a.Outputs[0].Shape[1] = 2 }), predict.ReasonShape},
		"transposed":         {change(func(a *answer) { a.Outputs[0].Shape = []int{1, 3} }), predict.ReasonShape},
		"three dimensions":   {change(func(a *answer) { a.Outputs[0].Shape = []int{3, 1, 1} }), predict.ReasonShape},
		"scalar":             {change(func(a *answer) { a.Outputs[0].Shape = []int{} }), predict.ReasonShape},
		"one row less":       {change(func(a *answer) { o := &a.Outputs[0]; o.Shape[0], o.Data = 2, o.Data[1:] }), predict.ReasonRows},
		"one row more":       {change(func(a *answer) { o := &a.Outputs[0]; o.Shape[0], o.Data = 4, append(o.Data, 1.0) }), predict.ReasonRows},
		"fewer values":       {change(func(a *answer) { a.Outputs[0].Data = a.Outputs[0].Data[1:] }), predict.ReasonShape},
		"nested wrongly":     {rewrite(`"data":[1,2,3]`, `"data":[[1,2],[3],[]]`), predict.ReasonShape},
		"nested in part":     {rewrite(`"data":[1,2,3]`, `"data":[[1],2,3]`), predict.ReasonShape},
		"data no list":       {rewrite(`"data":[`, `"data":5,"x":[`), predict.ReasonMalformed},
		"binary unasked":     {rewrite(`"datatype"`, `"parameters":{"binary_data_size":24},"datatype"`), predict.ReasonTruncated},
		"binary of bad size": {rewrite(`"datatype"`, `"parameters":{"binary_data_size":-1},"datatype"`), predict.ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := predicttest.New(predicttest.Sum("sum", "7", "score"))
				server.Script(func(call int) behaviour {
					if call > 0 && c.b.Location != "" && name != "in a circle" {
						return behaviour{} // who follows gets an answer
					}
					return c.b
				})
				m := sum()
				m.Timeout /= 4
				r := infer(t, serve(t, server, m, predict.Settings{MaxAnswerBytes: 1 << 12}), rowsOf(1, 3))
				wantReasons(t, r, c.want, c.want, c.want)
			})
		})
	}
}

func TestGoodAnswersInOddForms(t *testing.T) {
	for name, b := range map[string]behaviour{
		"flat shape":   change(func(a *answer) { a.Outputs[0].Shape = []int{3} }),
		"nested data":  rewrite(`"data":[1,2,3]`, `"data":[[1],[2],[3]]`),
		"FP32":         change(func(a *answer) { a.Outputs[0].Datatype = "FP32" }),
		"INT32":        change(func(a *answer) { a.Outputs[0].Datatype = "INT32" }),
		"no version":   rewrite(`"model_version":"7",`, ""),
		"version null": rewrite(`"model_version":"7"`, `"model_version":null`),
		"more fields":  rewrite(`{"model_name"`, `{"id":"x","parameters":{"a":[{}]},"model_name"`),
		"more outputs": change(func(a *answer) {
			a.Outputs = append([]predicttest.Tensor{{Name: "x", Datatype: "BYTES", Shape: []int{1}}}, a.Outputs...)
		}),
		"white space":         {Rewrite: func(b []byte) []byte { return append(append([]byte(" \n"), b...), '\n') }},
		"redirect to itself":  {},
		"exponents":           rewrite(`"data":[1,2,3]`, `"data":[1e0,0.2E+1,3.0]`),
		"escapes in the name": rewrite(`"score"`, `"\u0073core"`),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := predicttest.New(predicttest.Sum("sum", "7", "score"))
				server.Script(func(call int) behaviour {
					if name == "redirect to itself" && call == 0 {
						return behaviour{Status: 307, Location: "/v2/models/sum/infer"}
					}
					return b
				})
				wantScores(t, infer(t, serve(t, server, sum(), predict.Settings{}), rowsOf(1, 3)), 1, 2, 3)
			})
		})
	}
}

// TestNumbersAreExact: 17 digits survive, and integers beyond 2^53.
func TestNumbersAreExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := predicttest.New(predicttest.Sum("sum", "7", "score"))
		server.Behave(change(func(a *answer) {
			a.Outputs = append(a.Outputs, predicttest.Tensor{Name: "n", Datatype: "INT64", Shape: []int{1}, Data: []any{predicttest.Literal("-9223372036854775808")}})
			a.Outputs[0].Data[0] = predicttest.Literal("0.92558797423564123")
		}))
		m := sum()
		m.Outputs = append(m.Outputs, port("n", feature.KindInt64))
		r := infer(t, serve(t, server, m, predict.Settings{}), rowsOf(1, 1))
		wantScores(t, r, 0.92558797423564123)
		if got := r.Outputs[1].Ints[0]; got != math.MinInt64 {
			t.Errorf("n is %d", got)
		}
	})
}

// TestNaN: a row that is not finite is withheld alone, or served if declared.
func TestNaN(t *testing.T) {
	for _, form := range []predicttest.Literal{"NaN", "-Infinity", "Infinity", "null", "1e999"} {
		server := predicttest.New(predicttest.Sum("sum", "7", "score"))
		server.Behave(change(func(a *answer) { a.Outputs[0].Data[1] = form }))
		t.Run(fmt.Sprint("withheld ", form), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := infer(t, serve(t, server, sum(), predict.Settings{}), rowsOf(1, 3))
				wantReasons(t, r, predict.ReasonNone, predict.ReasonNonFinite, predict.ReasonNone)
				if r.Outputs[0].Floats[2] != 3 {
					t.Error("its neighbour has another value")
				}
			})
		})
		t.Run(fmt.Sprint("declared ", form), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := sum()
				m.Outputs[0].AllowNaN = true
				r := infer(t, serve(t, server, m, predict.Settings{}), rowsOf(1, 3))
				wantReasons(t, r, predict.ReasonNone, predict.ReasonNone, predict.ReasonNone)
				want := map[predicttest.Literal]string{"-Infinity": "-Inf", "Infinity": "+Inf", "1e999": "+Inf"}
				if v := fmt.Sprint(r.Outputs[0].Floats[1]); v != cmp.Or(want[form], "NaN") {
					t.Errorf("it is %v", v)
				}
			})
		})
	}
}

// TestErrorsNameNoValues: what a server says may hold them.
func TestErrorsNameNoValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := predicttest.New(predicttest.Sum("sum", "7", "score"))
		server.Behave(behaviour{Status: 400, Text: `{"error":"cannot score 0.5 of Jane"}`})
		r := infer(t, serve(t, server, sum(), predict.Settings{}), rowsOf(1, 1))
		f := r.Faults[0]
		if f.Said != "cannot score 0.5 of Jane" || strings.Contains(f.Error(), "Jane") {
			t.Errorf("said %q, error %q", f.Said, f)
		}
		if want := `predict with model "sum" version "7": http: status 400`; f.Error() != want {
			t.Errorf("got %q, want %q", f, want)
		}
	})
}

func TestCallsThatDoNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, predicttest.New(), sum(), predict.Settings{})
		for want, spoil := range map[string]func(q *predict.Request){
			"want 2":            func(q *predict.Request) { q.Inputs = q.Inputs[:1] },
			"keys for 2 rows":   func(q *predict.Request) { q.Keys = q.Keys[:1] },
			"has 2 rows":        func(q *predict.Request) { q.Rows, q.Keys = 3, nil },
			"is int64, want fl": func(q *predict.Request) { q.Inputs[1] = column(port("b", feature.KindInt64), 1, 2) },
		} {
			q := rowsOf(1, 2)
			spoil(q)
			if err := c.Predict(t.Context(), q, new(predict.Result)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("want an error with %q, got %v", want, err)
			}
		}
		c.Close()
		if err := c.Predict(t.Context(), rowsOf(1, 1), new(predict.Result)); !errors.Is(err, predict.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// endless is a server whose answer does not end.
type endless struct{ read int }

func (e *endless) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, ContentLength: -1, Body: io.NopCloser(e)}, nil
}

func (e *endless) Read(p []byte) (int, error) {
	if e.read += len(p); e.read > 1<<24 {
		return 0, io.EOF
	}
	return len(p), nil
}

func TestAnswersAreReadToABound(t *testing.T) {
	var e endless
	m := sum()
	m.Timeout = time.Minute
	c := open(t, m, predict.Settings{Transport: &e, MaxAnswerBytes: 1 << 12})
	wantReasons(t, infer(t, c, rowsOf(1, 1)), predict.ReasonOversized)
	if e.read > 1<<13 {
		t.Errorf("%d bytes were read", e.read)
	}
}

// TestAnswersAreAskedForThatFit: rows of long lists are fewer in a call than the
// definition allows, where the answer to all of them would be refused.
func TestAnswersAreAskedForThatFit(t *testing.T) {
	for isBinary, calls := range map[bool]int{false: 2, true: 1} {
		synctest.Test(t, func(t *testing.T) {
			const n, long = 256, 1000
			model := predicttest.Sum("sum", "7", "score")
			model.Infer = func(_ map[string]predicttest.Tensor, rows int) ([]predicttest.Tensor, error) {
				out := predicttest.Tensor{Name: "near", Datatype: "FP32", Shape: []int{rows, long}}
				for i := range rows * long {
					out.Data = append(out.Data, 1/float64(i+3))
				}
				return []predicttest.Tensor{out}, nil
			}
			server := predicttest.New(model)
			server.Binary = isBinary
			m := sum()
			m.Outputs = []predict.Port{listOf("near", feature.KindFloat32, long)}
			c := serve(t, server, m, predict.Settings{})
			if _, _, err := c.Learn(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantReasons(t, infer(t, c, rowsOf(1, n)), make([]predict.Reason, n)...)
			if got := len(server.Calls()); got != calls {
				t.Errorf("binary %t: %d calls, want %d", isBinary, got, calls)
			}
		})
	}
}
