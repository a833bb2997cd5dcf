package expr

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonCursor walks through one JSON container without building a tree: what it
// yields are parts of the text. The text is valid where the kind json is, and
// where it is not, walking ends early but never goes wrong.
type jsonCursor struct {
	text string
	at   int
}

// enterJSON starts a walk through the elements of v, which is trimmed.
func enterJSON(v string) jsonCursor { return jsonCursor{text: v, at: min(1, len(v))} }

func isJSONSpace(ch byte) bool { return ch == ' ' || ch == '\n' || ch == '\r' || ch == '\t' }

func trimJSON(s string) string {
	for s != "" && isJSONSpace(s[0]) {
		s = s[1:]
	}
	for s != "" && isJSONSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func (c *jsonCursor) skip(also byte) {
	for c.at < len(c.text) && (isJSONSpace(c.text[c.at]) || c.text[c.at] == also) {
		c.at++
	}
}

// more reports whether another element follows, and steps to it.
func (c *jsonCursor) more() bool {
	c.skip(',')
	return c.at < len(c.text) && c.text[c.at] != ']' && c.text[c.at] != '}'
}

// key reads the name of a member, as it is between the quotes.
func (c *jsonCursor) key() string {
	name := c.value()
	c.skip(':')
	return inQuotes(name)
}

func inQuotes(v string) string {
	if len(v) < 2 {
		return ""
	}
	return v[1 : len(v)-1]
}

// value reads one value.
func (c *jsonCursor) value() string {
	start := c.at
	if start < len(c.text) {
		switch c.text[start] {
		case '"':
			c.at = endOfString(c.text, start)
		case '{', '[':
			c.at = endOfContainer(c.text, start)
		default:
			c.at = endOfScalar(c.text, start)
		}
	}
	return c.text[start:c.at]
}

// endOfContainer returns where the object or array that begins at i ends.
func endOfContainer(s string, i int) int {
	depth := 0
	for i < len(s) {
		switch s[i] {
		case '"':
			i = endOfString(s, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return len(s)
}

// endOfScalar returns where the number or word that begins at i ends; it is one
// byte long at least.
func endOfScalar(s string, i int) int {
	for i++; i < len(s); i++ {
		switch s[i] {
		case ',', ':', '{', '}', '[', ']', '"', ' ', '\n', '\r', '\t':
			return i
		}
	}
	return len(s)
}

// endOfString returns where the string that begins at i ends, quote included.
func endOfString(s string, i int) int {
	for i++; i < len(s); i++ {
		switch s[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(s)
}

// nextRune decodes the character or escape at the start of s.
func nextRune(s string) (r rune, size int) {
	if s[0] != '\\' || len(s) < 2 {
		return utf8.DecodeRuneInString(s)
	}
	switch s[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r = hexRune(s[2:])
		if utf16.IsSurrogate(r) && len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
			if pair := utf16.DecodeRune(r, hexRune(s[8:])); pair != utf8.RuneError {
				return pair, 12
			}
		}
		return r, min(6, len(s))
	}
	return rune(s[1]), 2
}

func hexRune(s string) rune {
	v, err := strconv.ParseUint(s[:min(4, len(s))], 16, 16)
	if err != nil {
		return utf8.RuneError
	}
	return rune(v)
}

// appendUnquoted writes what the inside of a JSON string means.
func appendUnquoted(b []byte, s string) []byte {
	for s != "" {
		n := strings.IndexByte(s, '\\')
		if n < 0 {
			return append(b, s...)
		}
		b, s = append(b, s[:n]...), s[n:]
		r, size := nextRune(s)
		b, s = utf8.AppendRune(b, r), s[size:]
	}
	return b
}

// meansKey reports whether the inside of a JSON string means key.
func meansKey(s, key string) bool {
	if strings.IndexByte(s, '\\') < 0 {
		return s == key
	}
	for s != "" && key != "" {
		r, size := nextRune(s)
		want, width := utf8.DecodeRuneInString(key)
		if r != want {
			return false
		}
		s, key = s[size:], key[width:]
	}
	return s == key
}

// appendQuoted writes text as a JSON string.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	plain := 0 // where what needs no escape begins
	for i := range len(s) {
		if ch := s[i]; ch < ' ' || ch == '"' || ch == '\\' {
			b = appendJSONByte(append(b, s[plain:i]...), ch)
			plain = i + 1
		}
	}
	return append(append(b, s[plain:]...), '"')
}

func appendJSONByte(b []byte, ch byte) []byte {
	switch ch {
	case '"', '\\':
		return append(b, '\\', ch)
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	if ch < ' ' {
		return append(b, '\\', 'u', '0', '0', hexDigits[ch>>4], hexDigits[ch&15])
	}
	return append(b, ch)
}

// appendJSONFloat writes a finite number as DuckDB's JSON does: with a point or
// an exponent, the exponent from 1e21 and below 1e-6.
func appendJSONFloat(b []byte, v float64) []byte {
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		start := len(b)
		b = strconv.AppendFloat(b, v, 'e', -1, 64)
		at := start + bytes.IndexByte(b[start:], 'e') + 1 // the sign; two digits follow at least
		from := at + 1
		if b[at] == '-' {
			at++
		}
		if b[from] == '0' {
			from++
		}
		return append(b[:at], b[from:]...)
	}
	b = strconv.AppendFloat(b, v, 'f', -1, 64)
	if v == math.Trunc(v) {
		b = append(b, ".0"...)
	}
	return b
}

// isReal reports whether a JSON number has a point or an exponent.
func isReal(number string) bool { return strings.ContainsAny(number, ".eE") }

// appendNumber writes a JSON number as DuckDB writes what it has read: reals in
// one form, whole numbers as they are, and so numbers that fit no float64.
func appendNumber(b []byte, number string) []byte {
	if !isReal(number) {
		if number == "-0" {
			return append(b, '0')
		}
		return append(b, number...)
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return append(b, number...)
	}
	return appendJSONFloat(b, v)
}

// minified returns v as DuckDB writes JSON: without space, numbers and escapes in
// one form. Text that has that form already is shared.
func (c *call) minified(v string) string {
	if isMinified(v) {
		return v
	}
	return c.arena.Keep(appendMinified(c.arena.Tail(len(v)+len(v)/2+8), v))
}

func isMinified(v string) bool {
	for i := 0; i < len(v); {
		end := endOfToken(v, i)
		switch token := v[i:end]; token[0] {
		case ' ', '\n', '\r', '\t':
			return false
		case '"':
			if strings.IndexByte(token, '\\') >= 0 {
				return false
			}
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			var buffer [32]byte
			if (isReal(token) || token == "-0") && string(appendNumber(buffer[:0], token)) != token {
				return false
			}
		}
		i = end
	}
	return true
}

func appendMinified(b []byte, v string) []byte {
	for i := 0; i < len(v); {
		end := endOfToken(v, i)
		switch token := v[i:end]; token[0] {
		case ' ', '\n', '\r', '\t':
		case '"':
			b = appendRequoted(b, token)
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			b = appendNumber(b, token)
		default:
			b = append(b, token...)
		}
		i = end
	}
	return b
}

// endOfToken returns where the string, number, word or single character that
// begins at i ends.
func endOfToken(s string, i int) int {
	switch s[i] {
	case '"':
		return endOfString(s, i)
	case ',', ':', '{', '}', '[', ']', ' ', '\n', '\r', '\t':
		return i + 1
	}
	return endOfScalar(s, i)
}

// appendRequoted writes a JSON string with the escapes that appendQuoted makes.
func appendRequoted(b []byte, token string) []byte {
	if strings.IndexByte(token, '\\') < 0 {
		return append(b, token...)
	}
	b = append(b, '"')
	for s := inQuotes(token); s != ""; {
		r, size := nextRune(s)
		if r < utf8.RuneSelf {
			b = appendJSONByte(b, byte(r))
		} else {
			b = utf8.AppendRune(b, r)
		}
		s = s[size:]
	}
	return append(b, '"')
}
