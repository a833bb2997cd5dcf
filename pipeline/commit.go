package pipeline

import (
	"context"
	"fmt"
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

// commitLoop commits on a timer until ctx ends.
func (p *Pipeline) commitLoop(ctx context.Context) {
	tick := time.NewTicker(p.s.CommitInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := p.commit(ctx, p.allLanes()); err != nil && ctx.Err() == nil {
				p.s.Events.CommitFailed(err)
			}
		}
	}
}

// commit makes durable and commits what the lanes have finished.
func (p *Pipeline) commit(ctx context.Context, lanes []*lane) error {
	ctx, cancel := context.WithTimeout(ctx, p.s.CommitTimeout)
	defer cancel()
	// Marks are read before Sync: what Sync covers is what was written before.
	marks := make(map[*lane]int64, len(lanes))
	for _, l := range lanes {
		l.mu.Lock()
		mark := l.mu.tracker.mark
		l.mu.Unlock()
		if mark != l.lastCommitted() {
			marks[l] = mark
		}
	}
	if len(marks) == 0 {
		return nil
	}
	if err := p.s.Sink.Sync(ctx); err != nil {
		return fmt.Errorf("make rows durable before a commit: %w", err)
	}
	p.commitMu.Lock()
	defer p.commitMu.Unlock()
	return p.commitMarks(ctx, marks)
}

// commitMarks tells the group; the caller holds commitMu.
func (p *Pipeline) commitMarks(ctx context.Context, marks map[*lane]int64) error {
	var list []sources.Mark
	for l, mark := range marks {
		if l.revoked || !l.adopted {
			delete(marks, l)
			continue
		}
		list = append(list, sources.Mark{Partition: l.partition, Offset: mark, Metadata: l.carried})
	}
	if len(list) == 0 {
		return nil
	}
	if err := p.s.Source.Commit(ctx, list); err != nil {
		return fmt.Errorf("commit %d partitions: %w", len(list), err)
	}
	for l, mark := range marks {
		l.committed = mark
	}
	p.s.Events.Committed(list)
	return nil
}

// adoptLane commits one lane's position with its metadata, and lets its marks
// be committed from then on.
func (p *Pipeline) adoptLane(ctx context.Context, l *lane, offset int64, meta string) error {
	ctx, cancel := context.WithTimeout(ctx, p.s.CommitTimeout)
	defer cancel()
	p.commitMu.Lock()
	defer p.commitMu.Unlock()
	if l.revoked {
		return context.Canceled
	}
	if l.carried == meta && l.committed == offset {
		l.adopted = true
		return nil
	}
	mark := sources.Mark{Partition: l.partition, Offset: offset, Metadata: meta}
	if err := p.s.Source.Commit(ctx, []sources.Mark{mark}); err != nil {
		return fmt.Errorf("commit catalog version %d: %w", l.meta.Catalog, err)
	}
	l.committed, l.carried, l.adopted = offset, meta, true
	p.s.Events.Committed([]sources.Mark{mark})
	return nil
}

func (l *lane) lastCommitted() int64 {
	l.p.commitMu.Lock()
	defer l.p.commitMu.Unlock()
	return l.committed
}
