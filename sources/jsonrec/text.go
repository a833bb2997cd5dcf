package jsonrec

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"

	"millrace/feature"
)

// unquote returns the number in a string, checked like any other and valid
// until the next call of content. Without one it returns why v is refused,
// which should be of type want, or what for short.
func (d *Decoder) unquote(v value, f *field, want feature.Type, what string) ([]byte, fault) {
	if !f.quoted || v.kind != valueText && v.kind != valueEscaped {
		return nil, unfit(f, want, v, "is "+v.kind.String()+", not "+what)
	}
	text := d.content(v)
	if !isNumber(text) {
		return nil, unfit(f, want, v, "is a string that is not a number")
	}
	return text, fault{}
}

// isNumber reports whether text is a JSON number and nothing else.
func isNumber(text []byte) bool {
	if len(text) == 0 {
		return false
	}
	s := scanner{data: text}
	return s.number(0) == len(text)
}

// appendUnescaped appends the content of a checked string without its escapes.
// Half a surrogate pair becomes U+FFFD, as encoding/json has it.
func appendUnescaped(dst, text []byte) []byte {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 {
			return append(dst, text...)
		}
		dst = append(dst, text[:i]...)
		c := text[i+1]
		text = text[i+2:]
		if c == 'u' {
			var r rune
			r, text = unicodeEscape(text)
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, unescapeByte(c))
	}
}

func unescapeByte(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// unicodeEscape reads the four digits behind \u, and a second escape if the
// two are a surrogate pair; it returns what follows.
func unicodeEscape(text []byte) (rune, []byte) {
	r, _ := hex4(text)
	text = text[4:]
	if !utf16.IsSurrogate(r) {
		return r, text
	}
	if len(text) >= 6 && text[0] == '\\' && text[1] == 'u' {
		low, _ := hex4(text[2:])
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, text[6:]
		}
	}
	return utf8.RuneError, text
}

// hex4 reads four hexadecimal digits.
func hex4(text []byte) (rune, bool) {
	if len(text) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range text[:4] {
		switch {
		case c-'0' < 10:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
