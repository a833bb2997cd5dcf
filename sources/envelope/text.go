package envelope

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
	"unsafe"

	"millrace/feature"
)

// alias returns b as a string that shares its bytes.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// bytesOf is the other way; what it returns is not to be written to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// setText sets row i of c to what text says, or tells why it cannot, without
// quoting it.
func setText(c *feature.Column, i int, text []byte, unit time.Duration) (why string) {
	switch c.Type.Kind {
	case feature.KindString:
		if !utf8.Valid(text) {
			return "is not UTF-8"
		}
		c.SetString(i, alias(text))
	case feature.KindBytes:
		c.SetString(i, alias(text))
	case feature.KindJSON:
		if !utf8.Valid(text) || !json.Valid(text) {
			return "is not JSON"
		}
		c.SetString(i, alias(text))
	case feature.KindBool:
		if s := alias(text); s != "true" && s != "false" {
			return "is neither true nor false"
		}
		c.SetBool(i, text[0] == 't')
	case feature.KindInt32, feature.KindInt64:
		bits := 64
		if c.Type.Kind == feature.KindInt32 {
			bits = 32
		}
		n, err := strconv.ParseInt(alias(text), 10, bits)
		if err != nil {
			return "is not an integer that fits " + c.Type.String()
		}
		c.SetInt(i, n)
	case feature.KindFloat32, feature.KindFloat64:
		return setFloat(c, i, text)
	case feature.KindTimestamp:
		micros, ok := timestamp(text, unit)
		if !ok && unit == 0 {
			return "is not RFC 3339 text"
		}
		if !ok {
			return "is not an integer timestamp in range"
		}
		c.SetInt(i, micros)
	case feature.KindInvalid:
		return "has no type"
	}
	return ""
}

// setFloat takes decimal numbers alone; the library also reads words and
// hexadecimal digits.
func setFloat(c *feature.Column, i int, text []byte) (why string) {
	for _, b := range text {
		if b-'0' > 9 && b != '.' && b != '-' && b != '+' && b|0x20 != 'e' {
			return "is not a number"
		}
	}
	bits := 64
	if c.Type.Kind == feature.KindFloat32 {
		bits = 32
	}
	n, err := strconv.ParseFloat(alias(text), bits)
	if err != nil {
		return "is not a number that fits " + c.Type.String()
	}
	c.SetFloat(i, n)
	return ""
}

// timestamp reads RFC 3339, or a count of units since the epoch, which is
// rounded down to microseconds.
func timestamp(text []byte, unit time.Duration) (int64, bool) {
	if unit == 0 {
		t, err := time.Parse(time.RFC3339, alias(text))
		return t.UnixMicro(), err == nil
	}
	n, err := strconv.ParseInt(alias(text), 10, 64)
	if err != nil {
		return 0, false
	}
	if unit < time.Microsecond {
		per := int64(time.Microsecond / unit)
		micros := n / per
		if n%per < 0 {
			micros--
		}
		return micros, true
	}
	per := int64(unit / time.Microsecond)
	return n * per, n <= math.MaxInt64/per && n >= math.MinInt64/per
}
