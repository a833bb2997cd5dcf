package serving_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/serving"
	"millrace/serving/servingtest"
)

const mixed = `
project: rides
entities:
  - {name: driver, join_keys: [{name: driver_id, type: string}]}
  - {name: offer, join_keys: [{name: driver_id, type: string}, {name: item_id, type: int64}]}
sources:
  - name: trips
    push: {}
    fields:
      - {name: driver_id, type: string}
      - {name: n, type: int64}
      - {name: name, type: string}
      - {name: raw, type: bytes}
      - {name: vec, type: list<int64>, length: 2}
  - {name: offers, push: {}, fields: [{name: driver_id, type: string}, {name: item_id, type: int64}, {name: price, type: float64}]}
  - {name: asked, request: {}, fields: [{name: km, type: float64}]}
views:
  - name: trip
    entity: driver
    source: trips
    features:
      - {name: last, expr: n}
      - {name: name, default: nobody}
      - {name: raw}
      - {name: vec, default: [1, 2]}
      - {name: shown, expr: "n * 2", at: read, default: 7}
      - {name: fault, expr: "9223372036854775797 + n - 9223372036854775797", at: read, default: 1}
      - {name: count, agg: count, windows: [1h, 2h], hop: 15m}
  - {name: offered, entity: offer, source: offers, features: [{name: price, default: 0.5}]}
on_demand_views:
  - {name: double, entity: driver, sources: [trip], features: [{name: last4, expr: "trip.shown * 2", type: int64}, {name: same, expr: "trip.name", type: string}]}
  - {name: far, entity: driver, sources: [trip, asked], features: [{name: km2, expr: "km * 2.0", type: float64}, {name: named, expr: "trip.name", type: string}]}
models:
  - name: state
    version: "1"
    endpoint: http://m
    entity: driver
    inputs: ["trip:last", "trip:count_1h", "double:last4", "trip:name", "trip:raw"]
    outputs: [{name: text, type: string, as: "trip:told"}, {name: list, type: list<string>, length: 2}]
    max_age: 1h
    serve_stale_for: 10m
  - name: vals
    version: "1"
    endpoint: http://m
    entity: driver
    fingerprint: values
    on_error: last_value
    inputs: ["trip:vec", "trip:fault", "double:same", "far:named"]
    outputs: [{name: text, type: string}, {name: list, type: list<string>, length: 2}]
  - name: cost
    version: "1"
    endpoint: http://m
    entity: driver
    cache: none
    inputs: ["far:km2", "trip:name", "trip:vec"]
    outputs: [{name: text, type: string}, {name: list, type: list<string>, length: 2}]
  - name: pair
    version: "1"
    endpoint: http://m
    entity: offer
    inputs: ["offered:price", "trip:name", "double:last4"]
    outputs: [{name: text, type: string}, {name: list, type: list<string>, length: 2}]
  - {name: given, version: "1", entity: driver, outputs: [{name: text, type: string}, {name: list, type: list<string>, length: 2}]}
services:
  - name: two
    features:
      - state
      - {view: state, as: other, keys: {driver_id: backup_id}}
      - {view: vals, as: vals2, keys: {driver_id: backup_id}}
      - {view: pair, as: pair2, keys: {driver_id: backup_id}}
      - {view: cost, as: cost2, keys: {driver_id: backup_id}}
      - {view: trip, as: trip2, keys: {driver_id: backup_id}, features: [last, told, count_2h]}
      - vals
      - pair:list
      - cost
      - given:text
      - trip:told
      - double:same
`

// teller answers what it was asked, as text.
type teller struct{}

func (teller) Predict(_ context.Context, q *serving.Inference, dst *serving.Inferred) error {
	list := feature.ListOf(feature.Of(feature.KindString))
	list.Length = 2
	dst.Outputs = make([]feature.Column, 2)
	dst.Outputs[0].Reset(feature.Of(feature.KindString))
	dst.Outputs[1].Reset(list)
	dst.Faults = make([]serving.InferenceFault, q.Rows)
	for i := range dst.Outputs {
		dst.Outputs[i].Resize(q.Rows)
	}
	for row := range q.Rows {
		var all []string
		for _, c := range q.Inputs {
			all = append(all, cellText(c, row))
		}
		text := strings.Join(all, ",")
		dst.Outputs[0].SetString(row, text)
		at := dst.Outputs[1].Elems.Len()
		dst.Outputs[1].Elems.Resize(at + 2)
		dst.Outputs[1].Elems.SetString(at, "of "+text)
		dst.Outputs[1].Elems.SetString(at+1, "again "+text)
		dst.Outputs[1].SetList(row, at)
	}
	return nil
}

