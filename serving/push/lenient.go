package push

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"millrace/feature"
)

// Values of data frames come as their writers' libraries print them: numbers as
// text, integers with a point, times without a zone or counted in nanoseconds,
// JSON inside of text. What cannot be meant otherwise is taken; everything else
// stays as it is for the decoder to judge.

func appendName(dst []byte, name string) []byte {
	var a fastjson.Arena
	return a.NewString(name).MarshalTo(dst)
}

// appendLenient appends v as a decoder of the type takes it.
func appendLenient(dst []byte, v *fastjson.Value, f field) []byte {
	if v.Type() == fastjson.TypeNull {
		return append(dst, "null"...)
	}
	if f.IsList() {
		return appendList(dst, v, f)
	}
	switch f.Kind {
	case feature.KindInt32, feature.KindInt64:
		if text, ok := integerText(v); ok {
			return append(dst, text...)
		}
	case feature.KindFloat32, feature.KindFloat64:
		if text := textOf(v); text != "" && isNumber(text) {
			return append(dst, text...)
		}
	case feature.KindBool:
		if b, ok := boolOf(v); ok {
			return strconv.AppendBool(dst, b)
		}
	case feature.KindTimestamp:
		if micros, ok := timeOf(v, true); ok {
			return appendMicros(dst, micros, f.unit)
		}
	case feature.KindJSON:
		if text := textOf(v); text != "" && fastjson.Validate(text) == nil {
			return append(dst, text...)
		}
	case feature.KindString, feature.KindBytes, feature.KindInvalid:
	}
	return v.MarshalTo(dst)
}

// appendList takes a list, or the text of one.
func appendList(dst []byte, v *fastjson.Value, f field) []byte {
	if text := textOf(v); text != "" {
		if inner, err := fastjson.Parse(text); err == nil {
			v = inner
		}
	}
	if v.Type() != fastjson.TypeArray {
		return v.MarshalTo(dst)
	}
	elem := field{f.Elem(), f.unit}
	dst = append(dst, '[')
	for i, e := range v.GetArray() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendLenient(dst, e, elem)
	}
	return append(dst, ']')
}

// textOf is the content of a string; "" of anything else.
func textOf(v *fastjson.Value) string {
	if v.Type() != fastjson.TypeString {
		return ""
	}
	return string(bytes.TrimSpace(v.GetStringBytes()))
}

// isNumber reports whether text is a JSON number.
func isNumber(text string) bool {
	c := text[0]
	return (c == '-' || c >= '0' && c <= '9') && fastjson.Validate(text) == nil
}

// integerText is the integer that v is, be it written 5, 5.0 or "5".
func integerText(v *fastjson.Value) (string, bool) {
	text := textOf(v)
	if v.Type() == fastjson.TypeNumber {
		text = v.String()
	}
	if text == "" || !isNumber(text) {
		return "", false
	}
	if !strings.ContainsAny(text, ".eE") {
		return text, true
	}
	const exact = 1 << 53 // beyond it a float does not know which integer it is
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != float64(int64(f)) || f > exact || f < -exact {
		return "", false
	}
	return strconv.FormatInt(int64(f), 10), true
}

func boolOf(v *fastjson.Value) (value, ok bool) {
	switch strings.ToLower(textOf(v)) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// timeOf reads a time as microseconds: RFC 3339 text, and leniently text
// without a zone, which is UTC, and a count of nanoseconds.
func timeOf(v *fastjson.Value, lenient bool) (micros int64, ok bool) {
	if v.Type() == fastjson.TypeNumber && lenient {
		text, whole := integerText(v)
		n, err := strconv.ParseInt(text, 10, 64)
		return floorDiv(n, 1000), whole && err == nil
	}
	text := textOf(v)
	if len(text) > len("2006-01-02") && text[len("2006-01-02")] == ' ' {
		text = text[:len("2006-01-02")] + "T" + text[len("2006-01-02")+1:]
	}
	layouts := []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07"}
	if !lenient {
		layouts = layouts[:1]
	}
	for _, layout := range layouts {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UnixMicro(), true
		}
	}
	return 0, false
}

// appendTime appends a time as the source's field wants it; a value that is
// none stays as it is.
func appendTime(dst []byte, v *fastjson.Value, unit time.Duration) []byte {
	if micros, ok := timeOf(v, false); ok && unit != 0 {
		return appendMicros(dst, micros, unit)
	}
	return v.MarshalTo(dst)
}

func appendMicros(dst []byte, micros int64, unit time.Duration) []byte {
	if unit == time.Nanosecond {
		return strconv.AppendInt(dst, micros*1000, 10)
	}
	if unit != 0 {
		return strconv.AppendInt(dst, floorDiv(micros, int64(unit/time.Microsecond)), 10)
	}
	dst = append(dst, '"')
	dst = time.UnixMicro(micros).UTC().AppendFormat(dst, "2006-01-02T15:04:05.999999Z07:00")
	return append(dst, '"')
}
