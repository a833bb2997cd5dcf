package pipeline

import (
	"context"
	"fmt"
	"math"

	"millrace/feature"
	"millrace/sinks"
)

// Counter has the windows of a route count rows that no lane brings: those of a
// replay. It counts as a lane does, but by numbers that it is told in the
// offset's place, while the order of rows is that of where they came from.
//
// It is for one batch: what it holds may be older than the store afterwards.
type Counter struct {
	route Route
	tiles *tiles
}

// NewCounter returns a Counter of tiles of a source partition, written under an
// epoch. start is the number from which it counts.
func NewCounter(r *Route, source int32, epoch, start int64) *Counter {
	c := &Counter{route: *r, tiles: newTiles(source, func() int64 { return math.MaxInt64 })}
	c.route.name()
	c.tiles.begin(0, epoch, start)
	return c
}

// Count counts rows of a view that has windows. keys and numbers are parallel
// to rows.Origins: a row with the key "" is not counted, and none is whose
// number its tile has passed.
func (c *Counter) Count(ctx context.Context, loader sinks.TileLoader, view int, rows *feature.Rows, keys []string, numbers []int64) error {
	v := &c.route.Views[view]
	c.tiles.touch(view, v.Windows, rows, keys)
	if ids := c.tiles.toLoad(v.View.Entity, v.stored, v.Windows); len(ids) > 0 {
		if err := loader.ReadTiles(ctx, ids, &c.tiles.loaded); err != nil {
			return fmt.Errorf("load tiles of view %s: %w", v.View.Name, err)
		}
		if err := c.tiles.take(v.Windows); err != nil {
			return fmt.Errorf("load tiles of view %s, source partition %d: %w", v.View.Name, c.tiles.source, err)
		}
	}
	c.tiles.update(v.Windows, rows, numbers)
	return nil
}

// Tiles returns what Count changed, for the store. Every number below next that
// there will ever be was counted. The Counter is used up.
func (c *Counter) Tiles(next int64) []sinks.Tile {
	var s slot
	c.tiles.close(&s, c.route.Views, next)
	return s.tiles
}
