package client

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/internal/synctest"
)

// calls are the kinds of calls that the rules of repeating tell apart.
var calls = map[string]func(context.Context, *Client) error{
	"lookup": func(ctx context.Context, c *Client) error {
		_, err := c.Lookup(ctx, LookupRequest{Service: "s", Entities: Rows{{"driver_id": 1}}})
		return err
	},
	"receipt": func(ctx context.Context, c *Client) error {
		_, err := c.Receipt(ctx, "r")
		return err
	},
	"push":                        pushes(PushRequest{Rows: Rows{timed}}),
	"push, said to be idempotent": pushes(PushRequest{Rows: Rows{timed}, Idempotent: true}),
	"push of finished rows":       pushes(PushRequest{Rows: Rows{timed, timed}, TransformOnWrite: new(false)}),
	"push of finished rows, one without a time": pushes(PushRequest{Rows: Rows{timed, {"driver_id": 2}}, TransformOnWrite: new(false)}),
	"push of finished rows, one at null":        pushes(PushRequest{Rows: Rows{{"event_timestamp": nil}}, TransformOnWrite: new(false)}),
	"push of finished rows, published too":      pushes(PushRequest{Rows: Rows{timed}, TransformOnWrite: new(false), To: ToOnlineAndOffline}),
	"push of raw rows with a time":              pushes(PushRequest{Rows: Rows{timed}, TransformOnWrite: new(true)}),
	"asynchronous push": func(ctx context.Context, c *Client) error {
		_, err := c.PushAsync(ctx, PushRequest{Source: "s", Rows: Rows{timed}})
		return err
	},
	"asynchronous push, said to be idempotent": func(ctx context.Context, c *Client) error {
		_, err := c.PushAsync(ctx, PushRequest{Source: "s", Rows: Rows{timed}, Idempotent: true})
		return err
	},
	"bulk push":                                       bulkPushes(BulkRequest{}, timed),
	"bulk push, said to be idempotent":                bulkPushes(BulkRequest{Idempotent: true}, timed),
	"bulk push of finished rows":                      bulkPushes(BulkRequest{TransformOnWrite: new(false)}, timed, timed),
	"bulk push of finished rows, one without a time":  bulkPushes(BulkRequest{TransformOnWrite: new(false)}, timed, map[string]any{}, timed),
	"bulk push of finished rows, one of another case": bulkPushes(BulkRequest{TransformOnWrite: new(false)}, map[string]any{"Event_Timestamp": 1}),
}

var timed = map[string]any{"driver_id": 1, "event_timestamp": "2026-01-02T03:04:05Z"}

// unsafeCalls may change something when they are sent twice.
var unsafeCalls = []string{
	"push", "push of finished rows, one without a time", "push of finished rows, one at null", "push of finished rows, published too",
	"push of raw rows with a time", "asynchronous push", "bulk push", "bulk push of finished rows, one without a time",
	"bulk push of finished rows, one of another case",
}

func pushes(q PushRequest) func(context.Context, *Client) error {
	q.Source = "s"
	return func(ctx context.Context, c *Client) error {
		_, err := c.Push(ctx, q)
		return err
	}
}

func bulkPushes(q BulkRequest, rows ...map[string]any) func(context.Context, *Client) error {
	q.Source = "s"
	return func(ctx context.Context, c *Client) error {
		_, err := c.PushAll(ctx, q, func(yield func(any, error) bool) {
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
			}
		})
		return err
	}
}

