package client

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"millrace/internal/synctest"
)

const pushedBody = `{"stored":2,"filtered":1,"rejected":1,"published":4,"views":{"a":{"stored":2,"filtered":0,"rejected":1},"b":{"stored":0,"filtered":4,"rejected":0}},` +
	`"errors":[{"row":3,"element":2,"view":"a","reason":"type","message":"field km: is a string"}]}`

var pushedWant = Pushed{
	Ends: Ends{Stored: 2, Filtered: 1, Rejected: 1}, Published: 4, Views: map[string]Ends{"a": {Stored: 2, Rejected: 1}, "b": {Filtered: 4}},
	Errors: []RowError{{Row: 3, Element: 2, View: "a", Reason: "type", Message: "field km: is a string"}},
}

func TestPushOnTheWire(t *testing.T) {
	s := &server{answers: []answerer{says(200, pushedBody)}}
	c := s.client(t, Retry{})
	p, err := c.Push(t.Context(), PushRequest{
		Source: "a/b", View: "v", TransformOnWrite: new(false), To: ToOnline, RejectRows: true, Rows: Rows{{"id": int64(math.MinInt64), "at": nil}},
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, *p, pushedWant)
	if _, err := c.Push(t.Context(), PushRequest{Source: "s"}); err != nil {
		t.Fatal(err)
	}
	r := s.sent[0]
	same(t, []string{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header.Get("Content-Type"), r.Header.Get("Prefer")},
		[]string{"POST", "/v1/push/a%2Fb", "", "application/json", ""})
	same(t, r.body, `{"rows":[{"at":null,"id":-9223372036854775808}],"view":"v","transform_on_write":false,"to":"online","on_error":"reject_row"}`)
	same(t, s.sent[1].body, `{"rows":[]}`)
}

func TestPushAsyncOnTheWire(t *testing.T) {
	s := &server{answers: []answerer{says(202, `{"receipt":"r1","accepted":2,"rejected":1,"errors":[{"row":2,"reason":"type","message":"m"}]}`)}}
	r, err := s.client(t, Retry{}).PushAsync(t.Context(), PushRequest{Source: "s", Rows: Rows{{"id": 1}}})
	if err != nil {
		t.Fatal(err)
	}
	same(t, *r, Receipt{ID: "r1", Accepted: 2, Rejected: 1, Errors: []RowError{{Row: 2, Reason: "type", Message: "m"}}})
	same(t, []string{s.sent[0].Header.Get("Prefer"), s.sent[0].body}, []string{"respond-async", `{"rows":[{"id":1}]}`})
}

func TestPushRefusals(t *testing.T) {
	s := &server{answers: []answerer{
		says(422, `{"error":{"code":"invalid_rows","message":"1 of 2 rows were refused, and nothing was written","details":[{"field":"rows[1]","message":"type: field km"}]}}`),
		says(504, `{"error":{"code":"deadline_exceeded","message":"not stored within the deadline","receipt":"r2"}}`),
	}}
	c := s.client(t, Retry{})
	_, err := c.Push(t.Context(), PushRequest{Source: "s", Rows: Rows{{"id": 1}, {"id": 2, "km": "x"}}})
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Code != CodeInvalidRows || e.Details[0].Field != "rows[1]" || !strings.HasPrefix(err.Error(), "push to source s: invalid_rows") {
		t.Errorf("it failed with %v", err)
	}
	_, err = c.Push(t.Context(), PushRequest{Source: "s", Rows: Rows{{"id": 1}}, Idempotent: true})
	if e, ok = errors.AsType[*Error](err); !ok || e.Receipt != "r2" {
		t.Errorf("it failed with %v", err)
	}
	_, err = c.Push(t.Context(), PushRequest{Source: "s", Rows: Rows{{"id": 1}, {"km": math.NaN()}}})
	if err == nil || !strings.Contains(err.Error(), "rows[1].km cannot be written as JSON; send nil") || len(s.sent) != 2 {
		t.Errorf("NaN: %v", err)
	}
}

const (
	pending = `{"id":"r","state":"pending","rows":2,"finished":1,"errors":[]}`
	done    = `{"id":"r","state":"done","rows":2,"finished":2,"errors":[]}`
	dead    = `{"id":"r","state":"dead_lettered","rows":2,"finished":2,"errors":[{"row":1,"view":"v","reason":"late","message":"m"}]}`
)

func TestWaitReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answers: []answerer{says(200, pending), says(200, pending), refuses(503, CodeUnavailable), says(200, dead)}}
		got, err := s.client(t, Retry{}).WaitReceipt(t.Context(), "r/1")
		if err != nil {
			t.Fatal(err)
		}
		same(t, *got, ReceiptStatus{
			ID: "r", State: StateDeadLettered, Rows: 2, Finished: 2, Errors: []RowError{{Row: 1, View: "v", Reason: "late", Message: "m"}},
		})
		same(t, []string{s.sent[0].Method, s.sent[0].URL.EscapedPath()}, []string{"GET", "/v1/receipts/r%2F1"})
		if first := s.sent[1].at.Sub(s.sent[0].at); first < firstAsk/2 || first > firstAsk {
			t.Errorf("the first wait took %s", first)
		}
	})
}

func TestWaitReceiptSlowsDownAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answers: []answerer{says(200, pending)}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		last, err := s.client(t, Retry{}).WaitReceipt(ctx, "r")
		if !errors.Is(err, context.DeadlineExceeded) || last == nil || last.Finished != 1 || time.Since(start) != time.Minute {
			t.Errorf("after %s: %v, %v", time.Since(start), last, err)
		}
		if n := len(s.sent); n < 60 || n > 130 {
			t.Errorf("it was asked %d times in a minute", n)
		}
	})
}

func TestWaitReceiptOfAnother(t *testing.T) {
	s := &server{answers: []answerer{refuses(404, CodeNotFound)}}
	if _, err := s.client(t, Retry{}).WaitReceipt(t.Context(), "r"); CodeOf(err) != CodeNotFound || len(s.sent) != 1 {
		t.Errorf("%d calls, %v", len(s.sent), err)
	}
	s = &server{answers: []answerer{says(200, done)}}
	if got, err := s.client(t, Retry{}).WaitReceipt(t.Context(), "r"); err != nil || got.State != StateDone {
		t.Errorf("%v, %v", got, err)
	}
}
