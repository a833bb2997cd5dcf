package pebble

import (
	"fmt"
	"testing"
	"time"

	"millrace/sinks"
)

// benchTiles are a micro-batch's: keys with three hops each, of a partition.
func benchTiles(keys, bytes int) []sinks.Tile {
	var tiles []sinks.Tile
	for k := range keys {
		for _, hop := range []int32{60, 900, 3600} {
			id := sinks.TileID{Entity: "driver", Key: fmt.Sprint(k), View: "driver_trips@1", HopSeconds: hop, Source: int32(k % 16)}
			tiles = append(tiles, sinks.Tile{TileID: id, State: make([]byte, bytes), Expire: 25 * time.Hour})
		}
	}
	return tiles
}

// BenchmarkWriteTiles writes the tiles of 1,000 hot entities again and again,
// each time further.
func BenchmarkWriteTiles(b *testing.B) {
	for _, bytes := range []int{300, 3000} {
		b.Run(fmt.Sprintf("bytes=%d", bytes), func(b *testing.B) {
			s := open(b, b.TempDir(), Settings{})
			tiles := benchTiles(1000, bytes)
			b.SetBytes(int64(len(tiles) * bytes))
			b.ReportAllocs()
			n := int64(0)
			for b.Loop() {
				n++
				for i := range tiles {
					tiles[i].Stamp = sinks.TileStamp(1, n)
				}
				writeTiles(b, s, tiles...)
			}
			b.ReportMetric(float64(len(tiles))*float64(b.N)/b.Elapsed().Seconds(), "tiles/s")
		})
	}
}

// BenchmarkReadTiles loads the tiles of 1,000 entities, as a lane that was just
// assigned does.
func BenchmarkReadTiles(b *testing.B) {
	s := open(b, b.TempDir(), Settings{})
	tiles := benchTiles(1000, 300)
	writeTiles(b, s, tiles...)
	ids := make([]sinks.TileID, len(tiles))
	for i := range tiles {
		ids[i] = tiles[i].TileID
	}
	var set sinks.TileSet
	b.ReportAllocs()
	for b.Loop() {
		if err := s.ReadTiles(b.Context(), ids, &set); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(ids))*float64(b.N)/b.Elapsed().Seconds(), "tiles/s")
}

// BenchmarkReadWindows reads three windows of 49 tiles of one entity, of one
// source partition and of 16.
func BenchmarkReadWindows(b *testing.B) {
	for _, partitions := range []int32{1, 16} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			s := open(b, b.TempDir(), Settings{})
			var ranges []sinks.TileRange
			for _, hop := range []int32{60, 900, 3600} {
				for start := range int64(49) {
					for source := range partitions {
						id := sinks.TileID{Entity: "driver", Key: "1", View: "driver_trips@1", HopSeconds: hop, Start: start, Source: source}
						writeTiles(b, s, sinks.Tile{TileID: id, State: make([]byte, 300)})
					}
				}
				ranges = append(ranges, sinks.TileRange{View: "driver_trips@1", HopSeconds: hop, To: 49})
			}
			var set sinks.WindowSet
			b.ReportAllocs()
			for b.Loop() {
				if err := s.ReadWindows(b.Context(), "driver", []string{"1"}, ranges, &set); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(set.Of(0, 2))), "tiles/range")
		})
	}
}

// BenchmarkReadCells reads cells of 100 entities of 50,000: of one view, and of
// two of which one is further away than the other.
func BenchmarkReadCells(b *testing.B) {
	s := open(b, b.TempDir(), Settings{})
	const entities = 50_000
	views := []string{"driver_trips@1", "fraud#1"}
	for from := 0; from < entities; from += 1000 {
		var rows []sinks.Row
		for i := range 1000 {
			for _, view := range views {
				rows = append(rows, sinks.Row{Entity: "driver", Key: fmt.Sprint(from + i), View: view, Value: make([]byte, 60)})
			}
		}
		if err := s.Write(b.Context(), rows); err != nil {
			b.Fatal(err)
		}
	}
	for n := range views {
		b.Run(fmt.Sprintf("views=%d", n+1), func(b *testing.B) {
			keys, from := make([]string, 100), 0
			var set sinks.CellSet
			b.ReportAllocs()
			for b.Loop() {
				for i := range keys {
					from = (from + 7919) % entities
					keys[i] = fmt.Sprint(from)
				}
				if err := s.ReadCells(b.Context(), "driver", keys, views[:n+1], &set); err != nil {
					b.Fatal(err)
				}
			}
			if set.Values[0] == nil {
				b.Fatal("nothing was read")
			}
		})
	}
}
