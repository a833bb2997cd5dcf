package jsonrec_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/jsonrec"
	"millrace/sources/sourcetest"
)

// trips are n events of 14 fields, about 300 bytes each.
func trips(n int) []sources.Record {
	recs := make([]sources.Record, n)
	for i := range recs {
		recs[i] = sources.Record{Offset: int64(i), TimeMillis: 1_700_000_000_000, Value: fmt.Appendf(nil,
			`{"trip_id":"t-%08d","driver":{"id":%d,"name":"driver %d"},"passenger_id":%d,"fare":%d.25,"km":%d.5,`+
				`"status":"completed","city":"Lisbon","tip":1.5,"rating":4,"surge":false,"vehicle":"sedan",`+
				`"promo":null,"completed_at":"2023-11-14T22:13:20.123Z"}`, i, 1000+i%100, i%100, 50000+i, 10+i%40, 3+i%20)}
	}
	return recs
}

// tripSource declares the ten fields that are decoded.
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

func BenchmarkDecode(b *testing.B) {
	src := tripSource()
	decoding(b, src, trips(benchRecords)).Bench(b)
}

// BenchmarkQuoted decodes the ten fields with their numbers in quotes.
func BenchmarkQuoted(b *testing.B) {
	src, recs := quoted()
	decoding(b, src, recs).Bench(b)
}

// quoted are trips whose numbers stand in quotes.
func quoted() (*feature.Source, []sources.Record) {
	src, recs := tripSource(), trips(benchRecords)
	for i := range src.Fields {
		kind := src.Fields[i].Type.Kind
		src.Fields[i].Quoted = kind >= feature.KindInt32 && kind <= feature.KindFloat64
	}
	bare := regexp.MustCompile(`":([0-9.]+)`)
	for i := range recs {
		recs[i].Value = bare.ReplaceAll(recs[i].Value, []byte(`":"$1"`))
	}
	return src, recs
}

func decoding(tb testing.TB, src *feature.Source, recs []sources.Record) sourcetest.Decoding {
	tb.Helper()
	d, err := jsonrec.New(src, fieldsOf(src))
	if err != nil {
		tb.Fatal(err)
	}
	return sourcetest.Decoding{Decoder: d, Fields: fieldsOf(src), Records: recs}
}

// BenchmarkYardstick decodes the same ten fields with encoding/json.
func BenchmarkYardstick(b *testing.B) {
	type trip struct {
		TripID string `json:"trip_id"`
		Driver struct {
			ID int64 `json:"id"`
		} `json:"driver"`
		PassengerID int64     `json:"passenger_id"`
		Fare        float64   `json:"fare"`
		Km          float64   `json:"km"`
		Status      string    `json:"status"`
		Tip         float64   `json:"tip"`
		Rating      int32     `json:"rating"`
		Surge       bool      `json:"surge"`
		CompletedAt time.Time `json:"completed_at"`
	}
	recs := trips(benchRecords)
	b.ReportAllocs()
	for b.Loop() {
		for i := range recs {
			var v trip
			if err := json.Unmarshal(recs[i].Value, &v); err != nil {
				b.Fatal(err)
			}
		}
	}
	sourcetest.ReportPerEvent(b, benchRecords)
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	src, recs := tagged()
	decoding(t, src, recs).AllocatesNothing(t)
	inQuotes, quotedRecs := quoted()
	decoding(t, inQuotes, quotedRecs).AllocatesNothing(t)

	columns := slices.Delete(slices.Clone(src.Fields), 0, 2) // the key, and one that lies deeper
	columns = append(columns, declared("newer", feature.KindString))
	columns[len(columns)-1].Optional = true
	finished, err := jsonrec.NewFinished(fieldsOf(src)[:1], columns)
	if err != nil {
		t.Fatal(err)
	}
	fields := slices.Concat(fieldsOf(src)[:1], fieldsOf(&feature.Source{Fields: columns}))
	sourcetest.Decoding{Decoder: finished, Fields: fields, Records: recs}.AllocatesNothing(t)
}

func TestTenMillionMutations(t *testing.T) {
	src, recs := tagged()
	decoding(t, src, recs).Mutations(t)
}

// tagged are trips with tags, and their source.
func tagged() (*feature.Source, []sources.Record) {
	src, recs := tripSource(), trips(benchRecords)
	src.Fields = append(src.Fields, feature.SourceField{
		Field: feature.Field{Name: "tags", Type: feature.ListOf(feature.Of(feature.KindString))},
	})
	for i := range recs {
		v := recs[i].Value
		recs[i].Value = append(v[:len(v)-1], `,"tags":["a","b\n"]}`...) //nolint:gocritic // the record is the benchmark's own
	}
	return src, recs
}
