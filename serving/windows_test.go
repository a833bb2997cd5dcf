package serving_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/serving"
	"millrace/serving/servingtest"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/transforms"
	"millrace/transforms/window"
)

const counted = `
project: rides
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
sources:
  - {name: trips, push: {}, fields: [{name: driver_id, type: int64}, {name: n, type: int64}]}
views:
  - name: trip
    entity: driver
    source: trips
    features:
      - {name: last, expr: n}
      - {name: count, agg: count, windows: [1h, 2h, 1d], hop: 1m}
      - {name: sum, agg: sum, of: n, windows: [1h, 2h], hop: 15m}
  - {name: alone, entity: driver, source: trips, features: [{name: sum, agg: sum, of: n, window: unlimited}]}
`

func newCounted(t testing.TB, store serving.Store, tiles serving.Tiles, change func(*serving.Settings)) (*serving.Service, *definition.Project) {
	t.Helper()
	p := load(t, counted)
	s := serving.Settings{Catalog: p.Catalog, Plans: p.Plans, OnDemand: p.OnDemand, Store: store, Tiles: tiles, Clock: func() time.Time { return noon }}
	if change != nil {
		change(&s)
	}
	svc, err := serving.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return svc, p
}

func count(t testing.TB, s *servingtest.Store, p *transforms.Plan, partition int32, ago time.Duration, fields string) {
	t.Helper()
	if err := s.Count(p, partition, noon.Add(-ago), fields); err != nil {
		t.Fatal(err)
	}
}

// Windows of a view share what is read of a hop, views what is read of an
// entity; a row is read only for what is made of it.
func TestWhatIsReadOfAStoreForWindows(t *testing.T) {
	for name, c := range map[string]struct {
		features []string
		rows     int
		ranges   []string
	}{
		"a stored feature":         {[]string{"trip:last"}, 1, nil},
		"windows of a hop":         {[]string{"trip:count_1h", "trip:count_1d", "trip:count_2h"}, 0, []string{"trip@1 60 24h1m0s"}},
		"windows of two hops":      {[]string{"trip:count_1h", "trip:sum_1h"}, 0, []string{"trip@1 60 1h1m0s", "trip@1 900 1h15m0s"}},
		"both, and a second view":  {[]string{"trip:sum_2h", "trip:last", "alone:sum"}, 1, []string{"trip@1 900 2h15m0s", "alone@1 0 all"}},
		"only the second, of many": {[]string{"alone"}, 0, []string{"alone@1 0 all"}},
	} {
		t.Run(name, func(t *testing.T) {
			store := servingtest.NewStore()
			svc, _ := newCounted(t, store, store, nil)
			resp := lookup(t, svc, drivers(prepare(t, svc, c.features...), 1, 2, 1))
			defer resp.Release()
			if got := len(store.Reads()); got != c.rows {
				t.Errorf("%d reads of rows, not %d", got, c.rows)
			}
			var got []string
			for _, ranges := range store.TileReads() {
				for _, r := range ranges {
					long := "all"
					if r.HopSeconds > 0 {
						long = (time.Duration(r.To-r.From) * time.Microsecond).String()
					}
					got = append(got, fmt.Sprint(r.View, " ", r.HopSeconds, " ", long))
				}
			}
			if !slices.Equal(got, c.ranges) {
				t.Errorf("reads of tiles: %q, not %q", got, c.ranges)
			}
		})
	}
}

// meeting is a store whose two reads wait for each other.
type meeting struct {
	*servingtest.Store
	rows, tiles chan struct{}
}

func (m *meeting) Read(ctx context.Context, q *feature.Query, dst []feature.Loaded) error {
	close(m.rows)
	<-m.tiles
	return m.Store.Read(ctx, q, dst)
}

func (m *meeting) ReadTiles(ctx context.Context, entity string, keys []string, ranges []feature.TileRange, add func(int, int, int64, int32, []byte)) error {
	close(m.tiles)
	<-m.rows
	return m.Store.ReadTiles(ctx, entity, keys, ranges, add)
}

