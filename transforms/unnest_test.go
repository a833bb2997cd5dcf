package transforms_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"millrace/feature"
	"millrace/transforms"
)

var (
	article = &feature.Entity{Name: "article", JoinKeys: []feature.Field{{Name: "sku", Type: feature.Of(feature.KindString)}}}
	orders  = &feature.Source{Name: "orders", EventTime: "at", Fields: []feature.SourceField{
		{Field: feature.Field{Name: "at", Type: feature.Of(feature.KindTimestamp)}},
		{Field: feature.Field{Name: "city", Type: feature.Of(feature.KindString)}},
		{
			Field: feature.Field{Name: "lines", Type: feature.ListOf(feature.Of(feature.KindJSON))}, Path: "order.lines",
			Of: []feature.SourceField{
				{Field: feature.Field{Name: "sku", Type: feature.Of(feature.KindString)}, Path: "article"},
				{Field: feature.Field{Name: "qty", Type: feature.Of(feature.KindInt64)}},
				{Field: feature.Field{Name: "city", Type: feature.Of(feature.KindString)}},
			},
		},
	}}
)

// sales is a view of lines.
func sales(as string, features ...feature.Feature) *feature.View {
	return &feature.View{
		Name: "sales", Entity: "article", Source: "orders", Revision: 1, Where: as + ".qty > 0 and city <> 'Nowhere'",
		Unnest: &feature.Unnest{Field: "lines", As: as}, Keys: []feature.JoinKeyExpr{{JoinKey: "sku", Expr: as + ".sku"}}, Features: features,
	}
}

func lastSales(as string) []feature.Feature {
	return []feature.Feature{
		{Name: "sold", Expr: as + ".qty"},
		{Name: "twice", Expr: "sold * 2"},
		{Name: "where_to", Expr: "city || '/' || " + as + ".city"},
		{Name: "first_of", Expr: "len(lines)"},
		{Name: "half", Expr: as + ".qty / 2", At: feature.PhaseRead},
	}
}

func compileSales(t *testing.T, v *feature.View) *transforms.Plan {
	t.Helper()
	p, problems := transforms.Compile(v, orders, article)
	if len(problems) > 0 {
		t.Fatalf("%+v", problems)
	}
	return p
}

func names(fields []feature.Field) string {
	var all []string
	for _, f := range fields {
		all = append(all, f.Name)
	}
	return strings.Join(all, " ")
}

func TestAViewOfElements(t *testing.T) {
	p := compileSales(t, sales("item", lastSales("item")...))
	fields := transforms.Fields(orders, []*transforms.Plan{p})
	if got := names(fields); got != "city lines item.sku item.qty item.city" {
		t.Errorf("fields %s", got)
	}
	if p.Source != orders {
		t.Error("the plan has another source than the catalog")
	}
	if f, ok := p.Field("item.sku"); !ok || f.Path != "article" {
		t.Errorf("item.sku is %+v", f)
	}
	w, err := p.NewWriter(fields, transforms.DefaultMaxFutureSkew)
	if err != nil {
		t.Fatal(err)
	}
	var in feature.Batch
	var out feature.Rows
	in.Reset(fields, 0)
	for i, qty := range []int64{3, 0, 4} {
		row := in.AppendRow(feature.Origin{Element: int32(i)})
		in.Columns[0].SetString(row, "Lisbon")
		in.Columns[2].SetString(row, "abc"[i:i+1])
		in.Columns[3].SetInt(row, qty)
		in.Columns[4].SetString(row, "Porto")
	}
	w.Apply(&in, 0, &out)
	if out.Len() != 2 || out.Filtered != 1 || out.Origins[1].Element != 2 {
		t.Fatalf("rows %+v, rejects %+v", out.Origins, out.Rejects)
	}
	if got, want := showRow(&out, 1), "c 4 8 Lisbon/Porto null 4"; got != want {
		t.Errorf("row is %s, want %s", got, want)
	}
}

