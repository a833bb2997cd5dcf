package pipeline

import (
	"cmp"
	"context"
	"slices"

	"millrace/feature"
	"millrace/sinks"
)

// Changed collects the entity keys that rows change, for the changelog. The zero
// value is ready. It belongs to one goroutine, and its keys point into the rows.
type Changed struct {
	at  map[changedKey]int // places in all
	all []sinks.Change
}

// changedKey is what one change is about.
type changedKey struct{ entity, key string }

// Note notes the keys of rows of one view; nothing of a view that does not ask
// for that.
func (c *Changed) Note(v *RouteView, rows []sinks.Row) {
	if !v.Changes || len(rows) == 0 {
		return
	}
	stored := v.stored
	if stored == "" { // the route is no pipeline's
		stored = v.View.StoredName()
	}
	for i := range rows {
		r := &rows[i]
		now := sinks.ChangedView{View: stored, EventMicros: r.Stamp}
		if v.Windows == nil || !v.Windows.Only {
			now.Row, now.RecordMillis = true, feature.Sequence(r.Value[:feature.SequenceBytes]).RecordMillis()
		}
		changeView(c.of(changedKey{r.Entity, r.Key}), now)
	}
}

// of returns the change of a key, in memory that c has.
func (c *Changed) of(k changedKey) *sinks.Change {
	at, known := c.at[k]
	if !known {
		if c.at == nil {
			c.at = make(map[changedKey]int)
		}
		at = len(c.all)
		c.at[k] = at
		c.all = slices.Grow(c.all, 1)[:at+1]
		c.all[at] = sinks.Change{Entity: k.entity, Key: k.key, Views: c.all[at].Views[:0]}
	}
	return &c.all[at]
}

// All returns what was noted, one change per entity key. It is c's until Reset.
func (c *Changed) All() []sinks.Change { return c.all }

// Reset forgets everything, and lets go of the rows.
func (c *Changed) Reset() {
	clear(c.at)
	for i := range c.all {
		c.all[i].Entity, c.all[i].Key = "", ""
	}
	c.all = c.all[:0]
}

// changeView adds to a change what became of a view. Within a view and batch the
// newest row is the one with the greatest event and record time: revisions are
// equal, but for letters that were refused under several, of which the latest
// record time is as good a hint.
func changeView(c *sinks.Change, now sinks.ChangedView) {
	for i := len(c.Views) - 1; i >= 0; i-- { // rows of a view mostly come one after the other
		v := &c.Views[i]
		if v.View != now.View {
			continue
		}
		if cmp.Or(cmp.Compare(now.EventMicros, v.EventMicros), cmp.Compare(now.RecordMillis, v.RecordMillis)) > 0 {
			*v = now
		}
		return
	}
	if len(c.Views) == sinks.MaxChangedViews {
		c.More = true
		return
	}
	c.Views = append(c.Views, now)
}

// noteChanges notes, for the changelog, the keys of a view's rows that the
// slot's buffer holds from first on. It is called before rows are superseded
// and before those of windows alone are let go: a row that is stored again, or
// that its tiles have counted already, may be here because whoever stored it
// first did not live to tell.
func (l *lane) noteChanges(s *slot, view, first int) {
	if l.tells {
		s.changed.Note(&l.route.Views[view], s.buffer.Rows[first:])
	}
}

// publish tells the changelog what a slot changed, until that is acknowledged.
func (l *lane) publish(s *slot) bool {
	changes := s.changed.All()
	if len(changes) == 0 {
		return true
	}
	s.stats.Changes = len(changes)
	return l.retry(l.life, "changelog", func(ctx context.Context) error { return l.p.s.Changes.Publish(ctx, changes) })
}
