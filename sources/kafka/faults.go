package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/sources"
)

// leaveGrace is what a leave may take beside the handler's part.
const leaveGrace = 5 * time.Second

// explain turns an error that a person has to mend into a message that says
// what to do, and returns nil for any other.
func (s *Source) explain(err error, topic string) error {
	switch {
	case oneOf(err, kerr.SaslAuthenticationFailed, kerr.IllegalSaslState, kerr.UnsupportedSaslMechanism):
		return fmt.Errorf("log in to kafka as %q with %q: check user, password and mechanism: %w",
			s.set.SASL.User, s.set.SASL.Mechanism, err)
	case oneOf(err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("read kafka topic %q: the user needs the rights Describe and Read on it: %w", topic, err)
	case oneOf(err, kerr.GroupAuthorizationFailed):
		return fmt.Errorf("join kafka group %q: the user needs the right Read on it: %w", s.set.Group, err)
	case oneOf(err, kerr.ClusterAuthorizationFailed):
		return fmt.Errorf("use the kafka cluster: the user needs the right Describe on it: %w", err)
	case oneOf(err, kerr.InconsistentGroupProtocol, kerr.InvalidGroupID, kerr.InvalidSessionTimeout, kerr.UnsupportedVersion):
		return fmt.Errorf("join kafka group %q: is it in use by other software, or are its settings refused?: %w", s.set.Group, err)
	}
	if _, is := errors.AsType[*tls.CertificateVerificationError](err); is {
		return fmt.Errorf("connect to kafka: the broker's certificate is not trusted; name the authority's file: %w", err)
	}
	return nil
}

// oneOf reports whether err is one of kinds, inside admin errors too.
func oneOf(err error, kinds ...*kerr.Error) bool {
	for _, k := range kinds {
		if errors.Is(err, k) {
			return true
		}
	}
	if shards, is := errors.AsType[*kadm.ShardErrors](err); is {
		for _, e := range shards.Errs {
			if oneOf(e.Err, kinds...) {
				return true
			}
		}
	}
	return false
}

// complain sees to an error of a poll. At the start what a person has to mend
// ends Run; afterwards it is logged when it is new, and the client goes on
// trying. An error without a topic is the group's.
func (s *Source) complain(p sources.Partition, err error) {
	final := s.explain(err, p.Topic)
	s.mu.Lock()
	started := s.mu.joined
	if p.Topic != "" {
		started = s.mu.seen[p.Topic]
	}
	known := s.mu.said[p] == err.Error()
	s.mu.said[p] = err.Error()
	s.mu.Unlock()
	switch {
	case final != nil && !started:
		s.fail(final)
	case !known:
		s.set.Logger.Error("read from kafka", "topic", p.Topic, "partition", p.Number, "err", err)
	}
}

// joined reports whether a partition was assigned once.
func (s *Source) joined() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.joined
}

// probe asks for the topics until a broker answers, to fail at once and with a
// clear message for what a person has to mend, and to name topics that do not
// exist yet. nil also when ctx ends.
func (s *Source) probe(ctx context.Context, client *kgo.Client) error {
	admin := kadm.NewClient(client)
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		answered, err := s.inspect(ctx, admin)
		if answered || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// inspect asks for every topic once, refuses those that may not be read and
// names those that are absent. It asks for one after the other: an answer about
// several does not say which of them may not be read.
func (s *Source) inspect(ctx context.Context, admin *kadm.Client) (answered bool, err error) {
	for _, t := range s.set.Topics {
		topics, err := admin.ListTopics(ctx, t.Name)
		if err != nil {
			return false, s.explain(err, t.Name)
		}
		if errors.Is(topics[t.Name].Err, kerr.UnknownTopicOrPartition) {
			s.set.Logger.Warn("kafka topic does not exist yet; it is read once it does", "topic", t.Name)
		}
	}
	return true, nil
}

// tendTopics takes topics that were deleted out of the client, and puts them
// in again once the handler has nothing of them any more: the client reads a
// topic under the id that it first saw, and only a topic that is new to it is
// assigned anew. Called by the poll loop, between polls.
func (s *Source) tendTopics(client *kgo.Client) {
	s.mu.Lock()
	purge := keys(s.mu.purge)
	for _, t := range purge {
		s.mu.add[t] = true
	}
	clear(s.mu.purge)
	s.mu.Unlock()
	if len(purge) > 0 {
		s.set.Logger.Warn("kafka topic was deleted; a new one of its name is read from its own beginning", "topics", purge)
		client.PurgeTopicsFromConsuming(purge...)
	}
	s.mu.Lock()
	free := s.freeLocked()
	for _, t := range free {
		delete(s.mu.add, t)
	}
	s.mu.Unlock()
	if len(free) > 0 {
		client.AddConsumeTopics(free...)
	}
}

// freeLocked lists the topics to be added again of which nothing is owned.
func (s *Source) freeLocked() []string {
	if len(s.mu.add) == 0 {
		return nil
	}
	held := make(map[string]bool)
	for p := range s.mu.owned {
		held[p.Topic] = true
	}
	var free []string
	for t := range s.mu.add {
		if !held[t] {
			free = append(free, t)
		}
	}
	return free
}

func keys(m map[string]bool) []string {
	ks := make([]string, 0, len(m))
	for k := range m {
		ks = append(ks, k)
	}
	return ks
}
