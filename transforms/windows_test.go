package transforms_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/transforms"
	"millrace/transforms/window"
)

const (
	hour = time.Hour
	day  = 24 * time.Hour
)

// windowed adds aggregates to a view.
func windowed(v *feature.View, aggregates map[string]feature.Aggregate, order ...string) *feature.View {
	all := make([]feature.Feature, 0, len(order)+len(v.Features))
	for _, name := range order {
		a := aggregates[name]
		all = append(all, feature.Feature{Name: name, Aggregate: &a})
	}
	v.Features = append(all, v.Features...)
	return v
}

// tiles is a lane and a store without I/O: what every tile has counted.
type tiles struct {
	plan  *transforms.Plan
	cells map[tileKey]*window.Tile
	in    window.Input
}

type tileKey struct {
	driver    int64
	hop       int
	start     int64
	partition int32
}

func newTiles(p *transforms.Plan) *tiles {
	return &tiles{plan: p, cells: make(map[tileKey]*window.Tile)}
}

func (s *tiles) count(rows *feature.Rows) {
	for hop := range s.plan.Windows.Hops {
		h := &s.plan.Windows.Hops[hop]
		s.plan.Windows.Input(hop, rows, &s.in)
		for i := range rows.Len() {
			if !rows.Windows.Counts.Get(i) {
				continue
			}
			o := &rows.Origins[i]
			key := tileKey{rows.Keys[0].Ints[i], hop, window.TileStart(o.EventMicros, h.Span), rows.Partition}
			tile := s.cells[key]
			if tile == nil {
				tile = h.Shape.NewTile(window.Fence{})
				s.cells[key] = tile
			}
			if h.Shape.EventIDs && rows.Windows.HasID.Get(i) && !tile.Count(rows.Windows.EventIDs[i]) {
				continue
			}
			at := window.PositionOf(o, rows.Partition)
			tile.Update(&s.in, i, &at)
		}
	}
}

// read answers features for drivers 0, 1 … n-1.
func (s *tiles) read(t require, features []string, n int, nowMicros int64) [][]string {
	r, err := s.plan.NewReader(features)
	if err != nil {
		t.Fatalf("%v", err)
	}
	var l feature.Loaded
	q := &feature.ViewQuery{Columns: r.Columns()}
	l.Reset(q, n)
	if w := r.Windows(); w != nil {
		w.Reset(n, nowMicros)
		for row := range n {
			s.add(t, w, row)
			w.EndRow(row)
		}
	}
	r.Run(&l, nowMicros)
	answers := make([][]string, n)
	for row := range answers {
		for i := range features {
			text := show(r.Column(i), row)
			if _, failed := r.Failure(i, row); failed {
				text = "ERROR"
			}
			answers[row] = append(answers[row], text)
		}
	}
	return answers
}

// add gives w the tiles of a row that its ranges ask for, as a store would.
func (s *tiles) add(t require, w *transforms.WindowReader, row int) {
	for h, want := range w.Ranges() {
		read := 0
		for key, tile := range s.cells {
			if key.driver != int64(row) || s.plan.Windows.Hops[key.hop].Span != want.Hop || key.start < want.Span.From || key.start >= want.Span.To {
				continue
			}
			read++
			if err := w.Add(h, key.start, key.partition, tile.Snapshot(window.Fence{}, nil)); err != nil {
				t.Fatalf("%v", err)
			}
		}
		if read > 2*want.Tiles {
			t.Fatalf("%d tiles of 2 partitions, and %d were promised of each", read, want.Tiles)
		}
	}
}

type require interface {
	Fatalf(format string, args ...any)
}

var someAggregates = map[string]feature.Aggregate{
	"n_1h":      {Kind: "count", Window: hour},
	"n_1d":      {Kind: "count", Window: day},
	"long":      {Kind: "count", Filter: "km > 1", Window: day},
	"sum_1h":    {Kind: "sum", Of: "twice", Window: hour},
	"sum_3h":    {Kind: "sum", Of: "qty + qty", Window: 3 * hour, Hop: time.Minute},
	"before":    {Kind: "sum", Of: "qty + qty", Window: hour, Offset: hour, Hop: time.Minute},
	"max_1d":    {Kind: "max", Of: "fare", Filter: "km > 1", Window: day},
	"last":      {Kind: "last", Of: "status", Unlimited: true},
	"ever":      {Kind: "count", Unlimited: true},
	"different": {Kind: "count_distinct", Of: "status", Window: hour},
}

