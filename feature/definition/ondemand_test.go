package definition_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"millrace/feature"
	"millrace/feature/definition"
)

// onDemandBase is a project of on-demand views without faults.
const onDemandBase = `project: rides
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
  - {name: item, join_keys: [{name: item_id, type: string}]}
sources:
  - name: trips
    kafka: {topic: trips}
    fields: [{name: driver_id, type: int64}, {name: fare, type: float64}, {name: sku, type: string}]
  - {name: quote_request, request: {}, fields: [{name: pickup_km, type: float64}, {name: coupon, type: string, optional: true}]}
  - {name: web_request, request: {}, fields: [{name: coupon, type: int64}]}
views:
  - {name: driver_trips, entity: driver, source: trips, features: [{name: last_fare, expr: fare}, {name: doubled, expr: last_fare * 2, at: read}]}
  - {name: item_sales, entity: item, source: trips, keys: {item_id: sku}, features: [{name: last_price, expr: fare}]}
on_demand_views:
  - name: quote
    sources: [driver_trips, quote_request]
    features:
      - {name: expected_fare, expr: driver_trips.last_fare * pickup_km, default: 2}
      - {name: coupon}
      - {name: idle_s, expr: epoch(now()) - epoch(event_time(driver_trips)), at: read}
      - {name: rounded, expr: round(expected_fare), type: float64}
  - {name: web, entity: driver, sources: [web_request], features: [{name: code, expr: coupon + 1}]}
services:
  - name: eta
    features:
      - quote:expected_fare
      - web
      - {view: quote, as: backup, keys: {driver_id: other_id}, features: [rounded]}
`

func TestOnDemandViews(t *testing.T) {
	p, err := load(onDemandBase)
	if err != nil {
		t.Fatal(err)
	}
	v := p.Catalog.OnDemandView("quote")
	if v.Entity != "driver" || p.OnDemand["quote"] == nil || p.OnDemand["quote"].View != v || p.OnDemand["web"] == nil {
		t.Fatalf("view %+v", v)
	}
	if d := v.Features[0].Default; d == nil || d.Floats[0] != 2 || v.Features[1].Type != feature.Of(feature.KindString) {
		t.Errorf("features %+v", v.Features)
	}
	refs := p.Catalog.Service("eta").Features
	if len(refs) != 3 || refs[1].Feature != "code" || refs[2].As != "backup" || refs[2].Keys["driver_id"] != "other_id" {
		t.Errorf("service %+v", refs)
	}
}

func TestMistakesInOnDemandViews(t *testing.T) {
	for _, c := range []mistake{
		{"name of a view", "services:\n", "  - {name: item_sales, sources: [driver_trips], features: [{name: a, expr: '1'}]}\nservices:\n", "23:12", "name of the view at a.yaml:13"},
		{"unknown key", "    sources: [driver_trips, quote_request]\n", "    sources: [driver_trips, quote_request]\n    ttl: 1d\n", "17:5", "unknown key ttl"},
		{"unknown source", "[driver_trips, quote_request]", "[driver_trips, quote_requests]", "16:29", "did you mean quote_request?"},
		{"source of records", "[driver_trips, quote_request]", "[driver_trips, quote_request, trips]", "16:44", "name a view that it feeds: driver_trips, item_sales"},
		{"on-demand view as a source", "[driver_trips, quote_request]", "[driver_trips, quote_request, web]", "16:44", "cannot be a source of another"},
		{"itself as a source", "[driver_trips, quote_request]", "[driver_trips, quote_request, quote]", "16:44", "cannot be a source of another"},
		{"source twice", "[driver_trips, quote_request]", "[driver_trips, quote_request, driver_trips]", "16:44", "names source driver_trips twice"},
		{"no sources", "sources: [web_request], features: [{name: code, expr: coupon + 1}]", "sources: [], features: [{name: code, expr: '1'}]", "22:42", "list views"},
		{"view of another entity", "[driver_trips, quote_request]", "[driver_trips, item_sales, quote_request]", "16:29", "of entity item, not of driver"},
		{"entity that the views are not of", "    sources: [driver", "    entity: item\n    sources: [driver", "17:15", "of entity driver, not of item"},
		{"unknown entity", "entity: driver, sources: [web", "entity: drivr, sources: [web", "22:25", "did you mean driver?"},
		{"no entity", "entity: driver, sources: [web", "sources: [web", "22:5", "add entity: NAME"},
		{"unknown feature of a view", "driver_trips.last_fare *", "driver_trips.last_fair *", "18:37", "did you mean driver_trips.last_fare?"},
		{"feature without its view", "driver_trips.last_fare *", "last_fare *", "18:37", "did you mean driver_trips.last_fare?"},
		{"view that is no source", "driver_trips.last_fare *", "item_sales.last_price *", "18:37", "list item_sales under sources"},
		{"unknown field", "* pickup_km", "* pickup_kn", "18:62", "did you mean pickup_km?"},
		{"field of two request sources", "[driver_trips, quote_request]", "[driver_trips, quote_request, web_request]", "19:16", "write quote_request.coupon or web_request.coupon"},
		{"type", "* pickup_km", "* coupon", "18:37", "cannot multiply float64 and string"},
		{"circle", "expr: driver_trips.last_fare * pickup_km, default: 2", "expr: rounded", "21:31", "computed from itself"},
		{"stated type", "type: float64}\n  - {name: web", "type: int64}\n  - {name: web", "21:59", "is stated to be int64"},
		{"at write", "at: read}\n      - {name: rounded", "at: write}\n      - {name: rounded", "20:82", `at "write" is not one of read`},
		{"bad default", "default: 2", "default: two", "18:82", "write a float64"},
		{"feature twice", "{name: coupon}", "{name: expected_fare, expr: coupon}", "19:16", "has feature expected_fare twice"},
		{"name of a join key", "{name: coupon}", "{name: driver_id, expr: coupon}", "19:16", "has the name of a join key"},
		{"name of a field", "{name: coupon}", "{name: pickup_km, expr: coupon}", "19:33", "has the name of a field of source quote_request"},
		{"event time of nothing", "event_time(driver_trips)", "event_time()", "20:51", "write event_time(driver_trips)"},
		{"event time of a source", "event_time(driver_trips)", "event_time(trips)", "20:62", "unknown view trips"},
		{"windows", "{name: coupon}", "{name: coupon, agg: count}", "19:24", "unknown key agg"},
		{"unknown in a service", "- quote:expected_fare", "- quote:expected_fair", "26:15", "did you mean expected_fare?"},
		{"unknown view in a service", "- quote:expected_fare", "- quoet:expected_fare", "26:9", "did you mean quote?"},
		{"foreign join key", "keys: {driver_id: other_id}", "keys: {item_id: other_id}", "28:42", "has no join key item_id"},
	} {
		t.Run(c.name, func(t *testing.T) { c.isTold(t, onDemandBase) })
	}
}

