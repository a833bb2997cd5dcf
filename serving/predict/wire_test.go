package predict_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/internal/synctest"
	"millrace/serving/predict"
	"millrace/serving/predict/predicttest"
)

// echo answers each input as an output of its own name, as it came.
func echo(in map[string]predicttest.Tensor, _ int) ([]predicttest.Tensor, error) {
	var out []predicttest.Tensor
	for _, t := range in {
		out = append(out, t)
	}
	return out, nil
}

var everyKind = []predict.Port{
	port("flag", feature.KindBool),
	port("small", feature.KindInt32),
	port("big", feature.KindInt64),
	{Name: "single", Type: feature.Of(feature.KindFloat32), AllowNaN: true},
	{Name: "double", Type: feature.Of(feature.KindFloat64), AllowNaN: true},
	port("text", feature.KindString),
	port("raw", feature.KindBytes),
	port("at", feature.KindTimestamp),
	listOf("vector", feature.KindFloat32, 3),
	listOf("words", feature.KindString, 2),
}

func everyValue() *predict.Request {
	rows := [][]any{
		{true, -5, 9007199254740993, 0.25, 1e-9, "plain", "bytes", 1700000000123456, []any{1.0, -0.5, 0.0}, []any{"", "é"}},
		{false, math.MaxInt32, math.MinInt64, nil, math.NaN(), "quo\"te\\ \n\x00 \u2028 ✓", "", 0, []any{0.1875, math.Ldexp(3, 90), 3.0}, []any{"a", "b"}},
	}
	q := &predict.Request{Rows: len(rows)}
	for i, p := range everyKind {
		q.Inputs = append(q.Inputs, column(p, rows[0][i], rows[1][i]))
	}
	return q
}

// TestEveryKindGoesThereAndBack holds JSON and binary to the same columns.
func TestEveryKindGoesThereAndBack(t *testing.T) {
	for _, isBinary := range []bool{false, true} {
		t.Run(fmt.Sprintf("binary=%v", isBinary), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := predicttest.New(predicttest.Model{Name: "echo", Version: "1", Infer: echo})
				server.Binary = isBinary
				c := serve(t, server, predict.Model{
					Name: "echo", Version: "1", Endpoint: "http://models", Inputs: everyKind, Outputs: everyKind,
				}, predict.Settings{})
				if _, _, err := c.Learn(t.Context()); err != nil {
					t.Fatal(err)
				}
				q := everyValue()
				r := infer(t, c, q)
				wantReasons(t, r, predict.ReasonNone, predict.ReasonNone)
				for i, p := range everyKind {
					for row := range q.Rows {
						if want, got := show(q.Inputs[i], row), show(&r.Outputs[i], row); got != want {
							t.Errorf("%s of row %d came back as %s, was %s", p.Name, row, got, want)
						}
					}
				}
				calls := server.Calls()
				if len(calls) != 1 || calls[0].Binary != isBinary || !slices.Equal(calls[0].Outputs, names(everyKind)) {
					t.Errorf("calls %+v", calls)
				}
				if got := calls[0].Inputs["vector"]; got.Datatype != "FP32" || !slices.Equal(got.Shape, []int{2, 3}) {
					t.Errorf("vector was sent as %s %v", got.Datatype, got.Shape)
				}
				if got := calls[0].Inputs["at"]; got.Datatype != "INT64" || !slices.Equal(got.Shape, []int{2, 1}) {
					t.Errorf("at was sent as %s %v", got.Datatype, got.Shape)
				}
			})
		})
	}
}

func names(ports []predict.Port) []string {
	var out []string
	for _, p := range ports {
		out = append(out, p.Name)
	}
	return out
}

// show is a value as text; a null float is NaN, which is what it was sent as.
func show(c *feature.Column, i int) string {
	switch {
	case c.Type.IsList():
		var all []string
		for e := c.Spans[i].Start; e < c.Spans[i].End; e++ {
			all = append(all, show(c.Elems, int(e)))
		}
		return strings.Join(all, ";")
	case c.Type.Layout() == feature.LayoutFloat && c.IsNull(i):
		return "NaN"
	case c.IsNull(i):
		return "null"
	case c.Type.Layout() == feature.LayoutBool:
		return fmt.Sprint(c.Bools[i])
	case c.Type.Layout() == feature.LayoutInt:
		return fmt.Sprint(c.Ints[i])
	case c.Type.Layout() == feature.LayoutFloat:
		return fmt.Sprint(c.Floats[i])
	default:
		return fmt.Sprintf("%q", c.Strings[i])
	}
}

