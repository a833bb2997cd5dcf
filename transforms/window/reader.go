package window

import (
	"encoding/binary"
	"math"

	"millrace/feature"
)

// reader takes bytes apart. After the first thing that no writer wrote it is
// bad, and gives zeros; whoever loops over a count that it gave asks has first,
// so that a count in bad bytes allocates nothing. It moves by an index: readers
// live in tiles, where a moving slice would cost a write barrier per number.
type reader struct {
	b   []byte
	at  int
	bad bool
}

// left is how many bytes are not read yet.
func (r *reader) left() int { return len(r.b) - r.at }

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > r.left() {
		r.bad, r.at = true, len(r.b)
		return nil
	}
	t := r.b[r.at : r.at+n : r.at+n]
	r.at += n
	return t
}

func (r *reader) u8() byte {
	if t := r.take(1); t != nil {
		return t[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if t := r.take(2); t != nil {
		return binary.LittleEndian.Uint16(t)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if t := r.take(4); t != nil {
		return binary.LittleEndian.Uint32(t)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if t := r.take(8); t != nil {
		return binary.LittleEndian.Uint64(t)
	}
	return 0
}

func (r *reader) float() float64 { return math.Float64frombits(r.u64()) }

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b[r.at:])
	if n <= 0 {
		r.take(-1)
		return 0
	}
	r.at += n
	return v
}

// count reads a number of things of at least size bytes each, at most limit.
func (r *reader) count(size, limit int) int {
	n := r.uvarint()
	if n > uint64(limit) || n > uint64(r.left()/size) {
		r.take(-1)
		return 0
	}
	return int(n)
}

func (r *reader) position() Position {
	p := Position{EventMicros: int64(r.u64()), RecordMillis: int64(r.u64()), Offset: int64(r.u64())}
	p.Element, p.Partition = int32(r.u32()), int32(r.u32())
	return p
}

// value reads what value.append wrote, with text of its own memory.
func (r *reader) value(t feature.Type) value {
	null := r.u8()
	if null > 1 {
		r.take(-1)
	}
	if null == 1 || r.bad {
		return value{null: true}
	}
	switch t.Layout() {
	case feature.LayoutString:
		return value{text: string(r.take(r.count(1, MaxValueBytes)))}
	case feature.LayoutList:
		text := r.take(r.count(1, MaxValueBytes))
		inner := reader{b: text}
		inner.elements(t.Elem(), nil)
		r.bad = r.bad || inner.bad || inner.left() > 0
		return value{text: string(text)}
	default:
		return value{bits: r.fixed(t)}
	}
}

// pass reads a value and keeps nothing of it.
func (r *reader) pass(t feature.Type) {
	null := r.u8()
	switch {
	case null > 1:
		r.take(-1)
	case null == 1 || r.bad:
	case t.Layout() == feature.LayoutString:
		r.take(r.count(1, MaxValueBytes))
	case t.Layout() == feature.LayoutList:
		inner := reader{b: r.take(r.count(1, MaxValueBytes))}
		inner.elements(t.Elem(), nil)
		r.bad = r.bad || inner.bad || inner.left() > 0
	default:
		r.fixed(t)
	}
}

func (r *reader) fixed(t feature.Type) uint64 {
	v := r.u64()
	if t.Kind == feature.KindBool && v > 1 || t.Kind == feature.KindInt32 && int64(v) != int64(int32(v)) {
		r.take(-1)
	}
	return v
}

// elements reads what appendElements wrote onto dst, or looks whether it could
// when dst is nil. It returns where in dst they start.
func (r *reader) elements(t feature.Type, dst *feature.Column) (start int) {
	if dst != nil {
		start = dst.Len()
	}
	for range r.count(1, MaxValueBytes) {
		if !t.IsList() {
			v := r.value(t)
			if dst != nil {
				v.set(dst, dst.AppendNull())
			}
			continue
		}
		r.list(t, dst)
	}
	return start
}

func (r *reader) list(t feature.Type, dst *feature.Column) {
	null := r.u8()
	switch {
	case null > 1:
		r.take(-1)
	case dst == nil && null == 0:
		r.elements(t.Elem(), nil)
	case dst == nil:
	case null == 1:
		dst.AppendNull()
	default:
		row := dst.AppendNull()
		dst.SetList(row, r.elements(t.Elem(), dst.Elems))
	}
}