func TestRowsAndTilesAreReadAtTheSameTime(t *testing.T) {
	store := &meeting{servingtest.NewStore(), make(chan struct{}), make(chan struct{})}
	svc, _ := newCounted(t, store, store, nil)
	lookup(t, svc, drivers(prepare(t, svc, "trip:last", "trip:count_1h"), 1)).Release()
}

// Windows over more tiles than the limit fail, for the entity that has them;
// part of them would be a wrong answer.
func TestTooManyTilesFail(t *testing.T) {
	store := servingtest.NewStore()
	var faults []string
	svc, p := newCounted(t, store, store, func(s *serving.Settings) {
		s.Events.TileFailed = func(err error) { faults = append(faults, err.Error()) }
	})
	for _, id := range []int{1, 2} {
		count(t, store, p.Plans["trip"], 0, 0, fmt.Sprintf(`{"driver_id": %d, "n": 5}`, id))
	}
	var minute []byte
	store.EachTile(func(_, _ string, hop int32, _ int64, _ int32, state []byte) {
		if hop == 60 {
			minute = state
		}
	})
	read := prepare(t, svc, "trip:count_1d", "trip:count_1h", "trip:sum_1h")
	answer := func() string {
		resp := lookup(t, svc, drivers(read, 1, 2))
		defer resp.Release()
		var all []string
		for row := range 2 {
			for i := range read.Outputs() {
				v := resp.Value(i, row)
				text := v.Status.String()
				if v.Status == serving.StatusPresent {
					text = fmt.Sprint(v.Column.Ints[v.Row])
				}
				all = append(all, text)
			}
		}
		return strings.Join(all, " ")
	}
	for partition := range int32(transforms.MaxCells - 1) {
		store.PutTile("trip@1", "1", time.Minute, noon.Add(-3*time.Hour), partition+1, minute)
	}
	if got := answer(); got != "2000 1 5 1 1 5" || faults != nil {
		t.Errorf("at the limit: %s, %q", got, faults)
	}
	store.PutTile("trip@1", "1", time.Minute, noon.Add(-4*time.Hour), 1, minute)
	if got := answer(); got != "ERROR ERROR 5 1 1 5" {
		t.Errorf("above it: %s", got)
	}
	if len(faults) != 1 || !strings.Contains(faults[0], "view trip@1, hop 60s: its windows are spread over more than 2000 tiles") {
		t.Errorf("said: %q", faults)
	}
}

// What is known of completeness is asked for once in a while, not per lookup,
// and not by those that do not ask.
func TestSincesAreReadNowAndThen(t *testing.T) {
	now, store := noon, &sincesStore{Store: servingtest.NewStore()}
	svc, p := newCounted(t, store, store, func(s *serving.Settings) { s.Clock = func() time.Time { return now } })
	read := prepare(t, svc, "trip:count_1h")
	complete := func() serving.Completeness {
		req := drivers(read, 1)
		req.Complete = true
		resp := lookup(t, svc, req)
		defer resp.Release()
		return resp.Value(0, 0).Complete
	}
	if resp := lookup(t, svc, drivers(read, 1)); resp.Value(0, 0).Complete != serving.CompleteUnasked || store.asked != 0 {
		t.Error("asked by nobody")
	}
	for range 2 {
		if complete() != serving.CompleteYes || store.asked != 1 {
			t.Errorf("asked %d times", store.asked)
		}
	}
	store.PutSince(feature.Since{View: "trip@1", Aggregate: p.Plans["trip"].Windows.Features[0].ID(), Micros: noon.UnixMicro()})
	now = now.Add(10 * time.Second)
	if complete() != serving.CompleteNo || store.asked != 2 {
		t.Errorf("not asked again: %d", store.asked)
	}
}

type sincesStore struct {
	*servingtest.Store
	asked int
}

