package jsonrec

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf8"

	"millrace/feature"
)

// valueKind is what a JSON value is, as far as its text tells.
type valueKind uint8

const (
	valueAbsent valueKind = iota
	valueNull
	valueTrue
	valueFalse
	valueNumber
	valueText    // a string without escapes
	valueEscaped // a string with escapes
	valueArray
	valueObject
)

// String names the kind as messages do.
func (k valueKind) String() string {
	switch k {
	case valueAbsent:
		return "nothing"
	case valueNull:
		return "null"
	case valueTrue, valueFalse:
		return "a boolean"
	case valueNumber:
		return "a number"
	case valueText, valueEscaped:
		return "a string"
	case valueArray:
		return "an array"
	case valueObject:
		return "an object"
	}
	return "unknown"
}

// value is where a JSON value lies in the record, quotes and brackets included.
type value struct {
	start, end int
	kind       valueKind
}

// scanner checks one record as strict JSON (RFC 8259, UTF-8) in one pass and
// remembers where the wanted values lie. Its methods take the position of
// what they read and return the one after it, or failed.
type scanner struct {
	tree    *tree
	slots   []slot // parallel to tree.nodes
	round   uint32 // marks the slots of this record
	data    []byte
	levels  int    // how many more may be opened
	scratch []byte // a member name without its escapes
	fault   fault
	habits  [][]habit // by node: the members that its object had lately, in order
}

// habit is a member's name as it stood in an earlier record. Producers write
// the members of an object in one order, so the name at a place is mostly known
// before it is read.
type habit struct {
	text  []byte // quotes and colon included, without escapes
	child int
}

const (
	maxHabits     = 256 // members of one object that are remembered
	maxHabitBytes = 64
)

// slot is the latest value of a node of the tree; of an earlier record if its
// round is another one.
type slot struct {
	value
	round uint32
}

const failed = -1

// outside is the node of everything that no field wants.
const outside = -1

// scan reads data, which is to be one object. False leaves the reason in fault.
func (s *scanner) scan(data []byte, depth int) bool {
	s.data, s.levels, s.fault = data, depth, fault{}
	s.round++
	if s.round == 0 { // after four billion records old marks could match
		clear(s.slots)
		s.round = 1
	}
	at := s.space(0)
	if at == len(data) {
		return s.fail(at, "the record is empty") != failed
	}
	if data[at] != '{' {
		return s.fail(at, "the record is not a JSON object") != failed
	}
	_, at = s.value(at, 0)
	if at == failed {
		return false
	}
	if at = s.space(at); at != len(data) {
		return s.fail(at, "something follows the object") != failed
	}
	return true
}

// fail records the first fault and returns failed.
func (s *scanner) fail(at int, what string) int {
	if at >= len(s.data) {
		what += " (the record ends here)"
	}
	s.fault = fault{feature.ReasonMalformed, "malformed JSON at byte " + strconv.Itoa(at) + ": " + what}
	return failed
}

// space skips white space.
func (s *scanner) space(at int) int {
	for at < len(s.data) {
		switch s.data[at] {
		case ' ', '\t', '\n', '\r':
			at++
		default:
			return at
		}
	}
	return at
}

// value reads the value at at, whose members node n of the tree wants.
func (s *scanner) value(at, n int) (valueKind, int) {
	if at >= len(s.data) {
		return valueAbsent, s.fail(at, "a value is missing")
	}
	switch c := s.data[at]; c {
	case '"':
		end, escaped := s.text(at)
		if escaped {
			return valueEscaped, end
		}
		return valueText, end
	case '{':
		return valueObject, s.nest(at, n, (*scanner).object)
	case '[':
		return valueArray, s.nest(at, n, (*scanner).array)
	case 't':
		return valueTrue, s.word(at, "true")
	case 'f':
		return valueFalse, s.word(at, "false")
	case 'n':
		return valueNull, s.word(at, "null")
	default:
		if c == '-' || c-'0' < 10 {
			return valueNumber, s.number(at)
		}
	}
	return valueAbsent, s.fail(at, "a value is missing")
}

