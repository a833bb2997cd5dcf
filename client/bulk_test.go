package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"

	"millrace/internal/synctest"
)

// numbered yields rows {"n": 0} to {"n": n-1}.
func numbered(n int) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		for i := range n {
			if !yield(map[string]any{"n": i}, nil) {
				return
			}
		}
	}
}

// shelf is a server that stores the rows of bulk pushes, and fails as it is told.
type shelf struct {
	// fail says how many rows of a request are stored before it fails, and how;
	// nil answers do not fail.
	fail func(request int) (rows int, answer func(next int) string, status int)

	mu       sync.Mutex
	requests int
	most     int // bytes of one request
	got      []int
}

func (s *shelf) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.most = max(s.most, len(body))
	lines := strings.SplitAfter(string(body), "\n")
	lines = lines[:len(lines)-1] // each ends with a newline
	n, status := len(lines), http.StatusOK
	var answer func(int) string
	if s.fail != nil {
		if rows, how, code := s.fail(s.requests); how != nil {
			n, answer, status = min(rows, n), how, code
		}
	}
	s.requests++
	for _, line := range lines[:n] {
		var row struct{ N int }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			return nil, err
		}
		s.got = append(s.got, row.N)
	}
	text := fmt.Sprintf(`{"stored":%d,"filtered":0,"rejected":1,"views":{"v":{"stored":%d}},"errors":[{"row":%d,"reason":"type","message":"m"}]}`, n, n, n-1)
	if answer != nil {
		text = answer(n)
	}
	return &http.Response{StatusCode: status, Header: make(http.Header), Body: io.NopCloser(strings.NewReader(text))}, nil
}

func (s *shelf) client(t *testing.T, r Retry) *Client {
	t.Helper()
	c, err := New("http://millrace:6566", WithHTTPClient(&http.Client{Transport: s}), WithRetry(r))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// inOrder checks that rows 0 to n-1 arrived once each.
func (s *shelf) inOrder(t *testing.T, n int) {
	t.Helper()
	if len(s.got) != n {
		t.Fatalf("%d rows arrived, want %d", len(s.got), n)
	}
	for i, got := range s.got {
		if got != i {
			t.Fatalf("row %d arrived as number %d", got, i)
		}
	}
}

func failsWith(code Code) func(next int) string {
	return func(next int) string {
		return fmt.Sprintf(`{"error":{"code":"%s","message":"m","next_row":%d}}`, code, next)
	}
}

// failsTelling says what became of the rows before, the last of which was refused.
func failsTelling(code Code) func(next int) string {
	return func(next int) string {
		return fmt.Sprintf(`{"error":{"code":"%s","message":"m","next_row":%d,"written":{"stored":%d,"filtered":0,"rejected":1,"views":{"v":{"stored":%d}},"errors":[{"row":%d}]}}}`,
			code, next, next-1, next-1, next-1)
	}
}

// TestPushAllCountsWhatWasWritten: by a request that failed in the middle.
func TestPushAllCountsWhatWasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{fail: func(request int) (int, func(int) string, int) {
			if request < 3 {
				return 7, failsTelling(CodeOverloaded), 503
			}
			return 0, nil, 0
		}}
		got, err := s.client(t, Retry{}).PushAll(t.Context(), BulkRequest{Source: "s"}, numbered(100))
		if err != nil {
			t.Fatal(err)
		}
		s.inOrder(t, 100)
		var rows []int
		for _, e := range got.Errors {
			rows = append(rows, e.Row)
		}
		if got.NextRow != 100 || got.Uncounted != 0 || got.Stored != 97 || got.Rejected != 4 || got.Views["v"].Stored != 97 {
			t.Errorf("the result is %+v", got)
		}
		same(t, rows, []int{6, 13, 20, 99})
	})
}

func TestPushAllIsBounded(t *testing.T) {
	s := &shelf{}
	const n = 20_000
	got, err := s.client(t, Retry{}).PushAll(t.Context(), BulkRequest{Source: "s", BatchRows: 300, BatchBytes: 2000}, numbered(n))
	if err != nil {
		t.Fatal(err)
	}
	s.inOrder(t, n)
	if s.most > 2000 || s.most < 1900 {
		t.Errorf("the largest request had %d bytes", s.most)
	}
	if got.NextRow != n || got.Stored != n || got.Views["v"].Stored != n || got.Rejected != s.requests || got.Uncounted != 0 {
		t.Errorf("the result is %+v of %d requests", got, s.requests)
	}
	if len(got.Errors) != maxErrors {
		t.Errorf("%d rows are listed", len(got.Errors))
	}
	// The last row of each request was refused: it is listed by its place in the push.
	first, second := got.Errors[0].Row, got.Errors[1].Row
	if first < 150 || first > 300 || second < first+150 || second > first+300 {
		t.Errorf("rows %d and %d are listed", first, second)
	}
}

