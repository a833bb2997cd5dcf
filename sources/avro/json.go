package avro

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// json reads one value of t and appends it to the scratch as JSON text.
func (m *machine) json(t *typ) bool {
	if len(m.scratch) > m.maxText {
		return m.tooLarge("becomes too much JSON")
	}
	switch t.kind {
	case kindNull:
		m.scratch = append(m.scratch, "null"...)
		return true
	case kindBoolean:
		b, ok := m.boolean()
		m.scratch = strconv.AppendBool(m.scratch, b)
		return ok
	case kindInt, kindLong:
		v, ok := m.whole(t)
		m.scratch = appendNumber(m.scratch, t, v)
		return ok
	case kindFloat:
		b, ok := m.take(4)
		if ok {
			m.scratch = appendFloat(m.scratch, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), 32)
		}
		return ok
	case kindDouble:
		b, ok := m.take(8)
		if ok {
			m.scratch = appendFloat(m.scratch, math.Float64frombits(binary.LittleEndian.Uint64(b)), 64)
		}
		return ok
	case kindString:
		return m.jsonText()
	case kindBytes, kindFixed:
		return m.jsonBytes(t)
	case kindEnum:
		s, ok := m.index(len(t.symbols))
		if ok {
			m.scratch = appendQuoted(m.scratch, []byte(t.symbols[s]))
		}
		return ok
	case kindUnion:
		b, ok := m.index(len(t.branches))
		return ok && m.json(t.branches[b])
	case kindRecord:
		return m.jsonRecord(t)
	case kindArray, kindMap:
		return m.jsonBlocks(t)
	}
	return m.malformed("the schema is damaged") // there is no other kind
}

// appendNumber appends a number, or the time that it stands for. The year 9999
// is the last that RFC 3339 can write.
func appendNumber(dst []byte, t *typ, v int64) []byte {
	if t.logical != logicalTime {
		return strconv.AppendInt(dst, v, 10)
	}
	var when time.Time
	switch t.unit {
	case time.Millisecond:
		when = time.UnixMilli(v)
	case time.Microsecond:
		when = time.UnixMicro(v)
	case time.Nanosecond:
		when = time.Unix(0, v)
	default:
		when = time.Unix(v*int64(day/time.Second), 0)
	}
	when = when.UTC()
	if y := when.Year(); y < 0 || y > 9999 {
		return strconv.AppendInt(dst, v, 10)
	}
	layout := time.RFC3339Nano
	if t.unit == day {
		layout = time.DateOnly
	}
	return append(when.AppendFormat(append(dst, '"'), layout), '"')
}

func (m *machine) jsonText() bool {
	at := m.at
	b, ok := m.bytes()
	if ok && !utf8.Valid(b) {
		return m.badText(at)
	}
	if ok {
		m.scratch = appendQuoted(m.scratch, b)
	}
	return ok
}

// jsonBytes appends a decimal as a number, a UUID in its usual form, and other
// bytes in base64.
func (m *machine) jsonBytes(t *typ) bool {
	if t.logical == logicalDecimal {
		return m.digits(t)
	}
	var b []byte
	var ok bool
	if t.kind == kindFixed {
		b, ok = m.take(t.size)
	} else {
		b, ok = m.bytes()
	}
	if !ok {
		return false
	}
	m.scratch = append(m.scratch, '"')
	if t.logical == logicalUUID {
		m.scratch = appendUUID(m.scratch, b)
	} else {
		m.scratch = base64.StdEncoding.AppendEncode(m.scratch, b)
	}
	m.scratch = append(m.scratch, '"')
	return true
}

func (m *machine) jsonRecord(t *typ) bool {
	if !m.enter() {
		return false
	}
	m.scratch = append(m.scratch, '{')
	for i := range t.fields {
		if i > 0 {
			m.scratch = append(m.scratch, ',')
		}
		m.scratch = appendQuoted(m.scratch, []byte(t.fields[i].name))
		m.scratch = append(m.scratch, ':')
		if !m.json(t.fields[i].typ) {
			return false
		}
	}
	m.scratch = append(m.scratch, '}')
	m.depth++
	return true
}

// jsonBlocks appends an array as an array, a map as an object.
func (m *machine) jsonBlocks(t *typ) bool {
	if !m.enter() {
		return false
	}
	brackets := "[]"
	if t.kind == kindMap {
		brackets = "{}"
	}
	m.scratch = append(m.scratch, brackets[0])
	empty := t.kind == kindArray && t.items.empty
	for first := true; ; {
		n, _, ok := m.block(empty)
		if !ok {
			return false
		}
		if n == 0 {
			break
		}
		for range n {
			if !first {
				m.scratch = append(m.scratch, ',')
			}
			first = false
			if t.kind == kindMap {
				if !m.jsonText() {
					return false
				}
				m.scratch = append(m.scratch, ':')
			}
			if !m.json(t.items) {
				return false
			}
		}
	}
	m.scratch = append(m.scratch, brackets[1])
	m.depth++
	return true
}

// appendQuoted appends valid UTF-8 as a JSON string.
func appendQuoted(dst, s []byte) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i, c := range s {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}
