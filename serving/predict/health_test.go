package predict_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"millrace/feature"
	"millrace/internal/synctest"
	"millrace/serving/predict"
	"millrace/serving/predict/predicttest"
)

// unsafeString shares b's memory, as keys of a request share a parser's.
func unsafeString(b []byte) string { return unsafe.String(&b[0], len(b)) }

// diary keeps what events told.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) events() predict.Events {
	note := func(parts ...string) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.lines = append(d.lines, strings.Join(parts, " "))
	}
	return predict.Events{
		Call:       func(_ int, _ time.Duration, r predict.Reason) { note("call", r.String()) },
		Rows:       func(r predict.Reason, n int) { note("rows", r.String(), strings.Repeat("#", n)) },
		Reused:     func(n int) { note("reused", strings.Repeat("#", n)) },
		Remembered: func(n int) { note("remembered", strings.Repeat("#", n)) },
		Retried:    func(r predict.Reason) { note("retried", r.String()) },
		Breaker:    func(s predict.BreakerState) { note("breaker", s.String()) },
		Failed:     func(e *predict.Error) { note("failed", e.Reason.String()) },
	}
}

func (d *diary) want(t *testing.T, lines ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.lines, lines) {
		t.Errorf("events\n  %s\nwant\n  %s", strings.Join(d.lines, "\n  "), strings.Join(lines, "\n  "))
	}
	d.lines = nil
}

// wantAnyOrder is want where a call and a Predict tell of themselves at once.
func (d *diary) wantAnyOrder(t *testing.T, lines ...string) {
	t.Helper()
	d.mu.Lock()
	slices.Sort(d.lines)
	d.mu.Unlock()
	d.want(t, slices.Sorted(slices.Values(lines))...)
}

// TestOneRetry where it is safe and may help, and nowhere else.
func TestOneRetry(t *testing.T) {
	for name, c := range map[string]struct {
		bad     behaviour
		times   int
		want    predict.Reason
		retried bool
	}{
		"busy once":    {behaviour{Status: 503}, 1, predict.ReasonNone, true},
		"busy twice":   {behaviour{Status: 503}, 2, predict.ReasonUnavailable, true},
		"dropped once": {behaviour{Drop: true}, 1, predict.ReasonNone, true},
		"500":          {behaviour{Status: 500}, 1, predict.ReasonHTTP, false},
		"cut":          {behaviour{Cut: 9}, 1, predict.ReasonTruncated, false},
		"slow":         {behaviour{Delay: time.Hour}, 1, predict.ReasonTimeout, false},
		"busy, slowly": {behaviour{Status: 503, Delay: 195 * time.Millisecond}, 1, predict.ReasonUnavailable, false},
		"wrong":        {behaviour{Text: "x"}, 1, predict.ReasonMalformed, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := scoring(t)
				server.Script(func(call int) behaviour {
					if call < c.times {
						return c.bad
					}
					return behaviour{}
				})
				retried := 0
				client := serve(t, server, sum(), predict.Settings{Events: predict.Events{Retried: func(predict.Reason) { retried++ }}})
				wantReasons(t, infer(t, client, rowsOf(1, 1)), c.want)
				if (retried == 1) != c.retried || retried > 1 {
					t.Errorf("%d retries", retried)
				}
			})
		})
	}
}

// TestWhatFailedIsRememberedForSeconds, per key and fingerprint.
func TestWhatFailedIsRememberedForSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := scoring(t)
		server.Behave(behaviour{Status: 400, Text: "no"})
		var d diary
		c := serve(t, server, sum(), predict.Settings{Remember: 2 * time.Second, Events: d.events()})
		wantReasons(t, infer(t, c, rowsOf(1, 1)), predict.ReasonHTTP)
		d.want(t, "call http", "failed http", "rows http #")
		server.Behave(behaviour{})
		time.Sleep(1990 * time.Millisecond)
		wantReasons(t, infer(t, c, rowsOf(1, 2)), predict.ReasonHTTP, predict.ReasonNone)
		d.want(t, "remembered #", "call none", "rows none #", "rows http #")
		changed := rowsOf(1, 1)
		changed.Keys[0].Fingerprint = "other inputs"
		wantReasons(t, infer(t, c, changed), predict.ReasonNone)
		time.Sleep(11 * time.Millisecond)
		wantReasons(t, infer(t, c, rowsOf(1, 1)), predict.ReasonNone)
	})
}