func TestStackedInputsAreOneTensor(t *testing.T) {
	for _, c := range []struct {
		inputs   []predict.Port
		kind     feature.Kind
		values   []any
		datatype string
		data     []any
	}{
		{
			[]predict.Port{port("a", feature.KindFloat64), port("n", feature.KindInt64), listOf("v", feature.KindFloat32, 2), port("f", feature.KindBool)},
			feature.KindInvalid,
			[]any{0.5, 3, []any{1.5, 2.5}, true},
			"FP64",
			[]any{0.5, 3.0, 1.5, 2.5, 1.0},
		},
		{
			[]predict.Port{port("a", feature.KindFloat64), port("n", feature.KindInt32)},
			feature.KindFloat32,
			[]any{0.1, 3},
			"FP32",
			[]any{0.1, 3.0},
		},
		{
			[]predict.Port{port("a", feature.KindFloat32), port("n", feature.KindFloat32)},
			feature.KindInvalid,
			[]any{0.5, 2.0},
			"FP32",
			[]any{0.5, 2.0},
		},
		{
			[]predict.Port{port("a", feature.KindInt32), port("n", feature.KindTimestamp)},
			feature.KindInvalid,
			[]any{5, 2},
			"INT64",
			[]any{int64(5), int64(2)},
		},
		{
			[]predict.Port{port("a", feature.KindString), port("n", feature.KindBytes)},
			feature.KindInvalid,
			[]any{"x", "y"},
			"BYTES",
			[]any{"x", "y"},
		},
	} {
		t.Run(c.datatype, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := sum()
				m.Layout, m.Tensor, m.TensorKind, m.Inputs = predict.Stacked, "all", c.kind, c.inputs
				server := predicttest.New(predicttest.Sum("sum", "7", "score"))
				q := &predict.Request{Rows: 1}
				for i, p := range c.inputs {
					q.Inputs = append(q.Inputs, column(p, c.values[i]))
				}
				wantReasons(t, infer(t, serve(t, server, m, predict.Settings{}), q), predict.ReasonNone)
				got := server.Calls()[0].Inputs["all"]
				if got.Datatype != c.datatype || !slices.Equal(got.Data, c.data) || !slices.Equal(got.Shape, []int{1, len(c.data)}) {
					t.Errorf("sent %+v", got)
				}
			})
		})
	}
}

func TestFlatAndNarrowedInputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := sum()
		m.Inputs[0].As = feature.KindFloat32
		model := predicttest.Sum("sum", "7", "score")
		model.Inputs = []predicttest.Declared{declared("a", "FP32", -1), declared("b", "FP64", -1, 1)}
		server := predicttest.New(model)
		c := serve(t, server, m, predict.Settings{})
		_, signature, err := c.Learn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Fit(signature); err != nil {
			t.Error(err)
		}
		q := rowsOf(1, 2)
		q.Inputs[0].Floats[1] = 1e300 // beyond float32
		wantReasons(t, infer(t, c, q), predict.ReasonNone, predict.ReasonInput)
		in := server.Calls()[0].Inputs
		if a := in["a"]; a.Datatype != "FP32" || !slices.Equal(a.Shape, []int{1}) {
			t.Errorf("a was sent as %s %v", a.Datatype, a.Shape)
		}
		if b := in["b"]; b.Datatype != "FP64" || !slices.Equal(b.Shape, []int{1, 1}) {
			t.Errorf("b was sent as %s %v", b.Datatype, b.Shape)
		}
	})
}

// TestRowsThatCannotBeSent: each is a fault of its own, and its neighbours are
// inferred.
func TestRowsThatCannotBeSent(t *testing.T) {
	yes := port("a", feature.KindFloat64)
	yes.AllowNaN = true
	for name, c := range map[string]struct {
		p    predict.Port
		good any
		bad  []any
	}{
		"float":         {port("a", feature.KindFloat64), 1.0, []any{nil, math.NaN(), math.Inf(1)}},
		"float and NaN": {yes, nil, []any{math.Inf(-1)}},
		"int":           {port("a", feature.KindInt64), 1, []any{nil}},
		"text":          {port("a", feature.KindString), "", []any{nil, "\xff"}},
		"list":          {listOf("a", feature.KindFloat32, 2), []any{1.0, 2.0}, []any{nil, []any{1.0}, []any{1.0, nil}, []any{1.0, 2.0, 3.0}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := sum()
				m.Inputs = []predict.Port{c.p}
				m.Outputs[0].AllowNaN = true
				server := predicttest.New(predicttest.Sum("sum", "7", "score"))
				q := &predict.Request{Inputs: []*feature.Column{column(c.p, append([]any{c.good}, c.bad...)...)}, Rows: 1 + len(c.bad)}
				r := infer(t, serve(t, server, m, predict.Settings{}), q)
				want := append([]predict.Reason{predict.ReasonNone}, slices.Repeat([]predict.Reason{predict.ReasonInput}, len(c.bad))...)
				wantReasons(t, r, want...)
				if calls := server.Calls(); len(calls) != 1 || calls[0].Rows != 1 {
					t.Errorf("%+v", calls)
				}
			})
		})
	}
}

