package main

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"millrace/feature"
	"millrace/transforms/expr"
)

// difference is a deliberate one: a row of the table in docs/expressions.md. It
// explains a conflict of one expression whose operands agree in both engines,
// or, with spelled set, it is one that (*expr.Node).SQL writes away.
type difference struct {
	id        string
	example   string // shows it on row 0 of any row set
	spelled   bool
	optimizer bool // runs switch it off
	explains  func(c *conflict) bool
}

// differences is the table in code. A test holds it to the one in the documents.
var differences = []difference{
	{id: "decimals", example: "1.5 + a", spelled: true},
	{id: "sign", example: "sign(a)", spelled: true},
	{id: "zones", example: "cast('2024-05-01 12:00:00+02:00' as timestamp)", spelled: true},
	{id: "json-length", example: "json_array_length(j)", spelled: true},
	{id: "clocks", example: "event_time()", spelled: true},
	{id: "timezone", example: "timezone('Europe/Berlin', t)", spelled: true},
	{id: "own", example: "bucketize(a, [1, 5]) + hash_bucket(s, 3) + cast(haversine_km(1, 2, 3, 4) as int)", spelled: true},
	{id: "zone-literals", example: "timestamp '2024-05-01' = '2024-05-01 02:00:00+02:00'", explains: zoneLiterals},
	{id: "to-timestamp", example: "to_timestamp(1)", spelled: true},
	{id: "last-bits", example: "exp(24.625)", explains: lastBits},
	{id: "undecided", example: "false and cast('x' as bool)", explains: undecided},
	{id: "early", example: "case when false then 'a' like substr('b', cast('x' as int)) end", explains: func(c *conflict) bool { return failsEarly(c.refused) }},
	{id: "optimizer", example: "a + 1 > 0", optimizer: true},
	{id: "null-operand", example: "cast(null as integer) + cast('x' as integer)", explains: nullOperand},
	{id: "null-type", example: "'' || cast(null as varchar)", explains: nullType},
	{id: "round-overflow", example: "round(2147483647, -1)", explains: roundOverflow},
	{id: "half-above", example: "cast(2147483647.5 as integer)", explains: halfAbove},
	{id: "nan-sign", example: "cast(cast('inf' as double) - cast('inf' as double) as varchar)", explains: nanSign},
	{id: "float-digits", example: "cast(cast('3.808944128e+09' as float) as varchar)", explains: floatDigits},
	{id: "infinity", example: "cast('infinity' as timestamp)", explains: infinity},
	{id: "named-zones", example: "cast('2024-05-01 12:00:00 Europe/Berlin' as timestamp)", explains: namedZones},
	{id: "zero-byte", example: "decode('a\\x00b'::blob) ilike decode('a\\x00b'::blob)", explains: zeroByte},
	{id: "json", example: "cast('[NaN]' as json)", explains: laxJSON},
	{id: "zero-sign", example: "greatest(cast('-0' as float), cast('-1' as float))", explains: zeroSign},
	{id: "neighbours", example: "cast([lb, lb][1][2:2] as int[])", explains: neighbours},
	{id: "list-sum", example: "list_sum([1, 2])", explains: listSum},
	{id: "far-times", example: "cast('294246-12-31 23:59:59.999999' as timestamp)", explains: farTimes},
	{id: "lone-sign", example: "cast('- ' as integer)", explains: loneSign},
	{id: "least-literals", example: "-(-9223372036854775808)", explains: leastLiterals},
}

// explained returns the id of the difference that c is an instance of, or "".
func explained(c *conflict) string {
	for _, d := range differences {
		if d.explains != nil && d.explains(c) {
			return d.id
		}
	}
	return ""
}

func (c *conflict) label() string { return c.expression.node.Label() }

// here and there report a failure or null on one side and a value on the other.
func (c *conflict) failsHere() bool { return c.refused == nil && c.ours.failed && !c.theirs.failed }

func (c *conflict) failsThere() bool { return c.refused == nil && !c.ours.failed && c.theirs.failed }

// noValueHere covers try_cast, whose failure is null.
func (c *conflict) noValueHere() bool {
	return c.refused == nil && (c.ours.failed || c.ours.value == nil) && !c.theirs.failed && c.theirs.value != nil
}

func (c *conflict) anyFailed() bool {
	for _, v := range c.values {
		if v.failed {
			return true
		}
	}
	return false
}

// hasInterval: an interval cannot be asked for by itself, so whether it fails is
// not known.
func (c *conflict) hasInterval() bool {
	return slices.ContainsFunc(c.expression.node.Operands(), func(k *expr.Node) bool {
		_, err := parse(k.String())
		return err != nil
	})
}

var transcendental = map[string]bool{
	"ln(": true, "log(": true, "log2(": true, "log10(": true, "exp(": true, "pow(": true, "power(": true,
	"sin(": true, "cos(": true, "tan(": true, "asin(": true, "acos(": true, "atan(": true, "atan2(": true, "haversine_km(": true,
}

