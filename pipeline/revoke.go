package pipeline

import (
	"context"
	"time"

	"millrace/sources"
)

// Revoked implements sources.Handler, in stages against one deadline, the
// nearer one of ctx's and the drain timeout: nothing more is taken, batches in
// flight finish, what is finished is committed, the partitions are let go.
func (p *Pipeline) Revoked(ctx context.Context, ps []sources.Partition) {
	lanes := p.takeLanes(ps)
	defer p.forgetLeaving()
	for _, l := range lanes {
		l.stopTaking()
	}
	drainBy, commitBy := p.stages(ctx)
	p.drain(ctx, lanes, drainBy)
	commits, cancel := context.WithDeadline(context.WithoutCancel(ctx), commitBy)
	defer cancel()
	if err := p.commit(commits, lanes); err != nil {
		p.s.Events.CommitFailed(err)
	}
	p.letGo(lanes)
	for _, l := range lanes {
		l.mu.Lock()
		unfinished := l.mu.tracker.unfinished()
		l.mu.Unlock()
		p.s.Events.Revoked(l.partition, unfinished)
	}
}

// stages divides the time that a revoke has: a quarter, at most the commit
// timeout, is kept for the commit, so that batches which did finish are not
// read again because another one did not.
func (p *Pipeline) stages(ctx context.Context) (drainBy, commitBy time.Time) {
	now := p.s.Clock()
	commitBy = now.Add(p.s.DrainTimeout)
	if at, limited := ctx.Deadline(); limited && at.Before(commitBy) {
		commitBy = at
	}
	drainBy = commitBy.Add(-min(commitBy.Sub(now)/4, p.s.CommitTimeout))
	return drainBy, commitBy
}

// drain waits for lanes that take nothing more, not beyond a moment.
func (p *Pipeline) drain(ctx context.Context, lanes []*lane, by time.Time) {
	ctx, cancel := context.WithDeadline(ctx, by)
	defer cancel()
	for _, l := range lanes {
		select {
		case <-l.done:
		case <-ctx.Done():
			return
		}
	}
}

func (p *Pipeline) forgetLeaving() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.leaving = nil
}

// Lost implements sources.Handler.
func (p *Pipeline) Lost(ps []sources.Partition) {
	lanes := p.takeLanes(ps)
	defer p.forgetLeaving()
	p.letGo(lanes)
	for _, l := range lanes {
		p.s.Events.Lost(l.partition)
	}
}

// letGo bars the lanes from committing, ends them and takes their bytes back.
func (p *Pipeline) letGo(lanes []*lane) {
	p.commitMu.Lock()
	for _, l := range lanes {
		l.revoked = true
	}
	p.commitMu.Unlock()
	for _, l := range lanes {
		l.end()
	}
	for _, l := range lanes {
		<-l.done
		l.mu.Lock()
		p.budget.give(l.mu.buffered)
		l.mu.buffered, l.mu.queue = 0, nil
		l.mu.Unlock()
	}
	p.resumeLanes()
}

// dropAll ends lanes that the source did not give back.
func (p *Pipeline) dropAll() {
	lanes := p.allLanes()
	ps := make([]sources.Partition, 0, len(lanes))
	for _, l := range lanes {
		ps = append(ps, l.partition)
	}
	if len(ps) > 0 {
		p.Lost(ps)
	}
}
