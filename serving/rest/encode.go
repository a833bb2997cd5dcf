package rest

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"millrace/feature"
)

// encoder appends JSON. It allocates only when its buffer grows.
type encoder struct {
	out         []byte
	feast       bool // Feast's forms of floats, times, json and infinities
	dates       dates
	unencodable int // values answered as null because JSON cannot hold them
}

func (e *encoder) reset(feast bool) {
	e.out, e.feast, e.unencodable = e.out[:0], feast, 0
}

// raw appends text that is JSON already.
func (e *encoder) raw(s string) *encoder {
	e.out = append(e.out, s...)
	return e
}

// text appends s as a JSON string.
func (e *encoder) text(s string) *encoder {
	e.out = appendString(e.out, s)
	return e
}

// joined writes two words that need no escapes as "a:b".
func (e *encoder) joined(a, b string) {
	e.out = append(append(append(append(append(e.out, '"'), a...), ':'), b...), '"')
}

func (e *encoder) comma(i int) {
	if i > 0 {
		e.out = append(e.out, ',')
	}
}

func (e *encoder) null() { e.out = append(e.out, "null"...) }

// value appends one row of c; a nil column is null.
func (e *encoder) value(c *feature.Column, row int) {
	if c == nil || c.IsNull(row) {
		e.null()
		return
	}
	switch c.Type.Layout() {
	case feature.LayoutBool:
		e.out = strconv.AppendBool(e.out, c.Bools[row])
	case feature.LayoutInt:
		e.integer(c, row)
	case feature.LayoutFloat:
		e.float(c.Floats[row], c.Type.Kind)
	case feature.LayoutString:
		e.stringy(c, row)
	case feature.LayoutList:
		e.list(c, row)
	case feature.LayoutNone:
		e.null()
	}
}

func (e *encoder) integer(c *feature.Column, row int) {
	switch {
	case c.Type.Kind != feature.KindTimestamp:
		e.out = strconv.AppendInt(e.out, c.Ints[row], 10)
	case e.feast:
		e.out = strconv.AppendInt(e.out, floorDiv(c.Ints[row], microsPerSecond), 10)
	default:
		e.time(c.Ints[row])
	}
}

// time appends RFC 3339 text, or null beyond the years that it can write.
func (e *encoder) time(micros int64) {
	if micros < minTimeMicros || micros > maxTimeMicros {
		e.unencodable++
		e.null()
		return
	}
	e.out = append(e.out, '"')
	e.out = e.dates.append(e.out, micros)
	e.out = append(e.out, '"')
}

func (e *encoder) stringy(c *feature.Column, row int) {
	s := c.Strings[row]
	switch c.Type.Kind {
	case feature.KindBytes:
		e.out = append(e.out, '"')
		e.out = base64.StdEncoding.AppendEncode(e.out, asBytes(s))
		e.out = append(e.out, '"')
	case feature.KindJSON:
		e.embedded(s)
	case feature.KindInvalid, feature.KindBool, feature.KindInt32, feature.KindInt64, feature.KindFloat32,
		feature.KindFloat64, feature.KindString, feature.KindTimestamp:
		e.text(s)
	}
}

// embedded appends a json value: its text as a string for Feast, as JSON
// otherwise. Text that is not JSON would break the answer around it.
func (e *encoder) embedded(s string) {
	switch {
	case e.feast:
		e.text(s)
	case json.Valid(asBytes(s)):
		e.raw(s)
	default:
		e.unencodable++
		e.null()
	}
}

func (e *encoder) list(c *feature.Column, row int) {
	e.out = append(e.out, '[')
	span := c.Spans[row]
	for i := span.Start; i < span.End; i++ {
		if i > span.Start {
			e.out = append(e.out, ',')
		}
		e.value(c.Elems, int(i))
	}
	e.out = append(e.out, ']')
}

// float appends f. Natively a float32 is as short as float32 allows; Feast
// widens it, always shows a float as one, and writes infinities as text.
func (e *encoder) float(f float64, kind feature.Kind) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		e.special(f)
		return
	}
	bits := 64
	if kind == feature.KindFloat32 && !e.feast {
		bits = 32
	}
	start := len(e.out)
	e.out = appendFloat(e.out, f, bits)
	if !e.feast {
		return
	}
	for _, b := range e.out[start:] {
		if b == '.' || b == 'e' {
			return
		}
	}
	e.out = append(e.out, ".0"...)
}

func (e *encoder) special(f float64) {
	switch {
	case e.feast && f > 0:
		e.text("Infinity")
	case e.feast && f < 0:
		e.text("-Infinity")
	default:
		e.unencodable++
		e.null()
	}
}

// appendFloat writes the shortest form that reads back as f, as ES6 and
// encoding/json choose between digits and exponents.
func appendFloat(dst []byte, f float64, bits int) []byte {
	abs, format := math.Abs(f), byte('f')
	if abs != 0 {
		if bits == 64 && (abs < 1e-6 || abs >= 1e21) || bits == 32 && (float32(abs) < 1e-6 || float32(abs) >= 1e21) {
			format = 'e'
		}
	}
	dst = strconv.AppendFloat(dst, f, format, -1, bits)
	if n := len(dst); format == 'e' && n >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1] // e-09 is written e-9
		dst = dst[:n-1]
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// appendString writes s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD; U+2028 and U+2029 are escaped, as JavaScript wants.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b < utf8.RuneSelf {
			if b >= ' ' && b != '"' && b != '\\' {
				i++
				continue
			}
			dst = appendEscape(append(dst, s[start:i]...), b)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(append(dst, s[start:i]...), `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029':
			dst = append(append(dst, s[start:i]...), '\\', 'u', '2', '0', '2', hexDigits[r&0xF])
			start = i + size
		}
		i += size
	}
	return append(append(dst, s[start:]...), '"')
}

func appendEscape(dst []byte, b byte) []byte {
	switch b {
	case '"', '\\':
		return append(dst, '\\', b)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&0xF])
}

// asBytes reads a string as bytes that nobody changes.
func asBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// asString reads bytes as a string; they must not change while it is in use.
func asString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// int appends an integer.
func (e *encoder) int(v int64) { e.out = strconv.AppendInt(e.out, v, 10) }

// bool appends true or false.
func (e *encoder) bool(v bool) { e.out = strconv.AppendBool(e.out, v) }
