package transforms

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"

	"millrace/transforms/window"
)

// KeepTiles makes AppendTiles answer for the rows that are read from the next
// Reset on. Otherwise tiles are not looked at.
func (w *WindowReader) KeepTiles(on bool) { w.kept = on }

// AppendTiles appends, for a row, a hash of every tile of range hop that is in
// the window of a feature for which wanted, parallel to the features, is true:
// of where it starts, its source partition and its bytes. Each stands there
// once, in no order. It is asked after KeepTiles, and is good until the next
// Reset. Of a range in which tiles could not be merged there are none.
func (w *WindowReader) AppendTiles(dst []uint64, hop, row int, wanted []bool) []uint64 {
	h := &w.hops[hop]
	if !w.kept || (row+1)*len(h.cuts) > len(h.hashes.of) {
		return dst
	}
	for i, of := range h.hashes.of[row*len(h.cuts) : (row+1)*len(h.cuts)] {
		if of.from < of.to && h.covers(i, wanted) {
			dst = append(dst, h.hashes.all[of.from:of.to]...)
		}
	}
	return dst
}

// covers reports whether segment i is in the window of a wanted feature.
func (h *hopReader) covers(i int, wanted []bool) bool {
	for k, f := range h.features {
		if wanted[f] && in(h.spans[k], h.cuts[i]) {
			return true
		}
	}
	return false
}

// in reports whether a segment that begins at cut is in a window.
func in(s window.Span, cut int64) bool { return s.From <= cut && cut < s.To }

// tileHashes are those of the rows of one hop: segments after rows.
type tileHashes struct {
	all []uint64
	of  []hashSpan // by row and segment, in all
}

type hashSpan struct{ from, to int }

func (t *tileHashes) reset() { t.all, t.of = t.all[:0], t.of[:0] }

// endRow keeps what the segments of a row have.
func (h *hopReader) endRow() {
	for i := range h.cuts {
		from := len(h.hashes.all)
		if s := &h.segments[i]; s.used && h.failed == "" {
			h.hashes.all = append(h.hashes.all, s.hashes...)
		}
		h.hashes.of = append(h.hashes.of, hashSpan{from, len(h.hashes.all)})
	}
}

// hashTile is another one for any other tile.
func hashTile(start int64, partition int32, state []byte) uint64 {
	var at [12]byte
	binary.LittleEndian.PutUint64(at[:], uint64(start))
	binary.LittleEndian.PutUint32(at[8:], uint32(partition))
	return xxh3.HashSeed(state, xxh3.Hash(at[:]))
}
