package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/serving"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sinks/rowcodec"
	"millrace/sources"
	"millrace/sources/jsonrec"
	"millrace/transforms"
	"millrace/transforms/expr"
)

// One definition gives one answer online and offline: events go through
// decoding, the write half, the store and the read API, and through the query
// that `millrace sql` prints. The views name features in features, at both
// halves, with defaults, filters and keys that are expressions.
const viewProject = `
project: rides
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
  - {name: zone, join_keys: [{name: city, type: string}, {name: zone_no, type: int64}]}
sources:
  - name: trips
    kafka: {topic: trips}
    fields:
      - {name: driver_id, type: int32}
      - {name: fare, type: float64}
      - {name: km, type: float64}
      - {name: status, type: string}
      - {name: tags, type: list<string>}
      - {name: extra, type: json}
      - {name: completed_at, type: timestamp}
    event_time: completed_at
views:
  - name: driver_trips
    entity: driver
    source: trips
    where: status <> 'cancelled' or fare > 50
    features:
      - {name: pace, expr: "coalesce(per_km * 2, idle_s)"}
      - {name: per_km, expr: "fare / nullif(km, 0)"}
      - {name: tier, expr: "case when big then upper(status) end", default: NONE}
      - {name: big, expr: fare > 20}
      - {name: status}
      - {name: idle_s, expr: "epoch(now()) - epoch(event_time())", at: read}
      - {name: tag, expr: "tags[1] || '-' || len(tags)::string"}
      - {name: lag_s, expr: "epoch(now()) - epoch(event_time())"}
      - {name: surge, expr: "(extra ->> '$.surge')::float64", at: read, default: 1.5}
      - {name: root, expr: sqrt(km - 1), at: read, default: 9.5}
  - name: zone_trips
    entity: zone
    source: trips
    keys: {city: "lower(status)", zone_no: "driver_id % 3"}
    on_null_key: filter
    features: [{name: fare}, {name: km, default: 0}]
`

var readTime = time.Date(2026, 2, 1, 12, 0, 0, 0, time.UTC)

func TestQueriesGiveWhatIsServed(t *testing.T) {
	p, err := definition.Load([]definition.File{{Name: "project.yaml", Data: []byte(viewProject)}})
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(3) {
		events := newEvents(t, p, rand.New(rand.NewPCG(seed, 0)))
		for _, v := range p.Catalog.Views {
			t.Run(fmt.Sprintf("%s/seed=%d", v.Name, seed), func(t *testing.T) { events.compare(t, p.Plans[v.Name]) })
		}
	}
}

// events are records of the source trips, decoded.
type events struct {
	project *definition.Project
	fields  []feature.Field
	batch   feature.Batch
	raw     string // makes the table; "" makes it of the batch
}

func newEvents(t *testing.T, p *definition.Project, rng *rand.Rand) *events {
	t.Helper()
	src := p.Catalog.Source("trips")
	e := &events{project: p}
	for _, f := range src.Fields {
		e.fields = append(e.fields, f.Field)
	}
	base := readTime.Add(-24 * time.Hour)
	member := func(text string, one any) string {
		if rng.IntN(6) == 0 {
			return "null"
		}
		return fmt.Sprintf(text, one)
	}
	var recs []sources.Record
	for i := range 400 {
		at := base.Add(time.Duration(rng.IntN(50)) * time.Second)
		recs = append(recs, sources.Record{Offset: int64(i), TimeMillis: at.Add(time.Duration(rng.IntN(3)-1) * time.Minute).UnixMilli(), Value: fmt.Appendf(nil,
			`{"driver_id":%s,"fare":%s,"km":%s,"status":%s,"tags":%s,"extra":%s,"completed_at":%s}`,
			member("%d", rng.IntN(20)), member("%v", float64(rng.IntN(800))/10), member("%d", rng.IntN(5)),
			member("%q", []string{"completed", "cancelled", "Paid"}[rng.IntN(3)]),
			member("%s", []string{"[]", `["a"]`, `["é", null, "b"]`}[rng.IntN(3)]), member("%s", []string{`{"surge": 2.5}`, `{"surge": "x"}`, "{}"}[rng.IntN(3)]),
			member("%q", at.Add(time.Duration(rng.IntN(2))*9*time.Minute).Format(time.RFC3339)))})
	}
	d, err := jsonrec.New(src, e.fields)
	if err != nil {
		t.Fatal(err)
	}
	e.batch.Reset(e.fields, 0)
	if err := d.Decode(t.Context(), &e.batch, recs); err != nil || len(e.batch.Rejects) > 0 {
		t.Fatal(err, e.batch.Rejects)
	}
	return e
}

