package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/sources"
)

// errRunTwice is the answer to a second Run.
var errRunTwice = errors.New("run kafka source: it ran already")

// Source reads topics as one member of a consumer group.
//
// The handler's calls are serial, by three means:
//
//   - Deliver is called by the poll loop alone, between a poll and
//     AllowRebalance. The client calls Revoked and Lost only while no poll is
//     in hand (kgo.BlockRebalanceOnPoll).
//   - Assigned is called from the client's offset fetch, which runs beside
//     polls. It takes the turn, which the loop holds from before a poll until
//     after AllowRebalance. The loop never waits for the turn with a poll in
//     hand, so a rebalance is never held up by an Assigned that blocks.
//   - The client ends a session's offset fetch, and waits for it, before it
//     calls Revoked or Lost.
//
// Waits, and why they end: adjust waits for the turn; the loop gives it after
// its poll, which adjust cuts short. The loop, woken, may wait inside the poll
// for a rebalance; that one cancels adjust's context first. So adjust never
// waits for the loop without listening to its context.
//
// mu guards the maps; it is never held over a call of the handler or the client.
type Source struct {
	set     Settings
	shared  []kgo.Opt
	health  *health
	handler sources.Handler
	ran     atomic.Bool
	turn    chan struct{} // holds one token
	stop    context.CancelCauseFunc
	running context.Context //nolint:containedctx // Run's, for callbacks of the client
	polled  []polled        // of the poll loop, reused
	index   map[sources.Partition]int

	mu struct {
		sync.Mutex
		client    *kgo.Client // nil before Run
		owned     map[sources.Partition]*position
		resumes   map[sources.Partition]int64
		wake      context.CancelFunc // cuts the poll in hand short
		assigning bool               // adjust wants the turn
		purge     map[string]bool    // topics to be taken out of the client
		add       map[string]bool    // topics to be put in again, when none of theirs is owned
		seen      map[string]bool    // topics that were assigned once
		joined    bool
		said      map[sources.Partition]string // last error reported
	}
}

// New checks the settings, files included, and touches no network.
func New(set Settings) (*Source, error) {
	set = set.withDefaults()
	if err := set.validate(); err != nil {
		return nil, fmt.Errorf("kafka settings: %w", err)
	}
	shared, err := ClientOpts(set)
	if err != nil {
		return nil, fmt.Errorf("kafka settings: %w", err)
	}
	s := &Source{
		set: set, shared: shared,
		health: newHealth(set.Logger),
		turn:   make(chan struct{}, 1),
		index:  make(map[sources.Partition]int),
	}
	s.turn <- struct{}{}
	s.mu.owned = make(map[sources.Partition]*position)
	s.mu.resumes = make(map[sources.Partition]int64)
	s.mu.purge = make(map[string]bool)
	s.mu.add = make(map[string]bool)
	s.mu.seen = make(map[string]bool)
	s.mu.said = make(map[sources.Partition]string)
	if err := kgo.ValidateOpts(s.groupOpts(shared)...); err != nil {
		return nil, fmt.Errorf("kafka settings: %w", err)
	}
	return s, nil
}

// Health returns nil when the last contact with every broker in use went
// well, else what is wrong. It may be called from any goroutine.
func (s *Source) Health() error { return s.health.err() }

// Run is described at sources.Source. It fails at the start for what a person
// has to mend: a refused login, a missing right, an unusable group. Once a
// partition was assigned such errors are logged and tried again, as
// unreachable brokers are at any time.
func (s *Source) Run(ctx context.Context, h sources.Handler) error {
	if !s.ran.CompareAndSwap(false, true) {
		return errRunTwice
	}
	s.handler = h
	s.running, s.stop = context.WithCancelCause(ctx)
	defer s.stop(nil)
	client, err := s.connect()
	if err != nil {
		return err
	}
	if err := s.probe(s.running, client); err != nil {
		s.stop(err)
	}
	s.loop(s.running, client)
	cause := context.Cause(s.running)
	s.leave(client)
	if ctx.Err() != nil {
		return nil
	}
	return cause
}

// connect makes the client. Its callbacks may come before it returns: they
// wait for mu.
func (s *Source) connect() (*kgo.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	client, err := kgo.NewClient(s.groupOpts(s.shared)...)
	if err != nil {
		return nil, fmt.Errorf("make kafka client: %w", err)
	}
	s.mu.client = client
	return client, nil
}

// client returns the client, nil before Run.
func (s *Source) client() *kgo.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.client
}

// fail makes Run end with err.
func (s *Source) fail(err error) { s.stop(err) }

// loop polls and hands over until ctx ends.
func (s *Source) loop(ctx context.Context, client *kgo.Client) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.turn:
		}
		s.poll(ctx, client)
		s.turn <- struct{}{}
		s.tendTopics(client)
	}
}

// poll takes what the client has, hands it over and reopens partitions. A
// rebalance cannot begin in between.
func (s *Source) poll(ctx context.Context, client *kgo.Client) {
	ctx, cancel := s.pollContext(ctx)
	defer cancel()
	fetches := client.PollRecords(ctx, s.set.PollRecords)
	if len(fetches) == 0 {
		return // then the client holds no rebalance back, and nothing may be done
	}
	defer client.AllowRebalance()
	s.collect(fetches)
	for i := range s.polled {
		s.handOver(client, &s.polled[i])
	}
	clear(s.polled) // the records are the handler's now
	s.reopen(client)
}

// pollContext returns the context of the next poll, ended already when
// something else is to be done first.
func (s *Source) pollContext(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.wake = cancel
	if s.mu.assigning || len(s.mu.resumes) > 0 || len(s.mu.purge) > 0 || len(s.freeLocked()) > 0 {
		cancel()
	}
	return ctx, cancel
}

// wakeLocked cuts the poll in hand short.
func (s *Source) wakeLocked() {
	if s.mu.wake != nil {
		s.mu.wake()
	}
}

// leave gives all partitions back, which calls Revoked, and closes the client.
// The member goes even when the broker does not answer: its session ends then.
func (s *Source) leave(client *kgo.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), s.set.RevokeTimeout+leaveGrace)
	defer cancel()
	if err := client.LeaveGroupContext(ctx); err != nil {
		s.set.Logger.Warn("leave kafka group", "group", s.set.Group, "err", err)
	}
	client.CloseAllowingRebalance()
}
