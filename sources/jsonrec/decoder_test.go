package jsonrec_test

import (
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/jsonrec"
)

func sourceOf(fields ...feature.SourceField) *feature.Source {
	return &feature.Source{Name: "trips", Fields: fields}
}

func declared(name string, kind feature.Kind) feature.SourceField {
	return feature.SourceField{Field: feature.Field{Name: name, Type: feature.Of(kind)}}
}

func fieldsOf(src *feature.Source) []feature.Field {
	var fields []feature.Field
	for _, f := range src.Fields {
		fields = append(fields, f.Field)
	}
	return fields
}

// decodeAll decodes values as one batch of all fields of src.
func decodeAll(t testing.TB, src *feature.Source, limits jsonrec.Limits, values ...[]byte) *feature.Batch {
	t.Helper()
	d, err := jsonrec.NewLimited(src, fieldsOf(src), limits)
	if err != nil {
		t.Fatal(err)
	}
	recs := make([]sources.Record, len(values))
	for i, v := range values {
		recs[i] = sources.Record{Value: v, Offset: int64(10 + i), TimeMillis: 5}
	}
	b := new(feature.Batch)
	b.Reset(fieldsOf(src), 0)
	if err := d.Decode(t.Context(), b, recs); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRowsAndRejectsNameTheirRecords(t *testing.T) {
	b := decodeAll(t, sourceOf(declared("a", feature.KindInt64)), jsonrec.DefaultLimits(),
		[]byte(`{"a":1}`), []byte(`{`), []byte(`{"a":3}`))
	want := []feature.Origin{{Offset: 10, RecordMillis: 5, EventMicros: 5000}, {Offset: 12, RecordMillis: 5, EventMicros: 5000, Record: 2}}
	if b.Rows() != 2 || b.Origins[0] != want[0] || b.Origins[1] != want[1] || b.Columns[0].Len() != 2 {
		t.Errorf("origins %+v, %d values", b.Origins, b.Columns[0].Len())
	}
	r := b.Rejects[0]
	if r.Origin.Offset != 11 || r.Origin.Record != 1 || r.Origin.RecordMillis != 5 || r.Stage != feature.StageDecode {
		t.Errorf("reject %+v", r)
	}
}

func TestRefusedRecordLeavesNoTrace(t *testing.T) {
	src := sourceOf(declared("a", feature.KindInt64), declared("b", feature.KindInt64))
	b := decodeAll(t, src, jsonrec.DefaultLimits(), []byte(`{"a":1,"b":"x"}`), []byte(`{"b":2}`), []byte(`{"a":3,"b":true}`))
	if b.Rows() != 1 || !b.Columns[0].IsNull(0) || b.Columns[1].Ints[0] != 2 || b.Columns[0].Len() != 1 {
		t.Errorf("columns %+v", b.Columns)
	}
}

func TestDecodeAppendsToABatch(t *testing.T) {
	src := sourceOf(declared("a", feature.KindString))
	d, err := jsonrec.New(src, fieldsOf(src))
	if err != nil {
		t.Fatal(err)
	}
	var b feature.Batch
	b.Reset(fieldsOf(src), 0)
	for _, v := range []string{`{"a":"x"}`, `[]`, `{"a":"y"}`} {
		value := []byte(v)
		if err := d.Decode(t.Context(), &b, []sources.Record{{Value: value}}); err != nil {
			t.Fatal(err)
		}
		clear(value) // nothing may point into the record
	}
	if b.Rows() != 2 || b.Columns[0].Strings[0] != "x" || b.Columns[0].Strings[1] != "y" || len(b.Rejects) != 1 {
		t.Errorf("rows %q, rejects %+v", b.Columns[0].Strings, b.Rejects)
	}
}

func TestTombstoneAndEmptyValueAreTwoThings(t *testing.T) {
	b := decodeAll(t, sourceOf(), jsonrec.DefaultLimits(), nil, []byte{})
	if len(b.Rejects) != 2 || b.Rejects[0].Message != "tombstone" || b.Rejects[1].Message == "tombstone" {
		t.Fatalf("rejects %+v", b.Rejects)
	}
	for _, r := range b.Rejects {
		if r.Reason != feature.ReasonMalformed {
			t.Errorf("reason %s", r.Reason)
		}
	}
}

func TestLimitsOfARecord(t *testing.T) {
	src := sourceOf(declared("a", feature.KindJSON))
	nested := func(levels int) []byte {
		return []byte(`{"a":` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) + `}`)
	}
	sized := func(n int) []byte {
		return []byte(`{"a":"` + strings.Repeat("x", n-len(`{"a":""}`)) + `"}`)
	}
	limits := jsonrec.Limits{MaxDepth: 5, MaxBytes: 100}
	for _, c := range []struct {
		name  string
		value []byte
		fits  bool
	}{
		{"as deep as allowed", nested(5), true},
		{"one level deeper", nested(6), false},
		{"wide, not deep", []byte(`{"a":[` + strings.Repeat("[],{},", 10) + `[]]}`), true},
		{"as long as allowed", sized(100), true},
		{"one byte longer", sized(101), false},
	} {
		b := decodeAll(t, src, limits, c.value, []byte(`{"a":1}`))
		if c.fits != (len(b.Rejects) == 0) || !c.fits && b.Rejects[0].Reason != feature.ReasonTooLarge {
			t.Errorf("%s: rejects %+v", c.name, b.Rejects)
		}
		if b.Columns[0].Strings[b.Rows()-1] != "1" {
			t.Errorf("%s: the record behind it was lost", c.name)
		}
	}
}

