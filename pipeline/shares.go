package pipeline

import (
	"millrace/feature"
	"millrace/sources"
)

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
	aside    aside            // what is said of some raw records
	finished []share          // by view
	offline  []int            // by view: records that it filters
	refused  []feature.Reject // for no view in particular
	awaited  bool             // somebody waits for one of them
}

func (s *shares) reset(views int) {
	s.raw.reset()
	s.aside.reset()
	for len(s.finished) < views {
		s.finished, s.offline = append(s.finished, share{}), append(s.offline, 0)
	}
	for i := range s.finished {
		s.finished[i].reset()
	}
	clear(s.offline)
	s.refused, s.awaited = s.refused[:0], false
}

// sort divides recs. Records that are all raw, the usual case, are not copied.
func (s *shares) sort(r *Route, recs []sources.Record) {
	s.reset(len(r.Views))
	n := 0
	for n < len(recs) && (!r.Finished && len(recs[n].Headers) == 0 || s.usual(r, &recs[n])) {
		n++
	}
	if n == len(recs) {
		s.raw.records = recs
		return
	}
	for i := range recs {
		c, w := r.courseOf(&recs[i])
		s.awaited = s.awaited || c.awaited
		switch {
		case w != fits:
			s.refused = append(s.refused, w.reject(&recs[i], i))
		case c.Offline:
			s.filter(c.View)
		case c.Finished:
			s.finished[c.View].add(recs[i], i)
		default:
			s.raw.add(recs[i], i)
			s.aside.add(c, i, len(recs))
		}
	}
}

// usual reports whether a record is raw and nothing else is said of it, other
// than that somebody waits for it.
func (s *shares) usual(r *Route, rec *sources.Record) bool {
	c, w := r.courseOf(rec)
	s.awaited = s.awaited || c.awaited
	return w == fits && c.usual()
}

// filter counts a record that views are not to store.
func (s *shares) filter(view int) {
	for i := range s.offline {
		if view == EveryView || view == i {
			s.offline[i]++
		}
	}
}
