package pipeline

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sourcegraph/conc"
	"github.com/sourcegraph/conc/panics"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sources"
)

// lane works one assigned partition.
//
//	          records            full              bytes given back
//	waiting ─────────► running ───────► full ───────────────────────► running
//	   ▲                  │
//	   └── queue empty ───┘      any ── Revoked ──► draining ──► gone
//	                             any ── Lost ───────────────────► gone
//	                             any ── log lost records ──► held ── recovery ──► waiting
//
// One goroutine takes what waits, decodes, transforms and encodes; up to
// InFlight others store what it made. Decoding a batch while the ones before
// are being stored is what hides the store's latency; everything that needs
// order (the tracker) is under the lane's lock.
//
// Lock order: Pipeline.commitMu, then lane.mu; Pipeline.mu is taken and left
// alone. None is held over a call of the store; commitMu is held over
// Source.Commit, on purpose (see commit.go).
type lane struct {
	p           *Pipeline
	partition   sources.Partition
	route       *Route
	topicID     sources.TopicID
	topicNumber int64
	assignment  sources.Assignment
	start       sources.Start
	meta        metadata // what commits are to carry; the lane's goroutine's
	dropped     bool     // the log lost records that were not read; the lane's goroutine's

	life       context.Context //nolint:containedctx // ended when the partition is gone
	end        context.CancelFunc
	taking     context.Context    //nolint:containedctx // ended when nothing more is to be taken; part of life
	stopTaking context.CancelFunc // draining

	done    chan struct{} // closed: the goroutine ended and nothing is in flight
	wake    chan struct{} // something was queued, or the log lost records
	slots   chan *slot
	writers conc.WaitGroup

	shapes       shapes
	encoder      sinks.Encoder
	transformers []Transformer
	finishers    []finisher // by view; made when they are needed
	shares       shares
	finished     feature.Batch // of finished rows, one view's at a time
	rows         feature.Rows
	newest       coalescer
	copies       *copies // nil when records are no copies
	refused      refused
	lettered     <-chan struct{} // of the batch that was made last
	tiles        *tiles          // nil when no view of the source has windows
	keys         []string        // of the rows that windows are to count
	tells        bool            // somebody is told what changes

	mu struct {
		sync.Mutex
		tracker  tracker
		queue    []sources.Fetch
		buffered int64
		full     bool
		held     bool
		lost     error // the log lost records; Deliver is not called until Resume
		expired  bool  // the log dropped records before the last ones of the queue
		next     int64 // offset behind the last record that was delivered
		repeated bool  // the listener heard of records that came again
		logEnd   int64
	}

	// guarded by Pipeline.commitMu
	revoked bool
	adopted bool   // commits carry metadata of this catalog version and topic
	carried string // what they carry

	committed atomic.Int64 // written under Pipeline.commitMu, read by anyone
}

func newLane(p *Pipeline, r *Route, a sources.Assignment) *lane {
	l := &lane{
		p: p, partition: a.Partition, route: r, topicID: a.TopicID, assignment: a,
		done: make(chan struct{}), wake: make(chan struct{}, 1),
		slots: make(chan *slot, p.s.InFlight), shapes: newShapes(r.Shapes), encoder: p.s.NewEncoder(), copies: newCopies(r.Copies), tells: p.s.Changes != nil,
	}
	l.life, l.end = context.WithCancel(p.hard)
	l.taking, l.stopTaking = context.WithCancel(l.life)
	for _, v := range r.Views {
		l.transformers = append(l.transformers, v.NewTransformer())
	}
	l.finishers = make([]finisher, len(r.Views))
	if r.Windowed() {
		l.tiles = newTiles(a.Number, p.tileShare)
	}
	for range p.s.InFlight {
		l.slots <- new(slot)
	}
	return l
}

// run is the lane's goroutine.
func (l *lane) run() {
	defer close(l.done)
	defer l.writers.Wait()
	if l.start.Hold && !l.waitRecovery() {
		return
	}
	if !l.adopt(l.start.Hold) {
		return
	}
	for {
		switch l.work() {
		case endDrained:
			return
		case endLost:
			if !l.hold() {
				return
			}
		}
	}
}

// workEnd says why a lane stopped taking records.
type workEnd int

const (
	endDrained workEnd = iota
	endLost
)

// work handles batches until the lane drains or the log loses records.
func (l *lane) work() workEnd {
	for {
		var s *slot
		select {
		case <-l.taking.Done():
			return endDrained
		case s = <-l.slots:
		}
		end, ok := l.fill(s)
		if !ok {
			l.slots <- s
			return end
		}
		l.follow(s)
		l.writers.Go(func() { l.guard(func() { l.store(s) }) })
	}
}

// guard turns a panic, which is a bug, into the end of the process's work with
// a message: other lanes finish what they have, which a crash would not let
// them. The lane takes nothing more, and what it did not finish is never
// committed.
func (l *lane) guard(f func()) {
	r := panics.Try(f)
	if r == nil {
		return
	}
	l.stopTaking()
	l.p.fail(fmt.Errorf("lane of source %s, partition %d: %w", l.route.Source, l.partition.Number, r.AsError()))
}

