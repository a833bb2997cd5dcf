package replay

import (
	"context"
	"fmt"

	"millrace/feature"
	"millrace/pipeline"
	"millrace/sinks"
	"millrace/sources"
)

// item is a letter with the number under which it is applied, and what
// becomes of it.
type item struct {
	letter *sinks.Letter
	number int64
	stored bool
	reject *feature.Reject // of the letter itself
	fresh  []sinks.Letter  // refusals by views, of a letter that belonged to none
	noView bool

	// Of a letter without a view: whether anything of it was decoded, and what
	// was not. Where nothing was, it stays what it is.
	decoded bool
	opaque  []sinks.Letter
}

// batch is letters that are applied at once.
type batch struct {
	items   []item
	counter *pipeline.Counter // nil when no window counts them
	next    int64             // number behind all of them
	still   func(ctx context.Context) error
}

// applier takes letters in under one catalog version.
type applier struct {
	s         *Settings
	catalog   *Catalog
	route     *pipeline.Route // nil when the source feeds no view any more
	encoder   sinks.Encoder
	makers    map[maker]*parts
	revisions map[past]uint16

	batch   feature.Batch
	rows    feature.Rows
	buffer  sinks.Buffer
	changed pipeline.Changed // its keys point into buffer
}

// maker names a decoder and a write half of the route.
type maker struct {
	view     int
	finished bool
	fields   bool // raw, and JSON of the source's fields by name
}

type parts struct {
	decoder     sources.Decoder
	transformer pipeline.Transformer
	fields      []feature.Field
}

// past names what a view was in a catalog version.
type past struct {
	version int64
	view    string
}

func newApplier(s *Settings, source string, c *Catalog) *applier {
	a := &applier{s: s, catalog: c, encoder: s.NewEncoder(), makers: make(map[maker]*parts), revisions: make(map[past]uint16)}
	for i := range c.Routes {
		if c.Routes[i].Source == source {
			a.route = &c.Routes[i]
		}
	}
	return a
}

// apply brings letters to their ends. The order makes it safe to be killed
// anywhere: rows, tiles and new letters are durable, and the changelog was told,
// before the marks that say so.
func (a *applier) apply(ctx context.Context, b *batch, result *Result) error {
	a.buffer.Reset()
	a.changed.Reset()
	groups, err := a.group(ctx, b.items)
	if err != nil {
		return err
	}
	for i := range groups {
		if err := a.run(ctx, b, &groups[i]); err != nil {
			return err
		}
	}
	for i := range b.items {
		b.items[i].settle()
	}
	if !a.s.DryRun {
		if err := a.store(ctx, b); err != nil {
			return err
		}
	}
	count(b.items, result)
	return nil
}

func (a *applier) store(ctx context.Context, b *batch) error {
	var fresh []sinks.Letter
	var freshMarks, marks []sinks.LetterMark
	for i := range b.items {
		it := &b.items[i]
		if it.noView {
			continue
		}
		fresh = append(fresh, it.fresh...)
		for j := range it.fresh {
			f := &it.fresh[j]
			freshMarks = append(freshMarks, it.mark(f.LetterID, &feature.Reject{Stage: f.Stage, Reason: f.Reason, Message: f.Message}))
		}
		marks = append(marks, it.mark(it.letter.LetterID, it.reject))
	}
	if len(fresh) > 0 {
		if err := a.s.Store.Put(ctx, fresh); err != nil {
			return err //nolint:wrapcheck // says what failed; Run adds where
		}
	}
	if rows := pipeline.Newest(a.buffer.Rows); len(rows) > 0 {
		if err := a.s.Store.Write(ctx, rows); err != nil {
			return err //nolint:wrapcheck // says what failed; Run adds where
		}
	}
	if len(marks) == 0 {
		return nil
	}
	if err := a.storeTiles(ctx, b); err != nil {
		return err
	}
	// New letters first: once their record's letter is done, nothing else would
	// say that they were tried already.
	if len(freshMarks) > 0 {
		if err := a.s.Store.MarkLetters(ctx, freshMarks); err != nil {
			return err //nolint:wrapcheck // says what failed; Run adds where
		}
	}
	return a.s.Store.MarkLetters(ctx, marks) //nolint:wrapcheck // says what failed; Run adds where
}

// storeTiles stores what windows counted, makes everything durable, and tells
// the changelog of it. Last it looks whether the run has been taken over: the
// closer to the marks the better.
func (a *applier) storeTiles(ctx context.Context, b *batch) error {
	if b.counter != nil {
		if tiles := b.counter.Tiles(b.next); len(tiles) > 0 {
			if err := a.s.Store.WriteTiles(ctx, tiles); err != nil {
				return err //nolint:wrapcheck // says what failed; Run adds where
			}
		}
	}
	if err := a.s.Store.Sync(ctx); err != nil {
		return err //nolint:wrapcheck // says what failed; Run adds where
	}
	if changes := a.changed.All(); len(changes) > 0 && a.s.Changes != nil {
		if err := a.s.Changes.Publish(ctx, changes); err != nil {
			return fmt.Errorf("tell that %d letters are stored: %w", len(b.items), err)
		}
	}
	if b.counter == nil {
		return nil
	}
	return b.still(ctx)
}

// mark says what became of a letter; without a reject it is done.
func (it *item) mark(id sinks.LetterID, r *feature.Reject) sinks.LetterMark {
	m := sinks.LetterMark{LetterID: id, Attempts: it.letter.Attempts + 1, ReplayNumber: it.number, Done: r == nil}
	if r != nil {
		m.Stage, m.Reason, m.Message = r.Stage, r.Reason, r.Message
	}
	return m
}

func count(items []item, r *Result) {
	for i := range items {
		it := &items[i]
		r.Letters++
		switch {
		case it.noView:
			r.NoView++
		case it.reject != nil:
			r.RefusedAgain++
			r.Reasons[it.reject.Reason]++
		case len(it.fresh) > 0:
			r.RefusedAgain++
			r.Reasons[it.fresh[0].Reason]++
		case it.stored:
			r.Stored++
		default:
			r.Filtered++
		}
	}
}

func (a *applier) parts(m maker) *parts {
	p := a.makers[m]
	if p == nil {
		v := &a.route.Views[m.view]
		if m.finished {
			p = &parts{v.Finished.NewDecoder(), v.Finished.NewTransformer(), v.Finished.Fields}
		} else {
			shape := &a.route.Shapes[v.Shape]
			decoder := shape.NewDecoder
			if m.fields {
				decoder = shape.NewFields
			}
			p = &parts{decoder(), v.NewTransformer(), shape.Fields}
		}
		a.makers[m] = p
	}
	return p
}

// revision is the one that orders a letter's rows against others of the same
// event time: that under which the letter was refused. A greater one would
// let an old record, whose letter happens to be replayed under corrected
// definitions, beat newer records that were stored before the correction.
func (a *applier) revision(ctx context.Context, l *sinks.Letter, v *feature.View) (uint16, error) {
	if l.View != "" {
		return l.Revision, nil
	}
	// No view refused it: the revision is what the view had at that time.
	p := past{l.CatalogVersion, v.Name}
	if r, known := a.revisions[p]; known {
		return r, nil
	}
	r, err := a.s.Revision(ctx, p.version, p.view)
	if err != nil {
		return 0, fmt.Errorf("find the revision of view %s in catalog version %d: %w", p.view, p.version, err)
	}
	if r == 0 {
		r = v.Revision // the view is younger than the letter
	}
	a.revisions[p] = r
	return r, nil
}
