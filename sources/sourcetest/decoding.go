package sourcetest

import (
	"testing"

	"millrace/feature"
	"millrace/sources"
)

// Decoding is a decoder, what it decodes into, and records that it all takes.
type Decoding struct {
	Decoder sources.Decoder
	Fields  []feature.Field
	Records []sources.Record
}

// fill decodes the records into b, which is reused.
func (d Decoding) fill(tb testing.TB, b *feature.Batch) {
	b.Reset(d.Fields, 0)
	if err := d.Decoder.Decode(tb.Context(), b, d.Records); err != nil {
		tb.Fatal(err)
	}
	if b.Rows() != len(d.Records) {
		tb.Fatalf("%d rows of %d records: %+v", b.Rows(), len(d.Records), b.Rejects)
	}
}

// Bench measures what one record costs when batches are reused.
func (d Decoding) Bench(b *testing.B) {
	b.Helper()
	var batch feature.Batch
	b.ReportAllocs()
	for b.Loop() {
		d.fill(b, &batch)
	}
	ReportPerEvent(b, len(d.Records))
}

// ReportPerEvent reports the time of each of the events that one loop decodes.
func ReportPerEvent(b *testing.B, events int) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
}

// AllocatesNothing fails t if decoding allocates once a few batches have passed.
func (d Decoding) AllocatesNothing(t *testing.T) {
	t.Helper()
	const warmUp, runs = 4, 20
	var batch feature.Batch
	for range warmUp {
		d.fill(t, &batch)
	}
	if n := testing.AllocsPerRun(runs, func() { d.fill(t, &batch) }); n > 0 {
		t.Errorf("decoding %d records allocates %v times", len(d.Records), n)
	}
}