// TestRowsThatAreNotFiniteAreRemembered without their neighbours.
func TestRowsThatAreNotFiniteAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := scoring(t)
		server.Behave(change(func(a *answer) { a.Outputs[0].Data[0] = nil }))
		c := serve(t, server, sum(), predict.Settings{})
		infer(t, c, rowsOf(1, 2))
		server.Behave(behaviour{})
		wantReasons(t, infer(t, c, rowsOf(1, 2)), predict.ReasonNonFinite, predict.ReasonNone)
	})
}

// TestWhatIsNotRemembered: the caller's own deadline, and moments of load.
func TestWhatIsNotRemembered(t *testing.T) {
	for name, b := range map[string]behaviour{
		"late":        {Delay: 100 * time.Millisecond},
		"unavailable": {Status: 503},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := scoring(t)
				server.Behave(b)
				a := asker{t: t, c: serve(t, server, sum(), predict.Settings{})}
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				r := a.ask(ctx, rowsOf(1, 1))
				a.wait.Wait()
				if reason(r, 0) == predict.ReasonNone {
					t.Fatal("it did not fail")
				}
				synctest.Wait()
				server.Behave(behaviour{})
				wantReasons(t, infer(t, a.c, rowsOf(1, 1)), predict.ReasonNone)
			})
		})
	}
}

// TestTheBreaker opens, lets one call through after its pause, and closes.
func TestTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := scoring(t)
		server.Kill()
		var d diary
		c := serve(t, server, sum(), predict.Settings{BreakerFailures: 2, BreakerPause: 5 * time.Second, Events: d.events()})
		infer(t, c, rowsOf(1, 1))
		infer(t, c, rowsOf(2, 1))
		d.want(t, "call unreachable", "retried unreachable", "call unreachable", "failed unreachable", "rows unreachable #",
			"call unreachable", "retried unreachable", "call unreachable", "breaker open", "failed unreachable", "rows unreachable #")
		began := time.Now()
		wantReasons(t, infer(t, c, rowsOf(3, 2)), predict.ReasonBreakerOpen, predict.ReasonBreakerOpen)
		if took := time.Since(began); took != 0 {
			t.Errorf("an open breaker took %v", took)
		}
		d.want(t, "rows breaker_open ##")
		time.Sleep(5*time.Second + 1)
		infer(t, c, rowsOf(3, 1)) // the one that is tried
		d.want(t, "breaker half_open", "call unreachable", "retried unreachable", "call unreachable", "breaker open", "failed unreachable", "rows unreachable #")
		server.Revive()
		time.Sleep(5*time.Second + 1)
		wantScores(t, infer(t, c, rowsOf(3, 1)), 3)
		d.want(t, "breaker half_open", "call none", "breaker closed", "rows none #")
	})
}

// TestWhatTheBreakerDoesNotCount: what says nothing about the model's health.
func TestWhatTheBreakerDoesNotCount(t *testing.T) {
	for name, c := range map[string]struct {
		b        behaviour
		deadline time.Duration // of each caller
		opens    bool
	}{
		"a bad row":         {behaviour{Status: 400}, time.Second, false},
		"hasty callers":     {behaviour{Delay: 100 * time.Millisecond}, 10 * time.Millisecond, false},
		"a slow model":      {behaviour{Delay: 100 * time.Millisecond}, 30 * time.Millisecond, true},
		"its own timeout":   {behaviour{Delay: time.Minute}, time.Second, true},
		"errors of its own": {behaviour{Status: 500}, time.Second, true},
		"wrong answers":     {behaviour{Text: "x"}, time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := scoring(t)
				server.Behave(c.b)
				opened := false
				client := serve(t, server, sum(), predict.Settings{Events: predict.Events{Breaker: func(predict.BreakerState) { opened = true }}})
				for i := range 6 {
					ctx, cancel := context.WithTimeout(t.Context(), c.deadline)
					if err := client.Predict(ctx, rowsOf(i, 1), new(predict.Result)); err != nil {
						t.Error(err)
					}
					cancel()
					synctest.Wait()
				}
				if opened != c.opens {
					t.Errorf("the breaker opened: %v", opened)
				}
			})
		})
	}
}

