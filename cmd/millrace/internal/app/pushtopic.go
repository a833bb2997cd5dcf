package app

import (
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/cmd/millrace/internal/config"
	"millrace/cmd/millrace/internal/pushtopic"
	"millrace/feature"
	"millrace/feature/definition"
	"millrace/serving/push"
	"millrace/sinks"
)

// Topic is the log behind pushes. Close waits for nothing: what is on its way
// is given up.
type Topic interface {
	push.Topic
	Close()
}

// OpenTopic returns the log behind pushes, or nil when no broker is configured
// or no source that is pushed to has a topic. Nothing is asked of brokers yet.
func OpenTopic(c *config.Config, p *definition.Project, store Store, log *slog.Logger) (Topic, error) {
	all := make(map[string]pushtopic.Source)
	for _, s := range p.Catalog.Sources {
		if s.Pushed && s.Topic != "" {
			all[s.Name] = pushSource(c, p.Catalog, s)
		}
	}
	if len(all) == 0 || len(c.Kafka.Brokers) == 0 {
		return nil, nil //nolint:nilnil // pushes that need none are taken all the same
	}
	ks := kafkaSettings(c, p.Catalog.Project)
	ks.Logger = newQuiet(log)
	client, err := clientOf(ks, pushtopic.Opts()...)
	if err != nil {
		return nil, err
	}
	return pushtopic.New(client, pushtopic.Settings{
		Group: Group(c, p.Catalog.Project), Sources: all, Numbers: sinks.NewEpochs(store), Letters: store,
		Connect:  func(opts ...kgo.Opt) (*kgo.Client, error) { return clientOf(ks, opts...) },
		MaxBytes: int64(c.Serve.Push.InFlightBytes),
	}), nil
}

// pushSource says who reads the topic of a source.
func pushSource(c *config.Config, k *feature.Catalog, src *feature.Source) pushtopic.Source {
	plain, rekeyed := divide(k.ViewsOf(src.Name))
	s := pushtopic.Source{Topic: src.Topic, Direct: len(plain) > 0}
	for _, v := range rekeyed {
		s.Copies = append(s.Copies, pushtopic.Copies{Source: v.Feed(), Topic: RekeyTopic(k.Project, v), Group: RekeyGroup(c, k.Project, v)})
	}
	return s
}
