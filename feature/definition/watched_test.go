package definition

import (
	"slices"
	"strings"
	"testing"
)

const watchedBase = `
project: p
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
  - {name: offer, join_keys: [{name: driver_id, type: int64}, {name: item_id, type: int64}]}
sources:
  - name: trips
    kafka: {topic: trips}
    fields: [{name: driver_id, type: int64}, {name: item_id, type: int64}, {name: fare, type: float64}]
views:
  - {name: direct, entity: driver, source: trips, features: [{name: fare}]}
  - {name: behind, entity: driver, source: trips, features: [{name: fare}]}
  - {name: timed, entity: driver, source: trips, features: [{name: fare}]}
  - {name: unused, entity: driver, source: trips, features: [{name: base, expr: fare}]}
  - {name: offered, entity: offer, source: trips, features: [{name: fare}]}
on_demand_views:
  - name: quote
    sources: [behind, timed, unused]
    features:
      - {name: twice, expr: behind.fare * 2}
      - {name: idle, expr: epoch(event_time(timed))}
      - {name: other, expr: unused.base}
models:
  - name: m
    version: "1"
    endpoint: http://m
    entity: driver
    inputs: [direct:fare, quote:twice, quote:idle]
    outputs: [{name: score, type: float64}]
    refresh: [on_read, on_write]
  - name: o
    version: "1"
    endpoint: http://m
    entity: offer
    inputs: [offered:fare, unused:base]
    outputs: [{name: score, type: float64}]
    refresh: [on_write]
`

// Of a model's inputs those of its own entity are watched, behind on-demand
// views only what their features are made of.
func TestWatchedViewsAreInputsOfModelsThatRefreshOnWrite(t *testing.T) {
	for _, c := range []struct {
		want   string
		change []string
	}{
		{"behind direct offered timed", nil},
		{"behind direct timed", []string{"refresh: [on_write]", "refresh: [on_read]"}},
		{"offered", []string{"refresh: [on_read, on_write]", "refresh: [on_read]"}},
		{"", []string{"refresh: [on_read, on_write]", "refresh: [on_read]", "refresh: [on_write]", "refresh: [on_read]"}},
	} {
		p, err := Load([]File{{Name: "a.yaml", Data: []byte(strings.NewReplacer(c.change...).Replace(watchedBase))}})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Watched(); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("watched are %q, want %q", got, c.want)
		}
	}
}
