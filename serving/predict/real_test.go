//go:build real

package predict_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/serving/predict"
)

// realSum is the model of deploy/local/mlserver, all of it.
func realSum(t *testing.T) predict.Model {
	t.Helper()
	url := os.Getenv("MILLRACE_TEST_MLSERVER")
	if url == "" {
		t.Fatal("set MILLRACE_TEST_MLSERVER to the URL of an MLServer with the model of deploy/local/mlserver, or run make test-real")
	}
	nan := port("fare", feature.KindFloat64)
	nan.AllowNaN = true
	return predict.Model{
		Name: "sum", Version: "7", Endpoint: url, Timeout: 30 * time.Second,
		Inputs: []predict.Port{
			nan, port("trips", feature.KindInt64), port("active", feature.KindBool),
			listOf("vector", feature.KindFloat32, 3), port("city", feature.KindString),
		},
		Outputs: []predict.Port{
			port("score", feature.KindFloat64), port("count", feature.KindInt64), port("label", feature.KindString),
			listOf("pair", feature.KindFloat32, 2),
		},
	}
}

// realRows has rows that score 10.25 + i, and that city of their own.
func realRows(m predict.Model, n int) *predict.Request {
	q := &predict.Request{Rows: n}
	for _, p := range m.Inputs {
		q.Inputs = append(q.Inputs, column(p))
	}
	for i := range n {
		for j, v := range []any{0.25, i, true, []any{1.5, 2.5, 5.0}, fmt.Sprintf("Zürich \"%d\"", i)} {
			appendValue(q.Inputs[j], v)
		}
		q.Keys = append(q.Keys, predict.Key{Entity: fmt.Sprint(i)})
	}
	return q
}

func TestRealModel(t *testing.T) {
	m := realSum(t)
	c := open(t, m, predict.Settings{})
	if err := c.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, signature, err := c.Learn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Fit(signature); err != nil {
		t.Error(err)
	}
	r := infer(t, c, realRows(m, 64))
	for i := range 64 {
		if r.Faults[i] != nil {
			t.Fatal(r.Faults[i])
		}
		score := 10.25 + float64(i)
		pair := r.Outputs[3].Elems.Floats[r.Outputs[3].Spans[i].Start:r.Outputs[3].Spans[i].End]
		if got := r.Outputs[0].Floats[i]; got != score {
			t.Errorf("row %d scores %v, want %v", i, got, score)
		}
		if got, want := r.Outputs[2].Strings[i], fmt.Sprintf("Zürich \"%d\"", i); got != want {
			t.Errorf("row %d has label %q, want %q", i, got, want)
		}
		if !slices.Equal(pair, []float64{score / 2, score * 2}) || r.Outputs[1].Ints[i] != 6 {
			t.Errorf("row %d has pair %v and count %d", i, pair, r.Outputs[1].Ints[i])
		}
	}
}

// TestRealNaN: MLServer answers null for the NaN that null has become.
func TestRealNaN(t *testing.T) {
	m := realSum(t)
	q := realRows(m, 3)
	q.Inputs[0].SetNull(1)
	r := infer(t, open(t, m, predict.Settings{}), q)
	wantReasons(t, r, predict.ReasonNone, predict.ReasonNonFinite, predict.ReasonNone)
	wantScoresBut(t, r, 1, 10.25, 0, 12.25)
}

func wantScoresBut(t *testing.T, r *predict.Result, but int, want ...float64) {
	t.Helper()
	for row, w := range want {
		if row != but && r.Outputs[0].Floats[row] != w {
			t.Errorf("row %d scores %v, want %v", row, r.Outputs[0].Floats[row], w)
		}
	}
}

// TestRealFailures: MLServer fails in JSON and in plain text, and slowly.
func TestRealFailures(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*predict.Model)
		fare   float64
		want   predict.Reason
		status int
		said   string
	}{
		"another version": {func(m *predict.Model) { m.Version = "8" }, 1, predict.ReasonHTTP, 404, "Model sum with version 8 not found"},
		"another model":   {func(m *predict.Model) { m.Name = "sun" }, 1, predict.ReasonHTTP, 404, "Model sun with version 7 not found"},
		"it raises":       {func(*predict.Model) {}, 3, predict.ReasonHTTP, 500, "Internal Server Error"},
		"it is slow":      {func(m *predict.Model) { m.Timeout = 500 * time.Millisecond }, 20_000, predict.ReasonTimeout, 0, ""},
		"missing output":  {func(m *predict.Model) { m.Outputs[0].Name = "nope" }, 1, predict.ReasonMissingOutput, 0, ""},
		"another type":    {func(m *predict.Model) { m.Outputs[0] = port("score", feature.KindInt64) }, 1, predict.ReasonType, 0, ""},
		"another shape":   {func(m *predict.Model) { m.Outputs[3] = listOf("pair", feature.KindFloat32, 3) }, 1, predict.ReasonShape, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := realSum(t)
			c.change(&m)
			q := realRows(m, 1)
			q.Inputs[0].Floats[0] = c.fare
			r := infer(t, open(t, m, predict.Settings{}), q)
			wantReasons(t, r, c.want)
			if f := r.Faults[0]; f != nil && (f.Status != c.status || !strings.Contains(f.Said, c.said)) {
				t.Errorf("status %d, said %q", f.Status, f.Said)
			}
		})
	}
}

func TestRealMisfit(t *testing.T) {
	m := realSum(t)
	m.Inputs = m.Inputs[:4]
	m.Outputs[0] = port("score", feature.KindInt64)
	c := open(t, m, predict.Settings{})
	_, signature, err := c.Learn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	misfit, ok := errors.AsType[*predict.MisfitError](c.Fit(signature))
	if !ok || len(misfit.Problems) != 2 {
		t.Errorf("got %v", misfit)
	}
}

// TestRealConcurrency: many callers, few calls, each with its own rows.
func TestRealConcurrency(t *testing.T) {
	m := realSum(t)
	calls := make(chan int, 1000)
	c := open(t, m, predict.Settings{Window: 5 * time.Millisecond, Events: predict.Events{
		Call: func(rows int, _ time.Duration, _ predict.Reason) { calls <- rows },
	}})
	a := asker{t: t, c: c}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all []*predict.Result
	for range 200 {
		all = append(all, a.ask(ctx, realRows(m, 5)))
	}
	a.wait.Wait()
	for _, r := range all {
		wantScores(t, r, 10.25, 11.25, 12.25, 13.25, 14.25)
	}
	t.Logf("%d calls for 200 callers", len(calls))
	if len(calls) > 20 {
		t.Errorf("%d calls for 200 callers of the same rows", len(calls))
	}
}
