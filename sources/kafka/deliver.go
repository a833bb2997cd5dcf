package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/sources"
)

// retryReopen is how soon a partition is tried again that the client does not
// know yet.
const retryReopen = 5 * time.Millisecond

// polled is what one poll brought of one partition.
type polled struct {
	partition sources.Partition
	records   []*kgo.Record
	logEnd    int64
	logStart  int64
	lost      error
}

// collect sorts a poll by partition, errors apart. A partition may come more
// than once, when its leader moved; an error of it may come after records that
// were fetched later, because the client lists errors last.
func (s *Source) collect(fetches kgo.Fetches) {
	s.polled = s.polled[:0]
	clear(s.index)
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		p := sources.Partition{Topic: f.Topic, Number: f.Partition}
		if f.Err != nil && !s.isLoss(p, f.Err) {
			return
		}
		i, known := s.index[p]
		if !known {
			i = len(s.polled)
			s.index[p] = i
			s.polled = append(s.polled, polled{partition: p})
		}
		at := &s.polled[i]
		at.logEnd, at.logStart = max(at.logEnd, f.HighWatermark), max(at.logStart, f.LogStartOffset)
		at.records = append(at.records, f.Records...)
		if f.Err != nil {
			at.lost = f.Err
		}
	})
}

// isLoss reports whether err says that the log lost records, and sees to any
// other error.
func (s *Source) isLoss(p sources.Partition, err error) bool {
	if _, is := errors.AsType[*kgo.ErrDataLoss](err); is {
		return true
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, kgo.ErrClientClosed):
	case errors.Is(err, kerr.UnknownTopicID):
		s.mu.Lock()
		s.mu.purge[p.Topic] = true
		s.mu.Unlock()
	default:
		s.complain(p, err)
	}
	return false
}

// handOver gives one partition's part of a poll to the handler.
func (s *Source) handOver(client *kgo.Client, b *polled) {
	f := sources.Fetch{Partition: b.partition, LogEnd: b.logEnd}
	if !s.admit(b, &f) {
		return
	}
	full := s.handler.Deliver(f)
	if !full && f.Err == nil {
		return
	}
	// Resume may have been called since Deliver returned: it is only a note in
	// mu.resumes until reopen, which comes after this.
	s.mu.Lock()
	if at := s.mu.owned[b.partition]; at != nil {
		at.paused = true
		at.moved = f.Err != nil
	}
	s.mu.Unlock()
	client.PauseFetchPartitions(byTopic(b.partition))
}

// admit decides what of b goes into f, and moves the position. False: nothing.
func (s *Source) admit(b *polled, f *sources.Fetch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.mu.owned[b.partition]
	switch {
	case at == nil:
		return false
	case at.paused:
		at.moved = at.moved || len(b.records) > 0
		return false
	case b.lost != nil:
		f.Err = fmt.Errorf("read %s/%d at offset %d: %w", b.partition.Topic, b.partition.Number, at.next, b.lost)
		return true
	case len(b.records) == 0:
		return false
	case b.records[0].Offset < at.next:
		// The client went back by itself: the log ended below our offset
		// before anything was read from it.
		f.Err = fmt.Errorf("read %s/%d at offset %d: %w", b.partition.Topic, b.partition.Number, at.next,
			&kgo.ErrDataLoss{
				Topic: b.partition.Topic, Partition: b.partition.Number,
				ConsumedTo: at.next, ConsumedToEpoch: -1, ResetTo: b.records[0].Offset, ResetToEpoch: -1,
			})
		return true
	}
	delete(s.mu.said, b.partition)
	// Offsets have gaps for other reasons too; those begin no log.
	f.Expired = max(0, min(b.records[0].Offset, b.logStart)-at.next)
	f.Records = make([]sources.Record, len(b.records))
	for i, r := range b.records {
		f.Records[i] = convert(r)
		at.wrote(r.Offset, r.LeaderEpoch)
	}
	at.next, at.epoch = b.records[len(b.records)-1].Offset+1, -1
	return true
}

// convert copies the description of a record, not its bytes.
func convert(r *kgo.Record) sources.Record {
	rec := sources.Record{Key: r.Key, Value: r.Value, Offset: r.Offset, TimeMillis: r.Timestamp.UnixMilli()}
	if len(r.Headers) > 0 {
		rec.Headers = make([]sources.Header, len(r.Headers))
		for i, h := range r.Headers {
			rec.Headers[i] = sources.Header{Key: h.Key, Value: h.Value}
		}
	}
	return rec
}

// Resume is described at sources.Source. It leaves a note for the poll loop,
// because the client's position may only be set while no rebalance can begin.
// A partition that is neither full nor held stays as it is.
func (s *Source) Resume(p sources.Partition, at int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.owned[p] == nil {
		return
	}
	s.mu.resumes[p] = at
	s.wakeLocked()
}

// reopen does what Resume asked for. It is called with a poll in hand.
func (s *Source) reopen(client *kgo.Client) {
	resume, set := s.takeResumes(client)
	if len(set) > 0 {
		client.SetOffsets(set)
	}
	if len(resume) > 0 {
		client.ResumeFetchPartitions(byTopic(resume...))
	}
}

// takeResumes lists the partitions to resume and the offsets to set first.
func (s *Source) takeResumes(client *kgo.Client) ([]sources.Partition, map[string]map[int32]kgo.EpochOffset) {
	s.mu.Lock()
	wanted := s.mu.resumes
	s.mu.resumes = make(map[sources.Partition]int64)
	s.mu.Unlock()
	if len(wanted) == 0 {
		return nil, nil
	}
	ready := client.CommittedOffsets() // holds what the client consumes, as SetOffsets sees it
	s.mu.Lock()
	defer s.mu.Unlock()
	var resume []sources.Partition
	set := make(map[string]map[int32]kgo.EpochOffset)
	for p, offset := range wanted {
		at := s.mu.owned[p]
		if at == nil || !at.paused {
			continue
		}
		if _, is := ready[p.Topic][p.Number]; !is {
			s.later(p, offset)
			continue
		}
		if offset != sources.KeepPosition {
			at.jump(offset)
		}
		if offset != sources.KeepPosition || at.moved {
			if set[p.Topic] == nil {
				set[p.Topic] = make(map[int32]kgo.EpochOffset)
			}
			set[p.Topic][p.Number] = kgo.EpochOffset{Epoch: -1, Offset: at.next}
		}
		at.paused, at.moved = false, false
		resume = append(resume, p)
	}
	return resume, set
}

// later asks again for a partition that Assigned answered for but that the
// client has not begun yet.
func (s *Source) later(p sources.Partition, offset int64) {
	time.AfterFunc(retryReopen, func() { s.resumeAgain(p, offset) })
}

// resumeAgain keeps a newer wish.
func (s *Source) resumeAgain(p sources.Partition, offset int64) {
	s.mu.Lock()
	_, newer := s.mu.resumes[p]
	s.mu.Unlock()
	if !newer {
		s.Resume(p, offset)
	}
}
