package transforms_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/transforms"
	"millrace/transforms/window"
)

// TestFencesAreThoseOfTheWindow: of every feature, row and partition the
// greatest of the tiles in the window, and of no others, whatever else is read.
func TestFencesAreThoseOfTheWindow(t *testing.T) {
	names := []string{"n_1h", "sum_3h", "before", "sum_1h", "ever", "share"}
	rapid.Check(t, func(t *rapid.T) {
		v := windowed(view("", "twice = qty * 2", "share @read = n_1h / nullif(n_1d, 0)"), someAggregates, "n_1h", "n_1d", "sum_1h", "sum_3h", "before", "ever")
		p, problems := transforms.Compile(v, trips, driver)
		if len(problems) > 0 {
			t.Fatalf("%+v", problems)
		}
		r, err := p.NewReader(rapid.Permutation(names).Draw(t, "order")[:rapid.IntRange(1, len(names)).Draw(t, "wanted")])
		if err != nil {
			t.Fatalf("%v", err)
		}
		w, now := r.Windows(), time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC).UnixMicro()
		for _, kept := range []bool{true, false, true} { // a reader is used again
			w.KeepFences(kept)
			want := addFenced(t, p, w, now)
			for i := range w.Features() {
				for row := range 2 {
					got := make(map[int32]window.Fence)
					for _, f := range w.Fences(i, row) {
						got[f.Partition] = f.Fence
					}
					expected := want[fmt.Sprint(i, " ", row)]
					if !kept {
						expected = nil
					}
					if len(got) != len(w.Fences(i, row)) || !maps.Equal(got, expected) {
						t.Fatalf("%s in row %d: %v, want %v", w.Feature(i).Name, row, w.Fences(i, row), expected)
					}
				}
			}
		}
	})
}

// addFenced adds tiles to two rows, and returns the plain statement of their
// fences by feature and row.
func addFenced(t *rapid.T, p *transforms.Plan, w *transforms.WindowReader, now int64) map[string]map[int32]window.Fence {
	want := make(map[string]map[int32]window.Fence)
	w.Reset(2, now)
	for row := range 2 {
		for h, of := range w.Ranges() {
			shape := p.Windows.Hops[slices.IndexFunc(p.Windows.Hops, func(x transforms.Hop) bool { return x.Span == of.Hop })].Shape
			for range rapid.IntRange(0, 6).Draw(t, "tiles") {
				start := of.Span.From
				if of.Hop > 0 {
					start += of.Hop.Microseconds() * rapid.Int64Range(0, int64(of.Tiles)-1).Draw(t, "start")
				}
				partition := rapid.Int32Range(-1, 3).Draw(t, "partition")
				fence := window.Fence{Topic: rapid.Uint32Range(1, 2).Draw(t, "topic"), Next: rapid.Int64Range(0, 50).Draw(t, "next")}
				if err := w.Add(h, start, partition, shape.NewTile(window.Fence{}).Snapshot(fence, nil)); err != nil {
					t.Fatalf("%v", err)
				}
				for i := range w.Features() {
					if span := w.Span(i); w.Range(i) != h || start < span.From || start >= span.To {
						continue
					}
					at := fmt.Sprint(i, " ", row)
					if want[at] == nil {
						want[at] = make(map[int32]window.Fence)
					}
					if before, had := want[at][partition]; !had || before.Topic < fence.Topic || before.Topic == fence.Topic && before.Next < fence.Next {
						want[at][partition] = fence
					}
				}
			}
		}
		w.EndRow(row)
	}
	return want
}
