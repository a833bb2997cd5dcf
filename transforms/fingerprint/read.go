package fingerprint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
)

// Check says whether a Builder of this version wrote b.
func Check(b []byte) error {
	if len(b) > 0 && b[0] != Format {
		return fmt.Errorf("%w: format %d; this version reads format %d", ErrFormat, b[0], Format)
	}
	r := reader{b: b}
	if r.take(headBytes) == nil || !r.body(Mode(b[1])) || r.left() > 0 {
		return fmt.Errorf("%w: %d damaged bytes", ErrFormat, len(b))
	}
	return nil
}

const (
	headBytes = 1 + 1 + 8
	rowBytes  = 8 + 16
	tileBytes = 8
)

// body reads what follows the head, and reports whether it is in order.
func (r *reader) body(mode Mode) bool {
	switch mode {
	case Values:
		return r.take(16) != nil
	case State:
		return r.views() && r.groups()
	}
	return false
}

func (r *reader) views() bool {
	var last []byte
	n := r.uvarint()
	for i := uint64(0); i < n && !r.bad; i++ {
		v := r.view()
		if i > 0 && bytes.Compare(last, v.name) >= 0 {
			return false
		}
		last = v.name
	}
	return !r.bad
}

func (r *reader) groups() bool {
	var last readGroup
	n := r.uvarint()
	for i := uint64(0); i < n && !r.bad; i++ {
		g := r.group()
		if r.bad || i > 0 && last.compare(&g) >= 0 || len(g.tiles) == 0 {
			return false
		}
		last = g
		inner, before := reader{b: g.tiles}, uint64(0)
		for k := 0; inner.left() > 0; k++ {
			t := inner.u64()
			if k > 0 && t <= before {
				return false
			}
			before = t
		}
	}
	return !r.bad
}

// reader takes bytes apart; after the first thing that no Builder wrote it is
// bad and gives zeros.
type reader struct {
	b   []byte
	at  int
	bad bool
}

type readView struct {
	name       []byte
	generation uint32
	read       uint64
	kind       RowKind
	row        []byte
}

type readGroup struct {
	view  []byte
	hop   int32
	tiles []byte
}

func (g *readGroup) compare(h *readGroup) int {
	return cmp.Or(bytes.Compare(g.view, h.view), cmp.Compare(g.hop, h.hop))
}

func (r *reader) left() int { return len(r.b) - r.at }

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > r.left() {
		r.bad = true
		return nil
	}
	r.at += n
	return r.b[r.at-n : r.at : r.at]
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

// uvarint reads a number in its shortest form.
func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b[min(r.at, len(r.b)):])
	if n <= 0 || n > 1 && v < 1<<(7*(n-1)) {
		r.bad = true
		return 0
	}
	r.take(n)
	return v
}

// counted reads a number of things of a size, and takes them.
func (r *reader) counted(size int) []byte {
	n := r.uvarint()
	if r.bad || n > uint64(r.left()/size) {
		r.bad = true
		return nil
	}
	return r.take(int(n) * size)
}

func (r *reader) view() readView {
	v := readView{name: r.counted(1), generation: r.u32(), read: r.u64()}
	if t := r.take(1); t != nil {
		v.kind = RowKind(t[0])
	}
	switch v.kind {
	case NoRow, Absent:
	case Present:
		v.row = r.take(rowBytes)
	default:
		r.bad = true
	}
	return v
}

func (r *reader) group() readGroup {
	return readGroup{view: r.counted(1), hop: int32(r.u32()), tiles: r.counted(tileBytes)}
}