// store sends a slot's letters, rows and tiles until they are acknowledged. Letters
// first: a row that is stored although its neighbour's refusal is not yet
// known does no harm, but the ends of a batch must all be durable before it
// counts, and later stages rely on this order. Changes last: whoever hears of
// one finds what is stored.
func (l *lane) store(s *slot) {
	began := l.p.s.Clock()
	ok := len(s.letters) == 0 || l.retry(l.life, "dead letter", func(ctx context.Context) error { return l.p.s.DeadLetter.Put(ctx, s.letters) })
	ok = ok && l.letterTurn(s)
	if ok && l.write(s) {
		s.acknowledged()
		if l.publish(s) {
			l.finish(s, began)
		}
	}
	n := s.bytes
	s.reset()
	// Bytes before the slot: whoever holds all slots knows that nothing is
	// charged but the queue (hold relies on it).
	l.release(n)
	l.slots <- s
}

// finish has a slot's records count, all of which have their end.
func (l *lane) finish(s *slot, began time.Time) {
	s.stats.Tiles = len(s.tiles)
	s.stats.Write = l.p.s.Clock().Sub(began)
	l.mu.Lock()
	passed := l.mu.tracker.finish(s.id, s.awaited)
	l.mu.Unlock()
	if passed {
		l.p.hurry()
	}
	l.p.s.Events.BatchDone(&s.stats)
}

// write sends rows and tiles, together where the store makes one write of the
// two. Their order does not matter: both are there before the batch counts.
func (l *lane) write(s *slot) bool {
	if l.p.s.Together != nil && len(s.buffer.Rows) > 0 && len(s.tiles) > 0 {
		return l.retry(l.life, "write", func(ctx context.Context) error { return l.p.s.Together.WriteTogether(ctx, s.buffer.Rows, s.tiles) })
	}
	ok := len(s.buffer.Rows) == 0 || l.retry(l.life, "write", func(ctx context.Context) error { return l.p.s.Sink.Write(ctx, s.buffer.Rows) })
	return ok && (len(s.tiles) == 0 || l.retry(l.life, "write tiles", func(ctx context.Context) error { return l.p.s.Tiles.WriteTiles(ctx, s.tiles) }))
}

// follow has a batch follow the one before.
func (l *lane) follow(s *slot) {
	if l.tiles == nil {
		return
	}
	s.before, s.lettered = l.lettered, make(chan struct{})
	l.lettered = s.lettered
}

// letterTurn waits, with a batch's letters acknowledged, for those of all
// batches before. Its tiles have counted these batches and their fence covers
// them: stored without the letters, they would have a record passed over that
// newer definitions accept after a crash, and that nobody has counted or kept.
// False means that the lane ends.
func (l *lane) letterTurn(s *slot) bool {
	if l.tiles == nil {
		return true
	}
	if s.before != nil {
		select {
		case <-s.before:
		case <-l.life.Done():
			return false
		}
	}
	close(s.lettered)
	return true
}

// take moves what waits, up to a batch's limits, into s. It blocks until there
// is something.
func (l *lane) take(s *slot) (workEnd, bool) {
	for {
		if l.taking.Err() != nil {
			return endDrained, false
		}
		if l.takeWaiting(s) {
			l.linger(s)
			return 0, true
		}
		if l.logLost() {
			return endLost, false
		}
		select {
		case <-l.taking.Done():
			return endDrained, false
		case <-l.wake:
			if l.tiles != nil { // new lanes need their share, and this one may rest for long
				l.tiles.evict()
			}
		}
	}
}

func (l *lane) logLost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.lost != nil
}

// linger waits for a batch to fill, when that was asked for.
func (l *lane) linger(s *slot) {
	if l.p.s.Linger <= 0 {
		return
	}
	t := time.NewTimer(l.p.s.Linger)
	defer t.Stop()
	for len(s.records) < l.p.s.MaxRows && s.bytes < l.p.s.MaxBytes {
		select {
		case <-l.taking.Done():
			return
		case <-t.C:
			return
		case <-l.wake:
			l.takeWaiting(s)
		}
	}
}

// takeWaiting appends queued records to s and begins, or extends, its batch in
// the tracker.
func (l *lane) takeWaiting(s *slot) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := len(s.records) == 0
	for len(l.mu.queue) > 0 && len(s.records) < l.p.s.MaxRows && s.bytes < l.p.s.MaxBytes {
		f := &l.mu.queue[0]
		n := 0
		for n < len(f.Records) && len(s.records)+n < l.p.s.MaxRows && s.bytes < l.p.s.MaxBytes {
			s.bytes += int64(f.Records[n].Bytes())
			s.stats.OldestMs = min(s.stats.OldestMs, f.Records[n].TimeMillis)
			n++
		}
		s.records = append(s.records, f.Records[:n]...)
		clear(f.Records[:n])
		if f.Records = f.Records[n:]; len(f.Records) == 0 {
			l.mu.queue[0] = sources.Fetch{}
			l.mu.queue = l.mu.queue[1:]
		}
	}
	if len(s.records) == 0 {
		return false
	}
	next := s.records[len(s.records)-1].Offset + 1
	if fresh {
		s.id = l.mu.tracker.begin(next)
	} else {
		l.mu.tracker.extend(next)
	}
	s.stats.Source, s.stats.Partition, s.stats.Next, s.stats.LogEnd = l.route.Source, l.partition, next, l.mu.logEnd
	s.stats.Records, s.stats.Bytes = len(s.records), s.bytes
	return true
}

// stopError says what to do about a lane whose log lost records.
func (l *lane) stopError(cause error) error {
	return fmt.Errorf("source %s, partition %d: %w; when it is clear why, run millrace recover %s --partition %d",
		l.route.Source, l.partition.Number, cause, l.route.Source, l.partition.Number)
}