func TestModelsThatAreRefused(t *testing.T) {
	for want, change := range map[string]func(*predict.Model){
		"has no name":                   func(m *predict.Model) { m.Name = "" },
		"no inputs":                     func(m *predict.Model) { m.Inputs = nil },
		"no outputs":                    func(m *predict.Model) { m.Outputs = nil },
		"write http://host:port":        func(m *predict.Model) { m.Endpoint = "models:8080" },
		"a user, a query":               func(m *predict.Model) { m.Endpoint = "http://u:p@models" },
		"without a fixed length":        func(m *predict.Model) { m.Inputs[0] = listOf("a", feature.KindFloat64, 0) },
		"is json, which is no tensor":   func(m *predict.Model) { m.Inputs[0] = port("a", feature.KindJSON) },
		"stands twice":                  func(m *predict.Model) { m.Inputs[1].Name = "a" },
		"only floats can be NaN":        func(m *predict.Model) { m.Outputs[0] = port("s", feature.KindString); m.Outputs[0].AllowNaN = true },
		"need the name of their tensor": func(m *predict.Model) { m.Layout = predict.Stacked },
		"a tensor of float64 cannot hold": func(m *predict.Model) {
			m.Layout, m.Tensor, m.Inputs[0] = predict.Stacked, "t", port("a", feature.KindString)
		},
		"a tensor of int32 cannot hold":    func(m *predict.Model) { m.Inputs[0].As = feature.KindInt32 },
		"max batch is negative":            func(m *predict.Model) { m.MaxBatch = -1 },
		"a tensor of invalid cannot hold":  func(m *predict.Model) { m.Inputs[0].Type = feature.Type{} },
		`model "sum": the timeout is nega`: func(m *predict.Model) { m.Timeout = -1 },
	} {
		m := sum()
		change(&m)
		if _, err := predict.New(m, predict.Settings{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

// TestABatchKeepsTheFormItBeganWith: what only binary holds is not let into one
// that was begun in JSON.
func TestABatchKeepsTheFormItBeganWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := predicttest.New(predicttest.Model{Name: "echo", Infer: echo})
		server.Binary = true
		raw := []predict.Port{port("raw", feature.KindBytes)}
		c := serve(t, server, predict.Model{
			Name: "echo", Endpoint: "http://models", Inputs: raw, Outputs: raw,
		}, predict.Settings{Window: time.Second})
		a := asker{t: t, c: c}
		ask := func(text string) *predict.Result {
			return a.ask(t.Context(), &predict.Request{Rows: 1, Inputs: []*feature.Column{column(raw[0], text)}})
		}
		before := ask("text")
		synctest.Wait()
		if _, _, err := c.Learn(t.Context()); err != nil {
			t.Fatal(err)
		}
		within := ask("\xff")
		a.wait.Wait()
		after := ask("\xff")
		a.wait.Wait()
		wantReasons(t, before, predict.ReasonNone)
		wantReasons(t, within, predict.ReasonInput)
		if within.Faults[0].Lasting() {
			t.Error("what goes into the next batch is said never to go")
		}
		wantReasons(t, after, predict.ReasonNone)
		if calls := server.Calls(); len(calls) != 2 || calls[0].Binary || !calls[1].Binary || after.Outputs[0].Strings[0] != "\xff" {
			t.Errorf("calls %+v", calls)
		}
	})
}

// TestWhatIsNotSentInJSON may be sent when the server is known, and may not when
// it is known to take nothing else.
func TestWhatIsNotSentInJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := sum()
		m.Inputs[0].AllowNaN = true
		m.Outputs[0].AllowNaN = true
		c := serve(t, scoring(t), m, predict.Settings{})
		q := rowsOf(1, 2)
		q.Inputs[0].Floats[0] = math.Inf(1)
		q.Inputs[1].SetNull(1)
		for _, known := range []bool{false, true} {
			if known {
				if _, _, err := c.Learn(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			r := infer(t, c, q)
			wantReasons(t, r, predict.ReasonInput, predict.ReasonInput)
			if r.Faults[0].Lasting() != known || !r.Faults[1].Lasting() {
				t.Errorf("known %v: %v %v, %v %v", known, r.Faults[0], r.Faults[0].Lasting(), r.Faults[1], r.Faults[1].Lasting())
			}
		}
	})
}
