package scylla

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/datastax/go-cassandra-native-protocol/message"
	"github.com/datastax/go-cassandra-native-protocol/primitive"

	"millrace/sinks"
)

func someRows(n int) []sinks.Row {
	rows := make([]sinks.Row, n)
	for i := range rows {
		rows[i] = sinks.Row{Entity: "e", Key: fmt.Sprint(i), View: "v@1", Stamp: int64(i), Value: []byte("value")}
	}
	return rows
}

// recorder keeps what reached the database.
type recorder struct {
	mu   sync.Mutex
	seen []request
}

func (r *recorder) answer(q request) message.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, q)
	return nil
}

func TestViewsOfOneKeyGoOutTogetherWithTheirOwnStamps(t *testing.T) {
	f, rec := newFake(t), &recorder{}
	s := f.open(t)
	f.answerWith(rec.answer)
	rows := []sinks.Row{
		{Entity: "e", Key: "1", View: "a@1", Stamp: 5, Value: []byte("a1")},
		{Entity: "e", Key: "2", View: "a@1", Stamp: 6, Value: []byte("a2")},
		{Entity: "e", Key: "1", View: "b@1", Stamp: -7, Value: []byte("b1"), Expire: time.Second + 1},
		{Entity: "f", Key: "1", View: "a@1", Stamp: 8, Value: []byte("f1")},
	}
	if err := s.Write(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rec.seen {
		var parts []string
		for i, v := range r.values {
			part := fmt.Sprintf("%s/%s/%s=%s@%d", v[0], v[1], v[2], v[3], int64(binary.BigEndian.Uint64(v[4])))
			if r.statements[i] == upsertExpires {
				part += fmt.Sprintf(" for %ds", binary.BigEndian.Uint32(v[5]))
			}
			parts = append(parts, part)
		}
		got = append(got, strings.Join(parts, " + "))
	}
	slices.Sort(got)
	want := []string{"e/1/a@1=a1@5 + e/1/b@1=b1@-7 for 2s", "e/2/a@1=a2@6", "f/1/a@1=f1@8"}
	if !slices.Equal(got, want) {
		t.Errorf("sent\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestPlanKeepsMutationsBounded(t *testing.T) {
	var rows []sinks.Row
	for i := range 3 * maxBatchRows {
		rows = append(rows, sinks.Row{Entity: "e", Key: "k", View: fmt.Sprint("v", i), Value: []byte("x")})
	}
	for i := range 3 {
		rows = append(rows, sinks.Row{Entity: "e", Key: "large", View: fmt.Sprint("v", i), Value: make([]byte, maxBatchBytes)})
	}
	w := writer{rows: rows}
	w.plan()
	if len(w.requests) != 6 {
		t.Errorf("%d requests, want 3 of %d rows and 3 of one", len(w.requests), maxBatchRows)
	}
	seen := make([]int, len(rows))
	for _, r := range w.requests {
		for i := r.from; i < r.to; i++ {
			seen[w.order[i]]++
		}
	}
	if slices.ContainsFunc(seen, func(n int) bool { return n != 1 }) {
		t.Errorf("rows are not each in one request: %v", seen)
	}
}

func TestOverloadIsRepeatedWithFewerRequestsAtOnce(t *testing.T) {
	f := newFake(t)
	s := f.open(t, func(set *Settings) { set.MaxInFlight = 64 })
	var refused, stored atomic.Int64
	f.answerWith(func(request) message.Message {
		if refused.Add(1) <= 40 {
			return &message.Overloaded{ErrorMessage: "too busy"}
		}
		stored.Add(1)
		return nil
	})
	if err := s.Write(t.Context(), someRows(200)); err != nil {
		t.Fatal(err)
	}
	if stored.Load() != 200 {
		t.Errorf("%d rows stored, want 200", stored.Load())
	}
	if p := s.limit.places(); p > 48 {
		t.Errorf("%d places after an overload of 64", p)
	}
}

func TestPassingFaultsAreRepeated(t *testing.T) {
	for name, fault := range map[string]message.Message{
		"write timeout": &message.WriteTimeout{WriteType: primitive.WriteTypeSimple, Consistency: primitive.ConsistencyLevelOne},
		"unavailable":   &message.Unavailable{Consistency: primitive.ConsistencyLevelOne, Required: 2, Alive: 1},
		"bootstrapping": &message.IsBootstrapping{},
		"server error":  &message.ServerError{ErrorMessage: "oops"},
		"write failure": &message.WriteFailure{WriteType: primitive.WriteTypeSimple, Consistency: primitive.ConsistencyLevelOne},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			s := f.open(t)
			var asked atomic.Int64
			f.answerWith(func(request) message.Message {
				if asked.Add(1) <= 2 {
					return fault
				}
				return nil
			})
			if err := s.Write(t.Context(), someRows(1)); err != nil || asked.Load() != 3 {
				t.Errorf("Write = %v after %d requests, want success at the third", err, asked.Load())
			}
		})
	}
}

// TestEveryAnswerHasItsOutcome reads errors as the driver makes them of the
// database's answers, not as its documentation names them.
func TestEveryAnswerHasItsOutcome(t *testing.T) {
	f := newFake(t)
	s := f.open(t)
	const one = primitive.ConsistencyLevelOne
	for _, c := range []struct {
		answer message.Message
		want   outcome
	}{
		{nil, outcomeDone},
		{&message.Overloaded{}, outcomeOverload},
		{&message.WriteTimeout{Consistency: one, WriteType: primitive.WriteTypeSimple}, outcomeOverload},
		{&message.ReadTimeout{Consistency: one}, outcomeOverload},
		{&message.Unavailable{Consistency: one}, outcomePassing},
		{&message.IsBootstrapping{}, outcomePassing},
		{&message.ServerError{}, outcomePassing},
		{&message.TruncateError{}, outcomePassing},
		{&message.ReadFailure{Consistency: one}, outcomePassing},
		{&message.WriteFailure{Consistency: one, WriteType: primitive.WriteTypeSimple}, outcomePassing},
		{&message.Invalid{}, outcomePermanent},
		{&message.SyntaxError{}, outcomePermanent},
		{&message.Unauthorized{}, outcomePermanent},
		{&message.AuthenticationError{}, outcomePermanent},
		{&message.ConfigError{}, outcomePermanent},
		{&message.ProtocolError{}, outcomePermanent},
		{&message.AlreadyExists{}, outcomePermanent},
		{&message.FunctionFailure{}, outcomePermanent},
	} {
		f.answerWith(func(request) message.Message { return c.answer })
		together := []sinks.Row{{Entity: "e", Key: "k", View: "a@1"}, {Entity: "e", Key: "k", View: "b@1"}}
		for kind, rows := range map[string][]sinks.Row{"row": someRows(1), "batch": together} {
			w := writer{store: s, rows: rows}
			w.plan()
			err := w.send(t.Context(), 0)
			if got := outcomeOf(err); got != c.want {
				t.Errorf("%T to a %s: outcome %d of %v, want %d", c.answer, kind, got, err, c.want)
			}
			if got := outcomeOf(fmt.Errorf("wrapped: %w", err)); err != nil && got != c.want {
				t.Errorf("%T to a %s, wrapped: outcome %d, want %d", c.answer, kind, got, c.want)
			}
		}
	}
}

func TestWriteGivesUpAfterItsTime(t *testing.T) {
	f := newFake(t)
	s := f.open(t, func(set *Settings) { set.RetryFor = 100 * time.Millisecond })
	f.answerWith(func(request) message.Message { return &message.Overloaded{ErrorMessage: "too busy"} })
	began := time.Now()
	err := s.Write(t.Context(), someRows(20))
	if !errors.Is(err, sinks.ErrUnavailable) || !strings.Contains(err.Error(), "too busy") {
		t.Errorf("Write = %v, want ErrUnavailable with the database's words", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("gave up after %v", took)
	}
	if s.limit.places() < 1 || s.limit.mu.used != 0 {
		t.Errorf("%d places, %d used afterwards", s.limit.places(), s.limit.mu.used)
	}
}

func TestRefusalIsReturnedAtOnceAndIsNotUnavailable(t *testing.T) {
	f := newFake(t)
	s := f.open(t)
	var asked atomic.Int64
	f.answerWith(func(r request) message.Message {
		if string(r.values[0][1]) == "7" {
			asked.Add(1)
			return &message.Invalid{ErrorMessage: "Mutation of 33554432 bytes is too large"}
		}
		return nil
	})
	err := s.Write(t.Context(), someRows(20))
	if err == nil || errors.Is(err, sinks.ErrUnavailable) || !strings.Contains(err.Error(), "too large") {
		t.Errorf("Write = %v, want the refusal", err)
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
}

func TestSilenceIsATimeoutAndAnOverload(t *testing.T) {
	f := newFake(t)
	s := f.open(t, func(set *Settings) {
		set.Timeout, set.RetryFor, set.MaxInFlight = 100*time.Millisecond, 50*time.Millisecond, 8
	})
	if err := s.Write(t.Context(), someRows(1)); err != nil { // so that the statement is known
		t.Fatal(err)
	}
	f.answerWith(func(request) message.Message {
		<-t.Context().Done()
		return nil
	})
	err := s.Write(t.Context(), someRows(2))
	if !errors.Is(err, sinks.ErrUnavailable) {
		t.Errorf("Write = %v, want ErrUnavailable", err)
	}
	if p := s.limit.places(); p >= 8 {
		t.Errorf("%d places after timeouts", p)
	}
}

func TestWriteEndsWithItsContext(t *testing.T) {
	f := newFake(t)
	s := f.open(t, func(set *Settings) { set.MaxInFlight = 2 })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(patience, cancel)
	f.answerWith(func(request) message.Message {
		cancel()
		<-t.Context().Done()
		return nil
	})
	if err := s.Write(ctx, someRows(50)); !errors.Is(err, context.Canceled) {
		t.Errorf("Write = %v, want context.Canceled", err)
	}
	if p := s.limit.places(); p != 2 {
		t.Errorf("%d places: a caller that left was taken for an overload", p)
	}
}

func TestErrorsNameNoKeysOrValues(t *testing.T) {
	f := newFake(t)
	s := f.open(t, func(set *Settings) { set.RetryFor = time.Millisecond })
	secret := sinks.Row{Entity: "e", Key: "alice@example.org", View: "v@1", Value: []byte("hunter2")}
	for _, fault := range []message.Message{&message.Overloaded{}, &message.Invalid{}} {
		f.answerWith(func(request) message.Message { return fault })
		err := s.Write(t.Context(), []sinks.Row{secret})
		if err == nil || strings.Contains(err.Error(), "alice") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Write = %v", err)
		}
	}
}

func TestSecondsOfAnExpiry(t *testing.T) {
	for d, want := range map[time.Duration]int{
		0: 0, -1: 0, 1: 1, time.Second: 1, time.Second + 1: 2, maxTTL: 630_720_000, maxTTL + 1: 0, math.MaxInt64: 0,
	} {
		if got := seconds(d); got != want {
			t.Errorf("seconds(%v) = %d, want %d", d, got, want)
		}
	}
}

func TestLetterTextIsMadeValid(t *testing.T) {
	f, rec := newFake(t), &recorder{}
	s := f.open(t)
	f.answerWith(rec.answer)
	l := sinks.Letter{Message: "bad \xff byte", Topic: "t\xff"}
	if err := s.Put(t.Context(), []sinks.Letter{l}); err != nil {
		t.Fatal(err)
	}
	if len(rec.seen) != 1 {
		t.Fatalf("%d requests for one letter", len(rec.seen))
	}
	values := rec.seen[0].values[0]
	for at, want := range map[int]string{6: "t\ufffd", 11: "bad \ufffd byte"} {
		if got := string(values[at]); got != want {
			t.Errorf("value %d is %q, want %q", at, got, want)
		}
	}
}

func TestOpenNamesWhatIsMissing(t *testing.T) {
	f := newFake(t)
	f.missing[fakeKeyspace+".deadletters"] = true
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := Open(ctx, f.settings())
	if err == nil {
		_ = s.Close()
	}
	if !errors.Is(err, ErrNotCreated) || !strings.Contains(err.Error(), "deadletters") || strings.Contains(err.Error(), "latest") {
		t.Errorf("Open = %v", err)
	}
}