// event is what the oracle keeps of a row.
type event struct {
	row
	partition int32
	offset    int64
}

func drawEvents(t *rapid.T) []event {
	none := func(gen *rapid.Generator[any]) *rapid.Generator[any] {
		return rapid.OneOf(rapid.Just[any](nil), gen, gen, gen)
	}
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	if rapid.IntRange(0, 9).Draw(t, "old") == 0 {
		start = -5 * day.Milliseconds() // before 1970 tiles begin before their events, too
	}
	events := make([]event, rapid.IntRange(0, 40).Draw(t, "events"))
	for i := range events {
		record := start + rapid.Int64Range(0, 3*hour.Milliseconds()).Draw(t, "record")
		late := rapid.OneOf(rapid.Int64Range(-4*60_000, 90*60_000), rapid.Int64Range(0, 3*day.Milliseconds())).Draw(t, "age")
		events[i] = event{row: row{
			driver: rapid.IntRange(0, 1).Draw(t, "driver"), record: record, event: record - late,
			fare:   none(rapid.Map(rapid.IntRange(-8, 8), func(n int) any { return float64(n) / 4 })).Draw(t, "fare"),
			km:     none(rapid.Map(rapid.IntRange(0, 4), func(n int) any { return float64(n) })).Draw(t, "km"),
			qty:    none(rapid.Map(rapid.IntRange(-9, 9), func(n int) any { return n })).Draw(t, "qty"),
			status: none(rapid.Map(rapid.SampledFrom([]string{"a", "b", "c"}), func(s string) any { return s })).Draw(t, "status"),
		}, partition: int32(rapid.IntRange(0, 1).Draw(t, "partition")), offset: int64(i)}
	}
	return events
}

// TestWindowsAgreeWithAScan takes events through writer, tiles and reader, and
// compares with a scan of all events by the documented formula.
func TestWindowsAgreeWithAScan(t *testing.T) {
	names := []string{"n_1h", "n_1d", "long", "sum_1h", "sum_3h", "before", "max_1d", "last", "ever", "different", "share"}
	rapid.Check(t, func(t *rapid.T) {
		v := windowed(view("km is null or km < 4", "twice = qty * 2", "share @read = n_1h / nullif(n_1d, 0)"), someAggregates, names[:len(names)-1]...)
		v.AllowedLateness = rapid.SampledFrom([]time.Duration{0, hour, day}).Draw(t, "lateness")
		p, problems := transforms.Compile(v, trips, driver)
		if len(problems) > 0 {
			t.Fatalf("%+v", problems)
		}
		events := drawEvents(t)
		store := newTiles(p)
		writer, err := p.NewWriter(p.Fields, transforms.DefaultMaxFutureSkew)
		if err != nil {
			t.Fatal(err)
		}
		for partition := range int32(2) {
			mine := slices.DeleteFunc(slices.Clone(events), func(e event) bool { return e.partition != partition })
			for len(mine) > 0 {
				n := rapid.IntRange(1, len(mine)).Draw(t, "batch")
				writeEvents(writer, p, mine[:n], partition, store)
				mine = mine[n:]
			}
		}
		wanted := rapid.Permutation(names).Draw(t, "order")[:rapid.IntRange(1, len(names)).Draw(t, "wanted")]
		at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
		if len(events) > 0 {
			at = events[0].record * 1000
		}
		at += rapid.Int64Range(-hour.Microseconds(), 30*hour.Microseconds()).Draw(t, "read")
		got := store.read(t, wanted, 2, at)
		for d := range got {
			for i, name := range wanted {
				if want := scan(events, v.AllowedLateness, d, name, at); got[d][i] != want {
					t.Fatalf("%s of driver %d is %s, a scan gives %s", name, d, got[d][i], want)
				}
			}
		}
	})
}

