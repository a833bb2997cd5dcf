package protorec

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"millrace/feature"
)

// complete gives what the record left out what an absent field holds.
func (d *Decoder) complete(p *plan) {
	for _, l := range p.filled {
		if c := d.columns[l.column]; l.owner.round == d.round && c.IsNull(d.row) {
			l.fill(c, d.row)
		}
	}
}

func (l *leaf) fill(c *feature.Column, i int) {
	switch a := &l.absent; a.layout {
	case feature.LayoutInt:
		c.SetInt(i, a.integer)
	case feature.LayoutFloat:
		c.SetFloat(i, a.float)
	case feature.LayoutString:
		c.SetString(i, a.text)
	case feature.LayoutBool:
		c.SetBool(i, a.truth)
	case feature.LayoutList:
		c.SetList(i, c.Elems.Len())
	case feature.LayoutNone:
	}
}

// forget makes l null again.
func (d *Decoder) forget(l *leaf) {
	d.columns[l.column].SetNull(d.row)
	l.badRound, l.timeRound = 0, 0
	if l.json != nil {
		l.json.round = 0
	}
}

// refuse notes that what l holds does not fit its type. The record is refused
// only if nothing better follows.
func (d *Decoder) refuse(l *leaf, at int, why string) {
	what := "field " + l.name + " at byte " + strconv.Itoa(at) + ": "
	if l.typ.IsList() {
		what += "an element "
	}
	l.bad, l.badRound, d.bad = fault{feature.ReasonWrongType, what + why}, d.round, true
}

// place returns where the next value of l goes: the row, or a new element.
func (d *Decoder) place(l *leaf) (*feature.Column, int) {
	c := d.columns[l.column]
	if !l.typ.IsList() {
		if d.bad {
			l.badRound = 0
		}
		return c, d.row
	}
	elem := c.Elems.AppendNull()
	if c.IsNull(d.row) {
		c.SetList(d.row, elem)
	}
	c.Spans[d.row].End = uint32(elem + 1)
	return c.Elems, elem
}

// number sets l to a number as the wire has it.
func (d *Decoder) number(l *leaf, raw uint64, at int) {
	c, i := d.place(l)
	var v int64
	switch l.kind {
	case protoreflect.BoolKind:
		if l.typ.Kind == feature.KindBool {
			c.SetBool(i, protowire.DecodeBool(raw))
		}
		return
	case protoreflect.DoubleKind:
		d.float(l, c, i, math.Float64frombits(raw), at)
		return
	case protoreflect.FloatKind:
		c.SetFloat(i, float64(math.Float32frombits(uint32(raw))))
		return
	case protoreflect.Int64Kind, protoreflect.Sfixed64Kind:
		v = int64(raw)
	case protoreflect.Int32Kind, protoreflect.EnumKind, protoreflect.Sfixed32Kind:
		v = int64(int32(raw))
	case protoreflect.Sint64Kind:
		v = protowire.DecodeZigZag(raw)
	case protoreflect.Sint32Kind:
		v = int64(int32(protowire.DecodeZigZag(raw & math.MaxUint32)))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		v = int64(uint32(raw))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		if l.typ.Kind == feature.KindFloat32 || l.typ.Kind == feature.KindFloat64 {
			d.float(l, c, i, float64(raw), at)
			return
		}
		if v = int64(raw); v < 0 {
			c.SetNull(i)
			d.refuse(l, at, "is beyond int64")
			return
		}
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind, protoreflect.GroupKind:
		return
	}
	d.integer(l, c, i, v, at)
}

// integer sets row i of c, of l's type, to v.
func (d *Decoder) integer(l *leaf, c *feature.Column, i int, v int64, at int) {
	switch l.typ.Kind {
	case feature.KindInt64:
		c.SetInt(i, v)
		return
	case feature.KindInt32:
		if v == int64(int32(v)) {
			c.SetInt(i, v)
			return
		}
		d.refuse(l, at, "is beyond int32")
	case feature.KindFloat32:
		c.SetFloat(i, float64(float32(v)))
		return
	case feature.KindFloat64:
		c.SetFloat(i, float64(v))
		return
	case feature.KindTimestamp:
		if micros, ok := epochMicros(v, l.unit); ok {
			c.SetInt(i, micros)
			return
		}
		d.refuse(l, at, "is a time beyond what microseconds can count")
	case feature.KindString:
		c.SetString(i, l.enumName(int32(v), d.arena))
		return
	case feature.KindInvalid, feature.KindBool, feature.KindBytes, feature.KindJSON:
	}
	c.SetNull(i)
}

