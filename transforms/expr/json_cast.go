package expr

import (
	"math"
	"strings"

	"millrace/feature"
)

// fromJSON casts JSON, or what path finds in it, to what is not text. Nothing
// found is null.
func fromJSON(path *jsonPath, to feature.Type, try bool) *kernel {
	name := "cast json " + to.String() + " " + path.text
	if try {
		name = "try " + name
	}
	k := parsing(name, "JSON is not of type "+to.String(), func(c *call, row int, s string) bool {
		v, ok := follow(s, path.steps)
		if !ok {
			c.out.col.SetNull(row)
			return true
		}
		return c.setFromJSON(c.out.col, row, v, try)
	})
	each := k.run
	k.run = func(c *call) {
		c.dropElements()
		each(c)
	}
	return k
}

// setFromJSON makes row of out what v, which is trimmed, is as out's type; null
// is null. With try, so is what cannot be cast, and the rest of a list stays.
func (c *call) setFromJSON(out *feature.Column, row int, v string, try bool) bool {
	if v == "null" {
		out.SetNull(row)
		return true
	}
	ok := v != ""
	if ok && out.Type.IsList() {
		ok = c.setListFromJSON(out, row, v, try)
	} else if ok {
		ok = c.setScalarFromJSON(out, row, v)
	}
	if !ok {
		out.SetNull(row)
	}
	return ok || try
}

func (c *call) setListFromJSON(out *feature.Column, row int, v string, try bool) bool {
	if v[0] != '[' {
		return false
	}
	start := out.Elems.Len()
	for walk := enterJSON(v); walk.more(); {
		if !c.setFromJSON(out.Elems, out.Elems.AppendNull(), walk.value(), try) {
			return false
		}
	}
	out.SetList(row, start)
	return true
}

func (c *call) setScalarFromJSON(out *feature.Column, row int, v string) (ok bool) {
	switch out.Type.Kind {
	case feature.KindBool:
		ok = c.setBoolFromJSON(out, row, v)
	case feature.KindInt32, feature.KindInt64:
		var whole int64
		whole, ok = c.jsonInt(v, intLimit(out.Type.Kind))
		ok = ok && (out.Type.Kind == feature.KindInt64 || fitsInt32(whole))
		out.SetInt(row, whole)
	case feature.KindFloat32, feature.KindFloat64:
		var f float64
		f, ok = c.jsonFloat(v, out.Type.Kind == feature.KindFloat32)
		out.SetFloat(row, f)
	case feature.KindTimestamp:
		var micros int64
		if v[0] == '"' {
			micros, ok = parseTimestamp(c.jsonText(v))
		}
		out.SetInt(row, micros)
	case feature.KindString, feature.KindBytes:
		ok = true
		out.SetString(row, c.jsonText(v))
	case feature.KindJSON:
		ok = true
		out.SetString(row, c.minified(v))
	case feature.KindInvalid:
	}
	return ok
}

// jsonText is the inside of a string, and otherwise v, its reals as text has them.
func (c *call) jsonText(v string) string {
	switch {
	case v[0] == '"':
		return c.unquoted(v)
	case v[0] != '{' && v[0] != '[' && isReal(v):
		if f, ok := parseFloat(v); ok && !math.IsInf(f, 0) {
			return c.arena.Keep(appendFloat(c.arena.Tail(32), f, 64))
		}
		return v
	}
	return c.minified(v)
}

func (c *call) setBoolFromJSON(out *feature.Column, row int, v string) bool {
	switch {
	case v == "true", v == "false":
		out.SetBool(row, v == "true")
		return true
	case v[0] != '"':
		f, ok := c.jsonFloat(v, false)
		out.SetBool(row, f != 0)
		return ok && !math.IsInf(f, 0) && (isReal(v) || fitsWord(v))
	}
	text := c.unquoted(v)
	yes, ok := parseBool(text)
	out.SetBool(row, yes)
	return ok && text != "0" && text != "1" && !strings.EqualFold(text, "y") && !strings.EqualFold(text, "n")
}

// fitsWord reports whether a whole number fits 64 bits, with a sign or without.
func fitsWord(number string) bool {
	digits := strings.TrimPrefix(number, "-")
	if len(digits) != len(number) {
		return len(digits) < 19 || len(digits) == 19 && digits <= minInt64Digits
	}
	return len(digits) < 20 || len(digits) == 20 && digits <= "18446744073709551615"
}