// nest reads an object or array one level further down.
func (s *scanner) nest(at, n int, read func(*scanner, int, int) int) int {
	if s.levels == 0 {
		s.fault = fault{feature.ReasonTooLarge, "the record nests too deep at byte " + strconv.Itoa(at)}
		return failed
	}
	s.levels--
	end := read(s, at+1, n)
	s.levels++
	return end
}

// object reads members up to the closing brace, from behind the opening one.
func (s *scanner) object(at, n int) int {
	at = s.space(at)
	if at < len(s.data) && s.data[at] == '}' {
		return at + 1
	}
	for place := 0; ; place++ {
		child, next := outside, failed
		if n != outside {
			child, next = s.expected(at, n, &place)
		}
		if next == failed {
			if child, next = s.name(at, n, place); next == failed {
				return failed
			}
		}
		if at = s.space(next); child == outside {
			_, at = s.value(at, outside)
		} else {
			at = s.wanted(at, child)
		}
		if at == failed {
			return failed
		}
		at = s.space(at)
		if at >= len(s.data) {
			return s.fail(at, "an object is not closed")
		}
		switch s.data[at] {
		case ',':
			at = s.space(at + 1)
		case '}':
			return at + 1
		default:
			return s.fail(at, "neither a comma nor a closing brace")
		}
	}
}

// expected reads a name and its colon if they are those that stood at this
// place of n's object in an earlier record, or at the next one because a member
// was left out; otherwise it returns failed, and nothing is known yet.
func (s *scanner) expected(at, n int, place *int) (child, next int) {
	habits := s.habits[n]
	for k := *place; k < len(habits) && k < *place+2; k++ {
		if h := &habits[k]; bytes.HasPrefix(s.data[at:], h.text) {
			*place = k
			return h.child, at + len(h.text)
		}
	}
	return outside, failed
}

// name reads a name and its colon, and whose value follows.
func (s *scanner) name(at, n, place int) (child, next int) {
	if at >= len(s.data) || s.data[at] != '"' {
		return outside, s.fail(at, "a member has no name in quotes")
	}
	end, escaped := s.text(at)
	if end == failed {
		return outside, failed
	}
	child = outside
	if n != outside {
		name := s.data[at+1 : end-1]
		if escaped {
			s.scratch = appendUnescaped(s.scratch[:0], name)
			name = s.scratch
		}
		child = s.tree.find(n, name)
	}
	colon := s.space(end)
	if colon >= len(s.data) || s.data[colon] != ':' {
		return outside, s.fail(colon, "a member has no colon")
	}
	if n != outside && !escaped && colon-at < maxHabitBytes {
		s.remember(n, place, s.data[at:colon+1], child)
	}
	return child, colon + 1
}

// remember notes the name at a place of n's object.
func (s *scanner) remember(n, place int, text []byte, child int) {
	habits := s.habits[n]
	switch {
	case place < len(habits):
		habits[place] = habit{append(habits[place].text[:0], text...), child}
	case place == len(habits) && place < maxHabits:
		s.habits[n] = append(habits, habit{bytes.Clone(text), child})
	}
}

// wanted reads the value of a node. The last of several members of one name
// counts, so what an earlier one held is forgotten.
func (s *scanner) wanted(at, n int) int {
	if s.slots[n].round == s.round {
		clear(s.slots[n:s.tree.nodes[n].last])
	}
	kind, end := s.value(at, n)
	s.slots[n] = slot{value{at, end, kind}, s.round}
	return end
}

