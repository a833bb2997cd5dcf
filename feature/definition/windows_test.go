package definition_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/transforms/window"
)

// windowsBase is a project with windows and without faults.
const windowsBase = `project: rides
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
sources:
  - name: trips
    kafka: {topic: trips}
    fields: [{name: driver_id, type: int64}, {name: fare, type: float64}, {name: status, type: string}, {name: id, type: string}]
    event_id: id
views:
  - name: v
    entity: driver
    source: trips
    allowed_lateness: 1d
    late: dead_letter
    features:
      - {name: last_fare, expr: fare}
      - {name: trips, agg: count, windows: [1h, 24h]}
      - {name: avg_1d, agg: avg, of: fare, window: 24h, hop: 15m, filter: fare > 1}
      - {name: prev, agg: sum, of: fare, window: 7d, offset: 7d}
      - {name: first, agg: first, of: status, window: unlimited}
      - {name: p95, agg: quantile, of: fare, q: 0.95, window: 1h}
      - {name: share, expr: "trips_1h / nullif(trips_24h, 0)"}
  - {name: w, entity: driver, source: trips, features: [{name: n, agg: count, window: 1h}]}
on_demand_views:
  - {name: q, sources: [v, w], features: [{name: both, expr: v.trips_1h + w.n}, {name: ratio, expr: v.share * 2}]}
services:
  - {name: s, features: [v, q, "w:n"]}
`

func TestWindowsBecomeFeatures(t *testing.T) {
	p, err := load(windowsBase)
	if err != nil {
		t.Fatal(err)
	}
	v := p.Catalog.View("v")
	var got []string
	for i := range v.Features {
		f := &v.Features[i]
		got = append(got, f.Name+" "+f.Type.String()+" "+f.At.String())
	}
	want := "last_fare float64 write, trips_1h int64 read, trips_24h int64 read, avg_1d float64 read, prev float64 read, first string read, p95 float64 read, share float64 read"
	if strings.Join(got, ", ") != want {
		t.Errorf("features %s", strings.Join(got, ", "))
	}
	if v.AllowedLateness != 24*time.Hour || v.Late != feature.LateDeadLetter || p.Catalog.Source("trips").EventID != "id" {
		t.Errorf("view %+v", v)
	}
	if a := v.Features[4].Aggregate; a.Window != 7*24*time.Hour || a.Offset != a.Window {
		t.Errorf("aggregate %+v", a)
	}
	if ws := p.Plans["v"].Windows; ws.Lateness != 24*time.Hour || ws.Only || len(ws.Hops) != 4 {
		t.Errorf("windows %+v", ws)
	}
	if ws := p.Plans["w"].Windows; ws.Lateness != time.Hour+time.Minute || !ws.Only {
		t.Errorf("windows %+v", ws)
	}
	if q := p.OnDemand["q"]; len(q.Inputs) != 3 || len(p.Catalog.Service("s").Features) != 11 {
		t.Errorf("on demand %+v, service %+v", q.Inputs, p.Catalog.Service("s").Features)
	}
}

