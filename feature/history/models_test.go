package history_test

import (
	"slices"
	"strings"
	"testing"

	"millrace/feature/history"
	"millrace/sinks/memory"
)

// withModel are the replacements that add a model to the base.
var withModel = []string{
	"features: [{name: quote, expr: pickup_km * 3}]}\n", "features: [{name: quote, expr: pickup_km * 3}]}\n" +
		"  - {name: w, sources: [v], features: [{name: since, expr: epoch(event_time(v)) + v.age}, {name: twice, expr: v.rate * 2}]}\n" +
		theModel,
}

const theModel = `models:
  - name: fraud
    version: "7"
    endpoint: http://models
    entity: driver
    inputs: [v:last_fare, w:since]
    outputs: [{name: score, type: float64}]
    max_age: 1h
`

func modelled(replace ...string) []string { return slices.Concat(withModel, replace) }

func TestWhatAChangeOfAModelMeans(t *testing.T) {
	for _, c := range []struct {
		name     string
		replace  []string
		revision uint16
		says     string // all of the changes, "" for none
	}{
		{"nothing", nil, 1, ""},
		{"a comment", []string{"services:", "# hello\nservices:"}, 1, "free      services, sources or texts change; no stored data is touched\n"},
		{"version", []string{`version: "7"`, `version: "8"`}, 1, `stale     model fraud: version "7" becomes "8"; stored predictions are stale until they are computed again` + "\n"},
		{"version, served meanwhile", []string{`version: "7"`, `version: "8"` + "\n    serve_previous_version: true"}, 1, "those of another version are served meanwhile"},
		{"endpoint", []string{"http://models", "http://models:8080"}, 1, "free      model fraud: its endpoint, ages or what becomes of errors change; stored"},
		{"max_age", []string{"max_age: 1h", "max_age: 2h"}, 1, "free      model fraud: its endpoint, ages"},
		{"fingerprint", []string{"max_age: 1h", "max_age: 1h\n    fingerprint: values"}, 1, "stale     model fraud: its tensors, or what is remembered of its"},
		{"tensors", []string{"max_age: 1h", "max_age: 1h\n    tensors: stacked\n    tensor_name: x"}, 1, "stale     model fraud: its tensors, or what is remembered of its"},
		{"a name that a view lends", []string{"type: float64}]\n    max", "type: float64, as: \"v:fraud\"}]\n    max"}, 1, "free      model fraud: its endpoint"},
		{"an input", []string{"w:since]", "w:since, v:rate]"}, 1, "stale     model fraud: its inputs change;"},
		{"order of inputs", []string{"[v:last_fare, w:since]", "[w:since, v:last_fare]"}, 1, "stale     model fraud: its inputs change;"},
		{"a default", []string{"expr: fare}", "expr: fare, default: 1}"}, 1, "stale     model fraud: its inputs of v are read in another way;"},
		{"a read-time expression", []string{"epoch(now())", "epoch(now()) + 1"}, 1, "stale     model fraud: its inputs of v are read in another way;"},
		{"an on-demand expression", []string{"(event_time(v)) +", "(event_time(v)) -"}, 1, "stale     model fraud: its inputs of w are read in another way;"},
		{"another on-demand expression", []string{"v.rate * 2", "v.rate * 3"}, 1, "free      on-demand view w: twice changes\n"},
		{"ttl", []string{"where: km > 0", "where: km > 0\n    ttl: 1d"}, 1, "stale     model fraud: its inputs of v are read in another way;"},
		{"an expression at write", []string{"expr: fare}", "expr: fare + 1}"}, 1, "revision  view v: revision 2: last_fare changes; stored rows keep their old values"},
		{"an output", []string{"[{name: score,", "[{name: why, type: string}, {name: score,"}, 2, "revision  model fraud: revision 2: output why is new; stored predictions that lack"},
		{"an output's type", []string{"score, type: float64", "score, type: float32"}, 2, "revision  model fraud: revision 2: output score changes;"},
		{"entity", []string{
			"driver_id, type: int64}]}", "driver_id, type: int64}]}\n  - {name: pair, join_keys: [{name: driver_id, type: int64}, {name: b, type: bool}]}",
			"models\n    entity: driver", "models\n    entity: pair",
		}, 2, "revision  model fraud: revision 2: predictions are of pair driver_id int64 b bool;"},
		{"served", []string{"features: [v]}", `features: [v, fraud]}`}, 1, "free      services, sources or texts change; no stored data is touched\n"},
		{"removed", []string{theModel, ""}, 1, "removed   model fraud: is no longer computed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, changes := apply(t, new(memory.Store), project(t, modelled()...))
			if len(changes) != 4 || !strings.Contains(changes[3].String(), "new       model fraud: 1 outputs of driver, computed from 2 features by version 7 at http://models") {
				t.Fatalf("first %v", changes)
			}
			next, changes, err := history.Next(first, project(t, modelled(c.replace...)...))
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
			if strings.Count(texts.String(), "model fraud") > 1 && c.name != "version, served meanwhile" || c.name == "an expression at write" && strings.Contains(texts.String(), "model") {
				t.Errorf("changes %q: more is said of the model than changes", texts.String())
			}
			if got := next.Models["fraud"]; got.Revision != c.revision || got.Removed != (c.name == "removed") {
				t.Errorf("state %+v", got)
			}
		})
	}
}

