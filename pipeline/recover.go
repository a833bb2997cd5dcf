package pipeline

import (
	"context"
	"errors"
	"fmt"

	"millrace/sinks"
	"millrace/sources"
)

// errAheadOfLog is the cause when the group's offset lies beyond the log's end.
var errAheadOfLog = errors.New("the committed offset lies beyond the log's end: the log lost records")

// decide says where a lane begins (DESIGN section 8). It is called before the
// lane's goroutine exists.
func (l *lane) decide(r sources.Assignment, recovery sinks.Recovery) {
	ev := &l.p.s.Events
	old, known := parseMetadata(r.Metadata)
	l.meta = metadata{Catalog: l.p.s.CatalogVersion, Topic: r.TopicID.Hex(), Recovery: old.Recovery}
	if !known {
		// Somebody else set this offset; what was recovered before is not for it.
		l.meta.Recovery = recovery.Number
	}
	l.start = sources.Start{Partition: r.Partition, Offset: r.Committed}
	switch {
	case r.Committed < 0:
		l.start.Offset, l.meta.Recovery = r.Begin, recovery.Number
	case known && old.Topic != l.meta.Topic:
		ev.TopicRecreated(r.Partition)
		l.start.Offset, l.meta.Recovery = r.LogStart, recovery.Number
		l.dropped = r.LogStart > 0
	case l.recovers(recovery):
		l.start.Offset, l.meta.Recovery = recovery.Offset, recovery.Number
		l.dropped = true // how many, nobody knows
	case r.Committed > r.LogEnd:
		l.start.Hold = true
		ev.Stopped(l.route.Source, r, l.stopError(errAheadOfLog))
	}
	if l.start.Offset < r.LogStart && !l.start.Hold {
		ev.Expired(r.Partition, r.LogStart-l.start.Offset)
		l.start.Offset, l.dropped = r.LogStart, true
	}
	l.mu.held = l.start.Hold
	l.mu.tracker.reset(l.start.Offset)
	l.mu.next = l.start.Offset
	l.mu.logEnd = r.LogEnd
	l.carried = r.Metadata
	l.committed.Store(r.Committed)
}

// recovers reports whether a recovery speaks of this topic and was not taken.
func (l *lane) recovers(r sinks.Recovery) bool {
	return r.Number > l.meta.Recovery && r.Topic == l.meta.Topic
}

// checkCatalog refuses a partition that was worked under a catalog version
// greater than ours: a lane's version never goes back.
func (l *lane) checkCatalog(ctx context.Context, a sources.Assignment) error {
	m, known := parseMetadata(a.Metadata)
	greatest := m.Catalog
	if !known || a.Committed < 0 {
		latest, err := l.p.s.LatestVersion(ctx)
		if err != nil {
			return fmt.Errorf("find the newest catalog version: %w", err)
		}
		greatest = latest
	}
	if greatest > l.p.s.CatalogVersion {
		return &CatalogError{Source: l.route.Source, Partition: a.Number, Needs: greatest, Runs: l.p.s.CatalogVersion}
	}
	return nil
}

// CatalogError says that a partition needs a newer catalog version than the
// process runs.
type CatalogError struct {
	Source      string
	Partition   int32
	Needs, Runs int64
}

// Error says what to do.
func (e *CatalogError) Error() string {
	return fmt.Sprintf("source %s, partition %d needs catalog version %d, this process runs %d: restart it to load the newest",
		e.Source, e.Partition, e.Needs, e.Runs)
}

// hold waits, when the log lost records in mid-run, until what is in flight
// has its end, and then for a recovery.
func (l *lane) hold() bool {
	for range l.p.s.InFlight { // all slots back: nothing is in flight
		select {
		case <-l.taking.Done():
			return false
		case s := <-l.slots:
			defer func() { l.slots <- s }()
		}
	}
	l.mu.Lock()
	cause := l.mu.lost
	l.mu.held = true
	l.mu.Unlock()
	l.p.s.Events.Stopped(l.route.Source, l.assignment, l.stopError(cause))
	return l.waitRecovery() && l.adopt(true)
}

// waitRecovery looks for a recovery until there is one, then moves the lane to
// its offset.
func (l *lane) waitRecovery() bool {
	for {
		var r sinks.Recovery
		ok := l.retry(l.taking, "epochs", func(ctx context.Context) (err error) {
			r, err = l.p.s.Epochs.Recovery(ctx, l.route.Source, l.partition.Number)
			return err //nolint:wrapcheck // the listener is told which operation
		})
		if !ok {
			return false
		}
		if l.recovers(r) {
			l.moveTo(r)
			return true
		}
		if !sleep(l.taking, l.p.s.RecoveryPoll) {
			return false
		}
	}
}

func (l *lane) moveTo(r sinks.Recovery) {
	l.meta.Recovery = r.Number
	l.start.Offset, l.dropped = r.Offset, true
	l.p.commitMu.Lock()
	l.adopted = false
	l.p.commitMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.queue, l.mu.lost, l.mu.held, l.mu.full = nil, nil, false, false
	l.p.budget.give(l.mu.buffered)
	l.mu.buffered = 0
	l.mu.tracker.reset(r.Offset)
	l.mu.next = r.Offset
}

// adopt commits the lane's metadata before its first batch under it, unless
// that is what was committed already, and opens the partition if it was held.
func (l *lane) adopt(held bool) bool {
	if !l.keepEnds() {
		return false
	}
	if l.tiles != nil && !l.begin() {
		return false
	}
	ok := l.retry(l.taking, "adopt", func(ctx context.Context) error {
		return l.p.adoptLane(ctx, l, l.start.Offset, l.meta.encode())
	})
	ok = ok && l.decideFrom()
	if ok && held {
		l.p.s.Source.Resume(l.partition, l.start.Offset)
	}
	return ok
}
