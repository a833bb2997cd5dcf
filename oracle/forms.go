package main

// forms are templates of expressions by the kind of what they give. $x is an
// operand of kind x. Kinds are
//
//	i b f g   int32, int64, float32, float64
//	n         any of the four, on the right of a form
//	k         small int32: digits, positions, counts
//	s p t y j string, bool, timestamp, bytes, json
//	v         interval, which is never a whole expression
//	A B F G   lists of i, b, f, g
//	N         any of the four, on the right of a form
//	S P T M   lists of s, p, t and B
//
// Types have the names that both languages know, so that a text without
// decimals and clocks can be given to DuckDB as it is.
var forms = map[byte][]string{
	'i': {
		"a", "a2", "k", "1", "0", "7", "2147483647", "-$i", "+$i", "$i + $i", "$i - $i", "$i * $i", "$i // $i", "$i % $i", "abs($i)", "sign($n)",
		"cast($n as integer)", "try_cast($n as int)", "cast($s as int)", "try_cast($s as integer)", "cast($p as int)", "$n::int", "$s::int4", "round($i)",
		"round($i, $k)", "trunc($i)", "case when $p then $i else $i end", "case when $p then $i when $p then $i end",
		"case $s when $s then $i when 'a' then $i end", "case $n when $n then $i else $i end", "coalesce($i, $i)", "coalesce($i, $i, $i)", "ifnull($i, $i)",
		"nullif($i, $n)", "greatest($i, $i)", "least($i, $i, $i)", "list_extract($A, $k)", "$A[$k]", "$A[1]", "list_min($A)", "list_max($A)",
		"array_extract($A, 2)", "list_position($A, $i)", "list_position($S, $s)", "list_indexof($B, $i)", "array_position($B, $b)", "array_indexof($P, $p)",
		"list_element($A, -1)", "cast($j as integer)", "try_cast($j as int)",
	},
	'k': {
		"k", "k2", "0", "1", "2", "-1", "3", "-2", "10", "20",
	},
	'b': {
		"b", "b2", "kb", "9223372036854775807", "-9223372036854775808", "2147483648", "$b + $b", "$b + $i", "$i - $b", "$b * $i", "$b * $b", "$b // $i",
		"$i // $b", "$b % $b", "-$b", "abs($b)", "cast($n as bigint)", "try_cast($n as long)", "cast($s as bigint)", "try_cast($s as int8)",
		"cast($p as bigint)", "$n::bigint", "round($b)", "round($b, $k)", "trunc($b)", "length($s)", "len($s)", "char_length($s)", "strpos($s, $s)",
		"instr($s, $s)", "epoch_ms($t)", "date_part('year', $t)", "date_part('quarter', $t)", "date_part('month', $t)", "date_part('week', $t)",
		"date_part('day', $t)", "date_part('hour', $t)", "date_part('minute', $t)", "date_part('second', $t)", "date_part('millisecond', $t)",
		"date_part('microsecond', $t)", "date_part('decade', $t)", "date_part('century', $t)", "date_part('millennium', $t)", "datepart('dow', $t)",
		"date_part('isodow', $t)", "date_part('doy', $t)", "date_part('isoyear', $t)", "date_part('yearweek', $t)", "extract(hour from $t)",
		"extract(dow from $t)", "case when $p then $b else $i end", "case when $p then $i else $b end", "coalesce($b, $i)", "nullif($b, $n)",
		"greatest($i, $b)", "least($b, $b, $i)", "array_length($N)", "len($S)", "length($A)", "list_sum($A)", "list_sum($B)", "$B[$k]",
		"list_extract($B, $i)", "list_min($B)", "list_max($B)", "$M[$k][1]", "json_array_length($j)", "json_array_length($j, '$.b')",
		"json_array_length($j, '/b')", "octet_length($y)", "bucketize($n, [1, 5, 20])", "bucketize($n, [-2.5, 0.0, 1e5])", "hash_bucket($s, 10)",
		"hash_bucket($n, 1000)", "hash_bucket($t, 7)", "hash_bucket($p, 3)", "datediff('day', $t, $t)", "datediff('month', $t, $t)",
		"date_diff('year', $t, $t)", "datediff('week', $t, $t)", "datediff('quarter', $t, $t)", "datediff('hour', $t, $t)", "datediff('minute', $t, $t)",
		"datediff('second', $t, $t)", "datediff('millisecond', $t, $t)", "datediff('microsecond', $t, $t)", "datediff('decade', $t, $t)",
		"datediff('century', $t, $t)", "datediff('isoyear', $t, $t)", "datediff('yearweek', $t, $t)", "datediff('dow', $t, $t)",
		"datediff('epoch', $t, $t)", "datediff('julian', $t, $t)", "datediff('millennium', $t, $t)", "date_part('era', $t)", "date_part('timezone', $t)",
		"date_part('timezone_hour', $t)", "date_part('weekofyear', $t)", "date_part('year', $v)", "date_part('month', $v)", "date_part('day', $v)",
		"date_part('hour', $v)", "date_part('minute', $v)", "date_part('second', $v)", "date_part('quarter', $v)", "date_part('microsecond', $v)",
		"date_part('century', $v)", "date_part('millennium', $v)", "date_part('decade', $v)", "date_part('millisecond', $v)",
	},
	'f': {
		"f", "f2", "cast($n as float)", "try_cast($n as real)", "cast($s as float4)", "try_cast($s as float)", "cast($p as float)", "$f + $f", "$f - $i",
		"$i * $f", "$f * $b", "$f / $f", "$f / $i", "$b / $f", "$f // $f", "$f % $f", "-$f", "abs($f)", "floor($f)", "ceil($f)", "ceiling($f)", "round($f)",
		"round($f, $k)", "trunc($f)", "coalesce($f, $i)", "greatest($f, $f)", "least($f, $i)", "nullif($f, $n)", "case when $p then $f else $f end",
		"$F[$k]", "list_min($F)", "list_max($F)", "list_distance($F, $F)", "list_inner_product($F, $F)", "list_cosine_similarity($F, $F)",
		"list_cosine_distance($F, $F)", "list_negative_inner_product($F, $F)", "list_dot_product(vf, vf2)", "list_negative_dot_product(vf, vf2)",
		"list_distance(vf, vf2)", "list_cosine_similarity(vf, vf2)", "list_cosine_distance(vf2, vf)",
	},
	'g': {
		"g", "g2", "2.5", "0.1", "1e300", "1e-5", "0.0", ".5", "3.", "123456789.987654321", "$g + $g", "$g + $i", "$f + $g", "$b + $g", "$g - $n",
		"$n - $g", "$g * $n", "$n / $g", "$i / $i", "$b / $i", "$i / $b", "$g // $g", "$g // $n", "$g % $n", "$n % $g", "-$g", "abs($g)", "floor($g)",
		"floor($i)", "ceil($g)", "ceil($b)", "round($g)", "round($g, $k)", "trunc($g)", "sqrt($n)", "ln($n)", "log10($n)", "log2($n)", "log($n)",
		"log($n, $n)", "exp($n)", "pow($n, $n)", "power($n, $k)", "cast($n as double)", "try_cast($n as float8)", "cast($s as double)",
		"try_cast($s as double)", "cast($p as double)", "epoch($t)", "date_part('epoch', $t)", "coalesce($g, $n)", "coalesce($i, $g)", "greatest($g, $n)",
		"least($n, $g, $i)", "nullif($g, $n)", "case when $p then $i when $p then $g else $f end", "$G[$k]", "list_sum($F)", "list_sum($G)", "list_avg($A)",
		"list_avg($B)", "list_avg($F)", "list_avg($G)", "list_min($G)", "list_max($G)", "list_distance($G, $G)", "list_inner_product($G, $G)",
		"list_cosine_similarity($G, $G)", "list_cosine_distance(vg, vg2)", "list_distance(vg, vg2)", "list_negative_inner_product(vg, vg2)",
		"list_inner_product(vg, vg2)", "list_cosine_similarity(vg, vg2)", "pi()", "sin($n)", "cos($n)", "tan($n)", "asin($n)", "acos($n)", "atan($n)",
		"atan2($n, $n)", "radians($n)", "degrees($n)", "haversine_km($g % 90, $g % 180, $i % 90, $f % 180)", "haversine_km(52.52, 13.405, k, k2)", "epoch($v)",
		"date_part('epoch', $v)", "date_part('julian', $t)", "cast($j as double)", "try_cast($j as double)",
	},
	's': {
		"s", "s2", "s3", "''", "'a'", "'12'", "'%é_'", "'it''s'", "'straße'", "lower($s)", "upper($s)", "lcase($s)", "ucase($s)", "trim($s)", "ltrim($s)",
		"rtrim($s)", "trim($s, $s)", "ltrim($s, $s)", "rtrim($s, $s)", "$s || $s", "substring($s, $k)", "substring($s, $k, $k)", "substr($s, $i)",
		"substring($s, $b, $b)", "replace($s, $s, $s)", "split_part($s, $s, $k)", "split_part($s, ',', $k)", "split_part($s, 'a', $b)",
		"concat($s, $n, $p, $t)", "concat($s)", "concat($s, $s)", "concat_ws($s, $s, $n)", "concat_ws(',', $s, $s, $s)", "md5($s)", "cast($n as varchar)",
		"cast($p as varchar)", "cast($t as text)", "cast($y as varchar)", "cast($j as varchar)", "$f::varchar", "$g::varchar",
		"case when $p then $s when $p then $s end", "coalesce($s, $s)", "nullif($s, $s)", "greatest($s, $s)", "least($s, $s, $s)", "$S[$k]",
		"list_extract($S, $k)", "list_min($S)", "list_max($S)", "$s[$k]", "$s[$k:$k]", "$j ->> 'a'", "$j ->> '$.b[0]'", "$j ->> 0",
		"json_extract_string($j, '/a')", "json_extract_path_text($j, 'é')", "decode($y)", "regexp_extract($s, '[a-c]+')",
		"regexp_extract($s, '(\\\\w)(\\\\d*)', 2)", "regexp_extract($s, '(a|ß)b?', 1)", "cast($A as varchar)", "cast($S as varchar)", "cast($B as varchar)",
		"cast($G as varchar)", "cast($P as varchar)", "cast($M as varchar)", "list_slice($s, $k, $k)", "array_slice($s, 2, 3)",
	},
	'p': {
		"p", "q", "true", "false", "null", "$n < $n", "$n <= $n", "$n = $n", "$n <> $n", "$n >= $n", "$n > $n", "$n != $n", "$n == $n", "$s = $s",
		"$s <> $s", "$s < $s", "$s <= $s", "$s > $s", "$s >= $s", "$t = $t", "$t > $t", "$t <= $t", "$t < '2024-05-01'", "'2024-02-29 12:00:00' >= $t",
		"$t in ('1970-01-01', $t)", "$t between '1960-01-01' and $t", "$t > '2024-05-01T02:00:00+02:00'", "$y = $y", "$y < $y", "$p < $p", "$p = $p",
		"$p <> $p", "$p >= $p", "$p and $p", "$p or $p", "not $p", "$n is null", "$s is not null", "$t is null", "$j is null", "$y is not null",
		"la is null", "ll is not null", "$p is null", "$p is true", "$p is not false", "$p is false", "$n is distinct from $n",
		"$s is not distinct from $s", "$t is distinct from $t", "$p is not distinct from $p", "$n in (1, 2, $n)", "$n in (0, null, 3)",
		"$n not in ($n, $n)", "$s in ('a', 's', null)", "$s in ($s, 'ab', 'é')", "$s not in ('a', $s)", "$n between $n and $n", "$n not between $n and $n",
		"$s between $s and $s", "$s like $s", "$s not like $s", "$s like '%a%'", "$s like 'a_'", "$s like '%'", "$s like '_%é'", "$s ilike 'A%'",
		"$s ilike $s", "$s not ilike '%SS%'", "isnan($n)", "isinf($n)", "starts_with($s, $s)", "prefix($s, $s)", "ends_with($s, $s)", "suffix($s, $s)",
		"contains($s, $s)", "cast($n as boolean)", "try_cast($n as bool)", "cast($s as bool)", "try_cast($s as boolean)", "case when $p then $p end",
		"case when $p then $p else $p end", "coalesce($p, $p)", "nullif($p, $p)", "greatest($p, $p)", "least($p, $p)", "$n + $n > $n",
		"not $p or $n < $n and $p", "$A = $A", "$B <> $A", "$A < $B", "$S = $S", "$S <= $S", "$G = $G", "$P > $P", "$M = $M", "$M < $M",
		"$S is distinct from $S", "$A in ([1, 2], $A)", "$B between $A and $B", "list_contains($A, $i)", "list_contains($B, $i)", "list_contains($G, $n)",
		"list_has($S, $s)", "array_has($P, $p)", "array_contains($T, $t)", "contains($S, $s)", "$P[$k]", "list_min($P)", "json_exists($j, 'a')",
		"json_exists($j, '$.b[1]')", "json_exists($j, '/a/a')", "json_valid($s)", "regexp_matches($s, 'a')", "regexp_matches($s, '^[a-z]+$')",
		"regexp_matches($s, '\\\\d{2,}|ß')", "regexp_matches($s, '(?i)AB')", "$v < $v", "$v = $v", "$v >= $v", "$v between $v and $v", "$A is null",
		"$S is not null", "cast($j as boolean)", "try_cast($j as bool)",
	},
	't': {
		"t", "t2", "now()", "event_time()", "timestamp '2024-02-29 12:34:56.789012'", "timestamp '1969-12-31'", "date_trunc('year', $t)",
		"date_trunc('quarter', $t)", "date_trunc('month', $t)", "date_trunc('week', $t)", "date_trunc('day', $t)", "date_trunc('hour', $t)",
		"date_trunc('minute', $t)", "datetrunc('second', $t)", "date_trunc('millisecond', $t)", "date_trunc('microsecond', $t)", "date_trunc('decade', $t)",
		"date_trunc('century', $t)", "date_trunc('millennium', $t)", "to_timestamp($n)", "to_timestamp($k)", "epoch_ms($b)", "epoch_ms($i)",
		"cast($s as timestamp)", "try_cast($s as datetime)", "$s::timestamp", "case when $p then $t else $t end", "coalesce($t, $t)", "nullif($t, $t)",
		"greatest($t, $t)", "least($t, $t)", "$T[$k]", "list_min($T)", "list_max($T)", "$t + $v", "$t - $v", "$v + $t", "timezone('Europe/Berlin', $t)",
		"timezone('America/New_York', $t)", "timezone('UTC', $t)", "date_trunc('isoyear', $t)", "date_trunc('yearweek', $t)", "date_trunc('dow', $t)",
		"date_trunc('doy', $t)", "date_trunc('epoch', $t)", "date_trunc('julian', $t)",
	},
	'y': {
		"y", "y2", "cast($s as blob)", "try_cast($s as bytea)", "coalesce($y, $y)", "case when $p then $y else $y end", "greatest($y, $y)",
		"nullif($y, $y)", "encode($s)",
	},
	'j': {
		"j", "j2", "cast($s as json)", "try_cast($s as json)", "coalesce($j, $j)", "case when $p then $j else $j end", "$j -> 'a'", "$j -> '$.b[0]'",
		"$j -> 'b' -> 2", "$j -> -1", "json_extract($j, '$.a')", "json_extract_path($j, '/b/0')", "$j -> '$'", "json_extract($j, 'é')",
	},
	'v': {
		"interval '1 day'", "interval '2 months 3 days 04:05:06.789'", "interval '-1 year'", "interval '1 week ago'", "interval ($k) day",
		"interval ($k) month", "interval ($i) second", "interval ($g) hour", "interval ($b) week", "interval ($k) year", "interval ($n) minute",
		"interval ($g) millisecond", "interval ($i) microsecond", "interval ($k) quarter", "interval ($k) decade", "interval ($k) century",
		"interval 3 day", "$t - $t", "-$v", "$v + $v", "$v - $v", "$v * $k", "$k * $v",
	},
	'A': {
		"la", "[1, 2, 3]", "cast([] as int[])", "[null, 2]", "[$i, $i]", "[$i]", "$A[$k:$k]", "list_slice($A, $k, 2)", "list_concat($A, $A)",
		"list_cat($A, $A)", "list_append($A, $i)", "list_prepend($i, $A)", "$A || $A", "coalesce($A, $A)", "case when $p then $A else $A end",
		"greatest($A, $A)", "least($A, $A)", "nullif($A, $A)", "cast($B as integer[])", "cast($S as int[])", "try_cast($S as int[])",
		"cast($j as integer[])", "try_cast($j as int[])",
	},
	'B': {
		"lb", "[1, $b]", "[$b, 2147483648]", "$B[2:3]", "array_slice($B, $k, $k)", "list_concat($A, $B)", "array_cat($B, $A)", "array_concat($B, $B)",
		"array_append($B, $i)", "array_push_back($B, $b)", "array_prepend($b, $B)", "coalesce($B, $A)", "cast($A as bigint[])", "$M[$k]",
		"list_extract($M, 1)", "cast($j as bigint[])", "greatest($B, $A)",
	},
	'F': {
		"lf", "vf", "vf2", "[$f, $f]", "[$f, $i]", "list_append($F, $f)", "$F[$k:2]", "coalesce($F, $F)", "cast($A as float[])", "cast($G as float[])",
		"list_concat($F, vf)",
	},
	'G': {
		"lg", "vg", "vg2", "[$g, $n]", "[1, 2.5]", "list_append($G, $n)", "$G[$k:$k]", "cast($A as double[])", "cast($F as double[])",
		"cast($S as double[])", "cast($j as double[])", "list_concat($G, $A)", "least($G, $G)",
	},
	'S': {
		"ls", "['a', 'b']", "[$s, $s]", "[$s, null]", "list_append($S, $s)", "list_prepend($s, $S)", "$S[$k:$k]", "list_concat($S, $S)", "$S || $S",
		"cast($A as varchar[])", "cast($G as varchar[])", "cast($j as varchar[])", "coalesce($S, $S)", "case when $p then $S else $S end",
		"greatest($S, $S)",
	},
	'P': {
		"lp", "[$p, $p]", "[true, null]", "list_append($P, $p)", "cast($A as boolean[])", "$P[1:$k]", "coalesce($P, $P)",
	},
	'T': {
		"lt", "[$t, $t]", "list_append($T, $t)", "$T[$k:$k]", "coalesce($T, $T)",
	},
	'M': {
		"ll", "[$B, $B]", "[$B, [], null]", "list_append($M, $B)", "$M[$k:$k]", "coalesce($M, $M)", "list_concat($M, $M)",
	},
}
