package predict_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"millrace/internal/synctest"
	"millrace/serving/predict"
	"millrace/serving/predict/predicttest"
)

// asker calls Predict in the background.
type asker struct {
	t    *testing.T
	c    *predict.Client
	wait sync.WaitGroup
}

func (a *asker) ask(ctx context.Context, q *predict.Request) *predict.Result {
	r := new(predict.Result)
	a.wait.Go(func() {
		if err := a.c.Predict(ctx, q, r); err != nil {
			a.t.Error(err)
		}
	})
	return r
}

func scoring(t *testing.T) *predicttest.Server {
	t.Helper()
	return predicttest.New(predicttest.Sum("sum", "7", "score"))
}

// TestAThousandCallersMakeOneCall: of one key, at the same time.
func TestAThousandCallersMakeOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := scoring(t)
		server.Behave(behaviour{Delay: 50 * time.Millisecond})
		coalesced := 0
		var mu sync.Mutex
		c := serve(t, server, sum(), predict.Settings{Events: predict.Events{Coalesced: func(n int) {
			mu.Lock()
			defer mu.Unlock()
			coalesced += n
		}}})
		a := asker{t: t, c: c}
		var all []*predict.Result
		for i := range 1000 {
			all = append(all, a.ask(t.Context(), rowsOf(5, 1)))
			if i%100 == 0 {
				time.Sleep(time.Millisecond) // some come while the call is made
			}
		}
		a.wait.Wait()
		keepers := 0
		for _, r := range all {
			wantScores(t, r, 5)
			if !r.Shared.Get(0) {
				keepers++
			}
		}
		if calls := server.Calls(); len(calls) != 1 || calls[0].Rows != 1 {
			t.Errorf("%d calls", len(calls))
		}
		if keepers != 1 {
			t.Errorf("%d of them keep the prediction, want one", keepers)
		}
		if coalesced != 999 {
			t.Errorf("%d coalesced", coalesced)
		}
	})
}

func TestOtherFingerprintsAndNoKeysShareNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := scoring(t)
		a := asker{t: t, c: serve(t, server, sum(), predict.Settings{})}
		for i := range 4 {
			q := rowsOf(5, 1)
			if i < 2 {
				q.Keys = nil
			} else {
				q.Keys[0].Fingerprint = string(rune('a' + i))
			}
			a.ask(t.Context(), q)
		}
		a.wait.Wait()
		if calls := server.Calls(); len(calls) != 1 || calls[0].Rows != 4 {
			t.Errorf("%d calls", len(calls))
		}
	})
}

// TestCallsOfAWindowAreOneBatch, and each caller gets its own rows.
func TestCallsOfAWindowAreOneBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := scoring(t)
		a := asker{t: t, c: serve(t, server, sum(), predict.Settings{Window: 2 * time.Millisecond})}
		began := time.Now()
		one := a.ask(t.Context(), rowsOf(10, 2))
		time.Sleep(time.Millisecond)
		two := a.ask(t.Context(), rowsOf(20, 3))
		three := a.ask(t.Context(), rowsOf(11, 2)) // 11 is asked for already
		a.wait.Wait()
		wantScores(t, one, 10, 11)
		wantScores(t, two, 20, 21, 22)
		wantScores(t, three, 11, 12)
		if took := time.Since(began); took != 2*time.Millisecond {
			t.Errorf("it took %v, want the window", took)
		}
		if calls := server.Calls(); len(calls) != 1 || calls[0].Rows != 6 {
			t.Errorf("calls %+v", calls)
		}
	})
}

func TestAFullBatchDoesNotWait(t *testing.T) {
	for name, change := range map[string]func(*predict.Model, *predict.Settings){
		"rows":  func(m *predict.Model, _ *predict.Settings) { m.MaxBatch = 4 },
		"bytes": func(_ *predict.Model, s *predict.Settings) { s.MaxRequestBytes = 4 * len("10.5,0.5,") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := scoring(t)
				m, s := sum(), predict.Settings{Window: time.Minute}
				change(&m, &s)
				c := serve(t, server, m, s)
				began := time.Now()
				wantScores(t, infer(t, c, rowsOf(11, 8)), 11, 12, 13, 14, 15, 16, 17, 18)
				if took := time.Since(began); took != 0 {
					t.Errorf("it took %v", took)
				}
				for _, call := range server.Calls() {
					if call.Rows != 4 {
						t.Errorf("a call of %d rows", call.Rows)
					}
				}
			})
		})
	}
}

func TestNoWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, scoring(t), sum(), predict.Settings{Window: -1})
		began := time.Now()
		wantScores(t, infer(t, c, rowsOf(1, 3)), 1, 2, 3)
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// TestTheShortestDeadlineCutsNobodyElse: neither of a batch nor of a shared row.
func TestTheShortestDeadlineCutsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := scoring(t)
		server.Behave(behaviour{Delay: 100 * time.Millisecond})
		a := asker{t: t, c: serve(t, server, sum(), predict.Settings{})}
		hasty, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		gone, leave := context.WithCancel(t.Context())
		began := time.Now()
		first := a.ask(hasty, rowsOf(1, 2))
		second := a.ask(gone, rowsOf(2, 2))
		patient := a.ask(t.Context(), rowsOf(2, 3))
		time.Sleep(10 * time.Millisecond)
		leave()
		late := a.ask(t.Context(), rowsOf(1, 1)) // joins the row of a caller who will leave
		a.wait.Wait()
		if took := time.Since(began); took != 101*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		wantReasons(t, first, predict.ReasonTimeout, predict.ReasonTimeout)
		wantReasons(t, second, predict.ReasonCanceled, predict.ReasonCanceled)
		wantScores(t, patient, 2, 3, 4)
		wantScores(t, late, 1)
		if n := len(server.Calls()); n != 1 {
			t.Errorf("%d calls", n)
		}
	})
}

