package pipeline

import (
	"context"

	"millrace/feature"
	"millrace/sources"
)

// fill takes what waits and makes it a slot ready to be stored.
func (l *lane) fill(s *slot) (workEnd, bool) {
	s.reset()
	if end, ok := l.take(s); !ok {
		return end, false
	}
	l.copies.unpack(s.records)
	if !l.noteExpired() || !l.lookUp(s.records) || !l.apply(s) {
		return endDrained, false
	}
	return 0, true
}

// apply makes what is to be stored of the records of s. False means that the
// lane ends.
func (l *lane) apply(s *slot) bool {
	defer l.shares.reset(len(l.route.Views)) // the slot holds the records
	l.shares.sort(l.route, s.records, l.copies)
	s.awaited = l.shares.awaited
	for i := range l.shapes.of {
		raw := &l.shapes.of[i]
		raw.batch.Reset(raw.fields, l.partition.Number)
		if !l.decode(s, l.shares.aside.decoder(raw), &raw.batch, &l.shares.raw) {
			return false
		}
		raw.batch.RefuseWhole()
	}
	began, decoding := l.p.s.Clock(), s.stats.Decode
	s.resetViews(l.route.Views)
	s.stats.Rejects = l.shares.aside.take(l.shapes.common(append(s.stats.Rejects, l.shares.refused...)))
	for i := range s.stats.Rejects {
		l.refuseAll(s, &s.stats.Rejects[i])
	}
	for i := range l.route.Views {
		if !l.view(s, i, began.UnixMilli()) {
			return false
		}
	}
	if l.tiles != nil {
		l.tiles.close(s, l.route.Views, s.stats.Next)
		s.stats.Held, s.stats.HeldBytes = len(l.tiles.all), l.tiles.bytes
	}
	s.stats.Transform = l.p.s.Clock().Sub(began) - (s.stats.Decode - decoding)
	return true
}

// view takes in one view's rows: it runs the write half over the raw records
// and checks the finished rows. At most one write per key is left of both.
func (l *lane) view(s *slot, view int, nowMillis int64) bool {
	ends, first := &s.stats.Views[view], len(s.buffer.Rows)
	raw := l.shares.aside.of(view, &l.shapes.of[l.route.Views[view].Shape].batch)
	ends.Filtered = l.shares.offline[view]
	ends.Received = raw.Rows() + len(raw.Rejects) + len(s.stats.Rejects) + ends.Filtered
	ends.DeadLettered = len(s.stats.Rejects)
	l.refuse(s, view, raw.Rejects)
	if !l.transform(s, view, l.transformers[view], raw, nowMillis) {
		return false
	}
	if finished := &l.shares.finished[view]; len(finished.records) > 0 {
		f := l.finisher(view)
		l.finished.Reset(l.route.Views[view].Finished.Fields, l.partition.Number)
		if !l.decode(s, f.decoder, &l.finished, finished) {
			return false
		}
		ends.Received += l.finished.Rows() + len(l.finished.Rejects)
		ends.Absent += l.finished.Absent
		l.refuse(s, view, l.finished.Rejects)
		if !l.transform(s, view, f.transformer, &l.finished, nowMillis) {
			return false
		}
	}
	ends.Superseded = l.newest.keepNewest(&s.buffer, first)
	return true
}

// finisher takes in finished rows of one view.
type finisher struct {
	decoder     sources.Decoder
	transformer Transformer
}

func (l *lane) finisher(view int) *finisher {
	f := &l.finishers[view]
	if f.decoder == nil {
		how := &l.route.Views[view].Finished
		f.decoder, f.transformer = how.NewDecoder(), how.NewTransformer()
	}
	return f
}

// transform turns decoded rows into encoded ones of a view, and has its windows
// count them. False means that the lane ends.
func (l *lane) transform(s *slot, view int, t Transformer, in *feature.Batch, nowMillis int64) bool {
	ends, first := &s.stats.Views[view], len(s.buffer.Rows)
	t.Apply(in, nowMillis, &l.rows)
	l.copies.place(&l.rows)
	l.encoder.Encode(&s.buffer, &l.rows)
	l.refuse(s, view, l.rows.Rejects)
	ends.Filtered += l.rows.Filtered
	l.keepRefused(s, view, in, first)
	l.noteChanges(s, view, first)
	ends.Stored += len(s.buffer.Rows) - first - l.rows.Both
	ends.Origins = append(ends.Origins, s.buffer.Origins[first:]...)
	ws := l.route.Views[view].Windows
	if ws == nil {
		return true
	}
	ends.Late += l.rows.Windows.Late
	if !l.count(s, view, first) {
		return false
	}
	if ws.Only { // its rows were encoded for their keys and faults
		s.buffer.Rows, s.buffer.Origins = s.buffer.Rows[:first], s.buffer.Origins[:first]
	}
	return true
}

// refuse gives rows of a view that were rejected their end.
func (l *lane) refuse(s *slot, view int, rejects []feature.Reject) {
	ends, v := &s.stats.Views[view], l.route.Views[view].View
	for i := range rejects {
		if o := &rejects[i].Origin; l.refused.kept(o.Record, o.Element, v.Name) {
			ends.Kept++
			continue
		}
		s.addLetter(l, v.Name, v.Revision, &rejects[i])
	}
	ends.Rejects = append(ends.Rejects, rejects...)
	ends.DeadLettered += len(rejects)
}

// decode fills an empty batch; a decoder that can say nothing is asked again.
func (l *lane) decode(s *slot, d sources.Decoder, dst *feature.Batch, from *share) bool {
	if len(from.records) == 0 {
		return true
	}
	began := l.p.s.Clock()
	ok := l.retry(l.taking, "decode", func(ctx context.Context) error {
		dst.Reset(dst.Fields, l.partition.Number)
		return d.Decode(ctx, dst, from.records)
	})
	from.place(dst)
	l.copies.own(dst, dst == &l.finished)
	s.stats.Decode += l.p.s.Clock().Sub(began)
	s.stats.Rows += dst.Rows()
	return ok
}