func writeEvents(w *transforms.Writer, p *transforms.Plan, events []event, partition int32, to *tiles) {
	var in feature.Batch
	var out feature.Rows
	rows := make([]row, len(events))
	for i := range events {
		rows[i] = events[i].row
	}
	fill(&in, p.Fields, rows)
	in.Partition = partition
	for i := range events {
		in.Origins[i].Offset = events[i].offset
	}
	w.Apply(&in, 0, &out)
	to.count(&out)
}

// scan is the oracle: it knows no tiles.
func scan(events []event, lateness time.Duration, d int, name string, at int64) string {
	if name == "share" {
		hour, all := scan(events, lateness, d, "n_1h", at), scan(events, lateness, d, "n_1d", at)
		if all == "0" {
			return "null"
		}
		return ratio(hour, all)
	}
	length, hop, offset := map[string]time.Duration{"n_1h": hour, "sum_1h": hour, "before": hour, "different": hour, "sum_3h": 3 * hour}[name], time.Minute, time.Duration(0)
	if length == 0 {
		length, hop = day, 15*time.Minute
	}
	if name == "before" {
		offset = hour
	}
	floor := func(micros int64) int64 {
		return int64(math.Floor(float64(micros)/float64(hop.Microseconds()))) * hop.Microseconds()
	}
	from, to := floor(at-(offset+length).Microseconds()), floor(at-offset.Microseconds())+hop.Microseconds()
	var a answer
	for i := range events {
		e := &events[i]
		inside := e.event*1000 >= from && e.event*1000 < to
		kept := e.km == nil || e.km.(float64) < 4
		late := lateness > 0 && e.event < e.record-lateness.Milliseconds()
		if e.driver == d && kept && !late && (inside || name == "last" || name == "ever") {
			a.take(e)
		}
	}
	return a.of(name)
}

func TestEdgesOfAWindow(t *testing.T) {
	v := windowed(view(""), map[string]feature.Aggregate{"n": {Kind: "count", Window: hour, Hop: 15 * time.Minute}}, "n")
	p := compile(t, v)
	if !p.Windows.Only || p.Windows.Lateness != hour+15*time.Minute || p.Windows.TTL(0) != 2*hour+30*time.Minute+day {
		t.Errorf("windows %+v", p.Windows)
	}
	minute := int64(60_000)
	for _, c := range []struct {
		event, read int64 // minutes
		want        string
	}{{0, 0, "1"}, {0, 14, "1"}, {14, 0, "1"}, {15, 14, "0"}, {0, 60, "1"}, {0, 74, "1"}, {0, 75, "0"}, {14, 74, "1"}, {-1, 60, "0"}} {
		base := 1000 * day.Milliseconds()
		store := newTiles(p)
		out := apply(t, p, []row{{driver: 0, event: base + c.event*minute, record: base + c.event*minute}}, 0)
		store.count(out)
		if got := store.read(t, []string{"n"}, 1, (base+c.read*minute)*1000)[0][0]; got != c.want {
			t.Errorf("an event of minute %d, read at %d: %s, want %s", c.event, c.read, got, c.want)
		}
	}
}

// TestEndsOfLateRows: row-level features are stored whatever the age.
func TestEndsOfLateRows(t *testing.T) {
	rows := []row{
		{driver: 1, fare: 1.0, event: 100 * day.Milliseconds(), record: 100 * day.Milliseconds()},
		{driver: 1, fare: 1.0, event: 100*day.Milliseconds() - hour.Milliseconds(), record: 100 * day.Milliseconds()},     // just in time
		{driver: 1, fare: 1.0, event: 100*day.Milliseconds() - hour.Milliseconds() - 1, record: 100 * day.Milliseconds()}, // late
		{driver: 1, fare: 1.0, event: -5, record: math.MaxInt64 / 2},                                                      // a wild record time
	}
	for _, c := range []struct {
		name                                   string
		only                                   bool
		late                                   feature.LatePolicy
		kept, counted, filtered, refused, both int
	}{
		{"with a stored feature", false, feature.LateDrop, 4, 2, 0, 0, 0},
		{"with a stored feature, as letters", false, feature.LateDeadLetter, 4, 2, 0, 2, 2},
		{"windows alone", true, feature.LateDrop, 2, 2, 2, 0, 0},
		{"windows alone, as letters", true, feature.LateDeadLetter, 2, 2, 0, 2, 0},
	} {
		v := view("", "fare = fare")
		if c.only {
			v = view("")
		}
		v = windowed(v, map[string]feature.Aggregate{"n": {Kind: "count", Of: "km", Window: hour}}, "n")
		v.AllowedLateness, v.Late = hour, c.late
		out := apply(t, compile(t, v), rows, 0)
		if out.Len() != c.kept || out.Windows.Counts.Count() != c.counted || out.Filtered != c.filtered || len(out.Rejects) != c.refused || out.Both != c.both || out.Windows.Late != 2 {
			t.Errorf("%s: %d rows, %+v, %d filtered, %v, %d both", c.name, out.Len(), out.Windows, out.Filtered, out.Rejects, out.Both)
		}
		if out.Len()+out.Filtered+len(out.Rejects)-out.Both != len(rows) {
			t.Errorf("%s: a row has not one end", c.name)
		}
		for _, r := range out.Rejects {
			if r.Reason != feature.ReasonLate || !strings.Contains(r.Message, "1h before the record time") {
				t.Errorf("%s: %+v", c.name, r)
			}
		}
	}
}

