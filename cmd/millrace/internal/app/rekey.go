package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"millrace/cmd/millrace/internal/config"
	"millrace/feature"
	"millrace/feature/definition"
	"millrace/internal/telemetry"
	"millrace/pipeline"
	"millrace/pipeline/rekey"
	"millrace/sinks"
	"millrace/sources"
	"millrace/sources/kafka"
	"millrace/transforms"
)

// A rekeyed view is fed by a derived source: a clone of its source under a
// name that no definition can have, on a topic of the view's own. Lanes,
// letters, replays and recoveries take it for one source more.

// RekeyTopic names the topic of a rekeyed view.
func RekeyTopic(project string, v *feature.View) string {
	return fmt.Sprintf("millrace.%s.rekey.%s.g%d", project, v.Name, v.Generation)
}

// RekeyGroup names the consumer group that copies records for a rekeyed view.
// It is the view's alone: a process whose catalog does not know the view is no
// member of it.
func RekeyGroup(c *config.Config, project string, v *feature.View) string {
	return fmt.Sprintf("%s.rekey.%s@%d", Group(c, project), v.Name, v.Generation)
}

// RekeyTransactions is what the transactional ids of a rekeyed view begin with;
// each process has one of its own.
func RekeyTransactions(project string, v *feature.View) string {
	return RekeyTopic(project, v) + "."
}

// derived makes the derived source of a rekeyed view.
func derived(k *feature.Catalog, v *feature.View) *feature.Source {
	src := *k.Source(v.Source)
	src.Name, src.Topic, src.Start = v.Feed(), RekeyTopic(k.Project, v), feature.StartAt{}
	return &src
}

// FindSource returns the source of that name, derived ones included, or nil.
func FindSource(k *feature.Catalog, name string) *feature.Source {
	_, view, isDerived := strings.Cut(name, "/")
	if !isDerived {
		return k.Source(name)
	}
	if v := k.View(view); v != nil && v.Rekey && v.Feed() == name {
		return derived(k, v)
	}
	return nil
}

// SourceNames lists the sources of a catalog, derived ones behind those that
// they are made of.
func SourceNames(k *feature.Catalog) []string {
	var names []string
	for _, s := range k.Sources {
		names = append(names, s.Name)
		for _, v := range k.ViewsOf(s.Name) {
			if v.Rekey {
				names = append(names, v.Feed())
			}
		}
	}
	return names
}

// divide tells views that read a source from those that are rekeyed.
func divide(views []*feature.View) (plain, rekeyed []*feature.View) {
	for _, v := range views {
		if v.Rekey {
			rekeyed = append(rekeyed, v)
		} else {
			plain = append(plain, v)
		}
	}
	return plain, rekeyed
}

// elsewhere names the views of all that are not in mine.
func elsewhere(all, mine []*feature.View) []string {
	var names []string
	for _, v := range all {
		if !slices.Contains(mine, v) {
			names = append(names, v.Name)
		}
	}
	return names
}

// splitRoutes makes the routes of a source: one for the views that read it, and
// one for each that is rekeyed.
func splitRoutes(c *config.Config, p *definition.Project, d *decoders, src *feature.Source) ([]pipeline.Route, error) {
	all := p.Catalog.ViewsOf(src.Name)
	plain, rekeyed := divide(all)
	var rs []pipeline.Route
	if len(plain) > 0 {
		r, err := route(c, p, d, src, plain)
		if err != nil {
			return nil, err
		}
		r.Elsewhere = elsewhere(all, plain)
		rs = append(rs, r)
	}
	for _, v := range rekeyed {
		r, err := route(c, p, d, derived(p.Catalog, v), []*feature.View{v})
		if err != nil {
			return nil, err
		}
		r.Elsewhere = elsewhere(all, []*feature.View{v})
		if r.Copies, err = copiesOf(p.Plans[v.Name], r.Shapes[r.Views[0].Shape].Fields); err != nil {
			return nil, err
		}
		rs = append(rs, r)
	}
	return rs, nil
}

func copiesOf(p *transforms.Plan, fields []feature.Field) (*pipeline.Copies, error) {
	if _, err := p.NewKeyer(fields); err != nil {
		return nil, err //nolint:wrapcheck // names the view
	}
	return &pipeline.Copies{
		NewKeyer:         func() pipeline.Keyer { k, _ := p.NewKeyer(fields); return k },
		NewFinishedKeyer: func() pipeline.Keyer { return p.NewFinishedKeyer() },
	}, nil
}

