package serving_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/serving"
	"millrace/serving/servingtest"
)

// A lookup makes one store read per entity and key mapping, naming the needed
// views and columns alone, with each key once.
func TestOneReadPerEntityGroup(t *testing.T) {
	store := servingtest.NewStore()
	svc := newService(t, store, nil)
	read, err := svc.PrepareService("pair")
	if err != nil {
		t.Fatal(err)
	}
	lookup(t, svc, drivers(read, 7, 8, 7, -1, 8)).Release()
	got := make(map[string][]string)
	for _, q := range store.Reads() {
		name := q.Entity
		for _, v := range q.Views {
			name += " " + v.View
			for _, c := range v.Columns {
				name += "." + c.Name
			}
		}
		if _, twice := got[name]; twice {
			name += " again"
		}
		got[name] = q.Keys
	}
	want := map[string][]string{
		"driver trip@1.fare.km":  {"7", "8"},
		"driver trip@1.fare":     {"7", "8"},
		"shop shop_sales@1.sold": {"x|7", "x|8"},
	}
	if len(got) != len(want) {
		t.Fatalf("reads: %v", got)
	}
	for name, keys := range want {
		if !slices.Equal(got[name], keys) {
			t.Errorf("read of %s: keys %v, not %v", name, got[name], keys)
		}
	}
}

func TestNoKeyNoRead(t *testing.T) {
	store := servingtest.NewStore()
	svc := newService(t, store, nil)
	resp := lookup(t, svc, drivers(prepare(t, svc, "trip:fare"), -1, -1))
	if v := resp.Value(0, 1); v.Status != serving.StatusNotFound || v.Column != nil || v.HasTime {
		t.Errorf("value without a key: %+v", v)
	}
	resp.Release()
	resp.Release()
	if reads := store.Reads(); len(reads) > 0 {
		t.Errorf("read for nobody: %v", reads)
	}
}

func TestStatusAndOrigin(t *testing.T) {
	store := servingtest.NewStore()
	for _, view := range []string{"trip", "loose", "told"} {
		put(t, store, view, "1", 2*time.Hour, `{"fare": 3, "km": null}`)
	}
	put(t, store, "pay", "1", time.Hour, `{"earned": 4}`)
	put(t, store, "pay", "2", time.Hour+time.Microsecond, `{"earned": 5}`)
	put(t, store, "pay", "3", -time.Hour, `{"earned": null}`)
	svc := newService(t, store, nil)
	read := prepare(t, svc, "trip", "pay:earned", "loose:fare", "told:fare")
	for _, c := range []struct {
		what   string
		driver int64
		maxAge map[string]time.Duration
		output string
		status serving.Status
		origin serving.Origin
		value  float64
	}{
		{"no TTL", 1, nil, "trip:fare", serving.StatusPresent, serving.OriginStored, 3},
		{"null input of a read feature", 1, nil, "trip:per_km", serving.StatusNull, serving.OriginComputed, 0},
		{"exactly as old as the TTL", 1, nil, "pay:earned", serving.StatusPresent, serving.OriginStored, 4},
		{"a microsecond older", 2, nil, "pay:earned", serving.StatusOutsideMaxAge, serving.OriginDefault, 0.5},
		{"null, from the future", 3, nil, "pay:earned", serving.StatusNull, serving.OriginDefault, 0.5},
		{"not found", 4, nil, "pay:earned", serving.StatusNotFound, serving.OriginDefault, 0.5},
		{"not found, no default", 4, nil, "trip:per_km", serving.StatusNotFound, serving.OriginNone, 0},
		{"TTL ignored", 1, nil, "loose:fare", serving.StatusPresent, serving.OriginStored, 3},
		{"TTL reported", 1, nil, "told:fare", serving.StatusOutsideMaxAge, serving.OriginStored, 3},
		{"max_age where there is no TTL", 1, map[string]time.Duration{"trip": time.Minute}, "trip:fare", serving.StatusOutsideMaxAge, serving.OriginNone, 0},
		{"max_age where the TTL is ignored", 1, map[string]time.Duration{"loose": time.Minute}, "loose:fare", serving.StatusOutsideMaxAge, serving.OriginNone, 0},
		{"max_age beyond the TTL", 2, map[string]time.Duration{"pay": 2 * time.Hour}, "pay:earned", serving.StatusOutsideMaxAge, serving.OriginDefault, 0.5},
		{"the greatest max_age", 1, map[string]time.Duration{"trip": math.MaxInt64}, "trip:fare", serving.StatusPresent, serving.OriginStored, 3},
	} {
		req := drivers(read, c.driver)
		for view, d := range c.maxAge {
			if err := req.SetMaxAge(view, d); err != nil {
				t.Fatal(err)
			}
		}
		resp := lookup(t, svc, req)
		v := resp.Value(slices.Index(read.Names(), c.output), 0)
		got := 0.0
		if v.Column != nil && !v.Column.IsNull(v.Row) {
			got = v.Column.Floats[v.Row]
		}
		if v.Status != c.status || v.Origin != c.origin || got != c.value {
			t.Errorf("%s: %s from %q, %g", c.what, v.Status, v.Origin, got)
		}
		resp.Release()
	}
}

