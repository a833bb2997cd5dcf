package transforms_test

import (
	"slices"
	"testing"
	"time"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sinks/rowcodec"
	"millrace/transforms"
	"millrace/transforms/fingerprint"
	"millrace/transforms/window"
)

// written is a view with what was written of it: rows in a store, tiles with
// fences.
type written struct {
	*tiles

	writer *transforms.Writer
	store  memory.Store
	fences map[tileKey]window.Fence
}

func newWritten(t *testing.T) *written {
	t.Helper()
	p := compile(t, windowed(view("", "last_fare = fare", "twice = qty * 2", "share @read = n_1h / nullif(n_1d, 0)"), someAggregates, "n_1h", "n_1d", "sum_1h", "before"))
	w := &written{tiles: newTiles(p), fences: make(map[tileKey]window.Fence)}
	id, err := sinks.NewSchemas(&w.store).Put(t.Context(), *p.Stored)
	if err != nil {
		t.Fatal(err)
	}
	p.Stored.ID = id
	if w.writer, err = p.NewWriter(p.Fields, transforms.DefaultMaxFutureSkew); err != nil {
		t.Fatal(err)
	}
	return w
}

// event writes one event of a driver, and what it does to tiles.
func (w *written) event(t *testing.T, id int, at time.Time, offset int64, partition int32, deleted bool) {
	t.Helper()
	var in feature.Batch
	var out feature.Rows
	fill(&in, w.plan.Fields, []row{{driver: id, fare: float64(offset), km: 1.0, qty: 1, status: "a", event: at.UnixMilli(), record: noon.UnixMilli()}})
	in.Partition = partition
	in.Origins[0].Offset, in.Origins[0].Deleted = offset, deleted
	w.writer.Apply(&in, 0, &out)
	buf := new(sinks.Buffer)
	rowcodec.NewEncoder().Encode(buf, &out)
	if err := w.store.Write(t.Context(), buf.Rows); err != nil || len(buf.Rows) != 1 {
		t.Fatalf("%v, rejects %+v", err, out.Rejects)
	}
	if deleted {
		return
	}
	if w.counted(id, at, offset, partition) {
		return
	}
	w.count(&out)
	for hop := range w.plan.Windows.Hops {
		key := tileKey{int64(id), hop, window.TileStart(at.UnixMicro(), w.plan.Windows.Hops[hop].Span), partition}
		if f := (window.Fence{Topic: 1, Next: offset + 1}); w.fences[key].Less(f) {
			w.fences[key] = f
		}
	}
}

// counted reports whether tiles have counted an event, as a lane asks them.
func (w *written) counted(id int, at time.Time, offset int64, partition int32) bool {
	hop := w.plan.Windows.Hops[0].Span
	return offset < w.fences[tileKey{int64(id), 0, window.TileStart(at.UnixMicro(), hop), partition}].Next
}

