package rest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"millrace/sinks"
)

const profileDefinitions = `
project: rides
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources: [{name: profiles, push: {}, fields: [{name: driver_id, type: int64}, {name: rating, type: float64}]}]
views: [{name: profile, entity: driver, source: profiles, features: [{name: rating}]}]
`

// answered is what a push answers.
type answered struct {
	Stored, Rejected int
	Views            map[string]struct{ Stored, Rejected int }
	Errors           []struct{ Row int }
	Error            struct {
		Code    string
		NextRow *int `json:"next_row"`
		Written struct{ Stored, Rejected int }
	}
}

func (w *pushWorld) lines(body io.Reader) (int, answered) {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/v1/push/profiles", body)
	r.Header.Set("Content-Type", "application/x-ndjson")
	rec := httptest.NewRecorder()
	w.serve(rec, r)
	var a answered
	if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil {
		w.t.Fatalf("%s: %v", rec.Body, err)
	}
	return rec.Code, a
}

func profileLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"driver_id\": %d, \"rating\": 1}\n", i)
	}
	return b.String()
}

// TestLinesOfFeaturesAndPredictions: parts of a stream may be of different views,
// which are told apart; a part is of one kind.
func TestLinesOfFeaturesAndPredictions(t *testing.T) {
	w := newPushWorld(t)
	w.define(profileDefinitions + `
models: [{name: churn, entity: driver, outputs: [{name: risk, type: float64, as: "profile:churn_risk"}]}]
`)
	const part = 512
	var b strings.Builder
	for i := range part {
		fmt.Fprintf(&b, "{\"driver_id\": %d, \"churn_risk\": 1}\n", i)
	}
	code, got := w.lines(strings.NewReader(profileLines(part) + b.String() + profileLines(part-1) + `{"driver_id": 1, "churn_risk": 2}`))
	if code != http.StatusOK || got.Stored != 2*part+1 || got.Rejected != part-1 || got.Errors[0].Row != 2*part {
		t.Errorf("answered %d %+v", code, got)
	}
	if v := got.Views["profile"]; v.Stored != part || v.Rejected != 0 {
		t.Errorf("features %+v", v)
	}
	if v := got.Views["churn"]; v.Stored != part+1 || v.Rejected != part-1 {
		t.Errorf("predictions %+v", v)
	}
}

// TestNextRow: a stream that breaks is sent again from next_row on, and what is
// before it is stored.
func TestNextRow(t *testing.T) {
	const rows = 3000
	for name, c := range map[string]struct {
		fail func(*pushWorld)
		body func() io.Reader
		code string
	}{
		"the store fails": {
			fail: func(w *pushWorld) {
				writes := 0
				w.store.Fail(func(op string) error {
					if writes++; op == "Write" && writes > 4 {
						return sinks.ErrUnavailable
					}
					return nil
				})
			},
			body: func() io.Reader { return strings.NewReader(profileLines(rows)) }, code: "unavailable",
		},
		"the body breaks off": {
			fail: func(*pushWorld) {},
			body: func() io.Reader {
				return io.MultiReader(strings.NewReader(profileLines(rows/2)), iotest.ErrReader(errors.New("reset by peer")))
			},
			code: "invalid_request",
		},
	} {
		w := newPushWorld(t)
		w.define(profileDefinitions)
		w.handler = w.make()
		c.fail(w)
		status, a := w.lines(c.body())
		if status < 400 || a.Error.Code != c.code || a.Error.NextRow == nil {
			t.Fatalf("%s: %d %+v", name, status, a)
		}
		next := *a.Error.NextRow
		if a.Error.Written.Stored != next {
			t.Errorf("%s: next row %d, %+v are told", name, next, a.Error.Written)
		}
		w.store.Fail(nil)
		if got := len(w.store.Rows()); next == 0 || next >= rows || got < next {
			t.Errorf("%s: next row %d, %d are stored", name, next, got)
		}
		rest := strings.SplitAfterN(profileLines(rows), "\n", next+1)[next]
		if status, a = w.lines(strings.NewReader(rest)); status != http.StatusOK || a.Stored != rows-next {
			t.Errorf("%s: going on: %d %+v", name, status, a)
		}
		if got := len(w.store.Rows()); got != rows {
			t.Errorf("%s: %d rows are stored in the end", name, got)
		}
	}
}