// TestModelsAreOpened: what was applied is what is read, with the numbers that
// apply gave; columns that come back are other columns.
func TestModelsAreOpened(t *testing.T) {
	store := new(memory.Store)
	apply(t, store, project(t, modelled()...))
	apply(t, store, project(t))
	back, _ := apply(t, store, project(t, modelled("[{name: score,", "[{name: why, type: string}, {name: score,")...))
	p, err := history.Open(back)
	if err != nil {
		t.Fatal(err)
	}
	plan := p.Models["fraud"]
	if plan.View.Revision != 2 || plan.Model.Revision != 2 || plan.View.StoredName() != "fraud@1" || plan.Stored.ID == 0 || plan.Stored.ID == p.Plans["v"].Stored.ID {
		t.Errorf("view %+v, stored %+v", plan.View, plan.Stored)
	}
	var names []string
	for _, c := range plan.Stored.Columns {
		names = append(names, c.Name)
		if c.Since != 2 || c.Hidden != (c.Name != "why" && c.Name != "score") {
			t.Errorf("column %+v", c)
		}
	}
	if got := strings.Join(names, " "); got != "why score version fingerprint catalog by" {
		t.Errorf("columns %s", got)
	}
	if _, changes, err := history.Next(back, p); err != nil || len(changes) != 0 {
		t.Errorf("what was opened changes: %v, %v", changes, err)
	}
	third, _ := apply(t, store, project(t, modelled("[{name: score,", "[{name: score2, type: string}, {name: score,")...))
	if p, err = history.Open(third); err != nil {
		t.Fatal(err)
	}
	if c := p.Models["fraud"].Stored.Columns; c[0].Since != 3 || c[1].Since != 2 || c[2].Since != 2 {
		t.Errorf("columns %+v", c)
	}
}

// TestNamesOfViewsAndModelsStayApart over time, too: their cells have one name.
func TestNamesOfViewsAndModelsStayApart(t *testing.T) {
	first, _ := apply(t, new(memory.Store), project(t, modelled()...))
	_, _, err := history.Next(first, project(t, "  - name: v\n", "  - name: fraud\n", "sources: [r]", "sources: [r]", "features: [v]", "features: [fraud]"))
	if err == nil || !strings.Contains(err.Error(), "view fraud has the name of a model that was applied before") {
		t.Errorf("%v", err)
	}
	first, _ = apply(t, new(memory.Store), project(t))
	const model = "\nmodels: [{name: v, entity: driver, outputs: [{name: a, type: bool}]}]"
	_, _, err = history.Next(first, project(t, "  - name: v\n", "  - name: v2\n", "features: [v]}", "features: [v2]}"+model))
	if err == nil || !strings.Contains(err.Error(), "model v has the name of a view that was applied before") {
		t.Errorf("%v", err)
	}
}
