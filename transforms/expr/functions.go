package expr

import (
	"math"
	"slices"

	"millrace/feature"
)

// function is one entry of the language's table: what it is called with, and
// either the overloads or, for what overloads cannot say, a builder.
type function struct {
	usage     string
	overloads []overload
	build     func(c *checker, n *Node, args []*Expr) *Expr
}

// overload is one list of parameter kinds. A nil kernel returns the operand.
type overload struct {
	in     []feature.Kind
	out    feature.Kind
	kernel *kernel
}

const (
	i32 = feature.KindInt32
	i64 = feature.KindInt64
	f32 = feature.KindFloat32
	f64 = feature.KindFloat64
	str = feature.KindString
	tim = feature.KindTimestamp
	boo = feature.KindBool
)

func on(out feature.Kind, k *kernel, in ...feature.Kind) overload {
	return overload{in: in, out: out, kernel: k}
}

func overloaded(usage string, os ...overload) function {
	return function{usage: usage, overloads: os}
}

func floats1(usage string, k *kernel) function { return overloaded(usage, on(f64, k, f64)) }

// floats12 keeps float32.
func floats12(usage string, k *kernel) function {
	return overloaded(usage, on(f32, k, f32), on(f64, k, f64))
}

func text1(usage string, k *kernel) function { return overloaded(usage, on(str, k, str)) }

func trims(name string, blank func(*call, string) string, set func(*call, string, string) string) function {
	return overloaded(name+"(text[, characters])", on(str, textTo(name, blank), str), on(str, textPairTo(name, set), str, str))
}

func textTest(name string, f func(s, t string) bool) function {
	return overloaded(name+"(text, part)", on(boo, textPairToBool(name, f), str, str))
}

func rounds(name string, toWhole func(float64) float64, ints overload, longs overload) function {
	plain, digits := floatsTo(name, toWhole), floatsAtDigits(name, toWhole)
	return overloaded(name+"(x[, digits])",
		on(i32, nil, i32), on(i64, nil, i64), on(f32, plain, f32), on(f64, plain, f64),
		ints, longs, on(f32, digits, f32, i32), on(f64, digits, f64, i32))
}

func built(usage string, build func(c *checker, n *Node, args []*Expr) *Expr) function {
	return function{usage: usage, build: build}
}

