package changefeed

import (
	"context"
	"time"

	"millrace/serving/refresh"
	"millrace/sinks/changelog"
	"millrace/sources"
)

// Assigned implements sources.Handler. A group goes on where it committed, if
// that was of this topic and not of one of its name before.
func (f *Feed) Assigned(_ context.Context, as []sources.Assignment) ([]sources.Start, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	starts := make([]sources.Start, 0, len(as))
	for i := range as {
		a := &as[i]
		p := &partition{metadata: a.TopicID.Hex(), committed: a.Committed, logEnd: a.LogEnd}
		at := a.Begin
		switch another := a.Metadata != "" && a.Metadata != p.metadata; {
		case a.Committed < 0: // commits where it begins: another catalog would begin elsewhere
		case another || a.Committed > a.LogEnd:
			at, p.committed = a.LogStart, -1
		default:
			at = a.Committed
		}
		f.mu.parts[a.Number] = p
		f.worker.Begin(a.Number, at)
		f.s.Events.Assigned(a.Number, at)
		f.s.Events.Lag(a.Number, max(0, a.LogEnd-at))
		starts = append(starts, sources.Start{Partition: a.Partition, Offset: at})
	}
	return starts, nil
}

// Deliver implements sources.Handler.
func (f *Feed) Deliver(d sources.Fetch) (full bool) {
	if d.Err != nil {
		// Whose changes are lost nobody knows; reads find out. The log is read from
		// its start: that a key is refreshed once more does no harm.
		f.s.Events.Reset(d.Number, d.Err)
		f.worker.Rewind(d.Number, 0)
		f.s.Source.Resume(d.Partition, 0)
		return false
	}
	if d.Expired > 0 {
		f.s.Events.Expired(d.Number, d.Expired)
	}
	if len(d.Records) == 0 {
		return false
	}
	f.changes = f.changes[:0]
	for i := range d.Records {
		f.add(d.Number, &d.Records[i])
	}
	f.ends(d.Number, d.LogEnd)
	full = f.worker.Take(d.Number, f.changes, d.Records[len(d.Records)-1].Offset+1)
	clear(f.changes)
	return full
}

// ends notes the log's end.
func (f *Feed) ends(n int32, logEnd int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.mu.parts[n]; p != nil {
		p.logEnd = logEnd
	}
}

// add takes a record's key. What views it names is of no importance: they are a
// hint, and all inputs are read. So a record of an unknown format counts, and a
// damaged one as long as its key can be read.
func (f *Feed) add(n int32, r *sources.Record) {
	entity, key, err := changelog.ParseKey(r.Key)
	if err != nil {
		f.s.Events.Corrupt(n, r.Offset, err)
		return
	}
	if entity != f.s.Entity {
		return
	}
	if err := f.check(r); err != nil {
		f.s.Events.Corrupt(n, r.Offset, err)
	}
	f.changes = append(f.changes, refresh.Change{Offset: r.Offset, Millis: r.TimeMillis, Key: key})
}

// Revoked implements sources.Handler: what is under way may finish, for half of
// the time; what has had its end is committed; the rest is for the next owner.
func (f *Feed) Revoked(ctx context.Context, ps []sources.Partition) {
	ns := numbers(ps)
	end := f.s.Clock().Add(f.s.DrainTimeout)
	if at, is := ctx.Deadline(); is && at.Before(end) {
		end = at
	}
	drain, cancel := context.WithTimeout(ctx, end.Sub(f.s.Clock())/2)
	defer cancel()
	f.worker.Stop(drain, ns)
	ctx, cancelCommit := context.WithDeadline(ctx, end)
	defer cancelCommit()
	f.turn.Lock()
	f.commit(ctx, ns)
	f.giveUp(ns, false)
	f.turn.Unlock()
	f.worker.Forget(ns)
}

// Lost implements sources.Handler.
func (f *Feed) Lost(ps []sources.Partition) {
	ns := numbers(ps)
	f.worker.Forget(ns)
	f.turn.Lock()
	defer f.turn.Unlock()
	f.giveUp(ns, true)
}

// giveUp forgets partitions; turn is held.
func (f *Feed) giveUp(ns []int32, lost bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range ns {
		delete(f.mu.parts, n)
		f.s.Events.Gone(n, lost)
	}
}

func numbers(ps []sources.Partition) []int32 {
	ns := make([]int32, len(ps))
	for i := range ps {
		ns[i] = ps[i].Number
	}
	return ns
}

// commitLoop commits on a timer until ctx ends.
func (f *Feed) commitLoop(ctx context.Context) {
	tick := time.NewTicker(f.s.CommitInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		f.turn.Lock()
		f.commit(ctx, nil)
		f.turn.Unlock()
	}
}
