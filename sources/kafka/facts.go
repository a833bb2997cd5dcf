package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/feature"
	"millrace/sources"
)

const (
	retryFirst = 100 * time.Millisecond
	retryMost  = 5 * time.Second
	askTimeout = 30 * time.Second // of one round of questions to the brokers
	// goneAfter is how many rounds a topic may be unknown before it counts as
	// deleted: brokers learn of new topics one after the other.
	goneAfter = 4
)

// facts asks the brokers what is known of ps, again and again until they
// answer or ctx ends. Partitions of topics that are gone are left out, and the
// topics are put in the client anew.
func (s *Source) facts(ctx context.Context, client *kgo.Client, ps []sources.Partition) ([]sources.Assignment, error) {
	wait := retryFirst
	for round := 1; ; round++ {
		as, gone, err := s.ask(ctx, client, ps)
		if err == nil && (len(gone) == 0 || round >= goneAfter) {
			s.forget(gone)
			return as, nil
		}
		if err != nil {
			if final := s.explain(err, strings.Join(topicsOf(ps), ", ")); final != nil && !s.joined() {
				return nil, final
			}
			s.set.Logger.Warn("ask kafka where partitions stand", "group", s.set.Group, "attempt", round, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("ask where partitions stand: %w", ctx.Err())
		case <-time.After(wait):
		}
		wait = min(2*wait, retryMost)
	}
}

// forget has topics purged and added again by the poll loop.
func (s *Source) forget(topics map[string]bool) {
	if len(topics) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range topics {
		s.mu.purge[t] = true
	}
	s.wakeLocked()
}

// answers is one round of questions.
type answers struct {
	topics     kadm.TopicDetails
	committed  kadm.OffsetResponses
	start, end kadm.ListedOffsets
	begin      map[string]kadm.ListedOffsets // by topic, for those that begin a duration back
}

// ask makes one round.
func (s *Source) ask(ctx context.Context, client *kgo.Client, ps []sources.Partition) ([]sources.Assignment, map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	got, err := askAll(ctx, kadm.NewClient(client), s.set.Group, topicsOf(ps), s.startOf)
	if err != nil {
		return nil, nil, err
	}
	as := make([]sources.Assignment, 0, len(ps))
	gone := make(map[string]bool)
	for _, p := range ps {
		a, err := got.of(p, s.startOf(p.Topic))
		switch {
		case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
			gone[p.Topic] = true
		case err != nil:
			return nil, nil, fmt.Errorf("%s/%d: %w", p.Topic, p.Number, err)
		default:
			as = append(as, a)
		}
	}
	return as, gone, nil
}

// askAll asks about topics, all their partitions at once. start says where a
// group without offsets begins.
func askAll(ctx context.Context, admin *kadm.Client, group string, topics []string, start func(topic string) feature.StartAt) (answers, error) {
	var a answers
	var err error
	if a.topics, err = admin.ListTopics(ctx, topics...); err != nil {
		return a, fmt.Errorf("list topics: %w", err)
	}
	if a.committed, err = admin.FetchOffsetsForTopics(ctx, group, topics...); err != nil {
		return a, fmt.Errorf("fetch committed offsets: %w", err)
	}
	// The end before the start: then start <= end even while records expire.
	if a.end, err = admin.ListEndOffsets(ctx, topics...); err != nil {
		return a, fmt.Errorf("list end offsets: %w", err)
	}
	if a.start, err = admin.ListStartOffsets(ctx, topics...); err != nil {
		return a, fmt.Errorf("list start offsets: %w", err)
	}
	a.begin = make(map[string]kadm.ListedOffsets)
	for _, t := range topics {
		if back := start(t).Back; back > 0 {
			if a.begin[t], err = admin.ListOffsetsAfterMilli(ctx, time.Now().Add(-back).UnixMilli(), t); err != nil {
				return a, fmt.Errorf("list offsets by time: %w", err)
			}
		}
	}
	return a, nil
}

// of puts together what was answered about p.
func (a *answers) of(p sources.Partition, start feature.StartAt) (sources.Assignment, error) {
	as := sources.Assignment{Partition: p, Committed: -1}
	topic := a.topics[p.Topic]
	if topic.Err != nil {
		return as, topic.Err
	}
	as.TopicID, as.Partitions = sources.TopicID(topic.ID), int32(len(topic.Partitions))
	if c, is := a.committed.Lookup(p.Topic, p.Number); is {
		if c.Err != nil {
			return as, fmt.Errorf("committed offset: %w", c.Err)
		}
		if c.At >= 0 {
			as.Committed, as.Metadata = c.At, c.Metadata
		}
	}
	var err error
	if as.LogEnd, err = listed(a.end, p); err != nil {
		return as, fmt.Errorf("log end: %w", err)
	}
	if as.LogStart, err = listed(a.start, p); err != nil {
		return as, fmt.Errorf("log start: %w", err)
	}
	as.LogStart = min(as.LogStart, as.LogEnd)
	switch {
	case start.Latest:
		as.Begin = as.LogEnd
	case start.Back > 0:
		if as.Begin, err = listed(a.begin[p.Topic], p); err != nil {
			return as, fmt.Errorf("offset by time: %w", err)
		}
	default:
		as.Begin = as.LogStart
	}
	return as, nil
}

// listed finds p in a listing.
func listed(l kadm.ListedOffsets, p sources.Partition) (int64, error) {
	o, is := l.Lookup(p.Topic, p.Number)
	if !is {
		return 0, kerr.UnknownTopicOrPartition
	}
	return o.Offset, o.Err
}

// startOf returns where a group without offsets begins on a topic, as of now.
func (s *Source) startOf(topic string) feature.StartAt {
	for _, t := range s.set.Topics {
		if t.Name == topic {
			return t.begin()
		}
	}
	return feature.StartAt{}
}

func (t *Topic) begin() feature.StartAt {
	if t.Since.IsZero() {
		return t.Start
	}
	return feature.StartAt{Back: max(time.Since(t.Since), 1)}
}

// topicsOf lists the topics of ps, which are in order.
func topicsOf(ps []sources.Partition) []string {
	var ts []string
	for _, p := range ps {
		if len(ts) == 0 || ts[len(ts)-1] != p.Topic {
			ts = append(ts, p.Topic)
		}
	}
	return ts
}
