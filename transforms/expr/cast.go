package expr

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"millrace/feature"
)

// cast returns e converted to t, nil when there is no such conversion. A
// conversion that can fail makes the row fail, or null with try.
func cast(e *Expr, t feature.Type, try bool, at *Node) *Expr {
	switch {
	case e.typ == t:
		return e
	case e.untyped():
		return nullOf(t)
	case e.typ.IsList() && t.IsList() && t.Length == 0 && e.typ.Kind == t.Kind && e.typ.Depth == t.Depth:
		return apply(kernelCoalesce, t, at, e) // forgets the fixed length
	case e.typ.Kind == feature.KindInvalid && e.typ.Depth <= t.Depth && t.Length == 0:
		return apply(kernelFillType, t, at, e)
	case t.Length != 0:
		return nil
	}
	if path := e.path(); path != nil && t != feature.Of(feature.KindString) {
		return apply(fromJSON(path, t, try), t, at, e.args[0])
	}
	k := castOf(e.typ, t, try)
	if k == nil {
		return nil
	}
	return apply(k, t, at, e)
}

// tryKernel turns k's own failures into nulls. What failed before k still fails.
func tryKernel(k *kernel) *kernel {
	return &kernel{name: "try " + k.name, why: k.why, run: func(c *call) {
		k.run(c)
		if !c.out.failing {
			return
		}
		c.out.failing = false
		c.spreadFailures()
	}}
}

func castKernel(from, to feature.Kind) *kernel {
	name := "cast " + from.String() + " " + to.String()
	if from == feature.KindJSON && to != feature.KindString {
		return fromJSON(new(jsonPath), feature.Of(to), false)
	}
	switch to {
	case feature.KindBool:
		return castToBool(name, from)
	case feature.KindInt32, feature.KindInt64:
		return castToInt(name, from, to)
	case feature.KindFloat32, feature.KindFloat64:
		return castToFloat(name, from, to)
	case feature.KindString:
		return castToString(name, from)
	case feature.KindTimestamp:
		if from == feature.KindString {
			return parsing(name, "text is not a time such as 2024-05-01 12:00:00", setInt(parseTimestamp))
		}
	case feature.KindBytes:
		if from == feature.KindString {
			return unescapeKernel(name)
		}
	case feature.KindJSON:
		if from != feature.KindString {
			return toJSON(feature.Of(from))
		}
		return parsing(name, "text is not JSON", func(c *call, row int, s string) bool {
			c.out.col.Strings[row] = s
			return validJSON(s)
		})
	case feature.KindInvalid:
	}
	return nil
}

func castToBool(name string, from feature.Kind) *kernel {
	switch from {
	case feature.KindInt32, feature.KindInt64:
		return &kernel{name: name, run: func(c *call) {
			for i, v := range c.ints(0) {
				c.out.col.Bools[i] = v != 0
			}
		}}
	case feature.KindFloat32, feature.KindFloat64:
		return floatsToBool(name, func(v float64) bool { return v != 0 })
	case feature.KindString:
		return parsing(name, "text is neither true nor false", func(c *call, row int, s string) bool {
			v, ok := parseBool(s)
			c.out.col.Bools[row] = v
			return ok
		})
	case feature.KindInvalid, feature.KindBool, feature.KindBytes, feature.KindTimestamp, feature.KindJSON:
	}
	return nil
}

func castToInt(name string, from, to feature.Kind) *kernel {
	narrow := to == feature.KindInt32
	switch from {
	case feature.KindBool:
		return &kernel{name: name, run: func(c *call) {
			for i, v := range c.bools(0) {
				c.out.col.Ints[i] = boolInt(v)
			}
		}}
	case feature.KindInt32, feature.KindInt64:
		k := &kernel{name: name, run: func(c *call) { copy(c.out.col.Ints, c.ints(0)) }}
		if narrow {
			k = intsChecked(name, func(v int64) (int64, bool) { return v, fitsInt32(v) })
			k.why = []string{"number out of range of int32"}
		}
		return k
	case feature.KindFloat32, feature.KindFloat64:
		return floatsToInts(name, to)
	case feature.KindString:
		return parsing(name, "text is not a number of type "+to.String(), func(c *call, row int, s string) bool {
			v, ok := parseInt(trimSpace(s))
			c.out.col.Ints[row] = v
			return ok && (!narrow || fitsInt32(v))
		})
	case feature.KindInvalid, feature.KindBytes, feature.KindTimestamp, feature.KindJSON:
	}
	return nil
}

