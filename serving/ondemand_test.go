package serving_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/serving"
	"millrace/serving/servingtest"
)

const quotes = `
project: rides
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
sources:
  - name: trips
    push: {}
    fields: [{name: driver_id, type: int64}, {name: fare, type: float64}, {name: km, type: float64}, {name: tags, type: "list<string>"}]
  - {name: data, request: {}, fields: [{name: pickup_km, type: float64}, {name: driver_id, type: int64, optional: true}]}
views:
  - {name: trip, entity: driver, source: trips, ttl: 1h, features: [{name: fare, default: 7}, {name: km}, {name: tags}]}
  - {name: other, entity: driver, source: trips, features: [{name: fare}]}
on_demand_views:
  - name: quote
    sources: [trip, other, data]
    features:
      - {name: expected, expr: trip.fare * pickup_km}
      - {name: gap, expr: "epoch(event_time(trip)) - epoch(event_time(other))"}
      - {name: tags, expr: trip.tags}
      - {name: both, expr: trip.km + other.fare}
      - {name: own, expr: driver_id}
  - {name: bare, entity: driver, sources: [data], features: [{name: far, expr: pickup_km > 5}]}
services:
  - name: pair
    features:
      - "quote:expected"
      - {view: quote, as: backup, keys: {driver_id: backup_id}, features: [expected]}
`

func newQuotes(t testing.TB, store serving.Store, events serving.Events) *serving.Service {
	t.Helper()
	p := load(t, quotes)
	svc, err := serving.New(serving.Settings{
		Catalog: p.Catalog, Plans: p.Plans, OnDemand: p.OnDemand, Store: store, Clock: func() time.Time { return noon }, Events: events,
	})
	if err != nil {
		t.Fatal(err)
	}
	return svc
}

// kms is request data for a request of drivers.
func kms(req *serving.Request, values ...float64) *serving.Request {
	for i, f := range req.Read().Context() {
		c := &req.Context[i]
		c.Resize(req.Rows)
		for row := range values {
			if f.Name == "pickup_km" {
				c.SetFloat(row, values[row])
			}
		}
	}
	return req
}

// What on-demand views need is part of the one read of its entity, and nothing
// beyond that is read.
func TestOnDemandViewsShareTheReadOfTheirEntity(t *testing.T) {
	store := servingtest.NewStore()
	svc := newQuotes(t, store, serving.Events{})
	for _, c := range []struct {
		features, reads, columns, context string
	}{
		{"trip:km quote:expected", "trip@1.km.fare", "driver_id", "pickup_km"},
		{"quote:both trip:km", "trip@1.km other@1.fare", "driver_id", ""},
		{"quote:gap", "trip@1 other@1", "driver_id", ""},
		{"bare", "", "driver_id", "pickup_km"},
		{"quote:own", "", "driver_id", "driver_id?"},
		{"pair", "trip@1.fare; trip@1.fare", "driver_id backup_id", "pickup_km"},
	} {
		read, err := svc.PrepareFeatures(strings.Fields(c.features))
		if c.features == "pair" {
			read, err = svc.PrepareService("pair")
		}
		if err != nil {
			t.Fatal(err)
		}
		req := drivers(read, 1, 2, 1)
		lookup(t, svc, kms(req, 1, 2, 3)).Release()
		var reads, columns, context []string
		for _, q := range store.Reads() {
			var views []string
			for _, v := range q.Views {
				text := v.View
				for _, col := range v.Columns {
					text += "." + col.Name
				}
				views = append(views, text)
			}
			reads = append(reads, strings.Join(views, " "))
			if !slices.Equal(q.Keys, []string{"1", "2"}) {
				t.Errorf("%s: keys %v", c.features, q.Keys)
			}
		}
		for _, f := range read.Columns() {
			columns = append(columns, f.Name)
		}
		for _, f := range read.Context() {
			context = append(context, f.Name+map[bool]string{true: "?"}[f.Optional])
		}
		got := fmt.Sprint(strings.Join(reads, "; "), "|", strings.Join(columns, " "), "|", strings.Join(context, " "))
		if want := fmt.Sprint(c.reads, "|", c.columns, "|", c.context); got != want {
			t.Errorf("%s needs %s, not %s", c.features, got, want)
		}
	}
}

