package serving_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"millrace/feature"
	"millrace/serving"
	"millrace/serving/servingtest"
)

func TestPrepare(t *testing.T) {
	svc := newService(t, servingtest.NewStore(), nil)
	read, err := svc.PrepareService("pair")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(read.Names(), " "); got != "trip:fare trip:km trip:per_km backup:fare shop_sales:sold" {
		t.Errorf("outputs: %s", got)
	}
	var columns []string
	for _, c := range read.Columns() {
		columns = append(columns, c.Name+" "+c.Type.String())
	}
	if got := strings.Join(columns, ", "); got != "driver_id int64, backup_id int64, city string, shop_no int64" {
		t.Errorf("columns: %s", got)
	}
	if got := read.Repeated(false); !slices.Equal(got, []string{"fare"}) {
		t.Errorf("short names that occur twice: %v", got)
	}
	mixed := prepare(t, svc, "trip:fare", "pay:earned", "trip:km")
	if got := mixed.ByView(); !slices.Equal(got, []int{0, 2, 1}) {
		t.Errorf("by view: %v", got)
	}
}

func TestUnknownNames(t *testing.T) {
	svc := newService(t, servingtest.NewStore(), nil)
	_, err := svc.PrepareService("etas")
	check := func(err *serving.Error, code serving.Code, suggestion string) {
		t.Helper()
		if err == nil || err.Code != code || err.Details[0].Suggestion != suggestion {
			t.Errorf("%v %+v, not %s with %q", err, err.Details, code, suggestion)
		}
	}
	check(err, serving.CodeUnknownService, "eta")
	_, err = svc.PrepareFeatures([]string{"trpi:fare"})
	check(err, serving.CodeUnknownView, "trip")
	_, err = svc.PrepareFeatures([]string{"trip:per_kn", "nope"})
	check(err, serving.CodeUnknownFeature, "trip:per_km")
	_, err = svc.PrepareFeatures([]string{strings.Repeat("x", 5000)})
	check(err, serving.CodeUnknownView, "")
	if len(err.Message) > 200 {
		t.Errorf("the whole name is said back: %d bytes", len(err.Message))
	}
	_, err = svc.PrepareFeatures(slices.Repeat([]string{"nope"}, 100))
	if len(err.Details) != 10 {
		t.Errorf("%d details", len(err.Details))
	}
}

// Names of a request point into memory that a transport reuses; a compiled
// read outlives it.
func TestReadsKeepNothingOfTheCaller(t *testing.T) {
	svc := newService(t, servingtest.NewStore(), nil)
	for _, names := range [][]string{{"trip:fare"}, {"trip:km", "pay"}} {
		own := make([]string, len(names))
		buffers := make([][]byte, len(names))
		for i, n := range names {
			buffers[i] = []byte(n)
			own[i] = unsafeString(buffers[i])
		}
		before := prepare(t, svc, own...)
		for _, b := range buffers {
			copy(b, "zzzz:zzzzzzzzz")
		}
		after := prepare(t, svc, names...)
		if before != after || after.Outputs()[0].View != "trip" || strings.Contains(strings.Join(after.Names(), " "), "z") {
			t.Errorf("%v became %v", names, after.Names())
		}
	}
}

// A swap changes what is prepared after it; reads prepared before still work.
func TestSwap(t *testing.T) {
	store := servingtest.NewStore()
	svc := newService(t, store, nil)
	old := prepare(t, svc, "trip:fare")
	if err := svc.Swap(serving.Served{Catalog: svc.Catalog()}); err == nil {
		t.Fatal("views without plans are served")
	}
	if old != prepare(t, svc, "trip:fare") {
		t.Error("a swap that failed changed something")
	}
	next := load(t, `
project: rides
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources: [{name: trips, push: {}, fields: [{name: driver_id, type: int64}, {name: tip, type: int64}]}]
views: [{name: trip, entity: driver, source: trips, features: [{name: tip}]}]
`)
	if err := svc.Swap(serving.Served{Catalog: next.Catalog, Plans: next.Plans, OnDemand: next.OnDemand}); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.PrepareFeatures([]string{"trip:fare"}); err == nil || err.Code != serving.CodeUnknownFeature {
		t.Errorf("the old feature: %v", err)
	}
	prepare(t, svc, "trip:tip")
	lookup(t, svc, drivers(old, 1)).Release()
	if svc.Catalog() != next.Catalog {
		t.Error("the old catalog is served")
	}
}

func TestSwapUnderLoad(t *testing.T) {
	store := servingtest.NewStore()
	put(t, store, "trip", "1", 0, `{"fare": 1, "km": 2}`)
	svc, p := newService(t, store, nil), load(t, rides)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			req, resp := new(serving.Request), new(serving.Response)
			for range 100 {
				read, err := svc.PrepareService("eta")
				if err != nil {
					t.Error(err)
					return
				}
				*req = *drivers(read, 1, 2)
				if err := svc.Lookup(context.Background(), req, resp); err != nil {
					t.Error(err)
				} else if v := resp.Value(2, 0); v.Column.Floats[v.Row] != 0.5 {
					t.Errorf("per_km: %g", v.Column.Floats[v.Row])
				}
			}
			resp.Release()
		})
	}
	for range 50 {
		if err := svc.Swap(serving.Served{Catalog: p.Catalog, Plans: p.Plans, OnDemand: p.OnDemand}); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
}

func TestNewRefuses(t *testing.T) {
	p := load(t, rides)
	if _, err := serving.New(serving.Settings{Catalog: p.Catalog, Plans: p.Plans}); err == nil {
		t.Error("no store")
	}
	if _, err := serving.New(serving.Settings{Store: servingtest.NewStore()}); err == nil {
		t.Error("no catalog")
	}
	_, err := serving.New(serving.Settings{Catalog: p.Catalog, Store: servingtest.NewStore()})
	if err == nil || !strings.Contains(err.Error(), "view trip has no plan") {
		t.Errorf("no plans: %v", err)
	}
	lone := &feature.Catalog{Services: []*feature.Service{{Name: "s", Features: []feature.FeatureRef{{View: "v"}}}}}
	_, err = serving.New(serving.Settings{Catalog: lone, Store: servingtest.NewStore()})
	if err == nil || !strings.Contains(err.Error(), "service s: there is no view v") {
		t.Errorf("no view: %v", err)
	}
}

func TestCodesAndNames(t *testing.T) {
	seen := make(map[serving.Code]bool)
	for _, c := range serving.Codes() {
		if seen[c] || c.HTTPStatus() < 200 || (c != serving.CodeOK) != (c.HTTPStatus() >= 400) {
			t.Errorf("code %s: status %d", c, c.HTTPStatus())
		}
		seen[c] = true
	}
	for s := range serving.Statuses {
		if name := serving.Status(s).String(); strings.ToUpper(name) != name || strings.Contains(name, "(") {
			t.Errorf("status %d is called %s", s, name)
		}
	}
	if serving.Status(99).String() != "status(99)" || serving.Origin(99).String() != "origin(99)" {
		t.Error("what is unknown has a name")
	}
}

func TestNearest(t *testing.T) {
	known := []string{"last_fare", "fare_per_km", "tier"}
	for name, want := range map[string]string{
		"last_fair": "last_fare", "lastfare": "last_fare", "LAST_FARE": "last_fare", "teir": "tier",
		"fare_per_mile": "fare_per_km", "x": "", "": "", "status": "",
	} {
		if got := serving.Nearest(name, known); got != want {
			t.Errorf("nearest to %q: %q, not %q", name, got, want)
		}
	}
}
