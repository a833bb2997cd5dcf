package predict_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"millrace/internal/synctest"
	"millrace/serving/predict"
	"millrace/serving/predict/predicttest"
)

// wantShared checks which rows somebody else keeps.
func wantShared(t *testing.T, r *predict.Result, want ...bool) {
	t.Helper()
	for row, w := range want {
		if got := r.Shared.Get(row); got != w {
			t.Errorf("row %d is shared: %v, want %v", row, got, w)
		}
	}
}

// TestWhoAsksAfterTheCallMakesNone: a read that looked at the store before the
// prediction was there, and asks when its call has ended.
func TestWhoAsksAfterTheCallMakesNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := scoring(t)
		var d diary
		c := serve(t, server, sum(), predict.Settings{Window: -1, Events: d.events()})
		wantShared(t, infer(t, c, rowsOf(1, 2)), false, false)
		d.want(t, "call none", "rows none ##")
		time.Sleep(499 * time.Millisecond)
		r := infer(t, c, rowsOf(2, 2)) // 2 again, and 3
		wantScores(t, r, 2, 3)
		wantShared(t, r, true, false)
		d.wantAnyOrder(t, "reused #", "call none", "rows none ##")
		changed := rowsOf(1, 1)
		changed.Keys[0].Fingerprint = "other inputs"
		wantShared(t, infer(t, c, changed), false)
		d.want(t, "call none", "rows none #")
		time.Sleep(time.Millisecond)
		r = infer(t, c, rowsOf(2, 2)) // 2 is forgotten, 3 is not
		wantScores(t, r, 2, 3)
		wantShared(t, r, false, true)
		d.wantAnyOrder(t, "reused #", "call none", "rows none ##")
	})
}

func TestNothingIsReused(t *testing.T) {
	for name, c := range map[string]struct {
		reuse time.Duration
		keys  bool
	}{"switched off": {-1, true}, "without keys": {0, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := scoring(t)
				client := serve(t, server, sum(), predict.Settings{Reuse: c.reuse})
				for range 2 {
					q := rowsOf(1, 1)
					if !c.keys {
						q.Keys = nil
					}
					wantShared(t, infer(t, client, q), false)
				}
				if n := len(server.Calls()); n != 2 {
					t.Errorf("%d calls", n)
				}
			})
		})
	}
}

// TestAnOpenBreakerHidesNoPrediction that is still there.
func TestAnOpenBreakerHidesNoPrediction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := scoring(t)
		c := serve(t, server, sum(), predict.Settings{BreakerFailures: 1})
		infer(t, c, rowsOf(1, 1))
		server.Kill()
		wantReasons(t, infer(t, c, rowsOf(1, 2)), predict.ReasonNone, predict.ReasonUnreachable)
		wantReasons(t, infer(t, c, rowsOf(1, 1)), predict.ReasonNone)
	})
}

// TestOneRowOfAKeyIsKept, though a request asks for the key twice.
func TestOneRowOfAKeyIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := scoring(t)
		c := serve(t, server, sum(), predict.Settings{})
		q := rowsOf(1, 2)
		q.Inputs[0].Floats[1], q.Keys[1] = q.Inputs[0].Floats[0], q.Keys[0]
		r := infer(t, c, q)
		wantScores(t, r, 1, 1)
		wantShared(t, r, false, true)
	})
}

// TestWhoStaysKeeps: the first who asked has left by the time that the
// prediction is there, so that another one has to keep it.
func TestWhoStaysKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := scoring(t)
		server.Behave(behaviour{Delay: 100 * time.Millisecond})
		a := asker{t: t, c: serve(t, server, sum(), predict.Settings{})}
		hasty, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		first := a.ask(hasty, rowsOf(1, 1))
		synctest.Wait()
		patient := a.ask(t.Context(), rowsOf(1, 1))
		a.wait.Wait()
		wantReasons(t, first, predict.ReasonTimeout)
		wantScores(t, patient, 1)
		wantShared(t, patient, false)
		wantShared(t, infer(t, a.c, rowsOf(1, 1)), true)
	})
}