// Whatever is asked, in whatever order and however often, each row gets the
// value of its own key.
func TestEveryRowGetsItsOwnKey(t *testing.T) {
	store := servingtest.NewStore()
	for id := range 5 {
		put(t, store, "trip", string(rune('0'+id)), 0, `{"fare": `+string(rune('0'+id))+`, "km": 2}`)
	}
	svc := newService(t, store, nil)
	names := []string{"trip:fare", "trip:km", "trip:per_km", "pay:earned"}
	rapid.Check(t, func(rt *rapid.T) {
		asked := rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 4, rapid.ID[string]).Draw(rt, "features")
		ids := rapid.SliceOfN(rapid.Int64Range(-1, 6), 0, 20).Draw(rt, "drivers")
		resp := lookup(t, svc, drivers(prepare(t, svc, asked...), ids...))
		defer resp.Release()
		for i, name := range asked {
			for row, id := range ids {
				want, found := map[string]float64{"trip:fare": float64(id), "trip:km": 2, "trip:per_km": float64(id) / 2}[name]
				found = found && id >= 0 && id < 5
				v := resp.Value(i, row)
				if found != (v.Status == serving.StatusPresent) {
					rt.Fatalf("%s of %d: %s", name, id, v.Status)
				}
				if found && v.Column.Floats[v.Row] != want {
					rt.Fatalf("%s of %d: %g", name, id, v.Column.Floats[v.Row])
				}
			}
		}
	})
}

func TestFailures(t *testing.T) {
	store := servingtest.NewStore()
	var told []error
	svc := newService(t, store, func(s *serving.Settings) {
		s.Unavailable = func(err error) bool { return !errors.Is(err, errCorrupt) }
		s.Events.Failed = func(err error) { told = append(told, err) }
	})
	read := prepare(t, svc, "trip:fare")
	for _, c := range []struct {
		fault error
		code  serving.Code
	}{
		{errors.New("dial"), serving.CodeUnavailable},
		{errCorrupt, serving.CodeInternal},
		{context.DeadlineExceeded, serving.CodeDeadlineExceeded},
	} {
		told = nil
		store.Fail(func(context.Context) error { return c.fault })
		err := svc.Lookup(context.Background(), drivers(read, 1), new(serving.Response))
		if err == nil || err.Code != c.code {
			t.Errorf("%v became %v", c.fault, err)
			continue
		}
		if !errors.Is(err, c.fault) || len(told) != 1 || !errors.Is(told[0], c.fault) {
			t.Errorf("%v is lost to logs: %v", c.fault, told)
		}
	}
	told = nil
	ctx, cancel := context.WithCancel(context.Background())
	store.Fail(func(ctx context.Context) error { cancel(); return ctx.Err() })
	if err := svc.Lookup(ctx, drivers(read, 1), new(serving.Response)); err == nil || err.Code != serving.CodeCanceled || told != nil {
		t.Errorf("a caller that went away: %v, logged %v", err, told)
	}
	store.Fail(nil)
	lookup(t, svc, drivers(read, 1)).Release()
}

