package transforms

import (
	"slices"
	"time"

	"millrace/feature"
	"millrace/transforms/window"
)

// WindowReader makes windowed features of tiles. For a read at a time:
//
//	w.Reset(rows, now)                    // what Ranges says is then for now
//	for row := range rows {
//		for h := range w.Ranges() {       // the tiles in it that the store has,
//			w.Add(h, start, partition, bytes) // of all partitions, in any order
//		}
//		w.EndRow(row)
//	}
//
// then Column and Failure have one value per row. It belongs to one goroutine
// and belongs to the Reader that made it. Strings of its columns live on.
//
// The windows of a hop cut the time into segments that each lies in a window as
// a whole or not at all. A tile is merged once, into its segment, and segments
// are merged into windows when the row ends: many windows cost little more than
// the greatest of them.
type WindowReader struct {
	features []Windowed
	hops     []hopReader
	ranges   []TileRange
	results  []windowResult // parallel to features
	kept     bool           // AppendTiles is asked
}

// TileRange is the tiles that a read needs of one hop.
type TileRange struct {
	Hop   time.Duration // 0: the tile without end
	Span  window.Span   // of the starts of tiles
	Tiles int           // at most, of one partition
}

// hopReader merges the tiles of one hop.
type hopReader struct {
	span     time.Duration
	shape    *window.Shape
	features []int         // indices in WindowReader.features
	states   []int         // parallel to features: in shape
	spans    []window.Span // parallel to features: of the read
	cuts     []int64       // where segments begin, ascending
	segments []segment     // parallel to cuts; the last one is behind everything
	at       int           // of the last tile
	spare    *window.Spare
	merged   *window.Tile
	hashes   tileHashes
	failed   string // why the windows of the row have no value
}

type segment struct {
	tile   *window.Tile
	used   bool  // in this row
	newest int64 // start of its last tile, if it is used
	hashes []uint64
}

// windowResult is the values of one feature.
type windowResult struct {
	column feature.Column
	failed map[int]string // rows that failed, and why
	lacks  feature.Bitmap // rows of which a tile lacks the state
	found  feature.Bitmap // rows with a tile in the window
	newest []int64        // start of the last of these tiles
}

// with returns w, or a new one when it is nil, with feature i of ws besides.
func (w *WindowReader) with(ws *Windows, i int) *WindowReader {
	if w == nil {
		w = &WindowReader{}
	}
	f := ws.Features[i]
	at := slices.IndexFunc(w.hops, func(h hopReader) bool { return h.span == f.Window.Hop })
	if at < 0 {
		at = len(w.hops)
		w.hops = append(w.hops, hopReader{span: f.Window.Hop, shape: &window.Shape{}})
		w.ranges = append(w.ranges, TileRange{Hop: f.Window.Hop})
	}
	h := &w.hops[at]
	state := slices.IndexFunc(h.shape.Aggregates, func(a window.Aggregate) bool { return a.Hash == f.Hash })
	if state < 0 {
		state = len(h.shape.Aggregates)
		h.shape.Aggregates = append(h.shape.Aggregates, window.Aggregate{Spec: f.Spec, Hash: f.Hash})
	}
	h.features, h.states = append(h.features, len(w.features)), append(h.states, state)
	h.spans = append(h.spans, window.Span{})
	w.features = append(w.features, f)
	w.results = append(w.results, windowResult{})
	return w
}

// Features is how many windowed features are read.
func (w *WindowReader) Features() int { return len(w.features) }

// Feature is the i-th feature.
func (w *WindowReader) Feature(i int) *Windowed { return &w.features[i] }

// Ranges is what to read, one range per hop. It is not to be changed.
func (w *WindowReader) Ranges() []TileRange { return w.ranges }

// Span is the event times that the i-th feature covers in this read.
func (w *WindowReader) Span(i int) window.Span {
	for h := range w.hops {
		if k := slices.Index(w.hops[h].features, i); k >= 0 {
			return w.hops[h].spans[k]
		}
	}
	return window.Span{}
}

// Reset begins a read of rows at nowMicros: no tile is there yet.
func (w *WindowReader) Reset(rows int, nowMicros int64) {
	for i := range w.results {
		r := &w.results[i]
		r.column.Reset(w.features[i].Type)
		r.column.Resize(rows)
		clear(r.failed)
		r.lacks, r.found = r.lacks.Resize(0).Resize(rows), r.found.Resize(0).Resize(rows)
		r.newest = append(r.newest[:0], make([]int64, rows)...)
	}
	for i := range w.hops {
		h := &w.hops[i]
		h.cuts, h.at = h.cuts[:0], 0
		h.hashes.reset()
		var all window.Span
		for k, f := range h.features {
			s := w.features[f].Window.At(nowMicros)
			if k == 0 {
				all = s
			}
			h.spans[k] = s
			all.From, all.To = min(all.From, s.From), max(all.To, s.To)
			h.cuts = append(h.cuts, s.From, s.To)
		}
		slices.Sort(h.cuts)
		h.cuts = slices.Compact(h.cuts)
		for len(h.segments) < len(h.cuts) {
			h.segments = append(h.segments, segment{})
		}
		w.ranges[i].Span, w.ranges[i].Tiles = all, 1
		if h.span > 0 {
			w.ranges[i].Tiles = int((all.To - all.From) / h.span.Microseconds())
		}
		h.clear()
	}
}

func (h *hopReader) clear() {
	h.failed = ""
	for i := range h.segments {
		h.segments[i].used = false
	}
}