// lastBits allows 64 steps of float64 between the two.
func lastBits(c *conflict) bool {
	x, okX := c.ours.value.(float64)
	y, okY := c.theirs.value.(float64)
	return transcendental[c.label()] && okX && okY && x != 0 && math.Signbit(x) == math.Signbit(y) &&
		math.Abs(float64(int64(math.Float64bits(x))-int64(math.Float64bits(y)))) <= 64
}

var lazy = map[string]bool{"and": true, "or": true, "in": true, "between": true}

// undecided: as a value DuckDB computes every operand of these; as a condition
// of case it stops at the first that is not true.
func undecided(c *conflict) bool {
	if lazy[c.label()] {
		return c.failsThere() && (c.anyFailed() || c.hasInterval())
	}
	if c.label() != "case" || !c.failsHere() {
		return false
	}
	for i, v := range c.values {
		if v.failed && slices.ContainsFunc(parts(c.operands[i]), func(e expression) bool { return lazy[e.node.Label()] }) {
			return true
		}
	}
	return false
}

// nullOperand: DuckDB computes what has no columns before it looks at a row.
func nullOperand(c *conflict) bool {
	if c.label() == "haversine_km(" && c.failsThere() && c.ours.value == nil {
		return true // and an infinite angle
	}
	if !c.failsHere() || c.theirs.value != nil || !c.anyFailed() && !c.hasInterval() {
		return false
	}
	for i, v := range c.values {
		if !v.failed && v.value == nil && (c.label() == "split_part(" || slices.ContainsFunc(parts(c.operands[i]), constantNull)) {
			return true
		}
	}
	return false
}

// nullType: what has no columns and is null may lose its type.
func nullType(c *conflict) bool {
	return c.refused == nil && c.ours.same(c.theirs) && c.ours.value == nil &&
		slices.ContainsFunc(c.operands, func(e expression) bool { return slices.ContainsFunc(parts(e), constantNull) })
}

func constantNull(e expression) bool {
	if len(expr.Names(e.node)) > 0 || expr.Uses(e.node, "now") || expr.Uses(e.node, "event_time") {
		return false
	}
	c := compute([]expression{e}, expr.Input{Rows: 1})[0][0]
	return !c.failed && c.value == nil
}

// roundOverflow: DuckDB wraps around where the rounded number does not fit.
func roundOverflow(c *conflict) bool {
	v, okV := value[int64](c, 0)
	digits, okD := value[int64](c, 1)
	_, whole := c.theirs.value.(int64)
	limit := math.Ldexp(1, 63)
	if c.expression.typed.Type().Kind == feature.KindInt32 {
		limit = math.Ldexp(1, 31)
	}
	return c.label() == "round(" && okV && okD && whole && math.Abs(float64(v))+math.Pow(10, float64(-digits)) >= limit
}

// farTimes: by way of TIMESTAMPTZ the far ends are off by a millisecond.
func farTimes(c *conflict) bool {
	x, okX := c.ours.value.(int64)
	y, okY := c.theirs.value.(int64)
	switch {
	case c.failsThere():
		y, okY = x, okX
	case c.failsHere():
		x, okX = y, okY
	}
	return (c.label() == "cast timestamp" || c.label() == "timezone(" || c.label() == "to_timestamp(") && okX && okY && math.Abs(float64(x)) > 6e18 && x-y <= 1000 && y-x <= 1000
}

var sign = regexp.MustCompile(`^\s*[+-]\s+$`)

func loneSign(c *conflict) bool {
	if text, ok := value[string](c, 0); ok {
		return strings.HasPrefix(c.label(), "cast int") && c.noValueHere() && sign.MatchString(text)
	}
	all, ok := value[[]any](c, 0)
	return ok && strings.HasPrefix(c.label(), "cast list<int") && slices.ContainsFunc(all, func(v any) bool {
		text, ok := v.(string)
		return ok && sign.MatchString(text)
	})
}

func halfAbove(c *conflict) bool {
	v, ok := value[float64](c, 0)
	if text, isText := value[string](c, 0); isText { // JSON
		parsed, err := strconv.ParseFloat(text, 64)
		v, ok = parsed, err == nil
	}
	return ok && strings.HasPrefix(c.label(), "cast int") && c.noValueHere() && (math.RoundToEven(v) == 1<<31 || math.RoundToEven(v) == 1<<63)
}

// value is operand i, when it has that Go type.
func value[T any](c *conflict, i int) (T, bool) {
	var none T
	if i >= len(c.values) || c.values[i].failed {
		return none, false
	}
	v, ok := c.values[i].value.(T)
	return v, ok
}

var printing = map[string]bool{"cast string": true, "cast list<string>": true, "concat(": true, "concat_ws(": true}

// textOf explains text, or lists of it, equal once both are rewritten.
func textOf(rewrite func(string) string) func(*conflict) bool {
	return func(c *conflict) bool {
		return printing[c.label()] && c.refused == nil && !c.ours.failed && !c.theirs.failed &&
			sameValue(rewritten(c.ours.value, rewrite), rewritten(c.theirs.value, rewrite))
	}
}

