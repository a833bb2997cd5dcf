package pipeline

import (
	"cmp"
	"context"
	"slices"

	"millrace/feature"
	"millrace/sinks"
)

// changedKey is what one change is about.
type changedKey struct{ entity, key string }

// noteChanges notes, for the changelog, the keys of a view's rows that the
// slot's buffer holds from first on. It is called before rows are superseded
// and before those of windows alone are let go: a row that is stored again, or
// that its tiles have counted already, may be here because whoever stored it
// first did not live to tell.
func (l *lane) noteChanges(s *slot, view, first int) {
	v := &l.route.Views[view]
	if l.changed == nil || !v.Changes {
		return
	}
	rows := s.buffer.Rows[first:]
	for i := range rows {
		r := &rows[i]
		k := changedKey{r.Entity, r.Key}
		at, known := l.changed[k]
		if !known {
			at = s.addChange(k)
			l.changed[k] = at
		}
		now := sinks.ChangedView{View: v.stored, EventMicros: r.Stamp}
		if v.Windows == nil || !v.Windows.Only {
			now.Row, now.RecordMillis = true, feature.Sequence(r.Value[:feature.SequenceBytes]).RecordMillis()
		}
		changeView(&s.changes[at], now)
	}
}

// addChange begins the change of a key, in memory that the slot has.
func (s *slot) addChange(k changedKey) int {
	n := len(s.changes)
	s.changes = slices.Grow(s.changes, 1)[:n+1]
	s.changes[n] = sinks.Change{Entity: k.entity, Key: k.key, Views: s.changes[n].Views[:0]}
	return n
}

// changeView adds to a change what became of a view. Views come one after the
// other, so one that is known is the last. Within a view and batch the newest
// row is the one with the greatest event and record time: revisions are equal.
func changeView(c *sinks.Change, now sinks.ChangedView) {
	if n := len(c.Views); n > 0 && c.Views[n-1].View == now.View {
		if last := &c.Views[n-1]; cmp.Or(cmp.Compare(now.EventMicros, last.EventMicros), cmp.Compare(now.RecordMillis, last.RecordMillis)) > 0 {
			*last = now
		}
		return
	}
	if len(c.Views) == sinks.MaxChangedViews {
		c.More = true
		return
	}
	c.Views = append(c.Views, now)
}

// publish tells the changelog what a slot changed, until that is acknowledged.
func (l *lane) publish(s *slot) bool {
	if len(s.changes) == 0 {
		return true
	}
	s.stats.Changes = len(s.changes)
	return l.retry(l.life, "changelog", func(ctx context.Context) error { return l.p.s.Changes.Publish(ctx, s.changes) })
}
