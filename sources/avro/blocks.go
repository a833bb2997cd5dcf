package avro

import (
	"strconv"

	"millrace/feature"
)

// block reads the head of a block of an array or map: how many elements it has,
// and how many bytes, or -1 when it does not say. empty elements take no bytes.
func (m *machine) block(empty bool) (n int, size int64, ok bool) {
	at := m.at
	count, ok := m.long()
	size = -1
	if ok && count < 0 {
		if size, ok = m.long(); ok && (size < 0 || size > int64(len(m.data)-m.at)) {
			m.at = at
			return 0, 0, m.malformed("a block is longer than what is left")
		}
		count = -count
	}
	switch {
	case !ok:
		return 0, 0, false
	case count < 0 || !empty && count > int64(len(m.data)-m.at):
		m.at = at
		return 0, 0, m.malformed("a block has more elements than bytes are left")
	case count > int64(m.elements):
		m.at = at
		return 0, 0, m.tooLarge("has too many elements")
	}
	m.elements -= int(count)
	return int(count), size, true
}

// skipBlocks passes over an array or map, by the sizes of its blocks when it
// has them.
func (m *machine) skipBlocks(o *op) bool {
	if !m.enter() {
		return false
	}
	isMap := o.n == 1
	elem := o.programs[0]
	empty := !isMap && len(elem.ops) == 0
	texts := !isMap && len(elem.ops) == 1 && elem.ops[0].code == codeSkipText
	for {
		n, size, ok := m.block(empty)
		switch {
		case !ok:
			return false
		case n == 0:
			m.depth++
			return true
		case size >= 0:
			m.at += int(size)
			continue
		case empty:
			continue
		}
		if texts {
			if !m.skipTexts(n) {
				return false
			}
			continue
		}
		for range n {
			if isMap {
				if _, ok := m.bytes(); !ok {
					return false
				}
			}
			if !m.run(elem) {
				return false
			}
		}
	}
}

// skipTexts passes over n texts.
func (m *machine) skipTexts(n int) bool {
	data, at := m.data, m.at
	for range n {
		size, next := number(data, at)
		if next < 0 || uint64(size) > uint64(len(data)-next) {
			return m.badLength(at)
		}
		at = next + int(size)
	}
	m.at = at
	return true
}

// pairs reads a map of which some values are wanted. Of several pairs with one
// key the last counts.
func (m *machine) pairs(o *op) bool {
	if !m.enter() {
		return false
	}
	for {
		n, _, ok := m.block(false)
		if !ok {
			return false
		}
		if n == 0 {
			m.depth++
			return true
		}
		for range n {
			key, ok := m.bytes()
			if !ok {
				return false
			}
			p, wanted := o.keys[string(key)]
			if !wanted {
				p = o.programs[0]
			}
			if !m.run(p) {
				return false
			}
		}
	}
}

// list reads an array.
func (m *machine) list(o *op, c *feature.Column, i int) bool {
	if !m.enter() {
		return false
	}
	at, elem := m.at, &o.values[0]
	start := c.Elems.Len()
	empty := o.typ.items.empty
	for {
		n, _, ok := m.block(empty)
		if !ok {
			return false
		}
		if n == 0 {
			break
		}
		// As many as the record has bytes left, or its budget allows.
		next := c.Elems.Len()
		c.Elems.Resize(next + n)
		for e := next; e < next+n; e++ {
			if !m.leaf(elem, c.Elems, e) {
				return false
			}
		}
	}
	m.depth++
	if n := c.Elems.Len() - start; o.to.Length > 0 && n != int(o.to.Length) {
		return m.refuse(feature.ReasonLength, "field "+o.name+" at byte "+strconv.Itoa(at)+": has "+strconv.Itoa(n)+
			" elements, not "+strconv.Itoa(int(o.to.Length)))
	}
	c.SetList(i, start)
	return true
}