// TestWhatIsSentAgain is the table of docs/client.md: whether a call that
// failed once is sent a second time.
func TestWhatIsSentAgain(t *testing.T) {
	all := slices.Sorted(maps.Keys(calls))
	safe := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(unsafeCalls, name) })
	if len(safe) != len(all)-len(unsafeCalls) {
		t.Fatal("a call that is unsafe is not among the calls")
	}
	for _, f := range []struct {
		name    string
		failure answerer
		again   []string
	}{
		{"connection refused", breaks(errRefused), all},
		{"overloaded", refuses(503, CodeOverloaded, "Retry-After: 1"), all},
		{"too many requests, says a proxy", says(429, "slow down"), all},

		{"connection reset", breaks(errReset), safe},
		{"answer broke off", breaksOff, safe},
		{"unavailable", refuses(503, CodeUnavailable, "Retry-After: 1"), safe},
		{"deadline exceeded", refuses(504, CodeDeadlineExceeded), safe},
		{"bad gateway, says a proxy", says(502, "<html>"), safe},
		{"unavailable, says a proxy", says(503, ""), safe},
		{"gateway timeout, says a proxy", says(504, ""), safe},

		{"on the topic, with a receipt", says(504, `{"error":{"code":"deadline_exceeded","message":"m","receipt":"r"}}`), nil},
		{"internal", refuses(500, CodeInternal), nil},
		{"error, says a proxy", says(500, "oops"), nil},
		{"invalid", refuses(400, CodeInvalidRequest), nil},
		{"unknown", refuses(404, CodeUnknownView), nil},
		{"too large", refuses(413, CodeTooLarge), nil},
		{"malformed answer", says(200, "<html>"), nil},
	} {
		for _, name := range all {
			t.Run(f.name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &server{answers: []answerer{f.failure}}
					want := 1
					if slices.Contains(f.again, name) {
						want = 2
					}
					if err := calls[name](t.Context(), s.client(t, Retry{Attempts: 2})); err == nil {
						t.Error("a failure was taken for an answer")
					}
					if len(s.sent) != want {
						t.Errorf("it was sent %d times, want %d", len(s.sent), want)
					}
					for _, r := range s.sent {
						if r.body != s.sent[0].body || r.URL.String() != s.sent[0].URL.String() {
							t.Error("it was not the same that was sent again")
						}
					}
				})
			})
		}
	}
}

const emptyAnswer = `{"features":[],"rows":[]}`

func lookupOnce(ctx context.Context, c *Client) error { return calls["lookup"](ctx, c) }

func TestWaitsDoubleAndVary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		most := []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 500 * time.Millisecond, 500 * time.Millisecond}
		seen := make([]map[time.Duration]bool, len(most))
		for range 20 {
			s := &server{answers: []answerer{breaks(errReset)}}
			err := lookupOnce(t.Context(), s.client(t, Retry{Attempts: 6, First: most[0], Most: 500 * time.Millisecond}))
			if !errors.Is(err, errReset) || !strings.Contains(err.Error(), "6 times") {
				t.Fatalf("it failed with %v", err)
			}
			for i, limit := range most {
				waited := s.sent[i+1].at.Sub(s.sent[i].at)
				if waited < limit/2 || waited > limit {
					t.Errorf("wait %d took %s, want %s to %s", i, waited, limit/2, limit)
				}
				if seen[i] == nil {
					seen[i] = make(map[time.Duration]bool)
				}
				seen[i][waited] = true
			}
		}
		for i := range seen {
			if len(seen[i]) < 10 {
				t.Errorf("wait %d was of %d lengths in 20 runs: callers that failed together come back together", i, len(seen[i]))
			}
		}
	})
}

func TestSuccessAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answers: []answerer{breaks(errReset), refuses(503, CodeUnavailable), says(200, emptyAnswer)}}
		if err := lookupOnce(t.Context(), s.client(t, Retry{})); err != nil || len(s.sent) != 3 {
			t.Errorf("%d calls, %v", len(s.sent), err)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, text := range []string{"3", "", "soon", "-7", "date"} {
			want := time.Duration(0)
			switch text {
			case "3":
				want = 3 * time.Second
			case "date":
				at := time.Now().Add(4 * time.Second).Truncate(time.Second)
				text, want = at.UTC().Format(http.TimeFormat), time.Until(at)
			}
			s := &server{answers: []answerer{refuses(503, CodeOverloaded, "Retry-After: "+text), says(200, emptyAnswer)}}
			start := time.Now()
			if err := lookupOnce(t.Context(), s.client(t, Retry{First: 10 * time.Millisecond})); err != nil {
				t.Fatal(err)
			}
			waited := s.sent[1].at.Sub(start)
			if waited < want || waited > want+20*time.Millisecond {
				t.Errorf("Retry-After: %s: it came back after %s", text, waited)
			}
		}
	})
}

