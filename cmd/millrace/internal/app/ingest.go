package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/sourcegraph/conc"

	"millrace/cmd/millrace/internal/config"
	"millrace/feature"
	"millrace/feature/definition"
	"millrace/feature/history"
	"millrace/internal/telemetry"
	"millrace/pipeline"
	"millrace/sinks"
	"millrace/sinks/rowcodec"
	"millrace/sources"
	"millrace/sources/kafka"
	"millrace/transforms"
)

// Ingest is a pipeline with what copies records for rekeyed views beside it.
type Ingest struct {
	*pipeline.Pipeline

	rekeyers []*rekeyer
	changes  Changes // or nil
}

// Run works until ctx ends or the pipeline fails for good.
func (i *Ingest) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var copying conc.WaitGroup
	for _, r := range i.rekeyers {
		copying.Go(func() { r.relay.Run(ctx) })
	}
	err := i.Pipeline.Run(ctx)
	stop()
	copying.Wait()
	if i.changes != nil {
		_ = i.changes.Close()
	}
	return err //nolint:wrapcheck // says already what
}

// ErrNothingToIngest is wrapped when every row of a project comes through the
// API.
var ErrNothingToIngest = errors.New("there is nothing to ingest")

// NewIngest wires a pipeline: every source of the catalog that has a topic,
// into store. alone lets what copies records go on by itself where a person
// would run `millrace recover`; more is told what happens beside metrics and logs.
func NewIngest(c *config.Config, p *definition.Project, store Store, m *telemetry.Metrics, log *slog.Logger, alone bool, more ...pipeline.Events) (*Ingest, error) {
	if err := c.RequireKafka(); err != nil {
		return nil, err //nolint:wrapcheck // says already what and where
	}
	d, err := newDecoders(c)
	if err != nil {
		return nil, err
	}
	routes, topics, err := routes(c, p, d)
	if err != nil {
		return nil, err
	}
	ks := kafkaSettings(c, p.Catalog.Project)
	ks.Topics, ks.Logger, ks.Hooks = topics, newQuiet(log), m.KafkaHooks()
	source, err := kafka.New(ks)
	if err != nil {
		return nil, fmt.Errorf("configure the Kafka source: %w", err)
	}
	events := append([]pipeline.Events{metricEvents(m), logEvents(log)}, more...)
	rekeyers, err := newRekeyers(c, p, routes, store, m, log, alone)
	if err != nil {
		return nil, err
	}
	changes, err := openIngestChanges(c, p, m, log)
	if err != nil {
		return nil, err
	}
	pipe, err := newPipeline(c, p, source, store, routes, changes, events)
	if err != nil {
		return nil, err
	}
	return &Ingest{pipe, rekeyers, changes}, nil
}

func newPipeline(
	c *config.Config, p *definition.Project, source sources.Source, store Store, routes []pipeline.Route, changes sinks.Changes, events []pipeline.Events,
) (*pipeline.Pipeline, error) {
	letters, err := lettersOf(c, p, store)
	if err != nil {
		return nil, err
	}
	in := &c.Ingest
	together, _ := store.(sinks.TogetherSink) // nil where the store has no such write
	pipe, err := pipeline.New(pipeline.Settings{
		Source: source, Routes: routes,
		NewEncoder: func() sinks.Encoder { return rowcodec.NewEncoder() },
		Sink:       store, DeadLetter: letters, Refusals: store, Epochs: sinks.NewEpochs(store),
		Tiles: store, Together: together, Sinces: sinks.NewSinces(store), Changes: changes, TileBytes: int64(in.TileBytes), MaxFutureSkew: in.MaxFutureSkew.Std(),
		CatalogVersion: p.Catalog.Version,
		LatestVersion:  func(ctx context.Context) (int64, error) { return latestVersion(ctx, store) },
		MaxRows:        in.MaxRows, MaxBytes: int64(in.MaxBytes), LaneBytes: int64(in.LaneBytes), TotalBytes: int64(in.TotalBytes),
		InFlight: in.InFlight, Linger: in.Linger.Std(), CommitInterval: in.CommitInterval.Std(), DrainTimeout: in.DrainTimeout.Std(),
		Clock: time.Now, Events: pipeline.Tee(events...),
	})
	if err != nil {
		return nil, fmt.Errorf("make the pipeline: %w", err)
	}
	return pipe, nil
}

func latestVersion(ctx context.Context, meta sinks.Meta) (int64, error) {
	a, err := history.Latest(ctx, meta)
	if err != nil {
		return 0, fmt.Errorf("load the newest catalog version: %w", err)
	}
	return a.Version, nil
}

// routes makes the routes of every source that has a topic and feeds a view.
func routes(c *config.Config, p *definition.Project, d *decoders) ([]pipeline.Route, []kafka.Topic, error) {
	var rs []pipeline.Route
	var ts []kafka.Topic
	for _, src := range p.Catalog.Sources {
		if src.Topic == "" {
			continue
		}
		of, err := splitRoutes(c, p, d, src)
		if err != nil {
			return nil, nil, err
		}
		for i := range of {
			t := kafka.Topic{Name: of[i].Topic, Start: src.Start}
			if of[i].Copies != nil {
				t.Start = feature.StartAt{} // where copies begin, the relay decides
			}
			rs, ts = append(rs, of[i]), append(ts, t)
		}
	}
	if len(rs) == 0 {
		return nil, nil, fmt.Errorf("project %s has no view on a source with a topic: %w", p.Catalog.Project, ErrNothingToIngest)
	}
	return rs, ts, nil
}

