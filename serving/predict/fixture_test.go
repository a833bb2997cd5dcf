package predict_test

import (
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace/feature"
	"millrace/serving/predict"
	"millrace/serving/predict/predicttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func port(name string, k feature.Kind) predict.Port {
	return predict.Port{Name: name, Type: feature.Of(k)}
}

func listOf(name string, k feature.Kind, n uint32) predict.Port {
	t := feature.ListOf(feature.Of(k))
	t.Length = n
	return predict.Port{Name: name, Type: t}
}

// sum is a model whose score is the sum of two floats.
func sum() predict.Model {
	return predict.Model{
		Name: "sum", Version: "7", Endpoint: "http://models:8080",
		Inputs:  []predict.Port{port("a", feature.KindFloat64), port("b", feature.KindFloat64)},
		Outputs: []predict.Port{port("score", feature.KindFloat64)},
		Timeout: 200 * time.Millisecond,
	}
}

// column has one value per row; nil is null, a slice a list.
func column(p predict.Port, values ...any) *feature.Column {
	c := new(feature.Column)
	c.Reset(p.Type)
	for _, v := range values {
		appendValue(c, v)
	}
	return c
}

func appendValue(c *feature.Column, v any) {
	i := c.AppendNull()
	switch v := v.(type) {
	case nil:
	case bool:
		c.SetBool(i, v)
	case int:
		c.SetInt(i, int64(v))
	case float64:
		c.SetFloat(i, v)
	case string:
		c.SetString(i, v)
	case []any:
		start := c.Elems.Len()
		for _, e := range v {
			appendValue(c.Elems, e)
		}
		c.SetList(i, start)
	default:
		panic(fmt.Sprintf("value of %T", v))
	}
}

// rowsOf is a request of sum's inputs: row i sums to first+i.
func rowsOf(first, n int) *predict.Request {
	m := sum()
	a, b := column(m.Inputs[0]), column(m.Inputs[1])
	q := &predict.Request{Inputs: []*feature.Column{a, b}, Rows: n}
	for i := range n {
		appendValue(a, float64(first+i)-0.5)
		appendValue(b, 0.5)
		q.Keys = append(q.Keys, predict.Key{Entity: fmt.Sprint(first + i), Fingerprint: "f"})
	}
	return q
}

func open(t *testing.T, m predict.Model, s predict.Settings) *predict.Client {
	t.Helper()
	c, err := predict.New(m, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// serve returns a client of m, which server serves in memory.
func serve(t *testing.T, server *predicttest.Server, m predict.Model, s predict.Settings) *predict.Client {
	t.Helper()
	s.Transport = server.Memory(t)
	return open(t, m, s)
}

func infer(t *testing.T, c *predict.Client, q *predict.Request) *predict.Result {
	t.Helper()
	r := new(predict.Result)
	if err := c.Predict(t.Context(), q, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// reason of a row; ReasonNone if it has a prediction.
func reason(r *predict.Result, row int) predict.Reason {
	if f := r.Faults[row]; f != nil {
		return f.Reason
	}
	return predict.ReasonNone
}

// wantReasons checks the end of every row, and that rows that failed are null.
func wantReasons(t *testing.T, r *predict.Result, want ...predict.Reason) {
	t.Helper()
	if len(r.Faults) != len(want) {
		t.Fatalf("%d rows, want %d", len(r.Faults), len(want))
	}
	for row, w := range want {
		if got := reason(r, row); got != w {
			t.Errorf("row %d: %s, want %s: %v", row, got, w, r.Faults[row])
		}
		for i := range r.Outputs {
			if r.Outputs[i].IsNull(row) != (w != predict.ReasonNone) {
				t.Errorf("row %d, output %d: null is %v, and its end is %s", row, i, r.Outputs[i].IsNull(row), w)
			}
		}
	}
}

func wantScores(t *testing.T, r *predict.Result, want ...float64) {
	t.Helper()
	for row, w := range want {
		if r.Faults[row] != nil {
			t.Errorf("row %d: %v", row, r.Faults[row])
		} else if got := r.Outputs[0].Floats[row]; got != w {
			t.Errorf("row %d scores %v, want %v", row, got, w)
		}
	}
}

func declared(name, datatype string, shape ...int) predicttest.Declared {
	return predicttest.Declared{Name: name, Datatype: datatype, Shape: shape}
}
