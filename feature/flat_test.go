package feature_test

import (
	"reflect"
	"testing"
	"time"

	"millrace/feature"
)

// TestFlatHasFieldsByTheirNames takes everything away that says where in a
// record a field is, and nothing else; the source stays as it was.
func TestFlatHasFieldsByTheirNames(t *testing.T) {
	field := func(name string) feature.Field { return feature.Field{Name: name, Type: feature.Of(feature.KindInt64)} }
	s := &feature.Source{
		Name: "s", Topic: "t", Format: feature.FormatAvro, Schema: &feature.SourceSchema{Subject: "t-value"},
		Envelope: feature.EnvelopeDebezium, OnTombstone: feature.TombstoneIgnore, EventTime: "at", EventID: "id", Pushed: true,
		Fields: []feature.SourceField{
			{Field: field("id"), Key: true}, {Field: field("region"), Header: "r"},
			{Field: field("at"), Path: "meta.at", Unit: time.Second, Quoted: true},
			{Field: field("lines"), Path: "a.b", Of: []feature.SourceField{{Field: field("sku"), Path: "x.y"}}},
		},
	}
	want := *s
	want.Format, want.Schema, want.Envelope = feature.FormatJSON, nil, feature.EnvelopeNone
	want.Fields = []feature.SourceField{
		{Field: field("id")}, {Field: field("region")}, {Field: field("at"), Unit: time.Second, Quoted: true},
		{Field: field("lines"), Of: []feature.SourceField{{Field: field("sku")}}},
	}
	if got := s.Flat(); !reflect.DeepEqual(*got, want) {
		t.Errorf("got %+v, want %+v", *got, want)
	}
	if s.Fields[3].Of[0].Path != "x.y" || s.Fields[2].Path != "meta.at" {
		t.Error("the source itself was changed")
	}
}