// array reads elements up to the closing bracket, from behind the opening one.
// Children of n are elements by their index.
func (s *scanner) array(at, n int) int {
	at = s.space(at)
	if at < len(s.data) && s.data[at] == ']' {
		return at + 1
	}
	wanted := 0
	if n != outside {
		wanted = s.tree.nodes[n].elements
	}
	for i := 0; ; i++ {
		child := outside
		if i < wanted {
			child = s.tree.element(n, i)
		}
		if child == outside {
			_, at = s.value(at, outside)
		} else {
			at = s.wanted(at, child)
		}
		if at == failed {
			return failed
		}
		at = s.space(at)
		if at >= len(s.data) {
			return s.fail(at, "an array is not closed")
		}
		switch s.data[at] {
		case ',':
			at = s.space(at + 1)
		case ']':
			return at + 1
		default:
			return s.fail(at, "neither a comma nor a closing bracket")
		}
	}
}

func (s *scanner) word(at int, word string) int {
	if !bytes.HasPrefix(s.data[at:], []byte(word)) {
		return s.fail(at, "a value is neither true, false nor null")
	}
	return at + len(word)
}

// text reads a string and says whether it has escapes.
func (s *scanner) text(at int) (end int, escaped bool) {
	data := s.data
	for at++; ; {
		at = skipPlain(data, at)
		if at >= len(data) {
			return s.fail(at, "a string is not closed"), false
		}
		switch c := data[at]; {
		case c == '"':
			return at + 1, escaped
		case c == '\\':
			escaped = true
			if at = s.escape(at + 1); at == failed {
				return failed, false
			}
		case c < ' ':
			return s.fail(at, "a control character stands in a string"), false
		default:
			r, size := utf8.DecodeRune(data[at:])
			if r == utf8.RuneError && size == 1 {
				return s.fail(at, "a string is not valid UTF-8"), false
			}
			at += size
		}
	}
}

// skipPlain returns where the first byte stands that a string does not hold as
// it is and by itself: a quote, a backslash, a control character, or one of
// several bytes of a character.
func skipPlain(data []byte, at int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; at+8 <= len(data); at += 8 {
		w := binary.LittleEndian.Uint64(data[at:])
		// A subtraction sets the high bit of a byte that is less, here of the
		// lowest such byte for certain: borrows only go upwards.
		odd := (w | (w - ' '*ones) | ((w ^ '"'*ones) - ones) | ((w ^ '\\'*ones) - ones)) & highs
		if odd != 0 {
			return at + bits.TrailingZeros64(odd)>>3
		}
	}
	for at < len(data) && data[at] >= ' ' && data[at] < utf8.RuneSelf && data[at] != '"' && data[at] != '\\' {
		at++
	}
	return at
}

// escape reads what follows a backslash.
func (s *scanner) escape(at int) int {
	if at >= len(s.data) {
		return s.fail(at, "a string is not closed")
	}
	switch s.data[at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return at + 1
	case 'u':
		if _, ok := hex4(s.data[at+1:]); ok {
			return at + 5
		}
	}
	return s.fail(at, "an unknown escape")
}

// number reads -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func (s *scanner) number(at int) int {
	if s.data[at] == '-' {
		at++
	}
	start := at
	if at = s.digits(at); at == start {
		return s.fail(at, "a number without digits")
	}
	if s.data[start] == '0' && at > start+1 {
		return s.fail(start, "a number begins with 0")
	}
	if at < len(s.data) && s.data[at] == '.' {
		start = at + 1
		if at = s.digits(start); at == start {
			return s.fail(at, "a number without digits behind its point")
		}
	}
	if at < len(s.data) && s.data[at]|0x20 == 'e' {
		at++
		if at < len(s.data) && (s.data[at] == '+' || s.data[at] == '-') {
			at++
		}
		start = at
		if at = s.digits(start); at == start {
			return s.fail(at, "a number without digits in its exponent")
		}
	}
	return at
}

func (s *scanner) digits(at int) int {
	for at < len(s.data) && s.data[at]-'0' < 10 {
		at++
	}
	return at
}
