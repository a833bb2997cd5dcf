package push

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"millrace/internal/synctest"
	"millrace/serving"
)

type request = serving.PushRequest

// ways is where rows go, as what, and what is answered.
type ways struct {
	req       request
	rows      []string
	stored    int    // calls of Store
	published string // headers of what is on the topic
	waited    bool
	want      serving.PushAnswer
	receipt   bool
}

func allWays() map[string]ways {
	const asFields, wait, offline, both = "millrace-format=fields", " millrace-wait=true", " millrace-to=offline", " millrace-to=online_and_offline"
	const raw, finished = " transform_on_write=true", " transform_on_write=false"
	return map[string]ways{
		"synchronous": {
			req: request{Source: "profiles"}, rows: []string{`{"driver_id":1}`, `{"driver_id":2,"x":"out"}`},
			stored: 1, want: serving.PushAnswer{Stored: 1, Filtered: 1},
		},
		"a view says its source": {
			req: request{View: "fares"}, rows: []string{`{"driver_id":1}`}, stored: 1, want: serving.PushAnswer{Stored: 1},
		},
		"bad rows alone": {
			req: request{Source: "profiles", RejectRows: true}, rows: []string{`{"bad":1}`, `{"driver_id":1}`},
			stored: 1, want: serving.PushAnswer{Stored: 1, Rejected: 1},
		},
		"nothing but bad rows": {
			req: request{Source: "profiles", RejectRows: true}, rows: []string{`{"bad":1}`}, want: serving.PushAnswer{Rejected: 1},
		},
		"asynchronous": {
			req: request{Source: "trips", Async: true}, rows: []string{`{"driver_id":1}`},
			published: asFields + raw, want: serving.PushAnswer{Stored: 1, Published: 1}, receipt: true,
		},
		"asynchronous, bad rows alone": {
			req: request{Source: "trips", Async: true, RejectRows: true}, rows: []string{`{"bad":1}`, `{"driver_id":1}`},
			published: asFields + raw, want: serving.PushAnswer{Stored: 1, Rejected: 1, Published: 1}, receipt: true,
		},
		"asynchronous, finished rows of a view": {
			req: request{View: "fares", Async: true, Transform: new(false)}, rows: []string{`{"driver_id":1}`},
			published: asFields + " millrace-view=fares" + finished, want: serving.PushAnswer{Stored: 1, Published: 1}, receipt: true,
		},
		"windows count them": {
			req: request{Source: "clicks"}, rows: []string{`{"driver_id":1}`},
			published: asFields + wait + raw, waited: true, want: serving.PushAnswer{Stored: 1, Published: 1},
		},
		"one of two views has windows": {
			req: request{Source: "both"}, rows: []string{`{"driver_id":1}`},
			published: asFields + wait + raw, waited: true, want: serving.PushAnswer{Stored: 1, Published: 1},
		},
		"the one without": {
			req: request{View: "rows"}, rows: []string{`{"driver_id":1}`}, stored: 1, want: serving.PushAnswer{Stored: 1},
		},
		"the one with them": {
			req: request{View: "tiles"}, rows: []string{`{"driver_id":1}`},
			published: asFields + " millrace-view=tiles" + wait + raw, waited: true, want: serving.PushAnswer{Stored: 1, Published: 1},
		},
		"windows leave finished rows alone": {
			req: request{Source: "clicks", Transform: new(false)}, rows: []string{`{"driver_id":1}`}, stored: 1, want: serving.PushAnswer{Stored: 1},
		},
		"for others alone": {
			req: request{Source: "trips", To: serving.ToOffline}, rows: []string{`{"driver_id":1}`},
			published: asFields + offline + raw, want: serving.PushAnswer{Filtered: 1, Published: 1},
		},
		"for others, too": {
			req: request{Source: "trips", To: serving.ToBoth}, rows: []string{`{"driver_id":1}`},
			stored: 1, published: asFields + offline + raw, want: serving.PushAnswer{Stored: 1, Published: 1},
		},
		"windows, and others": {
			req: request{Source: "clicks", To: serving.ToBoth}, rows: []string{`{"driver_id":1}`},
			published: asFields + both + wait + raw, waited: true, want: serving.PushAnswer{Stored: 1, Published: 1},
		},
		"asynchronous, and others": {
			req: request{Source: "trips", Async: true, To: serving.ToBoth}, rows: []string{`{"driver_id":1}`},
			published: asFields + both + raw, want: serving.PushAnswer{Stored: 1, Published: 1}, receipt: true,
		},
		"rekeyed, asynchronous": {
			req: request{View: "moved", Async: true}, rows: []string{`{"driver_id":1}`},
			published: asFields + " millrace-view=moved" + raw, want: serving.PushAnswer{Stored: 1, Published: 1}, receipt: true,
		},
		"beside a rekeyed one": {
			req: request{View: "stays"}, rows: []string{`{"driver_id":1}`}, stored: 1, want: serving.PushAnswer{Stored: 1},
		},
		"nothing": {req: request{Source: "clicks"}},
	}
}

