package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/sources"
)

// What stops a relay until a person has decided.
var (
	errOffsetsLost = errors.New("copies of this partition were made, and the group has no offset of it any more: " +
		"to begin again would count everything twice; give the view another name, or commit the offset that was lost")
	errOffsetsForeign = errors.New("the group's offset was not set by this relay: " +
		"to go by it could count records twice or leave some out; commit the relay's own offset with its metadata, or give the view another name")
)

// aheadError says that the group's offset lies beyond the log's end: the log
// lost records.
type aheadError struct {
	partition         int32
	committed, logEnd int64
}

// Error says what to do.
func (e *aheadError) Error() string {
	return fmt.Sprintf("the group's offset, %d, lies beyond the log's end, %d: the log lost records; when it is clear why, run millrace recover SOURCE --partition %d",
		e.committed, e.logEnd, e.partition)
}

// relayMeta is what every commit of a relay carries beside the offset.
type relayMeta struct {
	Topic    string `json:"topic"` // id in hex
	Into     string `json:"into"`  // id of the topic that copies go to
	Recovery int64  `json:"recovery,omitempty"`
}

func (m relayMeta) encode() string {
	text, err := json.Marshal(m)
	if err != nil { // three plain fields always encode
		return ""
	}
	return string(text)
}

func parseRelayMeta(text string) (relayMeta, bool) {
	var m relayMeta
	if text == "" || json.Unmarshal([]byte(text), &m) != nil || m.Topic == "" || m.Into == "" {
		return relayMeta{}, false
	}
	return m, true
}

// relayStart says where a relay begins on a partition.
type relayStart struct {
	offset  int64
	meta    relayMeta
	missed  bool  // records before offset are never copied
	commit  bool  // offset and meta are not what the group has
	expired int64 // records that the log dropped
}

// decideRelay decides from what the group committed (a.Committed, a.Metadata),
// what the ledger has and what a person said. into is the id of the topic that
// copies go to.
//
//	committed          ledger            begins
//	-                  -                 where the source's `start:` says
//	-                  an earlier topic  at the log's start
//	-                  this topic        never: the offset was lost
//	not the relay's    any               never
//	of another topic   any               at the log's start
//	beyond the end     any               never, until a recovery
//	below the start    any               at the log's start
//	else               any               there
func decideRelay(a *sources.Assignment, into string, this, earlier bool, rec Recovery) (relayStart, error) {
	s := relayStart{meta: relayMeta{Topic: a.TopicID.Hex(), Into: into, Recovery: rec.Number}}
	old, known := parseRelayMeta(a.Metadata)
	switch {
	case a.Committed < 0 && this:
		return s, errOffsetsLost
	case a.Committed < 0:
		s.offset, s.commit = a.Begin, true
		if earlier {
			s.offset = a.LogStart
		}
		s.missed = s.offset > 0
		return s, nil
	case !known:
		return s, errOffsetsForeign
	case old.Topic != s.meta.Topic:
		s.offset, s.commit, s.missed = a.LogStart, true, a.LogStart > 0
		return s, nil
	}
	s.offset = a.Committed
	if rec.Number > old.Recovery && rec.Topic == s.meta.Topic {
		s.offset = max(rec.Offset, min(a.Committed, a.LogEnd))
		s.missed = s.offset > a.Committed
	} else if a.Committed > a.LogEnd {
		return s, &aheadError{a.Number, a.Committed, a.LogEnd}
	}
	if s.offset < a.LogStart {
		s.expired, s.offset, s.missed = a.LogStart-s.offset, a.LogStart, true
	}
	s.missed = s.missed || old.Into != into
	s.commit = s.offset != a.Committed || old != s.meta
	return s, nil
}

// fetched is called by the client with what the group committed.
func (s *relaySession) fetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range resp.Groups {
		for _, t := range g.Topics { // there is one
			for _, p := range t.Partitions {
				c := committed{offset: p.Offset}
				if p.Metadata != nil {
					c.metadata = *p.Metadata
				}
				s.mu.committed[p.Partition] = c
			}
		}
	}
	return nil
}

// committed is what a group committed of a partition.
type committed struct {
	offset   int64
	metadata string
}

// adjust is called by the client between an assignment and the first fetch.
func (s *relaySession) adjust(ctx context.Context, all offsets) (offsets, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.running, cancel)()
	for topic, numbers := range all {
		for n := range maps.Clone(numbers) {
			offset, err := s.begin(ctx, sources.Partition{Topic: topic, Number: n})
			if err != nil {
				return nil, s.giveUp(ctx, fmt.Errorf("partition %d: %w", n, err))
			}
			s.r.set.Events.Assigned(n, offset)
			if o := numbers[n].EpochOffset(); o.Offset != offset { // else with the epoch, by which a log that was cut is noticed
				numbers[n] = kgo.NewOffset().At(offset)
			}
		}
	}
	return all, nil
}

// giveUp ends the session when err is not the end of it: a group that
// rebalances meanwhile asks again.
func (s *relaySession) giveUp(ctx context.Context, err error) error {
	if ctx.Err() == nil && !oneOf(err, kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.RebalanceInProgress) {
		s.stop(err)
		<-ctx.Done()
	}
	return err
}

// begin decides where a partition begins and has that be known before anything
// is copied: first the group gets the offset, then the ledger is told. Without
// an offset and unknown to the ledger, nothing was copied; without an offset
// and known, it was lost.
func (s *relaySession) begin(ctx context.Context, p sources.Partition) (int64, error) {
	a, into, err := s.facts(ctx, p)
	if err != nil {
		return 0, err
	}
	ledger := s.r.set.Ledger
	this, earlier, err := ledger.Opened(ctx, p.Number, a.TopicID)
	if err != nil {
		return 0, err //nolint:wrapcheck // says already what
	}
	recovery, err := ledger.Recovery(ctx, p.Number)
	if err != nil {
		return 0, err //nolint:wrapcheck // says already what
	}
	start, err := decideRelay(&a, into, this, earlier, recovery)
	if _, ahead := errors.AsType[*aheadError](err); ahead && s.r.set.GoOn {
		s.r.set.Logger.Warn("the log lost records: copying goes on at its end", "topic", p.Topic, "partition", p.Number, "offset", a.Committed, "end", a.LogEnd)
		start.offset, start.commit, err = a.LogEnd, true, nil
	}
	if err != nil {
		return 0, err
	}
	if start.expired > 0 {
		s.r.set.Events.Expired(p.Number, start.expired)
	}
	if start.missed {
		if err := ledger.Missed(ctx, p.Number); err != nil {
			return 0, err //nolint:wrapcheck // says already what
		}
	}
	if start.commit {
		if err := s.commitStart(ctx, &a, start); err != nil {
			return 0, err
		}
	}
	if !this {
		if err := ledger.Open(ctx, p.Number, a.TopicID); err != nil {
			return 0, err //nolint:wrapcheck // says already what
		}
	}
	s.mu.Lock()
	s.mu.meta[p.Number] = start.meta.encode()
	s.mu.Unlock()
	return start.offset, nil
}

// commitStart gives the group the offset at which a partition begins, as this
// member: a former one's is refused by the broker.
func (s *relaySession) commitStart(ctx context.Context, a *sources.Assignment, start relayStart) error {
	client := s.client()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = s.r.set.Group
	req.MemberID, req.Generation = client.GroupMetadata()
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.TopicID = a.Topic, a.TopicID
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = a.Number, start.offset, -1, new(start.meta.encode())
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("commit where it begins: %w", err)
	}
	return refusals(req, resp)
}
