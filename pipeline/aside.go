package pipeline

import (
	"context"

	"millrace/feature"
	"millrace/sources"
)

// aside is what headers say of raw records of a batch beside being raw: that
// they are JSON of the fields' names, that they are for one view alone. Such
// records are decoded and counted in their place among the others, because the
// order of a partition decides what windows hold.
type aside struct {
	fields   []bool // parallel to the raw share
	mixed    bool   // some of fields is true
	only     []int  // by place in the batch: the view that a record is for, or EveryView
	narrowed bool   // some of only is a view

	rejects []feature.Reject // of records for one view that no shape took
	batch   feature.Batch    // what one view gets of a shape's rows
	keep    []int32
}

func (a *aside) reset() {
	a.fields, a.only, a.rejects = a.fields[:0], a.only[:0], a.rejects[:0]
	a.mixed, a.narrowed = false, false
}

// add notes the course of the next raw record, which has place i among all.
func (a *aside) add(c Course, i, all int) {
	for len(a.only) < all {
		a.only = append(a.only, EveryView)
	}
	a.only[i] = c.View
	a.fields = append(a.fields, c.Fields)
	a.mixed = a.mixed || c.Fields
	a.narrowed = a.narrowed || c.View != EveryView
}

// forms decodes records of the source's format and JSON of its fields by name,
// in the order in which they stand.
type forms struct {
	format, fields sources.Decoder
	isFields       []bool // parallel to the records
}

// Decode implements sources.Decoder.
func (f *forms) Decode(ctx context.Context, dst *feature.Batch, recs []sources.Record) error {
	for from, to := 0, 0; from < len(recs); from = to {
		for to = from + 1; to < len(recs) && f.isFields[to] == f.isFields[from]; {
			to++
		}
		d, rows, rejects := f.format, len(dst.Origins), len(dst.Rejects)
		if f.isFields[from] {
			d = f.fields
		}
		if err := d.Decode(ctx, dst, recs[from:to]); err != nil {
			return err //nolint:wrapcheck // says which record
		}
		for i := rows; i < len(dst.Origins); i++ {
			dst.Origins[i].Record += int32(from)
		}
		for i := rejects; i < len(dst.Rejects); i++ {
			dst.Rejects[i].Origin.Record += int32(from)
		}
	}
	return nil
}

// decoder returns what decodes the raw share into a shape.
func (a *aside) decoder(s *shape) sources.Decoder {
	if !a.mixed {
		return s.decoder
	}
	if s.forms.fields == nil {
		s.forms.format, s.forms.fields = s.decoder, s.newFields()
	}
	s.forms.isFields = a.fields
	return &s.forms
}

// take keeps of rejects, which are for every view, those of records that are.
func (a *aside) take(rejects []feature.Reject) []feature.Reject {
	if !a.narrowed {
		return rejects
	}
	kept := rejects[:0]
	for _, r := range rejects {
		if a.only[r.Origin.Record] == EveryView {
			kept = append(kept, r)
		} else {
			a.rejects = append(a.rejects, r)
		}
	}
	return kept
}

// of returns what a view gets of a shape's rows and rejects. It is valid until
// the next call.
func (a *aside) of(view int, all *feature.Batch) *feature.Batch {
	if !a.narrowed {
		return all
	}
	a.keep = a.keep[:0]
	for i := range all.Origins {
		if a.isFor(view, &all.Origins[i]) {
			a.keep = append(a.keep, int32(i))
		}
	}
	a.batch.Gather(all, a.keep)
	for _, rejects := range [][]feature.Reject{all.Rejects, a.rejects} {
		for i := range rejects {
			if a.isFor(view, &rejects[i].Origin) {
				a.batch.Rejects = append(a.batch.Rejects, rejects[i])
			}
		}
	}
	return &a.batch
}

func (a *aside) isFor(view int, o *feature.Origin) bool {
	only := a.only[o.Record]
	return only == EveryView || only == view
}
