package expr

import (
	"math"
	"math/bits"

	"millrace/feature"
)

const overflow = "integer overflow"

// arithmeticKernel returns the kernel of an operator over operands of kind k.
// Integer operators other than / come in two widths, which differ in what
// overflows; float32 is computed as float64 and rounded, which for one
// operation is the same as computing in float32.
func arithmeticKernel(operator string, k feature.Kind) *kernel {
	switch k {
	case feature.KindInt32, feature.KindInt64:
		narrow := k == feature.KindInt32
		switch operator {
		case "+":
			return &kernel{name: "+", why: []string{overflow}, run: func(c *call) { addInts(c, narrow) }}
		case "-":
			return &kernel{name: "-", why: []string{overflow}, run: func(c *call) { subtractInts(c, narrow) }}
		case "*":
			return &kernel{name: "*", why: []string{overflow}, run: func(c *call) { multiplyInts(c, narrow) }}
		case "//":
			return &kernel{name: "//", why: []string{overflow}, run: func(c *call) { divideInts(c, narrow, false) }}
		case "%":
			return &kernel{name: "%", why: []string{overflow}, run: func(c *call) { divideInts(c, narrow, true) }}
		}
	case feature.KindFloat32, feature.KindFloat64:
		round := k == feature.KindFloat32
		return &kernel{name: operator, run: func(c *call) {
			floatArithmetic(c, operator)
			if round {
				roundFloat32(c)
			}
		}}
	case feature.KindInvalid, feature.KindBool, feature.KindString, feature.KindBytes, feature.KindTimestamp, feature.KindJSON:
	}
	return nil
}

func floatArithmetic(c *call, operator string) {
	out, a, b := c.out.col.Floats[:c.n], c.floats(0), c.floats(1)
	switch operator {
	case "+":
		for i := range out {
			out[i] = a[i] + b[i]
		}
	case "-":
		for i := range out {
			out[i] = a[i] - b[i]
		}
	case "*":
		for i := range out {
			out[i] = a[i] * b[i]
		}
	case "/":
		for i := range out {
			out[i] = a[i] / b[i]
		}
	case "//": // DuckDB divides floats as / does, but by zero gives null
		for i := range out {
			out[i] = a[i] / b[i]
			if b[i] == 0 {
				c.out.col.Valid.Clear(i)
			}
		}
	case "%":
		for i := range out {
			out[i] = math.Mod(a[i], b[i])
		}
	}
}

func roundFloat32(c *call) {
	for i, v := range c.out.col.Floats[:c.n] {
		c.out.col.Floats[i] = float64(float32(v))
	}
}

func fitsInt32(v int64) bool { return v == int64(int32(v)) }

// addInts adds every row and looks for overflow in valid rows only when some
// row, valid or not, may have overflowed. So do the others.
func addInts(c *call, narrow bool) {
	out, a, b := c.out.col.Ints[:c.n], c.ints(0), c.ints(1)
	var suspect int64
	for i := range out {
		s := a[i] + b[i]
		out[i] = s
		suspect |= (a[i]^s)&(b[i]^s) | outside32(s, narrow)
	}
	if suspect < 0 {
		c.failWhere(func(i int) bool {
			return (a[i]^out[i])&(b[i]^out[i]) < 0 || outside32(out[i], narrow) < 0
		})
	}
}

// outside32 is negative when narrow is set and v does not fit 32 bits.
func outside32(v int64, narrow bool) int64 {
	if narrow {
		beyond := (v + 1<<31) >> 32 // 0 when it fits
		return beyond | -beyond
	}
	return 0
}

func subtractInts(c *call, narrow bool) {
	out, a, b := c.out.col.Ints[:c.n], c.ints(0), c.ints(1)
	var suspect int64
	for i := range out {
		s := a[i] - b[i]
		out[i] = s
		suspect |= (a[i]^b[i])&(a[i]^s) | outside32(s, narrow)
	}
	if suspect < 0 {
		c.failWhere(func(i int) bool {
			return (a[i]^b[i])&(a[i]^out[i]) < 0 || outside32(out[i], narrow) < 0
		})
	}
}

