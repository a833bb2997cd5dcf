package serving

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"millrace/feature"
	"millrace/transforms"
)

// Tiles reads what windows are merged from. It is safe for concurrent use.
type Tiles interface {
	// ReadTiles calls add, on the caller's goroutine, with every tile that the
	// store has of keys in ranges: key by key in their order, those of one key in
	// any order. key and within are places in keys and ranges; state is good for
	// that call alone. It blocks on the store and returns soon after ctx ends.
	ReadTiles(ctx context.Context, entity string, keys []string, ranges []feature.TileRange,
		add func(key, within int, start int64, source int32, state []byte)) error
	// Sinces returns from when on aggregates are complete; those that are not in
	// it always were, where they are counted.
	Sinces(ctx context.Context) ([]feature.Since, error)
	// Adopted returns, by source, the greatest catalog version whose aggregates
	// are counted in every partition. What is counted somewhere has its Since.
	Adopted(ctx context.Context) (map[string]int64, error)
}

// noTiles is in place of Tiles that a service was not given.
type noTiles struct{}

var errNoTiles = errors.New("windowed features are asked for, and the service has no tiles")

func (noTiles) ReadTiles(context.Context, string, []string, []feature.TileRange, func(int, int, int64, int32, []byte)) error {
	return errNoTiles
}

func (noTiles) Sinces(context.Context) ([]feature.Since, error) { return nil, errNoTiles }

func (noTiles) Adopted(context.Context) (map[string]int64, error) { return nil, errNoTiles }

// windowsState is the part of a group's state that its windows need.
type windowsState struct {
	readers []*transforms.WindowReader // parallel to the group's views; nil without windows
	names   []string                   // stored names, parallel to readers
	feeds   []string                   // parallel to readers
	ids     [][]uint64                 // of the windows of each reader's features
	ranges  []feature.TileRange        // of all views
	of      []rangeOf                  // parallel to ranges
	counts  []int                      // tiles of the current key, parallel to ranges
	key     int                        // the current one
	tiles   int
	notes   []tileNote // of every tile, when it is to be explained
	noting  bool
	whole   [][]bool // by view and feature of its reader: every partition has counted all of the span
	add     func(key, within int, start int64, source int32, state []byte)
	took    time.Duration
	fault   error // the first tile that could not be merged
	err     error
}

// rangeOf is where the tiles of a range go.
type rangeOf struct{ view, hop int }

// tileNote is a tile that a lookup has read.
type tileNote struct {
	key, within int
	start       int64
	source      int32
}

func (w *windowsState) init(g *group, readers []*transforms.Reader) {
	w.readers, w.whole = make([]*transforms.WindowReader, len(readers)), make([][]bool, len(readers))
	w.ids = make([][]uint64, len(readers))
	for v, r := range readers {
		view := g.views[v].plan.View
		w.names, w.feeds = append(w.names, view.StoredName()), append(w.feeds, view.Feed())
		w.readers[v] = r.Windows()
		if w.readers[v] == nil {
			continue
		}
		w.whole[v] = make([]bool, w.readers[v].Features())
		for i := range w.whole[v] {
			w.ids[v] = append(w.ids[v], w.readers[v].Feature(i).ID())
		}
		for hop, r := range w.readers[v].Ranges() {
			w.of = append(w.of, rangeOf{v, hop})
			w.ranges = append(w.ranges, feature.TileRange{View: w.names[v], HopSeconds: int32(r.Hop / time.Second)})
		}
	}
	w.counts = make([]int, len(w.ranges))
	w.add = w.addTile
}

// reset begins a read of so many keys at nowMicros.
func (w *windowsState) reset(keys int, nowMicros int64, noting bool) {
	for _, r := range w.readers {
		if r != nil {
			r.Reset(keys, nowMicros)
		}
	}
	for i, of := range w.of {
		span := w.readers[of.view].Ranges()[of.hop].Span
		w.ranges[i].From, w.ranges[i].To = span.From, span.To
	}
	clear(w.counts)
	w.key, w.tiles, w.notes, w.noting, w.fault, w.err = 0, 0, w.notes[:0], noting, nil, nil
}

// readTiles merges the windows of all keys of a group.
func (s *Service) readTiles(ctx context.Context, g *groupState) error {
	w := &g.windows
	begin := s.clock()
	if err := s.tiles.ReadTiles(ctx, g.query.Entity, g.query.Keys, w.ranges, w.add); err != nil {
		return fmt.Errorf("read windows of %s: %w", g.query.Entity, err)
	}
	w.endRows(len(g.query.Keys))
	w.took = s.clock().Sub(begin)
	if s.events.TileRead != nil {
		s.events.TileRead(w.tiles, w.took)
	}
	return nil
}

// addTile merges a tile of a key and range.
func (w *windowsState) addTile(key, within int, start int64, source int32, state []byte) {
	w.endRows(key)
	w.tiles++
	if w.noting {
		w.notes = append(w.notes, tileNote{key, within, start, source})
	}
	of := w.of[within]
	w.counts[within]++
	if n := w.counts[within]; n > transforms.MaxCells {
		if n == transforms.MaxCells+1 {
			w.tooMany(within)
		}
		return
	}
	if err := w.readers[of.view].Add(of.hop, start, source, state); err != nil {
		w.failed(within, err)
	}
}

