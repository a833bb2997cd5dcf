package rest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"millrace/feature/definition"
	"millrace/serving"
	"millrace/serving/rest"
	"millrace/serving/servingtest"
)

const wideKeys = `
project: rides
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
  - {name: odd, join_keys: [{name: b, type: bool}, {name: t, type: timestamp}, {name: y, type: bytes}, {name: s, type: string}, {name: i, type: int32}]}
sources:
  - name: trips
    push: {}
    fields: [{name: driver_id, type: int64}, {name: fare, type: float64}, {name: b, type: bool}, {name: t, type: timestamp},
             {name: y, type: bytes}, {name: s, type: string}, {name: i, type: int32}]
  - name: data
    request: {}
    fields: [{name: km, type: float64}, {name: n, type: int32, optional: true}, {name: list, type: "list<float32>", optional: true},
             {name: extra, type: json, optional: true}, {name: since, type: timestamp, optional: true}, {name: raw, type: bytes, optional: true}]
views:
  - {name: trip, entity: driver, source: trips, ttl: 1h, features: [{name: fare, default: 1}, {name: twice, expr: fare * 2, at: read}]}
  - {name: odd_view, entity: odd, source: trips, features: [{name: fare}]}
on_demand_views:
  - name: quote
    sources: [trip, data]
    features:
      - {name: cost, expr: trip.twice * km + n}
      - {name: list}
      - {name: extra}
      - {name: since}
      - {name: raw}
services:
  - {name: all, features: [trip, odd_view]}
  - {name: quotes, features: [quote, {view: quote, as: second, keys: {driver_id: second_id}}]}
`

func newHandler(t testing.TB, store serving.Store, yaml string, events serving.Events) http.Handler {
	t.Helper()
	p, err := definition.Load([]definition.File{{Name: "p.yaml", Data: []byte(yaml)}})
	if err != nil {
		t.Fatal(err)
	}
	svc, err := serving.New(serving.Settings{
		Catalog: p.Catalog, Plans: p.Plans, OnDemand: p.OnDemand, Store: store, Events: events,
		Clock: func() time.Time { return time.Unix(1_800_000_000, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return rest.Handler(svc, rest.Settings{})
}

// Whatever the body, the answer is JSON, and never a fault of the server. The
// handler is shared, so that what one request leaves in pooled memory meets the
// next one.
func FuzzBodies(f *testing.F) {
	for _, body := range []string{
		`{"service":"all","entities":[{"driver_id":1,"b":true,"t":"2026-01-01T00:00:00Z","y":"AQ==","s":"x","i":7}],"include":["status","origin"]}`,
		`{"features":["trip"],"entities":{"driver_id":["1",2.0,null,1e3]},"named":true,"max_age":{"trip":"1d"},"context":{},"contexts":[]}`,
		`{"features":["trip:fare"],"entities":{"driver_id":[9007199254740993,1e300,-0]},"full_feature_names":true}`,
		`{"feature_service":"all","entities":{"driver_id":[1],"b":["true"],"t":[1795512599],"y":[""],"s":["\ud800"],"i":["-5"]}}`,
		`{"features":["trip@latest:fare","odd_view@latest:fare"],"entities":{"\u0064river_id":[1]},"features":null}`,
		`{"service":"quotes","entities":[{"driver_id":1,"km":1},{"driver_id":2,"second_id":1}],"contexts":[{"n":1.0,"list":[1,null]},{"km":"2","extra":{"a":[]}}]}`,
		`{"service":"quotes","entities":{"driver_id":[1,1],"list":[[1],[]]},"context":{"km":1e3,"since":"2026-01-01T00:00:00Z","raw":"AQ=="}}`,
		`{"feature_service":"quotes","full_feature_names":true,"entities":{"driver_id":[1],"km":[2],"extra":["{}"]},"request_context":{"n":[1],"since":5},"context":{"raw":""}}`,
		strings.Repeat("[", 1000), `{"a":1}{`, `nan`, "\x00", ``, `{"entities":{"driver_id":[]},"features":[]}`,
	} {
		f.Add(body, true)
		f.Add(body, false)
	}
	store := servingtest.NewStore()
	if err := store.Put("trip@1", "1", time.Unix(1_799_999_000, 0), `{"fare": 2.5}`); err != nil {
		f.Fatal(err)
	}
	h := newHandler(f, store, wideKeys, serving.Events{})
	f.Fuzz(func(t *testing.T, body string, feast bool) {
		path := "/v1/lookup"
		if feast {
			path = "/get-online-features"
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
		if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("answered %d %s", w.Code, w.Body)
		}
	})
}

func FuzzQueries(f *testing.F) {
	f.Add("all", "driver_id=1&b=true&t=2026-01-01T00:00:00Z&y=&s=x&i=7&include=status")
	f.Add("trip", "driver_id=1&driver_id=2&max_age=trip:10m&include=age_ms,event_time")
	f.Add("quotes", "driver_id=1&km=1&km=2&list=[1,2]&extra={}&n=1&raw=&second_id=1")
	f.Add("%2e", "&&=;%")
	f.Add(".", "0")
	h := newHandler(f, servingtest.NewStore(), wideKeys, serving.Events{})
	f.Fuzz(func(t *testing.T, name, query string) {
		r := httptest.NewRequest(http.MethodGet, "/v1/lookup/all", nil)
		r.URL.Path, r.URL.RawQuery = "/v1/lookup/"+name, query
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 300 && w.Code < 400 {
			return // ServeMux cleans the path
		}
		if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("answered %d %s", w.Code, w.Body)
		}
	})
}
