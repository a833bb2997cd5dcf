package avro

import (
	"encoding/binary"
	"math"
	"math/big"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"millrace/feature"
)

// fault says why a record is refused; without a reason it is not.
type fault struct {
	reason  feature.Reason
	message string
}

// machine runs programs over one record at a time. Its methods return false,
// with the fault set, when the record is to be refused.
//
// Every length that a record claims is held against the bytes that are left,
// and every number of elements against a budget, before anything is made of it:
// that bounds time and memory by the record's size, whatever it claims.
type machine struct {
	data     []byte
	frame    []byte // what the record begins with
	at       int
	depth    int // levels that may still be entered
	elements int // elements and pairs that may still come
	cols     []*feature.Column
	row      int
	arena    *feature.Arena
	fault    fault

	maxText int
	scratch []byte
	big     big.Int
}

func (m *machine) refuse(reason feature.Reason, message string) bool {
	m.fault = fault{reason, message}
	return false
}

func (m *machine) malformed(what string) bool {
	return m.refuse(feature.ReasonMalformed, "malformed Avro at byte "+strconv.Itoa(m.at)+": "+what)
}

func (m *machine) tooLarge(what string) bool {
	return m.refuse(feature.ReasonTooLarge, "the record "+what+" at byte "+strconv.Itoa(m.at))
}

// unfit refuses the value that o read and that began at byte at.
func (m *machine) unfit(o *op, at int, why string) bool {
	what := "field " + o.name + " at byte " + strconv.Itoa(at) + ": "
	if o.part {
		what += "an element "
	}
	return m.refuse(feature.ReasonWrongType, what+why)
}

// run reads what p reads. What is in most records is read right here, with the
// position in a register; the rest is left to step and leaf.
//
//nolint:cyclop,funlen,gocognit,gocyclo // one case per code; calls would take half of the time
func (m *machine) run(p *program) bool {
	data, at, row := m.data, m.at, m.row
	for i := range p.ops {
		o := &p.ops[i]
	again:
		switch o.code {
		case codeSkipNumbers:
			for range o.n {
				_, next := number(data, at)
				if next < 0 {
					return m.badNumber(at)
				}
				at = next
			}
		case codeSkipText:
			n, next := number(data, at)
			if next < 0 || uint64(n) > uint64(len(data)-next) {
				return m.badLength(at)
			}
			at = next + int(n)
		case codeLong:
			v, next := number(data, at)
			if next < 0 {
				return m.badNumber(at)
			}
			m.cols[o.field].SetInt(row, v)
			at = next
		case codeInt:
			v, next := number(data, at)
			if next < 0 || v != int64(int32(v)) {
				return m.badInt(at, next)
			}
			m.cols[o.field].SetInt(row, v)
			at = next
		case codeDouble:
			if len(data)-at < 8 {
				return m.cutOff(at)
			}
			m.cols[o.field].SetFloat(row, math.Float64frombits(binary.LittleEndian.Uint64(data[at:])))
			at += 8
		case codeText:
			n, next := number(data, at)
			if next < 0 || uint64(n) > uint64(len(data)-next) {
				return m.badLength(at)
			}
			b := data[next : next+int(n)]
			if !isText(b) {
				return m.badText(at)
			}
			m.cols[o.field].SetString(row, text(b))
			at = next + int(n)
		case codeChoice:
			v, next := number(data, at)
			if next < 0 || uint64(v) >= uint64(len(o.values)) {
				return m.badIndex(at)
			}
			at, o = next, &o.values[v]
			goto again
		case codeUnion:
			v, next := number(data, at)
			if next < 0 || uint64(v) >= uint64(len(o.programs)) {
				return m.badIndex(at)
			}
			at = next
			if branch := o.programs[v]; len(branch.ops) > 0 {
				m.at = at
				if !m.run(branch) {
					return false
				}
				at = m.at
			}
		case codeTime:
			v, next := number(data, at)
			if next < 0 || o.typ.kind == kindInt && v != int64(int32(v)) {
				return m.badInt(at, next)
			}
			micros, ok := epochMicros(v, o.unit)
			if !ok {
				return m.unfit(o, at, "is not a timestamp in range")
			}
			m.cols[o.field].SetInt(row, micros)
			at = next
		case codeNull:
		default:
			m.at = at
			if o.code < codeFault && !m.step(o) || o.code >= codeFault && !m.leaf(o, m.cols[o.field], row) {
				return false
			}
			at = m.at
		}
	}
	m.at = at
	return true
}