// AllRoutes makes one route per source that feeds a view, with or without a
// topic. Views count as if none were rekeyed.
func AllRoutes(c *config.Config, p *definition.Project) ([]pipeline.Route, error) {
	d, err := newDecoders(c)
	if err != nil {
		return nil, err
	}
	return allRoutes(c, p, d)
}

// replayRoutes is AllRoutes as dead letters name sources: with derived ones.
func replayRoutes(c *config.Config, p *definition.Project) ([]pipeline.Route, error) {
	d, err := newDecoders(c)
	if err != nil {
		return nil, err
	}
	var all []pipeline.Route
	for _, src := range p.Catalog.Sources {
		rs, err := splitRoutes(c, p, d, src)
		if err != nil {
			return nil, err
		}
		all = append(all, rs...)
	}
	return nameless(all), nil
}

// TestRoutes is AllRoutes for tests of definitions: people write the events of
// all sources the same way, so all are JSON there.
func TestRoutes(c *config.Config, p *definition.Project) ([]pipeline.Route, error) {
	return allRoutes(c, p, &decoders{plain: true})
}

// nameless gives routes without a topic a name that no topic can have.
func nameless(rs []pipeline.Route) []pipeline.Route {
	for i := range rs {
		if rs[i].Topic == "" {
			rs[i].Topic = "push/" + rs[i].Source
		}
	}
	return rs
}

func allRoutes(c *config.Config, p *definition.Project, d *decoders) ([]pipeline.Route, error) {
	var rs []pipeline.Route
	for _, src := range p.Catalog.Sources {
		views := p.Catalog.ViewsOf(src.Name)
		if len(views) == 0 {
			continue
		}
		r, err := route(c, p, d, src, views)
		if err != nil {
			return nil, err
		}
		rs = append(rs, r)
	}
	return nameless(rs), nil
}

func route(c *config.Config, p *definition.Project, d *decoders, src *feature.Source, views []*feature.View) (pipeline.Route, error) {
	plans := make([]*transforms.Plan, len(views))
	for i, v := range views {
		plans[i] = p.Plans[v.Name]
	}
	r := pipeline.Route{Source: src.Name, Topic: src.Topic, Finished: !src.TransformOnWrite, Pushed: src.Pushed}
	shapes, shapeOf, err := routeShapes(d, src, plans)
	if err != nil {
		return pipeline.Route{}, err
	}
	r.Shapes = shapes
	skew, watched := c.Ingest.MaxFutureSkew.Std(), p.Watched()
	for i, v := range views {
		fields := shapes[shapeOf[i]].Fields
		if _, err := plans[i].NewWriter(fields, skew); err != nil {
			return pipeline.Route{}, err //nolint:wrapcheck // names the view
		}
		finished, err := finishedRows(d, plans[i], skew)
		if err != nil {
			return pipeline.Route{}, err
		}
		view := pipeline.RouteView{View: v, Shape: shapeOf[i], Finished: finished, Windows: plans[i].Windows, NewTransformer: func() pipeline.Transformer {
			w, _ := plans[i].NewWriter(fields, skew)
			return w
		}}
		view.Changes = slices.Contains(watched, v.Name)
		r.WindowsVersion = max(r.WindowsVersion, addAggregates(&view))
		r.Views = append(r.Views, view)
	}
	return r, nil
}

// addAggregates lists a view's windows, and returns the catalog
// version that brought the latest of them, or changed which rows are refused:
// tiles of before and after must not be taken for each other.
func addAggregates(v *pipeline.RouteView) (latest int64) {
	if v.Windows == nil {
		return 0
	}
	latest = v.View.Changed
	for i := range v.Windows.Features {
		f := &v.Windows.Features[i]
		v.Aggregates = append(v.Aggregates, pipeline.Aggregate{ID: f.ID(), Version: f.Since})
		latest = max(latest, f.Since)
	}
	return latest
}

// routeShapes makes the shapes of a source's batches, and says which of them
// each plan reads.
func routeShapes(d *decoders, src *feature.Source, plans []*transforms.Plan) (shapes []pipeline.Shape, of []int, err error) {
	of = make([]int, len(plans))
	for i, s := range transforms.Shapes(src, plans) {
		if _, err := d.shape(src, s); err != nil {
			return nil, nil, fmt.Errorf("make the decoder of source %s: %w", src.Name, err)
		}
		if _, err := d.fields(src, s); src.Pushed && err != nil {
			return nil, nil, fmt.Errorf("make the decoder of rows pushed to source %s: %w", src.Name, err)
		}
		shapes = append(shapes, pipeline.Shape{
			Fields:     s.Fields,
			NewDecoder: func() sources.Decoder { x, _ := d.shape(src, s); return x },
			NewFields:  func() sources.Decoder { x, _ := d.fields(src, s); return x },
		})
		for _, p := range s.Plans {
			of[p] = i
		}
	}
	return shapes, of, nil
}

// finishedRows says how finished rows of a view come in.
func finishedRows(d *decoders, p *transforms.Plan, skew time.Duration) (pipeline.FinishedRows, error) {
	if _, err := d.finished(p); err != nil {
		return pipeline.FinishedRows{}, fmt.Errorf("make the decoder of %s: %w", p.View, err)
	}
	return pipeline.FinishedRows{
		Fields:         p.FinishedFields(),
		NewDecoder:     func() sources.Decoder { x, _ := d.finished(p); return x },
		NewTransformer: func() pipeline.Transformer { return p.NewFinishedWriter(skew) },
	}, nil
}
