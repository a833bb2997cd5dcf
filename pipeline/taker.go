package pipeline

import (
	"context"
	"fmt"
	"time"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sources"
)

// Taker takes in records that no source delivers: it makes of them what a lane
// would, by the lane's own code, and leaves it to its owner to store that. It
// writes no dead letters and no windows count its rows. It belongs to one
// goroutine at a time.
type Taker struct {
	lane *lane
	slot slot
}

// TakerSettings are what a Taker works with; all of them are needed.
type TakerSettings struct {
	NewEncoder func() sinks.Encoder
	Clock      func() time.Time
	Partition  int32 // that rows say they came from
}

// NewTaker returns a Taker of the records of a route, whose windows are left
// out.
func NewTaker(r *Route, s TakerSettings) *Taker {
	p := &Pipeline{s: Settings{NewEncoder: s.NewEncoder, Clock: s.Clock, Events: Events{}.fill(), InFlight: 1}, hard: context.Background()}
	p.s.fill()
	plain := *r
	plain.name()
	for i := range plain.Views {
		plain.Views[i].Windows = nil
	}
	at := sources.Partition{Topic: r.Topic, Number: s.Partition}
	t := &Taker{lane: newLane(p, &plain, sources.Assignment{Partition: at})}
	t.lane.newest.off, t.lane.tells = true, true
	return t
}

// Taken is what records have become. It is the Taker's and holds until the next
// Take.
type Taken struct {
	Stats   *BatchStats
	Rows    []sinks.Row      // several of one cell, maybe; see Newest
	Origins []feature.Origin // parallel to Rows; Record is the index among the records
	Changes []sinks.Change   // of the keys of Rows, for the changelog, of views that ask for it; they point into Rows
}

// Take takes records in. It fails when ctx ends before a decoder can say what
// they are.
func (t *Taker) Take(ctx context.Context, recs []sources.Record) (Taken, error) {
	s := &t.slot
	s.reset()
	s.records = append(s.records, recs...)
	s.stats.Source, s.stats.Records = t.lane.route.Source, len(recs)
	t.lane.taking = ctx
	if !t.lane.apply(s) {
		return Taken{}, fmt.Errorf("decode %d rows of source %s: %w", len(recs), t.lane.route.Source, context.Cause(ctx))
	}
	return Taken{&s.stats, s.buffer.Rows, s.buffer.Origins, s.changed.All()}, nil
}

// Release lets go of the records, so that a Taker may rest without holding them.
func (t *Taker) Release() {
	t.slot.reset()
	t.lane.taking = t.lane.life
}

// Newest keeps, in place, one row per cell: the one that would stay in a store.
func Newest(rows []sinks.Row) []sinks.Row {
	if len(rows) < 2 {
		return rows
	}
	type cell struct{ entity, key, view string }
	at := make(map[cell]int, len(rows))
	kept := rows[:0]
	for i := range rows {
		c := cell{rows[i].Entity, rows[i].Key, rows[i].View}
		if j, seen := at[c]; seen {
			if rows[i].Newer(&kept[j]) {
				kept[j] = rows[i]
			}
			continue
		}
		at[c] = len(kept)
		kept = append(kept, rows[i])
	}
	return kept
}