func cellText(c *feature.Column, row int) string {
	if c == nil || c.IsNull(row) {
		return "null"
	}
	switch c.Type.Layout() {
	case feature.LayoutInt:
		return fmt.Sprint(c.Ints[row])
	case feature.LayoutFloat:
		return fmt.Sprint(math.Round(c.Floats[row]*8) / 8)
	case feature.LayoutList:
		var all []string
		for i := c.Spans[row].Start; i < c.Spans[row].End; i++ {
			all = append(all, cellText(c.Elems, int(i)))
		}
		return fmt.Sprint(all)
	default:
		return strings.Clone(c.Strings[row])
	}
}

// lending is a store whose texts are gone when it is read again, and which
// stores nothing for keeps: writes go, late, to another.
type lending struct {
	*servingtest.Store
	kept *servingtest.Store
}

func (l *lending) Read(ctx context.Context, q *feature.Query, dst []feature.Loaded) error {
	for i := range dst {
		all := dst[i].Arena.Tail(1 << 10)[:1<<10]
		for k := range all {
			all[k] = '!'
		}
	}
	if err := l.Store.Read(ctx, q, dst); err != nil {
		return err
	}
	for i := range dst {
		dst[i].Arena.Reset()
		for k := range dst[i].Columns {
			lend(&dst[i].Arena, &dst[i].Columns[k])
			if e := dst[i].Columns[k].Elems; e != nil {
				lend(&dst[i].Arena, e)
			}
		}
	}
	return nil
}

func lend(a *feature.Arena, c *feature.Column) {
	for n := range c.Strings {
		c.Strings[n] = a.Copy([]byte(c.Strings[n]))
	}
}

func (l *lending) WriteRows(ctx context.Context, rows *feature.Rows) error {
	select { // beyond the lookup, and other lookups
	case <-time.After(2 * time.Millisecond):
	case <-ctx.Done():
	}
	return l.kept.WriteRows(ctx, rows)
}

// mixedRow is a row of a request; "" and -1 stand for null.
type mixedRow struct {
	driver, backup string
	item           int64
	km             float64
}

// askMixed shows values of all outputs by row, with status and origin.
func askMixed(t *testing.T, svc *serving.Service, read *serving.Read, rows []mixedRow) [][]string {
	t.Helper()
	req := new(serving.Request)
	req.Reset(read)
	req.Rows = len(rows)
	req.Timeout = time.Millisecond // what is stored is stored behind it

	var memory [][]byte // of the request, which is gone with it
	lent := func(text string) string {
		b := []byte(text)
		memory = append(memory, b)
		return unsafe.String(unsafe.SliceData(b), len(b))
	}
	for i, f := range read.Columns() {
		c := &req.Columns[i]
		c.Resize(len(rows))
		for n, r := range rows {
			switch {
			case f.Name == "item_id" && r.item >= 0:
				c.SetInt(n, r.item)
			case f.Name == "driver_id" && r.driver != "":
				c.SetString(n, lent(r.driver))
			case f.Name == "backup_id" && r.backup != "":
				c.SetString(n, lent(r.backup))
			}
		}
	}
	for i := range req.Context {
		req.Context[i].Resize(len(rows))
		for n, r := range rows {
			req.Context[i].SetFloat(n, r.km)
		}
	}
	resp := new(serving.Response)
	if err := svc.Lookup(t.Context(), req, resp); err != nil {
		t.Fatal(err)
	}
	all := make([][]string, len(rows))
	for n := range rows {
		for i := range read.Outputs() {
			v := resp.Value(i, n)
			all[n] = append(all[n], fmt.Sprint(cellText(v.Column, v.Row), " ", v.Status, " ", v.Origin, ":", v.Detail, " ", v.HasTime, " ", v.EventMicros))
		}
	}
	resp.Release()
	for _, b := range memory {
		clear(b)
	}
	return all
}

