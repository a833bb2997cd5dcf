package avro_test

import (
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/avro"
)

// TestCheck holds fields against a schema before any record comes.
func TestCheck(t *testing.T) {
	s := sources.Schema{Text: `{"type":"record","name":"R","fields":[
		{"name":"text","type":"string"}, {"name":"n","type":"long"}, {"name":"none","type":"null"},
		{"name":"maybe","type":["null","string"]}, {"name":"either","type":["long","string"]}, {"name":"nums","type":{"type":"array","items":"long"}},
		{"name":"by","type":{"type":"map","values":["null","long"]}}, {"name":"next","type":["null","R"]},
		{"name":"items","type":["null",{"type":"array","items":{"type":"record","name":"I","fields":[{"name":"sku","type":"string"},{"name":"qty","type":"int"}]}}]}]}`}
	i64, text, list := feature.Of(feature.KindInt64), feature.Of(feature.KindString), feature.ListOf(feature.Of(feature.KindInt64))
	rows := feature.ListOf(feature.Of(feature.KindJSON))
	of := []feature.SourceField{{Field: feature.Field{Name: "sku", Type: text}}}
	for _, c := range []struct {
		path string
		typ  feature.Type
		unit time.Duration
		of   []feature.SourceField
		says string // "" when it fits
	}{
		{path: "n", typ: i64},
		{path: "text", typ: i64, says: "is a string, not int64"},
		{path: "n", typ: feature.Of(feature.KindBool), says: "is a long, not bool"},
		{path: "n", typ: feature.Of(feature.KindTimestamp), says: "is a long, not timestamp"},
		{path: "n", typ: feature.Of(feature.KindTimestamp), unit: time.Second},
		{path: "none", typ: i64},
		{path: "maybe", typ: i64, says: "is a string, not int64"},
		{path: "maybe", typ: text},
		{path: "either", typ: i64},
		{path: "either", typ: feature.Of(feature.KindBool), says: "is a long, not bool"},
		{path: "nums", typ: list},
		{path: "nums", typ: feature.ListOf(text), says: "is a long, not string"},
		{path: "nums", typ: i64, says: "is an array, not int64"},
		{path: "by.x", typ: i64},
		{path: "by.x", typ: text, says: "is a long, not string"},
		{path: "next.next.n", typ: text, says: "is a long, not string"},
		{path: "next.next.text", typ: text},
		{path: "next.nowhere", typ: text, says: "has no field nowhere"},
		{path: "text.x", typ: text, says: "leads through a string"},
		{path: "items", typ: rows, of: of},
		{path: "nums", typ: rows},
		{path: "text", typ: rows, of: of, says: "is a string, not an array"},
	} {
		f := feature.SourceField{Field: feature.Field{Name: "f", Type: c.typ}, Path: c.path, Unit: c.unit, Of: c.of}
		says(t, c.path+" as "+c.typ.String(), avro.Check(s, f), c.says)
	}
	items := feature.SourceField{Field: feature.Field{Name: "list", Type: rows}, Path: "items", Of: of}
	for _, c := range []struct {
		path string
		typ  feature.Type
		says string
	}{{"sku", text, ""}, {"qty", i64, ""}, {"sku", i64, "is a string, not int64"}, {"price", i64, "has no field price"}} {
		f := feature.SourceField{Field: feature.Field{Name: "f", Type: c.typ}, Path: c.path}
		says(t, "element "+c.path+" as "+c.typ.String(), avro.CheckElement(s, items, f), c.says)
	}
}

func says(t *testing.T, what string, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}