func TestHealth(t *testing.T) {
	server := scoring(t)
	m := sum()
	m.Endpoint, m.Timeout = server.Listen(t)+"/", time.Minute
	c := open(t, m, predict.Settings{})
	if err := c.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	wantScores(t, infer(t, c, rowsOf(1, 2)), 1, 2) // over a real connection
	server.Kill()
	if fault, ok := errors.AsType[*predict.Error](c.Ready(t.Context())); !ok || fault.Reason != predict.ReasonUnreachable {
		t.Errorf("a dead server: %v", fault)
	}
	server.Revive()
	m.Version = "8"
	other := open(t, m, predict.Settings{})
	err := other.Ready(t.Context())
	if fault, ok := errors.AsType[*predict.Error](err); !ok || fault.Reason != predict.ReasonHTTP || fault.Status != 404 {
		t.Errorf("another version: %v", err)
	}
	if _, _, err := other.Learn(t.Context()); err == nil {
		t.Error("metadata of another version were found")
	}
}

// TestRefusedConnections: nothing listens there.
func TestRefusedConnections(t *testing.T) {
	m := sum()
	m.Endpoint, m.Timeout = "http://127.0.0.1:1", time.Minute
	wantReasons(t, infer(t, open(t, m, predict.Settings{}), rowsOf(1, 1)), predict.ReasonUnreachable)
}

func TestFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := predicttest.Sum("sum", "7", "score")
		model.Inputs = []predicttest.Declared{declared("a", "FP32", -1, 1), declared("c", "INT64", -1, 2)}
		model.Outputs = []predicttest.Declared{declared("score", "BYTES", -1, 3)}
		server := predicttest.New(model)
		m := sum()
		m.Outputs = append(m.Outputs, listOf("shares", feature.KindFloat64, 4))
		c := serve(t, server, m, predict.Settings{})
		_, signature, err := c.Learn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := `model "sum" does not fit its definition:
  - input "a" is sent as FP64 and the model wants FP32
  - the model has no input "b"
  - the model has an input "c", which the definition lacks
  - output "score" is BYTES, which float64 cannot hold
  - the model has no output "shares"
the definition has:
  versions 7
  input  a FP64 [-1, 1]
  input  b FP64 [-1, 1]
  output score FP64 [-1, 1]
  output shares FP64 [-1, 4]
the model server has:
  versions 7
  input  a FP32 [-1, 1]
  input  c INT64 [-1, 2]
  output score BYTES [-1, 3]`
		if err := c.Fit(signature); err == nil || err.Error() != want {
			t.Errorf("got\n%v\nwant\n%s", err, want)
		}
		if err := c.Fit(&predict.Signature{Name: "sum"}); err != nil {
			t.Errorf("what is not declared does not fit: %v", err)
		}
		for want, s := range map[string]predict.Signature{
			`calls the model "sun"`:    {Name: "sun"},
			`version "7" is not serve`: {Name: "sum", Versions: []string{"6", "8"}},
			`with another shape than`:  {Name: "sum", Inputs: []predict.Tensor{{"a", "FP64", []int64{-1, 2}}, {"b", "FP64", []int64{-1}}}},
			`"shares" has another`:     {Name: "sum", Outputs: []predict.Tensor{{"score", "INT32", nil}, {"shares", "FP32", []int64{-1}}}},
		} {
			misfit, ok := errors.AsType[*predict.MisfitError](c.Fit(&s))
			if !ok || len(misfit.Problems) != 1 || !strings.Contains(misfit.Problems[0], want) {
				t.Errorf("want one problem with %q, got %v", want, misfit)
			}
		}
	})
}
