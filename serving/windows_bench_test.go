package serving_test

import (
	"context"
	"fmt"
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

// BenchmarkWindows reads 18 features of 10 entities: stored ones, and windowed
// ones of which every tile is there, with one partition and with sixteen.
func BenchmarkWindows(b *testing.B) {
	for _, s := range []struct {
		name string
		open func(b *testing.B) hotStore
	}{
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
			svc, err := serving.New(serving.Settings{
				Catalog: p.Catalog, Plans: p.Plans, Store: rowcodec.NewReader(store, sinks.NewSchemas(store)),
				Tiles: sinks.NewWindows(store, store), Clock: func() time.Time { return noon },
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
