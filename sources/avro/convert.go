package avro

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
	"unsafe"

	"millrace/feature"
)

// rare reads a value of one of the types that are not in every record.
func (m *machine) rare(o *op, c *feature.Column, i int) bool {
	at := m.at
	switch o.code {
	case codeLongTo32, codeDoubleTo32:
		return m.narrow(o, c, i)
	case codeFixed:
		b, ok := m.take(o.n)
		if ok {
			c.SetString(i, text(b))
		}
		return ok
	case codeEnum:
		s, ok := m.index(len(o.symbols))
		if ok {
			c.SetString(i, o.symbols[s])
		}
		return ok
	case codeBytesToText:
		b, ok := m.bytes()
		if ok && !utf8.Valid(b) {
			return m.unfit(o, at, "is bytes that are not valid UTF-8")
		}
		if ok {
			c.SetString(i, text(b))
		}
		return ok
	case codeTimeText:
		b, ok := m.bytes()
		if !ok {
			return false
		}
		when, err := time.Parse(time.RFC3339, text(b))
		if err != nil {
			return m.unfit(o, at, "is not RFC 3339 text")
		}
		c.SetInt(i, when.UnixMicro())
		return true
	case codeUUID:
		b, ok := m.take(uuidBytes)
		if ok {
			c.SetString(i, m.arena.Keep(appendUUID(m.arena.Tail(2*uuidBytes+4), b)))
		}
		return ok
	case codeDecimal:
		return m.decimal(o, c, i)
	case codeRaw:
		return m.rawList(o, c, i)
	case codeJSON:
		m.scratch = m.scratch[:0]
		if !m.json(o.typ) {
			return false
		}
		if len(m.scratch) > m.maxText {
			return m.tooLarge("becomes too much JSON")
		}
		c.SetString(i, m.arena.Copy(m.scratch))
		return true
	default:
		return m.malformed("the program is damaged") // no op has another code
	}
}

// narrow reads a number of 64 bits into a kind of 32, where it fits.
func (m *machine) narrow(o *op, c *feature.Column, i int) bool {
	at := m.at
	if o.code == codeLongTo32 {
		v, ok := m.long()
		if ok && v != int64(int32(v)) {
			return m.unfit(o, at, "is beyond int32")
		}
		if ok {
			c.SetInt(i, v)
		}
		return ok
	}
	b, ok := m.take(8)
	if !ok {
		return false
	}
	wide := math.Float64frombits(binary.LittleEndian.Uint64(b))
	narrow := float64(float32(wide))
	if math.IsInf(narrow, 0) && !math.IsInf(wide, 0) {
		return m.unfit(o, at, "is a number beyond float32")
	}
	c.SetFloat(i, narrow)
	return true
}

// appendUUID appends b as 8-4-4-4-12 digits.
func appendUUID(dst, b []byte) []byte {
	for i, n := range [...]int{4, 2, 2, 2, 6} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, b[:n])
		b = b[n:]
	}
	return dst
}

// maxDecimalBytes bounds the number behind a decimal: writing it in digits
// takes the square of its length.
const maxDecimalBytes = 512

// decimal reads a decimal as text, as the nearest float, or as an integer.
func (m *machine) decimal(o *op, c *feature.Column, i int) bool {
	at := m.at
	m.scratch = m.scratch[:0]
	if !m.digits(o.typ) {
		return false
	}
	digits := unsafe.String(&m.scratch[0], len(m.scratch)) // nobody keeps it
	switch o.to.Kind {
	case feature.KindString:
		c.SetString(i, m.arena.Copy(m.scratch))
	case feature.KindInt32, feature.KindInt64:
		v, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || o.to.Kind == feature.KindInt32 && v != int64(int32(v)) {
			return m.unfit(o, at, "is a decimal beyond "+o.to.String())
		}
		c.SetInt(i, v)
	default:
		bits := 64
		if o.to.Kind == feature.KindFloat32 {
			bits = 32
		}
		v, err := strconv.ParseFloat(digits, bits)
		if err != nil {
			return m.unfit(o, at, "is a decimal beyond "+o.to.String())
		}
		c.SetFloat(i, v)
	}
	return true
}

// digits reads a decimal and appends it to the scratch as a plain number with
// as many digits behind the point as its scale says.
func (m *machine) digits(t *typ) bool {
	var b []byte
	var ok bool
	at := m.at
	if t.kind == kindFixed {
		b, ok = m.take(t.size)
	} else {
		b, ok = m.bytes()
	}
	switch {
	case !ok:
		return false
	case len(b) > maxDecimalBytes:
		m.at = at
		return m.tooLarge("has a decimal of more than " + strconv.Itoa(maxDecimalBytes) + " bytes")
	}
	start := len(m.scratch)
	m.scratch = m.appendInteger(m.scratch, b)
	m.scratch = point(m.scratch, start, t.scale)
	return true
}

// appendInteger appends the big-endian two's complement number b in digits; no
// bytes are zero.
func (m *machine) appendInteger(dst, b []byte) []byte {
	const wordBytes = 8
	if len(b) <= wordBytes {
		v := int64(0)
		if len(b) > 0 {
			v = int64(int8(b[0]))
			for _, c := range b[1:] {
				v = v<<8 | int64(c)
			}
		}
		return strconv.AppendInt(dst, v, 10)
	}
	if b[0] < 0x80 {
		return m.big.SetBytes(b).Append(dst, 10)
	}
	inverse := make([]byte, len(b)) // -(^b) - 1
	for i, c := range b {
		inverse[i] = ^c
	}
	m.big.SetBytes(inverse)
	return m.big.Not(&m.big).Append(dst, 10)
}

// point puts a decimal point before the last scale digits of the number that
// begins at start.
func point(dst []byte, start, scale int) []byte {
	if scale == 0 {
		return dst
	}
	if dst[start] == '-' {
		start++
	}
	for missing := scale + 1 - (len(dst) - start); missing > 0; missing-- {
		dst = append(dst, 0)
		copy(dst[start+1:], dst[start:])
		dst[start] = '0'
	}
	at := len(dst) - scale
	dst = append(dst, 0)
	copy(dst[at+1:], dst[at:])
	dst[at] = '.'
	return dst
}

// appendFloat appends v as JSON; what JSON cannot say is null.
func appendFloat(dst []byte, v float64, bits int) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	format := byte('f')
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, v, format, -1, bits)
}
