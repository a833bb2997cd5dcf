package main

import (
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"millrace/feature"
	"millrace/transforms/expr"
)

// namedColumn is a column that expressions may name, and how its values are drawn.
type namedColumn struct {
	name string
	typ  feature.Type
	draw func(r *rand.Rand) any
}

func list(of feature.Type) feature.Type { return feature.ListOf(of) }

var (
	boolType  = feature.Of(feature.KindBool)
	int32Type = feature.Of(feature.KindInt32)
	int64Type = feature.Of(feature.KindInt64)
	floatType = feature.Of(feature.KindFloat32)
	doubType  = feature.Of(feature.KindFloat64)
	textType  = feature.Of(feature.KindString)
	bytesType = feature.Of(feature.KindBytes)
	timeType  = feature.Of(feature.KindTimestamp)
	jsonType  = feature.Of(feature.KindJSON)
)

// columns are the columns of every row set. The first two are the clocks. Those
// named k hold small numbers, for digits, positions and counts.
var columns = []namedColumn{
	{"event_time", timeType, drawTime},
	{"now", timeType, drawTime},
	{"a", int32Type, drawInt32},
	{"a2", int32Type, drawInt32},
	{"k", int32Type, drawSmall},
	{"k2", int32Type, drawSmall},
	{"b", int64Type, drawInt64},
	{"b2", int64Type, drawInt64},
	{"kb", int64Type, drawSmall},
	{"f", floatType, drawFloat32},
	{"f2", floatType, drawFloat32},
	{"g", doubType, drawFloat64},
	{"g2", doubType, drawFloat64},
	{"s", textType, drawText},
	{"s2", textType, drawText},
	{"s3", textType, drawShortText},
	{"p", boolType, drawBool},
	{"q", boolType, drawBool},
	{"t", timeType, drawTime},
	{"t2", timeType, drawTime},
	{"y", bytesType, drawBytes},
	{"y2", bytesType, drawBytes},
	{"j", jsonType, drawJSON},
	{"j2", jsonType, drawJSON},
	{"la", list(int32Type), listOf(drawSmall)},
	{"lb", list(int64Type), listOf(drawInt64)},
	{"lf", list(floatType), listOf(drawFloat32)},
	{"lg", list(doubType), listOf(drawFloat64)},
	{"ls", list(textType), listOf(drawShortText)},
	{"lp", list(boolType), listOf(drawBool)},
	{"vf", list(floatType), drawVector(drawFloat32)},
	{"vf2", list(floatType), drawVector(drawFloat32)},
	{"vg", list(doubType), drawVector(drawFloat64)},
	{"vg2", list(doubType), drawVector(drawFloat64)},
	{"lt", list(timeType), listOf(drawTime)},
	{"ll", list(list(int64Type)), listOf(listOf(drawSmall))},
}

const rowsPerSet = 24

// rowSet is rows of columns. Nulls are one value in six, and row 0 has none.
type rowSet struct {
	rows [][]any
	in   expr.Input
}

func drawRowSet(r *rand.Rand) *rowSet {
	rs := new(rowSet)
	for i := range rowsPerSet {
		row := make([]any, len(columns))
		for j, c := range columns {
			if j < 2 || i == 0 || r.IntN(6) > 0 { // clocks are never null
				row[j] = c.draw(r)
			}
		}
		rs.rows = append(rs.rows, row)
	}
	rs.in = input(rs.rows)
	return rs
}

// input is rows as expr takes them.
func input(rows [][]any) expr.Input {
	in := expr.Input{Rows: len(rows)}
	for j, c := range columns {
		col := new(feature.Column)
		col.Reset(c.typ)
		for _, row := range rows {
			if at := col.AppendNull(); row[j] != nil {
				setCell(col, at, row[j])
			}
		}
		in.Columns = append(in.Columns, col)
	}
	in.EventMicros, in.NowMicros = in.Columns[0].Ints, in.Columns[1].Ints
	return in
}

