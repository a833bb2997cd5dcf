package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/cmd/millrace/internal/config"
	"millrace/cmd/millrace/internal/embedded"
	"millrace/feature"
	"millrace/sources/kafka"
)

// DefaultGroup names the consumer group of a project's main track.
func DefaultGroup(project string) string { return "millrace-" + project }

// kafkaSettings translates the configuration for the Kafka client.
func kafkaSettings(c *config.Config, project string) kafka.Settings {
	k := &c.Kafka
	return kafka.Settings{
		Brokers: k.Brokers, Group: Group(c, project), ClientID: k.ClientID,
		SessionTimeout: k.SessionTimeout.Std(), RevokeTimeout: c.Ingest.DrainTimeout.Std(),
		TLS: kafka.TLS{
			Enabled: k.TLS.Enabled, CAFile: k.TLS.CA, CertFile: k.TLS.Cert, KeyFile: k.TLS.Key,
			Insecure: k.TLS.InsecureSkipVerify,
		},
		SASL: kafka.SASL{
			Mechanism: k.SASL.Mechanism, User: k.SASL.User, Password: k.SASL.Password.Reveal(),
			Token: k.SASL.Token.Reveal(), TokenFile: k.SASL.TokenFile,
		},
	}
}

// KafkaClient makes a plain client for producing and administration.
func KafkaClient(c *config.Config, project string, more ...kgo.Opt) (*kgo.Client, error) {
	if err := c.RequireKafka(); err != nil {
		return nil, err //nolint:wrapcheck // says already what and where
	}
	return clientOf(kafkaSettings(c, project), more...)
}

func clientOf(s kafka.Settings, more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := kafka.ClientOpts(s)
	if err != nil {
		return nil, fmt.Errorf("configure the Kafka client: %w", err)
	}
	client, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return nil, fmt.Errorf("configure the Kafka client: %w", err)
	}
	return client, nil
}

// EnsureTopics creates the internal topics of a catalog that are missing:
// those of push sources. Topics of producers are theirs to create.
func EnsureTopics(ctx context.Context, c *config.Config, catalog *feature.Catalog) error {
	client, err := KafkaClient(c, catalog.Project)
	if err != nil {
		return err
	}
	defer client.Close()
	for _, s := range catalog.Sources {
		if s.Kind != feature.SourcePush || s.Topic == "" {
			continue
		}
		if err := createTopic(ctx, client, s.Topic, nil); err != nil {
			return err
		}
	}
	return nil
}

// createTopic creates a topic with the broker's default counts unless it is
// there.
func createTopic(ctx context.Context, client *kgo.Client, topic string, configs map[string]*string) error {
	const brokerDefault = -1
	_, err := kadm.NewClient(client).CreateTopic(ctx, brokerDefault, brokerDefault, configs, topic)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	return nil
}

// Group names the consumer group in use.
func Group(c *config.Config, project string) string {
	if c.Kafka.Group != "" {
		return c.Kafka.Group
	}
	return DefaultGroup(project)
}

// EnsureDevTopics creates every topic of a catalog on the embedded broker,
// with the retention that keeps its folder small.
func EnsureDevTopics(ctx context.Context, c *config.Config, catalog *feature.Catalog) error {
	client, err := KafkaClient(c, catalog.Project)
	if err != nil {
		return err
	}
	defer client.Close()
	for _, s := range catalog.Sources {
		if s.Topic == "" {
			continue
		}
		if err := createTopic(ctx, client, s.Topic, embedded.TopicConfigs(0)); err != nil {
			return err
		}
	}
	if c.DeadLetter.Topic != "" {
		return createTopic(ctx, client, c.DeadLetter.Topic, embedded.TopicConfigs(0))
	}
	return nil
}