func rewritten(v any, rewrite func(string) string) any {
	switch x := v.(type) {
	case string:
		return rewrite(x)
	case []any:
		all := make([]any, len(x))
		for i, e := range x {
			all[i] = rewritten(e, rewrite)
		}
		return all
	}
	return v
}

// nanSign: DuckDB prints the sign of NaN, which nothing else shows.
func nanSign(c *conflict) bool {
	if v, ok := value[float64](c, 0); ok && math.IsNaN(v) && c.label() == "hash_bucket(" {
		return true // which hashes the text
	}
	return textOf(func(s string) string { return strings.ReplaceAll(s, "-nan", "nan") })(c)
}

func floatDigits(c *conflict) bool {
	narrow := slices.ContainsFunc(c.operands, func(e expression) bool { return e.typed.Type().Kind == feature.KindFloat32 })
	if narrow && c.label() == "hash_bucket(" {
		return true // which hashes the text
	}
	return narrow && textOf(withoutDigits)(c)
}

// withoutDigits is what is left of a text of which numbers may differ.
func withoutDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, s)
}

func castsText(c *conflict, kind string) (string, bool) {
	text, ok := value[string](c, 0)
	return text, ok && c.label() == "cast "+kind && c.noValueHere()
}

var (
	infinite  = regexp.MustCompile(`(?i)^\s*-?inf(inity)?\s*$`)
	namedZone = regexp.MustCompile(`\d ?[A-Za-z][A-Za-z_/+-]*\s*$`)
)

func infinity(c *conflict) bool {
	text, ok := castsText(c, "timestamp")
	return ok && infinite.MatchString(text)
}

func namedZones(c *conflict) bool {
	text, ok := castsText(c, "timestamp")
	return ok && namedZone.MatchString(text)
}

var (
	zoned    = regexp.MustCompile(`:\d\d.*([+-]\d\d|Z)`)
	comparer = regexp.MustCompile(`^(=|<>|<|<=|>|>=|in|between|is distinct from|case|nullif\(|date_?diff\()$`)
)

// zoneLiterals: beside a time DuckDB reads text as a TIMESTAMP, without its zone.
func zoneLiterals(c *conflict) bool {
	return comparer.MatchString(c.label()) && slices.ContainsFunc(c.operands, func(e expression) bool {
		return e.node.Label() == "text" && zoned.MatchString(e.text)
	})
}

func laxJSON(c *conflict) bool {
	return c.label() == "cast json" && c.noValueHere() || c.label() == "json_valid(" && c.ours.value == false && c.theirs.value == true
}

func zeroSign(c *conflict) bool {
	return (c.label() == "greatest(" || c.label() == "least(") && sameValue(unsigned(c.ours.value), unsigned(c.theirs.value))
}

// unsigned is v with zeros that have no sign.
func unsigned(v any) any {
	switch x := v.(type) {
	case float64:
		return x + 0
	case []any:
		all := make([]any, len(x))
		for i, e := range x {
			all[i] = unsigned(e)
		}
		return all
	}
	return v
}

var vectors = regexp.MustCompile(`^list_(negative_)?(distance|inner_product|dot_product|cosine_similarity|cosine_distance)\($`)

func zeroByte(c *conflict) bool {
	text, ok := value[string](c, 0)
	return ok && c.label() == "ilike" && strings.Contains(text, "\x00")
}

// neighbours: DuckDB looks at all elements that a batch of lists has in memory.
func neighbours(c *conflict) bool {
	if c.whole {
		return c.failsThere() && slices.ContainsFunc(parts(c.expression), func(e expression) bool { return looksAround(e.node.Label()) })
	}
	if strings.HasPrefix(c.label(), "cast list") {
		return c.failsThere() || c.refused == nil && c.theirs.value == nil
	}
	return looksAround(c.label()) && c.failsThere()
}

func looksAround(label string) bool {
	return vectors.MatchString(label) || strings.HasPrefix(label, "cast list")
}

// listSum: DuckDB's has 128 bits.
func listSum(c *conflict) bool {
	digits, ok := c.theirs.value.(string)
	if c.label() != "list_sum(" || c.theirType != "HUGEINT" {
		return false
	}
	if !ok {
		return c.ours.same(c.theirs)
	}
	v, err := strconv.ParseInt(digits, 10, 64)
	return err != nil && c.ours.failed || err == nil && c.ours.value == v
}

// leastLiterals: DuckDB reads sign and digits as one literal, whose type depends
// on what stands beside it.
func leastLiterals(c *conflict) bool {
	if c.label() == "-" {
		return c.ours.failed && c.operands[0].text == "-9223372036854775808"
	}
	return c.refused == nil && c.theirType == "INTEGER" && c.expression.typed.Type().Kind == feature.KindInt64 &&
		slices.ContainsFunc(c.operands, func(e expression) bool { return e.text == "-2147483648" })
}
