package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/sources"
	"millrace/sources/jsonrec"
	"millrace/sources/unnest"
	"millrace/transforms"
)

// TestQueriesOfElementsGiveWhatIsServed: a row per element online is one
// offline, and of several with one key the same one is left.
func TestQueriesOfElementsGiveWhatIsServed(t *testing.T) {
	field := func(name string, kind feature.Kind) feature.SourceField {
		return feature.SourceField{Field: feature.Field{Name: name, Type: feature.Of(kind)}}
	}
	lines := field("lines", feature.KindJSON)
	lines.Type = feature.ListOf(lines.Type)
	lines.Of = []feature.SourceField{field("sku", feature.KindString), field("qty", feature.KindInt64)}
	src := &feature.Source{Name: "orders", Fields: []feature.SourceField{field("city", feature.KindString), lines}}
	article := &feature.Entity{Name: "article", JoinKeys: []feature.Field{{Name: "sku", Type: feature.Of(feature.KindString)}}}
	v := &feature.View{
		Name: "sales", Entity: "article", Source: "orders", Unnest: &feature.Unnest{Field: "lines", As: "item"}, OnNullKey: feature.NullKeyFilter,
		Where: "item.qty <> 3 or city is null", Revision: 1, Generation: 1, Keys: []feature.JoinKeyExpr{{JoinKey: "sku", Expr: "upper(item.sku)"}},
		Features: []feature.Feature{
			{Name: "twice", Expr: "sold * 2"},
			{Name: "sold", Expr: "item.qty"},
			{Name: "city", Expr: "city"},
			{Name: "of", Expr: "len(lines)"},
			{Name: "share", Expr: "item.qty / len(lines)", At: feature.PhaseRead},
		},
	}
	plan, problems := transforms.Compile(v, src, article)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for seed := range uint64(3) {
		e := &events{project: &definition.Project{
			Catalog: &feature.Catalog{Entities: []*feature.Entity{article}, Sources: []*feature.Source{src}, Views: []*feature.View{v}},
			Plans:   map[string]*transforms.Plan{v.Name: plan},
		}}
		e.orders(t, src, plan, rand.New(rand.NewPCG(seed, 7)))
		e.compare(t, plan)
	}
}

// orders draws records, as a table and decoded.
func (e *events) orders(t *testing.T, src *feature.Source, p *transforms.Plan, rng *rand.Rand) {
	t.Helper()
	var recs []sources.Record
	var rows []string
	for i := range 60 {
		city, millis := "null", readTime.UnixMilli()+int64(rng.IntN(3)) // equal times, so that elements decide
		if rng.IntN(4) > 0 {
			city = "Lisbon"
		}
		var jsons, structs []string
		for range rng.IntN(14) {
			sku, qty := string(rune('a'+rng.IntN(12))), rng.IntN(5)
			jsons = append(jsons, fmt.Sprintf(`{"sku":%q,"qty":%d}`, sku, qty))
			structs = append(structs, fmt.Sprintf(`{sku: '%s', qty: %d}`, sku, qty))
		}
		quote := func(mark string) string { return strings.ReplaceAll(mark+city+mark, mark+"null"+mark, "null") }
		recs = append(recs, sources.Record{Offset: int64(i), TimeMillis: millis, Value: fmt.Appendf(nil, `{"city":%s,"lines":[%s]}`, quote(`"`), strings.Join(jsons, ","))})
		rows = append(rows, fmt.Sprintf("select cast(%s as varchar) as city, cast([%s] as struct(sku varchar, qty bigint)[]) as lines, "+
			"make_timestamp(%d) as record_time, %d as record_offset, 0 as record_partition",
			quote("'"), strings.Join(structs, ","), millis*1000, i))
	}
	e.raw = "create table orders as " + strings.Join(rows, " union all ")
	e.fields = transforms.Fields(src, []*transforms.Plan{p})
	d, err := unnest.New(src, *p.View.Unnest, e.fields, func(p unnest.Part) (sources.Decoder, error) { return jsonrec.New(p.Source, p.Fields) })
	if err != nil {
		t.Fatal(err)
	}
	e.batch.Reset(e.fields, 0)
	if err := d.Decode(t.Context(), &e.batch, recs); err != nil || len(e.batch.Rejects) > 0 {
		t.Fatal(err, e.batch.Rejects)
	}
}