// float sets row i of c, of l's type, to v; a float32 is rounded.
func (d *Decoder) float(l *leaf, c *feature.Column, i int, v float64, at int) {
	if l.typ.Kind == feature.KindFloat32 {
		narrow := float64(float32(v))
		if math.IsInf(narrow, 0) && !math.IsInf(v, 0) {
			c.SetNull(i)
			d.refuse(l, at, "is beyond float32")
			return
		}
		v = narrow
	}
	c.SetFloat(i, v)
}

// enumName returns the name of a number, or the number itself.
func (l *leaf) enumName(number int32, arena *feature.Arena) string {
	if uint32(number) < uint32(len(l.names)) && l.names[number] != "" {
		return l.names[number]
	}
	if v := l.enum.ByNumber(protoreflect.EnumNumber(number)); v != nil {
		return string(v.Name())
	}
	return arena.Keep(strconv.AppendInt(arena.Tail(len("-2147483648")), int64(number), 10))
}

// text sets l to text, bytes or a message that lies between from and to. False
// leaves the reason in fault.
func (d *Decoder) text(l *leaf, start, from, to int) bool {
	if l.raw {
		d.keep(l, from, to)
		return true
	}
	body := d.data[from:to]
	if l.kind == protoreflect.MessageKind {
		return d.span(l, start, from, to)
	}
	if (l.kind == protoreflect.StringKind || l.typ.Kind == feature.KindString) && !utf8.Valid(body) {
		d.fail(start, "field "+l.name+" is not valid UTF-8")
		return false
	}
	c, i := d.place(l)
	if len(body) == 0 && l.blank && l.typ.Kind == feature.KindTimestamp {
		c.SetNull(i)
		return true
	}
	if l.typ.Kind != feature.KindTimestamp {
		c.SetString(i, alias(body))
		return true
	}
	t, err := time.Parse(time.RFC3339, alias(body))
	if err != nil {
		c.SetNull(i)
		d.refuse(l, start, "is not RFC 3339 text")
		return true
	}
	c.SetInt(i, t.UnixMicro())
	return true
}

// alias returns b as a string, which is right as long as nobody writes to a
// record: package sources promises that.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// span reads a google.protobuf.Timestamp or Duration. What an earlier
// occurrence in the record set stays where this one is silent.
func (d *Decoder) span(l *leaf, start, from, to int) bool {
	if l.timeRound != d.round {
		l.timeRound, l.seconds, l.nanos = d.round, 0, 0
	}
	for at := from; at < to; {
		number, typ, value := d.tag(at, to)
		if value == failed {
			return false
		}
		switch {
		case typ == protowire.VarintType && number <= 2:
			var v uint64
			if v, at = d.varint(value, to); number == 1 {
				l.seconds = int64(v)
			} else {
				l.nanos = int32(v)
			}
		default:
			at = d.skip(number, typ, value, to)
		}
		if at == failed {
			return false
		}
	}
	c, i := d.place(l)
	if l.duration {
		d.setDuration(l, c, i, start)
		return true
	}
	micros, ok := epochMicros(l.seconds, time.Second)
	if !ok || l.nanos < 0 || l.nanos > maxNanos {
		c.SetNull(i)
		d.refuse(l, start, "is not a time that microseconds can count")
		return true
	}
	c.SetInt(i, micros+int64(l.nanos)/1000)
	return true
}

const (
	maxNanos           = 999_999_999
	maxDurationSeconds = 315_576_000_000 // ten thousand years, as duration.proto has it
)

// setDuration sets seconds as a float64, or microseconds as an int64.
func (d *Decoder) setDuration(l *leaf, c *feature.Column, i, at int) {
	s, n := l.seconds, int64(l.nanos)
	switch {
	case s > maxDurationSeconds || s < -maxDurationSeconds || n > maxNanos || n < -maxNanos || s > 0 && n < 0 || s < 0 && n > 0:
		c.SetNull(i)
		d.refuse(l, at, "is not a duration")
	case l.typ.Kind == feature.KindFloat64:
		c.SetFloat(i, float64(s)+float64(n)/1e9)
	default:
		c.SetInt(i, s*1e6+n/1000)
	}
}

// epochMicros turns a count of unit since the epoch into microseconds, rounding
// down; false when that overflows.
func epochMicros(v int64, unit time.Duration) (int64, bool) {
	if unit < time.Microsecond {
		per := int64(time.Microsecond / unit)
		micros := v / per
		if v%per < 0 {
			micros--
		}
		return micros, true
	}
	per := int64(unit / time.Microsecond)
	if v > math.MaxInt64/per || v < math.MinInt64/per {
		return 0, false
	}
	return v * per, true
}
