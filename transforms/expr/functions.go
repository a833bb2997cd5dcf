package expr

import (
	"maps"
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

// functions is the table: one map for each family, in a file of its own. Adding a
// function is adding an entry there.
var functions = merged(numberFunctions, textFunctions, timeFunctions, choiceFunctions, ownFunctions, listFunctions, jsonFunctions)

func merged(families ...map[string]function) map[string]function {
	all := make(map[string]function)
	for _, family := range families {
		maps.Copy(all, family)
	}
	return all
}

// aliases are second names.
var aliases = map[string]string{
	"ceiling": "ceil", "power": "pow", "substr": "substring", "ifnull": "coalesce", "instr": "strpos",
	"prefix": "starts_with", "suffix": "ends_with", "len": "length", "char_length": "length",
	"list_element": "list_extract", "array_extract": "list_extract", "array_slice": "list_slice",
	"list_has": "list_contains", "array_has": "list_contains", "array_contains": "list_contains",
	"list_indexof": "list_position", "array_position": "list_position", "array_indexof": "list_position",
	"list_cat": "list_concat", "array_cat": "list_concat", "array_concat": "list_concat",
	"array_append": "list_append", "array_push_back": "list_append", "array_prepend": "list_prepend",
	"list_dot_product": "list_inner_product", "list_negative_dot_product": "list_negative_inner_product",
	"json_extract_path": "json_extract", "json_extract_path_text": "json_extract_string",
	"extract": "date_part", "datepart": "date_part", "datetrunc": "date_trunc", "date_diff": "datediff", "lcase": "lower", "ucase": "upper",
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
