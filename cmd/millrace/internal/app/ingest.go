package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

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

// ErrNothingToIngest is wrapped when every row of a project comes through the
// API.
var ErrNothingToIngest = errors.New("there is nothing to ingest")

// NewIngest wires a pipeline: every source of the catalog that has a topic,
// into store. more is told what happens beside metrics and logs.
func NewIngest(c *config.Config, p *definition.Project, store Store, m *telemetry.Metrics, log *slog.Logger, more ...pipeline.Events) (*pipeline.Pipeline, error) {
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
	return newPipeline(c, p, source, store, routes, pipeline.Tee(events...))
}

func newPipeline(c *config.Config, p *definition.Project, source sources.Source, store Store, routes []pipeline.Route, events pipeline.Events) (*pipeline.Pipeline, error) {
	letters, err := lettersOf(c, p, store)
	if err != nil {
		return nil, err
	}
	in := &c.Ingest
	pipe, err := pipeline.New(pipeline.Settings{
		Source: source, Routes: routes,
		NewEncoder: func() sinks.Encoder { return rowcodec.NewEncoder() },
		Sink:       store, DeadLetter: letters, Epochs: sinks.NewEpochs(store),
		Tiles: store, Sinces: sinks.NewSinces(store), TileBytes: int64(in.TileBytes), MaxFutureSkew: in.MaxFutureSkew.Std(),
		CatalogVersion: p.Catalog.Version,
		LatestVersion:  func(ctx context.Context) (int64, error) { return latestVersion(ctx, store) },
		MaxRows:        in.MaxRows, MaxBytes: int64(in.MaxBytes), LaneBytes: int64(in.LaneBytes), TotalBytes: int64(in.TotalBytes),
		InFlight: in.InFlight, Linger: in.Linger.Std(), CommitInterval: in.CommitInterval.Std(), DrainTimeout: in.DrainTimeout.Std(),
		Clock: time.Now, Events: events,
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

// routes makes one route per source that has a topic and feeds a view.
func routes(c *config.Config, p *definition.Project, d *decoders) ([]pipeline.Route, []kafka.Topic, error) {
	var rs []pipeline.Route
	var ts []kafka.Topic
	for _, src := range p.Catalog.Sources {
		views := p.Catalog.ViewsOf(src.Name)
		if src.Topic == "" || len(views) == 0 {
			continue
		}
		r, err := route(c, p, d, src, views)
		if err != nil {
			return nil, nil, err
		}
		rs, ts = append(rs, r), append(ts, kafka.Topic{Name: src.Topic, Start: src.Start})
	}
	if len(rs) == 0 {
		return nil, nil, fmt.Errorf("project %s has no view on a source with a topic: %w", p.Catalog.Project, ErrNothingToIngest)
	}
	return rs, ts, nil
}

// AllRoutes makes one route per source that feeds a view, with or without a
// topic.
func AllRoutes(c *config.Config, p *definition.Project) ([]pipeline.Route, error) {
	d, err := newDecoders(c)
	if err != nil {
		return nil, err
	}
	return allRoutes(c, p, d)
}

// TestRoutes is AllRoutes for tests of definitions: people write the events of
// all sources the same way, so all are JSON there.
func TestRoutes(c *config.Config, p *definition.Project) ([]pipeline.Route, error) {
	return allRoutes(c, p, &decoders{plain: true})
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
		if r.Topic == "" {
			r.Topic = "push/" + src.Name // no topic can have that name
		}
		rs = append(rs, r)
	}
	return rs, nil
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
	skew := c.Ingest.MaxFutureSkew.Std()
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
		r.WindowsVersion = max(r.WindowsVersion, addAggregates(&view))
		r.Views = append(r.Views, view)
	}
	return r, nil
}

// addAggregates lists the states of a view's windows, and returns the catalog
// version that brought the latest.
func addAggregates(v *pipeline.RouteView) (latest int64) {
	if v.Windows == nil {
		return 0
	}
	for i := range v.Windows.Features {
		f := &v.Windows.Features[i]
		v.Aggregates = append(v.Aggregates, pipeline.Aggregate{Hash: f.Hash, Version: f.Since})
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
