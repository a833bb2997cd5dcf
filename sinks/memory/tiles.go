package memory

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"millrace/sinks"
)

// Tiles are kept as other stores partition them: by entity and key.
type (
	tilesKey struct{ entity, key string }
	tileKey  struct {
		view   string
		hop    int32
		start  int64
		source int32
	}
)

func keysOf(id *sinks.TileID) (tilesKey, tileKey) {
	return tilesKey{id.Entity, id.Key}, tileKey{id.View, id.HopSeconds, id.Start, id.Source}
}

// WriteTiles implements sinks.TileSink.
func (s *Store) WriteTiles(ctx context.Context, tiles []sinks.Tile) error {
	if err := s.enter(ctx, "WriteTiles"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range tiles {
		s.putTile(&tiles[i])
	}
	return nil
}

// putTile keeps a copy of t unless the cell holds a newer one. The caller holds
// mu.
func (s *Store) putTile(t *sinks.Tile) {
	in, at := keysOf(&t.TileID)
	if old, ok := s.mu.tiles[in][at]; ok && !t.Newer(&old) {
		return
	}
	c := *t
	c.Entity, c.Key, c.View, c.State = strings.Clone(t.Entity), strings.Clone(t.Key), strings.Clone(t.View), bytes.Clone(t.State)
	in, at = keysOf(&c.TileID)
	if s.mu.tiles == nil {
		s.mu.tiles = make(map[tilesKey]map[tileKey]sinks.Tile)
	}
	if s.mu.tiles[in] == nil {
		s.mu.tiles[in] = make(map[tileKey]sinks.Tile)
	}
	s.mu.tiles[in][at] = c
}

// ReadTiles implements sinks.TileLoader.
func (s *Store) ReadTiles(ctx context.Context, ids []sinks.TileID, dst *sinks.TileSet) error {
	if err := s.enter(ctx, "ReadTiles"); err != nil {
		return err
	}
	dst.Reset(len(ids))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range ids {
		in, at := keysOf(&ids[i])
		if t, ok := s.mu.tiles[in][at]; ok {
			dst.Put(i, t.State)
		}
	}
	return nil
}

// ReadWindows implements sinks.TileReader.
func (s *Store) ReadWindows(ctx context.Context, entity string, keys []string, ranges []sinks.TileRange, dst *sinks.WindowSet) error {
	if err := s.enter(ctx, "ReadWindows"); err != nil {
		return err
	}
	dst.Reset(len(keys), len(ranges))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, key := range keys {
		tiles := slices.SortedFunc(maps.Keys(s.mu.tiles[tilesKey{entity, key}]), func(a, b tileKey) int {
			return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.source, b.source))
		})
		for j, r := range ranges {
			for _, at := range tiles {
				if at.view == r.View && at.hop == r.HopSeconds && at.start >= r.From && at.start < r.To {
					dst.Add(i, j, at.start, at.source, s.mu.tiles[tilesKey{entity, key}][at].State)
				}
			}
		}
	}
	return nil
}

// Tiles returns all tiles, ordered by TileID.
func (s *Store) Tiles() []sinks.Tile {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []sinks.Tile
	for _, tiles := range s.mu.tiles {
		all = slices.AppendSeq(all, maps.Values(tiles))
	}
	slices.SortFunc(all, func(a, b sinks.Tile) int { return a.Compare(&b.TileID) })
	return all
}
