package replay

import (
	"context"
	"fmt"
	"strings"

	"millrace/feature"
	"millrace/pipeline"
	"millrace/sinks"
	"millrace/sources"
)

// groupKey is what letters must have in common to be decoded and transformed
// together: a batch is of one partition, and its rows get one revision.
type groupKey struct {
	maker
	revision  uint16
	partition int32
}

type group struct {
	groupKey
	members []int // places in items
}

// group sorts items by how they are to be run; a letter that belongs to no view
// is run for every view. Letters that are refused by their headers, or have no
// view any more, are in none.
func (a *applier) group(ctx context.Context, items []item) ([]group, error) {
	var all []group
	at := make(map[groupKey]int)
	for i := range items {
		views, course := a.viewsOf(&items[i])
		for _, v := range views {
			revision, err := a.revision(ctx, items[i].letter, a.route.Views[v].View)
			if err != nil {
				return nil, err
			}
			k := groupKey{maker{v, course.Finished, course.Fields}, revision, a.partition(items[i].letter)}
			g, seen := at[k]
			if !seen {
				g = len(all)
				at[k] = g
				all = append(all, group{groupKey: k})
			}
			all[g].members = append(all[g].members, i)
		}
	}
	return all, nil
}

// partition returns the one that a letter's record came from, which decides
// between rows that are equal in everything else.
func (a *applier) partition(l *sinks.Letter) int32 {
	if a.route.Copies != nil && len(l.Headers) > 0 {
		if p, ok := sources.OriginalPartition(sources.Header(l.Headers[len(l.Headers)-1])); ok {
			return p
		}
	}
	return l.Partition
}

// viewsOf returns the views that a letter's record is for now.
func (a *applier) viewsOf(it *item) (views []int, course pipeline.Course) {
	it.noView = true
	if a.route == nil {
		return nil, course
	}
	rec := record(it.letter)
	course, refused := a.route.Course(&rec)
	if refused != nil || course.Offline { // which filters it
		it.noView, it.reject = false, refused
		return nil, course
	}
	for i := range a.route.Views {
		name := a.route.Views[i].View.Name
		if (course.View == pipeline.EveryView || course.View == i) && (it.letter.View == "" || it.letter.View == name) {
			views = append(views, i)
		}
	}
	it.noView = len(views) == 0
	return views, course
}

// record makes the letter's record again.
func record(l *sinks.Letter) sources.Record {
	r := sources.Record{Key: l.RecordKey, Value: l.RecordValue, Offset: l.Offset, TimeMillis: l.RecordMillis}
	for _, h := range l.Headers {
		r.Headers = append(r.Headers, sources.Header{Key: h.Key, Value: h.Value})
	}
	return r
}

// run decodes and transforms the letters of one group and notes what became of
// each.
func (a *applier) run(ctx context.Context, b *batch, g *group) error {
	items, p := b.items, a.parts(g.maker)
	records := make([]sources.Record, len(g.members))
	for i, m := range g.members {
		records[i] = record(items[m].letter)
	}
	a.batch.Reset(p.fields, g.partition)
	if err := p.decoder.Decode(ctx, &a.batch, records); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	a.batch.RefuseWhole()
	yields := make([]bool, len(records)) // whether a record decoded into a row at least
	for i := range a.batch.Origins {
		o := &a.batch.Origins[i]
		yields[o.Record] = true
		if it := &items[g.members[o.Record]]; concerns(it.letter, o.Element) {
			it.decoded = true
		}
	}
	v := *a.route.Views[g.view].View
	v.Revision = g.revision
	for i := range a.batch.Rejects {
		r := &a.batch.Rejects[i]
		it := &items[g.members[r.Origin.Record]]
		a.refuse(it, &v, r, !g.finished, !yields[r.Origin.Record])
	}
	// 0: the check of record times against the clock is the lane's, not ours.
	p.transformer.Apply(&a.batch, 0, &a.rows)
	a.rows.View = &v
	first := len(a.buffer.Rows)
	a.encoder.Encode(&a.buffer, &a.rows)
	for i := range a.rows.Rejects {
		r := &a.rows.Rejects[i]
		a.refuse(&items[g.members[r.Origin.Record]], &v, r, false, false)
	}
	ws := a.route.Views[g.view].Windows
	if ws != nil && b.counter != nil {
		if err := a.count(ctx, b, g, first); err != nil {
			return err
		}
	}
	a.keep(items, g, first)
	a.changed.Note(&a.route.Views[g.view], a.buffer.Rows[first:])
	if ws != nil && ws.Only { // its rows were encoded for their keys and faults
		a.buffer.Rows, a.buffer.Origins = a.buffer.Rows[:first], a.buffer.Origins[:first]
	}
	return nil
}

