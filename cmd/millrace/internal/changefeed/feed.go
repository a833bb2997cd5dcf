package changefeed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sourcegraph/conc"

	"millrace/serving/refresh"
	"millrace/sources"
)

// Source reads the changelog: kafka.Source.
type Source interface {
	sources.Source
	Health() error // nil when the last contact with every broker went well
	Member() bool  // of the group
}

// Settings are what a Feed works with. Durations that are zero are replaced by
// the defaults.
type Settings struct {
	Topic   string // the changelog
	Entity  string // of the model: records of others are passed over
	Source  Source
	Refresh refresh.Settings // without Resume and Clock

	CommitInterval time.Duration // default 200 ms
	CommitTimeout  time.Duration // default 2 s
	DrainTimeout   time.Duration // of a revoke, the commit included; default 4 s
	Clock          func() time.Time
	Events         Events
}

// Events is what a Feed tells beside refresh.Events. Any may be nil. They must
// not block.
type Events struct {
	Assigned func(partition int32, offset int64)
	Gone     func(partition int32, lost bool)
	Lag      func(partition int32, records int64) // between the mark and the log's end as of the last delivery
	Corrupt  func(partition int32, offset int64, err error)
	Expired  func(partition int32, records int64) // the log dropped them unread
	Reset    func(partition int32, err error)     // the log is another one now, and is read from its start
	Unstored func(err error)                      // commits fail; nil: they succeed again
}

func (s *Settings) fill() error {
	def(&s.CommitInterval, 200*time.Millisecond)
	def(&s.CommitTimeout, 2*time.Second)
	def(&s.DrainTimeout, 4*time.Second)
	if s.Topic == "" || s.Entity == "" || s.Source == nil || s.Clock == nil {
		return errors.New("settings of a change feed: topic, entity, source and clock are needed")
	}
	e := &s.Events
	if e.Assigned == nil {
		e.Assigned = func(int32, int64) {}
	}
	if e.Gone == nil {
		e.Gone = func(int32, bool) {}
	}
	if e.Lag == nil {
		e.Lag = func(int32, int64) {}
	}
	if e.Corrupt == nil {
		e.Corrupt = func(int32, int64, error) {}
	}
	if e.Expired == nil {
		e.Expired = func(int32, int64) {}
	}
	if e.Reset == nil {
		e.Reset = func(int32, error) {}
	}
	if e.Unstored == nil {
		e.Unstored = func(error) {}
	}
	return nil
}

func def(to *time.Duration, d time.Duration) {
	if *to == 0 {
		*to = d
	}
}

// Feed implements sources.Handler over a refresh.Worker.
//
// turn is held over reading what is ours and Source.Commit, and by whoever gives
// a partition up: a commit has ended by then, or does not name it. It is held for
// CommitTimeout at most. mu may be taken with turn, and is held over nothing else.
type Feed struct {
	s       Settings
	worker  *refresh.Worker
	turn    turn
	failed  int              // commits in a row; with turn
	changes []refresh.Change // of Deliver, reused

	mu struct {
		sync.Mutex
		parts map[int32]*partition
	}
}

// partition is what is known of one that is ours.
type partition struct {
	metadata  string // of its marks
	committed int64  // -1: nothing; with turn
	logEnd    int64  // as of the last delivery; with mu
}

// turn is a mutex made of a channel: waiting for it can end with a context, and
// virtual time passes while a test waits for it.
type turn chan struct{}

// Lock waits for as long as it takes.
func (t turn) Lock() { t <- struct{}{} }

// Unlock lets the next one in.
func (t turn) Unlock() { <-t }

// New makes a feed; Run works.
func New(s Settings) (*Feed, error) {
	if err := s.fill(); err != nil {
		return nil, err
	}
	f := &Feed{s: s, turn: make(turn, 1)}
	f.mu.parts = make(map[int32]*partition)
	s.Refresh.Clock = s.Clock
	s.Refresh.Resume = func(n int32) { s.Source.Resume(f.partition(n), sources.KeepPosition) }
	var err error
	if f.worker, err = refresh.New(s.Refresh); err != nil {
		return nil, err //nolint:wrapcheck // says already of what
	}
	return f, nil
}

func (f *Feed) partition(n int32) sources.Partition {
	return sources.Partition{Topic: f.s.Topic, Number: n}
}

// Run reads and refreshes until ctx ends; then it gives its partitions back,
// with what has had its end by then committed. It fails as the source does, and
// is called once.
func (f *Feed) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx)) // revokes at the end need both
	var beside conc.WaitGroup
	beside.Go(func() { f.worker.Run(work) })
	beside.Go(func() { f.commitLoop(work) })
	err := f.s.Source.Run(ctx, f)
	stop()
	beside.Wait()
	f.dropAll()
	if err != nil {
		return fmt.Errorf("read the changelog %s for model %s: %w", f.s.Topic, f.s.Refresh.Model, err)
	}
	return nil
}

// dropAll forgets partitions that the source did not give back.
func (f *Feed) dropAll() {
	f.mu.Lock()
	ps := make([]sources.Partition, 0, len(f.mu.parts))
	for n := range f.mu.parts {
		ps = append(ps, f.partition(n))
	}
	f.mu.Unlock()
	f.Lost(ps)
}

// Status is how a feed goes.
type Status struct {
	Partitions int
	Pending    int   // keys that wait, or are being refreshed
	Lag        int64 // records
	Member     bool
	Err        error // what is wrong with the brokers
}

// Status may be called from any goroutine.
func (f *Feed) Status() Status {
	st := Status{Pending: f.worker.Pending(), Member: f.s.Source.Member(), Err: f.s.Source.Health()}
	marks := f.worker.Marks(nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	st.Partitions = len(f.mu.parts)
	for _, m := range marks {
		if p := f.mu.parts[m.Partition]; p != nil {
			st.Lag += max(0, p.logEnd-m.Offset)
		}
	}
	return st
}
