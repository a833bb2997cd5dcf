package pipeline

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"millrace/sources"
)

// Commits never follow a revoke. The race: the committer reads lane 3's mark;
// before it reaches the broker the group revokes partition 3 and gives it to
// another process, which commits more; then our commit arrives and moves the
// group back, or, worse, is taken for the new owner's. So commitMu is held
// over the whole of reading revoked flags and Source.Commit, and Revoked and
// Lost take it before they return: a commit is either finished by then or sees
// the flag. It has a deadline, so a revoke waits at most that long.

// commitLoop commits on a timer, and soon where somebody waits, until ctx ends.
func (p *Pipeline) commitLoop(ctx context.Context) {
	tick := time.NewTicker(p.s.CommitInterval)
	defer tick.Stop()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.hurried:
			p.gather(ctx, last)
		case <-tick.C:
		}
		last = p.s.Clock()
		if err := p.commit(ctx, p.allLanes()); err != nil && ctx.Err() == nil {
			p.s.Events.CommitFailed(err)
		}
	}
}

// hurryInterval is the least time between commits for which somebody waits: the
// first is made at once, those who come meanwhile share the next.
const hurryInterval = 10 * time.Millisecond

// hurry asks for a commit soon. Marks that are to be in it are made.
func (p *Pipeline) hurry() {
	select {
	case p.hurried <- struct{}{}:
	default:
	}
}

// gather waits until another commit may be made, for all who wait by then.
func (p *Pipeline) gather(ctx context.Context, last time.Time) {
	if wait := last.Add(hurryInterval).Sub(p.s.Clock()); wait > 0 {
		sleep(ctx, min(wait, hurryInterval)) // the clock may have gone back
	}
	select {
	case <-p.hurried:
	default:
	}
}

// turn is a mutex made of a channel: waiting for it can end with a context, and
// virtual time passes while a test waits for it (a mutex would hold it still).
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// Lock waits for as long as it takes.
func (t turn) Lock() { t <- struct{}{} }

// Unlock lets the next one in.
func (t turn) Unlock() { <-t }

// lockBefore waits until ctx ends.
func (t turn) lockBefore(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the commit under way: %w", ctx.Err())
	}
}

// progress is a lane's mark as of one moment, with the metadata under which it
// was made.
type progress struct {
	lane    *lane
	mark    int64
	carried string
}

// moved lists what is to be committed.
func (p *Pipeline) moved(ctx context.Context, lanes []*lane) ([]progress, error) {
	if err := p.commitMu.lockBefore(ctx); err != nil {
		return nil, err
	}
	defer p.commitMu.Unlock()
	var marks []progress
	for _, l := range lanes {
		l.mu.Lock()
		mark := l.mu.tracker.mark
		l.mu.Unlock()
		if l.adopted && !l.revoked && mark != l.committed.Load() {
			marks = append(marks, progress{l, mark, l.carried})
		}
	}
	return marks, nil
}

// commit makes durable and commits what the lanes have finished.
func (p *Pipeline) commit(ctx context.Context, lanes []*lane) error {
	ctx, cancel := context.WithTimeout(ctx, p.s.CommitTimeout)
	defer cancel()
	// Marks are read before Sync: what Sync covers is what was written before.
	marks, err := p.moved(ctx, lanes)
	if err != nil || len(marks) == 0 {
		return err
	}
	if err := p.s.Sink.Sync(ctx); err != nil {
		return fmt.Errorf("make rows durable before a commit: %w", err)
	}
	if err := p.commitMu.lockBefore(ctx); err != nil {
		return err
	}
	defer p.commitMu.Unlock()
	return p.commitMarks(ctx, marks)
}

// commitMarks tells the group; the caller holds commitMu.
//
// A mark goes only with the metadata under which it was made: while Sync ran,
// a recovery may have moved the lane and committed its new place; the old mark
// would undo it and, carrying the recovery's number, have it never tried again.
func (p *Pipeline) commitMarks(ctx context.Context, marks []progress) error {
	marks = slices.DeleteFunc(marks, func(m progress) bool {
		return m.lane.revoked || !m.lane.adopted || m.lane.carried != m.carried
	})
	list := make([]sources.Mark, 0, len(marks))
	for _, m := range marks {
		list = append(list, sources.Mark{Partition: m.lane.partition, Offset: m.mark, Metadata: m.carried})
	}
	if len(list) == 0 {
		return nil
	}
	if err := p.s.Source.Commit(ctx, list); err != nil {
		return fmt.Errorf("commit %d partitions: %w", len(list), err)
	}
	for _, m := range marks {
		m.lane.committed.Store(m.mark)
	}
	p.s.Events.Committed(list)
	return nil
}

// adoptLane commits one lane's position with its metadata, and lets its marks
// be committed from then on.
func (p *Pipeline) adoptLane(ctx context.Context, l *lane, offset int64, meta string) error {
	ctx, cancel := context.WithTimeout(ctx, p.s.CommitTimeout)
	defer cancel()
	if err := p.commitMu.lockBefore(ctx); err != nil {
		return err
	}
	defer p.commitMu.Unlock()
	if l.revoked {
		return context.Canceled
	}
	if l.carried == meta && l.committed.Load() == offset {
		l.adopted = true
		return nil
	}
	mark := sources.Mark{Partition: l.partition, Offset: offset, Metadata: meta}
	if err := p.s.Source.Commit(ctx, []sources.Mark{mark}); err != nil {
		return fmt.Errorf("commit catalog version %d: %w", l.meta.Catalog, err)
	}
	l.carried, l.adopted = meta, true
	l.committed.Store(offset)
	p.s.Events.Committed([]sources.Mark{mark})
	return nil
}

// metadata is what every commit carries beside the offset (DESIGN section 8):
// a lane's catalog version never goes back, an offset of another topic is not
// used, a recovery is taken once.
type metadata struct {
	Catalog  int64  `json:"catalog"`
	Topic    string `json:"topic"` // id in hex
	Recovery int64  `json:"recovery,omitempty"`
}

func (m metadata) encode() string {
	text, err := json.Marshal(m)
	if err != nil { // three plain fields always encode
		return ""
	}
	return string(text)
}

// parseMetadata reads what a commit carried; false when it was not ours.
func parseMetadata(text string) (metadata, bool) {
	var m metadata
	if text == "" || json.Unmarshal([]byte(text), &m) != nil || m.Topic == "" {
		return metadata{}, false
	}
	return m, true
}

// TopicOf returns the id of the topic that a commit with this metadata is of;
// false when no pipeline made it. An offset says nothing of another topic, be it
// one of the same name.
func TopicOf(commit string) (sources.TopicID, bool) {
	var id sources.TopicID
	m, ok := parseMetadata(commit)
	if !ok || hex.DecodedLen(len(m.Topic)) != len(id) {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(m.Topic))
	return id, err == nil
}
