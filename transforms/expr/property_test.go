package expr_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/transforms/expr"
)

// scopeFields are the columns that generated expressions name.
var scopeFields = []feature.Field{
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

type fieldScope []feature.Field

func (s fieldScope) Resolve(name string) (*expr.Expr, bool) {
	for i, f := range s {
		if f.Name == name {
			return expr.Column(i, name, f.Type), true
		}
	}
	return nil, false
}

func (s fieldScope) Names() []string {
	var names []string
	for _, f := range s {
		names = append(names, f.Name)
	}
	return names
}

// forms are templates by result; $n is an operand of kind n, for number, text,
// bool, time, list of numbers or json.
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

func drawText(t *rapid.T, kind byte, depth int) string {
	form := rapid.SampledFrom(forms[kind]).Draw(t, "form")
	for depth <= 0 && strings.Contains(form, "$") {
		form = rapid.SampledFrom(forms[kind]).Draw(t, "form")
	}
	var b strings.Builder
	for i := 0; i < len(form); i++ {
		if form[i] == '$' {
			i++
			b.WriteString("(" + drawText(t, form[i], depth-1) + ")")
			continue
		}
		b.WriteByte(form[i])
	}
	return b.String()
}

func drawExpr(t *rapid.T) *expr.Expr {
	kind := rapid.SampledFrom([]byte("nsptlj")).Draw(t, "kind")
	for {
		e, err := checked(drawText(t, kind, 4), fieldScope(scopeFields))
		if err == nil {
			return e
		}
		kind = rapid.SampledFrom([]byte("nsptlj")).Draw(t, "kind") // round(x, y) with a wide y and such
	}
}

func drawInput(t *rapid.T, rows int) expr.Input {
	in := expr.Input{Rows: rows}
	for _, f := range scopeFields {
		c := new(feature.Column)
		c.Reset(f.Type)
		for range rows {
			row := c.AppendNull()
			if rapid.IntRange(0, 4).Draw(t, "null") > 0 {
				drawValue(t, c, row)
			}
		}
		in.Columns = append(in.Columns, c)
	}
	for range rows {
		in.EventMicros = append(in.EventMicros, rapid.Int64().Draw(t, "event"))
		in.NowMicros = append(in.NowMicros, rapid.Int64().Draw(t, "now"))
	}
	return in
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

// rowOf is the input that holds one row of in.
func rowOf(in expr.Input, row int) expr.Input {
	one := expr.Input{Rows: 1, EventMicros: in.EventMicros[row : row+1], NowMicros: in.NowMicros[row : row+1]}
	for _, c := range in.Columns {
		single := new(feature.Column)
		single.Reset(c.Type)
		single.AppendFrom(c, row)
		one.Columns = append(one.Columns, single)
	}
	return one
}

func TestBatchEqualsItsRowsOneByOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		program := expr.Compile([]*expr.Expr{drawExpr(t)})
		in := drawInput(t, rapid.SampledFrom([]int{1, 3, 63, 64, 65, 130}).Draw(t, "rows"))
		batch, single := program.NewMachine(), program.NewMachine()
		batch.Run(in)
		for row := range in.Rows {
			single.Run(rowOf(in, row))
			if got, want := show(batch, 0, row), show(single, 0, 0); got != want {
				t.Fatalf("row %d: %s in the batch, %s alone", row, got, want)
			}
		}
	})
}

func TestSharingPartsChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []*expr.Expr
		for range rapid.IntRange(2, 5).Draw(t, "count") {
			e := drawExpr(t)
			all = append(all, e, e)
		}
		in := drawInput(t, 5)
		together := expr.Compile(all).NewMachine()
		together.Run(in)
		for i, e := range all {
			alone := expr.Compile([]*expr.Expr{e}).NewMachine()
			alone.Run(in)
			for row := range in.Rows {
				got, _, _ := strings.Cut(show(together, i, row), " in ") // a shared part names one place of several
				want, _, _ := strings.Cut(show(alone, 0, row), " in ")
				if strings.HasPrefix(want, "failed") {
					got, want = got[:6], want[:6]
				}
				if got != want {
					t.Fatalf("output %d row %d: %s together, %s alone", i, row, got, want)
				}
			}
		}
	})
}

func TestReusedMachineForgetsTheLastBatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		program := expr.Compile([]*expr.Expr{drawExpr(t)})
		used, fresh := program.NewMachine(), program.NewMachine()
		used.Run(drawInput(t, rapid.IntRange(0, 130).Draw(t, "before")))
		in := drawInput(t, rapid.IntRange(1, 130).Draw(t, "rows"))
		used.Run(in)
		fresh.Run(in)
		for row := range in.Rows {
			if got, want := show(used, 0, row), show(fresh, 0, row); got != want {
				t.Fatalf("row %d: %s after another batch, %s at first", row, got, want)
			}
		}
		checkColumn(t, used.Out(0), in.Rows)
	})
}

// checkColumn holds outputs to what feature.Column promises.
func checkColumn(t *rapid.T, c *feature.Column, rows int) {
	if c.Len() != rows || len(c.Valid) != feature.Words(rows) {
		t.Fatalf("output has %d rows, validity of %d words; want %d rows", c.Len(), len(c.Valid), rows)
	}
	if n := rows & 63; n != 0 && c.Valid[len(c.Valid)-1]>>n != 0 {
		t.Fatal("bits beyond the rows are set")
	}
	if c.Type.Kind == feature.KindInt32 && !c.Type.IsList() {
		for row, v := range c.Ints {
			if !c.IsNull(row) && v != int64(int32(v)) {
				t.Fatalf("row %d: %d is no int32", row, v)
			}
		}
	}
}

func TestPrintedTextParsesToTheSameTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawText(t, rapid.SampledFrom([]byte("nsptlj")).Draw(t, "kind"), 4)
		n, err := expr.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		again, err := expr.Parse(n.String())
		if err != nil || again.String() != n.String() {
			t.Fatalf("%s\nprinted %s\nparsed  %v, %v", text, n, again, err)
		}
		if !slices.Equal(expr.Names(n), expr.Names(again)) {
			t.Fatalf("names of %s: %v, then %v", text, expr.Names(n), expr.Names(again))
		}
	})
}
