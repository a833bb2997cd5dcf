package rowcodec

import (
	"encoding/binary"
	"math"

	"millrace/feature"
)

// AppendRow appends the bytes of one finished row; one that is deleted is a
// header alone. The same row gives the same
// bytes everywhere: nulls are zero and NaN has one pattern. The caller has
// checked the row's bounds; see Encoder.
func AppendRow(dst []byte, rows *feature.Rows, row int) []byte {
	dst = appendHeader(dst, rows, row)
	if rows.Origins[row].Deleted {
		return dst
	}
	dst = appendNulls(dst, rows.Columns, row)
	variable := 0
	for i := range rows.Columns {
		c := &rows.Columns[i]
		if w := width(c.Type); w > 0 {
			dst = appendFixed(dst, c, row)
		} else {
			variable++
		}
	}
	return appendVariable(dst, rows.Columns, row, variable)
}

func appendHeader(dst []byte, rows *feature.Rows, row int) []byte {
	origin := rows.Origins[row]
	seq := feature.NewSequence(rows.View.Revision, origin)
	dst = append(dst, seq[:]...)
	flags := feature.RowFlags(0)
	if origin.Deleted {
		flags = feature.RowDeleted
	}
	dst = append(dst, Format, byte(flags))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(rows.PartitionOf(row)))
	dst = binary.LittleEndian.AppendUint32(dst, rows.Stored.ID)
	return binary.LittleEndian.AppendUint64(dst, uint64(origin.EventMicros))
}

// appendNulls appends one bit per column, set where the row is null.
func appendNulls(dst []byte, columns []feature.Column, row int) []byte {
	var bits byte
	for i := range columns {
		if columns[i].IsNull(row) {
			bits |= 1 << (i & 7)
		}
		if i&7 == 7 {
			dst = append(dst, bits)
			bits = 0
		}
	}
	if len(columns)&7 != 0 {
		dst = append(dst, bits)
	}
	return dst
}

// appendFixed appends row i of a fixed-width column; a null is zeros.
func appendFixed(dst []byte, c *feature.Column, i int) []byte {
	bits := uint64(0)
	if !c.IsNull(i) {
		bits = fixedBits(c, i)
	}
	switch width(c.Type) {
	case 1:
		return append(dst, byte(bits))
	case 4:
		return binary.LittleEndian.AppendUint32(dst, uint32(bits))
	default:
		return binary.LittleEndian.AppendUint64(dst, bits)
	}
}

func fixedBits(c *feature.Column, i int) uint64 {
	switch c.Type.Kind {
	case feature.KindBool:
		if c.Bools[i] {
			return 1
		}
	case feature.KindInt32, feature.KindInt64, feature.KindTimestamp:
		return uint64(c.Ints[i])
	case feature.KindFloat32:
		return uint64(float32Bits(c.Floats[i]))
	case feature.KindFloat64:
		return float64Bits(c.Floats[i])
	case feature.KindInvalid, feature.KindString, feature.KindBytes, feature.KindJSON:
	}
	return 0
}

// Processors disagree on the bits of a NaN, and bytes decide between rows of
// equal sequence, so there is one NaN.
const (
	nan64 = 0x7ff8_0000_0000_0001
	nan32 = 0x7fc0_0000
)

func float64Bits(v float64) uint64 {
	if math.IsNaN(v) {
		return nan64
	}
	return math.Float64bits(v)
}

func float32Bits(v float64) uint32 {
	if math.IsNaN(v) {
		return nan32
	}
	return math.Float32bits(float32(v))
}

// appendVariable appends the ends and then the bytes of the variable-width
// columns, of which there are n.
func appendVariable(dst []byte, columns []feature.Column, row, n int) []byte {
	if n == 0 {
		return dst
	}
	end := len(dst)
	dst = append(dst, make([]byte, n*endBytes)...)
	base := len(dst)
	for i := range columns {
		c := &columns[i]
		if width(c.Type) > 0 {
			continue
		}
		if !c.IsNull(row) {
			dst = appendBytes(dst, c, row)
		}
		binary.LittleEndian.PutUint32(dst[end:], uint32(len(dst)-base))
		end += endBytes
	}
	return dst
}

// appendBytes appends row i, not null, of a variable-width column.
func appendBytes(dst []byte, c *feature.Column, i int) []byte {
	if c.Type.IsList() {
		return appendList(dst, c.Elems, c.Spans[i])
	}
	return append(dst, c.Strings[i]...)
}

// appendList appends a list: count, null bitmap, elements; elements of
// variable width as ends and bytes, like those of a row.
func appendList(dst []byte, elems *feature.Column, span feature.Span) []byte {
	first, count := int(span.Start), int(span.End-span.Start)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(count))
	dst = appendElemNulls(dst, elems, first, count)
	if width(elems.Type) > 0 {
		for i := range count {
			dst = appendFixed(dst, elems, first+i)
		}
		return dst
	}
	ends := len(dst)
	dst = append(dst, make([]byte, count*endBytes)...)
	base := len(dst)
	for i := range count {
		if !elems.IsNull(first + i) {
			dst = appendBytes(dst, elems, first+i)
		}
		binary.LittleEndian.PutUint32(dst[ends+i*endBytes:], uint32(len(dst)-base))
	}
	return dst
}

func appendElemNulls(dst []byte, elems *feature.Column, first, count int) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, bitmapBytes(count))...)
	for i := range count {
		if elems.IsNull(first + i) {
			dst[at+i>>3] |= 1 << (i & 7)
		}
	}
	return dst
}

// rowBytes returns the size of what AppendRow appends, so that it can be
// refused or given room beforehand.
func rowBytes(columns []feature.Column, row int) int {
	n := headerBytes + bitmapBytes(len(columns))
	for i := range columns {
		n += valueBytes(&columns[i], row)
	}
	return n
}

// valueBytes returns what row i of c takes beside its bit of the null bitmap.
func valueBytes(c *feature.Column, i int) int {
	if w := width(c.Type); w > 0 {
		return w
	}
	if c.IsNull(i) {
		return endBytes
	}
	if !c.Type.IsList() {
		return endBytes + len(c.Strings[i])
	}
	first, end := int(c.Spans[i].Start), int(c.Spans[i].End)
	n := endBytes + endBytes + bitmapBytes(end-first)
	if w := width(c.Elems.Type); w > 0 {
		return n + w*(end-first)
	}
	for e := first; e < end; e++ {
		n += valueBytes(c.Elems, e)
	}
	return n
}
