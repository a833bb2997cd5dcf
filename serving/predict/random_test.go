package predict_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"millrace/feature"
	"millrace/internal/synctest"
	"millrace/serving/predict"
)

// TestNobodyGetsAnothersValue: callers with random rows, deadlines and second
// thoughts, before a model that fails in every way at random. A row has its own
// score or a fault; and when all is over, nothing is left waiting.
func TestNobodyGetsAnothersValue(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomCalls(t, seed) })
		})
	}
}

const randomPending = 40

func randomCalls(t *testing.T, seed uint64) {
	t.Helper()
	server := scoring(t)
	server.Script(func(call int) behaviour { return randomBehaviour(rand.New(rand.NewPCG(seed, uint64(call)))) })
	m := sum()
	m.MaxBatch, m.Concurrency = 7, 2
	c := serve(t, server, m, predict.Settings{
		MaxPendingRows: randomPending, BreakerFailures: 4, BreakerPause: 50 * time.Millisecond, Remember: 20 * time.Millisecond,
	})
	a := asker{t: t, c: c}
	r := rand.New(rand.NewPCG(seed, 1<<32))
	type asked struct {
		q *predict.Request
		r *predict.Result
	}
	var all []asked
	for range 300 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+r.IntN(300))*time.Millisecond)
		defer cancel()
		if r.IntN(10) == 0 {
			time.AfterFunc(time.Duration(r.IntN(20))*time.Millisecond, cancel)
		}
		q := randomRows(r)
		all = append(all, asked{q, a.ask(ctx, q)})
		time.Sleep(time.Duration(r.IntN(3000)) * time.Microsecond)
	}
	a.wait.Wait()
	var ends [predict.Reasons]int
	for _, one := range all {
		for row := range one.q.Rows {
			ends[reason(one.r, row)]++
			if got, want := one.r.Outputs[0], one.q.Inputs[0].Floats[row]+one.q.Inputs[1].Floats[row]; one.r.Faults[row] == nil && (got.IsNull(row) || got.Floats[row] != want) {
				t.Fatalf("a row of %v scores %v", want, got.Floats[row])
			}
		}
	}
	if ends[predict.ReasonNone] == 0 || ends[predict.ReasonTimeout] == 0 {
		t.Errorf("too little happened: %v", ends)
	}
	server.Behave(behaviour{})
	time.Sleep(time.Second)
	wantScores(t, infer(t, c, rowsOf(999, 1)), 999) // closes the breaker
	// As many rows as may wait are let in, so none of the others is still counted.
	last := infer(t, c, rowsOf(1000, randomPending))
	for row := range last.Faults {
		if last.Faults[row] != nil {
			t.Fatalf("at rest: %v", last.Faults[row])
		}
	}
}

func randomBehaviour(r *rand.Rand) behaviour {
	b := behaviour{Delay: time.Duration(r.IntN(30)) * time.Millisecond}
	switch r.IntN(12) {
	case 0:
		b.Drop = true
	case 1:
		b.Status = 503
	case 2:
		b.Status = 500
	case 3:
		b.Delay = time.Second
	case 4:
		b.Cut = 40
	case 5:
		b.Change = func(a *answer) { a.Outputs[0].Data[0] = nil }
	case 6:
		b.Change = func(a *answer) { a.Outputs[0].Shape[0]++ }
	}
	return b
}

func randomRows(r *rand.Rand) *predict.Request {
	n := 1 + r.IntN(4)
	m := sum()
	a, b := column(m.Inputs[0]), column(m.Inputs[1])
	q := &predict.Request{Inputs: []*feature.Column{a, b}, Rows: n}
	for range n {
		key := r.IntN(60)
		appendValue(a, float64(key))
		appendValue(b, 0.25)
		q.Keys = append(q.Keys, predict.Key{Entity: fmt.Sprint(key), Fingerprint: "f"})
	}
	return q
}