func (e *events) compare(t *testing.T, p *transforms.Plan) {
	t.Helper()
	rows, columns := e.query(t, p)
	served := e.serve(t, p, rows)
	if len(rows) < 9 || len(served) != len(rows) {
		t.Fatalf("%d rows of the query, %d served", len(rows), len(served))
	}
	for i, row := range rows {
		first := len(row) - len(p.View.Features)
		for j := range p.View.Features {
			got, want := cell{value: row[first+j]}, cell{value: served[i][j]}
			if typ := p.View.Features[j].Type; !got.same(want) {
				t.Errorf("key %v, %s: %s by the query, %s served", row[:first-1], columns[first+j], got.show(typ), want.show(typ))
			}
		}
	}
	if t.Failed() {
		t.Log(querySQL(t, p))
	}
}

func querySQL(t *testing.T, p *transforms.Plan) string {
	t.Helper()
	text, err := transforms.SQL(p, transforms.SQLSettings{Latest: true})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// query runs the view's SQL over a table of the events.
func (e *events) query(t *testing.T, p *transforms.Plan) (all [][]any, columns []string) {
	t.Helper()
	d, err := openDuck(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.close() //nolint:errcheck // a database in memory
	for _, text := range []string{e.table(), fmt.Sprintf("set variable read_time = make_timestamp(%d)", readTime.UnixMicro())} {
		if err := d.exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	found, err := d.conn.QueryContext(t.Context(), querySQL(t, p))
	if err != nil {
		t.Fatal(err, querySQL(t, p))
	}
	defer found.Close() //nolint:errcheck // Err has what there is to say
	columns, _ = found.Columns()
	for found.Next() {
		row, pointers := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			pointers[i] = &row[i]
		}
		if err := found.Scan(pointers...); err != nil {
			t.Fatal(err)
		}
		for i := range row {
			row[i] = fromDuck(row[i])
		}
		all = append(all, row)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return all, columns
}

// table is a table of the events.
func (e *events) table() string {
	if e.raw != "" {
		return e.raw
	}
	var rows []string
	for row := range e.batch.Rows() {
		o := e.batch.Origins[row]
		var values []string
		for i := range e.batch.Columns {
			values = append(values, expr.SQLValue(&e.batch.Columns[i], row)+" as "+expr.QuoteSQL(e.fields[i].Name))
		}
		rows = append(rows, fmt.Sprintf("select %s, make_timestamp(%d) as record_time, %d as record_offset, 0 as record_partition",
			strings.Join(values, ", "), o.RecordMillis*1000, o.Offset))
	}
	return "create table trips as " + strings.Join(rows, " union all ")
}

// oneSchema is the schemas of a store that has seen one.
type oneSchema struct{ stored *feature.Stored }

func (s oneSchema) Schema(context.Context, uint32) (*feature.Stored, error) { return s.stored, nil }

// serve stores the events and reads the keys of rows through the read API.
func (e *events) serve(t *testing.T, p *transforms.Plan, rows [][]any) [][]any {
	t.Helper()
	store := new(memory.Store)
	w, err := p.NewWriter(e.fields, transforms.DefaultMaxFutureSkew)
	if err != nil {
		t.Fatal(err)
	}
	var out feature.Rows
	var buf sinks.Buffer
	w.Apply(&e.batch, 0, &out)
	rowcodec.NewEncoder().Encode(&buf, &out)
	if err := store.Write(t.Context(), buf.Rows); err != nil {
		t.Fatal(err)
	}
	if stored := len(store.Rows()); stored != len(rows) {
		t.Errorf("%d keys are stored, the query has %d", stored, len(rows))
	}
	svc, err := serving.New(serving.Settings{
		Catalog: e.project.Catalog, Plans: e.project.Plans, Store: rowcodec.NewReader(store, oneSchema{p.Stored}),
		Clock: func() time.Time { return readTime },
	})
	if err != nil {
		t.Fatal(err)
	}
	read, fault := svc.PrepareFeatures([]string{p.View.Name})
	if fault != nil {
		t.Fatal(fault)
	}
	var req serving.Request
	req.Reset(read)
	req.Rows = len(rows)
	for i := range req.Columns {
		req.Columns[i].Resize(len(rows))
		for row := range rows {
			setCell(&req.Columns[i], row, rows[row][i])
		}
	}
	var resp serving.Response
	if fault := svc.Lookup(t.Context(), &req, &resp); fault != nil {
		t.Fatal(fault)
	}
	defer resp.Release()
	answers := make([][]any, len(rows))
	for row := range rows {
		for i := range p.View.Features {
			v := resp.Value(i, row)
			if v.Column == nil {
				answers[row] = append(answers[row], nil)
				continue
			}
			answers[row] = append(answers[row], columnCell(v.Column, v.Row))
		}
	}
	return answers
}