func (s *sincesStore) Sinces(ctx context.Context) ([]feature.Since, error) {
	s.asked++
	return s.Store.Sinces(ctx)
}

// Between apply and the moment when every partition's lane has adopted the
// version, nobody counts a new aggregate: its windows are not complete, those of
// older ones are.
func TestAWindowIsCompleteWhenEveryPartitionCountsIt(t *testing.T) {
	store := servingtest.NewStore()
	now := noon
	svc, p := newCounted(t, store, store, func(s *serving.Settings) { s.Clock = func() time.Time { return now } })
	windows := p.Plans["trip"].Windows
	f, _ := windows.Feature("sum_1h")
	f.Since = 2 // as apply gives it
	if err := svc.Swap(serving.Served{Catalog: p.Catalog, Plans: p.Plans, OnDemand: p.OnDemand}); err != nil {
		t.Fatal(err)
	}
	read := prepare(t, svc, "trip:count_1h", "trip:sum_1h")
	check := func(when string, older, newer serving.Completeness) {
		t.Helper()
		now = now.Add(10 * time.Second) // what it knew of others
		req := drivers(read, 1)
		req.Complete = true
		resp := lookup(t, svc, req)
		defer resp.Release()
		if a, b := resp.Value(0, 0).Complete, resp.Value(1, 0).Complete; a != older || b != newer {
			t.Errorf("%s: %v and %v, want %v and %v", when, a, b, older, newer)
		}
	}
	check("nobody has read the source", serving.CompleteYes, serving.CompleteNo)
	store.PutAdopted("trips", 1)
	check("some lane runs the version before", serving.CompleteYes, serving.CompleteNo)
	store.PutAdopted("trips", 2)
	check("all lanes count it", serving.CompleteYes, serving.CompleteYes)
	store.PutSince(feature.Since{View: "trip@1", Aggregate: f.ID(), Micros: now.UnixMicro()})
	check("they have not counted all of it", serving.CompleteYes, serving.CompleteNo)
}

func TestAServiceWithoutTilesSaysSo(t *testing.T) {
	var inside error
	svc, _ := newCounted(t, servingtest.NewStore(), nil, func(s *serving.Settings) {
		s.Events.Failed = func(err error) { inside = err }
		s.Unavailable = func(error) bool { return false }
	})
	var resp serving.Response
	err := svc.Lookup(context.Background(), drivers(prepare(t, svc, "trip:count_1h"), 1), &resp)
	if err == nil || err.Code != serving.CodeInternal || inside == nil || !strings.Contains(inside.Error(), "has no tiles") {
		t.Errorf("%v, %v", err, inside)
	}
}

// A state is dropped when its lookup failed, and whatever one lookup left in it
// does not meet the next.
func TestAFailedReadOfTilesFailsTheLookup(t *testing.T) {
	store := servingtest.NewStore()
	svc, p := newCounted(t, store, store, nil)
	count(t, store, p.Plans["trip"], 0, 0, `{"driver_id": 1, "n": 5}`)
	read := prepare(t, svc, "trip:sum_1h", "trip:last")
	store.Fail(func(context.Context) error { return errors.New("down") })
	var resp serving.Response
	if err := svc.Lookup(context.Background(), drivers(read, 1), &resp); err == nil || err.Code != serving.CodeUnavailable {
		t.Errorf("answered %v", err)
	}
	store.Fail(nil)
	for range 3 {
		resp := lookup(t, svc, drivers(read, 2, 1))
		if a, b := resp.Value(0, 0), resp.Value(0, 1); a.Status != serving.StatusNull || b.Column.Ints[b.Row] != 5 {
			t.Errorf("answered %v, %v", a, b)
		}
		resp.Release()
	}
}

// event is one that a property counts.
type event struct {
	micros    int64
	n         int64
	partition int32
}

