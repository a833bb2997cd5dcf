package protorec

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// enter notes that the message of n occurs in this record.
func (d *Decoder) enter(n *node) { n.round = d.round }

// clear forgets what the record held of n so far.
func (d *Decoder) clear(n *node) {
	if n.round != d.round {
		return
	}
	n.round = 0
	for _, l := range n.leaves {
		d.forget(l)
	}
	for _, child := range n.children {
		d.clear(child)
	}
}

// walk reads fields of the message of n from at to end and returns end.
func (d *Decoder) walk(n *node, at, end int) int {
	data := d.data[:end]
	for at < end {
		start := at
		var number protowire.Number
		var typ protowire.Type
		if b := data[at]; b < 0x80 && b >= 8 {
			number, typ = protowire.Number(b>>3), protowire.Type(b&7)
			at++
		} else if number, typ, at = d.tag(at, end); at == failed {
			return failed
		}
		if o := n.find(number); o != nil {
			at = d.field(o, typ, start, at, end)
		} else if typ == protowire.BytesType && at < end && data[at] < 0x80 && int(data[at]) < end-at {
			at += 1 + int(data[at]) // skip without its calls
		} else {
			at = d.skip(number, typ, at, end)
		}
		if at == failed {
			return failed
		}
	}
	return end
}

// field reads the value of o's field that begins at at; its tag is at start.
// A value of a wire type that the field cannot have counts as unknown.
func (d *Decoder) field(o *op, typ protowire.Type, start, at, end int) int {
	if typ != o.wire {
		if typ == protowire.BytesType && o.packs {
			return d.packed(o, start, at, end)
		}
		return d.skip(o.number, typ, at, end)
	}
	if o.rivals != nil {
		d.win(o)
	}
	switch typ {
	case protowire.VarintType:
		if at < end && d.data[at] < 0x80 {
			return d.numbers(o, uint64(d.data[at]), start, at+1)
		}
		v, next := d.varint(at, end)
		return d.numbers(o, v, start, next)
	case protowire.Fixed32Type:
		next := d.fixed(at, end, 4)
		if next == failed {
			return failed
		}
		return d.numbers(o, uint64(binary.LittleEndian.Uint32(d.data[at:])), start, next)
	case protowire.Fixed64Type:
		next := d.fixed(at, end, 8)
		if next == failed {
			return failed
		}
		return d.numbers(o, binary.LittleEndian.Uint64(d.data[at:]), start, next)
	case protowire.BytesType:
		from, to := d.length(at, end)
		return d.content(o, start, from, to, to)
	case protowire.StartGroupType:
		from, to, next := d.group(o.number, at, end)
		return d.content(o, start, from, to, next)
	default:
		return d.skip(o.number, typ, at, end)
	}
}

// win takes back the other members of o's oneof.
func (d *Decoder) win(o *op) {
	for _, rival := range o.rivals {
		for _, l := range rival.leaves {
			d.forget(l)
		}
		if rival.node != nil {
			d.clear(rival.node)
		}
	}
}

func (d *Decoder) numbers(o *op, v uint64, start, next int) int {
	if next == failed {
		return failed
	}
	switch o.fast {
	case fastInt64:
		d.columns[o.column].SetInt(d.row, int64(v))
	case fastInt32:
		d.columns[o.column].SetInt(d.row, int64(int32(v)))
	case fastFloat64:
		d.columns[o.column].SetFloat(d.row, math.Float64frombits(v))
	case fastBool:
		d.columns[o.column].SetBool(d.row, v != 0)
	default:
		for _, l := range o.leaves {
			if l.json != nil {
				d.collect(l, start, next)
			} else {
				d.number(l, v, start)
			}
		}
	}
	return next
}

// packed reads the elements of a list that stand in one value.
func (d *Decoder) packed(o *op, start, at, end int) int {
	at, to := d.length(at, end)
	if at == failed {
		return failed
	}
	for _, l := range o.leaves {
		if l.json != nil {
			d.collect(l, start, to)
		}
	}
	for at < to {
		var v uint64
		from := at
		switch o.wire {
		case protowire.Fixed32Type:
			if at = d.fixed(at, to, 4); at != failed {
				v = uint64(binary.LittleEndian.Uint32(d.data[from:]))
			}
		case protowire.Fixed64Type:
			if at = d.fixed(at, to, 8); at != failed {
				v = binary.LittleEndian.Uint64(d.data[from:])
			}
		default:
			v, at = d.varint(at, to)
		}
		if at == failed {
			return failed
		}
		for _, l := range o.leaves {
			if l.json == nil {
				d.number(l, v, from)
			}
		}
	}
	return to
}

// content reads text, bytes or a message that lies between from and to.
func (d *Decoder) content(o *op, start, from, to, next int) int {
	if next == failed {
		return failed
	}
	if o.fast == fastString {
		if body := d.data[from:to]; utf8.Valid(body) {
			d.columns[o.column].SetString(d.row, alias(body))
			return next
		}
	}
	for _, l := range o.leaves {
		if l.json != nil {
			d.collect(l, start, next)
		} else if !d.text(l, start, from, to) {
			return failed
		}
	}
	if o.node != nil {
		d.enter(o.node)
		if d.walk(o.node, from, to) == failed {
			return failed
		}
	}
	if o.keys != nil && d.entry(o, from, to) == failed {
		return failed
	}
	return next
}

// entry reads an entry of a map. The last entry of a key counts, whole.
func (d *Decoder) entry(o *op, from, to int) int {
	var key []byte
	for at := from; at < to; {
		number, typ, value := d.tag(at, to)
		if value == failed {
			return failed
		}
		if number != 1 || typ != protowire.BytesType {
			at = d.skip(number, typ, value, to)
		} else if value, at = d.length(value, to); at != failed {
			key = d.data[value:at]
		}
		if at == failed {
			return failed
		}
	}
	n := o.keys[string(key)]
	if n == nil {
		return to
	}
	d.clear(n)
	d.enter(n)
	for _, child := range n.children { // a message left out is an empty one
		d.enter(child)
	}
	return d.walk(n, from, to)
}
