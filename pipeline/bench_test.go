package pipeline

import (
	"context"
	"fmt"
	"testing"
	"time"

	"millrace/sinks"
	"millrace/sources"
)

// dropSink acknowledges after what a store's round trip takes.
type dropSink struct{ trip time.Duration }

func (d dropSink) Write(ctx context.Context, _ []sinks.Row) error {
	if d.trip > 0 {
		sleep(ctx, d.trip)
	}
	return nil
}

func (dropSink) Sync(context.Context) error                { return nil }
func (dropSink) Put(context.Context, []sinks.Letter) error { return nil }

// BenchmarkLane runs one lane whole, from Deliver to the mark, with a trivial
// decoder and transformer: what is measured is the lane itself and how far its
// batches and slots hide a store's round trip. A stand-in for a source copies
// every record once, as a client would.
func BenchmarkLane(b *testing.B) {
	for _, c := range []struct {
		rows, inFlight int
		trip           time.Duration
	}{
		{512, 3, 0},
		{1024, 3, 0},
		{2048, 1, 0},
		{2048, 3, 0},
		{4096, 3, 0},
		{512, 3, 2 * time.Millisecond},
		{1024, 3, 2 * time.Millisecond},
		{2048, 1, 2 * time.Millisecond},
		{2048, 2, 2 * time.Millisecond},
		{2048, 3, 2 * time.Millisecond},
		{2048, 4, 2 * time.Millisecond},
		{4096, 3, 2 * time.Millisecond},
	} {
		b.Run(fmt.Sprintf("rows=%d/inflight=%d/trip=%s", c.rows, c.inFlight, c.trip), func(b *testing.B) {
			benchLane(b, func(s *Settings) {
				s.MaxRows, s.InFlight, s.Sink = c.rows, c.inFlight, dropSink{c.trip}
			})
		})
	}
}

const benchFetch = 1000 // records; one op of the benchmark

func benchLane(b *testing.B, change func(*Settings)) {
	b.Helper()
	s := benchSettings()
	change(&s)
	src := s.Source.(*fakeSource)
	p, err := New(s)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	<-src.started
	if _, err := src.assign(fresh(p0)); err != nil {
		b.Fatal(err)
	}
	records := make([]sources.Record, benchFetch)
	for i := range records {
		records[i] = record(0, byte(i%200)+40, 10)
	}
	next, open := int64(0), true
	b.ReportAllocs()
	for b.Loop() {
		f := sources.Fetch{Partition: p0, Records: make([]sources.Record, benchFetch)}
		copy(f.Records, records)
		for i := range f.Records {
			f.Records[i].Offset = next
			next++
		}
		if !open {
			<-src.resumed
		}
		open = !src.h.Deliver(f)
	}
	for p.Snapshot()[0].Next != next {
		time.Sleep(100 * time.Microsecond)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(next), "ns/record")
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}
