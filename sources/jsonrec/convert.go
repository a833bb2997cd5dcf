package jsonrec

import (
	"encoding/base64"
	"math"
	"strconv"
	"unsafe"

	"millrace/feature"
)

// set sets row i of c to v, which is neither absent nor null.
func (d *Decoder) set(c *feature.Column, i int, v value, f *field, arena *feature.Arena) fault {
	if c.Type.IsList() {
		return d.setList(c, i, v, f, arena)
	}
	switch c.Type.Kind {
	case feature.KindBool:
		if v.kind != valueTrue && v.kind != valueFalse {
			return wrongType(f, c.Type, v)
		}
		c.SetBool(i, v.kind == valueTrue)
		return fault{}
	case feature.KindInt32, feature.KindInt64:
		return d.setInt(c, i, v, f)
	case feature.KindFloat32, feature.KindFloat64:
		return d.setFloat(c, i, v, f)
	case feature.KindTimestamp:
		micros, problem := d.timestamp(v, f)
		if problem.reason == "" {
			c.SetInt(i, micros)
		}
		return problem
	case feature.KindString:
		return d.setString(c, i, v, f, arena)
	case feature.KindBytes:
		return d.setBytes(c, i, v, f, arena)
	case feature.KindJSON:
		c.SetString(i, arena.Copy(d.raw(v)))
		return fault{}
	case feature.KindInvalid:
	}
	return wrongType(f, c.Type, v)
}

// wrongType refuses a value of another JSON type than want takes.
func wrongType(f *field, want feature.Type, v value) fault {
	return unfit(f, want, v, "is "+v.kind.String()+", not "+want.String())
}

// unfit refuses v, a value of f or of a list in it, that should be of type
// want; why speaks of the value without quoting it.
func unfit(f *field, want feature.Type, v value, why string) fault {
	if want != f.typ {
		why = "an element " + why
	}
	return f.refuse(feature.ReasonWrongType, v, why)
}

// refuse names f and where in the record v begins.
func (f *field) refuse(reason feature.Reason, v value, why string) fault {
	return fault{reason, "field " + f.name + " at byte " + strconv.Itoa(v.start) + ": " + why}
}

// raw returns the text of v as the record has it.
func (d *Decoder) raw(v value) []byte { return d.scan.data[v.start:v.end] }

// content returns a string without quotes and escapes, valid until the next
// call.
func (d *Decoder) content(v value) []byte {
	inner := d.scan.data[v.start+1 : v.end-1]
	if v.kind == valueText {
		return inner
	}
	d.scratch = appendUnescaped(d.scratch[:0], inner)
	return d.scratch
}

func (d *Decoder) setInt(c *feature.Column, i int, v value, f *field) fault {
	text := d.raw(v)
	if v.kind != valueNumber {
		var problem fault
		if text, problem = d.unquote(v, f, c.Type, c.Type.String()); text == nil {
			return problem
		}
	}
	n, ok := parseInt(text)
	if !ok || c.Type.Kind == feature.KindInt32 && n != int64(int32(n)) {
		return unfit(f, c.Type, v, "is not an integer that fits "+c.Type.String())
	}
	c.SetInt(i, n)
	return fault{}
}

