package serving_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/serving"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sinks/pebble"
	"millrace/sinks/rowcodec"
	"millrace/transforms"
	"millrace/transforms/window"
)

// hot has six aggregates over three windows, and as many stored features.
func hot() string {
	var y strings.Builder
	y.WriteString(`
project: hot
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources: [{name: trips, push: {}, fields: [{name: driver_id, type: int64}, {name: fare, type: float64}]}]
views:
  - name: counted
    entity: driver
    source: trips
    features:
`)
	for _, agg := range []string{"count", "sum, of: fare", "avg, of: fare", "min, of: fare", "max, of: fare", "stddev_pop, of: fare"} {
		name, _, _ := strings.Cut(agg, ",")
		fmt.Fprintf(&y, "      - {name: %s_of, agg: %s, windows: [1h, 1d, 7d]}\n", name, agg)
	}
	y.WriteString("  - name: kept\n    entity: driver\n    source: trips\n    features:\n")
	for i := range 18 {
		fmt.Fprintf(&y, "      - {name: f%d, expr: fare + %d}\n", i, i)
	}
	return y.String()
}

// hotStore is what the benchmark reads.
type hotStore interface {
	sinks.Sink
	sinks.TileSink
	sinks.TileReader
	sinks.Cells
	sinks.Meta
}

const hotKeys = 10

// fill stores a row of every key, and every tile that its windows cover, of
// every partition.
func fill(b testing.TB, store hotStore, p *definition.Project, partitions int32) {
	b.Helper()
	ctx, plan := context.Background(), p.Plans["counted"]
	var buf sinks.Buffer
	batch, rows := new(feature.Batch), new(feature.Rows)
	batch.Reset(transforms.Fields(plan.Source, []*transforms.Plan{plan, p.Plans["kept"]}), 0)
	for k := range hotKeys {
		batch.AppendRow(feature.Origin{Offset: int64(k), RecordMillis: noon.UnixMilli(), EventMicros: noon.UnixMicro()})
		batch.Columns[0].SetInt(k, int64(k))
		batch.Columns[1].SetFloat(k, 12.5+float64(k))
	}
	kept, err := p.Plans["kept"].NewWriter(batch.Fields, time.Minute)
	if err != nil {
		b.Fatal(err)
	}
	kept.Apply(batch, 0, rows)
	id, err := sinks.NewSchemas(store).Put(ctx, *rows.Stored)
	if err != nil {
		b.Fatal(err)
	}
	rows.Stored.ID = id
	rowcodec.NewEncoder().Encode(&buf, rows)
	if err := store.Write(ctx, buf.Rows); err != nil {
		b.Fatal(err)
	}
	counted, err := plan.NewWriter(batch.Fields, time.Minute)
	if err != nil {
		b.Fatal(err)
	}
	counted.Apply(batch, 0, rows)
	for k := range hotKeys {
		var tiles []sinks.Tile
		for hop := range plan.Windows.Hops {
			tiles = append(tiles, hotTiles(plan, hop, rows, k, partitions)...)
		}
		if err := store.WriteTiles(ctx, tiles); err != nil {
			b.Fatal(err)
		}
	}
}

func hotTiles(plan *transforms.Plan, hop int, rows *feature.Rows, k int, partitions int32) []sinks.Tile {
	h := &plan.Windows.Hops[hop]
	tile := h.Shape.NewTile(window.Fence{})
	var in window.Input
	plan.Windows.Input(hop, rows, &in)
	position := window.PositionOf(&rows.Origins[k], 0)
	for range 3 {
		tile.Update(&in, k, &position)
	}
	state := tile.Snapshot(window.Fence{Topic: 1, Next: 4}, nil)
	var tiles []sinks.Tile
	for i := range plan.Windows.Tiles(hop) {
		for source := range partitions {
			start := window.TileStart(noon.UnixMicro(), h.Span) - int64(i)*h.Span.Microseconds()
			id := sinks.TileID{
				Entity: "driver", Key: fmt.Sprint(k), View: plan.View.StoredName(),
				HopSeconds: int32(h.Span / time.Second), Start: start, Source: source,
			}
			tiles = append(tiles, sinks.Tile{TileID: id, Stamp: 1, State: state})
		}
	}
	return tiles
}

