package scylla

import (
	"context"
	"fmt"
	"slices"

	"millrace/sinks"
)

const (
	upsertTile        = "INSERT INTO tiles (entity, key, feature_view, hop, start, src, state) VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
	upsertTileExpires = upsertTile + " AND TTL ?"
	selectTiles       = "SELECT feature_view, hop, start, src, state FROM tiles WHERE entity = ? AND key = ? AND (feature_view, hop, start, src) IN ?"
	selectWindow      = "SELECT start, src, state FROM tiles WHERE entity = ? AND key = ? AND feature_view = ? AND hop = ? AND start >= ? AND start < ?"
)

// WriteTiles implements sinks.TileSink. The tiles of one entity key, of several
// views and hops, go out together as one mutation.
func (s *Store) WriteTiles(ctx context.Context, tiles []sinks.Tile) error {
	return s.write(ctx, "write tiles", nil, tiles)
}

func samePartition(a, b *sinks.TileID) bool { return a.Key == b.Key && a.Entity == b.Entity }

func bindTile(t *sinks.Tile) (statement string, args []any) {
	ttl := seconds(t.Expire)
	if ttl == 0 {
		return upsertTile, []any{t.Entity, t.Key, t.View, t.HopSeconds, t.Start, t.Source, t.State, t.Stamp}
	}
	return upsertTileExpires, []any{t.Entity, t.Key, t.View, t.HopSeconds, t.Start, t.Source, t.State, t.Stamp, ttl}
}

// ReadTiles implements sinks.TileLoader. The tiles of one entity key are one
// request. It asks as many replicas as overlap with every write's, whatever
// rows are read with, and shares the writers' places: it belongs to a lane,
// which must slow down with them.
func (s *Store) ReadTiles(ctx context.Context, ids []sinks.TileID, dst *sinks.TileSet) error {
	dst.Reset(len(ids))
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("read tiles: %w", err)
	}
	l := tileLoader{store: s, ids: ids, dst: dst}
	l.plan()
	if err := s.parallel(ctx, len(l.requests), l.load); err != nil {
		return fmt.Errorf("read tiles: %w", err)
	}
	return nil
}

// tileLoader is one call of ReadTiles. Workers write to their own ids' states.
type tileLoader struct {
	store    *Store
	ids      []sinks.TileID
	order    []int32 // of ids, ascending
	requests []span  // of order
	dst      *sinks.TileSet
}

func (l *tileLoader) id(i int32) *sinks.TileID { return &l.ids[l.order[i]] }

func (l *tileLoader) plan() {
	l.order = places(len(l.ids))
	slices.SortFunc(l.order, func(i, j int32) int { return l.ids[i].Compare(&l.ids[j]) })
	l.requests = cut(len(l.ids), func(int32) int { return 0 }, func(i, j int32) bool { return samePartition(l.id(i), l.id(j)) })
}

// tilePlace is where a tile is within its partition; the driver binds its
// fields in their order.
type tilePlace struct {
	View   string
	Hop    int32
	Start  int64
	Source int32
}

func placeOf(id *sinks.TileID) tilePlace {
	return tilePlace{id.View, id.HopSeconds, id.Start, id.Source}
}

// load sends request i once.
func (l *tileLoader) load(ctx context.Context, i int) error {
	at := l.requests[i]
	asked := make([]tilePlace, 0, at.to-at.from)
	for i := at.from; i < at.to; i++ {
		if p := placeOf(l.id(i)); len(asked) == 0 || asked[len(asked)-1] != p {
			asked = append(asked, p)
		}
	}
	first := l.id(at.from)
	q := l.store.session.QueryWithContext(ctx, selectTiles, first.Entity, first.Key, asked).Consistency(l.store.tiles)
	defer q.Release()
	it := q.Iter()
	found := sinks.TileID{Entity: first.Entity, Key: first.Key}
	var state []byte // the driver writes into it again and again
	for it.Scan(&found.View, &found.HopSeconds, &found.Start, &found.Source, &state) {
		l.put(at, &found, state)
	}
	return it.Close()
}

// put stores a state at every place of a request that asks for it.
func (l *tileLoader) put(at span, found *sinks.TileID, state []byte) {
	order := l.order[at.from:at.to]
	i, _ := slices.BinarySearchFunc(order, found, func(place int32, want *sinks.TileID) int { return l.ids[place].Compare(want) })
	for ; i < len(order) && l.ids[order[i]] == *found; i++ {
		l.dst.Put(int(order[i]), state)
	}
}

// windowPage is how many tiles come at once: they may be large.
const windowPage = 1000

// ReadWindows implements sinks.TileReader. Each key and range is one request
// to one of the key's own nodes, with the consistency of rows.
func (s *Store) ReadWindows(ctx context.Context, entity string, keys []string, ranges []sinks.TileRange, dst *sinks.WindowSet) error {
	dst.Reset(len(keys), len(ranges))
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("read windows: %w", err)
	}
	err := each(ctx, len(keys)*len(ranges), func(ctx context.Context, i int) error {
		key, within := i/len(ranges), i%len(ranges)
		r := &ranges[within]
		q := s.session.QueryWithContext(ctx, selectWindow, entity, keys[key], r.View, r.HopSeconds, r.From, r.To)
		defer q.Release()
		it := q.RetryPolicy(again()).PageSize(windowPage).Iter()
		var t sinks.TileState
		for it.Scan(&t.Start, &t.Source, &t.State) {
			dst.Add(key, within, t.Start, t.Source, t.State)
		}
		if err := it.Close(); err != nil {
			return failure(ctx, err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read windows: %w", err)
	}
	return nil
}