func TestPushAllOnTheWire(t *testing.T) {
	s := &server{answers: []answerer{says(200, pushedBody)}}
	rows := func(yield func(any, error) bool) {
		_ = yield(struct {
			ID int64 `json:"id"`
		}{math.MaxInt64}, nil) && yield(json.RawMessage("{\"a\" :\n 9007199254740993}"), nil) && yield(map[string]any{"b": "x\ny"}, nil)
	}
	got, err := s.client(t, Retry{}).PushAll(t.Context(), BulkRequest{Source: "a/b", View: "v", TransformOnWrite: new(true), To: ToOnline}, rows)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got.Pushed, pushedWant)
	r := s.sent[0]
	same(t, []string{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header.Get("Content-Type")},
		[]string{"POST", "/v1/push/a%2Fb", "to=online&transform_on_write=true&view=v", "application/x-ndjson"})
	same(t, r.body, "{\"id\":9223372036854775807}\n{\"a\":9007199254740993}\n{\"b\":\"x\\ny\"}\n")
}

func TestPushAllOfNothing(t *testing.T) {
	s := &shelf{}
	if got, err := s.client(t, Retry{}).PushAll(t.Context(), BulkRequest{Source: "s"}, numbered(0)); err != nil || got.NextRow != 0 || s.requests != 0 {
		t.Errorf("%d requests, %+v, %v", s.requests, got, err)
	}
}

// TestPushAllGoesOnWhereItStopped: after a server's word that it wrote a part,
// the rest is sent, and nothing twice.
func TestPushAllGoesOnWhereItStopped(t *testing.T) {
	for _, c := range []struct {
		name string
		code Code
		q    BulkRequest
		ok   bool
	}{
		{"overloaded", CodeOverloaded, BulkRequest{}, true}, // from the next row on nothing was looked at
		{"unavailable, idempotent", CodeUnavailable, BulkRequest{Idempotent: true}, true},
		{"unavailable", CodeUnavailable, BulkRequest{}, false}, // rows from there on may be there
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 1000
				// Three times more failures in a row than are borne at one place.
				s := &shelf{fail: func(request int) (int, func(int) string, int) {
					if request < 12 {
						return 7, failsWith(c.code), 503
					}
					return 0, nil, 0
				}}
				c.q.Source = "s"
				got, err := s.client(t, Retry{}).PushAll(t.Context(), c.q, numbered(n))
				if !c.ok {
					if CodeOf(err) != c.code || got.NextRow != 7 || got.Uncounted != 7 || s.requests != 1 || !strings.Contains(err.Error(), "up to row 7") {
						t.Errorf("%d requests, %+v, %v", s.requests, got, err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				s.inOrder(t, n)
				if got.NextRow != n || got.Uncounted != 12*7 || got.Stored != n-12*7 {
					t.Errorf("the result is %+v", got)
				}
				if last := got.Errors[len(got.Errors)-1].Row; last != n-1 {
					t.Errorf("the last row is listed as %d", last)
				}
			})
		})
	}
}

func TestPushAllGivesUpAtOnePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{fail: func(request int) (int, func(int) string, int) {
			if request < 2 {
				return 10, failsWith(CodeUnavailable), 503
			}
			return 0, failsWith(CodeUnavailable), 503
		}}
		got, err := s.client(t, Retry{Attempts: 3}).PushAll(t.Context(), BulkRequest{Source: "s", Idempotent: true}, numbered(100))
		if CodeOf(err) != CodeUnavailable || got.NextRow != 20 || s.requests != 4 {
			t.Errorf("%d requests, %+v, %v", s.requests, got, err)
		}
	})
}

// TestPushAllAgainstANonsensicalServer: a next row that cannot be is not followed.
func TestPushAllAgainstANonsensicalServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, next := range []int{-1, 101, math.MaxInt} {
			s := &shelf{fail: func(int) (int, func(int) string, int) {
				return 0, func(int) string { return failsWith(CodeUnavailable)(next) }, 503
			}}
			got, err := s.client(t, Retry{}).PushAll(t.Context(), BulkRequest{Source: "s", Idempotent: true}, numbered(100))
			if err == nil || got.NextRow != 0 {
				t.Errorf("next row %d: %+v, %v", next, got, err)
			}
		}
	})
}

func TestPushAllEndsWithItsRows(t *testing.T) {
	errRead := errors.New("the file ends in the middle")
	for _, last := range []struct {
		row  any
		err  error
		want string
	}{
		{nil, errRead, errRead.Error()},
		{map[string]any{"km": math.NaN()}, nil, "rows[25].km cannot be written as JSON"},
		{json.RawMessage("{"), nil, "rows[25] cannot be written as JSON"},
	} {
		s := &shelf{}
		rows := func(yield func(any, error) bool) {
			for row, err := range numbered(25) {
				if !yield(row, err) {
					return
				}
			}
			if yield(last.row, last.err) {
				t.Error("rows were asked for after the error")
			}
		}
		got, err := s.client(t, Retry{}).PushAll(t.Context(), BulkRequest{Source: "s", BatchRows: 10}, rows)
		if err == nil || !strings.Contains(err.Error(), last.want) || got.NextRow != 20 {
			t.Errorf("%+v, %v", got, err)
		}
		s.inOrder(t, 20)
	}
}

func TestPushAllEndsWithItsContext(t *testing.T) {
	s := &server{answers: []answerer{silentServer}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := s.client(t, Retry{}).PushAll(ctx, BulkRequest{Source: "s"}, numbered(5)); !errors.Is(err, context.Canceled) || got.NextRow != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}
