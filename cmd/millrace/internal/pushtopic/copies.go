package pushtopic

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/serving/push"
	"millrace/sinks"
	"millrace/sources"
)

// Bounds of looking for copies.
const (
	maxScans       = 2    // at a time
	maxScanned     = 5000 // copies that are read
	followTime     = 2 * time.Second
	maxCopyLetters = 10_000 // that are looked at for one receipt
)

// follow says of positions on a topic that their copies are not all behind the
// group. The group that makes copies commits with them, so those of what it has
// passed are on the log; those that are not behind the group lie between its
// commits and the log's end. These are read when they are few enough, which is
// waited for a little: until then nothing counts as passed.
func (t *Topic) follow(ctx context.Context, topic string, c *Copies, at []push.Position, left []bool) error {
	if err := t.copying[c.Group].mark(ctx, topic, at, left); err != nil {
		return err
	}
	wanted := make(map[int32]map[int64]int)
	for i := range at {
		if !left[i] {
			if wanted[at[i].Partition] == nil {
				wanted[at[i].Partition] = make(map[int64]int)
			}
			wanted[at[i].Partition][at[i].Offset] = i
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, followTime)
	defer cancel()
	found, err := t.unread(ctx, c.Topic, func(of *sources.Copy) {
		if i, ours := wanted[of.Number][of.Offset]; ours && of.Topic == topic {
			left[i] = true
		}
	})
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errTooMany) {
		found, err = false, nil
	}
	if !found {
		for i := range left {
			left[i] = true
		}
	}
	return err
}

// span is the offsets of a partition from one on and below another.
type span struct{ from, to int64 }

// errTooMany says that more would have to be read than is.
var errTooMany = errors.New("the group is far behind")

// unread calls fn for the copies on a topic, as it is now, that the group is not
// past; false when that cannot be told yet.
func (t *Topic) unread(ctx context.Context, topic string, fn func(*sources.Copy)) (bool, error) {
	ends, err := t.admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return false, fmt.Errorf("ask for the log's end: %w", err)
	}
	starts, err := t.admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return false, fmt.Errorf("ask for the log's start: %w", err)
	}
	now, err := t.topics.find(ctx, topic)
	if err != nil {
		return false, err
	}
	var behind map[int32]span
	err = t.commits.watch(ctx, func(got kadm.OffsetResponses) bool {
		all := int64(0)
		behind = make(map[int32]span)
		for p, end := range ends[topic] {
			s := span{starts[topic][p].Offset, end.Offset}
			if o := (push.Position{TopicID: now.id, Partition: p, Offset: s.from - 1}); passed(got, topic, &o) {
				s.from = got[topic][p].At
			}
			if s.from < s.to {
				behind[p] = s
				all += s.to - s.from
			}
		}
		return all <= maxScanned
	})
	if err != nil || len(behind) == 0 {
		return err == nil, err
	}
	return t.scan(ctx, topic, behind, fn)
}

// scan reads what is committed in spans of a topic to their ends. The marks of
// transactions, which no group commits beyond, are read, too: they may be all
// there is.
func (t *Topic) scan(ctx context.Context, topic string, behind map[int32]span, fn func(*sources.Copy)) (bool, error) {
	select {
	case t.scans <- struct{}{}:
		defer func() { <-t.scans }()
	case <-ctx.Done():
		return false, fmt.Errorf("wait for others that read copies: %w", ctx.Err())
	}
	from := make(map[int32]kgo.Offset, len(behind))
	for p, s := range behind {
		from[p] = kgo.NewOffset().At(s.from)
	}
	client, err := t.s.Connect(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.FetchMaxWait(50*time.Millisecond), kgo.FetchMaxBytes(1<<20), kgo.MaxConcurrentFetches(1),
	)
	if err != nil {
		return false, fmt.Errorf("connect to read copies: %w", err)
	}
	defer client.Close()
	for len(behind) > 0 {
		fetches := client.PollRecords(ctx, maxScanned)
		if err := fetches.Err0(); err != nil {
			return false, fmt.Errorf("read copies: %w", err)
		}
		for _, e := range fetches.Errors() {
			return false, fmt.Errorf("read copies of partition %d: %w", e.Partition, e.Err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			s, open := behind[r.Partition]
			if open && r.Offset < s.to && !r.Attrs.IsControl() {
				tell(r, fn)
			}
			if r.Offset+1 >= s.to {
				delete(behind, r.Partition)
			}
		})
	}
	return true, nil
}

func tell(r *kgo.Record, fn func(*sources.Copy)) {
	rec := sources.Record{Key: r.Key}
	for _, h := range r.Headers {
		rec.Headers = append(rec.Headers, sources.Header(h))
	}
	if c, err := sources.Unpack(&rec); err == nil { // the lane refuses what is none
		fn(&c)
	}
}

// lettersOfCopies looks for the letters of positions among those of their
// copies, which are filed by where the copies were: all of a day are looked at,
// up to a bound.
func (t *Topic) lettersOfCopies(ctx context.Context, source, topic string, at []push.Position, found []push.Refusal) ([]push.Refusal, error) {
	for i := range t.s.Sources[source].Copies {
		c := &t.s.Sources[source].Copies[i]
		now, err := t.topics.find(ctx, c.Topic)
		if err != nil {
			return nil, err
		}
		s := &letterSearch{topic: topic, at: make(map[place]int), found: found}
		days := make(map[int32]struct{})
		for _, p := range places(at) {
			days[p.day] = struct{}{}
			s.at[place{partition: p.partition, offset: p.offset}] = p.at
		}
		s.positions = at
		for day := range days {
			for n := range now.partitions {
				r := sinks.LetterRange{Source: c.Source, Partition: n, Day: day, From: 0, To: math.MaxInt64}
				if err := t.s.Letters.LettersAt(ctx, r, s.take); err != nil {
					return nil, fmt.Errorf("look for dead letters of source %s: %w", c.Source, err)
				}
			}
		}
		found = s.found
	}
	return found, nil
}

// letterSearch picks the letters of positions.
type letterSearch struct {
	topic     string
	positions []push.Position
	at        map[place]int // by partition and offset
	found     []push.Refusal
	seen      int
}

func (s *letterSearch) take(l *sinks.Letter) bool {
	s.seen++
	if n := len(l.Headers); n > 0 {
		of, ok := sources.OriginalOf(sources.Header(l.Headers[n-1]))
		i, ours := s.at[place{partition: of.Number, offset: of.Offset}]
		if ok && ours && of.Topic == s.topic && max(of.TimeMillis-s.positions[i].Millis, s.positions[i].Millis-of.TimeMillis) <= clockDoubt {
			s.found = append(s.found, push.Refusal{At: i, Element: l.Element, View: strings.Clone(l.View), Reason: l.Reason, Message: strings.Clone(l.Message)})
		}
	}
	return len(s.found) < MaxLetters && s.seen < maxCopyLetters
}
