package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/sources"
)

// ErrNotOwned is what Commit wraps for marks of partitions that are not ours.
var ErrNotOwned = errors.New("the partition is not assigned")

// Commit is described at sources.Source. Marks that the broker refused are
// named in the error, the others are stored; during a rebalance the error
// wraps kerr.RebalanceInProgress, kerr.IllegalGeneration or
// kerr.UnknownMemberID, and the caller commits again later or never.
//
// That no mark names a partition after Revoked is the handler's promise. As a
// second line of defence marks of partitions that are not owned are dropped
// here, under the lock under which a revoke forgets its partitions: a Commit
// that begins after Revoked returned and the source took note does not reach
// the broker. One that began before is the handler's to wait for.
func (s *Source) Commit(ctx context.Context, marks []sources.Mark) error {
	client, offsets, metadata, err := s.sift(marks)
	if len(offsets) == 0 {
		return err
	}
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		carry(req, metadata)
		return nil
	})
	client.CommitOffsetsSync(ctx, offsets,
		func(_ *kgo.Client, req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, failed error) {
			if failed != nil {
				err = errors.Join(err, fmt.Errorf("commit offsets of group %s: %w", s.set.Group, failed))
				return
			}
			err = errors.Join(err, refusals(req, resp))
		})
	return err
}

// sift turns the marks of owned partitions into what the client takes.
func (s *Source) sift(marks []sources.Mark) (*kgo.Client, map[string]map[int32]kgo.EpochOffset, map[sources.Partition]string, error) {
	offsets := make(map[string]map[int32]kgo.EpochOffset)
	metadata := make(map[sources.Partition]string, len(marks))
	var err error
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range marks {
		at := s.mu.owned[m.Partition]
		if at == nil {
			err = errors.Join(err, fmt.Errorf("commit %s/%d at %d: %w", m.Topic, m.Number, m.Offset, ErrNotOwned))
			continue
		}
		if offsets[m.Topic] == nil {
			offsets[m.Topic] = make(map[int32]kgo.EpochOffset)
		}
		offsets[m.Topic][m.Number] = kgo.EpochOffset{Epoch: at.epochAt(m.Offset), Offset: m.Offset}
		metadata[m.Partition] = m.Metadata
	}
	return s.mu.client, offsets, metadata, err
}

// carry puts each mark's metadata in the request.
func carry(req *kmsg.OffsetCommitRequest, metadata map[sources.Partition]string) {
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			p.Metadata = new(metadata[sources.Partition{Topic: t.Topic, Number: p.Partition}])
		}
	}
}

// refusals collects the partitions that the broker refused. Newer brokers name
// topics by id alone.
func refusals(req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse) error {
	names := make(map[[16]byte]string, len(req.Topics))
	for _, t := range req.Topics {
		names[t.TopicID] = t.Topic
	}
	var errs []error
	for _, t := range resp.Topics {
		name := t.Topic
		if name == "" {
			name = names[t.TopicID]
		}
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				errs = append(errs, fmt.Errorf("commit %s/%d: %w", name, p.Partition, err))
			}
		}
	}
	return errors.Join(errs...)
}
