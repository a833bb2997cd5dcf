package transforms_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/transforms"
	"millrace/transforms/window"
)

// addedTile is a tile that a reader was given.
type addedTile struct {
	hop, row  int
	start     int64
	partition int32
	state     string
}

// TestTilesAreThoseOfTheWindows: of the features that are wanted every tile in
// one of their windows, once, and no other, whatever else is read.
func TestTilesAreThoseOfTheWindows(t *testing.T) {
	names := []string{"n_1h", "sum_3h", "before", "sum_1h", "ever", "share"}
	rapid.Check(t, func(t *rapid.T) {
		v := windowed(view("", "twice = qty * 2", "share @read = n_1h / nullif(n_1d, 0)"), someAggregates, "n_1h", "n_1d", "sum_1h", "sum_3h", "before", "ever")
		p, problems := transforms.Compile(v, trips, driver)
		if len(problems) > 0 {
			t.Fatalf("%+v", problems)
		}
		features := rapid.Permutation(names).Draw(t, "order")[:rapid.IntRange(1, len(names)).Draw(t, "read")]
		r, err := p.NewReader(features)
		if err != nil {
			t.Fatalf("%v", err)
		}
		alone, err := p.NewReader(features)
		if err != nil {
			t.Fatalf("%v", err)
		}
		w, now := r.Windows(), time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC).UnixMicro()
		for _, kept := range []bool{true, false, true} { // a reader is used again
			w.KeepTiles(kept)
			added := addTiles(t, p, w, now)
			wanted := make([]bool, w.Features())
			for i := range wanted {
				wanted[i] = rapid.Bool().Draw(t, "wanted")
			}
			for row := range 2 {
				for hop := range w.Ranges() {
					want := []uint64{}
					for _, x := range added {
						if kept && x.row == row && x.hop == hop && inWanted(w, &x, wanted) {
							want = append(want, hashAlone(t, alone.Windows(), now, &x))
						}
					}
					got := w.AppendTiles([]uint64{}, hop, row, wanted)
					slices.Sort(want)
					slices.Sort(got)
					if !slices.Equal(got, want) {
						t.Fatalf("hop %d of row %d: %x, want %x", hop, row, got, want)
					}
				}
			}
		}
	})
}

func inWanted(w *transforms.WindowReader, x *addedTile, wanted []bool) bool {
	for i := range wanted {
		if s := w.Span(i); wanted[i] && w.Range(i) == x.hop && s.From <= x.start && x.start < s.To {
			return true
		}
	}
	return false
}

// hashAlone is the hash of a tile that nothing was read with.
func hashAlone(t *rapid.T, w *transforms.WindowReader, now int64, x *addedTile) uint64 {
	w.KeepTiles(true)
	w.Reset(1, now)
	if err := w.Add(x.hop, x.start, x.partition, []byte(x.state)); err != nil {
		t.Fatalf("%v", err)
	}
	w.EndRow(0)
	all := make([]bool, w.Features())
	for i := range all {
		all[i] = true
	}
	got := w.AppendTiles(nil, x.hop, 0, all)
	if len(got) != 1 {
		t.Fatalf("a tile has %d hashes", len(got))
	}
	return got[0]
}

// addTiles adds different tiles to two rows.
func addTiles(t *rapid.T, p *transforms.Plan, w *transforms.WindowReader, now int64) []addedTile {
	var all []addedTile
	w.Reset(2, now)
	for row := range 2 {
		for h, of := range w.Ranges() {
			shape := p.Windows.Hops[slices.IndexFunc(p.Windows.Hops, func(x transforms.Hop) bool { return x.Span == of.Hop })].Shape
			for range rapid.IntRange(0, 6).Draw(t, "tiles") {
				x := addedTile{hop: h, row: row, start: of.Span.From, partition: rapid.Int32Range(-1, 3).Draw(t, "partition")}
				if of.Hop > 0 {
					x.start += of.Hop.Microseconds() * rapid.Int64Range(0, int64(of.Tiles)-1).Draw(t, "start")
				}
				fence := window.Fence{Topic: 1, Next: rapid.Int64Range(0, 50).Draw(t, "next")}
				x.state = string(shape.NewTile(window.Fence{}).Snapshot(fence, nil))
				if slices.ContainsFunc(all, func(y addedTile) bool {
					return x.hop == y.hop && x.row == y.row && x.start == y.start && x.partition == y.partition
				}) {
					continue // a store has one
				}
				all = append(all, x)
				if err := w.Add(h, x.start, x.partition, []byte(x.state)); err != nil {
					t.Fatalf("%v", err)
				}
			}
		}
		w.EndRow(row)
	}
	return all
}

// TestTilesAreToldApart by where they start, their partition and their bytes.
func TestTilesAreToldApart(t *testing.T) {
	p := compile(t, windowed(view("", "twice = qty * 2"), someAggregates, "n_1h"))
	r, err := p.NewReader([]string{"n_1h"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC).UnixMicro()
	w := r.Windows()
	w.Reset(1, now)
	of := w.Ranges()[0]
	shape := p.Windows.Hops[slices.IndexFunc(p.Windows.Hops, func(x transforms.Hop) bool { return x.Span == of.Hop })].Shape
	state := func(next int64) string {
		return string(shape.NewTile(window.Fence{}).Snapshot(window.Fence{Topic: 1, Next: next}, nil))
	}
	seen := make(map[uint64]bool)
	rapid.Check(t, func(t *rapid.T) {
		clear(seen)
		for _, x := range []addedTile{
			{start: of.Span.From, partition: 1, state: state(1)},
			{start: of.Span.From, partition: 1, state: state(2)},
			{start: of.Span.From, partition: 2, state: state(1)},
			{start: of.Span.From + of.Hop.Microseconds(), partition: 1, state: state(1)},
		} {
			seen[hashAlone(t, w, now, &x)] = true
		}
		if len(seen) != 4 {
			t.Fatalf("%d hashes of 4 tiles", len(seen))
		}
	})
}