// number reads a number of variable length at at; next is where it ends, or -1
// when it does not. Most lengths, branches and blocks have one byte.
func number(data []byte, at int) (v int64, next int) {
	if at < len(data) && data[at] < 0x80 {
		return int64(data[at]>>1) ^ -int64(data[at]&1), at + 1
	}
	return longer(data, at)
}

// longer reads a number of any length.
//
//go:noinline
func longer(data []byte, at int) (v int64, next int) {
	const last = 63
	var u uint64
	for shift := 0; at < len(data); shift += 7 {
		c := data[at]
		if shift == last && c > 1 {
			break
		}
		u |= uint64(c&0x7f) << shift
		at++
		if c < 0x80 {
			return int64(u>>1) ^ -int64(u&1), at
		}
	}
	return 0, -1
}

// isText reports whether b is UTF-8. Short ASCII, which most texts are, takes
// two loads.
func isText(b []byte) bool {
	const high = 0x8080808080808080
	n := len(b)
	if n < 8 || n > 16 {
		return utf8.Valid(b)
	}
	return (binary.LittleEndian.Uint64(b)|binary.LittleEndian.Uint64(b[n-8:]))&high == 0 || utf8.Valid(b)
}

// The faults of what is read in more than one place.

func (m *machine) badNumber(at int) bool {
	m.at = at
	return m.malformed("a number is cut off, or longer than 64 bits")
}

func (m *machine) badLength(at int) bool {
	m.at = at
	return m.malformed("a length is no number, or beyond what is left")
}

func (m *machine) badInt(at, next int) bool {
	if next < 0 {
		return m.badNumber(at)
	}
	m.at = at
	return m.malformed("an int is beyond 32 bits")
}

func (m *machine) badIndex(at int) bool {
	m.at = at
	return m.malformed("a union or enum has no entry of that number")
}

func (m *machine) badText(at int) bool {
	m.at = at
	return m.malformed("a string is not valid UTF-8")
}

func (m *machine) cutOff(at int) bool {
	m.at = at
	return m.malformed("a value is longer than what is left")
}

// step does an op that fills no column by itself.
func (m *machine) step(o *op) bool {
	switch o.code {
	case codeSkipBytes:
		return m.skip(o.n)
	case codeSkipBlocks:
		return m.skipBlocks(o)
	case codeCall:
		if !m.enter() || !m.run(o.programs[0]) {
			return false
		}
		m.depth++
		return true
	case codePeek:
		at := m.at
		if !m.run(o.programs[0]) {
			return false
		}
		m.at = at
		return true
	case codePreset:
		data, at := m.data, m.at
		m.data, m.at = o.data, 0
		ok := m.run(o.programs[0])
		m.data, m.at = data, at
		return ok
	case codeMap:
		return m.pairs(o)
	case codeClear:
		for i := range o.values {
			m.cols[o.values[i].field].SetNull(m.row)
		}
		return true
	default:
		return m.malformed("the program is damaged") // no op has another code
	}
}

// enter goes one level down; the caller adds it back.
func (m *machine) enter() bool {
	if m.depth == 0 {
		return m.tooLarge("nests too deep")
	}
	m.depth--
	return true
}

// long reads a number of variable length.
func (m *machine) long() (int64, bool) {
	v, next := number(m.data, m.at)
	if next < 0 {
		return 0, m.badNumber(m.at)
	}
	m.at = next
	return v, true
}

// int reads a number that is to fit 32 bits.
func (m *machine) int() (int64, bool) {
	v, next := number(m.data, m.at)
	if next < 0 || v != int64(int32(v)) {
		return 0, m.badInt(m.at, next)
	}
	m.at = next
	return v, true
}

