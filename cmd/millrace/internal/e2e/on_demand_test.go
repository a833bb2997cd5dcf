package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// quoteDefinitions adds an on-demand view to those of trips.
var quoteDefinitions = strings.Replace(tripDefinitions, "views:\n", `  - name: quote_request
    request: {}
    fields: [{name: pickup_km, type: float64}, {name: coupon, type: string, optional: true}]
views:
`, 1) + `  - name: quote_v1
    features:
      - "driver_trips:serial"
      - quote
      - {view: quote, as: backup, keys: {driver_id: backup_driver_id}, features: [expected_fare]}
on_demand_views:
  - name: quote
    sources: [driver_trips, driver_last, quote_request]
    features:
      - {name: expected_fare, expr: driver_trips.fare_per_km * pickup_km}
      - {name: label, expr: "lower(driver_last.last_status) || coalesce(coupon, '')"}
      - {name: fresh, expr: epoch(now()) - epoch(event_time(driver_trips)) < 3600, default: false}
`

// TestOnDemandViews: an event in, and what a caller brings, make a value.
func TestOnDemandViews(t *testing.T) {
	s := newStack(t, "ondemand")
	s.write(quoteDefinitions)
	s.up(1)
	s.produce(0, "7", trip(7, 1, time.Now()))
	s.waitValue(10*time.Second, 7, "driver_trips:serial", "1")
	for _, c := range []struct {
		path, body, want string
		status           int
	}{
		{
			"/v1/lookup",
			`{"service": "quote_v1", "entities": {"driver_id": [7, 8], "backup_driver_id": [8, 7]}, "contexts": [{"pickup_km": 2}, {"pickup_km": 3, "coupon": "!"}]}`,
			`"values":[1,5,"completed",true,null]},{"entity":{"driver_id":8,"backup_driver_id":7},"values":[null,null,null,false,7.5]}`, 200,
		},
		{"/v1/lookup", `{"features": ["quote:label"], "entities": [{"driver_id": 7}], "context": {"coupon": "?"}}`, `"values":["completed?"]`, 200},
		{"/v1/lookup", `{"features": ["quote:expected_fare"], "entities": [{"driver_id": 7}], "context": {"pickup_kn": 2}}`, `"suggestion":"pickup_km"`, 400},
		{"/v1/lookup", `{"features": ["quote:expected_fare"], "entities": [{"driver_id": 7}]}`, `"missing_context"`, 422},
		{
			"/get-online-features", `{"features": ["quote:expected_fare"], "entities": {"driver_id": [7, 8], "pickup_km": [4, 4]}}`,
			`{"values":[10.0,null],"statuses":["PRESENT","NULL_VALUE"]`, 200,
		},
	} {
		status, text, err := s.post(c.path, json.RawMessage(c.body))
		if err != nil || status != c.status || !strings.Contains(string(text), c.want) {
			t.Errorf("%s %s\nanswered %d %s (%v), not %d with %s", c.path, c.body, status, text, err, c.status, c.want)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"get", "quote_v1", "driver_id=7", "pickup_km=2", "--server", s.http}, `"quote:expected_fare":5`},
		{[]string{"get", "quote:expected_fare", "driver_trips:serial", "driver_id=7", "pickup_km=2", "--server", s.http}, `"quote:expected_fare":5`},
		{[]string{"explain", "quote", "--definitions", "definitions"}, "driver_trips.fare_per_km"},
		{[]string{"explain", "quote", "--json", "--definitions", "definitions"}, `"name": "pickup_km"`},
		{[]string{"check", "--definitions", "definitions"}, "1 on-demand views"},
		{[]string{"plan", "--definitions", "definitions"}, "nothing would change"},
	} {
		if out := s.mustRun(c.args...); !strings.Contains(out, c.want) {
			t.Errorf("millrace %s lacks %q:\n%s", strings.Join(c.args, " "), c.want, tail(out, 800))
		}
	}
	s.write(strings.Replace(quoteDefinitions, "fare_per_km * pickup_km", "fare_per_km * pickup_km + 1", 1))
	if out := s.mustRun("apply", "--definitions", "definitions"); !strings.Contains(out, "free      on-demand view quote: expected_fare changes") {
		t.Errorf("a change of an on-demand view:\n%s", out)
	}
}