// TestTheLastDeadlineEndsTheCall: the model need not go on, and whoever comes
// next does not join a call that is ending.
func TestTheLastDeadlineEndsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := scoring(t)
		server.Script(func(call int) behaviour {
			if call > 0 {
				return behaviour{}
			}
			return behaviour{Hang: t.Context().Done()}
		})
		ended := make(chan time.Duration, 2)
		m := sum()
		m.Timeout = time.Hour
		c := serve(t, server, m, predict.Settings{Events: predict.Events{
			Call: func(_ int, took time.Duration, r predict.Reason) { ended <- took },
		}})
		a := asker{t: t, c: c}
		for _, d := range []time.Duration{10 * time.Millisecond, 30 * time.Millisecond, 20 * time.Millisecond} {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			a.ask(ctx, rowsOf(1, 1))
		}
		a.wait.Wait()
		wantScores(t, infer(t, c, rowsOf(1, 1)), 1)
		if took := <-ended; took != 29*time.Millisecond { // after the window
			t.Errorf("the call lasted %v", took)
		}
	})
}

func TestTheModelsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := scoring(t)
		server.Behave(behaviour{Delay: time.Minute})
		c := serve(t, server, sum(), predict.Settings{})
		began := time.Now()
		wantReasons(t, infer(t, c, rowsOf(1, 2)), predict.ReasonTimeout, predict.ReasonTimeout)
		if took := time.Since(began); took != 201*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

// TestCallsAreBounded: no more than Concurrency at a time, and a batch that
// waits for a slot takes more rows meanwhile.
func TestCallsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := scoring(t)
		server.Behave(behaviour{Delay: 50 * time.Millisecond})
		m := sum()
		m.Concurrency = 2
		a := asker{t: t, c: serve(t, server, m, predict.Settings{})}
		for i := range 10 {
			a.ask(t.Context(), rowsOf(i, 1))
			time.Sleep(2 * time.Millisecond)
		}
		began := time.Now()
		a.wait.Wait()
		if took := time.Since(began); took < 30*time.Millisecond || took > 110*time.Millisecond {
			t.Errorf("it took %v more", took)
		}
		var rows []int
		for _, call := range server.Calls() {
			rows = append(rows, call.Rows)
		}
		if len(rows) != 3 || rows[2] != 8 {
			t.Errorf("calls of %v rows, want the third to have gathered 8", rows)
		}
	})
}

func TestTooManyRowsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := scoring(t)
		c := serve(t, server, sum(), predict.Settings{MaxPendingRows: 3})
		r := infer(t, c, rowsOf(1, 5))
		wantReasons(t, r, 0, 0, 0, predict.ReasonOverloaded, predict.ReasonOverloaded)
		wantReasons(t, infer(t, c, rowsOf(4, 2)), 0, 0) // there is room again, and overload is not remembered
	})
}

// TestNoSlotInTime: a batch does not wait for ever.
func TestNoSlotInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := scoring(t)
		server.Behave(behaviour{Delay: 399 * time.Millisecond})
		m := sum()
		m.Concurrency, m.Timeout = 1, 400*time.Millisecond
		a := asker{t: t, c: serve(t, server, m, predict.Settings{Window: -1})}
		results := make([]*predict.Result, 4)
		for i := range results {
			results[i] = a.ask(t.Context(), rowsOf(i, 1))
			synctest.Wait()
		}
		a.wait.Wait()
		wantReasons(t, results[0], predict.ReasonNone)
		wantReasons(t, results[3], predict.ReasonOverloaded)
	})
}

func TestCloseEndsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := scoring(t)
		server.Behave(behaviour{Hang: t.Context().Done()})
		m := sum()
		m.Timeout = time.Hour
		a := asker{t: t, c: serve(t, server, m, predict.Settings{})}
		r := a.ask(t.Context(), rowsOf(1, 1))
		time.Sleep(time.Second)
		a.c.Close()
		a.wait.Wait()
		wantReasons(t, r, predict.ReasonCanceled)
	})
}

// TestAnEndedContextMakesNoCall.
func TestAnEndedContextMakesNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := scoring(t)
		c := serve(t, server, sum(), predict.Settings{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r := new(predict.Result)
		if err := c.Predict(ctx, rowsOf(1, 1), r); err != nil {
			t.Fatal(err)
		}
		wantReasons(t, r, predict.ReasonCanceled)
		if n := len(server.Calls()); n != 0 {
			t.Errorf("%d calls", n)
		}
	})
}

// TestRequestsMayBeUsedAgain: what is being inferred points to nothing of a
// caller who has left.
func TestRequestsMayBeUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := scoring(t)
		server.Behave(behaviour{Delay: 50 * time.Millisecond})
		c := serve(t, server, sum(), predict.Settings{})
		a := asker{t: t, c: c}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		entity := []byte("1")
		q := rowsOf(1, 1)
		q.Keys[0].Entity = unsafeString(entity)
		a.ask(ctx, q)
		synctest.Wait()
		other := a.ask(t.Context(), rowsOf(1, 1))
		time.Sleep(20 * time.Millisecond)
		q.Inputs[0].Floats[0] = 99
		entity[0] = '9'
		third := a.ask(t.Context(), rowsOf(1, 1))
		a.wait.Wait()
		wantScores(t, other, 1)
		wantScores(t, third, 1)
		if n := len(server.Calls()); n != 1 {
			t.Errorf("%d calls", n)
		}
	})
}
