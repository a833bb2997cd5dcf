package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"millrace/sinks"
)

// name gives the views of r the names that tables know them by.
func (r *Route) name() {
	r.Views = slices.Clone(r.Views)
	for i := range r.Views {
		r.Views[i].stored = r.Views[i].View.StoredName()
	}
}

// tileShare is how many bytes of tiles a lane may hold: lanes have equal parts,
// so that one which rests cannot take what another one needs.
func (p *Pipeline) tileShare() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.s.TileBytes / int64(max(1, len(p.mu.lanes)))
}

// count has the windows of a view count the rows in l.rows, of which the slot's
// buffer holds the encoded ones from first on. A row is refused by nothing any
// more, so it is counted whole. False means that the lane ends.
func (l *lane) count(s *slot, view, first int) bool {
	v := &l.route.Views[view]
	l.keysOf(s, first)
	l.tiles.touch(view, v.Windows, &l.rows, l.keys)
	clear(l.keys)
	if ids := l.tiles.toLoad(v.View.Entity, v.stored, v.Windows); len(ids) > 0 {
		s.stats.Loaded += len(ids)
		ok := l.retry(l.taking, "load tiles", func(ctx context.Context) error { return l.p.s.Tiles.ReadTiles(ctx, ids, &l.tiles.loaded) })
		if !ok {
			return false
		}
		if err := l.tiles.take(v.Windows); err != nil {
			l.stopTaking()
			l.p.fail(fmt.Errorf("load tiles of view %s, source partition %d: %w", v.View.Name, l.partition.Number, err))
			return false
		}
	}
	l.tiles.update(v.Windows, &l.rows, l.copies.numbersOf(&l.rows))
	return true
}

// keysOf fills l.keys with the entity keys of l.rows, "" for those that the
// encoder refused.
func (l *lane) keysOf(s *slot, first int) {
	l.keys = l.keys[:0]
	at := first
	for i := range l.rows.Origins {
		key := ""
		if at < len(s.buffer.Rows) && s.buffer.Origins[at] == l.rows.Origins[i] {
			key = s.buffer.Rows[at].Key
			at++
		}
		l.keys = append(l.keys, key)
	}
}

// begin prepares the lane's tiles for where it starts: before the first batch
// under a catalog version that changes aggregates, what is counted from here on
// alone is noted as complete from here on alone, and a new epoch makes late
// writes of a former owner lose. In this order: readers take an aggregate for
// counted when the epoch of its version has begun.
func (l *lane) begin() bool {
	var epoch sinks.Epoch
	var refused *CatalogError
	ok := l.retry(l.taking, "epochs", func(ctx context.Context) (err error) {
		epoch, err = l.p.s.Epochs.Epoch(ctx, l.route.Source, l.partition.Number)
		if refused = l.refuses(epoch); err != nil || refused != nil {
			return err //nolint:wrapcheck // the listener is told which operation
		}
		if err = l.noteSince(ctx); err != nil || l.route.WindowsVersion == 0 {
			return err
		}
		epoch, err = l.p.s.Epochs.Raise(ctx, l.route.Source, l.partition.Number, l.route.WindowsVersion)
		refused = l.refuses(epoch)
		return err //nolint:wrapcheck // the listener is told which operation
	})
	if refused != nil {
		l.stopTaking()
		l.p.fail(refused)
		return false
	}
	if !ok {
		return false
	}
	l.tiles.begin(uint32(l.topicNumber), epoch.N, l.start.Offset)
	return true
}

// noteExpired has windows begin anew when the log dropped records between those
// that were delivered: before the first batch behind them is stored. False means
// that the lane ends.
func (l *lane) noteExpired() bool {
	l.mu.Lock()
	expired := l.mu.expired
	l.mu.expired = false
	l.mu.Unlock()
	if !expired || l.tiles == nil {
		return true
	}
	l.dropped = true
	return l.retry(l.taking, "epochs", l.noteSince)
}

// refuses says why the lane must not write: its partition was worked under a
// greater version.
func (l *lane) refuses(e sinks.Epoch) *CatalogError {
	if e.Catalog <= l.p.s.CatalogVersion {
		return nil
	}
	return &CatalogError{Source: l.route.Source, Partition: l.partition.Number, Needs: e.Catalog, Runs: l.p.s.CatalogVersion}
}

// noteSince records from when on aggregates are complete that did not count
// from the partition's first record, or missed some that the log has dropped.
// What came before has a record time of at most now and the skew (what is
// further ahead is refused), and an event time of at most that and the skew
// again.
func (l *lane) noteSince(ctx context.Context) error {
	old, known := parseMetadata(l.assignment.Metadata)
	known = known && l.assignment.Committed >= 0
	if !known && l.start.Offset == 0 && !l.dropped {
		return nil
	}
	micros := l.p.s.Clock().Add(2 * l.p.s.MaxFutureSkew).UnixMicro()
	var all error
	for i := range l.route.Views {
		v := &l.route.Views[i]
		var fresh []uint64
		for _, a := range v.Aggregates {
			if !known || l.dropped || a.Version > old.Catalog {
				fresh = append(fresh, a.ID)
			}
		}
		if len(fresh) > 0 {
			all = errors.Join(all, l.p.s.Sinces.Raise(ctx, v.stored, l.partition.Number, micros, fresh...))
		}
	}
	return all
}
