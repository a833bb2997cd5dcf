package transforms_test

import (
	"slices"
	"strings"
	"testing"

	"millrace/feature"
	"millrace/transforms"
)

// TestKeysOfRows are theirs whatever else the view makes of them: a row that
// `where` takes out, and one whose feature fails, has the key that it would have.
func TestKeysOfRows(t *testing.T) {
	text, number := feature.Of(feature.KindString), feature.Of(feature.KindInt64)
	e := &feature.Entity{Name: "e", JoinKeys: []feature.Field{{Name: "a", Type: text}, {Name: "b", Type: number}}}
	src := &feature.Source{Name: "s", Fields: []feature.SourceField{
		{Field: feature.Field{Name: "x", Type: text}}, {Field: feature.Field{Name: "n", Type: number}}, {Field: feature.Field{Name: "m", Type: number}},
	}}
	v := &feature.View{
		Name: "v", Entity: "e", Source: "s", Where: "n > 0 and m > 0", Revision: 1,
		Keys:     []feature.JoinKeyExpr{{JoinKey: "a", Expr: "low"}, {JoinKey: "b", Expr: "n + 9223372036854775806"}},
		Features: []feature.Feature{{Name: "low", Expr: "lower(x)"}, {Name: "fails", Expr: "cast(x as bigint)"}},
	}
	p, problems := transforms.Compile(v, src, e)
	if len(problems) > 0 {
		t.Fatalf("%+v", problems)
	}
	fields := transforms.Fields(src, []*transforms.Plan{p})
	k, err := p.NewKeyer(fields)
	if err != nil {
		t.Fatal(err)
	}
	var b feature.Batch
	for range 2 { // a Keyer is used again
		b.Reset(fields, 0)
		for _, row := range []struct {
			x string
			n int64
		}{{"A|b", 1}, {"A", -3}, {"", 0}, {"overflows", 2}, {strings.Repeat("long", feature.MaxKeyBytes/4), 0}, {"NULL", 0}} {
			at := b.AppendRow(feature.Origin{})
			if row.x != "NULL" {
				b.Columns[0].SetString(at, row.x)
			}
			b.Columns[1].SetInt(at, row.n)
		}
		want := []string{`a\|b|9223372036854775807`, "a|9223372036854775803", "|9223372036854775806", "", "", ""}
		if got := k.Keys(&b); !slices.Equal(got, want) {
			t.Errorf("keys %q, want %q", got, want)
		}
	}
	if _, err := p.NewKeyer(fields[:1]); err == nil || !strings.Contains(err.Error(), "no column n") {
		t.Errorf("a batch without a field: %v", err)
	}
}

func TestKeysOfFinishedRows(t *testing.T) {
	p := compileSales(t, sales("line", lastSales("line")...))
	var b feature.Batch
	b.Reset(p.FinishedFields(), 0)
	b.Columns[0].SetString(b.AppendRow(feature.Origin{}), "tea")
	b.AppendRow(feature.Origin{})
	if got := p.NewFinishedKeyer().Keys(&b); !slices.Equal(got, []string{"tea", ""}) {
		t.Errorf("keys %q", got)
	}
}
