package scylla

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"millrace/sinks"
)

// BenchmarkPlan groups a micro-batch: a row and three tiles of each entity.
func BenchmarkPlan(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	var rows []sinks.Row
	var tiles []sinks.Tile
	for range 2048 {
		key := fmt.Sprint(rng.IntN(100_000))
		rows = append(rows, sinks.Row{Entity: "driver", Key: key, View: "trips@1", Value: make([]byte, 66)})
		for hop := range int64(3) {
			tiles = append(tiles, someTile(key, "trips@1", hop))
		}
	}
	for b.Loop() {
		w := writer{rows: rows, tiles: tiles}
		w.plan()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows)), "ns/row")
}
