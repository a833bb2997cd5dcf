package unnest_test

import (
	"testing"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/avro"
	"millrace/sources/unnest"
)

// FuzzDecode: whatever a record of any format holds, nothing panics, each
// element has one end, and the neighbour is not disturbed.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"id": 1, "lines": [{"sku": "a"}, null, 5, {"qty": 1e99}]}`))
	f.Add([]byte{2, 2, 4, 2, 2, 2, 'a', 2, 6, 0, 0})
	f.Add([]byte{2, 2, 3, 8, 2, 2, 2, 'a', 2, 6, 0, 0})
	f.Add([]byte{8, 1, 18, 3, 10, 1, 'a', 18, 0, 18, 2, 16, 5, 18, 1, 15})
	var decoders []*unnest.Decoder
	var good [][]byte
	for _, format := range formats {
		decoders = append(decoders, newDecoder(f, format))
		good = append(good, tenLines(f, format, 1)[0].Value)
		f.Add(good[len(good)-1])
	}
	var b feature.Batch
	f.Fuzz(func(t *testing.T, value []byte) {
		for i, d := range decoders {
			b.Reset(orderFields, 0)
			recs := []sources.Record{{Value: frame(formats[i], 0, value)}, {Value: good[i]}}
			if err := d.Decode(t.Context(), &b, recs); err != nil {
				t.Fatal(err)
			}
			oneEndEach(t, &b)
		}
	})
}

func oneEndEach(t *testing.T, b *feature.Batch) {
	t.Helper()
	type place struct{ record, element int32 }
	ends, most, neighbours := make(map[place]int), int32(-1), 0
	count := func(o feature.Origin) {
		ends[place{o.Record, o.Element}]++
		if o.Record == 1 {
			neighbours++
		} else {
			most = max(most, o.Element)
		}
	}
	for _, o := range b.Origins {
		count(o)
	}
	for _, r := range b.Rejects {
		count(r.Origin)
	}
	if neighbours != benchElements || len(ends) != benchElements+int(most)+1 || len(ends) != b.Rows()+len(b.Rejects) {
		t.Fatalf("%d rows and %d rejects, the last of element %d", b.Rows(), len(b.Rejects), most)
	}
	for i := range b.Columns {
		for row := range b.Rows() {
			rendering.Show(&b.Columns[i], row)
		}
	}
}

// FuzzSchema: elements are read as the same schema's whatever it looks like.
// What the first decoder takes for an element is one to the second, too.
func FuzzSchema(f *testing.F) {
	f.Add(orderAvro, []byte{2, 2, 4, 2, 2, 2, 'a', 2, 6, 0, 0})
	f.Add(`{"type":"record","name":"T","fields":[{"name":"lines","type":{"type":"array","items":{"type":"map","values":"T"}}}]}`, []byte{2, 2, 2, 's', 0, 0, 0})
	f.Add(`{"type":"map","values":[{"type":"array","items":"string"},"null",{"type":"array","items":"null"}]}`, []byte{2, 10, 'l', 'i', 'n', 'e', 's', 0, 2, 2, 'a', 0, 0})
	src := orders()
	src.Fields[1].Of[0].Type = feature.Of(feature.KindJSON)
	fields := []feature.Field{{Name: "item.sku", Type: feature.Of(feature.KindJSON)}}
	f.Fuzz(func(t *testing.T, schema string, value []byte) {
		if len(schema) > 10_000 {
			return
		}
		writer := sources.Schema{Type: sources.SchemaAvro, Text: schema}
		for _, reader := range []*sources.Schema{nil, &writer} {
			d, err := unnest.New(src, ofLines, fields, func(p unnest.Part) (sources.Decoder, error) {
				return avro.New(p.Source, p.Fields, avro.Settings{
					Framing: avro.FramingNone, Writers: []sources.Schema{writer}, Reader: reader, Raw: p.Raw, At: p.At,
					Limits: avro.Limits{MaxElements: 10_000, MaxBytes: 1 << 16},
				})
			})
			if err != nil {
				continue
			}
			var b feature.Batch
			b.Reset(fields, 0)
			if err := d.Decode(t.Context(), &b, []sources.Record{{Value: value}}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