// count has the view's windows count the rows that letters are about: those
// that the buffer has from first on, as the encoder refused none of them.
func (a *applier) count(ctx context.Context, b *batch, g *group, first int) error {
	keys, numbers := make([]string, len(a.rows.Origins)), make([]int64, len(a.rows.Origins))
	at := first
	for i := range a.rows.Origins {
		o := &a.rows.Origins[i]
		if at == len(a.buffer.Rows) || a.buffer.Origins[at] != *o {
			continue
		}
		if it := &b.items[g.members[o.Record]]; concerns(it.letter, o.Element) {
			keys[i], numbers[i] = a.buffer.Rows[at].Key, it.number
		}
		at++
	}
	return b.counter.Count(ctx, a.s.Store, g.view, &a.rows, keys, numbers) //nolint:wrapcheck // says what failed; Run adds where
}

// keep leaves those of the new rows in the buffer that letters are about: of a
// record of many elements the others were stored when they arrived.
func (a *applier) keep(items []item, g *group, first int) {
	b, kept := &a.buffer, first
	for i := first; i < len(b.Rows); i++ {
		it := &items[g.members[b.Origins[i].Record]]
		if !concerns(it.letter, b.Origins[i].Element) {
			continue
		}
		it.stored = true
		b.Rows[kept], b.Origins[kept] = b.Rows[i], b.Origins[i]
		kept++
	}
	b.Rows, b.Origins = b.Rows[:kept], b.Origins[:kept]
}

// concerns reports whether a letter is about that element of its record.
func concerns(l *sinks.Letter, element int32) bool {
	return l.Element == element || l.Element == feature.WholeRecord
}

// refuse notes that a row was refused again. own says that it was decoding that
// refused it, which for a raw record concerns no view; whole, that nothing of
// the record could be used.
func (a *applier) refuse(it *item, v *feature.View, r *feature.Reject, own, whole bool) {
	if !whole && !concerns(it.letter, r.Origin.Element) {
		return
	}
	if it.letter.View != "" {
		c := *r
		c.Message = strings.Clone(r.Message)
		it.reject = &c
		return
	}
	// What belonged to no view is refused by one now: a letter of its own, with
	// the revision that orders the record, so that it can be replayed in turn.
	l := *it.letter
	l.View, l.Revision = v.Name, v.Revision
	if l.Element == feature.WholeRecord {
		l.Element = r.Origin.Element
	}
	l.Stage, l.Reason, l.Message = r.Stage, r.Reason, strings.Clone(r.Message)
	l.Attempts, l.ReplayNumber = 0, 0
	if own {
		it.opaque = append(it.opaque, l)
	} else {
		it.fresh = append(it.fresh, l)
	}
}

// settle decides what becomes of a letter without a view whose record could not
// be decoded as a whole. Where a part was, that part has its end and would be
// counted again if the letter stayed: the views keep letters of the others.
func (it *item) settle() {
	switch {
	case len(it.opaque) == 0:
	case it.decoded:
		it.fresh = append(it.fresh, it.opaque...)
	default:
		l := &it.opaque[0]
		it.reject = &feature.Reject{Stage: l.Stage, Reason: l.Reason, Message: l.Message}
	}
}
