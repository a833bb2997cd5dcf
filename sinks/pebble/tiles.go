package pebble

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"millrace/sinks"
)

// WriteTiles implements sinks.TileSink, with the durability of Write.
func (s *Store) WriteTiles(ctx context.Context, tiles []sinks.Tile) error {
	return s.merge(ctx, "write tiles", len(tiles), func(b *pebble.Batch, i int, now time.Time) error {
		t := &tiles[i]
		op := b.MergeDeferred(tileKeyLen(&t.TileID), headBytes+len(t.State))
		appendTileKey(op.Key[:0], &t.TileID)
		putHead(op.Value, t.Stamp, expiryOf(now, t.Expire))
		copy(op.Value[headBytes:], t.State)
		return op.Finish()
	})
}

// ReadTiles implements sinks.TileLoader.
func (s *Store) ReadTiles(ctx context.Context, ids []sinks.TileID, dst *sinks.TileSet) error {
	if err := s.enter(ctx, "read tiles"); err != nil {
		return err
	}
	defer s.leave()
	dst.Reset(len(ids))
	at, err := s.points(ctx, tableTiles)
	if err != nil {
		return fmt.Errorf("read tiles: %w", err)
	}
	if err := at.close(readTiles(ctx, at, ids, dst)); err != nil {
		return fmt.Errorf("read tiles: %w", err)
	}
	return nil
}

func readTiles(ctx context.Context, at *points, ids []sinks.TileID, dst *sinks.TileSet) error {
	var key []byte
	for i := range ids {
		key = appendTileKey(key[:0], &ids[i])
		state, err := at.read(key)
		if err != nil {
			return err
		}
		if state != nil {
			dst.Put(i, state)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// ReadWindows implements sinks.TileReader: it walks over each range once, and
// sees the tiles of the moment it begins.
func (s *Store) ReadWindows(ctx context.Context, entity string, keys []string, ranges []sinks.TileRange, dst *sinks.WindowSet) error {
	if err := s.enter(ctx, "read windows"); err != nil {
		return err
	}
	defer s.leave()
	dst.Reset(len(keys), len(ranges))
	it, err := s.over(ctx, tableTiles)
	if err != nil {
		return fmt.Errorf("read windows: %w", err)
	}
	r := windowReader{it: it, now: s.set.Now(), dst: dst}
	if err := errors.Join(r.readAll(ctx, entity, keys, ranges), it.Close()); err != nil {
		return fmt.Errorf("read windows: %w", err)
	}
	return nil
}

// windowReader is one call of ReadWindows.
type windowReader struct {
	it       *pebble.Iterator
	now      time.Time
	dst      *sinks.WindowSet
	from, to []byte
}

func (r *windowReader) readAll(ctx context.Context, entity string, keys []string, ranges []sinks.TileRange) error {
	for i, key := range keys {
		for j := range ranges {
			if err := r.read(i, j, entity, key, &ranges[j]); err != nil {
				return fmt.Errorf("%w: %w", sinks.ErrUnavailable, err)
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (r *windowReader) read(i, j int, entity, key string, in *sinks.TileRange) error {
	if in.From >= in.To {
		return nil
	}
	r.from = appendTiles(r.from[:0], entity, key, in.View, in.HopSeconds)
	prefix := len(r.from)
	r.to = appendInt64(append(r.to[:0], r.from...), in.To)
	r.from = appendInt64(r.from, in.From)
	r.it.SetBounds(r.from, r.to)
	for ok := r.it.First(); ok; ok = r.it.Next() {
		cell, err := r.it.ValueAndErr()
		if err != nil {
			return err
		}
		numbers := r.it.Key()[prefix:]
		if state := liveRow(cell, r.now); state != nil && len(numbers) == tileNumbers {
			r.dst.Add(i, j, readInt64(numbers), readInt32(numbers[8:]), state)
		}
	}
	return r.it.Error()
}
