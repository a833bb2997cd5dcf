package jsonrec_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/jsonrec"
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
	src, recs := tripSource(), trips(benchRecords)
	fields := fieldsOf(src)
	d, err := jsonrec.New(src, fields)
	if err != nil {
		b.Fatal(err)
	}
	var batch feature.Batch
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset(fields, 0)
		if err := d.Decode(b.Context(), &batch, recs); err != nil {
			b.Fatal(err)
		}
	}
	if batch.Rows() != benchRecords {
		b.Fatal(batch.Rejects[0])
	}
	reportPerEvent(b)
}

func reportPerEvent(b *testing.B) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchRecords), "ns/event")
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
	reportPerEvent(b)
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	src, recs := tripSource(), trips(benchRecords)
	src.Fields = append(src.Fields, feature.SourceField{
		Field: feature.Field{Name: "tags", Type: feature.ListOf(feature.Of(feature.KindString))},
	})
	for i := range recs {
		v := recs[i].Value
		recs[i].Value = append(v[:len(v)-1], `,"tags":["a","b\n"]}`...) //nolint:gocritic // the record is the benchmark's own
	}
	raw, err := jsonrec.New(src, fieldsOf(src))
	if err != nil {
		t.Fatal(err)
	}
	allocatesNothing(t, raw, fieldsOf(src), recs)

	columns := slices.Delete(slices.Clone(src.Fields), 0, 2) // the key, and one that lies deeper
	columns = append(columns, declared("newer", feature.KindString))
	columns[len(columns)-1].Optional = true
	finished, err := jsonrec.NewFinished(fieldsOf(src)[:1], columns)
	if err != nil {
		t.Fatal(err)
	}
	allocatesNothing(t, finished, append(fieldsOf(src)[:1], fieldsOf(&feature.Source{Fields: columns})...), recs)
}

func allocatesNothing(t *testing.T, d *jsonrec.Decoder, fields []feature.Field, recs []sources.Record) {
	t.Helper()
	var batch feature.Batch
	fill := func() {
		batch.Reset(fields, 0)
		if err := d.Decode(t.Context(), &batch, recs); err != nil || batch.Rows() != len(recs) {
			t.Fatal(err, batch.Rejects)
		}
	}
	for range 4 {
		fill()
	}
	if n := testing.AllocsPerRun(20, fill); n > 0 {
		t.Errorf("decoding %d records allocates %v times", len(recs), n)
	}
}
