package pushtopic

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/serving/push"
)

// idAge is how long a topic's id is believed. A topic that is deleted and made
// again within it has receipts with the old id, which are then of no topic.
const idAge = 5 * time.Second

// topic is what brokers say of one.
type topic struct {
	id         [16]byte
	partitions int32
	asked      time.Time
}

// topics knows topics by their names.
type topics struct {
	admin *kadm.Client

	mu    sync.Mutex
	known map[string]topic
}

// find returns a topic, asking the brokers now and then.
func (t *topics) find(ctx context.Context, name string) (topic, error) {
	t.mu.Lock()
	found, ok := t.known[name]
	t.mu.Unlock()
	if ok && time.Since(found.asked) < idAge {
		return found, nil
	}
	return t.ask(ctx, name)
}

func (t *topics) ask(ctx context.Context, name string) (topic, error) {
	asked := time.Now()
	// With what is allowed, because without it the client may answer by itself,
	// of a topic that is no more.
	details, err := t.admin.ListTopics(kadm.WithAuthorizedOps(ctx), name)
	if err != nil {
		return topic{}, fmt.Errorf("ask kafka for topic %s: %w", name, err)
	}
	d := details[name]
	switch {
	case errors.Is(d.Err, kerr.UnknownTopicOrPartition) || len(details) == 0:
		return topic{}, fmt.Errorf("topic %s is not there; create it, or run millrace apply for one of a push source: %w", name, kerr.UnknownTopicOrPartition)
	case d.Err != nil:
		return topic{}, fmt.Errorf("ask kafka for topic %s: %w", name, d.Err)
	}
	found := topic{id: d.ID, partitions: int32(len(d.Partitions)), asked: asked}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil {
		t.known = make(map[string]topic)
	}
	t.known[name] = found
	return found, nil
}

// forget has the brokers asked the next time.
func (t *topics) forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.known, name)
}

// check says whether positions are of the topic that is there now. Positions
// of another one may be younger than what is known, so the brokers are asked
// before that is said.
func (t *topics) check(ctx context.Context, name string, at []push.Position) error {
	found, err := t.find(ctx, name)
	if err == nil && !of(at, &found) {
		found, err = t.ask(ctx, name)
	}
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return fmt.Errorf("look for topic %s: %w", name, push.ErrOtherTopic)
	case err != nil:
		return err
	case !of(at, &found):
		return fmt.Errorf("look for topic %s: another one has its name: %w", name, push.ErrOtherTopic)
	}
	return nil
}

func of(at []push.Position, t *topic) bool {
	for i := range at {
		if at[i].TopicID != t.id || at[i].Partition >= t.partitions || at[i].Partition < 0 {
			return false
		}
	}
	return true
}