func multiplyInts(c *call, narrow bool) {
	out, a, b := c.out.col.Ints[:c.n], c.ints(0), c.ints(1)
	var big uint64
	var suspect int64
	for i := range out {
		s := a[i] * b[i]
		out[i] = s
		big |= (uint64(a[i]) + 1<<31) | (uint64(b[i]) + 1<<31)
		suspect |= outside32(s, narrow)
	}
	if big>>32 != 0 || suspect < 0 {
		c.failWhere(func(i int) bool {
			return productOverflows(a[i], b[i]) || outside32(out[i], narrow) < 0
		})
	}
}

func productOverflows(a, b int64) bool {
	high, low := bits.Mul64(magnitude(a), magnitude(b))
	if a < 0 != (b < 0) {
		return high != 0 || low > 1<<63
	}
	return high != 0 || low >= 1<<63
}

func magnitude(v int64) uint64 {
	if v < 0 {
		return -uint64(v)
	}
	return uint64(v)
}

// divideInts gives null for division by zero, as DuckDB does.
func divideInts(c *call, narrow, remainder bool) {
	out, a, b := c.out.col.Ints[:c.n], c.ints(0), c.ints(1)
	least := int64(math.MinInt64)
	if narrow {
		least = math.MinInt32
	}
	for i := range out {
		switch {
		case b[i] == 0:
			c.out.col.Valid.Clear(i)
		case b[i] == -1 && a[i] == least:
			if c.valid(i) {
				c.fail(i, 0)
			}
		case remainder:
			out[i] = a[i] % b[i]
		default:
			out[i] = a[i] / b[i]
		}
	}
}

// failWhere fails the valid rows that bad picks, for the kernel's first message.
func (c *call) failWhere(bad func(row int) bool) {
	for i := range c.n {
		if c.valid(i) && bad(i) {
			c.fail(i, 0)
		}
	}
}

// intsChecked maps integers; f reports false for what overflows.
func intsChecked(name string, f func(int64) (int64, bool)) *kernel {
	return &kernel{name: name, why: []string{overflow}, run: func(c *call) {
		out, in := c.out.col.Ints[:c.n], c.ints(0)
		for i := range out {
			v, ok := f(in[i])
			out[i] = v
			if !ok && c.valid(i) {
				c.fail(i, 0)
			}
		}
	}}
}

func negateKernel(k feature.Kind) *kernel {
	switch k {
	case feature.KindInt32:
		return intsChecked("negate", func(v int64) (int64, bool) { return -v, v != math.MinInt32 })
	case feature.KindInt64:
		return intsChecked("negate", func(v int64) (int64, bool) { return -v, v != math.MinInt64 })
	default:
		return floatsTo("negate", func(v float64) float64 { return -v })
	}
}

// floatsTo maps floats; a float32 result is rounded.
func floatsTo(name string, f func(float64) float64) *kernel {
	return &kernel{name: name, run: func(c *call) {
		out := c.out.col.Floats[:c.n]
		for i, v := range c.floats(0) {
			out[i] = f(v)
		}
		if c.out.col.Type.Kind == feature.KindFloat32 {
			roundFloat32(c)
		}
	}}
}

func floatsToBool(name string, f func(float64) bool) *kernel {
	return &kernel{name: name, run: func(c *call) {
		out := c.out.col.Bools[:c.n]
		for i, v := range c.floats(0) {
			out[i] = f(v)
		}
	}}
}

// domain says which of a kernel's messages fits v, or -1 when v is allowed.
type domain func(v float64) int

func floatsWithin(name string, f func(float64) float64, outside domain, why ...string) *kernel {
	return &kernel{name: name, why: why, run: func(c *call) {
		out := c.out.col.Floats[:c.n]
		for i, v := range c.floats(0) {
			out[i] = f(v)
			if m := outside(v); m >= 0 && c.valid(i) {
				c.fail(i, m)
			}
		}
	}}
}

const (
	rootOfNegative = "square root of a negative number"
	logOfZero      = "logarithm of zero"
	logOfNegative  = "logarithm of a negative number"
	logOfBaseOne   = "logarithm to base one"
	infiniteAngle  = "angle is infinite"
	outsideUnit    = "number outside [-1, 1]"
)

