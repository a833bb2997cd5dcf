package expr

import (
	"math"

	"millrace/feature"
)

// numberFunctions are the functions of numbers.
var numberFunctions = map[string]function{
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
	"ln":    floats1("ln(x)", logarithm("ln", ln)),
	"log10": floats1("log10(x)", logarithm("log10", log10)),
	"log2":  floats1("log2(x)", logarithm("log2", log2)),
	"log":   overloaded("log([base, ]x)", on(f64, logarithm("log10", log10), f64), on(f64, kernelLogBase, f64, f64)),
	"exp":   floats1("exp(x)", floatsTo("exp", math.Exp)),
	"pow":   overloaded("pow(x, y)", on(f64, floatPairTo("pow", pow), f64, f64)),
	"isnan": overloaded("isnan(x)", on(boo, floatsToBool("isnan", math.IsNaN), f64)),
	"isinf": overloaded("isinf(x)", on(boo, floatsToBool("isinf", func(v float64) bool { return math.IsInf(v, 0) }), f64)),

	"pi":      built("pi()", func(c *checker, n *Node, args []*Expr) *Expr { return c.clock(n, args, constFloat(math.Pi)) }),
	"sin":     floats1("sin(x)", floatsWithin("sin", math.Sin, infinite, infiniteAngle)),
	"cos":     floats1("cos(x)", floatsWithin("cos", math.Cos, infinite, infiniteAngle)),
	"tan":     floats1("tan(x)", floatsWithin("tan", math.Tan, infinite, infiniteAngle)),
	"asin":    floats1("asin(x)", floatsWithin("asin", math.Asin, beyondOne, outsideUnit)),
	"acos":    floats1("acos(x)", floatsWithin("acos", acos, beyondOne, outsideUnit)),
	"atan":    floats1("atan(x)", floatsTo("atan", math.Atan)),
	"atan2":   overloaded("atan2(y, x)", on(f64, floatPairTo("atan2", atan2), f64, f64)),
	"radians": floats1("radians(x)", floatsTo("radians", func(v float64) float64 { return v * (math.Pi / 180) })),
	"degrees": floats1("degrees(x)", floatsTo("degrees", func(v float64) float64 { return v * (180 / math.Pi) })),
}
