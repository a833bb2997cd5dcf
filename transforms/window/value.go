package window

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/cespare/xxhash/v2"

	"millrace/feature"
)

// MaxValueBytes is the longest value that a tile keeps.
const MaxValueBytes = 4096

// ErrTooLong is wrapped by every error of Spec.Check.
var ErrTooLong = errors.New("value too long for a tile")

// value is one row of a column, comparable. Lists are their encoded elements.
type value struct {
	text string // string, bytes, json, list
	bits uint64 // the others: 0 or 1, two's complement, IEEE 754
	null bool
}

// nan is the one NaN that is kept.
const nan = 0x7ff8000000000001

// read returns row i. Its text may live in the batch: see own.
func read(c *feature.Column, i int) value {
	if c.IsNull(i) {
		return value{null: true}
	}
	switch c.Type.Layout() {
	case feature.LayoutBool:
		if c.Bools[i] {
			return value{bits: 1}
		}
	case feature.LayoutInt:
		return value{bits: uint64(c.Ints[i])}
	case feature.LayoutFloat:
		if math.IsNaN(c.Floats[i]) {
			return value{bits: nan}
		}
		return value{bits: math.Float64bits(c.Floats[i])}
	case feature.LayoutString:
		return value{text: c.Strings[i]}
	case feature.LayoutList:
		return value{text: string(appendElements(nil, c, i))}
	case feature.LayoutNone:
	}
	return value{}
}

// plain returns v with -0.0 as 0.0, for aggregates that compare for equality.
func (v value) plain(t feature.Type) value {
	if t.Layout() == feature.LayoutFloat && v.bits == 1<<63 {
		v.bits = 0
	}
	return v
}

// own returns v with text of its own memory.
func (v value) own() value {
	v.text = strings.Clone(v.text)
	return v
}

// hash is stored in tiles, so it is fixed for ever: XXH64 with seed 0 of the
// bytes of a text, or of eight little-endian bytes; v is plain.
func (v value) hash(t feature.Type) uint64 {
	if t.Layout() == feature.LayoutString {
		return xxhash.Sum64String(v.text)
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v.bits)
	return xxhash.Sum64(b[:])
}

// compare orders values of one scalar type, not null. It is total, so that min
// and max do not depend on order: -0.0 lies below 0.0, NaN above all.
func compare(t feature.Type, a, b value) int {
	switch t.Layout() {
	case feature.LayoutInt:
		return cmp.Compare(int64(a.bits), int64(b.bits))
	case feature.LayoutFloat:
		return cmp.Compare(floatRank(a.bits), floatRank(b.bits))
	default: // one of the two is zero
		return cmp.Or(cmp.Compare(a.bits, b.bits), strings.Compare(a.text, b.text))
	}
}

// floatRank maps IEEE 754 bits to integers of the same order.
func floatRank(bits uint64) int64 {
	if int64(bits) < 0 {
		return int64(bits ^ math.MaxInt64)
	}
	return int64(bits)
}

// set makes row i of c the value.
func (v value) set(c *feature.Column, i int) {
	if v.null {
		c.SetNull(i)
		return
	}
	switch c.Type.Layout() {
	case feature.LayoutBool:
		c.SetBool(i, v.bits == 1)
	case feature.LayoutInt:
		c.SetInt(i, int64(v.bits))
	case feature.LayoutFloat:
		c.SetFloat(i, math.Float64frombits(v.bits))
	case feature.LayoutString:
		c.SetString(i, v.text)
	case feature.LayoutList:
		r := reader{b: []byte(v.text)}
		start := r.elements(c.Type.Elem(), c.Elems)
		c.SetList(i, start)
	case feature.LayoutNone:
	}
}

func (v value) append(b []byte, t feature.Type) []byte {
	switch {
	case v.null:
		return append(b, 1)
	case t.Layout() == feature.LayoutList, t.Layout() == feature.LayoutString:
		b = binary.AppendUvarint(append(b, 0), uint64(len(v.text)))
		return append(b, v.text...)
	default:
		return binary.LittleEndian.AppendUint64(append(b, 0), v.bits)
	}
}

