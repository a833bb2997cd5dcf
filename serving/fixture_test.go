package serving_test

import (
	"context"
	"testing"
	"time"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/serving"
	"millrace/serving/servingtest"
)

const rides = `
project: rides
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
  - {name: shop, join_keys: [{name: city, type: string}, {name: shop_no, type: int64}]}
sources:
  - name: trips
    push: {}
    fields: [{name: driver_id, type: int64}, {name: fare, type: float64}, {name: km, type: float64}]
  - name: sales
    push: {}
    fields: [{name: city, type: string}, {name: shop_no, type: int64}, {name: sold, type: int64}]
views:
  - name: trip
    entity: driver
    source: trips
    features: [{name: fare}, {name: km}, {name: per_km, expr: "fare / km", at: read}]
  - {name: pay, entity: driver, source: trips, ttl: 1h, features: [{name: earned, expr: fare, default: 0.5}]}
  - {name: loose, entity: driver, source: trips, ttl: 1h, ttl_mode: ignore, features: [{name: fare}]}
  - {name: told, entity: driver, source: trips, ttl: 1h, ttl_mode: report, features: [{name: fare}]}
  - {name: shop_sales, entity: shop, source: sales, features: [{name: sold}]}
services:
  - {name: eta, features: [trip, pay]}
  - name: pair
    features:
      - trip
      - {view: trip, as: backup, keys: {driver_id: backup_id}, features: [fare]}
      - shop_sales
`

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func load(t testing.TB, yaml string) *definition.Project {
	t.Helper()
	p, err := definition.Load([]definition.File{{Name: "p.yaml", Data: []byte(yaml)}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newService(t testing.TB, store serving.Store, change func(*serving.Settings)) *serving.Service {
	t.Helper()
	p := load(t, rides)
	s := serving.Settings{Catalog: p.Catalog, Plans: p.Plans, OnDemand: p.OnDemand, Store: store, Clock: func() time.Time { return noon }}
	if change != nil {
		change(&s)
	}
	svc, err := serving.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return svc
}

// drivers asks read for drivers; a negative number stands for null. Every
// integer column gets them, text columns get "x".
func drivers(read *serving.Read, ids ...int64) *serving.Request {
	req := new(serving.Request)
	req.Reset(read)
	req.Rows = len(ids)
	for i := range req.Columns {
		c := &req.Columns[i]
		c.Resize(len(ids))
		for row, id := range ids {
			switch {
			case id < 0:
				c.SetNull(row)
			case c.Type == feature.Of(feature.KindString):
				c.SetString(row, "x")
			default:
				c.SetInt(row, id)
			}
		}
	}
	return req
}

func prepare(t testing.TB, svc *serving.Service, names ...string) *serving.Read {
	t.Helper()
	read, err := svc.PrepareFeatures(names)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func lookup(t testing.TB, svc *serving.Service, req *serving.Request) *serving.Response {
	t.Helper()
	resp := new(serving.Response)
	if err := svc.Lookup(context.Background(), req, resp); err != nil {
		t.Fatal(err)
	}
	return resp
}

func put(t testing.TB, s *servingtest.Store, view, key string, age time.Duration, columns string) {
	t.Helper()
	if err := s.Put(view+"@1", key, noon.Add(-age), columns); err != nil {
		t.Fatal(err)
	}
}