// intLimit is the first number above those of an integer kind.
func intLimit(k feature.Kind) float64 {
	if k == feature.KindInt32 {
		return 1 << 31
	}
	return 1 << 63
}

// floatsToInts rounds half to even, as DuckDB does, which looks at the range
// before it rounds.
func floatsToInts(name string, to feature.Kind) *kernel {
	limit := intLimit(to)
	return &kernel{name: name, why: []string{"number out of range of " + to.String()}, run: func(c *call) {
		out := c.out.col.Ints[:c.n]
		for i, v := range c.floats(0) {
			whole := math.RoundToEven(v)
			if v >= -limit && whole < limit {
				out[i] = int64(whole)
			} else if c.valid(i) {
				c.fail(i, 0)
			}
		}
	}}
}

func castToFloat(name string, from, to feature.Kind) *kernel {
	narrow := to == feature.KindFloat32
	switch from {
	case feature.KindBool:
		return &kernel{name: name, run: func(c *call) {
			for i, v := range c.bools(0) {
				c.out.col.Floats[i] = float64(boolInt(v))
			}
		}}
	case feature.KindInt32, feature.KindInt64:
		return &kernel{name: name, run: func(c *call) { intsToFloats(c, narrow) }}
	case feature.KindFloat32, feature.KindFloat64:
		if !narrow {
			return &kernel{name: name, run: func(c *call) { copy(c.out.col.Floats, c.floats(0)) }}
		}
		return floatsWithin(name, func(v float64) float64 { return float64(float32(v)) }, func(v float64) int {
			if math.IsInf(float64(float32(v)), 0) && !math.IsInf(v, 0) {
				return 0
			}
			return -1
		}, "number out of range of float32")
	case feature.KindString:
		return parsing(name, "text is not a number", func(c *call, row int, s string) bool {
			v, ok := parseFloat(trimSpace(s))
			if narrow {
				v = float64(float32(v))
			}
			c.out.col.Floats[row] = v
			return ok
		})
	case feature.KindInvalid, feature.KindBytes, feature.KindTimestamp, feature.KindJSON:
	}
	return nil
}

func intsToFloats(c *call, narrow bool) {
	out := c.out.col.Floats[:c.n]
	if narrow {
		for i, v := range c.ints(0) {
			out[i] = float64(float32(v)) // not by way of float64, which would round twice
		}
		return
	}
	for i, v := range c.ints(0) {
		out[i] = float64(v)
	}
}

func castToString(name string, from feature.Kind) *kernel {
	switch from {
	case feature.KindBool, feature.KindInt32, feature.KindInt64, feature.KindFloat32, feature.KindFloat64, feature.KindTimestamp, feature.KindBytes:
		return printing(name, appendScalar)
	case feature.KindJSON:
		return textTo(name, func(_ *call, s string) string { return s })
	case feature.KindInvalid, feature.KindString:
	}
	return nil
}

// appendScalar writes a value as its cast to string does.
func appendScalar(b []byte, in *feature.Column, row int) []byte {
	switch in.Type.Kind {
	case feature.KindBool:
		return strconv.AppendBool(b, in.Bools[row])
	case feature.KindInt32, feature.KindInt64:
		return strconv.AppendInt(b, in.Ints[row], 10)
	case feature.KindFloat32:
		return appendFloat(b, in.Floats[row], 32)
	case feature.KindFloat64:
		return appendFloat(b, in.Floats[row], 64)
	case feature.KindTimestamp:
		return appendTimestamp(b, in.Ints[row])
	case feature.KindBytes:
		return appendEscaped(b, in.Strings[row])
	case feature.KindString, feature.KindJSON:
		return append(b, in.Strings[row]...)
	case feature.KindInvalid:
	}
	return b
}

