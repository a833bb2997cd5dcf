package pipeline

import (
	"context"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sources"
)

// TestTrackerIsThePrefixOfFinishedBatches compares the tracker with the plain
// definition, over random orders of finishing.
func TestTrackerIsThePrefixOfFinishedBatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tr tracker
		tr.reset(10)
		next, ends, finished := int64(10), []int64(nil), make(map[int]bool)
		var ids []int64
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if len(ids) == 0 || rapid.Bool().Draw(t, "begin") {
				next += rapid.Int64Range(1, 9).Draw(t, "gap")
				ids, ends = append(ids, tr.begin(next)), append(ends, next)
			} else if i := rapid.IntRange(0, len(ids)-1).Draw(t, "finish"); !finished[i] {
				finished[i] = true
				tr.finish(ids[i], false)
			}
			want := int64(10)
			for i := range ends {
				if !finished[i] {
					break
				}
				want = ends[i]
			}
			if tr.mark != want {
				t.Fatalf("mark %d, want %d", tr.mark, want)
			}
		}
	})
}

func TestTrackerIgnoresBatchesFromBeforeAReset(t *testing.T) {
	var tr tracker
	tr.reset(0)
	old := tr.begin(5)
	tr.reset(3)
	id := tr.begin(4)
	tr.finish(old, false)
	if tr.mark != 3 {
		t.Errorf("mark %d", tr.mark)
	}
	tr.finish(id, false)
	if tr.mark != 4 {
		t.Errorf("mark %d", tr.mark)
	}
}

func TestMetadataRoundTrip(t *testing.T) {
	for _, m := range []metadata{{}, {Catalog: 7, Topic: "ab", Recovery: 2}} {
		got, ok := parseMetadata(m.encode())
		if ok != (m.Topic != "") || (ok && got != m) {
			t.Errorf("%+v comes back as %+v, %v", m, got, ok)
		}
	}
	for _, foreign := range []string{"", "host-1", `{"catalog":3}`, "{"} {
		if _, ok := parseMetadata(foreign); ok {
			t.Errorf("%q is taken for ours", foreign)
		}
	}
}

func TestCoalescerKeepsTheNewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b sinks.Buffer
		want := map[string]sinks.Row{}
		n := rapid.IntRange(0, 50).Draw(t, "n")
		for range n {
			r := sinks.Row{
				Key:   rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"),
				Stamp: rapid.Int64Range(0, 3).Draw(t, "stamp"), Value: []byte{byte(rapid.IntRange(0, 3).Draw(t, "value"))},
			}
			b.Rows, b.Origins = append(b.Rows, r), append(b.Origins, feature.Origin{EventMicros: r.Stamp})
			if old, ok := want[r.Key]; !ok || r.Newer(&old) {
				want[r.Key] = r
			}
		}
		var c coalescer
		if superseded := c.keepNewest(&b, 0); superseded != n-len(want) {
			t.Fatalf("%d superseded of %d", superseded, n)
		}
		for i, r := range b.Rows {
			if w := want[r.Key]; r.Newer(&w) || w.Newer(&r) || b.Origins[i].EventMicros != r.Stamp {
				t.Fatalf("row %+v, want %+v", r, w)
			}
			delete(want, r.Key)
		}
		if len(want) > 0 {
			t.Fatalf("missing %v", want)
		}
	})
}

// BenchmarkLane measures what the lane itself adds per record: take, fake
// decode, coalesce, track.
func BenchmarkFill(b *testing.B) {
	p, err := New(benchSettings())
	if err != nil {
		b.Fatal(err)
	}
	l := newLane(p, &p.s.Routes[0], fresh(p0))
	f := fetch(p0)
	for i := range 512 {
		f.Records = append(f.Records, record(int64(i), byte(rand.IntN(200)+40), 10))
	}
	s := <-l.slots
	batch := f.Records
	b.ReportAllocs()
	for b.Loop() {
		f.Records = append(f.Records[:0:0], batch...)
		l.deliver(f)
		l.fill(s)
		l.mu.tracker.finish(s.id, false)
		l.release(s.bytes)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*512), "ns/record")
}

func benchSettings() Settings {
	view := &feature.View{Name: "v", Entity: "e", Revision: 1}
	store := new(memory.Store)
	return Settings{
		Source: newFakeSource(), NewEncoder: func() sinks.Encoder { return fakeEncoder{} }, Sink: store, DeadLetter: store,
		Epochs: sinks.NewEpochs(store), LatestVersion: func(context.Context) (int64, error) { return 0, nil },
		Routes: []Route{{
			Source: "trips", Topic: "trips",
			Shapes: []Shape{{Fields: keyField, NewDecoder: func() sources.Decoder { return fakeDecoder{new(faults)} }}},
			Views:  []RouteView{fakeView(view)},
		}},
	}
}
