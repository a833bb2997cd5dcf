package sinks

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"millrace/feature"
)

// ReplaySource is the source partition of tiles that replays of dead letters
// count in.
const ReplaySource = -1

// TileID names one tile.
type TileID struct {
	Entity     string
	Key        string // entity key, as feature.AppendKey writes it
	View       string // stored name, view@generation
	HopSeconds int32  // 0 when windows have no end
	Start      int64  // event time in microseconds
	Source     int32  // source partition; ReplaySource is replay, -2 and below are loads
}

// Compare orders ids by entity and key, then as stores list tiles.
func (id *TileID) Compare(o *TileID) int {
	return cmp.Or(cmp.Compare(id.Entity, o.Entity), cmp.Compare(id.Key, o.Key), cmp.Compare(id.View, o.View),
		cmp.Compare(id.HopSeconds, o.HopSeconds), cmp.Compare(id.Start, o.Start), cmp.Compare(id.Source, o.Source))
}

// Tile is one tile to be written: what one source partition has counted for
// one entity, view and hop.
type Tile struct {
	TileID
	Stamp  int64  // TileStamp: the store's write timestamp
	State  []byte // docs/format/tile.md; never empty
	Expire time.Duration
}

// Newer reports whether t replaces old in their common cell.
func (t *Tile) Newer(old *Tile) bool {
	if t.Stamp != old.Stamp {
		return t.Stamp > old.Stamp
	}
	return bytes.Compare(t.State, old.State) > 0
}

// TileStamp is the stamp of a tile that a lane writes under an Epoch's N, with
// its fence at offset: what a former owner writes late is smaller.
func TileStamp(n, offset int64) int64 { return n<<positionBits + offset }

// TileSink is where a lane's tiles go.
type TileSink interface {
	// WriteTiles is Sink.Write for tiles: the greater (Stamp, State) of a cell
	// stays, in whatever order and however often they are written. Sync makes
	// it durable, an error asks for the whole call again, and tiles are the
	// caller's again on return. Tiles name distinct cells.
	WriteTiles(ctx context.Context, tiles []Tile) error
}

// TogetherSink is a store that writes a row and the tiles of one entity key at
// the price of one.
type TogetherSink interface {
	// WriteTogether is Write and WriteTiles in one call, in no order: after an
	// error any of the cells may be written.
	WriteTogether(ctx context.Context, rows []Row, tiles []Tile) error
}

// TileLoader gives a lane back the tiles it does not hold.
type TileLoader interface {
	// ReadTiles fills dst with the states of ids, many at once, of any
	// entities. It sees every tile that any WriteTiles acknowledged before, by
	// whichever process: never a replica that lags, because a lane counts on
	// from what it loads.
	ReadTiles(ctx context.Context, ids []TileID, dst *TileSet) error
}

// TileReader gives serving the tiles that windows cover.
type TileReader interface {
	// ReadWindows fills dst with the tiles of every key and range, those of all
	// source partitions, by one query per key and range. It may lag behind
	// ReadTiles, as the store's reads of rows do.
	ReadWindows(ctx context.Context, entity string, keys []string, ranges []TileRange, dst *WindowSet) error
}

// TileRange is the tiles of one view and hop that start within a span.
type TileRange = feature.TileRange

// keepBytes is the largest state whose memory is kept for the next read.
const keepBytes = 64 << 10

// TileSet is the answer of ReadTiles, reused between reads: what it points to
// is good until the next one.
type TileSet struct {
	States [][]byte // parallel to the ids; nil where there is no tile
	spare  [][]byte // memory of earlier states
}

// Reset empties s for n ids.
func (s *TileSet) Reset(n int) {
	s.spare = extend(s.spare, max(n, len(s.States)))
	for i, state := range s.States {
		if state != nil && cap(state) <= keepBytes {
			s.spare[i] = state
		}
	}
	s.States = extend(s.States[:0], n)
}

// Put copies the state of id i. Different ids may be put at the same time.
func (s *TileSet) Put(i int, state []byte) { s.States[i] = append(s.spare[i][:0], state...) }

// extend makes s at least n long; what it adds is zero.
func extend[T any](s []T, n int) []T {
	from := len(s)
	if n <= from {
		return s
	}
	s = slices.Grow(s, n-from)[:n]
	clear(s[from:])
	return s
}

// TileState is one tile of a range.
type TileState struct {
	Start  int64
	Source int32
	State  []byte
}

// WindowSet is the answer of ReadWindows, reused between reads: what it points
// to is good until the next one.
type WindowSet struct {
	groups [][]TileState // keys × ranges
	ranges int
}

// Reset empties s for so many keys and ranges.
func (s *WindowSet) Reset(keys, ranges int) {
	s.groups, s.ranges = extend(s.groups, keys*ranges), ranges
	for i := range s.groups {
		s.groups[i] = s.groups[i][:0]
	}
}

// Of returns the tiles of a key and a range by their places in the call,
// ordered by start, then source.
func (s *WindowSet) Of(key, within int) []TileState { return s.groups[key*s.ranges+within] }

// Add appends a tile, whose state it copies, to those of a key and a range.
// Different keys or ranges may be added to at the same time.
func (s *WindowSet) Add(key, within int, start int64, source int32, state []byte) {
	g := &s.groups[key*s.ranges+within]
	n := len(*g)
	if n == cap(*g) {
		*g = append(*g, TileState{})
	}
	*g = (*g)[:n+1]
	t := &(*g)[n]
	if cap(t.State) > keepBytes {
		t.State = nil
	}
	t.Start, t.Source, t.State = start, source, append(t.State[:0], state...)
}
