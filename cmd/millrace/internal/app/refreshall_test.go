package app

import (
	"strings"
	"testing"

	"millrace/feature/definition"
)

// What makes stored predictions stale is other work, and nothing else is: a
// sweep that goes on after it would leave keys out, one that begins anew for
// nothing costs a day.
func TestRefreshWorkIsWhatPredictionsAreMadeOf(t *testing.T) {
	const text = `project: p
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources: [{name: trips, push: {}, fields: [{name: driver_id, type: int64}, {name: fare, type: float64}]}]
views: [{name: v, entity: driver, source: trips, features: [{name: last_fare, expr: fare, default: 0}, {name: other, expr: fare}]}]
models:
  - name: fraud
    version: "7"
    endpoint: http://models:8080
    entity: driver
    inputs: ["v:last_fare"]
    outputs: [{name: score, type: float64}]
    max_age: 1h
`
	work := func(from, to string) string {
		t.Helper()
		if !strings.Contains(text, from) {
			t.Fatalf("there is no %q", from)
		}
		p, err := definition.Load([]definition.File{{Name: "p.yaml", Data: []byte(strings.Replace(text, from, to, 1))}})
		if err != nil {
			t.Fatal(err)
		}
		return RefreshWork(p.Models["fraud"])
	}
	was := work("p", "p")
	for _, c := range []struct {
		old, new string
		other    bool
	}{
		{`"7"`, `"8"`, true},
		{"default: 0", "default: 1", true},
		{`["v:last_fare"]`, `["v:last_fare", "v:other"]`, true},
		{"type: float64}]\n    max", "type: float32}]\n    max", true},
		{"models:8080", "others:8080", false},
		{"max_age: 1h", "max_age: 2h", false},
		{"name: other, expr: fare", "name: other, expr: fare + 1", false},
	} {
		if other := work(c.old, c.new) != was; other != c.other {
			t.Errorf("%s instead of %s is other work: %v", c.new, c.old, other)
		}
	}
}