func TestRecordThatIsAllBracketsIsRefused(t *testing.T) {
	value := []byte(strings.Repeat(`{"a":[`, 1<<20))
	b := decodeAll(t, sourceOf(declared("a", feature.KindJSON)), jsonrec.DefaultLimits(), value)
	if b.Rejects[0].Reason != feature.ReasonTooLarge {
		t.Errorf("reject %+v", b.Rejects[0])
	}
}

func TestMessagesCarryNoValues(t *testing.T) {
	src := sourceOf(declared("a", feature.KindInt64), declared("t", feature.KindTimestamp), declared("b", feature.KindBytes))
	for _, v := range []string{`{"a":"secret"}`, `{"t":"secret"}`, `{"b":"secret!"}`, `{"a":123.456}`, `{"secret`, `{"x":secret}`, `secret`} {
		b := decodeAll(t, src, jsonrec.DefaultLimits(), []byte(v))
		if m := b.Rejects[0].Message; strings.Contains(m, "secret") || strings.Contains(m, "123") {
			t.Errorf("%s: message quotes the value: %s", v, m)
		}
	}
}

func TestInvalidUTF8IsMalformedWhereverItStands(t *testing.T) {
	src := sourceOf(declared("a", feature.KindString))
	for _, v := range []string{"{\"a\":\"\xff\"}", "{\"b\":\"\xc3\"}", "{\"\xed\xa0\x80\":1}", "\xef\xbb\xbf{}", "{\"b\":[\"\xf8\"]}", "{}\xff"} {
		b := decodeAll(t, src, jsonrec.DefaultLimits(), []byte(v))
		if len(b.Rejects) != 1 || b.Rejects[0].Reason != feature.ReasonMalformed {
			t.Errorf("%q: rejects %+v", v, b.Rejects)
		}
	}
}

func TestManyFieldsAreAllFound(t *testing.T) {
	src := sourceOf()
	var text strings.Builder
	for i := range 300 {
		name := "f" + strings.Repeat("a", i%7) + string(rune('0'+i/100)) + string(rune('0'+i/10%10)) + string(rune('0'+i%10))
		src.Fields = append(src.Fields, declared(name, feature.KindInt64))
		text.WriteString(`,"` + name + `":` + string(rune('0'+i%10)))
	}
	value := []byte(`{"":0` + text.String() + `}`)
	b := decodeAll(t, src, jsonrec.DefaultLimits(), value, value)
	for i := range src.Fields {
		for row := range 2 {
			if b.Columns[i].IsNull(row) || b.Columns[i].Ints[row] != int64(i%10) {
				t.Fatalf("field %s: %v", src.Fields[i].Name, b.Columns[i].Ints)
			}
		}
	}
}

func TestDecoderRefusesWhatTheSourceDoesNotDeclare(t *testing.T) {
	good := declared("a", feature.KindInt64)
	for _, c := range []struct {
		name   string
		source *feature.Source
		fields []feature.Field
		text   string
	}{
		{"an unknown field", sourceOf(good), []feature.Field{{Name: "b", Type: good.Type}}, "field b: is not declared"},
		{"another type", sourceOf(good), []feature.Field{{Name: "a", Type: feature.Of(feature.KindBool)}}, "declared int64, not bool"},
		{"no type", sourceOf(declared("a", feature.KindInvalid)), []feature.Field{{Name: "a"}}, "no valid type"},
		{"an odd unit", sourceOf(feature.SourceField{Field: good.Field, Unit: time.Minute}), []feature.Field{good.Field}, "units of 1m"},
		{"an empty path part", sourceOf(feature.SourceField{Field: good.Field, Path: "x..a"}), []feature.Field{good.Field}, "empty part"},
		{"an event time of no timestamp", &feature.Source{Name: "trips", Fields: []feature.SourceField{good}, EventTime: "a"}, []feature.Field{good.Field}, "not timestamp"},
		{"an unknown event time", &feature.Source{Name: "trips", EventTime: "at"}, nil, "field at: is not declared"},
	} {
		_, err := jsonrec.New(c.source, c.fields)
		if err == nil || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "trips") {
			t.Errorf("%s: %v, want %q", c.name, err, c.text)
		}
	}
}

func TestBatchOfOtherFieldsIsRefused(t *testing.T) {
	src := sourceOf(declared("a", feature.KindInt64))
	d, err := jsonrec.New(src, fieldsOf(src))
	if err != nil {
		t.Fatal(err)
	}
	var b feature.Batch
	b.Reset([]feature.Field{{Name: "a", Type: feature.Of(feature.KindBool)}}, 0)
	if err := d.Decode(t.Context(), &b, []sources.Record{{Value: []byte(`{}`)}}); err == nil {
		t.Error("a batch of another type was filled")
	}
}
