package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"millrace/cmd/millrace/internal/config"
	"millrace/feature"
	"millrace/feature/definition"
	"millrace/internal/telemetry"
	"millrace/pipeline"
	"millrace/sinks"
	"millrace/sinks/changelog"
)

// Changes is an open changelog. Close waits for nothing: what is on its way is
// given up.
type Changes interface {
	sinks.Changes
	Close() error
}

// ChangelogTopic names the topic that models which refresh on write need, or ""
// when no model does.
func ChangelogTopic(p *definition.Project) string {
	if len(p.Watched()) == 0 {
		return ""
	}
	return changelog.Topic(p.Catalog.Project)
}

// WritesChanges reports whether a change of a watched view may come from one of
// the sources that are meant.
func WritesChanges(p *definition.Project, meant func(*feature.Source) bool) bool {
	return slices.ContainsFunc(p.Watched(), func(name string) bool {
		v := p.Catalog.View(name)
		return v != nil && meant(p.Catalog.Source(v.Source))
	})
}

// HasTopic and IsPushed say by which way rows of a source come in.
func HasTopic(s *feature.Source) bool { return s.Topic != "" }

// IsPushed is for rows through the API.
func IsPushed(s *feature.Source) bool { return s.Pushed }

// openIngestChanges opens the changelog for lanes; nil when none of them changes
// what a model waits for.
func openIngestChanges(c *config.Config, p *definition.Project, m *telemetry.Metrics, log *slog.Logger) (Changes, error) {
	if !WritesChanges(p, HasTopic) {
		return nil, nil //nolint:nilnil // nobody is to be told
	}
	return openChanges(c, p.Catalog.Project, m.Changelog(telemetry.WayIngest), m, log)
}

// OpenPushChanges opens the changelog for rows through the API; nil when none of
// them changes what a model waits for. Without brokers such rows are refused,
// behind the store: models would not hear of them.
func OpenPushChanges(c *config.Config, p *definition.Project, m *telemetry.Metrics, log *slog.Logger) (Changes, error) {
	if !WritesChanges(p, IsPushed) {
		return nil, nil //nolint:nilnil // nobody is to be told
	}
	if len(c.Kafka.Brokers) == 0 {
		log.Warn("no brokers are configured: rows through the API are refused that are inputs of models which refresh on write", "views", p.Watched())
		return noBrokers{}, nil
	}
	return openChanges(c, p.Catalog.Project, m.Changelog(telemetry.WayPush), m, log)
}

func openChanges(c *config.Config, project string, counts *telemetry.Changelog, m *telemetry.Metrics, log *slog.Logger) (Changes, error) {
	if err := c.RequireKafka(); err != nil {
		return nil, err //nolint:wrapcheck // says already what and where
	}
	ks := kafkaSettings(c, project)
	ks.Logger, ks.Hooks = newQuiet(log), m.KafkaHooks()
	client, err := clientOf(ks, changelog.Opts()...)
	if err != nil {
		return nil, err
	}
	return &countedChanges{changelog.New(client, changelog.Topic(project)), counts}, nil
}

// openReplayChanges opens the changelog for a command, which counts nothing.
func openReplayChanges(c *config.Config, project string) (Changes, error) {
	if len(c.Kafka.Brokers) == 0 {
		return nil, errors.New("tell models of replayed rows: no brokers are known; set kafka.brokers, or replay while millrace dev runs")
	}
	client, err := KafkaClient(c, project, changelog.Opts()...)
	if err != nil {
		return nil, err
	}
	return changelog.New(client, changelog.Topic(project)), nil
}

// countedChanges is a changelog with metrics.
type countedChanges struct {
	*changelog.Publisher
	counts *telemetry.Changelog
}

// Publish implements sinks.Changes.
func (c *countedChanges) Publish(ctx context.Context, changes []sinks.Change) error {
	began := time.Now()
	err := c.Publisher.Publish(ctx, changes)
	if took := time.Since(began); err != nil {
		c.counts.Failed(took)
	} else {
		c.counts.Told(len(changes), took)
	}
	return err //nolint:wrapcheck // says already what and where
}

// noBrokers is the changelog of a process that knows none.
type noBrokers struct{}

var errNoBrokers = errors.New("tell the changelog that rows are stored: no brokers are configured; set kafka.brokers, or MILLRACE_KAFKA_BROKERS, of what serves")

// Publish implements sinks.Changes.
func (noBrokers) Publish(context.Context, []sinks.Change) error { return errNoBrokers }

// Close implements Changes.
func (noBrokers) Close() error { return nil }

// replayChanges is opened when the first catalog version is met of which a
// replay has somebody to tell.
type replayChanges struct {
	open func() (Changes, error)
	to   Changes
}

// watch has views tell what changes, those too that only the newest catalog has
// models for: a chunk that was begun under an older one is finished under that.
func (r *replayChanges) watch(routes []pipeline.Route, views []string) error {
	asks := false
	for i := range routes {
		for j := range routes[i].Views {
			v := &routes[i].Views[j]
			v.Changes = v.Changes || slices.Contains(views, v.View.Name)
			asks = asks || v.Changes
		}
	}
	var err error
	if asks && r.to == nil {
		r.to, err = r.open()
	}
	return err
}

// Publish implements sinks.Changes.
func (r *replayChanges) Publish(ctx context.Context, changes []sinks.Change) error {
	return r.to.Publish(ctx, changes) //nolint:wrapcheck // says already what and where
}

func (r *replayChanges) close() {
	if r.to != nil {
		_ = r.to.Close()
	}
}
