// Package exprtest generates expressions and values for property tests: of the
// expression language, and of what is built of it.
package exprtest

import (
	"math"
	"strings"

	"pgregory.net/rapid"

	"millrace/feature"
)

// Fields are the columns that generated expressions name.
func Fields() []feature.Field {
	return []feature.Field{
		{Name: "a", Type: feature.Of(feature.KindInt32)},
		{Name: "b", Type: feature.Of(feature.KindInt64)},
		{Name: "f", Type: feature.Of(feature.KindFloat32)},
		{Name: "g", Type: feature.Of(feature.KindFloat64)},
		{Name: "s", Type: feature.Of(feature.KindString)},
		{Name: "p", Type: feature.Of(feature.KindBool)},
		{Name: "t", Type: feature.Of(feature.KindTimestamp)},
		{Name: "l", Type: feature.ListOf(feature.Of(feature.KindInt64))},
		{Name: "m", Type: feature.ListOf(feature.Of(feature.KindFloat32))},
		{Name: "j", Type: feature.Of(feature.KindJSON)},
	}
}

// The sorts of expressions, by what comes out.
const (
	Number = 'n'
	Text   = 's'
	Bool   = 'p'
	Time   = 't'
	List   = 'l' // of numbers
	JSON   = 'j'
)

// Sorts lists them all.
func Sorts() []byte { return []byte{Number, Text, Bool, Time, List, JSON} }

// forms are templates by sort; $n is an operand of sort n.
//
//nolint:gochecknoglobals // a table, never written to
var forms = map[byte][]string{
	'n': {
		"a", "b", "f", "g", "1", "0", "2147483647", "9223372036854775807", "2.5", "1e300", "-$n", "$n + $n", "$n - $n", "$n * $n", "$n / $n",
		"$n // $n", "$n % $n", "abs($n)", "sign($n)", "floor($n)", "round($n)", "round($n, a)", "sqrt($n)", "ln($n)", "exp($n)", "pow($n, $n)",
		"cast($n as int32)", "cast($n as float32)", "try_cast($n as int64)", "cast($s as float64)", "try_cast($s as int32)", "cast($p as int32)",
		"length($s)", "strpos($s, $s)", "epoch($t)", "date_part('week', $t)", "case when $p then $n else $n end", "coalesce($n, $n)",
		"nullif($n, $n)", "greatest($n, $n, $n)", "least($n, $n)", "case $n when $n then $n when $n then $n end",
		"len($l)", "$l[a]", "list_sum($l)", "list_avg($l)", "list_max($l)", "list_min($l || $l)", "list_position($l, $n)", "list_distance($l, $l)",
		"list_cosine_similarity($l, $l)", "list_max([$l, $l])[a]", "json_array_length($j, '/0')", "cast($j as float64)", "try_cast($j as int32)",
		"sin($n)", "acos($n)", "atan2($n, $n)", "bucketize($n, [1, 2.5, 7])", "hash_bucket($s, 7)", "haversine_km($n, $n, $n, $n)",
		"datediff('week', $t, $t)", "datediff('us', $t, $t)", "epoch($t - $t)", "date_part('day', $t - $t)", "date_part('julian', $t)",
	},
	's': {
		"s", "'a'", "''", "'12'", "'%é_'", "lower($s)", "upper($s)", "trim($s)", "$s || $s", "substring($s, a, 3)", "replace($s, $s, $s)",
		"split_part($s, 'a', a)", "concat($s, $n, $p, $t)", "concat_ws($s, $s, $n)", "cast($n as string)", "cast($p as string)",
		"case when $p then $s when $p then $s end", "coalesce($s, $s)", "nullif($s, $s)", "md5($s)", "greatest($s, $s)",
		"$s[a]", "$s[a:b]", "cast($l as string)", "cast([$s, $s] as string)", "[$s, $s][a]", "$j ->> 'a'", "$j ->> '/0'", "cast($j as string)",
		"regexp_extract($s, '(a)|b', 1)", "geohash($n, $n, 5)", "cast($t as string)",
	},
	'p': {
		"p", "true", "false", "$n < $n", "$n = $n", "$n >= $n", "$s = $s", "$s <> $s", "$s <= $s", "$t > $t", "$p and $p", "$p or $p", "not $p",
		"$n is null", "$s is not null", "l is null", "$n is distinct from $n", "$s is not distinct from $s", "$n in (1, 2.5, $n)", "$s in ('a', 's', null)",
		"$n not between $n and $n", "$s like $s", "$s ilike 'A%'", "isnan($n)", "starts_with($s, $s)", "contains($s, $s)", "cast($n as bool)",
		"try_cast($s as bool)", "case when $p then $p end", "coalesce($p, $p)", "$p is true", "$p = $p",
		"$l = $l", "$l < $l", "$l is distinct from $l", "$l in ($l, $l)", "list_contains($l, $n)", "contains([$s, $s], $s)", "$l is null", "json_exists($j, 'a')",
		"json_valid($s)", "try_cast($j as bool)",
		"regexp_matches($s, '^a')", "$t - $t < interval 3 day", "($t - $t) * a between interval (b) day and interval '1 month'",
	},
	't': {
		"t", "now()", "event_time()", "timestamp '2024-05-01'", "date_trunc('day', $t)", "to_timestamp($n)", "coalesce($t, $t)", "try_cast($s as timestamp)",
		"$t + interval '1 month 1 day'", "$t - interval ($n) hour", "timezone('Europe/Berlin', $t)", "date_trunc('decade', $t)", "$t + ($t - $t)",
	},
	'l': {
		"l", "m", "[1, null, 3]", "[]", "[$n, $n]", "$l || $l", "list_concat($l, $l)", "$l[a:b]", "list_append($l, $n)", "coalesce($l, $l)", "nullif($l, $l)",
		"case when $p then $l else $l end", "greatest($l, $l)", "cast($l as list<int32>)", "try_cast($l as list<float32>)", "list_min([$l, $l])",
		"cast($j as list<float64>)", "try_cast($j as list<int64>)",
	},
	'j': {
		"j", "$j -> 'a'", "$j -> a", "$j -> '/a/0'", "cast($l as json)", "cast($n as json)", "try_cast($s as json)", "cast([$s] as json)", "case when $p then $j else $j end",
	},
}