// functions is the table. Adding a function is adding an entry.
var functions = map[string]function{
	"abs": overloaded("abs(x)",
		on(i32, intsChecked("abs", func(v int64) (int64, bool) { return max(v, -v), v != math.MinInt32 }), i32),
		on(i64, intsChecked("abs", func(v int64) (int64, bool) { return max(v, -v), v != math.MinInt64 }), i64),
		on(f32, floatsTo("abs", math.Abs), f32), on(f64, floatsTo("abs", math.Abs), f64)),
	"sign": overloaded("sign(x)", on(i32, signKernel(feature.LayoutInt), i32), on(i32, signKernel(feature.LayoutInt), i64),
		on(i32, signKernel(feature.LayoutFloat), f64)),
	"floor": floats12("floor(x)", floatsTo("floor", math.Floor)),
	"ceil":  floats12("ceil(x)", floatsTo("ceil", math.Ceil)),
	"round": rounds("round", math.Round, on(i32, kernelRoundInts(true), i32, i32), on(i64, kernelRoundInts(false), i64, i32)),
	"trunc": overloaded("trunc(x)", on(i32, nil, i32), on(i64, nil, i64),
		on(f32, floatsTo("trunc", math.Trunc), f32), on(f64, floatsTo("trunc", math.Trunc), f64)),
	"sqrt": floats1("sqrt(x)", floatsWithin("sqrt", math.Sqrt,
		func(v float64) int { return -int(boolInt(v >= 0 || v != v)) }, rootOfNegative)),
	"ln":    floats1("ln(x)", logarithm("ln", math.Log)),
	"log10": floats1("log10(x)", logarithm("log10", math.Log10)),
	"log2":  floats1("log2(x)", logarithm("log2", math.Log2)),
	"log":   overloaded("log([base, ]x)", on(f64, logarithm("log10", math.Log10), f64), on(f64, kernelLogBase, f64, f64)),
	"exp":   floats1("exp(x)", floatsTo("exp", math.Exp)),
	"pow":   overloaded("pow(x, y)", on(f64, kernelPow, f64, f64)),
	"isnan": overloaded("isnan(x)", on(boo, floatsToBool("isnan", math.IsNaN), f64)),
	"isinf": overloaded("isinf(x)", on(boo, floatsToBool("isinf", func(v float64) bool { return math.IsInf(v, 0) }), f64)),

	"greatest": built("greatest(x, …)", func(c *checker, n *Node, args []*Expr) *Expr { return c.extreme(n, args, false) }),
	"least":    built("least(x, …)", func(c *checker, n *Node, args []*Expr) *Expr { return c.extreme(n, args, true) }),
	"coalesce": built("coalesce(x, …)", (*checker).coalesce),
	"nullif":   built("nullif(x, y)", (*checker).nullif),

	"lower":       text1("lower(text)", textTo("lower", lower)),
	"upper":       text1("upper(text)", textTo("upper", upper)),
	"trim":        trims("trim", trimBlank, trimSet),
	"ltrim":       trims("ltrim", trimLeftBlank, trimLeftSet),
	"rtrim":       trims("rtrim", trimRightBlank, trimRightSet),
	"length":      overloaded("length(text)", on(i64, kernelLength, str)),
	"substring":   overloaded("substring(text, from[, length])", on(str, kernelSubstring, str, i64), on(str, kernelSubstring, str, i64, i64)),
	"replace":     overloaded("replace(text, from, to)", on(str, kernelReplace, str, str, str)),
	"starts_with": textTest("starts_with", hasPrefix),
	"ends_with":   textTest("ends_with", hasSuffix),
	"contains":    textTest("contains", containsText),
	"strpos":      overloaded("strpos(text, part)", on(i64, kernelPosition, str, str)),
	"split_part":  overloaded("split_part(text, separator, n)", on(str, kernelSplitPart, str, str, i64)),
	"md5":         text1("md5(text)", textTo("md5", md5Hex)),
	"concat":      built("concat(x, …)", (*checker).concat),
	"concat_ws":   built("concat_ws(separator, x, …)", (*checker).concatWS),

	"now":          built("now()", func(c *checker, n *Node, args []*Expr) *Expr { return c.clock(n, args, Now()) }),
	"event_time":   built("event_time()", func(c *checker, n *Node, args []*Expr) *Expr { return c.clock(n, args, EventTime()) }),
	"epoch":        overloaded("epoch(time)", on(f64, kernelEpoch, tim)),
	"epoch_ms":     overloaded("epoch_ms(time)", on(i64, timesTo("epoch_ms", func(v int64) int64 { return v / 1000 }), tim), on(tim, kernelFromMillis, i64)),
	"to_timestamp": overloaded("to_timestamp(seconds)", on(tim, kernelToTimestamp, f64)),
	"date_trunc":   built("date_trunc('day', time)", (*checker).datePart),
	"date_part":    built("date_part('hour', time)", (*checker).datePart),
}

// aliases are second names.
var aliases = map[string]string{
	"ceiling": "ceil", "power": "pow", "substr": "substring", "ifnull": "coalesce", "instr": "strpos",
	"prefix": "starts_with", "suffix": "ends_with", "len": "length", "char_length": "length",
	"extract": "date_part", "datepart": "date_part", "datetrunc": "date_trunc", "lcase": "lower", "ucase": "upper",
}

func functionNames() []string {
	names := make([]string, 0, len(functions)+len(aliases))
	for name := range functions {
		names = append(names, name)
	}
	for name := range aliases {
		names = append(names, name)
	}
	slices.Sort(names) // so that hints do not vary
	return names
}