// Add merges a tile of a source partition that starts at start, of range h, into
// the current row. One that no window covers is passed over. After an error the
// features of the hop have failed in this row.
func (w *WindowReader) Add(hop int, start int64, partition int32, tile []byte) error {
	h := &w.hops[hop]
	at, ok := h.find(start)
	if !ok {
		return nil
	}
	s := &h.segments[at]
	if s.tile == nil {
		s.tile = h.shape.NewTile(window.Fence{})
	}
	if h.spare == nil {
		h.spare = h.shape.NewSpare()
	}
	if !s.used {
		s.tile.Reset(window.Fence{})
		s.used, s.newest = true, start
		s.hashes = s.hashes[:0]
	}
	s.newest = max(s.newest, start)
	if err := s.tile.MergeBytes(tile, h.spare); err != nil {
		h.failed = "a tile of it could not be read"
		return err //nolint:wrapcheck // says already what is wrong; the caller knows of which row
	}
	if w.kept {
		s.hashes = append(s.hashes, hashTile(start, partition, tile))
	}
	return nil
}

// find returns the segment that a tile lies in; false if no window reaches it.
func (h *hopReader) find(start int64) (at int, ok bool) {
	last := len(h.cuts) - 1
	if at = h.at; at < last && h.cuts[at] <= start && start < h.cuts[at+1] {
		return at, true // stores give them in order
	}
	at, exact := slices.BinarySearch(h.cuts, start)
	if !exact {
		at--
	}
	if at < 0 || at == last {
		return 0, false
	}
	h.at = at
	return at, true
}

// Refuse makes the features of range h fail in the current row, and says why.
func (w *WindowReader) Refuse(hop int, why string) { w.hops[hop].failed = why }

// EndRow makes the features of a row of the tiles that were added since the row
// before ended.
func (w *WindowReader) EndRow(row int) {
	for i := range w.hops {
		h := &w.hops[i]
		for k, f := range h.features {
			if k > 0 && h.spans[k] == h.spans[k-1] && h.merged != nil {
				w.finish(h, k, f, row) // the window before is the same
				continue
			}
			h.merge(h.spans[k])
			w.finish(h, k, f, row)
		}
		if w.kept {
			h.endRow()
		}
		h.clear()
	}
}

// merge makes h.merged the state of a window.
func (h *hopReader) merge(s window.Span) {
	if h.merged == nil {
		h.merged = h.shape.NewTile(window.Fence{})
	}
	h.merged.Reset(window.Fence{})
	for i := range len(h.cuts) - 1 {
		if h.segments[i].used && in(s, h.cuts[i]) {
			h.merged.Merge(h.segments[i].tile)
		}
	}
}

// newest is the start of the last tile in a window; false if it has none.
func (h *hopReader) newest(s window.Span) (start int64, ok bool) {
	for i := len(h.cuts) - 2; i >= 0; i-- {
		if h.segments[i].used && in(s, h.cuts[i]) {
			return h.segments[i].newest, true
		}
	}
	return 0, false
}

func (w *WindowReader) finish(h *hopReader, k, f, row int) {
	r := &w.results[f]
	if start, ok := h.newest(h.spans[k]); ok {
		r.found.Set(row)
		r.newest[row] = start
	}
	if h.merged.Lacks(h.states[k]) {
		r.lacks.Set(row)
	}
	if h.failed != "" {
		r.fail(row, h.failed)
		return
	}
	outcome := h.merged.FinalizeAs(h.states[k], &w.features[f].Spec, &r.column, row)
	if outcome == window.OutcomeError {
		r.fail(row, w.features[f].Spec.Kind.String()+" is out of range")
	}
}

func (r *windowResult) fail(row int, why string) {
	if r.failed == nil {
		r.failed = make(map[int]string)
	}
	r.failed[row] = why
	r.column.SetNull(row)
}

// Column returns the values of the i-th feature, one per row. Where there was
// nothing to count, counts are 0 and others null.
func (w *WindowReader) Column(i int) *feature.Column { return &w.results[i].column }

// Failure says why the i-th feature failed on a row, if it did.
func (w *WindowReader) Failure(i, row int) (message string, failed bool) {
	message, failed = w.results[i].failed[row]
	return message, failed
}

// AnyFailed reports whether any feature failed on a row.
func (w *WindowReader) AnyFailed(row int) bool {
	for i := range w.results {
		if _, failed := w.results[i].failed[row]; failed {
			return true
		}
	}
	return false
}

// Lacks reports whether a tile that the i-th feature covers in a row had no
// state of it: the feature is newer than the tile, and the value not complete.
func (w *WindowReader) Lacks(i, row int) bool { return w.results[i].lacks.Get(row) }

// Found reports whether the window of the i-th feature has any tile in a row.
func (w *WindowReader) Found(i, row int) bool { return w.results[i].found.Get(row) }

// Newest returns the start of the last tile in the window of the i-th feature in
// a row: its events are at most one hop newer. There is none without a tile,
// nor for a window without end.
func (w *WindowReader) Newest(i, row int) (micros int64, ok bool) {
	if w.features[i].Window.Unlimited || !w.results[i].found.Get(row) {
		return 0, false
	}
	return w.results[i].newest[row], true
}

// Range is which of Ranges the i-th feature is made of.
func (w *WindowReader) Range(i int) int {
	return slices.IndexFunc(w.hops, func(h hopReader) bool { return slices.Contains(h.features, i) })
}
