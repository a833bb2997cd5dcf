package avro_test

import (
	"fmt"
	"testing"

	"github.com/linkedin/goavro/v2"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/avro"
	"millrace/sources/sourcetest"
)

// tripSchema has 14 fields, of which ten are decoded.
var tripSchema = record(
	field("trip_id", `"string"`), field("driver", `{"type":"record","name":"Driver","fields":[`+field("id", `"long"`)+`,`+field("name", `"string"`)+`]}`),
	field("passenger_id", `"long"`), field("fare", `"double"`), field("km", `"double"`), field("status", `"string"`), field("city", `"string"`),
	field("tip", `["null","double"]`), field("rating", `"int"`), field("surge", `"boolean"`), field("vehicle", `"string"`),
	field("promo", `["null","string"]`), field("tags", `{"type":"array","items":"string"}`),
	field("completed_at", `{"type":"long","logicalType":"timestamp-millis"}`))

// trips are n events of tripSchema without a frame.
func trips(t testing.TB, n int) [][]byte {
	t.Helper()
	codec, err := goavro.NewCodec(tripSchema)
	if err != nil {
		t.Fatal(err)
	}
	values := make([][]byte, n)
	for i := range values {
		values[i], err = codec.BinaryFromNative(nil, map[string]any{
			"trip_id": fmt.Sprintf("t-%08d", i), "driver": map[string]any{"id": 1000 + i%100, "name": fmt.Sprintf("driver %d", i%100)},
			"passenger_id": 50000 + i, "fare": float64(10+i%40) + .25, "km": float64(3+i%20) + .5, "status": "completed", "city": "Lisbon",
			"tip": goavro.Union("double", 1.5), "rating": 4, "surge": false, "vehicle": "sedan", "promo": nil,
			"tags": []any{"airport", "night"}, "completed_at": 1_700_000_000_123,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return values
}

func tripSource() *feature.Source {
	src := sourceOf(
		declared("trip_id", feature.KindString), declared("driver_id", feature.KindInt64),
		declared("passenger_id", feature.KindInt64), declared("fare", feature.KindFloat64),
		declared("km", feature.KindFloat64), declared("status", feature.KindString),
		declared("tip", feature.KindFloat64), declared("rating", feature.KindInt32),
		declared("surge", feature.KindBool), declared("completed_at", feature.KindTimestamp))
	src.Fields[1].Path = "driver.id"
	src.EventTime = "completed_at"
	return src
}

const benchRecords = 500

func benchRecs(t testing.TB) ([]sources.Record, avro.Settings) {
	t.Helper()
	values := trips(t, benchRecords)
	for i := range values {
		values[i] = framed(7, values[i])
	}
	return recordsOf(values...), avro.Settings{Schemas: &registry{schemas: map[int32]sources.Schema{7: schemaOf(tripSchema)}}}
}

// tripDecoding decodes the trips, and the fields more beside the ten.
func tripDecoding(t testing.TB, more ...feature.SourceField) sourcetest.Decoding {
	t.Helper()
	src := tripSource()
	src.Fields = append(src.Fields, more...)
	recs, settings := benchRecs(t)
	return sourcetest.Decoding{Decoder: newDecoder(t, src, settings), Fields: fieldsOf(src), Records: recs}
}

func BenchmarkDecode(b *testing.B) { tripDecoding(b).Bench(b) }

// BenchmarkYardstick decodes the same events with goavro, its codec reused.
func BenchmarkYardstick(b *testing.B) {
	values := trips(b, benchRecords)
	codec, err := goavro.NewCodec(tripSchema)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, v := range values {
			if _, _, err := codec.NativeFromBinary(v); err != nil {
				b.Fatal(err)
			}
		}
	}
	sourcetest.ReportPerEvent(b, benchRecords)
}

// BenchmarkNewSchema is what a schema that is seen for the first time costs.
func BenchmarkNewSchema(b *testing.B) {
	src := tripSource()
	recs, settings := benchRecs(b)
	var batch feature.Batch
	for b.Loop() {
		d := newDecoder(b, src, settings)
		batch.Reset(fieldsOf(src), 0)
		if err := d.Decode(b.Context(), &batch, recs[:1]); err != nil {
			b.Fatal(err)
		}
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	tripDecoding(t, declared("driver", feature.KindJSON), tags()).AllocatesNothing(t)
}

func TestTenMillionMutations(t *testing.T) {
	tripDecoding(t, declared("driver", feature.KindJSON), tags()).Mutations(t)
}

func tags() feature.SourceField {
	return feature.SourceField{Field: feature.Field{Name: "tags", Type: feature.ListOf(feature.Of(feature.KindString))}}
}