// printing writes each valid row into the arena.
func printing(name string, appendValue func(b []byte, in *feature.Column, row int) []byte) *kernel {
	return &kernel{name: name, run: func(c *call) {
		in, out := c.args[0].col, c.out.col.Strings[:c.n]
		for i := range out {
			if c.valid(i) {
				out[i] = c.arena.Keep(appendValue(c.arena.Tail(32), in, i))
			}
		}
	}}
}

// parsing reads the text of each valid row; set reports whether it could.
func parsing(name, why string, set func(c *call, row int, s string) bool) *kernel {
	return &kernel{name: name, why: []string{why}, run: func(c *call) {
		for i, s := range c.strings(0) {
			if c.valid(i) && !set(c, i, s) {
				c.fail(i, 0)
			}
		}
	}}
}

func setInt(parse func(string) (int64, bool)) func(c *call, row int, s string) bool {
	return func(c *call, row int, s string) bool {
		v, ok := parse(s)
		c.out.col.Ints[row] = v
		return ok
	}
}

func trimSpace(s string) string { return strings.Trim(s, " \t\n\v\f\r") }

func parseBool(s string) (value, ok bool) {
	for _, yes := range [...]string{"true", "t", "yes", "y", "1"} {
		if strings.EqualFold(s, yes) {
			return true, true
		}
	}
	for _, no := range [...]string{"false", "f", "no", "n", "0"} {
		if strings.EqualFold(s, no) {
			return false, true
		}
	}
	return false, false
}

// parseInt reads a whole number: digits, with underscores between them, or hex
// or binary digits after 0x or 0b. Decimals and exponents are rounded, half away
// from zero, as DuckDB does for text (and for text alone).
func parseInt(s string) (int64, bool) {
	sign, digits := int64(1), strings.TrimPrefix(s, "+")
	if strings.HasPrefix(s, "-") {
		sign, digits = -1, s[1:]
	}
	var v int64 // negative or zero, whose range is the greater
	for i := range len(digits) {
		if !isDigit(digits[i]) {
			return parseUnusual(s)
		}
		d := int64(digits[i] - '0')
		if v < (math.MinInt64+d)/10 {
			return parseUnusual(s)
		}
		v = v*10 - d
	}
	if sign > 0 && v == math.MinInt64 || digits == "" {
		return 0, false
	}
	return -sign * v, true
}

// parseUnusual reads what is not just a few digits.
func parseUnusual(s string) (int64, bool) {
	if len(s) > 2 && s[0] == '0' {
		base := map[byte]int{'x': 16, 'X': 16, 'b': 2, 'B': 2}[s[1]]
		if digits, ok := withoutUnderscores(s[2:], isHexDigit); ok && base != 0 {
			v, err := strconv.ParseUint(digits, base, 63)
			return int64(v), err == nil
		}
	}
	s, ok := withoutUnderscores(s, isDigit)
	if !ok || !looksNumeric(s) {
		return 0, false
	}
	return parseRounded(s)
}

// withoutUnderscores drops underscores between digits; any other makes it fail.
func withoutUnderscores(s string, digit func(byte) bool) (string, bool) {
	if !strings.Contains(s, "_") {
		return s, true
	}
	for i := range len(s) {
		if s[i] == '_' && (i == 0 || i == len(s)-1 || !digit(s[i-1]) || !digit(s[i+1])) {
			return s, false
		}
	}
	return strings.ReplaceAll(s, "_", ""), true
}