// parseInt reads a checked JSON number exactly. It takes no fraction, not even
// .0, and an exponent only where the number stays an integer by its form.
func parseInt(text []byte) (int64, bool) {
	negative := text[0] == '-'
	if negative {
		text = text[1:]
	}
	n, limit := uint64(0), uint64(math.MaxInt64)
	if negative {
		limit++
	}
	at := 0
	for ; at < len(text) && text[at]-'0' < 10; at++ {
		digit := uint64(text[at] - '0')
		if n > (limit-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	if at < len(text) {
		var ok bool
		if n, ok = scale(n, limit, text[at:]); !ok {
			return 0, false
		}
	}
	if negative {
		return -int64(n), true
	}
	return int64(n), true
}

// scale applies an exponent, e3 for example, to n.
func scale(n, limit uint64, exponent []byte) (uint64, bool) {
	if exponent[0] == '.' {
		return 0, false
	}
	digits := exponent[1:]
	if digits[0] == '+' {
		digits = digits[1:]
	}
	power := 0
	for _, c := range digits {
		if c == '-' {
			return 0, false
		}
		power = min(power*10+int(c-'0'), 20) // more overflows anyway
	}
	for ; power > 0 && n > 0; power-- {
		if n > limit/10 {
			return 0, false
		}
		n *= 10
	}
	return n, true
}

func (d *Decoder) setFloat(c *feature.Column, i int, v value, f *field) fault {
	text := d.raw(v)
	if v.kind != valueNumber {
		var problem fault
		if text, problem = d.unquote(v, f, c.Type, c.Type.String()); text == nil {
			return problem
		}
	}
	bits := 64
	if c.Type.Kind == feature.KindFloat32 {
		bits = 32
	} else if n, ok := parseShort(text); ok {
		c.SetFloat(i, n)
		return fault{}
	}
	// ParseFloat does not keep the text, unless it fails, and then copies it.
	n, err := strconv.ParseFloat(unsafe.String(&text[0], len(text)), bits)
	if err != nil {
		return unfit(f, c.Type, v, "is a number beyond "+c.Type.String())
	}
	c.SetFloat(i, n)
	return fault{}
}

// parseShort reads a checked JSON number of few digits without an exponent. Its
// digits and the power of ten are exact as float64, so one division rounds as
// it should.
func parseShort(text []byte) (float64, bool) {
	const maxDigits = 15
	negative := text[0] == '-'
	if negative {
		text = text[1:]
	}
	if len(text) > maxDigits+1 {
		return 0, false
	}
	digits, point := uint64(0), len(text)-1
	for i, c := range text {
		switch {
		case c-'0' < 10:
			digits = digits*10 + uint64(c-'0')
		case c == '.':
			point = i
		default:
			return 0, false
		}
	}
	if digits >= 1e15 {
		return 0, false
	}
	n := float64(digits) / powersOfTen[len(text)-1-point]
	if negative {
		n = -n
	}
	return n, true
}

var powersOfTen = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

func (d *Decoder) timestamp(v value, f *field) (int64, fault) {
	if f.unit == 0 {
		if v.kind != valueText && v.kind != valueEscaped {
			return 0, unfit(f, feature.Of(feature.KindTimestamp), v, "is "+v.kind.String()+", not RFC 3339 text")
		}
		micros, ok := parseTime(d.content(v))
		if !ok {
			return 0, unfit(f, feature.Of(feature.KindTimestamp), v, "is not RFC 3339 text")
		}
		return micros, fault{}
	}
	text := d.raw(v)
	if v.kind != valueNumber {
		var problem fault
		if text, problem = d.unquote(v, f, feature.Of(feature.KindTimestamp), "an integer timestamp"); text == nil {
			return 0, problem
		}
	}
	n, ok := parseInt(text)
	if ok {
		n, ok = epochMicros(n, f.unit)
	}
	if !ok {
		return 0, unfit(f, feature.Of(feature.KindTimestamp), v, "is not an integer timestamp in range")
	}
	return n, fault{}
}

func (d *Decoder) setString(c *feature.Column, i int, v value, f *field, arena *feature.Arena) fault {
	switch v.kind {
	case valueText:
		c.SetString(i, arena.Copy(d.scan.data[v.start+1:v.end-1]))
	case valueEscaped:
		inner := d.scan.data[v.start+1 : v.end-1]
		c.SetString(i, arena.Keep(appendUnescaped(arena.Tail(len(inner)), inner)))
	case valueAbsent, valueNull, valueTrue, valueFalse, valueNumber, valueArray, valueObject:
		return wrongType(f, c.Type, v)
	}
	return fault{}
}

func (d *Decoder) setBytes(c *feature.Column, i int, v value, f *field, arena *feature.Arena) fault {
	if v.kind != valueText && v.kind != valueEscaped {
		return wrongType(f, c.Type, v)
	}
	text := d.content(v)
	b, err := base64.StdEncoding.AppendDecode(arena.Tail(base64.StdEncoding.DecodedLen(len(text))), text)
	if err != nil {
		return unfit(f, c.Type, v, "is not base64")
	}
	c.SetString(i, arena.Keep(b))
	return fault{}
}

// setList reads the elements again, now that their type is known.
func (d *Decoder) setList(c *feature.Column, i int, v value, f *field, arena *feature.Arena) fault {
	if v.kind != valueArray {
		return wrongType(f, c.Type, v)
	}
	start := c.Elems.Len()
	s := &d.scan
	for at := s.space(v.start + 1); s.data[at] != ']'; {
		kind, end := s.value(at, outside)
		elem := c.Elems.AppendNull()
		if kind != valueNull {
			if problem := d.set(c.Elems, elem, value{at, end, kind}, f, arena); problem.reason != "" {
				return problem
			}
		}
		if at = s.space(end); s.data[at] == ',' {
			at = s.space(at + 1)
		}
	}
	if n := c.Elems.Len() - start; c.Type.Length > 0 && n != int(c.Type.Length) {
		return f.refuse(feature.ReasonLength, v, "has "+strconv.Itoa(n)+" elements, not "+strconv.Itoa(int(c.Type.Length)))
	}
	c.SetList(i, start)
	return fault{}
}
