package sinks

import (
	"context"
	"fmt"
	"sync"
)

// Windows reads what windows are merged from, for serving. It is safe for
// concurrent use.
type Windows struct {
	tiles  TileReader
	sinces *Sinces
	epochs *Epochs
	sets   sync.Pool // *WindowSet
}

// NewWindows returns what reads windows from a store's tiles and metadata.
func NewWindows(tiles TileReader, meta Meta) *Windows {
	return &Windows{tiles: tiles, sinces: NewSinces(meta), epochs: NewEpochs(meta), sets: sync.Pool{New: func() any { return new(WindowSet) }}}
}

// maxTilesAtOnce bounds the tiles of one partition that one call of the store
// may bring: keys beyond them wait, so that memory has a bound.
const maxTilesAtOnce = 16 << 10

// ReadTiles calls add with every tile that the store has of keys in ranges, key
// by key in their order; state is good for that call alone. It blocks on the
// store and adds nothing after it returned.
func (w *Windows) ReadTiles(
	ctx context.Context, entity string, keys []string, ranges []TileRange,
	add func(key, within int, start int64, source int32, state []byte),
) error {
	set, _ := w.sets.Get().(*WindowSet)
	atOnce := keysAtOnce(ranges)
	for first := 0; first < len(keys); first += atOnce {
		part := keys[first:min(first+atOnce, len(keys))]
		if err := w.tiles.ReadWindows(ctx, entity, part, ranges, set); err != nil {
			return fmt.Errorf("read tiles of %s: %w", entity, err)
		}
		for key := range part {
			for within := range ranges {
				for i := range set.Of(key, within) {
					t := &set.Of(key, within)[i]
					add(first+key, within, t.Start, t.Source, t.State)
				}
			}
		}
	}
	if set.bytes() <= maxPooledBytes { // one that failed may still be written to
		w.sets.Put(set)
	}
	return nil
}

// Sinces returns from when on aggregates are complete.
func (w *Windows) Sinces(ctx context.Context) ([]Since, error) { return w.sinces.All(ctx) }

// Adopted returns, by source, the greatest catalog version whose aggregates are
// counted in every partition.
func (w *Windows) Adopted(ctx context.Context) (map[string]int64, error) {
	return w.epochs.Adopted(ctx)
}

// keysAtOnce is how many keys one call of the store reads.
func keysAtOnce(ranges []TileRange) int {
	tiles := 0
	for _, r := range ranges {
		if r.HopSeconds == 0 {
			tiles++
		} else {
			tiles += int((r.To-r.From)/(int64(r.HopSeconds)*1e6)) + 1
		}
	}
	return max(1, maxTilesAtOnce/max(1, tiles))
}

// maxPooledBytes is how much memory a pooled set may hold on to.
const maxPooledBytes = 8 << 20

// bytes is about how much memory s holds.
func (s *WindowSet) bytes() int {
	n := 0
	for _, g := range s.groups[:cap(s.groups)] {
		for _, t := range g[:cap(g)] {
			n += 40 + cap(t.State)
		}
	}
	return n
}