// picky is sum, but fails every call that has a row of 13.
func picky(t *testing.T, status int) *predicttest.Server {
	t.Helper()
	m := predicttest.Sum("sum", "7", "score")
	infer := m.Infer
	m.Infer = func(in map[string]predicttest.Tensor, rows int) ([]predicttest.Tensor, error) {
		for _, v := range in["a"].Data {
			if v == 12.5 {
				return nil, predicttest.StatusError(status)
			}
		}
		return infer(in, rows)
	}
	return predicttest.New(m)
}

// TestARowThatFailsItsCallIsLeftAlone: all rows of its first call fail, and at
// each further try half of them are without it. At the end it harms nobody.
func TestARowThatFailsItsCallIsLeftAlone(t *testing.T) {
	for _, status := range []int{400, 500} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := picky(t, status)
				c := serve(t, server, sum(), predict.Settings{})
				failed := 64
				for try := 1; failed > 1; try++ {
					r := infer(t, c, rowsOf(0, 64))
					failed = 0
					for row := range r.Faults {
						if r.Faults[row] != nil {
							failed++
						}
					}
					if want := 64 >> (try - 1); failed != want {
						t.Fatalf("%d rows fail at try %d, want %d", failed, try, want)
					}
					time.Sleep(2 * time.Second)
				}
				before := len(server.Calls())
				r := infer(t, c, rowsOf(0, 64))
				if n := len(server.Calls()) - before; n != 3 { // those before it, it, those after it
					t.Errorf("%d calls", n)
				}
				for row := range r.Faults {
					if (r.Faults[row] != nil) != (row == 13) {
						t.Errorf("row %d: %v", row, r.Faults[row])
					}
				}
				time.Sleep(2 * time.Second)
				wantReasons(t, infer(t, c, rowsOf(12, 3)), predict.ReasonNone, predict.ReasonHTTP, predict.ReasonNone)
				time.Sleep(4 * time.Minute) // it is tried among others again
				before = len(server.Calls())
				infer(t, c, rowsOf(10, 8))
				if n := len(server.Calls()) - before; n != 1 {
					t.Errorf("%d calls", n)
				}
			})
		})
	}
}

// TestADeadModelGetsNoMoreCalls, nor one that is not there: smaller ones would
// end as the others did.
func TestADeadModelGetsNoMoreCalls(t *testing.T) {
	for name, b := range map[string]behaviour{"404": {Status: 404}, "503": {Status: 503}, "dropped": {Drop: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := scoring(t)
				server.Behave(b)
				c := serve(t, server, sum(), predict.Settings{})
				for range 2 {
					before := len(server.Calls())
					infer(t, c, rowsOf(0, 64))
					for _, call := range server.Calls()[before:] {
						if call.Rows != 64 {
							t.Errorf("a call of %d rows", call.Rows)
						}
					}
					time.Sleep(3 * time.Second)
				}
			})
		})
	}
}

// TestAPredictionIsWholeWhenItIsReused: whoever asks in the moment in which a
// call ends has its prediction, or waits, but never nulls that look like one.
func TestAPredictionIsWholeWhenItIsReused(t *testing.T) {
	c := serve(t, scoring(t), sum(), predict.Settings{Window: -1})
	for key := range 1000 {
		ended := make(chan struct{})
		var asking sync.WaitGroup
		for range 4 {
			asking.Go(func() {
				for over := false; !over; {
					select {
					case <-ended:
						over = true // once more
					default:
					}
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Microsecond) // does not wait for the call
					r := new(predict.Result)
					if err := c.Predict(ctx, rowsOf(key, 1), r); err != nil {
						t.Error(err)
					}
					cancel()
					if reason(r, 0) == predict.ReasonNone && r.Outputs[0].IsNull(0) {
						t.Errorf("key %d: a prediction without a value", key)
					}
				}
			})
		}
		wantScores(t, infer(t, c, rowsOf(key, 1)), float64(key))
		close(ended)
		asking.Wait()
		if t.Failed() {
			return
		}
	}
}
