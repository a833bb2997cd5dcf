package main

import (
	"slices"
	"testing"
	"time"

	"millrace/feature"
	"millrace/serving"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sinks/rowcodec"
	"millrace/transforms"
	"millrace/transforms/window"
)

// servedValue is a value of the read API.
type servedValue struct {
	value  any
	failed bool
}

// serve reads every asked row at its moment, from a store that holds what had
// been recorded by then.
func (s *scenario) serve(t *testing.T) [][]servedValue {
	t.Helper()
	answers := make([][]servedValue, len(s.asked))
	for i := range s.asked {
		if answers[i] != nil {
			continue
		}
		var at []int // all rows of this moment
		for j := range s.asked {
			if s.asked[j].micros == s.asked[i].micros {
				at = append(at, j)
			}
		}
		store := s.store(t, s.asked[i].micros)
		for k, row := range s.lookup(t, store, at) {
			answers[at[k]] = row
		}
	}
	return answers
}

// store counts what was recorded until a moment: partition by partition, in
// batches of any size, with crashes between them.
func (s *scenario) store(t *testing.T, micros int64) *memory.Store {
	t.Helper()
	store := new(memory.Store)
	schemas := sinks.NewSchemas(store)
	for _, p := range s.project.Plans {
		id, err := schemas.Put(t.Context(), *p.Stored)
		if err != nil {
			t.Fatal(err)
		}
		p.Stored.ID = id
	}
	for partition := range int32(partitions) {
		var log []momentEvent
		for _, e := range s.events {
			if e.partition == partition && e.origin.RecordMillis*1000 <= micros {
				log = append(log, e)
			}
		}
		for _, v := range s.project.Catalog.Views {
			(&momentLane{scenario: s, plan: s.project.Plans[v.Name], store: store, partition: partition}).run(t, log)
		}
	}
	return store
}

// momentLane is a lane without its engine: it holds tiles, loads those that it
// does not hold, and forgets all when it crashes.
type momentLane struct {
	*scenario

	plan      *transforms.Plan
	store     *memory.Store
	partition int32
	hot       map[sinks.TileID]*window.Tile
	dirty     map[sinks.TileID]*window.Tile
	input     window.Input
}

func (l *momentLane) run(t *testing.T, log []momentEvent) {
	t.Helper()
	src := l.project.Catalog.Source("trips")
	fields := transforms.Shapes(src, []*transforms.Plan{l.plan})[0].Fields
	w, err := l.plan.NewWriter(fields, transforms.DefaultMaxFutureSkew)
	if err != nil {
		t.Fatal(err)
	}
	l.hot = make(map[sinks.TileID]*window.Tile)
	var batch feature.Batch
	var out feature.Rows
	for at := 0; at < len(log); {
		n := min(1+l.rng.IntN(80), len(log)-at)
		l.fill(&batch, fields, log[at:at+n], l.plan.View.Unnest)
		w.Apply(&batch, 0, &out)
		l.write(t, &out, log[at+n-1].origin.Offset+1)
		at += n
		if l.rng.IntN(6) == 0 { // a new owner goes on from an older commit
			clear(l.hot)
			at -= l.rng.IntN(min(at, 50) + 1)
		}
	}
}

// write counts the rows of a batch and stores them and the tiles they touched.
func (l *momentLane) write(t *testing.T, out *feature.Rows, next int64) {
	t.Helper()
	if l.plan.StoresRows() {
		var buf sinks.Buffer
		rowcodec.NewEncoder().Encode(&buf, out)
		if err := l.store.Write(t.Context(), buf.Rows); err != nil {
			t.Fatal(err)
		}
	}
	l.dirty = make(map[sinks.TileID]*window.Tile)
	for hop := range l.plan.Windows.Hops {
		l.plan.Windows.Input(hop, out, &l.input)
		for row := range out.Len() {
			if out.Windows.Counts.Get(row) {
				l.count(t, hop, out, row)
			}
		}
	}
	var tiles []sinks.Tile
	for id, tile := range l.dirty {
		tiles = append(tiles, sinks.Tile{TileID: id, Stamp: sinks.TileStamp(1, next), State: tile.Snapshot(window.Fence{Topic: 1, Next: next}, nil)})
	}
	if err := l.store.WriteTiles(t.Context(), tiles); err != nil {
		t.Fatal(err)
	}
}

