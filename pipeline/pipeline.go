package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/sourcegraph/conc"
	"github.com/sourcegraph/conc/panics"
	"github.com/sourcegraph/conc/pool"

	"millrace/sinks"
	"millrace/sources"
)

// Pipeline runs lanes over a source. It is the source's Handler.
type Pipeline struct {
	s      Settings
	routes map[string]*Route // by topic
	budget budget
	lanesG conc.WaitGroup
	hard   context.Context    //nolint:containedctx // every lane's life; ended when a shutdown's deadline is over
	cut    context.CancelFunc // ends it

	commitMu turn          // see commit.go
	hurried  chan struct{} // somebody waits for a commit

	mu struct {
		sync.Mutex
		lanes   map[sources.Partition]*lane
		leaving []*lane            // being revoked; here for Snapshot alone
		stop    context.CancelFunc // of the running Run; nil before
		fault   error              // what ended Run, when nobody asked for its end
		closed  bool
		joined  bool // Assigned was called
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
		r := &p.s.Routes[i]
		r.name()
		p.routes[r.Topic] = r
	}
	p.commitMu, p.hurried = newTurn(), make(chan struct{}, 1)
	p.hard, p.cut = context.WithCancel(context.Background())
	p.mu.lanes = make(map[sources.Partition]*lane)
	return p, nil
}

// Run works until ctx ends or the source or a lane fails for good. At the end
// the source gives its partitions back: what is in flight is finished within
// the drain timeout and committed; what is not finished is read again by the
// next owner. It is called once; a second call returns ErrClosed.
func (p *Pipeline) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if !p.begin(stop) {
		return ErrClosed
	}
	defer close(p.ended)
	defer p.cut()

	var committer conc.WaitGroup
	commits, stopCommits := context.WithCancel(context.WithoutCancel(ctx))
	committer.Go(func() {
		if r := panics.Try(func() { p.commitLoop(commits) }); r != nil {
			p.fail(fmt.Errorf("commit offsets: %w", r.AsError()))
		}
	})
	err := p.s.Source.Run(ctx, p)
	stopCommits()
	committer.Wait()
	p.dropAll()
	p.lanesG.Wait()
	if fault := p.fault(); err == nil {
		err = fault
	}
	if err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	return nil
}

// begin notes that Run runs; false when it may not.
func (p *Pipeline) begin(stop context.CancelFunc) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed || p.mu.stop != nil {
		return false
	}
	p.mu.stop = stop
	return true
}

// Shutdown ends Run and waits for it. When ctx ends first, what is still in
// flight is given up (the next owner reads it again) and an error returned;
// Run then ends within the commit timeout. It may be called twice, and before
// Run, which then returns ErrClosed.
func (p *Pipeline) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	stop := p.mu.stop
	p.mu.closed = true
	p.mu.Unlock()
	if stop == nil {
		return nil
	}
	stop()
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		p.cut()
		return fmt.Errorf("end ingestion: %w", ctx.Err())
	}
}

// fail ends Run with an error; the first one counts.
func (p *Pipeline) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.fault == nil {
		p.mu.fault = err
	}
	if p.mu.stop != nil {
		p.mu.stop()
	}
}

func (p *Pipeline) fault() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.fault
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

// takeLanes takes lanes out of the pipeline: they are delivered to no more.
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
	p.mu.leaving = taken
	return taken
}

// Assigned implements sources.Handler.
func (p *Pipeline) Assigned(ctx context.Context, as []sources.Assignment) ([]sources.Start, error) {
	lanes, err := p.openLanes(ctx, as)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.mu.joined = true
	for _, l := range lanes {
		p.mu.lanes[l.partition] = l
	}
	p.mu.Unlock()
	starts := make([]sources.Start, 0, len(as))
	for _, l := range lanes {
		starts = append(starts, l.start) // the lane's own once it runs
		p.s.Events.Assigned(l.assignment, l.start)
		p.lanesG.Go(func() { l.guard(l.run) })
	}
	return starts, nil
}

// openings bounds how many partitions are looked up in the store at a time.
const openings = 16

// openLanes makes a lane per assignment; all or none.
func (p *Pipeline) openLanes(ctx context.Context, as []sources.Assignment) ([]*lane, error) {
	lanes := make([]*lane, len(as))
	g := pool.New().WithMaxGoroutines(openings).WithContext(ctx).WithCancelOnError().WithFirstError()
	for i, a := range as {
		g.Go(func(ctx context.Context) error {
			l, err := p.newLaneOf(a)
			if err != nil {
				return err
			}
			lanes[i] = l
			return l.open(ctx)
		})
	}
	if err := g.Wait(); err != nil {
		for _, l := range lanes {
			if l != nil {
				l.end()
			}
		}
		return nil, err //nolint:wrapcheck // says which partition
	}
	return lanes, nil
}

// newLaneOf makes the lane of an assignment that is in order.
func (p *Pipeline) newLaneOf(a sources.Assignment) (*lane, error) {
	r, ok := p.routes[a.Topic]
	if !ok {
		return nil, fmt.Errorf("topic %s was assigned but no source reads it", a.Topic)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.lanes[a.Partition] != nil {
		return nil, fmt.Errorf("topic %s, partition %d was assigned twice", a.Topic, a.Number)
	}
	return newLane(p, r, a), nil
}

// open asks the store where the lane stands and decides where it begins.
func (l *lane) open(ctx context.Context) error {
	p, a := l.p, l.assignment
	var recovery sinks.Recovery
	var refused *CatalogError
	ok := l.retry(ctx, "epochs", func(ctx context.Context) (err error) {
		if err = l.checkCatalog(ctx, a); errors.As(err, &refused) {
			return nil
		}
		if err == nil {
			l.topicNumber, err = p.s.Epochs.TopicNumber(ctx, l.route.Source, a.TopicID, a.Number)
		}
		if err == nil {
			recovery, err = p.s.Epochs.Recovery(ctx, l.route.Source, a.Number)
		}
		return err //nolint:wrapcheck // the listener is told which operation
	})
	if !ok {
		return fmt.Errorf("open the lane of topic %s, partition %d: %w", a.Topic, a.Number, context.Cause(ctx))
	}
	if refused != nil {
		return refused
	}
	l.decide(a, recovery)
	return nil
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