// Row by row, whatever was asked before: a state is pooled between requests of
// other sizes, and rows and distinct keys may coincide or not.
func TestOnDemandRowsAreTheirOwn(t *testing.T) {
	store := servingtest.NewStore()
	for id := range 4 {
		key := fmt.Sprint(id)
		put(t, store, "trip", key, time.Duration(id)*25*time.Minute, fmt.Sprintf(`{"fare": %d, "km": 1, "tags": ["t%d"]}`, id+1, id))
	}
	svc := newQuotes(t, store, serving.Events{})
	read := prepare(t, svc, "quote:tags", "quote:expected", "trip:fare")
	rapid.Check(t, func(rt *rapid.T) {
		ids := rapid.SliceOfN(rapid.Int64Range(-1, 5), 0, 12).Draw(rt, "drivers")
		far := rapid.SliceOfN(rapid.Float64Range(0, 9), len(ids), len(ids)).Draw(rt, "kms")
		resp := lookup(t, svc, kms(drivers(read, ids...), far...))
		defer resp.Release()
		for row, id := range ids {
			fare, status, tag := 7.0, serving.StatusNull, "" // default: unknown, expired after 1 h
			if id >= 0 && id <= 2 {
				fare, status, tag = float64(id+1), serving.StatusPresent, fmt.Sprintf("t%d", id)
			}
			v := resp.Value(1, row)
			if v.Status != serving.StatusPresent || v.Column.Floats[v.Row] != fare*far[row] || v.HasTime != (id >= 0 && id < 4) {
				rt.Fatalf("row %d of %d: %+v", row, id, v)
			}
			v = resp.Value(0, row)
			if v.Status != status {
				rt.Fatalf("tags of row %d of %d: %s", row, id, v.Status)
			}
			if tag != "" && v.Column.Elems.Strings[v.Column.Spans[v.Row].Start] != tag {
				rt.Fatalf("tags of row %d of %d are another's", row, id)
			}
		}
	})
}

// An age is that of the oldest row that a value is computed from.
func TestOnDemandTimes(t *testing.T) {
	store := servingtest.NewStore()
	put(t, store, "trip", "1", time.Minute, `{"fare": 2, "km": 3}`)
	put(t, store, "other", "1", 2*time.Minute, `{"fare": 4}`)
	counts := make(map[serving.Status]int)
	svc := newQuotes(t, store, serving.Events{Values: func(s serving.Status, n int) { counts[s] += n }})
	resp := lookup(t, svc, kms(drivers(prepare(t, svc, "quote:expected", "quote:both", "quote:gap", "bare"), 1, 1, 2), 1, 9, 1))
	defer resp.Release()
	for output, want := range []time.Duration{time.Minute, 2 * time.Minute, 2 * time.Minute, 0} {
		v := resp.Value(output, 0)
		if v.HasTime != (want != 0) || v.HasTime && v.EventMicros != noon.Add(-want).UnixMicro() {
			t.Errorf("output %d: %+v", output, v)
		}
	}
	if v := resp.Value(2, 0); v.Column.Floats[v.Row] != 60 || v.Origin != serving.OriginComputed {
		t.Errorf("gap %+v", v)
	}
	if v := resp.Value(3, 1); !v.Column.Bools[v.Row] {
		t.Errorf("row 1 is not far")
	}
	if counts[serving.StatusPresent] != 10 || counts[serving.StatusNull] != 2 {
		t.Errorf("counted %v", counts)
	}
}

func TestRequestDataIsChecked(t *testing.T) {
	svc := newQuotes(t, servingtest.NewStore(), serving.Events{})
	req := drivers(prepare(t, svc, "quote:expected"), 1, 2)
	err := svc.Lookup(t.Context(), req, new(serving.Response))
	if err == nil || err.Code != serving.CodeInvalidRequest || err.Details[0].Field != "context.pickup_km" {
		t.Errorf("no data: %v", err)
	}
	if !svc.IsRequestField("pickup_km") || svc.IsRequestField("fare") {
		t.Error("fields of request sources are not known")
	}
	p := load(t, quotes)
	_, fault := serving.New(serving.Settings{Catalog: p.Catalog, Plans: p.Plans, Store: servingtest.NewStore()})
	if fault == nil || !strings.Contains(fault.Error(), "on-demand view quote has no plan") {
		t.Errorf("no plans: %v", fault)
	}
}