// TestRowFaultsOfWindows are found before any tile is touched.
func TestRowFaultsOfWindows(t *testing.T) {
	v := windowed(view("", "fare = fare"), map[string]feature.Aggregate{
		"big":   {Kind: "max", Of: "status", Filter: "fare > 0", Window: hour},
		"twice": {Kind: "sum", Of: "qty * qty", Filter: "fare > 0", Window: hour},
		"rare":  {Kind: "count", Filter: "cast(status as int) > 0", Window: hour},
	}, "big", "twice")
	out := apply(t, compile(t, v), []row{
		{driver: 1, fare: 1.0, qty: 3, status: strings.Repeat("x", 4096)},
		{driver: 1, fare: 1.0, qty: 3, status: strings.Repeat("x", 4097)},
		{driver: 1, fare: -1.0, qty: 3, status: strings.Repeat("x", 4097)}, // the filter keeps it away
		{driver: 1, fare: 1.0, qty: 100_000, status: "x"},
	}, 0)
	var got []string
	for _, r := range out.Rejects {
		got = append(got, string(r.Reason)+" "+r.Message)
	}
	if len(got) != 2 || !strings.HasPrefix(got[0], "window_value ") || !strings.HasPrefix(got[1], "expression aggregate twice: ") || out.Len() != 2 {
		t.Errorf("%d rows, refused %q", out.Len(), got)
	}
	if out.Windows.Filters[0].Count() != 1 || out.Windows.Args[1].Ints[0] != 9 {
		t.Errorf("%+v", out.Windows)
	}
}

