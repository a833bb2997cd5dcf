package pushtopic

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/pipeline"
	"millrace/serving/push"
)

// fetchTimeout bounds one question for the group's commits.
const fetchTimeout = 5 * time.Second

// commits looks at the group's commits while somebody waits for one: one
// question at a time, whose answer all who wait share.
type commits struct {
	every time.Duration
	fetch func(context.Context) (kadm.OffsetResponses, error)
	life  context.Context //nolint:containedctx // ended by close
	end   context.CancelFunc

	mu      sync.Mutex
	waiting map[*waiter]struct{}
	looking bool // loop runs
	loops   sync.WaitGroup
}

// waiter is somebody who waits.
type waiter struct {
	look func(kadm.OffsetResponses) (done bool) // sees every answer; called with mu held
	done chan struct{}                          // closed when look was done
	err  error                                  // why the last question had no answer; guarded by mu
}

func newCommits(every time.Duration, fetch func(context.Context) (kadm.OffsetResponses, error)) *commits {
	c := &commits{every: every, fetch: fetch, waiting: make(map[*waiter]struct{})}
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

// commitsOf asks for what a group has committed; one that is not there yet has
// committed nothing.
func commitsOf(admin *kadm.Client, group string) func(context.Context) (kadm.OffsetResponses, error) {
	return func(ctx context.Context) (kadm.OffsetResponses, error) {
		got, err := admin.FetchOffsets(ctx, group)
		if errors.Is(err, kerr.GroupIDNotFound) {
			return nil, nil
		}
		return got, err //nolint:wrapcheck // whoever waits says for what
	}
}

func (c *commits) close() {
	c.mu.Lock()
	c.end()
	c.mu.Unlock()
	c.loops.Wait()
}

// watch calls look with what the group has committed, again and again until it
// is done or ctx ends. What a look sees may be as old as one question takes.
func (c *commits) watch(ctx context.Context, look func(kadm.OffsetResponses) (done bool)) error {
	w := &waiter{look: look, done: make(chan struct{})}
	if !c.join(w) {
		return ErrClosed
	}
	var why error
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		why = ctx.Err()
	case <-c.life.Done():
		why = ErrClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, w)
	if w.err != nil {
		why = fmt.Errorf("%w (%w)", why, w.err)
	}
	return fmt.Errorf("wait for the group's commit: %w", why)
}

func (c *commits) join(w *waiter) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() != nil {
		return false
	}
	c.waiting[w] = struct{}{}
	if !c.looking {
		c.looking = true
		c.loops.Go(c.loop)
	}
	return true
}

// loop asks while somebody waits.
func (c *commits) loop() {
	for {
		ctx, cancel := context.WithTimeout(c.life, fetchTimeout)
		got, err := c.fetch(ctx)
		cancel()
		if !c.tell(got, err) {
			return
		}
		pause := time.NewTimer(c.every)
		select {
		case <-c.life.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

// tell shows an answer to all who wait; false when nobody does any more.
func (c *commits) tell(got kadm.OffsetResponses, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for w := range c.waiting {
		if w.err = err; err == nil && w.look(got) {
			close(w.done)
			delete(c.waiting, w)
		}
	}
	c.looking = len(c.waiting) > 0
	return c.looking
}

// Await implements push.Topic.
func (t *Topic) Await(ctx context.Context, source string, at []push.Position) error {
	name, err := t.nameOf(source)
	if err != nil || len(at) == 0 {
		return err
	}
	last := make(map[int32]push.Position) // of each partition
	for _, p := range at {
		if known, ok := last[p.Partition]; !ok || p.Offset > known.Offset {
			last[p.Partition] = p
		}
	}
	return t.commits.watch(ctx, func(got kadm.OffsetResponses) bool {
		for _, p := range last {
			if !passed(got, name, &p) {
				return false
			}
		}
		return true
	})
}

// Passed implements push.Topic.
func (t *Topic) Passed(ctx context.Context, source string, at []push.Position) (n int, err error) {
	name, err := t.nameOf(source)
	if err != nil {
		return 0, err
	}
	if err := t.topics.check(ctx, name, at); err != nil {
		return 0, err
	}
	src, left := t.s.Sources[source], make([]bool, len(at))
	if src.Direct {
		if err := t.commits.mark(ctx, name, at, left); err != nil {
			return 0, err
		}
	}
	for i := range src.Copies {
		if err := t.follow(ctx, name, &src.Copies[i], at, left); err != nil {
			return 0, fmt.Errorf("follow the copies on topic %s: %w", src.Copies[i].Topic, err)
		}
	}
	for _, behind := range left {
		if !behind {
			n++
		}
	}
	return n, nil
}

// mark says of positions on a topic that the group has not committed beyond
// them.
func (c *commits) mark(ctx context.Context, topic string, at []push.Position, left []bool) error {
	return c.watch(ctx, func(got kadm.OffsetResponses) bool {
		for i := range at {
			left[i] = left[i] || !passed(got, topic, &at[i])
		}
		return true
	})
}

// passed reports whether the group has committed beyond p, on p's topic.
func passed(got kadm.OffsetResponses, name string, p *push.Position) bool {
	c, ok := got.Lookup(name, p.Partition)
	if !ok || c.Err != nil || c.At <= p.Offset {
		return false
	}
	id, ours := pipeline.TopicOf(c.Metadata)
	return ours && id == p.TopicID
}