// Grammar draws texts of expressions. The zero Grammar names Fields.
type Grammar struct {
	Names map[byte][]string // more columns, by sort
	NoNow bool              // now() does not occur
}

// Draw returns the text of an expression of a sort, nested at most so deep. It
// parses; whether types agree is for the checker to say.
func (g Grammar) Draw(t *rapid.T, sort byte, depth int) string {
	if names := g.Names[sort]; len(names) > 0 && rapid.IntRange(0, 3).Draw(t, "named") == 0 {
		return rapid.SampledFrom(names).Draw(t, "name")
	}
	form := rapid.SampledFrom(forms[sort]).Draw(t, "form")
	for depth <= 0 && strings.Contains(form, "$") || g.NoNow && form == "now()" {
		form = rapid.SampledFrom(forms[sort]).Draw(t, "form")
	}
	var b strings.Builder
	for i := 0; i < len(form); i++ {
		if form[i] == '$' {
			i++
			b.WriteString("(" + g.Draw(t, form[i], depth-1) + ")")
			continue
		}
		b.WriteByte(form[i])
	}
	return b.String()
}

// Values appends rows to c, some null and many of them edges of the type.
func Values(t *rapid.T, c *feature.Column, rows int) {
	for range rows {
		row := c.AppendNull()
		if rapid.IntRange(0, 4).Draw(t, "null") > 0 {
			drawValue(t, c, row)
		}
	}
}

func drawValue(t *rapid.T, c *feature.Column, row int) {
	switch c.Type.Layout() {
	case feature.LayoutBool:
		c.SetBool(row, rapid.Bool().Draw(t, "bool"))
	case feature.LayoutInt:
		edges := rapid.SampledFrom([]int64{0, 1, -1, 3, math.MinInt32, math.MaxInt32})
		if c.Type.Kind != feature.KindInt32 {
			edges = rapid.OneOf(edges, rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64}), rapid.Int64())
		}
		c.SetInt(row, edges.Draw(t, "int"))
	case feature.LayoutFloat:
		v := rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1, -1.5, 2.5, 1e30, math.NaN(), math.Inf(1), math.Inf(-1), 0.1}).Draw(t, "float")
		if c.Type.Kind == feature.KindFloat32 {
			v = float64(float32(v))
		}
		c.SetFloat(row, v)
	case feature.LayoutString:
		if c.Type.Kind == feature.KindJSON {
			c.SetString(row, rapid.SampledFrom([]string{"{}", "null", `{"a": 1.50}`, `{"b":[],"a":[2]}`, `["x\u00e9", null]`, " 7 ", `"12"`, "[[1, 2], 3]"}).Draw(t, "json"))
			return
		}
		c.SetString(row, rapid.SampledFrom([]string{"", "a", "12", " 7.5 ", "ÉßaA", "a%", "2024-05-01", "true", "\xff"}).Draw(t, "text"))
	case feature.LayoutList:
		start := c.Elems.Len()
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			e := c.Elems.AppendNull()
			if rapid.IntRange(0, 6).Draw(t, "null inside") > 0 {
				drawValue(t, c.Elems, e)
			}
		}
		c.SetList(row, start)
	case feature.LayoutNone:
	}
}
