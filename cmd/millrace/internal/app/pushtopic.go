package app

import (
	"log/slog"

	"millrace/cmd/millrace/internal/config"
	"millrace/cmd/millrace/internal/pushtopic"
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
	topics := make(map[string]string)
	for _, s := range p.Catalog.Sources {
		if s.Pushed && s.Topic != "" {
			topics[s.Name] = s.Topic
		}
	}
	if len(topics) == 0 || len(c.Kafka.Brokers) == 0 {
		return nil, nil //nolint:nilnil // pushes that need none are taken all the same
	}
	ks := kafkaSettings(c, p.Catalog.Project)
	ks.Logger = newQuiet(log)
	client, err := clientOf(ks, pushtopic.Opts()...)
	if err != nil {
		return nil, err
	}
	return pushtopic.New(client, pushtopic.Settings{
		Group: Group(c, p.Catalog.Project), Topics: topics, Numbers: sinks.NewEpochs(store), Letters: store,
		MaxBytes: int64(c.Serve.Push.InFlightBytes),
	}), nil
}