// print reads the inputs of a model of driver 1 at a time, together with other
// features, and returns their fingerprint.
func (w *written) print(t *testing.T, p *transforms.Printer, now time.Time, also ...string) []byte {
	t.Helper()
	s := p.Sources()[0]
	r, err := w.plan.NewReader(slices.Concat(also, s.Features))
	if err != nil {
		t.Fatal(err)
	}
	q := &feature.Query{Entity: "driver", Keys: []string{"0", "1"}, Views: []feature.ViewQuery{{View: w.plan.View.StoredName(), Columns: r.Columns(), Hash: true}}}
	loaded := make([]feature.Loaded, 1)
	if err := rowcodec.NewReader(&w.store, sinks.NewSchemas(&w.store)).Read(t.Context(), q, loaded); err != nil {
		t.Fatal(err)
	}
	if windows := r.Windows(); windows != nil {
		windows.KeepTiles(true)
		windows.Reset(2, now.UnixMicro())
		for row := range 2 {
			for h, want := range windows.Ranges() {
				for key, tile := range w.cells {
					if key.driver == int64(row) && w.plan.Windows.Hops[key.hop].Span == want.Hop && key.start >= want.Span.From && key.start < want.Span.To {
						if err := windows.Add(h, key.start, key.partition, tile.Snapshot(w.fences[key], nil)); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			windows.EndRow(row)
		}
	}
	p.Begin()
	p.Add(0, &loaded[0], r.Windows(), 1)
	return p.Append(nil)
}

var noon = time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC)

// TestWhatMakesAPredictionStale goes the whole way: events, rows and tiles,
// reads, fingerprints.
func TestWhatMakesAPredictionStale(t *testing.T) {
	ago := func(d time.Duration) time.Time { return noon.Add(-d) }
	for _, c := range []struct {
		name   string
		inputs []string
		do     func(w *written)
		later  time.Duration
		also   []string // read with it the second time
		want   fingerprint.Rule
	}{
		{"nothing", []string{"last_fare", "n_1h"}, func(*written) {}, 0, nil, fingerprint.Fresh},
		{"time, and windows that slide", []string{"last_fare", "share"}, func(*written) {}, 30 * time.Minute, nil, fingerprint.Fresh},
		{"time, until all has slid out", []string{"last_fare", "share"}, func(*written) {}, 72 * time.Hour, nil, fingerprint.Fresh},
		{"a replay", []string{"last_fare", "n_1h"}, func(w *written) { w.event(t, 1, ago(5*time.Minute), 12, 0, false) }, 0, nil, fingerprint.Fresh},
		{"another driver", []string{"last_fare", "n_1h"}, func(w *written) { w.event(t, 0, ago(time.Minute), 99, 0, false) }, 0, nil, fingerprint.Fresh},
		{"an event", []string{"last_fare"}, func(w *written) { w.event(t, 1, ago(time.Minute), 99, 0, false) }, 0, nil, fingerprint.ChangedRow},
		{"an event, of windows alone", []string{"n_1h"}, func(w *written) { w.event(t, 1, ago(time.Minute), 99, 0, false) }, 0, nil, fingerprint.NewEvents},
		{"an event of another partition", []string{"n_1h"}, func(w *written) { w.event(t, 1, ago(time.Minute), 0, 7, false) }, 0, nil, fingerprint.NewEvents},
		{"an older event, of the row alone", []string{"last_fare"}, func(w *written) { w.event(t, 1, ago(20*time.Minute), 99, 0, false) }, 0, nil, fingerprint.Fresh},
		{"an older event", []string{"last_fare", "n_1h"}, func(w *written) { w.event(t, 1, ago(20*time.Minute), 99, 0, false) }, 0, nil, fingerprint.NewEvents},
		{"an event of an earlier record, that is seen later", []string{"n_1h"}, func(w *written) { w.event(t, 1, ago(35*time.Minute), 2, 0, false) }, 0, nil, fingerprint.NewEvents},
		{"an event before the window", []string{"last_fare", "n_1h"}, func(w *written) { w.event(t, 1, ago(5*time.Hour), 99, 0, false) }, 0, nil, fingerprint.Fresh},
		{
			"other features beside it",
			[]string{"n_1h"},
			func(w *written) { w.event(t, 1, ago(90*time.Minute), 99, 0, false) },
			0,
			[]string{"before", "sum_1h", "n_1d", "last_fare"},
			fingerprint.Fresh,
		},
		{"an event of windows behind a feature", []string{"share"}, func(w *written) { w.event(t, 1, ago(5*time.Hour), 99, 0, false) }, 0, nil, fingerprint.NewEvents},
		{"a delete", []string{"last_fare"}, func(w *written) { w.event(t, 1, ago(time.Minute), 99, 0, true) }, 0, nil, fingerprint.ChangedRow},
		{"a delete, of windows alone", []string{"n_1h"}, func(w *written) { w.event(t, 1, ago(time.Minute), 99, 0, true) }, 0, nil, fingerprint.Fresh},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWritten(t)
			m := &feature.Model{Name: "m", Entity: "driver", Cache: true, Endpoint: "http://m", Revision: 1, Outputs: []feature.ModelOutput{{Name: "o", Type: feature.Of(feature.KindBool)}}}
			for _, name := range c.inputs {
				m.Inputs = append(m.Inputs, feature.FeatureRef{View: "driver_trips", Feature: name})
			}
			model, err := transforms.CompileModel(m, driver, map[string]*transforms.Plan{"driver_trips": w.plan}, nil)
			if err != nil {
				t.Fatal(err)
			}
			p := model.NewPrinter()
			w.event(t, 1, ago(15*time.Minute), 10, 0, false)
			w.event(t, 1, ago(10*time.Minute), 11, 1, false)
			w.event(t, 1, ago(5*time.Minute), 12, 0, false)
			before := w.print(t, p, noon)
			c.do(w)
			after := w.print(t, p, noon.Add(c.later), c.also...)
			v, err := fingerprint.Compare(before, after)
			if err != nil || v.Rule != c.want || v.Stale() && v.View != "driver_trips" {
				t.Errorf("%+v, %v; want %s", v, err, c.want)
			}
			if back, err := fingerprint.Compare(after, after); err != nil || back.Stale() {
				t.Errorf("with itself: %+v, %v", back, err)
			}
		})
	}
}

// TestADeletedRowIsNone: whether a row was deleted, deleted again, or never
// there, a prediction is of no row.
func TestADeletedRowIsNone(t *testing.T) {
	m := &feature.Model{Name: "m", Entity: "driver", Inputs: []feature.FeatureRef{{View: "driver_trips", Feature: "last_fare"}}}
	prints := func(deletes int) []byte {
		w := newWritten(t)
		model, err := transforms.CompileModel(m, driver, map[string]*transforms.Plan{"driver_trips": w.plan}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range deletes {
			w.event(t, 1, noon.Add(time.Duration(i)*time.Second), int64(i), 0, true)
		}
		return w.print(t, model.NewPrinter(), noon)
	}
	for deletes := 1; deletes < 3; deletes++ {
		if v, err := fingerprint.Compare(prints(0), prints(deletes)); err != nil || v.Stale() {
			t.Errorf("%d deletes: %+v, %v", deletes, v, err)
		}
	}
}

// TestPrintsOfValues are of the values and of how the model takes them.
func TestPrintsOfValues(t *testing.T) {
	number := func(v float64) *feature.Column {
		c := new(feature.Column)
		c.Reset(feature.Of(feature.KindFloat64))
		c.Resize(1)
		c.SetFloat(0, v)
		return c
	}
	p, other := modelOf(t, "v:last_fare, w:fare").NewPrinter(), modelOf(t, "w:fare, v:last_fare").NewPrinter()
	one := p.AppendValues(nil, []*feature.Column{number(1), number(2)}, 0, false)
	for _, c := range []struct {
		print []byte
		want  fingerprint.Rule
	}{
		{p.AppendValues(nil, []*feature.Column{number(1), number(2)}, 0, false), fingerprint.Fresh},
		{p.AppendValues(nil, []*feature.Column{number(2), number(1)}, 0, false), fingerprint.ChangedValues},
		{p.AppendValues(nil, []*feature.Column{number(1), number(2)}, 0, true), fingerprint.ChangedValues},
		{other.AppendValues(nil, []*feature.Column{number(1), number(2)}, 0, false), fingerprint.ChangedModel},
	} {
		if v, err := fingerprint.Compare(one, c.print); err != nil || v.Rule != c.want {
			t.Errorf("%+v, %v; want %s", v, err, c.want)
		}
	}
}
