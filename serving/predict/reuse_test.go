package predict_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"millrace/serving/predict"
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
		d.want(t, "reused #", "call none", "rows none ##")
		changed := rowsOf(1, 1)
		changed.Keys[0].Fingerprint = "other inputs"
		wantShared(t, infer(t, c, changed), false)
		d.want(t, "call none", "rows none #")
		time.Sleep(time.Millisecond)
		r = infer(t, c, rowsOf(2, 2)) // 2 is forgotten, 3 is not
		wantScores(t, r, 2, 3)
		wantShared(t, r, false, true)
		d.want(t, "reused #", "call none", "rows none ##")
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
