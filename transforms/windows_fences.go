package transforms

import "millrace/transforms/window"

// TileFence is how far the tiles of one source partition have counted it.
type TileFence struct {
	Partition int32
	Fence     window.Fence
}

// KeepFences makes Fences answer for the rows that are read from the next Reset
// on. Otherwise they are not looked at.
func (w *WindowReader) KeepFences(on bool) { w.fenced = on }

// Fences is, for every source partition with a tile in the window of the i-th
// feature in a row, the greatest fence of these tiles, in no order. It is asked
// after KeepFences, and is good until the next Reset. Where the feature failed
// for what a tile held it may lack some.
func (w *WindowReader) Fences(i, row int) []TileFence {
	f := &w.results[i].fences
	if !w.fenced || row >= len(f.of) {
		return nil
	}
	return f.all[f.of[row].from:f.of[row].to]
}

// fencesOf is the fences of the rows of one feature.
type fencesOf struct {
	all []TileFence
	of  []fencesSpan // by row, in all
}

type fencesSpan struct{ from, to int }

func (f *fencesOf) reset(rows int) {
	f.all = f.all[:0]
	f.of = append(f.of[:0], make([]fencesSpan, rows)...)
}

// collect takes the fences of the segments of a window.
func (f *fencesOf) collect(h *hopReader, s window.Span, row int) {
	from := len(f.all)
	for i := range len(h.cuts) - 1 {
		if h.segments[i].used && s.From <= h.cuts[i] && h.cuts[i] < s.To {
			for _, x := range h.segments[i].fences {
				f.all = append(f.all[:from], raise(f.all[from:], x)...) // raise may have moved it
			}
		}
	}
	f.of[row] = fencesSpan{from, len(f.all)}
}

// raise adds a fence, or makes that of its partition the greater of the two.
func raise(all []TileFence, x TileFence) []TileFence {
	for i := range all {
		if all[i].Partition == x.Partition {
			if all[i].Fence.Less(x.Fence) {
				all[i].Fence = x.Fence
			}
			return all
		}
	}
	return append(all, x)
}
