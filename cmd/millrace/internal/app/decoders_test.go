package app

import (
	"testing"

	"millrace/feature"
	"millrace/sources"
	"millrace/transforms"
)

// TestARouteDecodesEachShapeOnce: views of records and of elements share a
// source, and each reads the shape that it was compiled for.
func TestARouteDecodesEachShapeOnce(t *testing.T) {
	text := feature.Of(feature.KindString)
	lines := feature.SourceField{
		Field: feature.Field{Name: "lines", Type: feature.ListOf(feature.Of(feature.KindJSON))},
		Of:    []feature.SourceField{{Field: feature.Field{Name: "sku", Type: text}}},
	}
	src := &feature.Source{Name: "orders", Format: feature.FormatJSON, Fields: []feature.SourceField{{Field: feature.Field{Name: "city", Type: text}}, lines}}
	entity := &feature.Entity{Name: "e", JoinKeys: []feature.Field{{Name: "k", Type: text}}}
	unnest := &feature.Unnest{Field: "lines", As: "item"}
	plans := make([]*transforms.Plan, 3)
	for i, u := range []*feature.Unnest{unnest, nil, unnest} {
		v := &feature.View{Name: "v", Unnest: u, Keys: []feature.JoinKeyExpr{{JoinKey: "k", Expr: "city"}}, Features: []feature.Feature{{Name: "f", Expr: "city"}}}
		if u != nil {
			v.Features[0].Expr = "item.sku"
		}
		var problems []transforms.Problem
		if plans[i], problems = transforms.Compile(v, src, entity); len(problems) > 0 {
			t.Fatal(problems)
		}
	}
	shapes, of, err := routeShapes(&decoders{}, src, plans)
	if err != nil || len(shapes) != 2 || of[0] != 0 || of[1] != 1 || of[2] != 0 {
		t.Fatalf("%d shapes, read by plans as %v, %v", len(shapes), of, err)
	}
	recs := []sources.Record{{Value: []byte(`{"city": "Lisbon", "lines": [{"sku": "a"}, {"sku": "b"}]}`)}}
	for i, rows := range []int{2, 1} {
		var b feature.Batch
		b.Reset(shapes[i].Fields, 0)
		if err := shapes[i].NewDecoder().Decode(t.Context(), &b, recs); err != nil || b.Rows() != rows {
			t.Errorf("shape %d: %d rows, %v, %v", i, b.Rows(), b.Rejects, err)
		}
	}
	lines.Of[0].Type = feature.Type{}
	if _, _, err := routeShapes(&decoders{}, src, plans); err == nil {
		t.Error("a field without a type is accepted")
	}
}