var mistakesInWindows = []mistake{
	{"shorter than its hop", "window: 24h, hop: 15m", "window: 5m, hop: 15m", "18:61", "a window of 5m is shorter than its hop of 15m"},
	{"hop that does not divide a day", "hop: 15m", "hop: 7m", "18:62", "does not divide a day"},
	{"wrong kind", "of: fare, window: 24h", "of: status, window: 24h", "18:38", "avg of string is not defined\nconvert it"},
	{"no value", "agg: sum, of: fare", "agg: sum", "19:27", "sum needs a value"},
	{"quantile outside", "q: 0.95", "q: 95", "21:49", "from 0 to 1, not 95"},
	{"quantile that is no number", "q: 0.95", "q: high", "21:49", "must be a number"},
	{"unknown aggregate", "agg: sum", "agg: summ", "19:27", "did you mean sum?"},
	{"unlimited with an offset", "window: unlimited", "window: unlimited, offset: 1h", "20:74", "has no offset"},
	{"unlimited with a hop", "window: unlimited", "window: unlimited, hop: 1h", "20:71", "is one tile"},
	{"window and windows", "windows: [1h, 24h]", "windows: [1h, 24h], window: 1h", "17:44", "has window and windows"},
	{"no window", ", window: unlimited", "", "20:9", "aggregate first has no window"},
	{"no window at all", "[1h, 24h]", "[]", "17:44", "aggregate trips has no windows"},
	{"a window twice", "[1h, 24h]", "[1h, 24h, 1h]", "17:54", "window 1h is written twice"},
	{"a window that is none", "[1h, 24h]", "[1h, 24h, soon]", "17:54", "is not a duration"},
	{"a window that fits no name", "[1h, 24h]", "[1h, 24h, 1.5h]", "17:54", "write it in whole units"},
	{"agg and expr", "agg: sum, of: fare", "agg: sum, expr: fare", "19:38", "has an expr and an aggregate"},
	{"at of an aggregate", "agg: sum, of", "agg: sum, at: read, of", "19:36", "counted at write and merged at read"},
	{"window without agg", "{name: last_fare, expr: fare}", "{name: last_fare, expr: fare, window: 1h}", "16:47", "window is for aggregates"},
	{"filter that is no condition", "filter: fare > 1", "filter: fare + 1", "18:75", "filter is float64, not bool"},
	{"empty filter", "filter: fare > 1", "filter: ''", "18:75", "filter is empty"},
	{"unknown name in of", "agg: sum, of: fare", "agg: sum, of: farre", "19:36", "did you mean fare?"},
	{"unknown name in many windows", "agg: count, windows", "agg: count, of: farre, windows", "17:39", "did you mean fare?"},
	{"aggregate of an aggregate", "agg: sum, of: fare", "agg: sum, of: trips_1h", "19:36", "no aggregates of aggregates"},
	{"n of what takes none", "agg: sum, of", "agg: sum, n: 3, of", "19:35", "sum takes no `n`"},
	{"too many tiles", "window: 7d, offset: 7d", "window: 7d, hop: 1m", "19:59", "covers 10081 tiles of 1m"},
	{"too large", "agg: first, of: status", "agg: last_n, n: 1000, of: status", "20:28", "may take"},
	{"stated type", "agg: sum, of", "agg: sum, type: int64, of", "19:38", "is stated to be int64 but its sum is float64"},
	{"feature twice", "name: avg_1d", "name: trips_1h", "18:16", "has feature trips_1h twice"},
	{"event id of no field", "event_id: id", "event_id: idd", "8:15", "did you mean id?"},
	{"event id that is none", "event_id: id", "event_id: fare", "8:15", "an id is string, bytes, int32 or int64"},
	{
		"late without windows",
		"source: trips, features: [{name: n, agg: count, window: 1h}]", "source: trips, late: drop, features: [{name: n, expr: fare}]",
		"23:52", "is for views with windowed features",
	},
	{"unknown policy", "late: dead_letter", "late: dead", "14:11", "is not one of drop, dead_letter"},
	{"finished rows for windows alone", "event_id: id", "transform_on_write: false", "23:39", "has windowed features alone"},
}

// TestMistakesInWindows makes every mistake once and reads what the person is
// told.
func TestMistakesInWindows(t *testing.T) {
	for _, c := range mistakesInWindows {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(windowsBase, c.old) {
				t.Fatalf("the base has no %q", c.old)
			}
			_, err := load(strings.Replace(windowsBase, c.old, c.new, 1))
			var all definition.Errors
			if !errors.As(err, &all) || len(all) != 1 {
				t.Fatalf("want one error, not %d:\n%v", len(all), err)
			}
			if at := fmt.Sprintf("%d:%d", all[0].Line, all[0].Column); at != c.at || !strings.Contains(all[0].Message+"\n"+all[0].Hint, c.says) {
				t.Errorf("want %s with %q, not %s in\n%v", c.at, c.says, at, err)
			}
			if all[0].Hint == "" {
				t.Errorf("no next step in\n%v", err)
			}
		})
	}
}

func TestRekey(t *testing.T) {
	p, err := load(strings.Replace(windowsBase, "late: dead_letter", "rekey: true", 1))
	if err != nil {
		t.Fatal(err)
	}
	rekeyed := 0
	for _, v := range p.Catalog.Views {
		if v.Rekey {
			rekeyed++
		}
	}
	if rekeyed != 1 {
		t.Errorf("%d views are rekeyed, not the one that says so", rekeyed)
	}
	for _, c := range []struct{ old, new, says string }{
		{"features: [{name: n, agg: count, window: 1h}]", "rekey: true, features: [{name: n, expr: fare}]", "rekey is for views with windowed features"},
		{"kafka: {topic: trips}", "push: {}", "source trips has no topic"},
	} {
		text := strings.Replace(windowsBase, "late: dead_letter", "rekey: true", 1)
		_, err := load(strings.Replace(text, c.old, c.new, 1))
		var all definition.Errors
		if !errors.As(err, &all) || !strings.Contains(err.Error(), c.says) || all[0].Hint == "" {
			t.Errorf("want %q, not %v", c.says, err)
		}
	}
}

