package window

import (
	"encoding/binary"
	"slices"

	"millrace/feature"
)

// extreme is min (sign -1) or max (sign 1).
type extreme struct {
	best value
	of   feature.Type
	sign int8
	some bool
}

func (a *extreme) update(c *feature.Column, row int, _ *Position) {
	if c.IsNull(row) {
		return
	}
	if v := read(c, row); a.better(v) {
		a.some, a.best = true, v.own()
	}
}

func (a *extreme) better(v value) bool { return !a.some || compare(a.of, v, a.best)*int(a.sign) > 0 }

func (a *extreme) merge(from aggregate) {
	if b, ok := from.(*extreme); ok && b.some && a.better(b.best) {
		a.some, a.best = true, b.best
	}
}

func (a *extreme) finalize(_ *Spec, dst *feature.Column, row int) Outcome {
	if !a.some {
		return OutcomeNull
	}
	a.best.set(dst, row)
	return OutcomeValue
}

func (a *extreme) append(b []byte) []byte {
	if !a.some {
		return append(b, 0)
	}
	return a.best.append(append(b, 1), a.of)
}

func (a *extreme) decode(r *reader) {
	if a.some = r.some(); a.some {
		a.best = r.value(a.of)
		r.bad = r.bad || a.best.null
	}
}

func (r *reader) some() bool {
	b := r.u8()
	r.bad = r.bad || b > 1
	return b == 1
}

func (a *extreme) reset()      { a.some, a.best = false, value{} }
func (a *extreme) memory() int { return 48 + len(a.best.text) }

// edge is first (sign -1) or last (sign 1). Nulls are values.
type edge struct {
	of   feature.Type
	sign int
	some bool
	at   Position
	v    value
}

func (a *edge) update(c *feature.Column, row int, at *Position) {
	if a.better(at) {
		a.some, a.at, a.v = true, *at, read(c, row).own()
	}
}

func (a *edge) better(at *Position) bool { return !a.some || at.Compare(&a.at)*a.sign > 0 }

func (a *edge) merge(from aggregate) {
	if b, ok := from.(*edge); ok && b.some && a.better(&b.at) {
		a.some, a.at, a.v = true, b.at, b.v
	}
}

func (a *edge) finalize(_ *Spec, dst *feature.Column, row int) Outcome {
	if !a.some || a.v.null {
		return OutcomeNull
	}
	a.v.set(dst, row)
	return OutcomeValue
}

func (a *edge) append(b []byte) []byte {
	if !a.some {
		return append(b, 0)
	}
	return a.v.append(a.at.append(append(b, 1)), a.of)
}

func (a *edge) decode(r *reader) {
	if a.some = r.some(); a.some {
		a.at, a.v = r.position(), r.value(a.of)
	}
}
func (a *edge) reset()      { a.some, a.at, a.v = false, Position{}, value{} }
func (a *edge) memory() int { return 96 + len(a.v.text) }

// lastN keeps the n newest values, nulls among them, newest first. With
// distinct a value counts once, at its newest position: the n newest distinct
// values of a union are among those of its parts.
type lastN struct {
	of       feature.Type
	n        int
	distinct bool
	items    []item // newest first
}

type item struct {
	at Position
	v  value
}

func (a *lastN) update(c *feature.Column, row int, at *Position) {
	if len(a.items) == a.n && at.Compare(&a.items[a.n-1].at) < 0 {
		return // older than all that are kept
	}
	a.insert(at, read(c, row), true)
}

func (a *lastN) insert(at *Position, v value, clone bool) {
	if a.distinct {
		old := slices.IndexFunc(a.items, func(x item) bool { return x.v.plain(a.of) == v.plain(a.of) })
		if old >= 0 {
			if at.Compare(&a.items[old].at) <= 0 {
				return
			}
			a.items = slices.Delete(a.items, old, old+1)
		}
	}
	place, taken := slices.BinarySearchFunc(a.items, at, func(x item, at *Position) int { return at.Compare(&x.at) })
	if taken || place >= a.n {
		return
	}
	if clone {
		v = v.own()
	}
	if len(a.items) == a.n {
		a.items = a.items[:a.n-1]
	}
	a.items = slices.Insert(a.items, place, item{*at, v})
}

func (a *lastN) merge(from aggregate) {
	if b, ok := from.(*lastN); ok {
		for i := range b.items {
			if len(a.items) == a.n && b.items[i].at.Compare(&a.items[a.n-1].at) < 0 {
				return // so are those that follow
			}
			a.insert(&b.items[i].at, b.items[i].v, false)
		}
	}
}

func (a *lastN) finalize(_ *Spec, dst *feature.Column, row int) Outcome {
	if len(a.items) == 0 {
		return OutcomeNull
	}
	start := dst.Elems.Len()
	for i := range a.items {
		a.items[i].v.set(dst.Elems, dst.Elems.AppendNull())
	}
	dst.SetList(row, start)
	return OutcomeValue
}

func (a *lastN) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(a.items)))
	for i := range a.items {
		b = a.items[i].v.append(a.items[i].at.append(b), a.of)
	}
	return b
}

func (a *lastN) decode(r *reader) {
	n := r.count(positionBytes+1, a.n)
	a.items = slices.Grow(a.items[:0], n)
	for i := range n {
		a.items = append(a.items, item{r.position(), r.value(a.of)})
		r.bad = r.bad || i > 0 && a.items[i].at.Compare(&a.items[i-1].at) >= 0
	}
}

func (a *lastN) reset() {
	clear(a.items)
	a.items = a.items[:0]
}

func (a *lastN) memory() int {
	n := 48 + cap(a.items)*72
	for i := range a.items {
		n += len(a.items[i].v.text)
	}
	return n
}
