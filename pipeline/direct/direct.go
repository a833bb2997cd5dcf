// Package direct takes rows in that come from a caller who waits, not from a
// log: it makes of them what a lane would and stores it at once.
//
// Invariant: a row is judged by the lane's own code, so it has the same end and
// the same stored cell whichever way it came, but for the sequence, which tells
// where it came from. Nothing is stored before Store, and what Store has
// acknowledged is durable.
package direct

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"millrace/feature"
	"millrace/pipeline"
	"millrace/sinks"
	"millrace/sources"
)

// Settings are what an Applier works with; all but Changes are needed.
type Settings struct {
	Routes     []pipeline.Route // of the sources that may be written to; their decoders are those of pushed rows
	Sink       sinks.Sink
	Changes    sinks.Changes        // told what was stored of views that ask for it; nil is off
	NewEncoder func() sinks.Encoder // one per goroutine
	Clock      func() time.Time
}

// Applier takes rows in. It is safe for concurrent use.
type Applier struct {
	sink    sinks.Sink
	changes sinks.Changes // or nil
	clock   func() time.Time
	takers  map[target]*sync.Pool
	last    atomic.Int64 // number of the latest row
}

// target is who rows are for: one view, or with "" every view of the source.
type target struct{ source, view string }

// New returns an Applier.
func New(s Settings) *Applier {
	a := &Applier{sink: s.Sink, changes: s.Changes, clock: s.Clock, takers: make(map[target]*sync.Pool)}
	// A process that starts again is above what it gave before: no process
	// takes in a row per nanosecond.
	a.last.Store(s.Clock().UnixNano())
	settings := pipeline.TakerSettings{NewEncoder: s.NewEncoder, Clock: s.Clock, Partition: feature.PushedPartition}
	add := func(t target, r pipeline.Route) {
		a.takers[t] = &sync.Pool{New: func() any { return pipeline.NewTaker(&r, settings) }}
	}
	for _, r := range s.Routes {
		add(target{r.Source, ""}, r)
		for _, v := range r.Views {
			one := r
			one.Shapes = []pipeline.Shape{r.Shapes[v.Shape]}
			v.Shape = 0
			one.Views = []pipeline.RouteView{v}
			add(target{r.Source, v.View.Name}, one)
		}
	}
	return a
}

// End is what becomes of a row.
type End uint8

// The ends. A row that a view stores is stored, whatever others say of it; it
// is rejected if one rejects it and none stores it. It is late if that view
// stores it, too, but would write a dead letter for its windows.
const (
	Filtered End = iota
	Stored
	Rejected
	Late
)

// Fault is why a row is refused.
type Fault struct {
	Row     int    // index among the rows
	Element int32  // of an unnested list
	View    string // "" when it is for none
	Reason  feature.Reason
	Message string // names fields, never values
}

// ViewEnds counts what one view makes of rows; a row may be several of them.
type ViewEnds struct {
	View                       string
	Stored, Filtered, Rejected int
}

// Batch is rows that were taken in and are not stored yet. It belongs to one
// goroutine, which closes it.
type Batch struct {
	Ends   []End    // parallel to the rows
	Keys   []string // entity keys, parallel to the rows, "" without one; of the first view that has one; until Close
	Faults []Fault  // by row
	Views  []ViewEnds

	applier *Applier
	pool    *sync.Pool
	taker   *pipeline.Taker
	rows    []sinks.Row
	changes []sinks.Change
}

// Apply takes records of a source in, for one of its views or, with view "",
// for all of them. Their order is that of recs, behind all before them; it
// gives them their offsets, and those without a time the clock's. Both recs and
// what they point to are the Batch's until Close.
//
// It fails for a source or view that is not known, and when ctx ends before a
// decoder can say what the records are.
func (a *Applier) Apply(ctx context.Context, source, view string, recs []sources.Record) (*Batch, error) {
	pool := a.takers[target{source, view}]
	if pool == nil {
		return nil, fmt.Errorf("take in rows of source %s for view %q: no such rows are taken in here", source, view)
	}
	a.number(recs)
	taker, _ := pool.Get().(*pipeline.Taker)
	taken, err := taker.Take(ctx, recs)
	if err != nil {
		taker.Release()
		pool.Put(taker)
		return nil, err //nolint:wrapcheck // says of which source
	}
	b := &Batch{applier: a, pool: pool, taker: taker, rows: taken.Rows, changes: taken.Changes}
	b.judge(len(recs), &taken)
	return b, nil
}