func TestWays(t *testing.T) {
	for name, c := range allWays() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			got, err := w.push(c.req, c.rows...)
			if err != nil {
				t.Fatal(err, err.Details)
			}
			if got.Stored != c.want.Stored || got.Filtered != c.want.Filtered || got.Rejected != c.want.Rejected || got.Published != c.want.Published {
				t.Errorf("answered %+v, want %+v", got, c.want)
			}
			if len(got.Errors) != got.Rejected || (got.Receipt != "") != c.receipt {
				t.Errorf("errors %v, receipt %q", got.Errors, got.Receipt)
			}
			if w.stored != c.stored || (len(w.awaited) > 0) != c.waited || w.closed != len(w.views) {
				t.Errorf("stored %d times, waited %d times, closed %d of %d", w.stored, len(w.awaited), w.closed, len(w.views))
			}
			if n := len(w.published); n != c.want.Published {
				t.Fatalf("%d rows are on the topic", n)
			}
			for i := range w.published {
				r := &w.published[i]
				if h := headers(r); h != strings.TrimSpace(c.published) || !strings.HasPrefix(string(r.Key), "key") || r.Millis != base {
					t.Errorf("published %q at %d with %s, want %s", r.Key, r.Millis, h, c.published)
				}
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	row := []string{`{"driver_id":1}`}
	for name, c := range map[string]struct {
		req  request
		rows []string
		code serving.Code
		says string
	}{
		"no such source":      {request{Source: "trip"}, row, serving.CodeUnknownSource, "trips"},
		"no such view":        {request{Source: "trips", View: "fare"}, row, serving.CodeUnknownView, "fares"},
		"a view of another":   {request{Source: "trips", View: "profile"}, row, serving.CodeUnknownView, "of source trips"},
		"not pushed to":       {request{Source: "closed"}, row, serving.CodeNotPushable, "push: true"},
		"nothing reads it":    {request{Source: "lonely"}, row, serving.CodeNotPushable, "no view"},
		"which view":          {request{Source: "both", Transform: new(false)}, row, serving.CodeInvalidRequest, "name the view"},
		"to nowhere":          {request{Source: "trips", To: "nowhere"}, row, serving.CodeInvalidRequest, "online_and_offline"},
		"async needs a topic": {request{Source: "profiles", Async: true}, row, serving.CodeNotPushable, "push: {topic"},
		"others need one":     {request{Source: "profiles", To: serving.ToOffline}, row, serving.CodeNotPushable, "push: {topic"},
		"both need one":       {request{Source: "profiles", To: serving.ToBoth}, row, serving.CodeNotPushable, "push: {topic"},
		"rekeyed":             {request{Source: "spread"}, row, serving.CodeNotPushable, "view moved is rekeyed"},
		"bad rows":            {request{Source: "trips"}, []string{`{"driver_id":1}`, `{"bad":1}`}, serving.CodeInvalidRows, "rows[1]"},
		"bad rows, async":     {request{Source: "trips", Async: true}, []string{`{"bad":1}`}, serving.CodeInvalidRows, "rows[0]"},
		"too many rows":       {request{Source: "trips"}, make([]string, 10_001), serving.CodeTooLarge, "newline-delimited"},
		"too many for async":  {request{Source: "trips", Async: true}, make([]string, 1001), serving.CodeTooLarge, "split"},
		"a column is missing": {request{Source: "trips", Frame: true}, []string{`{"driver_id":1,"at":1}`}, serving.CodeInvalidRequest, "['fare', 'km'] not in index"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			got, err := w.push(c.req, c.rows...)
			if err == nil || err.Code != c.code {
				t.Fatalf("answered %+v, %v; want %s", got, err, c.code)
			}
			text := err.Message
			for _, d := range err.Details {
				text += " " + d.Field + " " + d.Message + " " + d.Suggestion
			}
			if !strings.Contains(text, c.says) {
				t.Errorf("says %q, not %q", text, c.says)
			}
			if w.stored > 0 || len(w.published) > 0 {
				t.Error("something was written")
			}
		})
	}
	w := newWorld(t, func(s *Settings) { s.Topic = nil })
	if _, err := w.push(request{Source: "clicks"}, row...); err == nil || err.Code != serving.CodeNotPushable || !strings.Contains(err.Details[0].Message, "kafka.brokers") {
		t.Errorf("without brokers: %v", err)
	}
	if len(w.applied) > 0 {
		t.Error("rows were looked at although they cannot go anywhere")
	}
}