// span is the documented one: floor((t - window) / hop) * hop, to the end of
// the tile that holds t; t is the read's time less the offset.
func span(readMicros int64, length, hop, offset time.Duration) (from, to int64) {
	floor := func(x int64) int64 {
		h := hop.Microseconds()
		down := x / h
		if x%h != 0 && x < 0 {
			down--
		}
		return down * h
	}
	t := readMicros - offset.Microseconds()
	return floor(t - length.Microseconds()), floor(t) + hop.Microseconds()
}

// For any events, windows, hop, offsets and read time, what is served is a plain
// scan over the documented span.
func TestWindowsAreAPlainScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hop := rapid.SampledFrom([]time.Duration{time.Second, 2 * time.Second, 30 * time.Second, time.Minute, time.Hour, 24 * time.Hour}).Draw(t, "hop")
		type win struct{ length, offset time.Duration }
		windows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) win {
			return win{
				hop + time.Duration(rapid.IntRange(0, 20*int(hop/time.Second)).Draw(t, "longer"))*time.Second,
				time.Duration(rapid.IntRange(0, 5*int(hop/time.Second)).Draw(t, "offset")) * time.Second,
			}
		}), 1, 3).Draw(t, "windows")
		now := rapid.SampledFrom([]time.Time{noon, noon.Add(hop - time.Microsecond), time.Unix(5, 0)}).Draw(t, "around").
			Add(time.Duration(rapid.Int64Range(0, 3*int64(hop/time.Microsecond)).Draw(t, "later")) * time.Microsecond)

		var yaml strings.Builder
		yaml.WriteString(strings.Split(counted, "views:")[0] + "views:\n  - name: v\n    entity: driver\n    source: trips\n    allowed_lateness: 1000d\n    features:\n")
		for i, w := range windows {
			of := fmt.Sprintf("window: %ds, hop: %ds", w.length/time.Second, hop/time.Second)
			if w.offset > 0 {
				of += fmt.Sprintf(", offset: %ds", w.offset/time.Second)
			}
			for _, agg := range []string{"count", "sum, of: n", "max, of: n", "count, filter: n > 3", "last, of: n"} {
				fmt.Fprintf(&yaml, "      - {name: f%d_%s, agg: %s, %s}\n", i, strings.NewReplacer(",", "", " ", "", ":", "", ">", "").Replace(agg), agg, of)
			}
		}
		p, err := definition.Load([]definition.File{{Name: "p.yaml", Data: []byte(yaml.String())}})
		if err != nil {
			t.Fatal(err)
		}

		var edges []int64
		for _, w := range windows {
			from, to := span(now.UnixMicro(), w.length, hop, w.offset)
			edges = append(edges, from-1, from, from+1, to-1, to, now.UnixMicro())
		}
		low, high := slices.Min(edges)-hop.Microseconds(), slices.Max(edges)+hop.Microseconds()
		events := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event {
			return event{
				rapid.OneOf(rapid.SampledFrom(edges), rapid.Int64Range(low, high)).Draw(t, "at"),
				rapid.Int64Range(0, 9).Draw(t, "n"), rapid.Int32Range(0, 3).Draw(t, "partition"),
			}
		}), 0, 30).Draw(t, "events")

		store := tilesOf(t, p.Plans["v"], events)
		svc, err := serving.New(serving.Settings{
			Catalog: p.Catalog, Plans: p.Plans, Store: servingtest.NewStore(), Tiles: sinks.NewWindows(store, store), Clock: func() time.Time { return now },
		})
		if err != nil {
			t.Fatal(err)
		}
		read, fault := svc.PrepareFeatures([]string{"v"})
		if fault != nil {
			t.Fatal(fault)
		}
		var resp serving.Response
		if err := svc.Lookup(context.Background(), drivers(read, 7, 1), &resp); err != nil {
			t.Fatal(err)
		}
		for i, w := range windows {
			from, to := span(now.UnixMicro(), w.length, hop, w.offset)
			for k, want := range scan(events, from, to) {
				got := "null"
				if v := resp.Value(5*i+k, 1); v.Status == serving.StatusPresent {
					got = fmt.Sprint(v.Column.Ints[v.Row])
				}
				if got != want {
					t.Errorf("%s over %v: %s, a scan from %d to %d gives %s", read.Names()[5*i+k], w, got, from, to, want)
				}
			}
		}
	})
}