// number puts recs behind everything before them.
func (a *Applier) number(recs []sources.Record) {
	n := int64(len(recs))
	first, now := a.last.Add(n)-n+1, a.clock().UnixMilli()
	for i := range recs {
		recs[i].Offset = first + int64(i)
		if recs[i].TimeMillis == 0 {
			recs[i].TimeMillis = now
		}
	}
}

// judge collects the ends of n rows.
func (b *Batch) judge(n int, taken *pipeline.Taken) {
	b.Ends, b.Keys = make([]End, n), make([]string, n)
	b.refuse("", taken.Stats.Rejects)
	for i := range taken.Stats.Views {
		v := &taken.Stats.Views[i]
		b.refuse(v.View, v.Rejects)
		b.Views = append(b.Views, ViewEnds{View: v.View, Stored: v.Stored, Filtered: v.Filtered, Rejected: v.DeadLettered})
	}
	for i := range taken.Stats.Views {
		b.keep(&taken.Stats.Views[i])
	}
	for i := range taken.Origins {
		row := taken.Origins[i].Record
		if b.Keys[row] == "" {
			b.Keys[row] = taken.Rows[i].Key
		}
	}
	slices.SortStableFunc(b.Faults, func(x, y Fault) int { return x.Row - y.Row })
}

// keep gives rows that a view stores their end.
func (b *Batch) keep(v *pipeline.ViewEnds) {
	type place struct{ record, element int32 }
	var late map[place]bool
	for i := range v.Rejects {
		if r := &v.Rejects[i]; r.Reason == feature.ReasonLate {
			if late == nil {
				late = make(map[place]bool)
			}
			late[place{r.Origin.Record, r.Origin.Element}] = true
		}
	}
	for i := range v.Origins {
		o := &v.Origins[i]
		switch {
		case late == nil || !late[place{o.Record, o.Element}]:
			b.Ends[o.Record] = Stored
		case b.Ends[o.Record] != Stored:
			b.Ends[o.Record] = Late
		}
	}
}

func (b *Batch) refuse(view string, rejects []feature.Reject) {
	for i := range rejects {
		r := &rejects[i]
		b.Ends[r.Origin.Record] = Rejected
		b.Faults = append(b.Faults, Fault{
			Row: int(r.Origin.Record), Element: r.Origin.Element, View: view, Reason: r.Reason, Message: r.Message,
		})
	}
}

// Store stores the rows that are to be stored, tells the changelog which keys
// they change, superseded ones too, and returns when they are durable and
// readable and that is acknowledged. An error means that some may be missing,
// stored or told; to store them again is harmless. It is called once.
func (b *Batch) Store(ctx context.Context) error {
	rows := pipeline.Newest(b.rows)
	if len(rows) == 0 {
		return nil
	}
	if err := b.applier.sink.Write(ctx, rows); err != nil {
		return fmt.Errorf("store %d rows: %w", len(rows), err)
	}
	if err := b.applier.sink.Sync(ctx); err != nil {
		return fmt.Errorf("make %d rows durable: %w", len(rows), err)
	}
	if b.applier.changes == nil || len(b.changes) == 0 {
		return nil
	}
	// Behind the store, where whoever hears of a change finds it.
	if err := b.applier.changes.Publish(ctx, b.changes); err != nil {
		return fmt.Errorf("tell that %d rows are stored: %w", len(rows), err)
	}
	return nil
}

// maxPooledRows bounds the batches whose memory is kept for the next.
const maxPooledRows = 4096

// Close gives the memory of b back.
func (b *Batch) Close() {
	b.taker.Release()
	if len(b.Ends) <= maxPooledRows {
		b.pool.Put(b.taker)
	}
	b.taker, b.rows, b.changes, b.Keys = nil, nil, nil, nil
}