func (l *momentLane) count(t *testing.T, hop int, out *feature.Rows, row int) {
	t.Helper()
	h, o := &l.plan.Windows.Hops[hop], &out.Origins[row]
	id := sinks.TileID{
		Entity: l.plan.Entity.Name, Key: string(feature.AppendKey(nil, out.Keys, row)), View: l.plan.View.StoredName(),
		HopSeconds: int32(h.Span / time.Second), Start: window.TileStart(o.EventMicros, h.Span), Source: l.partition,
	}
	tile := l.hot[id]
	if tile == nil {
		tile = l.load(t, id, h.Shape)
		l.hot[id] = tile
	}
	if tile.Fence.Covers(1, o.Offset) || l.plan.Windows.EventID != "" && out.Windows.HasID.Get(row) && !tile.Count(out.Windows.EventIDs[row]) {
		return
	}
	at := window.PositionOf(o, l.partition)
	tile.Update(&l.input, row, &at)
	l.dirty[id] = tile
}

func (l *momentLane) load(t *testing.T, id sinks.TileID, shape *window.Shape) *window.Tile {
	t.Helper()
	var set sinks.TileSet
	if err := l.store.ReadTiles(t.Context(), []sinks.TileID{id}, &set); err != nil {
		t.Fatal(err)
	}
	tile := shape.NewTile(window.Fence{})
	if b := set.States[0]; b != nil {
		if err := tile.Decode(b, window.Fence{}); err != nil {
			t.Fatal(err)
		}
	}
	return tile
}

// lookup asks the service for some rows, all of one moment.
func (s *scenario) lookup(t *testing.T, store *memory.Store, at []int) [][]servedValue {
	t.Helper()
	svc, err := serving.New(serving.Settings{
		Catalog: s.project.Catalog, Plans: s.project.Plans, OnDemand: s.project.OnDemand,
		Store: rowcodec.NewReader(store, sinks.NewSchemas(store)), Tiles: sinks.NewWindows(store, store),
		Clock: func() time.Time { return time.UnixMicro(s.asked[at[0]].micros) },
	})
	if err != nil {
		t.Fatal(err)
	}
	read, fault := svc.PrepareService("all")
	if fault != nil {
		t.Fatal(fault)
	}
	var req serving.Request
	req.Reset(read)
	req.Rows = len(at)
	set := func(c *feature.Column, of func(askedRow) any) {
		c.Resize(len(at))
		for k, i := range at {
			if v := of(s.asked[i]); v != nil {
				setCell(c, k, v)
			}
		}
	}
	for i, c := range read.Columns() {
		set(&req.Columns[i], func(a askedRow) any {
			return map[string]any{"driver_id": a.driver, "other_id": a.other, "region": a.region, "slot": a.slot, "sku": a.sku}[c.Name]
		})
	}
	for i := range read.Context() {
		set(&req.Context[i], func(a askedRow) any { return a.pickup })
	}
	var resp serving.Response
	if fault := svc.Lookup(t.Context(), &req, &resp); fault != nil {
		t.Fatal(fault)
	}
	defer resp.Release()
	answers := make([][]servedValue, len(at))
	for k := range at {
		for i := range read.Outputs() {
			v := resp.Value(i, k)
			one := servedValue{failed: v.Status == serving.StatusError}
			if v.Column != nil {
				one.value = columnCell(v.Column, v.Row)
			}
			answers[k] = append(answers[k], one)
		}
	}
	return slices.Clip(answers)
}