// scope resolves the names of columns.
type scope struct{}

func (scope) Resolve(name string) (*expr.Expr, bool) {
	for i, c := range columns {
		if c.name == name && i > 1 {
			return expr.Column(i, name, c.typ), true
		}
	}
	return nil, false
}

func (scope) Names() []string {
	var names []string
	for _, c := range columns[2:] {
		names = append(names, c.name)
	}
	return names
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func drawBool(r *rand.Rand) any { return r.IntN(2) == 0 }

func drawSmall(r *rand.Rand) any { return int64(r.IntN(9) - 3) }

func drawInt32(r *rand.Rand) any {
	switch r.IntN(4) {
	case 0:
		return int64(int32(r.Uint32()))
	case 1:
		return pick(r, []int64{math.MinInt32, math.MinInt32 + 1, math.MaxInt32, math.MaxInt32 - 1, -1, 0, 1, 1 << 16, 46341, 16777217})
	}
	return int64(r.IntN(200) - 100)
}

func drawInt64(r *rand.Rand) any {
	switch r.IntN(4) {
	case 0:
		return int64(r.Uint64()) >> r.IntN(64)
	case 1:
		return pick(r, []int64{
			math.MinInt64, math.MinInt64 + 1, math.MaxInt64, math.MaxInt64 - 1, math.MinInt32, math.MaxInt32, 1 << 31, -1, 0, 1,
			1<<53 + 1, 3037000500, 999999999999999999, 1000000000000000000,
		})
	}
	return int64(r.IntN(2000) - 1000)
}

var floats = []float64{
	0, math.Copysign(0, -1), 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 0.1, 1e-5, 1e15, 1e16, 123456789.125, 1e30, -1e30, 9007199254740993,
	2147483647, 2147483648, -2147483648.5, 9223372036854775807, -9223372036854775808, math.Pi, 16777217,
	math.NaN(), math.Inf(1), math.Inf(-1),
}

func drawFloat64(r *rand.Rand) any {
	switch r.IntN(4) {
	case 0:
		return pick(r, append(floats, math.MaxFloat64, math.SmallestNonzeroFloat64, 1e300, -1e-300))
	case 1:
		return math.Float64frombits(r.Uint64())
	case 2:
		return float64(r.IntN(2_000_000)-1_000_000) / 1000
	}
	return float64(r.IntN(200)-100) / 4
}

func drawFloat32(r *rand.Rand) any {
	switch r.IntN(4) {
	case 0:
		return float64(float32(pick(r, append(floats, math.MaxFloat32, math.SmallestNonzeroFloat32))))
	case 1:
		return float64(math.Float32frombits(r.Uint32()))
	}
	return float64(float32(r.IntN(2000)-1000) / 8)
}

var texts = []string{
	"", " ", "a", "A", "ab", "abc", "aXbXc", "12", "-7", "+5", " 7.5 ", "-0", ".5", "5.", "1e5", "1E400", "-1e-400", "nan", "NaN", "-inf", "Infinity", "1_000", "0x1F",
	"2147483647", "2147483648", "-9223372036854775808", "9223372036854775808", "0.5", "1.5", "2.5", "-2.5", "99999999999999999999", "1e", "e5", "--1",
	"true", "T", "no", "yes", "0", "1", "FALSE", "tru",
	"straße", "ẞ", "İstanbul", "ı", "ÉßaA", "é", "é", "ǆ", "Σίσυφος", "ﬁ", "👨‍👩‍👧", "日本語", "\u00a0x\u2003", "\tx\n", "x\r\v\f",
	"a%", "%", "_", "a_c", "\\", "a\\%", "it's", `"q"`, "a,b,,c", ",", ",,", "--", "a--b--c",
	"2024-02-29", "2023-02-29", "2024-02-29 12:34:56.789", "1969-12-31T23:59:59.999999Z", "2024-05-01 24:00:00", "2024-05-01 00:00:00+02:00", "2024-05-01 10:00:00 UTC",
	"0001-01-01", "99999-12-31", "2024-5-1", "2024-05-01 1:2:3", "2024-05-01 12:00:00-08", "2024-05-01 12:00:00 Europe/Berlin", "infinity", "epoch", "2024-05-01 ",
	"290000-01-01", "2024-05-01 12:34", "2024-05-01 12", "2024-05-01T", "0044-03-15 (BC)", "-0044-03-15",
	`{"a": 1}`, "[1, 2]", "null", `"x"`, `{"a":`, `\x41\xFF`, `\x4`, "POINT", "a\x00b",
}

func drawText(r *rand.Rand) any {
	if r.IntN(3) > 0 {
		return pick(r, texts)
	}
	return randomText(r, 8)
}

func drawShortText(r *rand.Rand) any {
	if r.IntN(2) > 0 {
		return pick(r, []string{"", "a", "b", ",", "ab", "A", "é", "ß", "1", "2", " "})
	}
	return randomText(r, 3)
}

func randomText(r *rand.Rand, most int) string {
	var b strings.Builder
	for range r.IntN(most + 1) {
		b.WriteRune(pick(r, []rune("aaAbBcé ß,%_-1290.İ日😀́")))
	}
	return b.String()
}

func drawBytes(r *rand.Rand) any {
	b := make([]byte, r.IntN(5))
	for i := range b {
		b[i] = byte(r.Uint32())
		if r.IntN(2) == 0 {
			b[i] = pick(r, []byte(`aA0\'"~ `))
		}
	}
	return string(b)
}

// secondsOf are interesting times: the epoch, leap days, turns of years, weeks and centuries.
var secondsOf = []int64{
	0, -1, 1, 951782400, 1709164800, 1709251199, 1704067200, 1735689599, 1735603200, -62135596800, -62135596801, 253402300799, 253402300800,
	-2203891200, 4107542400, 1714564800, -86400, 86399, -11644473600, 978307200, 978307199, -31536000, 1e12, -1e12,
}

func drawTime(r *rand.Rand) any {
	switch r.IntN(4) {
	case 0:
		return pick(r, secondsOf)*1e6 + pick(r, []int64{0, 0, 1, -1, 500_000, 999_999, 123_456})
	case 1:
		return pick(r, []int64{leastTime, leastTime + 1, greatestTime, greatestTime - 1, 0, -1})
	case 2:
		return r.Int64N(4e15) - 2e15
	}
	return 1_700_000_000_000_000 + r.Int64N(40_000_000)*1_000_000
}

// The ends of the times that are drawn: the whole years that DuckDB's driver takes.
var (
	leastTime    = time.Date(-290307, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	greatestTime = time.Date(294247, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() - 1
)

var documents = []string{
	"null", "true", "1", "-0.5", "1e400", `"text"`, `""`, "[]", "{}", "[1,2,3]", `{"a": 1, "b": [true, null, {"c": "d"}]}`, `{"a":{"a":{"a":7}}}`, ` {"a" : "1" } `,
	`["a", 1, 2.5, null]`, `{"é": "ß😀", "x y": "\u00e9\n", "": 0}`, `{"a": 1, "a": 2}`, "12345678901234567890", `{"a.b": 1, "a": {"b": 2}}`, `[[1],[2,[3]]]`,
}

func drawJSON(r *rand.Rand) any { return pick(r, documents) }

func listOf(element func(*rand.Rand) any) func(*rand.Rand) any {
	return func(r *rand.Rand) any {
		all := make([]any, r.IntN(5))
		for i := range all {
			if r.IntN(6) > 0 {
				all[i] = element(r)
			}
		}
		return all
	}
}

// drawVector makes lists of one length without nulls.
func drawVector(element func(*rand.Rand) any) func(*rand.Rand) any {
	return func(r *rand.Rand) any { return []any{element(r), element(r), element(r)} }
}