// index reads a number below n.
func (m *machine) index(n int) (int, bool) {
	v, next := number(m.data, m.at)
	if next < 0 || uint64(v) >= uint64(n) {
		return 0, m.badIndex(m.at)
	}
	m.at = next
	return int(v), true
}

// skip passes over n bytes.
func (m *machine) skip(n int) bool {
	if n > len(m.data)-m.at {
		return m.cutOff(m.at)
	}
	m.at += n
	return true
}

// bytes reads a length and that many bytes.
func (m *machine) bytes() ([]byte, bool) {
	n, next := number(m.data, m.at)
	if next < 0 || uint64(n) > uint64(len(m.data)-next) {
		return nil, m.badLength(m.at)
	}
	m.at = next + int(n)
	return m.data[next:m.at], true
}

// take reads n bytes.
func (m *machine) take(n int) ([]byte, bool) {
	start := m.at
	ok := m.skip(n)
	return m.data[start:m.at], ok
}

// leaf reads one value into row i of c.
//
//nolint:cyclop,funlen // one case per code; a table of functions costs a third of the time
func (m *machine) leaf(o *op, c *feature.Column, i int) bool {
	at := m.at
	switch o.code {
	case codeFault:
		return m.unfit(o, at, o.text)
	case codeNull:
		return true
	case codeChoice:
		b, ok := m.index(o.n)
		return ok && m.leaf(&o.values[b], c, i)
	case codeBool:
		b, ok := m.boolean()
		if ok {
			c.SetBool(i, b)
		}
		return ok
	case codeInt:
		v, ok := m.int()
		if ok {
			c.SetInt(i, v)
		}
		return ok
	case codeLong:
		v, ok := m.long()
		if ok {
			c.SetInt(i, v)
		}
		return ok
	case codeToFloat:
		v, ok := m.number(o)
		if ok {
			c.SetFloat(i, v)
		}
		return ok
	case codeFloat:
		b, ok := m.take(4)
		if ok {
			c.SetFloat(i, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))
		}
		return ok
	case codeDouble:
		if len(m.data)-at < 8 {
			return m.cutOff(at)
		}
		m.at = at + 8
		c.SetFloat(i, math.Float64frombits(binary.LittleEndian.Uint64(m.data[at:])))
		return true
	case codeTime:
		v, ok := m.time(o, at)
		if ok {
			c.SetInt(i, v)
		}
		return ok
	case codeText:
		b, ok := m.bytes()
		if ok && !isText(b) {
			return m.badText(at)
		}
		if ok {
			c.SetString(i, text(b))
		}
		return ok
	case codeBytes:
		b, ok := m.bytes()
		if ok {
			c.SetString(i, text(b))
		}
		return ok
	case codeList:
		return m.list(o, c, i)
	default:
		return m.rare(o, c, i)
	}
}

// text makes b a string without copying it: a record's bytes are never written
// to and live as long as the string does.
func text(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return unsafe.String(&b[0], len(b))
}

func (m *machine) boolean() (bool, bool) {
	if m.at >= len(m.data) {
		return false, m.cutOff(m.at)
	}
	b := m.data[m.at]
	if b > 1 {
		return false, m.malformed("a boolean is neither 0 nor 1")
	}
	m.at++
	return b == 1, true
}

// whole reads an int or a long.
func (m *machine) whole(t *typ) (int64, bool) {
	if t.kind == kindInt {
		return m.int()
	}
	return m.long()
}

// number reads an int or long as a float.
func (m *machine) number(o *op) (float64, bool) {
	v, ok := m.whole(o.typ)
	if o.to.Kind == feature.KindFloat32 {
		return float64(float32(v)), ok
	}
	return float64(v), ok
}

func (m *machine) time(o *op, at int) (int64, bool) {
	v, ok := m.whole(o.typ)
	if !ok {
		return 0, false
	}
	if v, ok = epochMicros(v, o.unit); !ok {
		return 0, m.unfit(o, at, "is not a timestamp in range")
	}
	return v, true
}
