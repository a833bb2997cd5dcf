package window

import (
	"fmt"
	"testing"

	"millrace/feature"
)

func numbers() *feature.Column {
	c := new(feature.Column)
	c.Reset(float64s)
	for i := range 1024 {
		c.SetFloat(c.AppendNull(), float64(i%300)*1.25)
	}
	return c
}

// benched is the aggregates over numbers.
var benched = []Spec{
	{Kind: KindCount},
	{Kind: KindSum, Of: float64s},
	{Kind: KindAvg, Of: float64s},
	{Kind: KindMin, Of: float64s},
	{Kind: KindMax, Of: float64s},
	{Kind: KindStddevPop, Of: float64s},
	{Kind: KindFirst, Of: float64s},
	{Kind: KindLast, Of: float64s},
	{Kind: KindLastN, Of: float64s, N: 20},
	{Kind: KindCountDistinct, Of: float64s},
	{Kind: KindTopK, Of: float64s, K: 10},
	{Kind: KindQuantile, Of: float64s, Q: 0.9},
}

func BenchmarkUpdate(b *testing.B) {
	c := numbers()
	for i := range benched {
		s := &benched[i]
		b.Run(s.Kind.String(), func(b *testing.B) {
			b.ReportAllocs()
			x := NewState(s)
			at := Position{}
			for n := 0; b.Loop(); n++ {
				at.EventMicros = int64(n)
				update(x, c, n&1023, &at)
			}
		})
	}
}

func filled(specs []Spec) *Tile {
	s := shapeOf(false, specs...)
	t := s.NewTile(Fence{})
	c := numbers()
	in := input(s, c)
	for row := range 100 {
		t.Update(in, row, &Position{EventMicros: int64(row)})
	}
	return t
}

// eighteen is six aggregates over three filters.
func eighteen() []Spec {
	var out []Spec
	for range 3 {
		out = append(out, benched[:6]...)
	}
	return out
}

func BenchmarkTile(b *testing.B) {
	for _, c := range []struct {
		name  string
		specs []Spec
	}{{"18 fixed", eighteen()}, {"12 kinds", benched}} {
		tile := filled(c.specs)
		data := tile.Snapshot(Fence{}, nil)
		b.Run(fmt.Sprintf("%s/encode %d bytes", c.name, len(data)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				data = tile.Snapshot(Fence{}, data[:0])
			}
		})
		scratch := tile.shape.NewTile(Fence{})
		b.Run(c.name+"/decode", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := scratch.Decode(data, Fence{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		sum := tile.shape.NewTile(Fence{})
		b.Run(c.name+"/decode and merge 48", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sum.Reset(Fence{})
				for range 48 {
					if err := scratch.Decode(data, Fence{}); err != nil {
						b.Fatal(err)
					}
					sum.Merge(scratch)
				}
			}
		})
		b.Run(c.name+"/merge bytes of 48", func(b *testing.B) {
			spare := tile.shape.NewSpare()
			b.ReportAllocs()
			for b.Loop() {
				sum.Reset(Fence{})
				for range 48 {
					if err := sum.MergeBytes(data, spare); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// The hot path of the lane allocates nothing for aggregates of fixed size, nor
// for sketches that know the value.
func TestUpdateAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	tile := filled(benched)
	c := numbers()
	in := input(tile.shape, c)
	for row := range 1024 {
		tile.Update(in, row, &Position{EventMicros: int64(row)})
	}
	at, row := Position{EventMicros: 5000}, 0
	if n := testing.AllocsPerRun(500, func() {
		at.EventMicros++
		row = (row + 1) & 127
		tile.Update(in, row, &at)
	}); n != 0 {
		t.Errorf("%v allocations per row", n)
	}
}