// TestRetryAfterTooLong: a wait that nobody would want is the caller's to decide.
func TestRetryAfterTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answers: []answerer{refuses(503, CodeOverloaded, "Retry-After: 60")}}
		start := time.Now()
		err := lookupOnce(t.Context(), s.client(t, Retry{Most: 5 * time.Second}))
		e, ok := errors.AsType[*Error](err)
		if !ok || e.RetryAfter != time.Minute || len(s.sent) != 1 || time.Since(start) != 0 {
			t.Errorf("after %s and %d calls: %v", time.Since(start), len(s.sent), err)
		}
	})
}

func TestNoRetries(t *testing.T) {
	s := &server{answers: []answerer{refuses(503, CodeOverloaded)}}
	if err := lookupOnce(t.Context(), s.client(t, Retry{Attempts: 1})); err == nil || len(s.sent) != 1 {
		t.Errorf("%d calls, %v", len(s.sent), err)
	}
}

// TestDeadlineIsSentAndKept: each attempt tells the server what is left, and a
// wait that ends after the deadline does not begin.
func TestDeadlineIsSentAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answers: []answerer{refuses(503, CodeUnavailable, "Retry-After: 1")}}
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		start := time.Now()
		err := lookupOnce(ctx, s.client(t, Retry{Attempts: 10, First: time.Millisecond}))
		if took := time.Since(start); took >= 2500*time.Millisecond || len(s.sent) != 3 {
			t.Errorf("it took %s and %d calls", took, len(s.sent))
		}
		if CodeOf(err) != CodeUnavailable || !strings.Contains(err.Error(), "the deadline leaves no time") {
			t.Errorf("it failed with %v", err)
		}
		for _, r := range s.sent {
			text, ok := strings.CutSuffix(r.Header.Get("X-Request-Timeout"), "ms")
			ms, err := strconv.Atoi(text)
			left := start.Add(2500 * time.Millisecond).Sub(r.at)
			if said := time.Duration(ms) * time.Millisecond; !ok || err != nil || said > left || said < left-101*time.Millisecond {
				t.Errorf("with %s left, the server was given %q", left, r.Header.Get("X-Request-Timeout"))
			}
		}
	})
}

func TestNoDeadlineLeavesTheServersOwn(t *testing.T) {
	s := &server{answers: []answerer{says(200, emptyAnswer)}}
	if err := lookupOnce(context.Background(), s.client(t, Retry{})); err != nil {
		t.Fatal(err)
	}
	if text := s.sent[0].Header.Get("X-Request-Timeout"); text != "" {
		t.Errorf("the server was given %s", text)
	}
}

func TestDeadlineEndsASilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answers: []answerer{silentServer}}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		err := lookupOnce(ctx, s.client(t, Retry{}))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second || len(s.sent) != 1 {
			t.Errorf("after %s and %d calls: %v", time.Since(start), len(s.sent), err)
		}
	})
}

// TestSilenceIsAFailure: without a deadline, a server that fell silent is
// tried again after a while.
func TestSilenceIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answers: []answerer{silentServer, says(200, emptyAnswer)}}
		start := time.Now()
		if err := lookupOnce(context.Background(), s.client(t, Retry{})); err != nil || time.Since(start) < attemptTimeout {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
	})
}

func TestCancelEndsAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answers: []answerer{refuses(503, CodeOverloaded, "Retry-After: 4")}}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		err := lookupOnce(ctx, s.client(t, Retry{}))
		if CodeOf(err) != CodeOverloaded || time.Since(start) != time.Second || len(s.sent) != 1 {
			t.Errorf("after %s and %d calls: %v", time.Since(start), len(s.sent), err)
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v does not say that it was canceled", err)
		}
	})
}

// TestAnswersAreBounded: an answer without end ends, and is not asked for again.
func TestAnswersAreBounded(t *testing.T) {
	s := &server{answers: []answerer{says(200, emptyAnswer)}}
	c := s.client(t, Retry{})
	c.most = int64(len(emptyAnswer))
	if err := lookupOnce(t.Context(), c); err != nil {
		t.Error(err)
	}
	c.most--
	if err := lookupOnce(t.Context(), c); err == nil || !strings.Contains(err.Error(), "larger than") || len(s.sent) != 2 {
		t.Errorf("%d calls, %v", len(s.sent), err)
	}
}
