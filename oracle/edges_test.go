package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"millrace/feature/definition"
	"millrace/serving"
	"millrace/serving/servingtest"
	"millrace/transforms"
)

// edgeCase is one event, and one read of one window.
type edgeCase struct {
	event, read         int64 // microseconds
	window, hop, offset int64 // seconds
	from, to            int64 // what the reader covers
	counted             int64
}

// TestTheEdgesOfAWindow holds what is served, and the span that is explained, to
// the formula of docs/windows.md: from floor((t - offset - window) / hop) * hop
// to the end of the tile that holds t - offset. DuckDB computes it as it is
// written there, for events at, before and behind both edges and anywhere.
func TestTheEdgesOfAWindow(t *testing.T) {
	seed := *momentSeed
	if seed == 0 {
		seed = uint64(time.Now().Unix())
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	cases := make([]edgeCase, 1500)
	for i := range cases {
		drawEdge(rng, &cases[i])
		cases[i].serve(t)
	}
	d, err := openDuck(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.close() //nolint:errcheck // a database in memory
	rows, _ := selectAll(t, d, formula(cases))
	atEdge := 0
	for i, row := range rows {
		c := &cases[i]
		from, to, counts := row[0].(int64), row[1].(int64), row[2].(bool)
		if c.event == from || c.event == from-1 || c.event == to || c.event == to-1 {
			atEdge++
		}
		if c.from != from || c.to != to || (c.counted == 1) != counts {
			t.Fatalf("seed %d, case %d: an event at %d, a window of %ds, hop %ds, offset %ds, read at %d: served %d from %d to %d, the formula says %v from %d to %d",
				seed, i, c.event, c.window, c.hop, c.offset, c.read, c.counted, c.from, c.to, counts, from, to)
		}
	}
	if len(rows) != len(cases) || atEdge < len(cases)/4 {
		t.Errorf("%d of %d cases, %d at an edge", len(rows), len(cases), atEdge)
	}
	t.Logf("seed %d: %d reads, %d of them of an event at an edge", seed, len(cases), atEdge)
}

// formula asks for the span of each case, and whether its event is in it.
func formula(cases []edgeCase) string {
	rows := make([]string, len(cases))
	for i, c := range cases {
		rows[i] = fmt.Sprintf("(%d, %d::hugeint, %d::hugeint, %d::hugeint, %d::hugeint, %d::hugeint)", i, c.event, c.read, c.window*1e6, c.hop*1e6, c.offset*1e6)
	}
	return `with cases(i, e, t, "window", hop, "offset") as (values ` + strings.Join(rows, ", ") + `),
floors as (select i, e, hop, floor((t - "offset" - "window")::decimal(38, 9) / hop) as first, floor((t - "offset")::decimal(38, 9) / hop) as last from cases),
spans as (select i, e, cast(first as bigint) * hop as "from", (cast(last as bigint) + 1) * hop as "to" from floors)
select cast("from" as bigint), cast("to" as bigint), e >= "from" and e < "to" from spans order by i`
}

func drawEdge(rng *rand.Rand, c *edgeCase) {
	c.hop = int64(pick(rng, hopSeconds))
	c.window = c.hop*(1+rng.Int64N(60)) + rng.Int64N(2)*rng.Int64N(c.hop)
	c.offset = rng.Int64N(2) * rng.Int64N(60*c.hop)
	c.read = time.Date(pick(rng, []int{1969, 1970, 2000, 2026}), 1, 3, 0, 0, 0, 0, time.UTC).UnixMicro() + rng.Int64N(9*86400e6)
	if rng.IntN(2) == 0 { // on a tile's edge
		c.read -= c.read % (c.hop * 1e6)
		c.read += pick(rng, []int64{-1, 0, 1})
	}
	// About where the edges are: the formula says where exactly.
	back, tiles := c.offset+c.window, int64(0)
	if rng.IntN(2) == 0 {
		back, tiles = c.offset, 1
	}
	if rng.IntN(4) == 0 {
		tiles += rng.Int64N(3) - 1
	}
	c.event = ((c.read-back*1e6)/(c.hop*1e6)+tiles)*c.hop*1e6 + pick(rng, []int64{-1, -1, 0, 0, 1, rng.Int64N(c.hop * 1e6)})
}

// serve counts the event and reads the window.
func (c *edgeCase) serve(t *testing.T) {
	t.Helper()
	text := fmt.Sprintf(`project: p
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources: [{name: trips, kafka: {topic: trips}, fields: [{name: driver_id, type: int64}]}]
views: [{name: v, entity: driver, source: trips, features: [{name: n, agg: count, window: %ds, hop: %ds, offset: %ds}]}]
`, c.window, c.hop, c.offset)
	p, err := definition.Load([]definition.File{{Name: "p.yaml", Data: []byte(strings.Replace(text, ", offset: 0s", "", 1))}})
	if err != nil {
		t.Fatal(err)
	}
	store := new(servingtest.Store)
	if err := store.Count(p.Plans["v"], 0, time.UnixMicro(c.event), `{"driver_id": 1}`); err != nil {
		t.Fatal(err)
	}
	svc, err := serving.New(serving.Settings{
		Catalog: p.Catalog, Plans: p.Plans, Store: store, Tiles: store, Clock: func() time.Time { return time.UnixMicro(c.read) },
	})
	if err != nil {
		t.Fatal(err)
	}
	read, fault := svc.PrepareFeatures([]string{"v"})
	if fault != nil {
		t.Fatal(fault)
	}
	var req serving.Request
	req.Reset(read)
	req.Rows = 1
	req.Columns[0].Resize(1)
	req.Columns[0].SetInt(0, 1)
	var resp serving.Response
	if fault := svc.Lookup(t.Context(), &req, &resp); fault != nil {
		t.Fatal(fault)
	}
	defer resp.Release()
	v := resp.Value(0, 0)
	c.counted = v.Column.Ints[v.Row]
	c.from, c.to = spanOf(t, p.Plans["v"], c.read)
}

// spanOf is the span that a reader covers, which /v1/explain shows.
func spanOf(t *testing.T, p *transforms.Plan, micros int64) (from, to int64) {
	t.Helper()
	r, err := p.NewReader([]string{"n"})
	if err != nil {
		t.Fatal(err)
	}
	r.Windows().Reset(1, micros)
	s := r.Windows().Span(0)
	return s.From, s.To
}
