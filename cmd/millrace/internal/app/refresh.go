package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sourcegraph/conc/pool"

	"millrace/cmd/millrace/internal/changefeed"
	"millrace/cmd/millrace/internal/config"
	"millrace/feature"
	"millrace/feature/definition"
	"millrace/feature/history"
	"millrace/internal/telemetry"
	"millrace/serving/refresh"
	"millrace/sinks"
	"millrace/sinks/changelog"
	"millrace/sources/kafka"
)

// RefreshGroup names the consumer group that refreshes a model's predictions. It
// is the model's alone: one that is dead holds back its own changes only.
func RefreshGroup(c *config.Config, project, model string) string {
	return Group(c, project) + ".refresh." + model
}

// ErrNothingToRefresh is wrapped when no model refreshes on write.
var ErrNothingToRefresh = errors.New("there is nothing to refresh")

// Refresh follows the changelog for every model that refreshes on write.
type Refresh struct{ feeds []feed }

// feed is one model's.
type feed struct {
	*changefeed.Feed

	model, group string
}

// applyMargin is how long before the newest definitions were applied a group
// without offsets begins: clocks of brokers differ from ours.
const applyMargin = time.Minute

// NewRefresh wires the changelog to by, which refreshes. Nothing is asked of
// brokers yet.
func NewRefresh(ctx context.Context, c *config.Config, p *definition.Project, store sinks.Meta, by refresh.Refresher, m *telemetry.Metrics, log *slog.Logger) (*Refresh, error) {
	if ChangelogTopic(p) == "" {
		return nil, fmt.Errorf("no model of project %s refreshes on write, with inputs of its own entity: %w", p.Catalog.Project, ErrNothingToRefresh)
	}
	applied, err := history.Latest(ctx, store)
	if err != nil {
		return nil, fmt.Errorf("find when the definitions were applied: %w", err)
	}
	r := new(Refresh)
	for _, model := range p.Catalog.Models {
		if len(p.Models[model.Name].Watched()) == 0 {
			continue
		}
		f, err := newFeed(c, p.Catalog, model, applied.AppliedAt.Add(-applyMargin), by, m, log.With("model", model.Name))
		if err != nil {
			return nil, err
		}
		r.feeds = append(r.feeds, f)
	}
	return r, nil
}

func newFeed(c *config.Config, k *feature.Catalog, model *feature.Model, since time.Time, by refresh.Refresher, m *telemetry.Metrics, log *slog.Logger) (feed, error) {
	if err := c.RequireKafka(); err != nil {
		return feed{}, err //nolint:wrapcheck // says already what and where
	}
	topic := changelog.Topic(k.Project)
	ks := kafkaSettings(c, k.Project)
	ks.Group, ks.Topics = RefreshGroup(c, k.Project, model.Name), []kafka.Topic{{Name: topic, Since: since}}
	ks.Logger, ks.Hooks, ks.PollRecords = newQuiet(log), m.KafkaHooks(), pollChanges
	source, err := kafka.New(ks)
	if err != nil {
		return feed{}, fmt.Errorf("configure the Kafka source of changes for model %s: %w", model.Name, err)
	}
	counts := m.Refresh(model.Name)
	f, err := changefeed.New(changefeed.Settings{
		Topic: topic, Entity: model.Entity, Source: source, Clock: time.Now,
		CommitInterval: c.Ingest.CommitInterval.Std(), DrainTimeout: c.Ingest.DrainTimeout.Std(),
		Refresh: refresh.Settings{
			Model: model.Name, Refresher: by, Debounce: model.Debounce, Settle: settle, MaxBatch: model.MaxBatch,
			Timeout: RefreshTimeout(model), Events: refreshEvents(counts, log),
		},
		Events: feedEvents(counts, log),
	})
	if err != nil {
		return feed{}, fmt.Errorf("follow changes for model %s: %w", model.Name, err)
	}
	return feed{f, model.Name, ks.Group}, nil
}