// maxValue is the most bytes that append writes.
func maxValue(t feature.Type) int {
	if t.Layout() == feature.LayoutList || t.Layout() == feature.LayoutString {
		return 1 + 2 + MaxValueBytes
	}
	return 1 + 8
}

// appendElements writes the list in row i: their number, then each.
func appendElements(b []byte, c *feature.Column, i int) []byte {
	span := c.Spans[i]
	b = binary.AppendUvarint(b, uint64(span.End-span.Start))
	for e := int(span.Start); e < int(span.End); e++ {
		if c.Elems.Type.IsList() && !c.Elems.IsNull(e) {
			b = appendElements(append(b, 0), c.Elems, e)
			continue
		}
		b = read(c.Elems, e).append(b, c.Elems.Type)
	}
	return b
}

// elementsBytes is how many bytes appendElements writes.
func elementsBytes(c *feature.Column, i int) int {
	span := c.Spans[i]
	n := uvarintBytes(uint64(span.End - span.Start))
	for e := int(span.Start); e < int(span.End); e++ {
		n++
		switch layout := c.Elems.Type.Layout(); {
		case c.Elems.IsNull(e):
		case layout == feature.LayoutList:
			n += elementsBytes(c.Elems, e)
		case layout == feature.LayoutString:
			n += uvarintBytes(uint64(len(c.Elems.Strings[e]))) + len(c.Elems.Strings[e])
		default:
			n += 8
		}
	}
	return n
}

func uvarintBytes(v uint64) int {
	var b [binary.MaxVarintLen64]byte
	return binary.PutUvarint(b[:], v)
}

// Check refuses a value that a tile may not keep. The lane asks it of every
// row before it updates any tile: a row is counted whole or not at all.
func (s *Spec) Check(c *feature.Column, row int) error {
	switch s.Kind {
	case KindMin, KindMax, KindFirst, KindLast, KindLastN, KindTopK:
	default:
		return nil
	}
	n := 0
	switch {
	case c.IsNull(row):
	case c.Type.Layout() == feature.LayoutString:
		n = len(c.Strings[row])
	case c.Type.Layout() == feature.LayoutList:
		n = elementsBytes(c, row)
	}
	if n > MaxValueBytes {
		return fmt.Errorf("%w: %s keeps at most %d bytes, this one has %d; shorten it, as in `of: substring(text, 1, 100)`",
			ErrTooLong, s.Kind, MaxValueBytes, n)
	}
	return nil
}

// Position orders events: by event time, then by sequence without revision,
// then by partition (DESIGN: time and order). Two events never share one.
type Position struct {
	EventMicros  int64
	RecordMillis int64
	Offset       int64
	Element      int32
	Partition    int32
}

// PositionOf returns the position of a row.
func PositionOf(o *feature.Origin, partition int32) Position {
	return Position{
		EventMicros:  o.EventMicros,
		RecordMillis: min(max(o.RecordMillis, 0), 1<<48-1),
		Offset:       o.Offset, Element: o.Element, Partition: partition,
	}
}

// Compare is negative when p came before q. Offsets compare as the unsigned
// numbers that a sequence holds.
func (p *Position) Compare(q *Position) int {
	if p.EventMicros != q.EventMicros {
		return cmp.Compare(p.EventMicros, q.EventMicros)
	}
	return cmp.Or(cmp.Compare(p.RecordMillis, q.RecordMillis), cmp.Compare(uint64(p.Offset), uint64(q.Offset)),
		cmp.Compare(p.Element, q.Element), cmp.Compare(p.Partition, q.Partition))
}

const positionBytes = 32

func (p *Position) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(p.EventMicros))
	b = binary.LittleEndian.AppendUint64(b, uint64(p.RecordMillis))
	b = binary.LittleEndian.AppendUint64(b, uint64(p.Offset))
	b = binary.LittleEndian.AppendUint32(b, uint32(p.Element))
	return binary.LittleEndian.AppendUint32(b, uint32(p.Partition))
}