// TestFailures: what is told of what fails inside, and that it is logged.
func TestFailures(t *testing.T) {
	inner := errors.New("dial 10.0.0.1: refused")
	for name, c := range map[string]struct {
		req  request
		fail func(*world)
	}{
		"store":   {request{Source: "trips"}, func(w *world) { w.failStore = inner }},
		"applier": {request{Source: "trips"}, func(w *world) { w.failApply = inner }},
		"publish": {request{Source: "trips", Async: true}, func(w *world) { w.failPublish = inner }},
		"await":   {request{Source: "clicks"}, func(w *world) { w.await = func(context.Context) error { return inner } }},
	} {
		w := newWorld(t)
		c.fail(w)
		got, err := w.push(c.req, `{"driver_id":1}`)
		if err == nil || err.Code != serving.CodeUnavailable || strings.Contains(err.Error(), "10.0.0.1") {
			t.Errorf("%s: %v", name, err)
		}
		if len(w.told) == 0 || !strings.Contains(w.told[len(w.told)-1], "10.0.0.1") {
			t.Errorf("%s: the log has %q", name, w.told)
		}
		if hasReceipt := got.Receipt != ""; hasReceipt != (name == "await") {
			t.Errorf("%s: receipt %q", name, got.Receipt)
		}
	}
}

// TestBrokersAreOverloaded: nothing is on the topic, so a retry is harmless.
func TestBrokersAreOverloaded(t *testing.T) {
	w := newWorld(t)
	w.failPublish = fmt.Errorf("full: %w", ErrOverloaded)
	got, err := w.push(request{Source: "clicks"}, `{"driver_id":1}`)
	if err == nil || err.Code != serving.CodeOverloaded || got.Receipt != "" || len(w.told) > 0 {
		t.Errorf("%v, receipt %q, told %q", err, got.Receipt, w.told)
	}
}

// TestDeadline: whoever cannot be waited for gets a receipt of rows that are on
// the topic.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.await = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		began := time.Now()
		got, err := w.push(request{Source: "clicks", Timeout: 300 * time.Millisecond}, `{"driver_id":1}`, `{"driver_id":2}`)
		if err == nil || err.Code != serving.CodeDeadlineExceeded || time.Since(began) != 300*time.Millisecond {
			t.Fatalf("%v after %s", err, time.Since(began))
		}
		w.passed = 1
		if st, err := w.svc.Receipt(context.Background(), got.Receipt, 0); err != nil || st.State != serving.ReceiptPending || st.Rows != 2 || st.Finished != 1 {
			t.Errorf("receipt: %+v %v", st, err)
		}
	})
}

func TestRowsAreCounted(t *testing.T) {
	w := newWorld(t)
	if _, err := w.push(request{Source: "trips", RejectRows: true}, `{"driver_id":1}`, `{"x":"out"}`, `{"bad":1}`); err != nil {
		t.Fatal(err)
	}
	if _, err := w.push(request{Source: "trips", Async: true}, `{"driver_id":1}`); err != nil {
		t.Fatal(err)
	}
	if _, err := w.push(request{Source: "trips"}, `{"bad":1}`); err == nil {
		t.Fatal("it was taken")
	}
	// Rows on the topic are the lane's to count.
	if got := strings.Join(w.told, "; "); got != "trips/v 1 1 1; published trips 1" {
		t.Error(got)
	}
}

func TestRoomIsBounded(t *testing.T) {
	w := newWorld(t, func(s *Settings) { s.Limits = serving.PushLimits{Concurrency: 2, InFlightBytes: 100} })
	a, err := w.svc.Admit(60)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.svc.Admit(60); err == nil || err.Code != serving.CodeOverloaded {
		t.Errorf("120 of 100 bytes: %v", err)
	}
	b, err := w.svc.Admit(40)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.svc.Admit(0); err == nil || err.Code != serving.CodeOverloaded {
		t.Errorf("the third of two: %v", err)
	}
	if _, err := w.push(request{Source: "trips"}, `{}`); err == nil || err.Code != serving.CodeOverloaded {
		t.Errorf("a push without a pass: %v", err)
	}
	if err := b.Hold(50); err == nil {
		t.Error("110 of 100 bytes")
	}
	a.Leave()
	if err := b.Hold(150); err != nil {
		t.Errorf("the only one: %v", err)
	}
	b.Leave()
	for range 3 {
		if _, err := w.push(request{Source: "trips"}, `{}`); err != nil {
			t.Errorf("room was not given back: %v", err)
		}
	}
}
