package direct

import (
	"context"
	"fmt"
	"testing"
	"time"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/pipeline"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sinks/rowcodec"
	"millrace/sources"
	"millrace/sources/envelope"
	"millrace/sources/jsonrec"
	"millrace/sources/unnest"
	"millrace/transforms"
)

const definitions = `
project: p
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
  - {name: item, join_keys: [{name: sku, type: string}]}
sources:
  - name: trips
    kafka: {topic: trips}
    format: json
    fields:
      - {name: driver_id, type: int64}
      - {name: fare, type: float64}
      - {name: code, type: string}
      - {name: items, of: [{name: sku, type: string}, {name: qty, type: int64}]}
      - {name: at, type: timestamp, unit: ms}
    event_time: at
views:
  - name: fares
    entity: driver
    source: trips
    where: fare > 0
    features: [{name: amount, expr: fare * 2}]
  - name: codes
    entity: driver
    source: trips
    features: [{name: number, expr: cast(code as bigint)}]
  - name: sold
    entity: item
    source: trips
    unnest: {field: items, as: item}
    keys: {sku: item.sku}
    features: [{name: qty, expr: item.qty}]
  - name: counts
    entity: driver
    source: trips
    features: [{name: trips, agg: count, window: 1h}]
`

// base is the clock of every test, in milliseconds.
const base = 1_790_000_000_000

func clock() time.Time { return time.UnixMilli(base) }

// route makes the route of the definitions' only source with the views whose
// names are given.
func route(t testing.TB, names ...string) pipeline.Route {
	t.Helper()
	p, err := definition.Load([]definition.File{{Name: "a.yaml", Data: []byte(definitions)}})
	if err != nil {
		t.Fatal(err)
	}
	src := p.Catalog.Sources[0]
	var plans []*transforms.Plan
	for _, name := range names {
		plan := p.Plans[name]
		plan.View.Revision, plan.View.Generation = 1, 1
		plans = append(plans, plan)
	}
	r := pipeline.Route{Source: src.Name, Topic: src.Topic, Views: make([]pipeline.RouteView, len(plans))}
	for i, s := range transforms.Shapes(src, plans) {
		r.Shapes = append(r.Shapes, pipeline.Shape{Fields: s.Fields, NewDecoder: func() sources.Decoder { return decoder(t, src, s) }})
		for _, at := range s.Plans {
			r.Views[at] = view(t, src, plans[at], i, s.Fields)
		}
	}
	return r
}

func view(t testing.TB, src *feature.Source, p *transforms.Plan, shape int, fields []feature.Field) pipeline.RouteView {
	const skew = transforms.DefaultMaxFutureSkew
	return pipeline.RouteView{
		View: p.View, Shape: shape, Windows: p.Windows,
		NewTransformer: func() pipeline.Transformer { return must(p.NewWriter(fields, skew))(t) },
		Finished: pipeline.FinishedRows{
			Fields: p.FinishedFields(),
			NewDecoder: func() sources.Decoder {
				inner := must(jsonrec.NewFinished(p.Entity.JoinKeys, p.FinishedColumns()))(t)
				return must(envelope.NewFinished(src, p.FinishedFields(), len(p.Entity.JoinKeys), inner, formats))(t)
			},
			NewTransformer: func() pipeline.Transformer { return p.NewFinishedWriter(skew) },
		},
	}
}

var formats = envelope.Formats{Value: newJSON, JSON: newJSON}

func newJSON(src *feature.Source, fields []feature.Field) (sources.Decoder, error) {
	return jsonrec.New(src, fields)
}

func decoder(t testing.TB, src *feature.Source, s transforms.Shape) sources.Decoder {
	if s.Unnest == nil {
		return must(envelope.New(src, s.Fields, formats))(t)
	}
	return must(unnest.New(src, *s.Unnest, s.Fields, func(p unnest.Part) (sources.Decoder, error) { return newJSON(p.Source, p.Fields) }))(t)
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func applier(t testing.TB, sink sinks.Sink, names ...string) *Applier {
	t.Helper()
	return New(Settings{
		Routes: []pipeline.Route{route(t, names...)}, Sink: sink, Clock: clock,
		NewEncoder: func() sinks.Encoder { return rowcodec.NewEncoder() },
	})
}

// raw and finished make a record of a row, or of one of a view.
func raw(value string) sources.Record { return sources.Record{Value: []byte(value)} }

func finished(view, value string) sources.Record {
	r := raw(value)
	r.Headers = []sources.Header{
		{Key: sources.HeaderTransformOnWrite, Value: []byte("false")}, {Key: sources.HeaderView, Value: []byte(view)},
	}
	return r
}

// oneFetch is a log of one partition that holds recs.
type oneFetch struct {
	recs []sources.Record
	done chan struct{} // closed when everything is committed
}

var p0 = sources.Partition{Topic: "trips"}

func (s *oneFetch) Run(ctx context.Context, h sources.Handler) error {
	if _, err := h.Assigned(ctx, []sources.Assignment{{Partition: p0, Committed: -1, LogEnd: int64(len(s.recs))}}); err != nil {
		return fmt.Errorf("assign: %w", err)
	}
	h.Deliver(sources.Fetch{Partition: p0, Records: append([]sources.Record(nil), s.recs...), LogEnd: int64(len(s.recs))})
	<-ctx.Done()
	h.Revoked(context.WithoutCancel(ctx), []sources.Partition{p0})
	return nil
}

func (*oneFetch) Resume(sources.Partition, int64) {}

func (s *oneFetch) Commit(_ context.Context, marks []sources.Mark) error {
	for _, m := range marks {
		if m.Offset == int64(len(s.recs)) {
			select {
			case <-s.done:
			default:
				close(s.done)
			}
		}
	}
	return nil
}

// throughLane puts recs through a lane into a store of its own.
func throughLane(t testing.TB, recs []sources.Record, names ...string) *memory.Store {
	t.Helper()
	store := new(memory.Store)
	src := &oneFetch{recs: recs, done: make(chan struct{})}
	p, err := pipeline.New(pipeline.Settings{
		Source: src, Routes: []pipeline.Route{route(t, names...)}, Sink: store, DeadLetter: store, Epochs: sinks.NewEpochs(store),
		NewEncoder:    func() sinks.Encoder { return rowcodec.NewEncoder() },
		LatestVersion: func(context.Context) (int64, error) { return 0, nil },
		Clock:         clock, CommitInterval: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	select {
	case <-src.done:
		stop()
	case <-ctx.Done():
		t.Error("the lane did not finish")
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return store
}
