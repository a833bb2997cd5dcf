package pipeline

import (
	"slices"

	"millrace/feature"
	"millrace/sources"
)

// A record is raw, and then for every view of its source, or it is a finished
// row of one view. Which one its header says, or the source.

// way is where a record goes: the index of the view that it is a finished row
// of, or one of the constants.
type way int

const (
	wayRaw way = -1 - iota
	wayBadFlag
	wayUnnamed
	wayUnknown
	wayElsewhere
	wayNoCopy
)

// wayOf reads the headers of a record. The last of several of one name counts.
func (r *Route) wayOf(rec *sources.Record) way {
	finished := r.Finished
	var name []byte
	named := false
	for i := range rec.Headers {
		switch h := &rec.Headers[i]; h.Key {
		case sources.HeaderTransformOnWrite:
			switch string(h.Value) {
			case "true":
				finished = false
			case "false":
				finished = true
			default:
				return wayBadFlag
			}
		case sources.HeaderView:
			name, named = h.Value, true
		}
	}
	switch {
	case !finished:
		return wayRaw
	case !named && len(r.Views) == 1 && len(r.Elsewhere) == 0:
		return 0
	case !named:
		return wayUnnamed
	}
	for i := range r.Views {
		if r.Views[i].View.Name == string(name) {
			return way(i)
		}
	}
	if slices.Contains(r.Elsewhere, string(name)) {
		return wayElsewhere
	}
	return wayUnknown
}

// FinishedView says what a lane makes of rec: raw false and the index of the
// view that it is a finished row of, or raw true; or why it is refused. Of a
// record that is for a view of another route it says none of these: -1, false
// and nil.
func (r *Route) FinishedView(rec *sources.Record) (view int, raw bool, refused *feature.Reject) {
	w := r.wayOf(rec)
	if w == wayElsewhere {
		return -1, false, nil
	}
	if w >= wayRaw {
		return int(w), w == wayRaw, nil
	}
	var s shares
	s.refuseWay(w, rec, 0)
	return 0, false, &s.refused[0]
}

// share is those records of a batch that go one way.
type share struct {
	records []sources.Record
	index   []int32 // of each in the batch; empty when the share is all of it
	own     []sources.Record
}

func (s *share) reset() {
	clear(s.own) // lets go of the client's memory
	s.records, s.index, s.own = nil, s.index[:0], s.own[:0]
}

func (s *share) add(rec sources.Record, i int) {
	s.own, s.index = append(s.own, rec), append(s.index, int32(i))
	s.records = s.own
}

// place makes what was decoded from the share name records of the batch.
func (s *share) place(b *feature.Batch) {
	if len(s.index) == 0 {
		return
	}
	for i := range b.Origins {
		b.Origins[i].Record = s.index[b.Origins[i].Record]
	}
	for i := range b.Rejects {
		b.Rejects[i].Origin.Record = s.index[b.Rejects[i].Origin.Record]
	}
}

// shares are the records of one batch by the way they go.
type shares struct {
	raw      share
	finished []share          // by view
	refused  []feature.Reject // for no view in particular
}

func (s *shares) reset(views int) {
	s.raw.reset()
	for len(s.finished) < views {
		s.finished = append(s.finished, share{})
	}
	for i := range s.finished {
		s.finished[i].reset()
	}
	s.refused = s.refused[:0]
}

// sort divides recs, of which cs says whether they are copies. Records that are
// all raw, the usual case, are not copied.
func (s *shares) sort(r *Route, recs []sources.Record, cs *copies) {
	s.reset(len(r.Views))
	n := 0
	for n < len(recs) && !cs.broken(n) && (!r.Finished && len(recs[n].Headers) == 0 || r.wayOf(&recs[n]) == wayRaw) {
		n++
	}
	if n == len(recs) {
		s.raw.records = recs
		return
	}
	for i := range recs {
		w := r.wayOf(&recs[i])
		if cs.broken(i) {
			w = wayNoCopy
		}
		switch {
		case w == wayRaw:
			s.raw.add(recs[i], i)
		case w < wayRaw:
			if w != wayElsewhere && cs.first(i) {
				s.refuseWay(w, &recs[i], i)
			}
		default:
			s.finished[w].add(recs[i], i)
		}
	}
}

// refuseWay refuses a record whose headers say nothing that can be used.
func (s *shares) refuseWay(w way, rec *sources.Record, i int) {
	switch w {
	case wayNoCopy:
		s.refuse(rec, i, feature.ReasonMalformed, "the record's headers do not say of which record it is a copy: nobody but millrace may write to this topic")
	case wayBadFlag:
		s.refuse(rec, i, feature.ReasonBadFlag, "the header "+sources.HeaderTransformOnWrite+" is neither true nor false")
	case wayUnnamed:
		s.refuse(rec, i, feature.ReasonUnknownView, "the source feeds several views: a finished row has to name one in the header "+sources.HeaderView)
	default:
		s.refuse(rec, i, feature.ReasonUnknownView, "the header "+sources.HeaderView+" names no view of the source")
	}
}

func (s *shares) refuse(rec *sources.Record, i int, reason feature.Reason, message string) {
	o := feature.Origin{Offset: rec.Offset, RecordMillis: rec.TimeMillis, Record: int32(i), Element: feature.WholeRecord}
	s.refused = append(s.refused, feature.Reject{Origin: o, Stage: feature.StageDecode, Reason: reason, Message: message})
}
