package pipeline

import (
	"context"
	"math"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sources"
)

// A batch's letters are acknowledged before its tiles are sent, so a record may
// be read again of which a letter is known already. Under the definitions, or
// the schemas, of that moment its row may be accepted, while the letter has
// been replayed or will be: two ends, and windows that count it twice. So a row
// whose letter is there when a lane begins keeps that end.
//
// A former owner that does not know yet that it is none may write letters
// later still. The lane has not seen them and decides anew, so nobody may
// replay them: adopting a catalog version is recorded first, then the letters
// that stand are marked as kept, and after that a letter of an older version
// without the mark is overtaken (sinks.Refusal).

// refused is what a lane knows of the letters that were there when it began.
// It holds some of them at a time and lets all go when it has passed the end of
// the log of that moment.
type refused struct {
	before    int64 // offsets from here on were not read by anyone before
	adoptions []sinks.Adoption
	days      map[int32]*refusedDay
	of        map[int32][]refusedEnd // of the batch at hand, by record
}

// refusedDay is a part of the letters of one record day.
type refusedDay struct {
	ends  map[int64][]refusedEnd // by offset
	until int64                  // offsets from here on are to be asked for
}

// refusedEnd says which rows of a record were refused; view is "" for all.
type refusedEnd struct {
	element int32
	view    string
}

const (
	refusedPage = 1000 // letters that are read at once
	refusedDays = 32   // days of which letters are held
)

// keepEnds has the letters that stand keep their rows' ends under the catalog
// version that the lane adopts. False means that the lane ends.
func (l *lane) keepEnds() bool {
	return l.adoption(func(ctx context.Context) ([]sinks.Adoption, error) {
		at := sinks.Position(l.topicNumber, l.start.Offset)
		all, err := l.p.s.Epochs.Adopt(ctx, l.route.Source, l.partition.Number, l.p.s.CatalogVersion, at)
		if err != nil {
			return nil, err //nolint:wrapcheck // the listener is told which operation
		}
		l.refused = refused{before: l.assignment.LogEnd}
		last := all[len(all)-1]
		if last.Version != l.p.s.CatalogVersion || last.Kept {
			return all, nil
		}
		end, err := l.keepStanding(ctx, all[:len(all)-1], last.Position)
		l.refused.before = max(l.refused.before, end)
		if err != nil {
			return nil, err
		}
		return all, l.p.s.Sink.Sync(ctx) //nolint:wrapcheck // the listener is told which operation
	})
}

// decideFrom records that from now on rows are decided under the lane's version.
// That the group took the lane's metadata proves that the partition was its own
// when all that stood was kept. False means that the lane ends.
func (l *lane) decideFrom() bool {
	return l.adoption(func(ctx context.Context) (all []sinks.Adoption, err error) {
		all, err = l.p.s.Epochs.Kept(ctx, l.route.Source, l.partition.Number, l.p.s.CatalogVersion)
		l.refused.adoptions = all
		return all, err //nolint:wrapcheck // the listener is told which operation
	})
}

// adoption does a part of adopting a version; it ends the pipeline when a
// greater one has been adopted.
func (l *lane) adoption(part func(context.Context) ([]sinks.Adoption, error)) bool {
	var all []sinks.Adoption
	ok := l.retry(l.taking, "letters", func(ctx context.Context) (err error) {
		all, err = part(ctx)
		return err
	})
	if !ok {
		return false
	}
	if last := all[len(all)-1]; last.Version > l.p.s.CatalogVersion {
		l.stopTaking()
		l.p.fail(&CatalogError{Source: l.route.Source, Partition: l.partition.Number, Needs: last.Version, Runs: l.p.s.CatalogVersion})
		return false
	}
	return true
}

// keepStanding marks the letters from a position on that stand after earlier
// adoptions, and returns the offset behind the last of them.
func (l *lane) keepStanding(ctx context.Context, earlier []sinks.Adoption, from int64) (end int64, err error) {
	days, err := l.p.s.Refusals.RefusalDays(ctx, l.route.Source, l.partition.Number)
	if err != nil {
		return 0, err //nolint:wrapcheck // the listener is told which operation
	}
	for _, day := range days {
		for next := from; next != lastPosition; {
			var ids []sinks.LetterID
			next, err = l.refusals(ctx, day, next, func(r *sinks.Refusal) {
				if r.Overtaken(earlier) {
					return
				}
				end = max(end, sinks.OffsetOf(r.Position)+1)
				if !r.Done && r.ReplayNumber <= 0 {
					ids = append(ids, r.LetterID)
				}
			})
			if err == nil && len(ids) > 0 {
				err = l.p.s.Refusals.KeepLetters(ctx, ids, l.p.s.CatalogVersion)
			}
			if err != nil {
				return 0, err
			}
		}
	}
	return end, nil
}

const lastPosition = math.MaxInt64