// tape hands over again what a store once had: what is left is the cost of
// merging.
type tape struct {
	serving.Tiles
	tiles []taped
}

type taped struct {
	key, within int
	start       int64
	source      int32
	state       []byte
}

func (t *tape) ReadTiles(ctx context.Context, entity string, keys []string, ranges []feature.TileRange, add func(int, int, int64, int32, []byte)) error {
	if t.tiles == nil {
		err := t.Tiles.ReadTiles(ctx, entity, keys, ranges, func(key, within int, start int64, source int32, state []byte) {
			t.tiles = append(t.tiles, taped{key, within, start, source, slices.Clone(state)})
		})
		if err != nil {
			return err //nolint:wrapcheck // a test
		}
	}
	for _, x := range t.tiles {
		if x.key < len(keys) {
			add(x.key, x.within, x.start, x.source, x.state)
		}
	}
	return nil
}

// What a lookup of windows allocates does not grow with entities, features or
// tiles.
func TestAllocationsOfWindows(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector empties pools at random")
	}
	store, p := new(memory.Store), load(t, hot())
	fill(t, store, p, 2)
	tiles := &tape{Tiles: sinks.NewWindows(store, store)}
	svc, err := serving.New(serving.Settings{
		Catalog: p.Catalog, Plans: p.Plans, Store: rowcodec.NewReader(store, sinks.NewSchemas(store)), Tiles: tiles, Clock: func() time.Time { return noon },
	})
	if err != nil {
		t.Fatal(err)
	}
	allocations := func(ids ...int64) float64 {
		req := drivers(prepare(t, svc, "counted"), ids...)
		var resp serving.Response
		return testing.AllocsPerRun(20, func() {
			if err := svc.Lookup(context.Background(), req, &resp); err != nil {
				t.Fatal(err)
			}
			resp.Release()
		})
	}
	if many, one := allocations(0, 1, 2, 3, 4, 5, 6, 7, 8, 9), allocations(0); many > one+5 || one > 30 {
		t.Errorf("%g allocations for an entity, %g for ten", one, many)
	}
}

// BenchmarkWindows reads 18 features of 10 entities: stored ones, and windowed
// ones of which every tile is there, with one partition and with sixteen.
func BenchmarkWindows(b *testing.B) {
	for _, s := range []struct {
		name string
		open func(b *testing.B) hotStore
	}{
		{"merging", func(*testing.B) hotStore { return new(memory.Store) }},
		{"memory", func(*testing.B) hotStore { return new(memory.Store) }},
		{"pebble", func(b *testing.B) hotStore {
			b.Helper()
			store, err := pebble.Open(b.TempDir(), pebble.Settings{})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = store.Close() })
			return store
		}},
	} {
		for _, partitions := range []int32{1, 16} {
			p := load(b, hot())
			store := s.open(b)
			fill(b, store, p, partitions)
			var tiles serving.Tiles = sinks.NewWindows(store, store)
			if s.name == "merging" {
				tiles = &tape{Tiles: tiles}
			}
			svc, err := serving.New(serving.Settings{
				Catalog: p.Catalog, Plans: p.Plans, Store: rowcodec.NewReader(store, sinks.NewSchemas(store)),
				Tiles: tiles, Clock: func() time.Time { return noon },
			})
			if err != nil {
				b.Fatal(err)
			}
			for _, view := range []string{"kept", "counted"} {
				if view == "kept" && partitions > 1 {
					continue
				}
				b.Run(fmt.Sprintf("%s/%s/partitions=%d", s.name, view, partitions), func(b *testing.B) {
					req := drivers(prepare(b, svc, view), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
					var resp serving.Response
					b.ReportAllocs()
					for b.Loop() {
						if err := svc.Lookup(b.Context(), req, &resp); err != nil {
							b.Fatal(err)
						}
						if v := resp.Value(17, 9); v.Status != serving.StatusPresent {
							b.Fatal(v.Status)
						}
						resp.Release()
					}
				})
			}
		}
	}
}