// TestShapesOfASource: views of one list under one name share a layout, and
// each gets what it reads.
func TestShapesOfASource(t *testing.T) {
	flat := &feature.View{
		Name: "cities", Source: "orders", Keys: []feature.JoinKeyExpr{{JoinKey: "sku", Expr: "city"}}, Features: []feature.Feature{{Name: "n", Expr: "len(lines)"}},
	}
	plans := []*transforms.Plan{
		compileSales(t, sales("item", feature.Feature{Name: "sold", Expr: "item.qty"})), compileSales(t, flat),
		compileSales(t, sales("item", feature.Feature{Name: "to", Expr: "item.city"})), compileSales(t, sales("line", feature.Feature{Name: "to", Expr: "at"})),
	}
	var got []string
	for _, s := range transforms.Shapes(orders, plans) {
		as := "-"
		if s.Unnest != nil {
			as = s.Unnest.As
		}
		got = append(got, as+": "+names(s.Fields))
		for _, p := range s.Plans {
			if _, err := plans[p].NewWriter(s.Fields, 0); err != nil {
				t.Error(err)
			}
		}
	}
	want := []string{"item: city item.sku item.qty item.city", "-: city lines", "line: at city line.sku line.qty"}
	if !slices.Equal(got, want) {
		t.Errorf("shapes %q, want %q", got, want)
	}
}

func TestMistakesInAViewOfElements(t *testing.T) {
	feat := func(text string) []feature.Feature { return []feature.Feature{{Name: "f", Expr: text}} }
	for _, c := range []struct {
		change              func(*feature.View)
		part, message, hint string
	}{
		{func(v *feature.View) { v.Features = feat("qty + 1") }, "features[0].expr", "unknown name qty", "item.qty"},
		{func(v *feature.View) { v.Features = feat("item") }, "features[0].expr", "unknown name item", "item.sku"},
		{func(v *feature.View) { v.Features = feat("item.nope") }, "features[0].expr", "unknown name item.nope", ""},
		{func(v *feature.View) { v.Features[0].At, v.Features[0].Expr = feature.PhaseRead, "sku" }, "features[0].expr", "unknown name sku", "item.sku"},
		{func(v *feature.View) { v.Unnest.Field = "nope" }, "unnest.field", "source orders has no field nope", "with `of`"},
		{func(v *feature.View) { v.Unnest.Field = "city" }, "unnest.field", "field city of source orders is not a list of records", "`of`"},
		{func(v *feature.View) { v.Unnest.As = "" }, "unnest.as", "an element has no name", "item.sku"},
		{func(v *feature.View) { v.Unnest = nil; v.Where = ""; v.Keys[0].Expr = "city" }, "features[0].expr", "unknown name item.qty", ""},
	} {
		v := sales("item", feature.Feature{Name: "sold", Expr: "item.qty"})
		c.change(v)
		p, problems := transforms.Compile(v, orders, article)
		at := slices.IndexFunc(problems, func(p transforms.Problem) bool { return p.Part == c.part })
		if p != nil || at < 0 || problems[at].Message != c.message || !strings.Contains(problems[at].Hint, c.hint) {
			t.Errorf("%s: %+v", c.message, problems)
		}
	}
}

// TestAViewOfElementsForPeople: what explain prints, and the query.
func TestAViewOfElementsForPeople(t *testing.T) {
	p := compileSales(t, sales("item", lastSales("item")...))
	if got := transforms.Explain(p).String(); !strings.Contains(got, "one row per element of\n  lines as item\n") ||
		!strings.Contains(got, "item.sku             string       at article\n") {
		t.Error(got)
	}
	text, err := transforms.SQL(p, transforms.SQLSettings{Latest: true})
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/unnest.sql"
	want, err := os.ReadFile(golden)
	if os.Getenv("UPDATE") != "" {
		err = os.WriteFile(golden, []byte(text), 0o600)
	}
	if err != nil || text != string(want) {
		t.Errorf("%v\n%s", err, text)
	}
}