// refusals calls fn for about a page of a day's letters of the lane's topic, from
// a position on; all of a position's or none. It returns where to go on.
func (l *lane) refusals(ctx context.Context, day int32, from int64, fn func(*sinks.Refusal)) (next int64, err error) {
	n, last := 0, from
	next = lastPosition
	behind := sinks.Position(l.topicNumber+1, 0)
	err = l.p.s.Refusals.EachRefusal(ctx, l.route.Source, l.partition.Number, day, from, func(r *sinks.Refusal) bool {
		if r.Position >= behind {
			return false
		}
		if n >= refusedPage && r.Position != last {
			next = r.Position
			return false
		}
		n, last = n+1, r.Position
		fn(r)
		return true
	})
	return next, err //nolint:wrapcheck // the listener is told which operation
}

// lookUp finds out which rows of a batch were refused before. False means that
// the lane ends.
func (l *lane) lookUp(recs []sources.Record) bool {
	r := &l.refused
	clear(r.of)
	if l.copies.offsetOf(recs, 0) >= r.before {
		r.days = nil
		return true
	}
	for i := range recs {
		offset := l.copies.offsetOf(recs, i)
		if offset >= r.before {
			break
		}
		d := r.days[sinks.DayOf(recs[i].TimeMillis)]
		if d == nil || offset >= d.until {
			if d = l.loadRefused(sinks.DayOf(recs[i].TimeMillis), offset); d == nil {
				return false
			}
		}
		if ends := d.ends[offset]; len(ends) > 0 {
			if r.of == nil {
				r.of = make(map[int32][]refusedEnd)
			}
			r.of[int32(i)] = ends
		}
	}
	return true
}

// loadRefused reads a part of a day's letters from an offset on; nil when the
// lane ends.
func (l *lane) loadRefused(day int32, offset int64) *refusedDay {
	var d *refusedDay
	ok := l.retry(l.life, "letters", func(ctx context.Context) error { // what was taken is finished
		d = &refusedDay{ends: make(map[int64][]refusedEnd), until: math.MaxInt64}
		next, err := l.refusals(ctx, day, sinks.Position(l.topicNumber, offset), func(r *sinks.Refusal) {
			if !r.Overtaken(l.refused.adoptions) {
				at := sinks.OffsetOf(r.Position)
				d.ends[at] = append(d.ends[at], refusedEnd{r.Element, r.View})
			}
		})
		if next != lastPosition {
			d.until = sinks.OffsetOf(next)
		}
		return err
	})
	if !ok {
		return nil
	}
	r := &l.refused
	if r.days == nil || len(r.days) >= refusedDays {
		r.days = make(map[int32]*refusedDay)
	}
	r.days[day] = d
	return d
}

// kept reports whether a row of a view, or all of a record, was refused before.
func (r *refused) kept(record, element int32, view string) bool {
	for _, e := range r.of[record] {
		whole := e.element == feature.WholeRecord || element == feature.WholeRecord
		if (whole || e.element == element) && (e.view == "" || e.view == view) {
			return true
		}
	}
	return false
}

// refuseAll writes the letters of a record that no view can use: one, or one
// for each view that has none yet.
func (l *lane) refuseAll(s *slot, r *feature.Reject) {
	if len(l.refused.of[r.Origin.Record]) == 0 {
		s.addLetter(l, "", 0, r)
		return
	}
	for i := range l.route.Views {
		v := l.route.Views[i].View
		if l.refused.kept(r.Origin.Record, r.Origin.Element, v.Name) {
			s.stats.Views[i].Kept++
			continue
		}
		s.addLetter(l, v.Name, v.Revision, r)
	}
}

// keepRefused takes rows of a view that were refused before, and are not now,
// out of what is stored and counted. Those that are refused again have their
// end; of late rows that is a letter too, and what a view stores of them.
func (l *lane) keepRefused(s *slot, view int, in *feature.Batch, first int) {
	if len(l.refused.of) == 0 {
		return
	}
	name, ends := l.route.Views[view].View.Name, &s.stats.Views[view]
	kept := func(o *feature.Origin) bool { return l.refused.kept(o.Record, o.Element, name) }
	again := make(map[spot]bool)
	for i := range l.rows.Rejects {
		again[spotOf(&l.rows.Rejects[i])] = true
	}
	before := 0
	for i := range in.Origins {
		if o := &in.Origins[i]; kept(o) && !again[spot{o.Record, o.Element}] {
			before++
		}
	}
	b, n := &s.buffer, first
	for i := first; i < len(b.Rows); i++ {
		if o := &b.Origins[i]; kept(o) && !again[spot{o.Record, o.Element}] {
			continue
		}
		b.Rows[n], b.Origins[n] = b.Rows[i], b.Origins[i]
		n++
	}
	ends.Filtered -= before - (len(b.Rows) - n) // they would have been filtered now
	ends.DeadLettered += before
	ends.Kept += before
	b.Rows, b.Origins = b.Rows[:n], b.Origins[:n]
}
