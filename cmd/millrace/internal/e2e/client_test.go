package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/client"
)

// clientDefinitions has a feature of every type, and trips that are counted.
const clientDefinitions = `
project: PROJECT
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
sources:
  - name: given
    push: {}
    fields:
      - {name: driver_id, type: int64}
      - {name: i, type: int64}
      - {name: i32, type: int32}
      - {name: f, type: float64}
      - {name: f32, type: float32}
      - {name: s, type: string}
      - {name: b, type: bool}
      - {name: t, type: timestamp}
      - {name: y, type: bytes}
      - {name: j, type: json}
      - {name: l, type: list<int64>}
      - {name: event_timestamp, type: timestamp}
    event_time: event_timestamp
  - name: events
    kafka: {topic: TOPIC, start: earliest}
    push: true
    format: json
    fields:
      - {name: driver_id, type: int64}
      - {name: fare, type: float64}
      - {name: trip_id, type: string}
      - {name: at, type: timestamp}
    event_time: at
    event_id: trip_id
  - name: request
    request: {}
    fields: [{name: km, type: float64}]
views:
  - name: facts
    entity: driver
    source: given
    ttl: 1h
    features: [{name: i}, {name: i32}, {name: f}, {name: f32}, {name: s}, {name: b}, {name: t}, {name: y}, {name: j}, {name: l}, {name: none, expr: s, default: NONE}]
  - name: last_trip
    entity: driver
    source: events
    where: fare > 0
    features: [{name: fare}, {name: double, expr: fare * 2, at: read}]
  - name: trips
    entity: driver
    source: events
    where: fare > 0
    features:
      - {name: n, agg: count, window: 24h}
on_demand_views:
  - name: quote
    sources: [last_trip, request]
    features: [{name: fare, expr: last_trip.fare * km}]
services:
  - name: everything
    features: [facts, last_trip, trips, quote]
`

// clientStack starts a project and returns a client of it.
func clientStack(t *testing.T, name string) (*stack, *client.Client) {
	t.Helper()
	s := newStack(t, name)
	s.write(clientDefinitions)
	s.up(1)
	c, err := client.New("http://" + s.http)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return s, c
}

