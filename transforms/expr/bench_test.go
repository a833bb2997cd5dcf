package expr_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"millrace/feature"
	"millrace/transforms/expr"
)

var measured = []struct{ name, text string }{
	{"ratio", "fare / nullif(km, 0)"},
	{"case", "case when km < 1 then 'short' when km < 5 then 'mid' when km < 20 then 'long' else 'far' end"},
	{"in", "status in ('completed', 'paid') and fare > 10"},
	{"age", "epoch(now()) - epoch(event_time())"},
	{"text", "upper(status) || '-' || cast(qty as string)"},
	{"list sum", "list_sum(prices)"},
	{"list element", "prices[1]"},
	{"list distance", "list_distance(prices, [1.0, 2.0, 3.0, 4.0])"},
	{"json path", "doc ->> '$.user.id'"},
	{"json number", "(doc -> '$.lines[1].price')::float64"},
}

// unmeasured must not allocate either.
var unmeasured = []struct{ name, text string }{
	{"failures", "try_cast(status as int32) + sqrt(-1)"},
	{"interval", "epoch(now() + interval (qty) month - interval '1 day') - epoch(now() - event_time())"},
	{"parts", "date_part('isoyear', now()) + datediff('week', event_time(), now()) + epoch(date_trunc('quarter', now()))"},
	{"zone", "date_part('hour', timezone('Europe/Berlin', now()))"},
	{"pattern", "regexp_matches(status, '^c.*d$') or regexp_extract(status, 'e+') = 'e'"},
	{"own", "bucketize(fare, [1, 5, 20]) + hash_bucket(status, 10) + haversine_km(fare, km, 1, 2)"},
	{"geohash", "geohash(fare, km, 7)"},
	{"list", "[fare, km, 3]"},
	{"coalesce", "coalesce(fare, km, 0) + case when fare > 1 then km end"},
	{"slice", "prices[2:] || [fare, km]"},
	{"list cast", "cast(prices as list<string>)"},
	{"list text", "cast(prices as string)"},
	{"search", "list_contains(prices, fare) or prices < [fare] or list_max([prices, [km]]) is null"},
	{"json", "json_extract(doc, 'lines') -> 1"},
	{"json list", "cast(doc -> 'lines' as list<json>)"},
	{"to json", "cast([status, doc ->> '$.user.name'] as json)"},
}

// measuredTable has one null in eight.
func measuredTable(rows int) table {
	random := rand.New(rand.NewPCG(1, 2))
	tab := table{names: []string{"fare", "km", "status", "qty"}, rows: rows}
	for _, k := range []feature.Kind{feature.KindFloat64, feature.KindFloat64, feature.KindString, feature.KindInt64} {
		c := new(feature.Column)
		c.Reset(feature.Of(k))
		for range rows {
			row := c.AppendNull()
			switch {
			case random.IntN(8) == 0:
			case k == feature.KindFloat64:
				c.SetFloat(row, float64(random.IntN(3000))/100)
			case k == feature.KindInt64:
				c.SetInt(row, random.Int64N(100))
			default:
				c.SetString(row, []string{"completed", "paid", "cancelled", "requested"}[random.IntN(4)])
			}
		}
		tab.columns = append(tab.columns, c)
	}
	tab.names = append(tab.names, "prices", "doc")
	tab.columns = append(tab.columns, measuredLists(random, rows), measuredDocuments(random, rows))
	return tab
}

// measuredLists has four prices in each row.
func measuredLists(random *rand.Rand, rows int) *feature.Column {
	c := new(feature.Column)
	c.Reset(feature.ListOf(feature.Of(feature.KindFloat64)))
	for range rows {
		row, start := c.AppendNull(), c.Elems.Len()
		if random.IntN(8) == 0 {
			continue
		}
		for range 4 {
			c.Elems.SetFloat(c.Elems.AppendNull(), float64(random.IntN(3000))/100)
		}
		c.SetList(row, start)
	}
	return c
}

// measuredDocuments has orders of some 150 bytes.
func measuredDocuments(random *rand.Rand, rows int) *feature.Column {
	c := new(feature.Column)
	c.Reset(feature.Of(feature.KindJSON))
	for range rows {
		if row := c.AppendNull(); random.IntN(8) > 0 {
			c.SetString(row, fmt.Sprintf(`{"order": %d, "lines": [{"sku": "a-1", "price": 2.50}, {"sku": "b-2", "price": %d.25}], "user": {"name": "Ann", "id": "u-%d"}, "paid": true}`,
				random.IntN(1e6), random.IntN(100), random.IntN(1e6)))
		}
	}
	return c
}

func measuredInput(tab table) expr.Input {
	in := tab.input()
	in.EventMicros, in.NowMicros = make([]int64, tab.rows), make([]int64, tab.rows)
	return in
}

func BenchmarkRun(b *testing.B) {
	for _, rows := range []int{512, 1} {
		tab := measuredTable(rows)
		in := measuredInput(tab)
		run := func(name string, texts ...string) {
			b.Run(fmt.Sprintf("rows=%d/%s", rows, name), func(b *testing.B) {
				m := mustCompile(b, tab, texts...).NewMachine()
				m.Run(in)
				b.ReportAllocs()
				for b.Loop() {
					m.Run(in)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
			})
		}
		for _, e := range measured {
			run(e.name, e.text)
		}
		run("four", measured[0].text, measured[1].text, measured[2].text, measured[3].text)
	}
}

func mustCompile(t testing.TB, scope expr.Scope, texts ...string) *expr.Program {
	var all []*expr.Expr
	for _, text := range texts {
		e, err := checked(text, scope)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return expr.Compile(all)
}

func TestRunAllocatesNothing(t *testing.T) {
	for _, rows := range []int{1, 512} {
		tab := measuredTable(rows)
		in := measuredInput(tab)
		for _, e := range append(measured, unmeasured...) {
			m := mustCompile(t, tab, e.text).NewMachine()
			m.Run(in)
			m.Run(in)
			if e.name == "pattern" && raceEnabled {
				continue // Go's regexp keeps its machines in a pool
			}
			if n := testing.AllocsPerRun(10, func() { m.Run(in) }); n > 0 {
				t.Errorf("%s over %d rows: %v allocations", e.text, rows, n)
			}
		}
	}
}
