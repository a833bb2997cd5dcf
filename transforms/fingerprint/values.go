package fingerprint

import (
	"encoding/binary"
	"math"

	"github.com/zeebo/xxh3"

	"millrace/feature"
)

// HashValues is the hash of one row of columns, the inputs of a model in its
// order: of other values, or other nulls, it is another. scratch is memory to
// work in, returned to be used again.
func HashValues(scratch []byte, columns []*feature.Column, row int) (hash [16]byte, again []byte) {
	scratch = scratch[:0]
	for _, c := range columns {
		scratch = appendValue(scratch, c, row)
	}
	return xxh3.Hash128(scratch).Bytes(), scratch
}

// appendValue appends a value so that it says where it ends.
func appendValue(dst []byte, c *feature.Column, row int) []byte {
	if c.IsNull(row) {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	switch c.Type.Layout() {
	case feature.LayoutBool:
		if c.Bools[row] {
			return append(dst, 1)
		}
		return append(dst, 0)
	case feature.LayoutInt:
		return binary.LittleEndian.AppendUint64(dst, uint64(c.Ints[row]))
	case feature.LayoutFloat:
		return binary.LittleEndian.AppendUint64(dst, floatBits(c.Floats[row]))
	case feature.LayoutString:
		return appendText(dst, c.Strings[row])
	case feature.LayoutList:
		s := c.Spans[row]
		dst = binary.AppendUvarint(dst, uint64(s.End-s.Start))
		for i := s.Start; i < s.End; i++ {
			dst = appendValue(dst, c.Elems, int(i))
		}
	case feature.LayoutNone:
	}
	return dst
}

// floatBits has one pattern for NaN, as processors disagree on it.
func floatBits(v float64) uint64 {
	if math.IsNaN(v) {
		return 0x7ff8_0000_0000_0001
	}
	return math.Float64bits(v)
}
