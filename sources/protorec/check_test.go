package protorec_test

import (
	"strings"
	"testing"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/protorec"
)

// TestCheck holds fields against a message before any record comes.
func TestCheck(t *testing.T) {
	md, err := protorec.Compile(t.Context(), sources.Schema{Type: sources.SchemaProtobuf, Text: `syntax = "proto3";
message Order { string id = 1; int64 n = 2; repeated Item items = 3; map<string, int32> by = 4; message Item { string sku = 1; int32 qty = 2; } }
`}, "Order")
	if err != nil {
		t.Fatal(err)
	}
	i64, text := feature.Of(feature.KindInt64), feature.Of(feature.KindString)
	of := []feature.SourceField{{Field: feature.Field{Name: "sku", Type: text}}}
	items := feature.SourceField{Field: feature.Field{Name: "list", Type: feature.ListOf(feature.Of(feature.KindJSON))}, Path: "items", Of: of}
	for _, c := range []struct {
		path    string
		typ     feature.Type
		of      []feature.SourceField
		element bool
		says    string // "" when it fits
	}{
		{path: "n", typ: i64},
		{path: "id", typ: i64, says: "Order.id is string, which does not become int64"},
		{path: "nowhere", typ: i64, says: "has no field nowhere"},
		{path: "by.x", typ: i64},
		{path: "by.x", typ: text, says: "does not become string"},
		{path: "items", typ: items.Type, of: of},
		{path: "id", typ: items.Type, of: of, says: "does not become a list of records"},
		{path: "qty", typ: i64, element: true},
		{path: "sku", typ: i64, element: true, says: "Order.Item.sku is string, which does not become int64"},
		{path: "price", typ: i64, element: true, says: "has no field price"},
	} {
		f := feature.SourceField{Field: feature.Field{Name: "f", Type: c.typ}, Path: c.path, Of: c.of}
		err := protorec.Check(md, f)
		if c.element {
			err = protorec.CheckElement(md, items, f)
		}
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s as %s: %v, want %q", c.path, c.typ, err, c.says)
		}
	}
}