func TestDeletedAndFinishedRowsAreNotCounted(t *testing.T) {
	for _, only := range []bool{false, true} {
		v := view("", "fare = fare")
		if only {
			v = view("")
		}
		p := compile(t, windowed(v, map[string]feature.Aggregate{"n": {Kind: "sum", Of: "qty", Window: hour}}, "n"))
		w, err := p.NewWriter(p.Fields, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		var in feature.Batch
		var out feature.Rows
		fill(&in, p.Fields, []row{{driver: 1, qty: 1}, {driver: 1}})
		in.Origins[1].Deleted = true
		w.Apply(&in, 0, &out)
		if out.Windows.Counts.Count() != 1 || only && out.Filtered != 1 || !only && out.Len() != 2 {
			t.Errorf("only %v: %+v", only, out)
		}
		var finished feature.Batch
		fill(&finished, p.FinishedFields(), []row{{driver: 1, fare: 1.0}})
		p.NewFinishedWriter(time.Minute).Apply(&finished, 0, &out)
		switch {
		case out.Windows.Counts.Count() != 0:
			t.Errorf("a finished row is counted: %+v", out)
		case only && (len(out.Rejects) != 1 || out.Rejects[0].Reason != feature.ReasonWindowsOnly):
			t.Errorf("a finished row of windows alone: %+v", out)
		case !only && out.Len() != 1:
			t.Errorf("a finished row is not stored: %+v", out)
		}
	}
}

// TestEventsCountOnce by the source's id, and rows without one each time.
func TestEventsCountOnce(t *testing.T) {
	for _, c := range []struct{ id, want string }{{"status", "4 3"}, {"qty", "4 2"}, {"", "6 4"}} {
		src := *trips
		src.EventID = c.id
		v := windowed(view(""), map[string]feature.Aggregate{"n": {Kind: "count", Window: hour}, "s": {Kind: "count", Filter: "fare > 0", Window: hour}}, "n", "s")
		p, problems := transforms.Compile(v, &src, driver)
		if len(problems) > 0 {
			t.Fatalf("%+v", problems)
		}
		store := newTiles(p)
		for range 2 { // the producer tries again
			store.count(apply(t, p, []row{{driver: 0, status: "a", qty: 1, fare: 1.0}, {driver: 0, status: "b", qty: 2, fare: -1.0}, {driver: 0, fare: 1.0}}, 0))
		}
		if c.id == "qty" {
			c.want = "4 3"
		}
		if got := strings.Join(store.read(t, []string{"n", "s"}, 1, 1)[0], " "); got != c.want {
			t.Errorf("by %q: %s, want %s", c.id, got, c.want)
		}
	}
}

func TestErrorsOfWindowsSpread(t *testing.T) {
	v := windowed(view("", "sure @read = coalesce(s, 0)", "other @read = n + 1"), map[string]feature.Aggregate{
		"s": {Kind: "sum", Of: "cast(qty as bigint) * 4611686018427387904", Window: hour}, "n": {Kind: "count", Window: hour},
	}, "s", "n")
	p := compile(t, v)
	store := newTiles(p)
	store.count(apply(t, p, []row{{driver: 0, qty: 1}, {driver: 0, qty: 1}}, 0))
	if got := strings.Join(store.read(t, []string{"s", "sure", "n", "other"}, 2, 0)[0], " "); got != "ERROR ERROR 2 3" {
		t.Errorf("answers %s", got)
	}
	if got := strings.Join(store.read(t, []string{"s", "sure", "n", "other"}, 2, 0)[1], " "); got != "null 0 0 1" {
		t.Errorf("answers of nothing %s", got)
	}
}

func TestStatesAreShared(t *testing.T) {
	p := compile(t, windowed(view("", "rate = fare / km"), map[string]feature.Aggregate{
		"a": {Kind: "quantile", Of: "fare", Q: 0.5, Window: hour}, "b": {Kind: "quantile", Of: " fare ", Q: 0.9, Window: hour},
		"c": {Kind: "sum", Of: "fare", Filter: "km > 1", Window: hour}, "d": {Kind: "sum", Of: "rate", Filter: "km  >  1", Window: 2 * hour, Hop: time.Minute},
	}, "a", "b", "c", "d"))
	ws := p.Windows
	if len(ws.Hops) != 1 || len(ws.Hops[0].Shape.Aggregates) != 3 || len(ws.Args) != 2 || ws.Filters != 1 {
		t.Errorf("%+v", ws)
	}
	text := transforms.Explain(p).String()
	for _, want := range []string{"quantile(fare, q 0.5) over 1h, hop 1m: 61 tiles", "sum(rate) where km  >  1 over 2h", "1m                   3 states in at most", "up to 2h1m"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if _, err := transforms.SQL(p, transforms.SQLSettings{}); err == nil || !strings.Contains(err.Error(), "feature a is an aggregate") {
		t.Errorf("SQL: %v", err)
	}
}

func TestWindowsAllocateNothingPerRow(t *testing.T) {
	src := *trips
	src.EventID = "qty"
	v := windowed(view("", "fare = fare"), someAggregates, "n_1h", "max_1d", "last", "different")
	p, problems := transforms.Compile(v, &src, driver)
	if len(problems) > 0 {
		t.Fatalf("%+v", problems)
	}
	w, err := p.NewWriter(p.Fields, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]row, 500)
	for i := range rows {
		rows[i] = row{driver: i, fare: 1.0, km: float64(i % 3), qty: i, status: "a", event: int64(i), record: int64(i)}
	}
	var in feature.Batch
	var out feature.Rows
	fill(&in, p.Fields, rows)
	w.Apply(&in, 0, &out)
	if n := testing.AllocsPerRun(10, func() { w.Apply(&in, 0, &out) }); n > 0 {
		t.Errorf("%v allocations per batch of %d rows", n, len(rows))
	}
}