// rekeyer copies records for one view.
type rekeyer struct {
	view  *feature.View
	topic string
	group string
	relay *kafka.Relay
}

// newRekeyers makes one for each rekeyed view. goOn lets them go on by
// themselves where a person would run `millrace recover`.
func newRekeyers(c *config.Config, p *definition.Project, routes []pipeline.Route, store Store, m *telemetry.Metrics, log *slog.Logger, goOn bool) ([]*rekeyer, error) {
	var all []*rekeyer
	for i := range routes {
		r := &routes[i]
		if r.Copies == nil {
			continue
		}
		v := r.Views[0].View
		src := p.Catalog.Source(v.Source)
		set := kafka.RelaySettings{
			Settings: kafkaSettings(c, p.Catalog.Project), To: r.Topic,
			TransactionalID:    RekeyTransactions(p.Catalog.Project, v) + random(),
			TransactionTimeout: c.Kafka.TransactionTimeout.Std(),
			Copier:             rekey.New(r),
			Ledger:             newLedger(c, r, src.Name, store),
		}
		set.Group, set.Topics = RekeyGroup(c, p.Catalog.Project, v), []kafka.Topic{{Name: src.Topic, Start: src.Start}}
		set.Logger, set.Hooks = newQuiet(log), m.KafkaHooks()
		set.GoOn, set.Events = goOn, relayEvents(m.Rekey(v.Name), log.With("view", v.Name))
		relay, err := kafka.NewRelay(set)
		if err != nil {
			return nil, fmt.Errorf("configure the copies for view %s: %w", v.Name, err)
		}
		all = append(all, &rekeyer{v, r.Topic, set.Group, relay})
	}
	return all, nil
}

func random() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// relayEvents counts what a relay tells, and logs changes of state.
func relayEvents(m *telemetry.Rekey, log *slog.Logger) kafka.RelayEvents {
	return kafka.RelayEvents{
		Assigned: func(p int32, offset int64) { log.Info("copies for a rekeyed view", "partition", p, "offset", offset) },
		Gone:     m.Gone,
		Copied:   m.Copied,
		Aborted:  m.Aborted,
		Failed: func(err error) {
			m.Failed()
			log.Error("copying for a rekeyed view waits and is tried again", "err", err)
		},
		Recovered: func() { log.Info("copying for a rekeyed view goes on") },
		Expired: func(p int32, records int64) {
			m.Expired(records)
			log.Error("the log dropped records before they were copied", "partition", p, "records", records)
		},
	}
}

// ledger is a relay's memory in the store.
type ledger struct {
	view       string // stored name
	source     string // the true one
	aggregates []uint64
	skew       time.Duration
	openings   *sinks.Openings
	sinces     *sinks.Sinces
	epochs     *sinks.Epochs
}

func newLedger(c *config.Config, r *pipeline.Route, source string, store sinks.Meta) *ledger {
	l := &ledger{
		view: r.Views[0].View.StoredName(), source: source, skew: c.Ingest.MaxFutureSkew.Std(),
		openings: sinks.NewOpenings(store), sinces: sinks.NewSinces(store), epochs: sinks.NewEpochs(store),
	}
	for _, a := range r.Views[0].Aggregates {
		l.aggregates = append(l.aggregates, a.ID)
	}
	return l
}

func (l *ledger) Opened(ctx context.Context, partition int32, topic sources.TopicID) (this, earlier bool, err error) {
	return l.openings.Opened(ctx, l.view, partition, topic) //nolint:wrapcheck // says already what
}

func (l *ledger) Open(ctx context.Context, partition int32, topic sources.TopicID) error {
	return l.openings.Open(ctx, l.view, partition, topic) //nolint:wrapcheck // says already what
}

// Missed raises since when the view's aggregates are complete. What came before
// has a record time of at most now and the skew, and an event time of at most
// that and the skew again. The number is that of the partition that records are
// missing of: of all that are noted the latest holds, whatever their numbers.
func (l *ledger) Missed(ctx context.Context, partition int32) error {
	return l.sinces.Raise(ctx, l.view, partition, time.Now().Add(2*l.skew).UnixMicro(), l.aggregates...) //nolint:wrapcheck // says already what
}

func (l *ledger) Recovery(ctx context.Context, partition int32) (kafka.Recovery, error) {
	r, err := l.epochs.Recovery(ctx, l.source, partition)
	return kafka.Recovery(r), err //nolint:wrapcheck // says already what
}
