package rest_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/pipeline"
	"millrace/pipeline/direct"
	"millrace/serving"
	"millrace/serving/push"
	"millrace/serving/rest"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sinks/rowcodec"
	"millrace/sources"
	"millrace/sources/jsonrec"
	"millrace/transforms"
)

// pushWorld is the API over a store that it writes and reads, as cmd/millrace
// connects it, and the other side of push.Topic.
type pushWorld struct {
	t       testing.TB
	store   *memory.Store
	sink    sinks.Sink // what is written to; nil is store
	topic   *fakeTopic
	now     time.Time // zero is the real one
	limits  serving.PushLimits
	events  push.Events
	project *definition.Project
	handler http.Handler
}

func newPushWorld(t testing.TB) *pushWorld {
	return &pushWorld{t: t, store: new(memory.Store), topic: new(fakeTopic), now: time.UnixMilli(1_790_000_000_000)}
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

func (w *pushWorld) define(yaml string) {
	w.t.Helper()
	w.project = must(definition.Load([]definition.File{{Name: "p.yaml", Data: []byte(yaml)}}))(w.t)
	schemas := sinks.NewSchemas(w.store)
	for _, p := range w.project.Plans {
		p.Stored.ID = must(schemas.Put(context.Background(), *p.Stored))(w.t)
	}
	for _, p := range w.project.Models {
		p.Stored.ID = must(schemas.Put(context.Background(), *p.Stored))(w.t)
	}
	w.handler = nil
}

func (w *pushWorld) serve(rw http.ResponseWriter, r *http.Request) {
	if w.handler == nil {
		w.handler = w.make()
	}
	w.handler.ServeHTTP(rw, r)
}

func (w *pushWorld) make() http.Handler {
	clock := time.Now
	if !w.now.IsZero() {
		clock = func() time.Time { return w.now }
	}
	if w.sink == nil {
		w.sink = w.store
	}
	predictions := rowcodec.NewWriter(w.sink)
	servers := make(map[string]serving.Predictor)
	for _, m := range w.project.Catalog.Models {
		if m.Endpoint != "" {
			servers[m.Name] = deadModel{}
		}
	}
	svc := must(serving.New(serving.Settings{
		Catalog: w.project.Catalog, Plans: w.project.Plans, OnDemand: w.project.OnDemand, Clock: clock,
		Models: w.project.Models, Predictors: servers, Predictions: predictions,
		Store: rowcodec.NewReader(w.store, sinks.NewSchemas(w.store)),
	}))(w.t)
	var routes []pipeline.Route
	for _, src := range w.project.Catalog.Sources {
		r := pipeline.Route{Source: src.Name, Topic: src.Name, Finished: !src.TransformOnWrite}
		var plans []*transforms.Plan
		for _, v := range w.project.Catalog.ViewsOf(src.Name) {
			plans = append(plans, w.project.Plans[v.Name])
		}
		fields := transforms.Fields(src, plans)
		r.Shapes = []pipeline.Shape{{Fields: fields, NewDecoder: func() sources.Decoder { return must(jsonrec.New(src.Flat(), fields))(w.t) }}}
		for _, p := range plans {
			r.Views = append(r.Views, pipeline.RouteView{
				View: p.View, Windows: p.Windows,
				NewTransformer: func() pipeline.Transformer { return must(p.NewWriter(fields, transforms.DefaultMaxFutureSkew))(w.t) },
				Finished: pipeline.FinishedRows{
					Fields:         p.FinishedFields(),
					NewDecoder:     func() sources.Decoder { return must(jsonrec.NewFinished(p.Entity.JoinKeys, p.FinishedColumns()))(w.t) },
					NewTransformer: func() pipeline.Transformer { return p.NewFinishedWriter(transforms.DefaultMaxFutureSkew) },
				},
			})
		}
		if len(plans) > 0 {
			routes = append(routes, r)
		}
	}
	a := applier{direct.New(direct.Settings{
		Routes: routes, Sink: w.sink, Clock: clock, NewEncoder: func() sinks.Encoder { return rowcodec.NewEncoder() },
	})}
	writes := must(push.New(push.Settings{
		Catalog: w.project.Catalog, Plans: w.project.Plans, Applier: a,
		Models: w.project.Models, Predictions: predictions, NewDecoder: newRowDecoder,
		Topic: w.topic, Limits: w.limits, Clock: clock, Events: w.events,
	}))(w.t)
	return rest.Handler(svc, rest.Settings{Writer: writes, PushLimits: w.limits})
}

// deadModel is a server that answers nothing.
type deadModel struct{}

func (deadModel) Predict(_ context.Context, q *serving.Inference, dst *serving.Inferred) error {
	dst.Faults, dst.Shared = make([]serving.InferenceFault, q.Rows), feature.Bitmap(nil).Resize(q.Rows)
	for i := range dst.Faults {
		dst.Faults[i].Reason = "unavailable"
	}
	return nil
}

// rowDecoder connects the two, as cmd/millrace does.
type rowDecoder struct{ *jsonrec.Decoder }

func newRowDecoder(keys []feature.Field, columns []feature.SourceField) (push.RowDecoder, error) {
	d, err := jsonrec.NewFinished(keys, columns)
	return rowDecoder{d}, err
}

func (d rowDecoder) Decode(ctx context.Context, dst *feature.Batch, rows []push.Row) error {
	recs := make([]sources.Record, len(rows))
	for i, r := range rows {
		recs[i] = sources.Record{Value: r.Value, TimeMillis: r.Millis}
	}
	return d.Decoder.Decode(ctx, dst, recs)
}

// applier connects the two, as cmd/millrace does.
type applier struct{ *direct.Applier }

func (a applier) Apply(ctx context.Context, source, view string, rows []push.Row) (push.Applied, error) {
	recs := make([]sources.Record, len(rows))
	for i, r := range rows {
		recs[i] = sources.Record{Key: r.Key, Value: r.Value, TimeMillis: r.Millis}
		for _, h := range r.Headers {
			recs[i].Headers = append(recs[i].Headers, sources.Header(h))
		}
	}
	b, err := a.Applier.Apply(ctx, source, view, recs)
	if err != nil {
		return nil, err
	}
	v := &push.Verdict{Keys: b.Keys}
	for _, e := range b.Ends {
		v.Ends = append(v.Ends, push.End(e))
	}
	for _, f := range b.Faults {
		v.Faults = append(v.Faults, serving.RowFault(f))
	}
	for _, e := range b.Views {
		v.Views = append(v.Views, serving.PushEnds(e))
	}
	return applied{b, v}, nil
}

type applied struct {
	*direct.Batch
	v *push.Verdict
}

func (a applied) Verdict() *push.Verdict { return a.v }

// fakeTopic is a log that a test looks into.
type fakeTopic struct {
	taken   func(ctx context.Context, rows int) error // waits until a lane has stored so many; nil takes no time
	mu      sync.Mutex                                // guards rows while requests are under way
	rows    []push.Row
	state   string // "" up, down, silent: nothing is taken in
	letters []push.Refusal
}

func (f *fakeTopic) Publish(_ context.Context, _ string, rows []push.Row) ([]push.Position, error) {
	if f.state == "down" {
		return nil, errors.New("no brokers at 10.0.0.1")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	at := make([]push.Position, len(rows))
	for i := range rows {
		at[i] = push.Position{TopicID: [16]byte{7}, Partition: 1, Offset: int64(len(f.rows) + i), Millis: rows[i].Millis}
	}
	for _, r := range rows { // they are the caller's again, who uses the memory for the next request
		r.Key, r.Value, r.Headers = bytes.Clone(r.Key), bytes.Clone(r.Value), slices.Clone(r.Headers)
		f.rows = append(f.rows, r)
	}
	return at, nil
}

func (f *fakeTopic) Await(ctx context.Context, _ string, at []push.Position) error {
	if f.taken != nil {
		return f.taken(ctx, len(at))
	}
	if f.state == "silent" {
		<-ctx.Done()
	}
	return ctx.Err()
}

func (f *fakeTopic) Passed(_ context.Context, _ string, at []push.Position) (int, error) {
	switch f.state {
	case "silent":
		return 0, nil
	case "other":
		return 0, push.ErrOtherTopic
	}
	return len(at), nil
}

func (f *fakeTopic) Letters(context.Context, string, []push.Position) ([]push.Refusal, error) {
	return f.letters, nil
}
