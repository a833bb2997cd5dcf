package kafka

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/sources"
)

type offsets = map[string]map[int32]kgo.Offset

// adjust is called by the client between an assignment and the first fetch,
// with the committed offsets, on a goroutine of its own: it tells the handler
// and answers where each partition begins. ctx ends when the session does.
//
// A partition may come twice: when a rebalance cuts the call short, the client
// asks again in its next session. The handler is told once.
func (s *Source) adjust(ctx context.Context, committed offsets) (offsets, error) {
	client := s.client()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.running, cancel)()
	fresh := s.unknownOf(committed)
	if len(fresh) > 0 {
		if err := s.assign(ctx, client, fresh, committed); err != nil {
			return nil, err
		}
	}
	return s.begin(client, committed), nil
}

// unknownOf lists what the handler was not told of, in order.
func (s *Source) unknownOf(committed offsets) []sources.Partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	var fresh []sources.Partition
	for topic, numbers := range committed {
		for n := range numbers {
			if p := (sources.Partition{Topic: topic, Number: n}); s.mu.owned[p] == nil {
				fresh = append(fresh, p)
			}
		}
	}
	sortPartitions(fresh)
	return fresh
}

// assign gathers the facts, asks the handler and takes the partitions.
func (s *Source) assign(ctx context.Context, client *kgo.Client, fresh []sources.Partition, committed offsets) error {
	facts, err := s.facts(ctx, client, fresh)
	if err != nil {
		return s.giveUp(ctx, err)
	}
	if len(facts) == 0 {
		return nil
	}
	if err := s.takeTurn(ctx); err != nil {
		return err
	}
	starts, err := s.handler.Assigned(ctx, facts)
	if err == nil {
		err = s.own(facts, starts, committed)
	}
	s.turn <- struct{}{}
	if err != nil {
		return s.giveUp(ctx, err)
	}
	return nil
}

// takeTurn keeps the poll loop from polling.
func (s *Source) takeTurn(ctx context.Context) error {
	s.mu.Lock()
	s.mu.assigning = true
	s.wakeLocked()
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.mu.assigning = false
		s.mu.Unlock()
	}()
	select {
	case <-s.turn:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for polls to end: %w", ctx.Err())
	}
}

// giveUp ends the call for good when err is not the session's end: Run stops,
// and the session with it, so that Revoked is called for what is owned.
func (s *Source) giveUp(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		s.fail(err)
		<-ctx.Done()
	}
	return ctx.Err()
}

// own takes the partitions with the handler's answers.
func (s *Source) own(facts []sources.Assignment, starts []sources.Start, committed offsets) error {
	answers := make(map[sources.Partition]sources.Start, len(starts))
	for _, st := range starts {
		answers[st.Partition] = st
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range facts {
		f := &facts[i]
		st, is := answers[f.Partition]
		if !is || st.Offset < 0 && !st.Hold {
			return fmt.Errorf("assign %s/%d: the handler said no offset to begin at", f.Topic, f.Number)
		}
		at := &position{next: st.Offset, epoch: -1, paused: st.Hold}
		if c := committed[f.Topic][f.Number].EpochOffset(); !st.Hold && c.Offset == st.Offset {
			at.epoch = c.Epoch
		}
		s.mu.owned[f.Partition] = at
		s.mu.joined, s.mu.seen[f.Topic] = true, true
	}
	return nil
}

// begin answers the client: where each partition begins, held ones paused.
// What is not owned was found to exist no more, and is left out.
func (s *Source) begin(client *kgo.Client, committed offsets) offsets {
	var paused []sources.Partition
	s.mu.Lock()
	for topic, numbers := range committed {
		for n := range numbers {
			p := sources.Partition{Topic: topic, Number: n}
			at := s.mu.owned[p]
			if at == nil {
				delete(numbers, n)
				continue
			}
			if at.paused {
				paused = append(paused, p)
			}
			at.moved = false
			numbers[n] = kgo.NewOffset().At(max(at.next, 0)).WithEpoch(at.epoch)
		}
	}
	s.mu.Unlock()
	if len(paused) > 0 {
		client.PauseFetchPartitions(byTopic(paused...))
	}
	return committed
}

// revoked is called by the client when partitions are taken away in good order.
func (s *Source) revoked(_ context.Context, client *kgo.Client, taken map[string][]int32) {
	ps := s.ownedOf(taken)
	if len(ps) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.set.RevokeTimeout)
	defer cancel()
	s.handler.Revoked(ctx, ps)
	s.release(client, ps)
}

// lost is called by the client when partitions may be somebody else's already.
func (s *Source) lost(_ context.Context, client *kgo.Client, taken map[string][]int32) {
	ps := s.ownedOf(taken)
	if len(ps) == 0 {
		return
	}
	s.handler.Lost(ps)
	s.release(client, ps)
}

// ownedOf lists those of taken that the handler was told of, in order.
func (s *Source) ownedOf(taken map[string][]int32) []sources.Partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ps []sources.Partition
	for topic, numbers := range taken {
		for _, n := range numbers {
			if p := (sources.Partition{Topic: topic, Number: n}); s.mu.owned[p] != nil {
				ps = append(ps, p)
			}
		}
	}
	sortPartitions(ps)
	return slices.Compact(ps)
}

// release forgets partitions. Pauses outlive an assignment in the client, so
// they are lifted here.
func (s *Source) release(client *kgo.Client, ps []sources.Partition) {
	s.mu.Lock()
	for _, p := range ps {
		delete(s.mu.owned, p)
		delete(s.mu.resumes, p)
		delete(s.mu.said, p)
	}
	s.wakeLocked() // a topic may be waiting to be added again
	s.mu.Unlock()
	client.ResumeFetchPartitions(byTopic(ps...))
}
