package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"millrace/cmd/millrace/internal/config"
	"millrace/feature"
	"millrace/feature/definition"
	"millrace/internal/telemetry"
	"millrace/pipeline"
	"millrace/pipeline/direct"
	"millrace/serving"
	"millrace/serving/push"
	"millrace/sinks"
	"millrace/sinks/rowcodec"
	"millrace/sources"
	"millrace/sources/jsonrec"
)

// newPush makes what writes through the API. topic and changes may be nil.
func newPush(c *config.Config, p *definition.Project, store sinks.Sink, topic Topic, changes sinks.Changes, m *telemetry.Metrics, log *slog.Logger) (*push.Service, error) {
	routes, err := pushRoutes(c, p)
	if err != nil {
		return nil, err
	}
	settings := push.Settings{
		Catalog: p.Catalog, Plans: p.Plans, Limits: pushLimits(c), Clock: time.Now,
		Applier: applier{direct.New(direct.Settings{
			Routes: routes, Sink: store, Changes: changes, Clock: time.Now, NewEncoder: func() sinks.Encoder { return rowcodec.NewEncoder() },
		})},
		Models: p.Models, Predictions: rowcodec.NewWriter(store), NewDecoder: newRowDecoder,
		Events: push.Events{
			Rows:      func(source string, v serving.PushEnds) { m.PushRows(source, v.View, v.Stored, v.Filtered, v.Rejected) },
			Published: m.PushPublished,
			InFlight:  m.PushInFlight,
			Limit:     m.PushLimit,
			Failed:    sparing(log, "a push failed"),
		},
	}
	if topic != nil {
		settings.Topic = topic
	}
	svc, err := push.New(settings)
	if err != nil {
		return nil, fmt.Errorf("make writing through the API: %w", err)
	}
	return svc, nil
}

func pushLimits(c *config.Config) serving.PushLimits {
	l := &c.Serve.Push
	return serving.PushLimits{
		MaxRows: l.MaxRows, MaxBodyBytes: int64(l.MaxBytes), MaxRowBytes: int(l.MaxRowBytes),
		InFlightBytes: int64(l.InFlightBytes), Concurrency: l.Concurrency, Timeout: l.Timeout.Std(),
	}
}

// pushRoutes makes one route per source that may be pushed to and feeds a view.
// Its records are pushed rows.
func pushRoutes(c *config.Config, p *definition.Project) ([]pipeline.Route, error) {
	var rs []pipeline.Route
	d := &decoders{plain: true}
	for _, src := range p.Catalog.Sources {
		views := p.Catalog.ViewsOf(src.Name)
		if !src.Pushed || len(views) == 0 {
			continue
		}
		r, err := route(c, p, d, src.Flat(), views)
		if err != nil {
			return nil, err
		}
		rs = append(rs, r)
	}
	return rs, nil
}

// rowDecoder implements push.RowDecoder.
type rowDecoder struct {
	*jsonrec.Decoder
	records []sources.Record
}

func newRowDecoder(keys []feature.Field, columns []feature.SourceField) (push.RowDecoder, error) {
	d, err := jsonrec.NewFinished(keys, columns)
	if err != nil {
		return nil, err //nolint:wrapcheck // says already what
	}
	return &rowDecoder{Decoder: d}, nil
}

// Decode implements push.RowDecoder.
func (d *rowDecoder) Decode(ctx context.Context, dst *feature.Batch, rows []push.Row) error {
	d.records = d.records[:0]
	for i := range rows {
		d.records = append(d.records, sources.Record{Value: rows[i].Value, TimeMillis: rows[i].Millis})
	}
	return d.Decoder.Decode(ctx, dst, d.records) //nolint:wrapcheck // says already what
}

// applier implements push.Applier.
type applier struct{ *direct.Applier }

// Apply implements push.Applier.
func (a applier) Apply(ctx context.Context, source, view string, rows []push.Row) (push.Applied, error) {
	recs := make([]sources.Record, len(rows))
	n := 0
	for i := range rows {
		n += len(rows[i].Headers)
	}
	headers := make([]sources.Header, 0, n)
	for i := range rows {
		r := &rows[i]
		first := len(headers)
		for _, h := range r.Headers {
			headers = append(headers, sources.Header{Key: h.Key, Value: h.Value})
		}
		recs[i] = sources.Record{Key: r.Key, Value: r.Value, Headers: headers[first:len(headers):len(headers)], TimeMillis: r.Millis}
	}
	b, err := a.Applier.Apply(ctx, source, view, recs)
	if err != nil {
		return nil, err //nolint:wrapcheck // says of which source
	}
	return newApplied(b), nil
}

// applied implements push.Applied.
type applied struct {
	*direct.Batch
	verdict push.Verdict
}

func newApplied(b *direct.Batch) *applied {
	a := &applied{Batch: b, verdict: push.Verdict{Keys: b.Keys, Ends: make([]push.End, len(b.Ends))}}
	for i, end := range b.Ends {
		a.verdict.Ends[i] = ends[end]
	}
	for i := range b.Faults {
		f := &b.Faults[i]
		a.verdict.Faults = append(a.verdict.Faults, serving.RowFault(*f))
	}
	for _, v := range b.Views {
		a.verdict.Views = append(a.verdict.Views, serving.PushEnds(v))
	}
	return a
}

var ends = [...]push.End{direct.Filtered: push.Filtered, direct.Stored: push.Stored, direct.Rejected: push.Rejected, direct.Late: push.Late}

// Verdict implements push.Applied.
func (a *applied) Verdict() *push.Verdict { return &a.verdict }