// isTold makes the mistake in a base, and wants it and nothing else told.
func (c *mistake) isTold(t *testing.T, base string) {
	t.Helper()
	if !strings.Contains(base, c.old) {
		t.Fatalf("the base has no %q", c.old)
	}
	_, err := load(strings.Replace(base, c.old, c.new, 1))
	var all definition.Errors
	if !errors.As(err, &all) || len(all) != 1 {
		t.Fatalf("want one error, not %d:\n%v", len(all), err)
	}
	if at := fmt.Sprintf("%d:%d", all[0].Line, all[0].Column); at != c.at || !strings.Contains(all[0].Message+"\n"+all[0].Hint, c.says) || all[0].Hint == "" {
		t.Errorf("want %s with %q in\n%v", c.at, c.says, err)
	}
}

// Mistakes are told at once, and only mistakes.
func TestConsequencesInOnDemandViews(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     []string
	}{
		{"independent ones", "18:37 19:26 20:51 22:93", []string{
			"driver_trips.last_fare *", "driver_trips.last_fair *", "{name: coupon}", "{name: km, expr: pickup_kn}",
			"event_time(driver_trips)", "event_time()", "coupon + 1", "upper(coupon)", "type: float64}\n  - {name: web", "type: int64}\n  - {name: web",
		}},
		{"a view's field", "8:65", []string{"{name: fare, type: float64}", "{name: fare, type: flaot64}"}},
		{"a view's feature", "12:92", []string{"expr: fare}, {name: doubled", "expr: farre}, {name: doubled"}},
		{"name of a view's feature", "12:69", []string{"{name: last_fare, expr: fare}", "{nam: last_fare, expr: fare}", "expr: last_fare * 2", "expr: fare * 2"}},
		{"a request field's type", "9:73", []string{"pickup_km, type: float64", "pickup_km, type: flaot64"}},
		{"name of a request field", "9:50", []string{"{name: pickup_km", "{nam: pickup_km"}},
		{"name of a view", "12:6", []string{"{name: driver_trips,", "{nam: driver_trips,"}},
		{"all views", "11:1", []string{"\nviews:", "\nveiws:"}},
		{"all on-demand views", "14:1", []string{"on_demand_views:", "on_demand_veiws:"}},
		{"a feature that others name", "18:43", []string{"driver_trips.last_fare * pickup_km", "upper(driver_trips.last_fare)"}},
		{"sources", "16:5", []string{"    sources: [driver", "    source: [driver"}},
		{"key of a feature", "18:31", []string{"{name: expected_fare, expr:", "{name: expected_fare, exp:"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.NewReplacer(c.change...).Replace(onDemandBase)
			if got := places(t, text); got != c.want {
				_, err := load(text)
				t.Errorf("mistakes at %s, want %s\n%v", got, c.want, err)
			}
		})
	}
}
