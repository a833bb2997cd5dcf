package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/cmd/millrace/internal/config"
	"millrace/cmd/millrace/internal/embedded"
	"millrace/feature"
	"millrace/feature/definition"
	"millrace/sinks/changelog"
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

// EnsureTopics creates the internal topics of a catalog that are missing: those
// of push sources and of rekeyed views, and the changelog where models of p need
// it. Topics of producers are theirs to create. catalog is p's, with the
// generations of views.
func EnsureTopics(ctx context.Context, c *config.Config, p *definition.Project, catalog *feature.Catalog) error {
	client, err := KafkaClient(c, catalog.Project)
	if err != nil {
		return err
	}
	defer client.Close()
	for _, s := range catalog.Sources {
		if s.Kind != feature.SourcePush || s.Topic == "" {
			continue
		}
		if err := createTopic(ctx, client, s.Topic, brokerDefault, nil); err != nil {
			return err
		}
	}
	if err := ensureChangelog(ctx, client, p, nil); err != nil {
		return err
	}
	retention := strconv.FormatInt(c.Ingest.RekeyRetention.Std().Milliseconds(), 10)
	return ensureRekeyTopics(ctx, c, client, catalog, map[string]*string{"retention.ms": &retention})
}

// brokerDefault is the count that a broker replaces by its own.
const brokerDefault = -1

// ensureRekeyTopics creates the topics of rekeyed views: with as many partitions
// as their source's topic unless another number is configured, for then a lane
// of one has about as much to do as one of the other.
func ensureRekeyTopics(ctx context.Context, c *config.Config, client *kgo.Client, catalog *feature.Catalog, configs map[string]*string) error {
	admin := kadm.NewClient(client)
	for _, v := range catalog.Views {
		if !v.Rekey {
			continue
		}
		topic := catalog.Source(v.Source).Topic
		partitions := int32(c.Ingest.RekeyPartitions)
		if partitions == 0 {
			partitions = brokerDefault
			there, err := admin.ListTopics(ctx, topic)
			if err != nil {
				return fmt.Errorf("look how many partitions topic %s has: %w", topic, err)
			}
			if n := len(there[topic].Partitions); n > 0 {
				partitions = int32(n)
			}
		}
		own := maps.Clone(configs)
		own["max.message.bytes"] = new(strconv.Itoa(kafka.MaxMessageBytes(ctx, admin, topic) + rekeyRoom))
		if err := createTopic(ctx, client, RekeyTopic(catalog.Project, v), partitions, own); err != nil {
			return err
		}
	}
	return nil
}

// ensureChangelog creates the changelog if a model needs it.
func ensureChangelog(ctx context.Context, client *kgo.Client, p *definition.Project, more map[string]*string) error {
	topic := ChangelogTopic(p)
	if topic == "" {
		return nil
	}
	configs := maps.Clone(more)
	if configs == nil {
		configs = make(map[string]*string)
	}
	for key, value := range changelog.TopicConfigs() {
		configs[key] = &value
	}
	return createTopic(ctx, client, topic, brokerDefault, configs)
}

// rekeyRoom is what a copy may take beside its record: where it came from, and
// the keys of other copies.
const rekeyRoom = 1 << 20

// createTopic creates a topic with the broker's default of copies unless it is
// there.
func createTopic(ctx context.Context, client *kgo.Client, topic string, partitions int32, configs map[string]*string) error {
	_, err := kadm.NewClient(client).CreateTopic(ctx, partitions, brokerDefault, configs, topic)
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
func EnsureDevTopics(ctx context.Context, c *config.Config, p *definition.Project) error {
	catalog := p.Catalog
	client, err := KafkaClient(c, catalog.Project)
	if err != nil {
		return err
	}
	defer client.Close()
	for _, s := range catalog.Sources {
		if s.Topic == "" {
			continue
		}
		if err := createTopic(ctx, client, s.Topic, brokerDefault, embedded.TopicConfigs(0)); err != nil {
			return err
		}
	}
	if err := ensureRekeyTopics(ctx, c, client, catalog, embedded.TopicConfigs(0)); err != nil {
		return err
	}
	if err := ensureChangelog(ctx, client, p, embedded.CompactedConfigs()); err != nil {
		return err
	}
	if c.DeadLetter.Topic != "" {
		return createTopic(ctx, client, c.DeadLetter.Topic, brokerDefault, embedded.TopicConfigs(0))
	}
	return nil
}