func infinite(v float64) int  { return -int(boolInt(!math.IsInf(v, 0))) }
func beyondOne(v float64) int { return -int(boolInt(v >= -1 && v <= 1 || v != v)) }

func logarithm(name string, f func(float64) float64) *kernel {
	return floatsWithin(name, f, logDomain, logOfZero, logOfNegative)
}

func logDomain(v float64) int {
	switch {
	case v == 0:
		return 0
	case v < 0:
		return 1
	}
	return -1
}

var kernelLogBase = &kernel{name: "log base", why: []string{logOfZero, logOfNegative, logOfBaseOne}, run: func(c *call) {
	out, base, x := c.out.col.Floats[:c.n], c.floats(0), c.floats(1)
	for i := range out {
		out[i] = log10(x[i]) / log10(base[i])
		m := max(logDomain(base[i]), logDomain(x[i]))
		if base[i] == 1 {
			m = max(m, 2)
		}
		if m >= 0 && c.valid(i) {
			c.fail(i, m)
		}
	}
}}

func floatPairTo(name string, f func(a, b float64) float64) *kernel {
	return &kernel{name: name, run: func(c *call) {
		out, a, b := c.out.col.Floats[:c.n], c.floats(0), c.floats(1)
		for i := range out {
			out[i] = f(a[i], b[i])
		}
	}}
}

func signKernel(layout feature.Layout) *kernel {
	return &kernel{name: "sign", run: func(c *call) {
		out := c.out.col.Ints[:c.n]
		for i := range out {
			var positive, negative bool
			if layout == feature.LayoutInt {
				positive, negative = c.ints(0)[i] > 0, c.ints(0)[i] < 0
			} else {
				positive, negative = c.floats(0)[i] > 0, c.floats(0)[i] < 0
			}
			out[i] = boolInt(positive) - boolInt(negative)
		}
	}}
}

// floatsAtDigits rounds after so many decimals by f, which rounds to a whole
// number. What would overflow on the way has no decimals to lose.
func floatsAtDigits(name string, f func(float64) float64) *kernel {
	return &kernel{name: name, run: func(c *call) {
		out, digits := c.out.col.Floats[:c.n], c.ints(1)
		for i, v := range c.floats(0) {
			out[i] = atDigits(v, digits[i], f)
		}
		if c.out.col.Type.Kind == feature.KindFloat32 {
			roundFloat32(c)
		}
	}}
}

func atDigits(v float64, digits int64, f func(float64) float64) float64 {
	if digits < 0 {
		scale := math.Pow(10, float64(-digits))
		if r := f(v/scale) * scale; !math.IsInf(r, 0) && !math.IsNaN(r) {
			return r
		}
		return 0 // as DuckDB, even for infinity
	}
	scale := math.Pow(10, float64(digits))
	if r := f(v*scale) / scale; !math.IsInf(r, 0) && !math.IsNaN(r) {
		return r
	}
	return v
}

// kernelRoundInts rounds integers before the decimal point, half away from zero.
func kernelRoundInts(narrow bool) *kernel {
	return &kernel{name: "round", why: []string{overflow}, run: func(c *call) {
		out, in, digits := c.out.col.Ints[:c.n], c.ints(0), c.ints(1)
		for i := range out {
			v, ok := roundInt(in[i], digits[i])
			out[i] = v
			if (!ok || outside32(v, narrow) < 0) && c.valid(i) {
				c.fail(i, 0)
			}
		}
	}}
}

func roundInt(v, digits int64) (int64, bool) {
	if digits >= 0 {
		return v, true
	}
	if digits < -18 {
		return 0, true
	}
	scale := int64(1)
	for range -digits {
		scale *= 10
	}
	whole, rest := v/scale*scale, v%scale
	if magnitude(rest) < uint64(scale)/2 {
		return whole, true
	}
	if v < 0 {
		return whole - scale, whole >= math.MinInt64+scale
	}
	return whole + scale, whole <= math.MaxInt64-scale
}