// jsonInt reads true, false, a number, which is rounded half to even, or text,
// which must be a whole number. As in casts of floats, limit bounds the number
// before it is rounded.
func (c *call) jsonInt(v string, limit float64) (int64, bool) {
	switch v[0] {
	case 't', 'f':
		return boolInt(v == "true"), true
	case '{', '[':
		return 0, false
	case '"':
		v = trimSpace(c.unquoted(v))
		digits := strings.TrimPrefix(v, "-")
		if digits == "" || len(digits) > 1 && digits[0] == '0' || strings.Trim(digits, "0123456789") != "" {
			return 0, false
		}
	}
	if !isReal(v) {
		return parseInt(v)
	}
	f, _ := parseFloat(v)
	whole := math.RoundToEven(f)
	if f < -limit || whole >= limit {
		return 0, false
	}
	return int64(whole), true
}

// jsonFloat is infinite for numbers beyond float64, but does not read numbers
// beyond float32 as one.
func (c *call) jsonFloat(v string, narrow bool) (float64, bool) {
	switch v[0] {
	case 't', 'f':
		return float64(boolInt(v == "true")), true
	case '{', '[':
		return 0, false
	case '"':
		v = strings.TrimLeft(c.unquoted(v), " \t\n\v\f\r")
		if v == "" || v[0] == '+' || trimSpace(v) != v || len(v) > 1 && v[0] == '0' && isDigit(v[1]) {
			return 0, false
		}
	}
	f, ok := parseFloat(v)
	if v == "-0" {
		f = 0 // a whole number has no sign of zero
	}
	if !narrow {
		return f, ok
	}
	if whole, fits := parseInt(v); fits && !isReal(v) {
		return float64(float32(whole)), true // not by way of float64, which would round twice
	}
	single := float64(float32(f))
	return single, ok && (!math.IsInf(single, 0) || math.IsInf(f, 0))
}

// toJSON casts values to JSON. Infinities and NaN have no JSON.
func toJSON(from feature.Type) *kernel {
	return &kernel{name: "cast " + from.String() + " json", why: []string{"a number that JSON cannot hold", textTooLong}, run: func(c *call) {
		in, out := c.args[0].col, c.out.col.Strings[:c.n]
		for i := range out {
			if !c.valid(i) {
				continue
			}
			text, ok := appendJSON(c.arena.Tail(32), in, i)
			switch out[i] = c.arena.Keep(text); {
			case len(text) > maxMadeBytes:
				c.fail(i, 1)
			case !ok:
				c.fail(i, 0)
			}
		}
	}}
}

func appendJSON(b []byte, in *feature.Column, row int) (text []byte, ok bool) {
	if in.IsNull(row) {
		return append(b, "null"...), true
	}
	if in.Type.IsList() {
		return appendJSONList(b, in.Elems, in.Spans[row])
	}
	switch in.Type.Kind {
	case feature.KindFloat32, feature.KindFloat64:
		v := in.Floats[row]
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return b, false
		}
		return appendJSONFloat(b, v), true
	case feature.KindString:
		return appendQuoted(b, in.Strings[row]), true
	case feature.KindBytes: // escaped twice: as text, which has backslashes, and as JSON
		b = append(b, '"')
		start := len(b)
		b = appendEscaped(b, in.Strings[row])
		escaped := string(b[start:])
		return append(append(b[:start], strings.ReplaceAll(escaped, `\`, `\\`)...), '"'), true
	case feature.KindTimestamp:
		return append(appendTimestamp(append(b, '"'), in.Ints[row]), '"'), true
	case feature.KindJSON:
		return append(b, in.Strings[row]...), true
	case feature.KindInvalid, feature.KindBool, feature.KindInt32, feature.KindInt64:
	}
	return appendScalar(b, in, row), true
}

func appendJSONList(b []byte, elems *feature.Column, s feature.Span) (text []byte, ok bool) {
	b, ok = append(b, '['), true
	for e := s.Start; e < s.End && ok && len(b) <= maxMadeBytes; e++ {
		if e > s.Start {
			b = append(b, ',')
		}
		b, ok = appendJSON(b, elems, int(e))
	}
	return append(b, ']'), ok
}