// tilesOf is a store with the tiles of events.
func tilesOf(t *rapid.T, p *transforms.Plan, events []event) *memory.Store {
	counting, store := servingtest.NewStore(), new(memory.Store)
	for _, e := range events {
		if err := counting.Count(p, e.partition, time.UnixMicro(e.micros), fmt.Sprintf(`{"driver_id": 1, "n": %d}`, e.n)); err != nil {
			t.Fatal(err)
		}
	}
	counting.EachTile(func(view, key string, hop int32, start int64, source int32, state []byte) {
		id := sinks.TileID{Entity: "driver", Key: key, View: view, HopSeconds: hop, Start: start, Source: source}
		if err := store.WriteTiles(context.Background(), []sinks.Tile{{TileID: id, State: state}}); err != nil {
			t.Fatal(err)
		}
	})
	return store
}

// scan is count, sum, max, count of those above 3, last: later in time, and of
// equal times the later record, by offset in the counting store's partition.
func scan(events []event, from, to int64) []string {
	offsets := map[int32]int{}
	var n, above int
	var sum, most, last int64
	var lastAt [2]int64
	for _, e := range events {
		offset := int64(offsets[e.partition])
		offsets[e.partition]++
		if e.micros < from || e.micros >= to {
			continue
		}
		n++
		sum += e.n
		most = max(most, e.n)
		if e.n > 3 {
			above++
		}
		if at := [2]int64{e.micros, offset*10 + int64(e.partition)}; n == 1 || slices.Compare(at[:], lastAt[:]) > 0 {
			last, lastAt = e.n, at
		}
	}
	if n == 0 {
		return []string{"0", "null", "null", "0", "null"}
	}
	return []string{fmt.Sprint(n), fmt.Sprint(sum), fmt.Sprint(most), fmt.Sprint(above), fmt.Sprint(last)}
}

// A tile that was written before an aggregate was there makes its windows
// incomplete, and no others.
func TestATileWithoutTheAggregateIsNotComplete(t *testing.T) {
	store := servingtest.NewStore()
	svc, _ := newCounted(t, store, store, nil)
	older := new(window.Shape).NewTile(window.Fence{}).Snapshot(window.Fence{}, nil)
	store.PutTile("trip@1", "1", time.Minute, noon.Add(-90*time.Minute), 0, older)
	req := drivers(prepare(t, svc, "trip:count_1h", "trip:count_2h", "trip:sum_2h"), 1)
	req.Complete = true
	resp := lookup(t, svc, req)
	defer resp.Release()
	for i, want := range []serving.Completeness{serving.CompleteYes, serving.CompleteNo, serving.CompleteYes} {
		if got := resp.Value(i, 0).Complete; got != want {
			t.Errorf("output %d: %d, not %d", i, got, want)
		}
	}
}

// noTileReads is a store whose tiles alone cannot be read.
type noTileReads struct{ *servingtest.Store }

func (noTileReads) ReadTiles(context.Context, string, []string, []feature.TileRange, func(int, int, int64, int32, []byte)) error {
	return errors.New("down")
}

func TestRowsWithoutTheirTilesAreNoAnswer(t *testing.T) {
	store := noTileReads{servingtest.NewStore()}
	svc, _ := newCounted(t, store, store, nil)
	var resp serving.Response
	err := svc.Lookup(context.Background(), drivers(prepare(t, svc, "trip:sum_1h", "trip:last"), 1), &resp)
	if err == nil || err.Code != serving.CodeUnavailable {
		t.Errorf("answered %v", err)
	}
}