// settle is longer than a process takes to hear that a partition is no longer
// its own, a few heartbeats, and the store then goes on with what it wrote.
const settle = 10 * time.Second

// pollChanges is how many records come at once: what waits is bounded by keys,
// and one delivery may be over the bound.
const pollChanges = 2000

// RefreshTimeout is how long a refresh of one batch may take: it leaves time for
// three calls of the model, and what is read and written around them.
func RefreshTimeout(m *feature.Model) time.Duration { return 3*m.Timeout + 20*time.Second }

// refreshEvents logs that refreshes fail, not each failure. What becomes of keys
// is counted where they are refreshed.
func refreshEvents(m *telemetry.Refresh, log *slog.Logger) refresh.Events {
	return refresh.Events{
		Delayed:   m.Delay,
		Retried:   m.Retried,
		Pending:   m.Pending,
		Failing:   func(err error) { log.Warn("predictions cannot be refreshed and are tried again", "err", err) },
		Recovered: func() { log.Info("predictions are refreshed again") },
		Full:      func(int32) { m.Paused() },
	}
}

// feedEvents counts what becomes of the changelog's records, and logs changes of
// state.
func feedEvents(m *telemetry.Refresh, log *slog.Logger) changefeed.Events {
	corrupt := make(map[int32]bool) // partitions whose first one was logged; calls about records are serial
	return changefeed.Events{
		Assigned: func(p int32, offset int64) {
			delete(corrupt, p)
			log.Info("follows changes", "partition", p, "offset", offset)
		},
		Gone: func(p int32, lost bool) {
			m.Gone(p)
			log.Info("no longer follows changes", "partition", p, "lost", lost)
		},
		Lag: m.Lag,
		Corrupt: func(p int32, offset int64, err error) {
			m.Corrupt()
			if !corrupt[p] {
				corrupt[p] = true
				log.Error("the changelog has a record that cannot be read; more of its partition are only counted", "partition", p, "offset", offset, "err", err)
			}
		},
		Expired: func(p int32, records int64) {
			m.Expired(records)
			log.Error("the changelog dropped records before they were read; predictions that are stale are computed when they are read", "partition", p, "records", records)
		},
		Reset: func(p int32, err error) {
			log.Error("the changelog is not what it was, and is read from its start", "partition", p, "err", err)
		},
		Unstored: func(err error) {
			if err != nil {
				log.Warn("offsets of changes cannot be committed and are tried again", "err", err)
				return
			}
			log.Info("offsets of changes are committed again")
		},
	}
}

// Run works until ctx ends or a model's changes cannot be read for a reason that
// a person has to mend.
func (r *Refresh) Run(ctx context.Context) error {
	p := pool.New().WithErrors().WithContext(ctx).WithCancelOnError()
	for _, f := range r.feeds {
		p.Go(f.Run)
	}
	return p.Wait() //nolint:wrapcheck // says already what and where
}

// RefreshStatus tells how changes are followed for one model.
type RefreshStatus struct {
	Model      string `json:"model"`
	Group      string `json:"group"`
	State      string `json:"state"` // starting, following, waiting
	Partitions int    `json:"partitions"`
	Pending    int    `json:"pending"` // keys
	Lag        int64  `json:"lag"`     // records whose keys have not been refreshed
	Error      string `json:"error,omitempty"`
}

func (f *feed) status() RefreshStatus {
	st := f.Status()
	s := RefreshStatus{Model: f.model, Group: f.group, State: "starting", Partitions: st.Partitions, Pending: st.Pending, Lag: st.Lag}
	if st.Member {
		s.State = "following"
	}
	if st.Err != nil {
		s.State, s.Error = "waiting", st.Err.Error()
	}
	return s
}

// working holds when every model's group has taken us in, and its brokers answer.
func (r *Refresh) working() error {
	for i := range r.feeds {
		st := r.feeds[i].Status()
		if st.Err != nil {
			return st.Err
		}
		if !st.Member {
			return errNotReady
		}
	}
	return nil
}
