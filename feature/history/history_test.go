package history_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/feature/history"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/transforms"
)

const base = `project: rides
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
sources:
  - name: trips
    kafka: {topic: trips}
    fields:
      - {name: driver_id, type: int64}
      - {name: fare, type: float64}
      - {name: km, type: float64, path: trip.km}
      - {name: at, type: timestamp}
    event_time: at
  - {name: r, request: {}, fields: [{name: pickup_km, type: float64}]}
views:
  - name: v
    entity: driver
    source: trips
    where: km > 0
    features:
      - {name: last_fare, expr: fare}
      - {name: rate, expr: fare / km}
      - {name: age, expr: epoch(now()), at: read}
on_demand_views:
  - {name: q, entity: driver, sources: [r], features: [{name: quote, expr: pickup_km * 3}]}
services:
  - {name: s, features: [v]}
`

func project(t *testing.T, replace ...string) *definition.Project {
	t.Helper()
	text := base
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("the base has no %q", replace[i])
		}
		text = strings.Replace(text, replace[i], replace[i+1], 1)
	}
	p, err := definition.Load([]definition.File{{Name: "a.yaml", Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func apply(t *testing.T, store *memory.Store, p *definition.Project) (*history.Applied, []history.Change) {
	t.Helper()
	a, changes, err := history.Apply(context.Background(), store, sinks.NewSchemas(store), p, "ann", now)
	if err != nil {
		t.Fatal(err)
	}
	return a, changes
}

// TestWhatAChangeMeans is the table of DESIGN section 14.
func TestWhatAChangeMeans(t *testing.T) {
	for _, c := range []struct {
		name     string
		replace  []string
		revision uint16
		says     string // of a change, or of the refusal
		refused  bool
	}{
		{"nothing", nil, 1, "", false},
		{"white space in an expression", []string{"fare / km", "fare  /  km"}, 1, "free", false},
		{"a comment", []string{"services:", "# hello\nservices:"}, 1, "free", false},
		{"a changed expression", []string{"fare / km", "fare / km * 2"}, 2, "rate changes", false},
		{"a new feature", []string{"- {name: age", "- {name: k, expr: km}\n      - {name: age"}, 2, "k is new", false},
		{"a removed feature", []string{"      - {name: rate, expr: fare / km}\n", ""}, 2, "rate is removed", false},
		{"a read feature", []string{"epoch(now())", "epoch(now()) - 1"}, 1, "at read: age changes", false},
		{"a read feature that needs a field", []string{"epoch(now())", "epoch(now()) - km"}, 2, "km is new", false},
		{"ttl", []string{"where: km > 0", "where: km > 0\n    ttl: 1d"}, 1, "ttl", false},
		{"a default", []string{"expr: fare}", "expr: fare, default: 1}"}, 1, "defaults", false},
		{"a service", []string{"{name: s,", "{name: s2,"}, 1, "services", false},
		{"an on-demand feature", []string{"pickup_km * 3", "pickup_km * 2"}, 1, "free      on-demand view q: quote changes", false},
		{"a default on demand", []string{"pickup_km * 3", "pickup_km * 3, default: 1"}, 1, "quote changes", false},
		{"white space on demand", []string{"pickup_km * 3", "pickup_km  *  3"}, 1, "services, sources or texts change", false},
		{"a new on-demand feature", []string{"[{name: quote", "[{name: km, expr: pickup_km}, {name: quote"}, 1, "free      on-demand view q: km is new", false},
		{"another name on demand", []string{"{name: q,", "{name: q2,"}, 1, "removed   on-demand view q: is no longer served", false},
		{"a new on-demand view", []string{"{name: q,", "{name: q2,"}, 1, "new       on-demand view q2: 1 features of driver, computed at read from r; nothing is stored", false},
		{"where", []string{"km > 0", "km > 1"}, 0, "changing where", true},
		{"event time", []string{"    event_time: at\n", ""}, 0, "changing event_time", true},
		{"a field's path", []string{"path: trip.km", "path: km"}, 0, "changing field km", true},
		{"the topic", []string{"topic: trips", "topic: trips2"}, 0, "changing topic", true},
		{"null keys", []string{"where: km > 0", "where: km > 0\n    on_null_key: filter"}, 0, "changing on_null_key", true},
		{"keys", []string{"where: km > 0", "where: km > 0\n    keys: {driver_id: driver_id + 1}"}, 0, "changing keys.driver_id", true},
		{"an envelope", []string{"topic: trips}", "topic: trips}\n    envelope: cloudevents"}, 0, "changing envelope", true},
		{"tombstones", []string{"topic: trips}", "topic: trips}\n    on_tombstone: ignore"}, 0, "changing on_tombstone", true},
		{"a field from the key", []string{"{name: fare, type: float64}", "{name: fare, type: float64, key: true}"}, 0, "changing field fare", true},
		{"a field from a header", []string{"{name: fare, type: float64}", "{name: fare, type: float64, header: fare}"}, 0, "changing field fare", true},
		{"a field's kind", []string{"{name: fare, type: float64}", "{name: fare, type: int64}"}, 0, "changing field fare", true},
		{"numbers in quotes", []string{"{name: fare, type: float64}", "{name: fare, type: float64, quoted: true}"}, 1, "services, sources or texts change", false},
		{"a field that no view uses", []string{"    event_time", "      - {name: x, type: bool, header: x}\n    event_time"}, 1, "services, sources or texts change", false},
		{"the entity's key", []string{"type: int64}]}", "type: int64}, {name: at, type: timestamp}]}"}, 0, "changing entity", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := new(memory.Store)
			first, _ := apply(t, store, project(t))
			next, changes, err := history.Next(first, project(t, c.replace...))
			if c.refused {
				if !errors.Is(err, history.ErrNeedsGeneration) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "view v") {
					t.Errorf("refused with %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var texts strings.Builder
			for _, change := range changes {
				texts.WriteString(change.String() + "\n")
			}
			if (c.says == "") != (len(changes) == 0) || !strings.Contains(texts.String(), c.says) {
				t.Errorf("changes %q, want %q", texts.String(), c.says)
			}
			if got := next.Views["v"]; got.Revision != c.revision || got.Generation != 1 {
				t.Errorf("revision %d, generation %d", got.Revision, got.Generation)
			}
		})
	}
}

// TestWhatAChangeOfWindowsMeans: what tiles hold may be added to and not be
// changed.
func TestWhatAChangeOfWindowsMeans(t *testing.T) {
	windows := []string{
		"    event_time: at\n", "    event_time: at\n    event_id: id\n", "{name: fare,", "{name: id, type: string}\n      - {name: fare,",
		"- {name: age", "- {name: n, agg: count, window: 24h}\n      - {name: s, agg: sum, of: rate, filter: fare > 1, window: 1h, hop: 1m}" +
			"\n      - {name: p, agg: quantile, of: fare, q: 0.5, window: 1h}\n      - {name: age",
	}
	first, changes, err := history.Next(nil, project(t, windows...))
	if err != nil || !strings.Contains(changes[0].Text, "2 stored columns, 3 windowed") {
		t.Fatal(err, changes)
	}
	for _, c := range []struct {
		name    string
		replace []string
		says    string // of a change, or of the refusal
		refused bool
	}{
		{"nothing", nil, "", false},
		{"white space", []string{"of: rate", "of:   rate"}, "free      services, sources or texts change", false},
		{"a new aggregate", []string{"- {name: age", "- {name: m, agg: max, of: fare, window: 1h}\n      - {name: age"}, "free      view v: m counts from its first event on", false},
		{"a new window", []string{"window: 24h}", "window: 24h}\n      - {name: n, agg: count, windows: [1h, 7d]}"}, "view v: n_1h, n_7d counts from its first event on", false},
		{"a removed aggregate", []string{"      - {name: n, agg: count, window: 24h}\n", ""}, "free      view v: n is no longer counted", false},
		{"what decides at read", []string{"q: 0.5", "q: 0.9"}, "free      view v: p is read in another way", false},
		{"what becomes of late rows", []string{"where: km > 0", "where: km > 0\n    late: dead_letter"}, "late rows change", false},
		{"the aggregate", []string{"agg: sum", "agg: avg"}, "changing what s counts", true},
		{"of", []string{"of: rate", "of: fare"}, "changing what s counts", true},
		{"a feature that of names", []string{"expr: fare / km", "expr: fare / km * 2"}, "changing what s counts", true},
		{"filter", []string{"filter: fare > 1", "filter: fare > 2"}, "changing what s counts", true},
		{"hop", []string{"hop: 1m", "hop: 5m"}, "changing what s counts", true},
		{"the window", []string{"window: 24h", "window: 12h"}, "changing what n counts", true},
		{"lateness", []string{"where: km > 0", "where: km > 0\n    allowed_lateness: 2d"}, "changing allowed_lateness", true},
		{"event id", []string{"    event_id: id\n", ""}, "changing event_id", true},
		{"rekey", []string{"where: km > 0", "where: km > 0\n    rekey: true"}, "changing rekey", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, changes, err := history.Next(first, project(t, append(slices.Clone(windows), c.replace...)...))
			if c.refused {
				if !errors.Is(err, history.ErrNeedsGeneration) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("refused with %v", err)
				}
				return
			}
			var texts strings.Builder
			for _, change := range changes {
				texts.WriteString(change.String() + "\n")
			}
			if err != nil || (c.says == "") != (len(changes) == 0) || !strings.Contains(texts.String(), c.says) {
				t.Errorf("changes %q, error %v", texts.String(), err)
			}
		})
	}
}

// A window is as old as the version that brought it under whatever name: not as
// old as another one of the same aggregate, whose tiles are others or reach less
// far back.
func TestAWindowIsAsOldAsItsVersion(t *testing.T) {
	store := new(memory.Store)
	version := func(features string) map[string]int64 {
		t.Helper()
		applied, _ := apply(t, store, project(t, "- {name: age", features+"- {name: age"))
		opened, err := history.Open(applied)
		if err != nil {
			t.Fatal(err)
		}
		ages := make(map[string]int64)
		for _, f := range opened.Plans["v"].Windows.Features {
			ages[f.Name] = f.Since
		}
		return ages
	}
	const day = "{name: n, agg: count, window: 24h, hop: 15m}\n      "
	for i, c := range []struct {
		features string
		want     map[string]int64
	}{
		{"- " + day, map[string]int64{"n": 1}},
		{"- " + day + "- {name: s, agg: sum, of: fare, window: 24h, hop: 15m}\n      ", map[string]int64{"n": 1, "s": 2}},
		{"- " + day + "- {name: week, agg: count, window: 7d, hop: 15m}\n      ", map[string]int64{"n": 1, "week": 3}},
		{"- " + day + "- {name: fine, agg: count, window: 24h, hop: 5m}\n      ", map[string]int64{"n": 1, "fine": 4}},
		{"- " + day + "- {name: before, agg: count, window: 24h, hop: 15m, offset: 1d}\n      ", map[string]int64{"n": 1, "before": 5}},
		{"- {name: renamed, agg: count, window: 24h, hop: 15m}\n      ", map[string]int64{"renamed": 1}},
		{"- {name: s, agg: sum, of: fare, window: 24h, hop: 15m}\n      ", map[string]int64{"s": 7}},
	} {
		if got := version(c.features); !maps.Equal(got, c.want) {
			t.Errorf("version %d: %v, want %v", i+1, got, c.want)
		}
	}
}

func TestARemovedViewKeepsItsNumbers(t *testing.T) {
	store := new(memory.Store)
	apply(t, store, project(t, "fare / km", "fare / km * 2"))
	apply(t, store, project(t)) // revision 2
	_, changes := apply(t, store, project(t, "name: v\n", "name: w\n", "[v]", "[w]"))
	if len(changes) != 2 || changes[1].Kind != history.ChangeRemoved {
		t.Errorf("changes %v", changes)
	}
	a, _ := apply(t, store, project(t))
	if a.Views["v"].Revision != 3 || !a.Views["w"].Removed {
		t.Errorf("views %+v", a.Views)
	}
	p, err := history.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range p.Plans["v"].FinishedColumns() {
		if c.Optional {
			t.Errorf("column %s is taken for one that was added later", c.Name)
		}
	}
	for _, c := range p.Plans["v"].Stored.Columns {
		if c.Since != 3 {
			t.Errorf("column %s is taken for the one of revision %d", c.Name, c.Since)
		}
	}
}

func TestColumnsKeepTheRevisionThatIntroducedThem(t *testing.T) {
	store := new(memory.Store)
	apply(t, store, project(t))
	apply(t, store, project(t, "- {name: age", "- {name: k, expr: km}\n      - {name: age"))
	a, err := history.Latest(context.Background(), store)
	if err != nil {
		t.Fatal(err)
	}
	p, err := history.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	since := map[string]uint16{}
	for _, c := range p.Plans["v"].Stored.Columns {
		since[c.Name] = c.Since
	}
	if since["last_fare"] != 1 || since["k"] != 2 || p.Catalog.View("v").Revision != 2 || p.Catalog.Version != 2 || p.Plans["v"].Stored.ID == 0 {
		t.Errorf("since %v, %v, version %d", since, p.Catalog.View("v"), p.Catalog.Version)
	}
	for _, c := range p.Plans["v"].FinishedColumns() {
		if c.Optional != (c.Name == "k") {
			t.Errorf("column %s may be missing in finished rows: %v", c.Name, c.Optional)
		}
	}
	if a.By != "ann" || !a.AppliedAt.Equal(now) {
		t.Errorf("applied by %s at %s", a.By, a.AppliedAt)
	}
}

// TestListColumns: a version that stores lists opens again, applies again
// without a change, and its columns keep their revision.
func TestListColumns(t *testing.T) {
	store := new(memory.Store)
	lists := []string{
		"- {name: at, type: timestamp}", "- {name: at, type: timestamp}\n      - {name: stops, type: list<list<int64>>}",
		"- {name: age", "- {name: stops}\n      - {name: age",
	}
	apply(t, store, project(t, lists...))
	if a, changes := apply(t, store, project(t, lists...)); a.Version != 1 || len(changes) != 0 {
		t.Errorf("version %d, changes %v", a.Version, changes)
	}
	apply(t, store, project(t, append(lists, "- {name: age", "- {name: k, expr: km}\n      - {name: age")...))
	all, err := history.List(context.Background(), store)
	if err != nil || len(all) != 2 {
		t.Fatalf("%d versions, %v", len(all), err)
	}
	for _, a := range all {
		p, err := history.Open(a)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range p.Plans["v"].Stored.Columns {
			if c.Name == "stops" && (c.Since != 1 || c.Type.String() != "list<list<int64>>") {
				t.Errorf("version %d has %+v", a.Version, c)
			}
		}
	}
}

func TestApplyingTwiceRecordsNothing(t *testing.T) {
	store := new(memory.Store)
	apply(t, store, project(t))
	a, changes := apply(t, store, project(t))
	if a.Version != 1 || len(changes) != 0 {
		t.Errorf("version %d, changes %v", a.Version, changes)
	}
	if all, err := history.List(context.Background(), store); err != nil || len(all) != 1 {
		t.Errorf("%d versions, %v", len(all), err)
	}
}

func TestTwoAtOnceCannotBothWin(t *testing.T) {
	store := new(memory.Store)
	apply(t, store, project(t))
	var all sync.WaitGroup
	versions := make(chan int64, 8)
	for i := range 8 {
		p := project(t, "fare / km", "fare / km * "+string(rune('2'+i)))
		all.Go(func() {
			a, _, err := history.Apply(context.Background(), store, sinks.NewSchemas(store), p, "ann", now)
			if err == nil {
				versions <- a.Version
			} else if !errors.Is(err, history.ErrRace) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	close(versions)
	seen := map[int64]bool{}
	for v := range versions {
		if seen[v] {
			t.Errorf("version %d was given twice", v)
		}
		seen[v] = true
	}
	if recorded, err := history.List(context.Background(), store); err != nil || len(recorded) != len(seen)+1 {
		t.Errorf("%d versions are recorded, %d were given: %v", len(recorded), len(seen)+1, err)
	}
}

func TestAnotherProjectIsRefused(t *testing.T) {
	store := new(memory.Store)
	a, _ := apply(t, store, project(t))
	if _, _, err := history.Next(a, project(t, "project: rides", "project: food")); err == nil || !strings.Contains(err.Error(), "food") {
		t.Errorf("%v", err)
	}
}

func TestNothingApplied(t *testing.T) {
	if _, err := history.Latest(context.Background(), new(memory.Store)); !errors.Is(err, history.ErrNothingApplied) {
		t.Errorf("%v", err)
	}
}

// TestRowsOfAnotherListAreOtherRows: what a view has rows of decides which
// count, and where the fields of an element lie decides what they are.
func TestRowsOfAnotherListAreOtherRows(t *testing.T) {
	of := func(list, path string) *definition.Project {
		p := project(t)
		src, v := p.Catalog.Source("trips"), p.Catalog.View("v")
		for _, name := range []string{"stops", "legs"} {
			src.Fields = append(src.Fields, feature.SourceField{
				Field: feature.Field{Name: name, Type: feature.ListOf(feature.Of(feature.KindJSON))},
				Of:    []feature.SourceField{{Field: feature.Field{Name: "fee", Type: feature.Of(feature.KindFloat64)}, Path: path}},
			})
		}
		v.Unnest = &feature.Unnest{Field: list, As: "part"}
		v.Features[0].Expr = "fare + part.fee"
		if list == "" {
			v.Unnest, v.Features[0].Expr = nil, "fare"
		}
		plan, problems := transforms.Compile(v, src, p.Catalog.Entity("driver"))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		p.Plans["v"] = plan
		return p
	}
	store := new(memory.Store)
	first, _ := apply(t, store, of("stops", ""))
	for _, c := range []struct {
		p    *definition.Project
		says string
	}{{of("legs", ""), "changing unnest"}, {of("", ""), "changing unnest"}, {of("stops", "cost"), "changing field part.fee"}} {
		if _, _, err := history.Next(first, c.p); !errors.Is(err, history.ErrNeedsGeneration) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.says, err)
		}
	}
	if _, _, err := history.Next(first, of("stops", "")); err != nil {
		t.Error(err)
	}
}

// Lanes begin a new epoch with the version that changed which rows a view
// refuses, and with no other.
func TestAViewKnowsTheVersionOfItsRevision(t *testing.T) {
	store := new(memory.Store)
	const more = "- {name: k, expr: km}\n      - {name: age"
	for version, p := range []*definition.Project{
		project(t), project(t, "- {name: age", more), project(t, "- {name: age", more, "where: km > 0", "where: km > 0\n    ttl: 1d"),
	} {
		a, _ := apply(t, store, p)
		loaded, err := history.Open(a)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := loaded.Catalog.View("v").Changed, []int64{1, 2, 2}[version]; got != want {
			t.Errorf("in version %d (%d) the view changed in %d, want %d", version+1, a.Version, got, want)
		}
	}
}