// tooMany ends the windows of a range: part of them would be a wrong answer.
func (w *windowsState) tooMany(within int) {
	of := w.of[within]
	why := fmt.Sprintf("its windows are spread over more than %d tiles and partitions: write a longer hop, or key the topic by the entity", transforms.MaxCells)
	w.readers[of.view].Refuse(of.hop, why)
	w.failed(within, errors.New(why))
}

func (w *windowsState) failed(within int, err error) {
	if w.fault == nil {
		r := &w.ranges[within]
		w.fault = fmt.Errorf("merge a tile of view %s, hop %ds: %w", r.View, r.HopSeconds, err)
	}
}

// endRows ends the rows before key.
func (w *windowsState) endRows(key int) {
	for ; w.key < key; w.key++ {
		for _, r := range w.readers {
			if r != nil {
				r.EndRow(w.key)
			}
		}
		clear(w.counts)
	}
}

// Completeness says whether the store holds the whole span of a window.
type Completeness uint8

// The answers.
const (
	CompleteUnasked Completeness = iota // the request did not ask, or the feature is made of no window
	CompleteNo
	CompleteYes
)

// sinceTable is from when on each aggregate is complete in every partition.
type sinceTable struct {
	read    time.Time
	of      map[aggregate]int64
	adopted map[string]int64 // by feed
}

type aggregate struct {
	view string // stored name
	id   uint64
}

// sinceFresh is how long a table is used: an aggregate that is counted for this
// little time may be taken for one that is not.
const sinceFresh = 5 * time.Second

// sinceCache holds the table that requests share.
type sinceCache struct {
	table   atomic.Pointer[sinceTable]
	refresh sync.Mutex // held by whoever reads it anew; others use the old one
}

// sincesAt returns a table that is fresh, or nearly.
func (s *Service) sincesAt(ctx context.Context, now time.Time) (*sinceTable, error) {
	old := s.sinces.table.Load()
	if old != nil {
		if now.Sub(old.read).Abs() < sinceFresh || !s.sinces.refresh.TryLock() {
			return old, nil
		}
		defer s.sinces.refresh.Unlock()
	}
	// In this order: what was adopted then has its since now.
	adopted, err := s.tiles.Adopted(ctx)
	if err != nil {
		return nil, fmt.Errorf("read which windows are counted: %w", err)
	}
	all, err := s.tiles.Sinces(ctx)
	if err != nil {
		return nil, fmt.Errorf("read since when windows are complete: %w", err)
	}
	t := &sinceTable{read: now, of: make(map[aggregate]int64), adopted: adopted}
	for i := range all {
		a := aggregate{all[i].View, all[i].Aggregate}
		if at, ok := t.of[a]; !ok || all[i].Micros > at {
			t.of[a] = all[i].Micros
		}
	}
	s.sinces.table.Store(t)
	return t, nil
}

// judge finds out which windows were counted over all of their span.
func (w *windowsState) judge(t *sinceTable) {
	for v, r := range w.readers {
		for i := range w.whole[v] {
			since, partly := w.since(t, v, i)
			w.whole[v][i] = w.adopted(t, v, i) && (!partly || r.Span(i).From >= since)
		}
	}
}

// adopted reports whether every partition's lane counts the i-th windowed
// feature of a view. Between apply and then, nobody does.
func (w *windowsState) adopted(t *sinceTable, view, i int) bool {
	return t.adopted[w.feeds[view]] >= w.readers[view].Feature(i).Since
}

// since is from when on the i-th windowed feature of a view was counted, if not
// from the first event on.
func (w *windowsState) since(t *sinceTable, view, i int) (micros int64, partly bool) {
	micros, partly = t.of[aggregate{w.names[view], w.ids[view][i]}]
	return micros, partly
}

// complete reports on the i-th windowed feature of a view for a key.
func (w *windowsState) complete(view, i, key int) Completeness {
	r := w.readers[view]
	if _, failed := r.Failure(i, key); failed || !w.whole[view][i] || r.Lacks(i, key) {
		return CompleteNo
	}
	return CompleteYes
}

// fromWindows lists the windowed features that an output is made of.
func (o *Output) fromWindows(g *groupState) []int { return g.readers[o.view].FromWindows(o.nth) }

// complete joins what is known of all windows that an output is made of.
func (o *Output) complete(g *groupState, key int) Completeness {
	c := CompleteUnasked
	for _, w := range o.fromWindows(g) {
		if c = g.windows.complete(o.view, w, key); c == CompleteNo {
			break
		}
	}
	return c
}

// windowsCell decides an output that is made of windows alone: they are there
// whether a row is or not, and have an age of their own.
func (o *Output) windowsCell(g *groupState, key int) cell {
	reader := g.readers[o.view]
	switch {
	case reader.Failed(o.nth, key):
		return cell{status: StatusError}
	case !reader.Column(o.nth).IsNull(key):
		return cell{status: StatusPresent, origin: OriginComputed}
	case o.dflt != nil:
		return cell{status: StatusNull, origin: OriginDefault}
	}
	return cell{status: StatusNull, origin: OriginComputed}
}

// windowsTime is the start of the last tile that an output is made of; the
// oldest of several windows. false if none of them has a tile that begins.
func (o *Output) windowsTime(g *groupState, key int) (found bool, micros int64) {
	r := g.windows.readers[o.view]
	for _, w := range o.fromWindows(g) {
		if start, ok := r.Newest(w, key); ok && (!found || start < micros) {
			found, micros = true, start
		}
	}
	return found, micros
}