// TestEveryAggregateMayBeWritten holds the reader's list to the aggregates that
// there are.
func TestEveryAggregateMayBeWritten(t *testing.T) {
	more := map[string]string{"last_n": "n: 3", "top_k": "k: 3", "quantile": "q: 0.5", "count": "of: fare"}
	for _, kind := range window.KindNames() {
		rest := more[kind]
		if rest == "" {
			rest = "of: fare"
		} else if kind != "count" {
			rest += ", of: fare"
		}
		if _, err := load(strings.Replace(windowsBase, "agg: sum, of: fare", "agg: "+kind+", "+rest, 1)); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestBadWindowsAreRefused with the reason and with what to write instead.
func TestBadWindowsAreRefused(t *testing.T) {
	const from = "agg: sum, of: fare, window: 7d, offset: 7d"
	for _, c := range []struct{ name, to, reason, suggestion string }{
		{"a window shorter than its hop", "agg: sum, of: fare, window: 5m, hop: 15m", "a window of 5m is shorter than its hop of 15m", "write `hop: 5s`, or leave it out"},
		{"a window of nothing", "agg: sum, of: fare, window: 0s", `window "0s" is not a duration`, "write 90s, 15m, 24h, 7d or unlimited"},
		{"a sum of text", "agg: sum, of: status, window: 1h", "sum of string is not defined", "convert it, as in `of: cast(fare as double)`"},
		{"an average of conditions", "agg: avg, of: fare > 1, window: 1h", "avg of bool is not defined", "use count with a `filter:`"},
		{"a variance of times", "agg: var_pop, of: event_time(), window: 1h", "var_pop of timestamp is not defined", "use min or max, or seconds, as in `of: epoch(completed_at)`"},
		{"the greatest of lists", "agg: max, of: '[fare]', window: 1h", "max of list<float64> is not defined", "use first, last or last_n"},
		{"a quantile above 1", "agg: quantile, q: 1.01, of: fare, window: 1h", "quantile takes a `q` from 0 to 1, not 1.01", "the 95th percentile is `q: 0.95`"},
		{"a quantile below 0", "agg: quantile, q: -0.1, of: fare, window: 1h", "quantile takes a `q` from 0 to 1, not -0.1", "the 95th percentile is `q: 0.95`"},
		{"too many tiles", "agg: sum, of: fare, window: 7d, hop: 5m", "covers 2017 tiles of 5m, and 2000 are the most", "write hop: 3h, or move it to a view of its own"},
		{"too many for any hop", "agg: sum, of: fare, window: 2001d", "covers 2002 tiles of 1d, and 2000 are the most", "write a shorter window, or window: unlimited"},
		{"tiles that an offset skips count", "agg: sum, of: fare, window: 1h, hop: 1m, offset: 2d", "covers 2941 tiles of 1m", "write hop: 1h, or move it to a view of its own"},
		{"a hop that does not divide a day", "agg: sum, of: fare, window: 7d, hop: 7h", "a hop of 7h does not divide a day in whole seconds", "the nearest that does is `hop: 6h`"},
		{"a hop below a second", "agg: sum, of: fare, window: 1h, hop: 500ms", "a hop of 500ms does not divide a day in whole seconds", "the nearest that does is `hop: 1s`"},
		{"a hop longer than a day", "agg: sum, of: fare, window: 7d, hop: 2d", "a hop of 2d does not divide a day in whole seconds", "the nearest that does is `hop: 1d`"},
		{"unlimited with an offset", "agg: sum, of: fare, window: unlimited, offset: 1d", "a window without end has no offset", "leave out `offset: 1d`, or give the window a length"},
		{"an offset into the future", "agg: sum, of: fare, window: 1h, offset: -1h", `offset "-1h" is not a duration`, "write 90s, 15m, 24h, 7d or 1d12h"},
	} {
		t.Run(c.name, func(t *testing.T) {
			base := windowsBase
			if c.name == "tiles that an offset skips count" { // of the hop that trips_1h has
				base = strings.Replace(base, "agg: quantile", "agg: quantile, hop: 1m", 1)
			}
			refused(t, strings.Replace(base, from, c.to, 1), c.reason, c.suggestion)
		})
	}
	t.Run("finished rows for windows alone", func(t *testing.T) {
		refused(t, strings.Replace(windowsBase, "event_id: id", "transform_on_write: false", 1),
			"view w has windowed features alone, and source trips carries finished rows", "remove transform_on_write: false from the source, or feed the view from another one")
	})
}

// refused wants one error, with a place, a reason and a next step.
func refused(t *testing.T, text, reason, suggestion string) {
	t.Helper()
	_, err := load(text)
	var all definition.Errors
	if !errors.As(err, &all) || len(all) != 1 {
		t.Fatalf("want one error, not %d:\n%v", len(all), err)
	}
	if e := all[0]; e.Line == 0 || e.Column == 0 || !strings.Contains(e.Message, reason) || !strings.Contains(e.Hint, suggestion) {
		t.Errorf("want %q and %q, not %d:%d %q and %q", reason, suggestion, e.Line, e.Column, e.Message, e.Hint)
	}
}
