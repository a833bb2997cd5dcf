package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/sourcegraph/conc"
	"github.com/sourcegraph/conc/panics"

	"millrace/sinks"
	"millrace/sources"
)

// Pipeline runs lanes over a source. It is the source's Handler.
type Pipeline struct {
	s      Settings
	routes map[string]*Route // by topic
	budget budget
	lanesG conc.WaitGroup

	commitMu sync.Mutex // see commit.go

	mu struct {
		sync.Mutex
		lanes  map[sources.Partition]*lane
		stop   context.CancelCauseFunc // of the running Run
		closed bool
		joined bool // Assigned was called
	}
	ended chan struct{} // closed when Run returned
}

// New makes a Pipeline; nothing runs before Run.
func New(s Settings) (*Pipeline, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	s.fill()
	s.Events = s.Events.fill()
	p := &Pipeline{s: s, routes: make(map[string]*Route), budget: budget{limit: s.TotalBytes}, ended: make(chan struct{})}
	for i := range s.Routes {
		p.routes[s.Routes[i].Topic] = &p.s.Routes[i]
	}
	p.mu.lanes = make(map[sources.Partition]*lane)
	return p, nil
}

// Run works until ctx ends or the source or a lane fails for good. At the end
// the source gives its partitions back: what is in flight is finished within
// the drain timeout and committed; what is not finished is read again by the
// next owner. It is called once.
func (p *Pipeline) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	p.mu.Lock()
	if p.mu.closed {
		p.mu.Unlock()
		return ErrClosed
	}
	p.mu.stop = stop
	p.mu.Unlock()
	defer close(p.ended)

	var committer conc.WaitGroup
	commits, stopCommits := context.WithCancel(context.WithoutCancel(ctx))
	committer.Go(func() { p.commitLoop(commits) })
	err := p.s.Source.Run(ctx, p)
	stopCommits()
	committer.Wait()
	p.dropAll()
	p.lanesG.Wait()
	if cause := context.Cause(ctx); err == nil && ctx.Err() != nil && !errors.Is(cause, context.Canceled) && !errors.Is(cause, errShutdown) {
		err = cause
	}
	if err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	return nil
}

var errShutdown = errors.New("shutdown")

// Shutdown ends Run and waits for it, or for ctx. It may be called twice, and
// before Run, which then returns ErrClosed.
func (p *Pipeline) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	running := p.mu.stop
	p.mu.closed = true
	p.mu.Unlock()
	if running == nil {
		return nil
	}
	running(errShutdown)
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("end ingestion: %w", ctx.Err())
	}
}

// fail ends Run with an error.
func (p *Pipeline) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.stop != nil {
		p.mu.stop(err)
	}
}

func (p *Pipeline) allLanes() []*lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*lane, 0, len(p.mu.lanes))
	for _, l := range p.mu.lanes {
		all = append(all, l)
	}
	return all
}

// takeLanes takes lanes out of the pipeline.
func (p *Pipeline) takeLanes(ps []sources.Partition) []*lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	var taken []*lane
	for _, at := range ps {
		if l, ok := p.mu.lanes[at]; ok {
			taken = append(taken, l)
			delete(p.mu.lanes, at)
		}
	}
	return taken
}

// Assigned implements sources.Handler.
func (p *Pipeline) Assigned(ctx context.Context, as []sources.Assignment) ([]sources.Start, error) {
	starts := make([]sources.Start, 0, len(as))
	lanes := make([]*lane, 0, len(as))
	for _, a := range as {
		l, err := p.openLane(ctx, a)
		if err != nil {
			return nil, err
		}
		lanes, starts = append(lanes, l), append(starts, l.start)
	}
	p.mu.Lock()
	p.mu.joined = true
	for _, l := range lanes {
		p.mu.lanes[l.partition] = l
	}
	p.mu.Unlock()
	for _, l := range lanes {
		p.s.Events.Assigned(l.assignment, l.start)
		p.lanesG.Go(func() {
			// A panic in one lane is a bug; it ends the process's work with a
			// message instead of a crash that other lanes cannot finish before.
			if r := panics.Try(l.run); r != nil {
				p.fail(fmt.Errorf("lane of source %s, partition %d: %w", l.route.Source, l.partition.Number, r.AsError()))
			}
		})
	}
	return starts, nil
}

func (p *Pipeline) openLane(ctx context.Context, a sources.Assignment) (*lane, error) {
	r, ok := p.routes[a.Topic]
	if !ok {
		return nil, fmt.Errorf("topic %s was assigned but no source reads it", a.Topic)
	}
	l := newLane(p, r, a)
	var recovery sinks.Recovery
	var refused *CatalogError
	ok = l.retry(ctx, "epochs", func(ctx context.Context) (err error) {
		if err = l.checkCatalog(ctx, a); errors.As(err, &refused) {
			return nil
		}
		if err == nil {
			l.topicNumber, err = p.s.Epochs.TopicNumber(ctx, r.Source, a.TopicID, a.Number)
		}
		if err == nil {
			recovery, err = p.s.Epochs.Recovery(ctx, r.Source, a.Number)
		}
		return err //nolint:wrapcheck // the listener is told which operation
	})
	if !ok {
		return nil, fmt.Errorf("open a lane: %w", context.Cause(ctx))
	}
	if refused != nil {
		return nil, refused
	}
	l.decide(a, recovery)
	return l, nil
}

// Deliver implements sources.Handler.
func (p *Pipeline) Deliver(f sources.Fetch) bool {
	p.mu.Lock()
	l := p.mu.lanes[f.Partition]
	p.mu.Unlock()
	if l == nil {
		return true
	}
	return l.deliver(f)
}

// resumeLanes reopens every paused partition that has room again.
func (p *Pipeline) resumeLanes() {
	for _, l := range p.allLanes() {
		if l.resumable() {
			p.s.Events.Resumed(l.partition)
			p.s.Source.Resume(l.partition, sources.KeepPosition)
		}
	}
}

// Revoked implements sources.Handler: it lets batches in flight finish until
// ctx ends, commits, and lets the partitions go.
func (p *Pipeline) Revoked(ctx context.Context, ps []sources.Partition) {
	lanes := p.takeLanes(ps)
	for _, l := range lanes {
		l.stopTaking()
	}
	for _, l := range lanes {
		select {
		case <-l.done:
		case <-ctx.Done():
		}
	}
	// The deadline may be over, the commit has its own.
	if err := p.commit(context.WithoutCancel(ctx), lanes); err != nil {
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

// Lost implements sources.Handler.
func (p *Pipeline) Lost(ps []sources.Partition) {
	lanes := p.takeLanes(ps)
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