func isHexDigit(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

// parseRounded moves the point of s, which looksNumeric, by its exponent and
// rounds half away from zero, in decimal, so that no digit is lost. As in DuckDB
// the digits before the point fit 64 bits and the exponent 16.
func parseRounded(s string) (int64, bool) {
	mantissa, exponent := s, 0
	if at := strings.IndexAny(s, "eE"); at >= 0 {
		mantissa = s[:at]
		e, err := strconv.ParseInt(s[at+1:], 10, 16)
		if err != nil {
			return 0, false
		}
		exponent = int(e)
	}
	whole, decimals, _ := strings.Cut(mantissa, ".")
	if _, err := strconv.ParseInt(whole, 10, 64); errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	negative := strings.HasPrefix(mantissa, "-")
	whole = strings.TrimLeft(whole, "+-")
	digits := whole + decimals
	point := len(whole) + exponent - (len(digits) - len(strings.TrimLeft(digits, "0")))
	digits = strings.TrimLeft(digits, "0")
	switch {
	case digits == "" || point < 0:
		return 0, true
	case point > len(minInt64Digits):
		return 0, false
	}
	digits += strings.Repeat("0", max(0, point-len(digits)))
	v, err := strconv.ParseUint("0"+digits[:point], 10, 64)
	if point < len(digits) && digits[point] >= '5' {
		v++
	}
	if negative {
		return -int64(v), err == nil && v <= 1<<63
	}
	return int64(v), err == nil && v < 1<<63
}

// looksNumeric reports whether s is sign, digits, decimals, exponent.
func looksNumeric(s string) bool {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		s = s[1:]
	}
	digits := 0
	for s != "" && isDigit(s[0]) {
		s, digits = s[1:], digits+1
	}
	if s != "" && s[0] == '.' {
		for s = s[1:]; s != "" && isDigit(s[0]); digits++ {
			s = s[1:]
		}
	}
	return digits > 0 && exponentLength(s) == len(s)
}

// parseFloat reads a number; what is too great is infinite.
func parseFloat(s string) (float64, bool) {
	if plain, ok := withoutUnderscores(s, isDigit); ok {
		s = plain
	}
	if looksNumeric(s) {
		v, _ := strconv.ParseFloat(s, 64) // the only error left is the range
		return v, true
	}
	word, sign := strings.TrimPrefix(s, "+"), 1
	if strings.HasPrefix(s, "-") {
		word, sign = s[1:], -1
	}
	switch {
	case strings.EqualFold(word, "inf"), strings.EqualFold(word, "infinity"):
		return math.Inf(sign), true
	case strings.EqualFold(word, "nan"):
		return math.NaN(), true
	}
	return 0, false
}

// appendFloat writes the shortest text that reads back as v, as DuckDB does:
// always with a point or an exponent, the exponent from 1e16 and below 1e-4.
func appendFloat(b []byte, v float64, size int) []byte {
	switch {
	case math.IsNaN(v):
		return append(b, "nan"...)
	case math.IsInf(v, 0):
		if v < 0 {
			b = append(b, '-')
		}
		return append(b, "inf"...)
	}
	if a := math.Abs(v); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.AppendFloat(b, v, 'e', -1, size)
	}
	b = strconv.AppendFloat(b, v, 'f', -1, size)
	if v == math.Trunc(v) {
		b = append(b, ".0"...)
	}
	return b
}

const hexDigits = "0123456789ABCDEF"

// appendEscaped writes bytes as DuckDB shows a BLOB: what is not plain as \xNN.
func appendEscaped(b []byte, s string) []byte {
	for i := range len(s) {
		if ch := s[i]; ch < ' ' || ch > '~' || ch == '\\' || ch == '\'' || ch == '"' {
			b = append(b, '\\', 'x', hexDigits[ch>>4], hexDigits[ch&15])
		} else {
			b = append(b, ch)
		}
	}
	return b
}

// unescapeKernel is the inverse of appendEscaped.
func unescapeKernel(name string) *kernel {
	return parsing(name, `text is not plain ASCII with \xNN`, func(c *call, row int, s string) bool {
		b, ok := appendUnescaped(c.arena.Tail(len(s)), s)
		c.out.col.Strings[row] = c.arena.Keep(b)
		return ok
	})
}

func appendUnescaped(b []byte, s string) ([]byte, bool) {
	for s != "" {
		ch := s[0]
		if ch >= 0x80 {
			return b, false
		}
		if ch != '\\' {
			b, s = append(b, ch), s[1:]
			continue
		}
		if len(s) < 4 || s[1] != 'x' {
			return b, false
		}
		v, err := strconv.ParseUint(s[2:4], 16, 8)
		if err != nil {
			return b, false
		}
		b, s = append(b, byte(v)), s[4:]
	}
	return b, true
}