// TestClientValues: what a client pushes is what it looks up, of every type and
// at the edges of types.
func TestClientValues(t *testing.T) {
	_, c := clientStack(t, "client_values")
	at := time.Now().UTC().Truncate(time.Microsecond).Add(-time.Minute)
	when := time.Date(1969, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	pushed, err := c.Push(t.Context(), client.PushRequest{Source: "given", Rows: client.Rows{
		{
			"driver_id": int64(math.MaxInt64), "i": int64(math.MinInt64), "i32": math.MinInt32, "f": math.SmallestNonzeroFloat64, "f32": float32(0.1),
			"s": "\"<é\u2028\U0001f600", "b": true, "t": when, "y": []byte{0, 0xff}, "j": map[string]any{"a": []int{1}}, "l": []int64{1<<53 + 1, -1},
			"event_timestamp": at,
		},
		{"driver_id": 2, "i": nil, "event_timestamp": at},
		{"driver_id": 3, "s": "old", "event_timestamp": at.Add(-2 * time.Hour)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if pushed.Stored != 3 || pushed.Views["facts"].Stored != 3 {
		t.Errorf("pushed: %+v", pushed)
	}
	a, err := c.Lookup(t.Context(), client.LookupRequest{
		Features: []string{"facts"}, Columns: client.Columns{"driver_id": []int64{math.MaxInt64, 2, 3, 4}},
		Include: []client.Include{client.IncludeStatus, client.IncludeEventTime, client.IncludeAge, client.IncludeOrigin, client.IncludeComplete},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &a.Rows[0]
	for feature, want := range map[string]any{
		"i": int64(math.MinInt64), "i32": int32(math.MinInt32), "f": math.SmallestNonzeroFloat64, "f32": float32(0.1), "s": "\"<é\u2028\U0001f600",
		"b": true, "t": when, "y": []byte{0, 0xff}, "j": map[string]any{"a": []any{1.0}}, "l": []int64{1<<53 + 1, -1}, "none": "\"<é\u2028\U0001f600",
	} {
		v := r.Get("facts:" + feature)
		got := reflect.New(reflect.TypeOf(want))
		if err := v.Decode(got.Interface()); err != nil || !reflect.DeepEqual(got.Elem().Interface(), want) {
			t.Errorf("%s is %v (%s), %v; want %v", feature, got.Elem(), v, err, want)
		}
		if v.Status != client.StatusPresent || v.Origin != client.OriginStored || !v.EventTime.Equal(at) || !v.HasAge || v.Age < time.Minute {
			t.Errorf("%s: %+v", feature, v)
		}
	}
	if key, err := r.Key("driver_id").Int64(); err != nil || key != math.MaxInt64 {
		t.Errorf("the key is %d, %v", key, err)
	}
	for row, want := range []client.Status{1: client.StatusNullValue, 2: client.StatusOutsideMaxAge, 3: client.StatusNotFound} {
		if v := a.Rows[row].Get("facts:i"); row > 0 && (v.Status != want || !v.IsNull()) {
			t.Errorf("row %d: %s is %s, want %s", row, v, v.Status, want)
		}
	}
	if v := a.Rows[3].Get("facts:none"); v.Origin != client.OriginDefault || v.String() != `"NONE"` {
		t.Errorf("a default is %s of %q", v, v.Origin)
	}
}

// TestClientPush: every way to push, and what is served after each.
func TestClientPush(t *testing.T) {
	s, c := clientStack(t, "client_push")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	trip := func(driver int64, id string, fare any) map[string]any {
		return map[string]any{"driver_id": driver, "trip_id": id, "fare": fare, "at": time.Now()}
	}
	// Windowed: answered when the lanes have counted it.
	pushed, err := c.Push(ctx, client.PushRequest{Source: "events", Rows: client.Rows{trip(1, "a", 12.5), trip(1, "b", -1)}, Idempotent: true})
	if err != nil {
		t.Fatal(err)
	}
	if pushed.Stored != 1 || pushed.Filtered != 1 || pushed.Views["trips"].Filtered != 1 {
		t.Errorf("synchronous: %+v", pushed)
	}
	s.served(c, 1, map[string]string{"last_trip:fare": "12.5", "last_trip:double": "25", "trips:n": "1", "quote:fare": "50"})

	// Bad rows: all or nothing, or alone.
	bad := client.PushRequest{Source: "events", Rows: client.Rows{trip(2, "c", 8), trip(2, "d", "eight")}}
	_, err = c.Push(ctx, bad)
	e, ok := errors.AsType[*client.Error](err)
	if !ok || e.Code != client.CodeInvalidRows || len(e.Details) == 0 || e.Details[0].Field != "rows[1]" {
		t.Errorf("bad rows: %v", err)
	}
	s.served(c, 2, map[string]string{"trips:n": "0", "last_trip:fare": "null"})
	bad.RejectRows = true
	if pushed, err = c.Push(ctx, bad); err != nil || pushed.Stored != 1 || pushed.Rejected != 1 || pushed.Errors[0].Row != 1 {
		t.Errorf("bad rows alone: %+v, %v", pushed, err)
	}
	s.served(c, 2, map[string]string{"trips:n": "1", "last_trip:fare": "8"})

	// Asynchronous, three times over: an event id counts once.
	for range 3 {
		r, err := c.PushAsync(ctx, client.PushRequest{Source: "events", Rows: client.Rows{trip(3, "e", 7)}})
		if err != nil {
			t.Fatal(err)
		}
		st, err := c.WaitReceipt(ctx, r.ID)
		if err != nil || st.State != client.StateDone || st.Rows != 1 || st.Finished != 1 || r.Accepted != 1 {
			t.Fatalf("receipt: %+v, %+v, %v", r, st, err)
		}
	}
	s.served(c, 3, map[string]string{"trips:n": "1", "last_trip:fare": "7"})

	// Finished rows are as they are, and nothing is counted.
	if _, err := c.Push(ctx, client.PushRequest{Source: "events", View: "last_trip", TransformOnWrite: new(false), Rows: client.Rows{
		{"driver_id": 4, "event_timestamp": time.Now(), "fare": -5},
	}}); err != nil {
		t.Fatal(err)
	}
	s.served(c, 4, map[string]string{"trips:n": "0", "last_trip:fare": "-5"})

	s.pushMany(ctx, c)
	s.refusals(ctx, c)
}

// pushMany streams rows, of which some are bad.
func (s *stack) pushMany(ctx context.Context, c *client.Client) {
	s.t.Helper()
	const n = 3000
	got, err := c.PushAll(ctx, client.BulkRequest{Source: "given", Idempotent: true}, func(yield func(any, error) bool) {
		for i := range n {
			row := map[string]any{"driver_id": 10_000 + i, "i": i, "event_timestamp": time.Now()}
			if i%1000 == 999 {
				row["i"] = "many"
			}
			if !yield(row, nil) {
				return
			}
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	var rows []int
	for _, e := range got.Errors {
		rows = append(rows, e.Row)
	}
	if got.Stored != n-3 || got.Rejected != 3 || got.NextRow != n || got.Views["facts"].Stored != n-3 || !slices.Equal(rows, []int{999, 1999, 2999}) {
		s.t.Errorf("bulk: %+v", got)
	}
	s.served(c, 10_000+n-2, map[string]string{"facts:i": fmt.Sprint(n - 2)})
	s.served(c, 10_000+n-1, map[string]string{"facts:i": "null"})
}

// refusals: the server's codes are those that the client has names for.
func (s *stack) refusals(ctx context.Context, c *client.Client) {
	s.t.Helper()
	look := func(q client.LookupRequest) error { _, err := c.Lookup(ctx, q); return err }
	push := func(q client.PushRequest) error { _, err := c.Push(ctx, q); return err }
	one := client.Rows{{"driver_id": 1}}
	_, async := c.PushAsync(ctx, client.PushRequest{Source: "given", Rows: one})
	_, receipt := c.Receipt(ctx, "no-receipt")
	_, bulk := c.PushAll(ctx, client.BulkRequest{Source: "give"}, func(yield func(any, error) bool) { yield(one[0], nil) })
	for _, r := range []struct {
		err  error
		code client.Code
		near string
	}{
		{look(client.LookupRequest{Service: "everythin", Entities: one}), client.CodeUnknownService, "everything"},
		{look(client.LookupRequest{Features: []string{"facts:ii"}, Entities: one}), client.CodeUnknownFeature, "facts:i"},
		{look(client.LookupRequest{Features: []string{"fact:i"}, Entities: one}), client.CodeUnknownView, ""},
		{look(client.LookupRequest{Features: []string{"facts"}, Entities: client.Rows{{"driver": 1}}}), client.CodeMissingEntity, ""},
		{look(client.LookupRequest{Features: []string{"quote"}, Entities: one}), client.CodeMissingContext, ""},
		{look(client.LookupRequest{Features: []string{"facts"}, Entities: client.Rows{{"driver_id": "x"}}}), client.CodeInvalidRequest, ""},
		{look(client.LookupRequest{Features: []string{"facts"}, Columns: client.Columns{"driver_id": make([]int, 1001)}}), client.CodeTooManyEntities, ""},
		{push(client.PushRequest{Source: "event", Rows: one}), client.CodeUnknownSource, "events"},
		{push(client.PushRequest{Source: "events", View: "trip", Rows: one}), client.CodeUnknownView, ""},
		{push(client.PushRequest{Source: "given", Rows: one, To: client.ToOffline}), client.CodeNotPushable, ""},
		{push(client.PushRequest{Source: "given", Rows: one, To: "elsewhere"}), client.CodeInvalidRequest, ""},
		{push(client.PushRequest{Source: "given", Rows: client.Rows{{"driver_id": 1, "s": strings.Repeat("x", 5<<20)}}}), client.CodeTooLarge, ""},
		{async, client.CodeNotPushable, ""},
		{receipt, client.CodeNotFound, ""},
		{bulk, client.CodeUnknownSource, "given"},
	} {
		e, ok := errors.AsType[*client.Error](r.err)
		if !ok || e.Code != r.code {
			s.t.Errorf("want %s: %v", r.code, r.err)
			continue
		}
		if r.near != "" && (len(e.Details) == 0 || e.Details[0].Suggestion != r.near) {
			s.t.Errorf("want the suggestion %s: %+v", r.near, e)
		}
	}
}

// served checks values of a driver, which a push has made readable already.
func (s *stack) served(c *client.Client, driver int64, want map[string]string) {
	s.t.Helper()
	a, err := c.Lookup(s.t.Context(), client.LookupRequest{
		Service: "everything", Entities: client.Rows{{"driver_id": driver}}, Context: map[string]any{"km": 4}, Include: []client.Include{client.IncludeStatus},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	for feature, text := range want {
		if v := a.Rows[0].Get(feature); v.String() != text {
			s.t.Errorf("%s of driver %d is %s (%s), want %s", feature, driver, v, v.Status, text)
		}
	}
}