// Whatever is asked beside it, each row is answered as it would be alone, and
// what is stored of it is what was answered.
func TestPredictionsAreThoseOfTheirRow(t *testing.T) {
	p := load(t, mixed)
	predictors := map[string]serving.Predictor{}
	for _, m := range []string{"state", "vals", "cost", "pair"} {
		predictors[m] = teller{}
	}
	rapid.Check(t, func(rt *rapid.T) {
		base, now := servingtest.NewStore(), noon
		var kept *servingtest.Store
		start := func(discard bool) *serving.Service {
			s := serving.Settings{
				Catalog: p.Catalog, Plans: p.Plans, OnDemand: p.OnDemand, Models: p.Models, Predictors: predictors,
				Store: base, Tiles: base, Predictions: base, Clock: func() time.Time { return now },
				Events: serving.Events{Failed: func(err error) { t.Error(err) }},
			}
			if discard {
				kept = servingtest.NewStore()
				s.Store, s.Predictions = &lending{base, kept}, &lending{base, kept}
			}
			svc, err := serving.New(s)
			if err != nil {
				t.Fatal(err)
			}
			return svc
		}
		names := []string{"a", "bb", "ccc", "d|d", "e"}
		change := func(label string) {
			for _, id := range rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID[string]).Draw(rt, label) {
				n := rapid.SampledFrom([]int{3, 4, 13}).Draw(rt, "n")
				key := string(feature.AppendKey(nil, []feature.Column{textColumn(id)}, 0))
				if err := base.Put("trip@1", key, now, fmt.Sprintf(`{"last": %d, "n": %d, "name": "%s%d", "raw": "r%s", "vec": [%d, 5]}`, n, n, id, n, id, n)); err != nil {
					t.Fatal(err)
				}
				if rapid.Bool().Draw(rt, "counted") {
					if err := base.Count(p.Plans["trip"], 0, now.Add(-time.Duration(n)*10*time.Minute), fmt.Sprintf(`{"driver_id": "%s", "n": 1}`, id)); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		some := func(label string, most int) []mixedRow {
			return rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) mixedRow {
				text := rapid.SampledFrom(append([]string{""}, names...))
				return mixedRow{text.Draw(rt, "driver"), text.Draw(rt, "backup"), rapid.Int64Range(-1, 1).Draw(rt, "item"), float64(rapid.IntRange(0, 3).Draw(rt, "km"))}
			}), 0, most).Draw(rt, label)
		}
		change("first")
		svc := start(false)
		read, fault := svc.PrepareService("two")
		if fault != nil {
			t.Fatal(fault)
		}
		askMixed(t, svc, read, some("asked before", 4))
		svc.Close()
		now = now.Add(rapid.SampledFrom([]time.Duration{time.Minute, 11 * time.Minute, 65 * time.Minute, 80 * time.Minute}).Draw(rt, "later"))
		change("then")
		svc = start(true)
		read, _ = svc.PrepareService("two")
		rows := some("rows", 8)
		// Nothing is stored where it is read, so that all lookups find the same.
		together := askMixed(t, svc, read, rows)
		for n := range rows {
			alone := askMixed(t, svc, read, rows[n:n+1])[0]
			if !slices.Equal(alone, together[n]) {
				rt.Fatalf("row %d: %q\nalone %q", n, together[n], alone)
			}
			for i, name := range read.Names() {
				row := rows[n]
				view, output, _ := strings.Cut(name, ":")
				if plain, mapped := map[string]string{"other": "state", "vals2": "vals", "pair2": "pair", "cost2": "cost", "trip2": "trip"}[view]; mapped {
					name, row.driver = plain+":"+output, row.backup
				}
				if got := askMixed(t, svc, prepare(t, svc, name), []mixedRow{row})[0][0]; got != alone[i] {
					rt.Fatalf("row %d, %s: %s\nalone %s", n, read.Names()[i], alone[i], got)
				}
			}
		}
		svc.Close()
		checkKept(rt, kept, base, p.Models["state"].View.StoredName(), names)
	})
}

func textColumn(text string) (c feature.Column) {
	c.Reset(feature.Of(feature.KindString))
	c.Resize(1)
	c.SetString(0, text)
	return c
}

// checkKept compares what was stored of keys with their rows.
func checkKept(rt *rapid.T, kept, base *servingtest.Store, view string, names []string) {
	for _, id := range names {
		key := string(feature.AppendKey(nil, []feature.Column{textColumn(id)}, 0))
		got, found := storedText(rt, kept, view, "text", key)
		if !found {
			continue
		}
		name, found := storedText(rt, base, "trip@1", "name", key)
		if !found {
			name = "nobody"
		}
		if !strings.Contains(got, ","+name+",") {
			rt.Fatalf("of %s there is kept %q, want one of %q", id, got, name)
		}
	}
}

// storedText is what a store has in a column of a row.
func storedText(rt *rapid.T, s *servingtest.Store, view, column, key string) (text string, found bool) {
	dst := make([]feature.Loaded, 1)
	columns := []feature.StoredColumn{{Name: column, Type: feature.Of(feature.KindString)}}
	err := s.Read(context.Background(), &feature.Query{Keys: []string{key}, Views: []feature.ViewQuery{{View: view, Columns: columns}}}, dst)
	if err != nil {
		rt.Fatal(err)
	}
	return dst[0].Columns[0].Strings[0], dst[0].Found.Get(0)
}