// endless is a body of so many bytes, of lines of every length or of one.
type endless struct {
	left, at int
	one      bool
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.left)
	for i := range p[:n] {
		if e.at++; !e.one && e.at*e.at%99_991 < 7 {
			p[i] = '\n'
		} else {
			p[i] = 'x'
		}
	}
	e.left -= n
	return n, nil
}

// TestLinesHoldLittle: however long the body and its lines are.
func TestLinesHoldLittle(t *testing.T) {
	w := newPushWorld(t)
	var most, now int64
	w.events.InFlight = func(n int64) { most, now = max(most, n), n }
	w.limits.MaxRowBytes = 64 << 10
	w.define(profileDefinitions)
	status, a := w.lines(&endless{left: 20 << 20})
	if status != http.StatusOK || a.Rejected < 1000 || len(a.Errors) != 100 {
		t.Errorf("%d, %d rejected, %d errors", status, a.Rejected, len(a.Errors))
	}
	status, a = w.lines(&endless{left: 20 << 20, one: true})
	if status != http.StatusOK || a.Rejected != 1 {
		t.Errorf("one line: %d, %d rejected", status, a.Rejected)
	}
	if most > 1<<20 || most == 0 || now != 0 {
		t.Errorf("it held %d bytes, and %d at the end", most, now)
	}
}

// TestRoomIsGivenBack: whatever a request comes to.
func TestRoomIsGivenBack(t *testing.T) {
	w := newPushWorld(t)
	w.limits.Concurrency = 1
	w.define(profileDefinitions)
	for range 2 {
		for _, body := range []string{`{"rows": [{"driver_id": 1}]}`, `{"rows": [{"driver_id": "x"}]}`, `{`, `[]`} {
			rec := httptest.NewRecorder()
			w.serve(rec, httptest.NewRequest(http.MethodPost, "/v1/push/profiles", strings.NewReader(body)))
			if rec.Code == http.StatusServiceUnavailable {
				t.Fatalf("after %s: %s", body, rec.Body)
			}
		}
		for _, body := range []string{profileLines(1), "x", ""} {
			if status, a := w.lines(strings.NewReader(body)); status != http.StatusOK {
				t.Fatalf("%d %+v", status, a)
			}
		}
	}
}

// slowBody blocks after its first byte until it is closed.
type slowBody struct {
	begun chan struct{}
	end   chan struct{}
}

func (s *slowBody) Read(p []byte) (int, error) {
	select {
	case <-s.begun:
		<-s.end
		return 0, io.EOF
	default:
		p[0] = '\n'
		close(s.begun)
		return 1, nil
	}
}

// TestOverload: while one request is under way, the next is refused at once.
func TestOverload(t *testing.T) {
	w := newPushWorld(t)
	w.limits.Concurrency = 1
	w.define(profileDefinitions)
	w.handler = w.make()
	slow := &slowBody{make(chan struct{}), make(chan struct{})}
	done := make(chan int)
	go func() {
		status, _ := w.lines(slow)
		done <- status
	}()
	<-slow.begun
	rec := httptest.NewRecorder()
	w.serve(rec, httptest.NewRequest(http.MethodPost, "/v1/push/profiles", strings.NewReader(`{"rows": []}`)))
	if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" || !strings.Contains(rec.Body.String(), `"overloaded"`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	close(slow.end)
	if status := <-done; status != http.StatusOK {
		t.Errorf("the one under way: %d", status)
	}
}
