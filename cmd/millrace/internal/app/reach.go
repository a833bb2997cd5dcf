package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/cmd/millrace/internal/config"
)

// reachTimeout is how long a command waits for brokers.
const reachTimeout = 10 * time.Second

// Reach says which brokers do not answer, before anything else is asked.
func Reach(ctx context.Context, c *config.Config) error {
	_, err := Partitions(ctx, c)
	return err
}

// Partitions asks how many partitions topics have. A topic that is not there,
// or that we may not see, is not in the answer. It creates nothing.
func Partitions(ctx context.Context, c *config.Config, topics ...string) (map[string]int, error) {
	client, err := KafkaClient(c, "", kgo.RequestRetries(1))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		return nil, fmt.Errorf("reach Kafka at %s: %w; correct kafka.brokers or --brokers, and kafka.tls and kafka.sasl if the cluster wants them",
			strings.Join(c.Kafka.Brokers, ", "), err)
	}
	counts := make(map[string]int)
	if len(topics) == 0 {
		return counts, nil // to list none would list all
	}
	found, err := kadm.NewClient(client).ListTopics(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("ask Kafka at %s for topics: %w", strings.Join(c.Kafka.Brokers, ", "), err)
	}
	for _, t := range found {
		switch {
		case t.Err == nil:
			counts[t.Topic] = len(t.Partitions)
		case !errors.Is(t.Err, kerr.UnknownTopicOrPartition) && !errors.Is(t.Err, kerr.TopicAuthorizationFailed):
			return nil, fmt.Errorf("ask Kafka for topic %s: %w", t.Topic, t.Err)
		}
	}
	return counts, nil
}