var errCorrupt = errors.New("row is not of its schema")

func TestOverload(t *testing.T) {
	store := servingtest.NewStore()
	svc := newService(t, store, func(s *serving.Settings) { s.Limits.Concurrency = 2 })
	entered, leave := make(chan struct{}), make(chan struct{})
	store.Fail(func(context.Context) error { entered <- struct{}{}; <-leave; return nil })
	read := prepare(t, svc, "trip:fare")
	var under sync.WaitGroup
	for range 2 {
		under.Go(func() {
			if err := svc.Lookup(context.Background(), drivers(read, 1), new(serving.Response)); err != nil {
				t.Errorf("within the bound: %v", err)
			}
		})
		<-entered
	}
	if err := svc.Lookup(context.Background(), drivers(read, 1), new(serving.Response)); err == nil || err.Code != serving.CodeOverloaded {
		t.Errorf("a third lookup: %v", err)
	}
	close(leave)
	under.Wait()
	store.Fail(nil)
	lookup(t, svc, drivers(read, 1)).Release()
}

func TestRequestsAreChecked(t *testing.T) {
	svc := newService(t, servingtest.NewStore(), func(s *serving.Settings) { s.Limits.MaxEntities, s.Limits.MaxFeatures = 2, 3 })
	read := prepare(t, svc, "trip:fare")
	if err := svc.Lookup(context.Background(), drivers(read, 1, 2, 3), new(serving.Response)); err == nil || err.Code != serving.CodeTooManyEntities {
		t.Errorf("three entities: %v", err)
	}
	req := drivers(read, 1, 2)
	req.Columns[0].Truncate(1)
	if err := svc.Lookup(context.Background(), req, new(serving.Response)); err == nil || err.Code != serving.CodeInvalidRequest {
		t.Errorf("a short column: %v", err)
	}
	for _, names := range [][]string{{"a", "b", "c", "d"}, {"trip", "pay"}} {
		if _, err := svc.PrepareFeatures(names); err == nil || err.Code != serving.CodeTooManyFeatures {
			t.Errorf("%v: %v", names, err)
		}
	}
	if err := req.SetMaxAge("trip", 0); err == nil || err.Code != serving.CodeInvalidRequest {
		t.Errorf("no max_age: %v", err)
	}
}

func TestEvents(t *testing.T) {
	store := servingtest.NewStore()
	put(t, store, "trip", "1", 0, `{"fare": 1, "km": null}`)
	values, read, done := map[serving.Status]int{}, 0, 0
	svc := newService(t, store, func(s *serving.Settings) {
		s.Events = serving.Events{
			Values:      func(st serving.Status, n int) { values[st] += n },
			StoreRead:   func(n int, _ time.Duration) { read += n },
			Done:        func(serving.Code, time.Duration) { done++ },
			Unencodable: func(n int) { done += 10 * n },
		}
	})
	lookup(t, svc, drivers(prepare(t, svc, "trip"), 1, 2, 1)).Release()
	svc.Done(serving.CodeOK, noon)
	svc.Unencodable(2)
	svc.Unencodable(0)
	want := map[serving.Status]int{serving.StatusPresent: 1, serving.StatusNull: 2, serving.StatusNotFound: 3}
	for status, n := range want {
		if values[status] != n {
			t.Errorf("%s: %d values, not %d", status, values[status], n)
		}
	}
	if read != 2 || done != 21 {
		t.Errorf("entities read %d, done %d", read, done)
	}
}

// A key too long to have been written is not found, and not read.
func TestOverlongKey(t *testing.T) {
	store := servingtest.NewStore()
	svc := newService(t, store, nil)
	req := drivers(prepare(t, svc, "shop_sales:sold"), 1)
	req.Columns[0].SetString(0, string(make([]byte, feature.MaxKeyBytes)))
	resp := lookup(t, svc, req)
	defer resp.Release()
	if v := resp.Value(0, 0); v.Status != serving.StatusNotFound || len(store.Reads()) > 0 {
		t.Errorf("%s", v.Status)
	}
}
