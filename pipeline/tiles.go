package pipeline

import (
	"sync/atomic"
	"time"

	"millrace/feature"
	"millrace/sinks"
	"millrace/transforms"
	"millrace/transforms/window"
)

// tiles are the tiles that one lane holds decoded: its hot ones.
//
// What makes them exact (DESIGN section 8), and is kept here:
//
//   - A tile that is not held is loaded before it is updated, and records below
//     its fence are passed over: they are counted already.
//   - Bytes and fence are taken together, when a batch is closed. A batch that
//     is stored later, or again, stores these bytes.
//   - A tile is let go only when every write of it was acknowledged, so what is
//     loaded later holds everything.
//
// The lane's goroutine owns all of it but hotTile.pending, which those that
// store batches lower.
//
// Rejected: encoding when a batch is stored. Tiles have then counted later
// batches, which the fence does not cover.
type tiles struct {
	limit  func() int64 // bytes that this lane may hold
	all    map[tileKey]*hotTile
	bytes  int64
	newest *hotTile // a ring by last use; newest.older is the one before
	dirty  []*hotTile

	source int32 // partition
	topic  uint32
	epoch  int64
	since  window.Fence // from which the lane counts

	// scratch of one view
	touched []touch
	missing []*hotTile
	ids     []sinks.TileID
	loaded  sinks.TileSet
	input   window.Input
	at      window.Position // here, because it would escape
}

// tileKey names a tile within a lane.
type tileKey struct {
	view, hop int
	start     int64
	key       string
}

// hotTile is a decoded tile. Its state is nil until it was loaded.
type hotTile struct {
	tileKey
	state   *window.Tile
	bytes   int64
	dirty   bool
	pending atomic.Int32

	older, newer *hotTile
}

// touch is one row of a batch that one tile is to count.
type touch struct {
	tile *hotTile
	row  int
}

// tileOverheadBytes is what a held tile costs beside its state and key.
const tileOverheadBytes = 176

func newTiles(source int32, limit func() int64) *tiles {
	return &tiles{source: source, limit: limit, all: make(map[tileKey]*hotTile)}
}

// begin forgets everything: what was held may be older than the store.
func (t *tiles) begin(topic uint32, epoch, start int64) {
	clear(t.all)
	t.bytes, t.newest, t.dirty = 0, nil, t.dirty[:0]
	t.topic, t.epoch = topic, epoch
	t.since = window.Fence{Topic: topic, Next: start}
}

// touch lists the tiles that count the rows of a view, keys being parallel to
// rows.Origins with "" for rows that were refused since; load is then to be
// called if there is something to load.
func (t *tiles) touch(view int, ws *transforms.Windows, rows *feature.Rows, keys []string) {
	t.touched, t.missing = t.touched[:0], t.missing[:0]
	for hop := range ws.Hops {
		span := ws.Hops[hop].Span
		for row := range rows.Origins {
			if keys[row] == "" || !rows.Windows.Counts.Get(row) {
				continue
			}
			k := tileKey{view: view, hop: hop, start: window.TileStart(rows.Origins[row].EventMicros, span), key: keys[row]}
			t.touched = append(t.touched, touch{t.hold(k), row})
		}
	}
}

// hold finds a tile or begins one that is to be loaded.
func (t *tiles) hold(k tileKey) *hotTile {
	h := t.all[k]
	if h == nil {
		k.key = string([]byte(k.key)) // of a batch, which will be another one
		h = &hotTile{tileKey: k}
		t.all[k] = h
		t.missing = append(t.missing, h)
	} else {
		t.unlink(h)
	}
	t.link(h)
	return h
}

// toLoad lists what is missing, for the store.
func (t *tiles) toLoad(entity, view string, ws *transforms.Windows) []sinks.TileID {
	t.ids = t.ids[:0]
	for _, h := range t.missing {
		t.ids = append(t.ids, sinks.TileID{
			Entity: entity, Key: h.key, View: view, HopSeconds: hopSeconds(ws, h.hop), Start: h.start, Source: t.source,
		})
	}
	return t.ids
}

func hopSeconds(ws *transforms.Windows, hop int) int32 { return int32(ws.Hops[hop].Span / time.Second) }

// take decodes what was loaded. Bytes that cannot be read stop the lane: to
// count on from nothing would be wrong for ever. What is held is charged, since
// records below the fence change none of it.
func (t *tiles) take(ws *transforms.Windows) error {
	loaded := 0
	for i, h := range t.missing {
		h.state = ws.Hops[h.hop].Shape.NewTile(t.since)
		if b := t.loaded.States[i]; b != nil {
			loaded += len(b)
			if err := h.state.Decode(b, t.since); err != nil {
				return err //nolint:wrapcheck // the lane says of which view
			}
		}
		t.charge(h)
	}
	t.missing = t.missing[:0]
	if loaded > keptStateBytes {
		t.loaded = sinks.TileSet{}
	}
	return nil
}

// update counts what was touched. numbers, of rows whose offsets are not those of
// the tiles' partition, are what the fence knows them by.
func (t *tiles) update(ws *transforms.Windows, rows *feature.Rows, numbers []int64) {
	hop := -1
	for _, x := range t.touched {
		o := &rows.Origins[x.row]
		number := o.Offset
		if numbers != nil {
			number = numbers[x.row]
		}
		if x.tile.state.Fence.Covers(t.topic, number) {
			continue
		}
		if x.tile.hop != hop {
			hop = x.tile.hop
			ws.Input(hop, rows, &t.input)
		}
		if ws.EventID != "" && rows.Windows.HasID.Get(x.row) && !x.tile.state.Count(rows.Windows.EventIDs[x.row]) {
			continue
		}
		t.at = window.PositionOf(o, rows.PartitionOf(x.row))
		x.tile.state.Update(&t.input, x.row, &t.at)
		if !x.tile.dirty {
			x.tile.dirty = true
			t.dirty = append(t.dirty, x.tile)
		}
	}
}

// close takes the bytes of every tile that the batch changed, with the fence
// behind its last record.
func (t *tiles) close(s *slot, views []RouteView, next int64) {
	fence := window.Fence{Topic: t.topic, Next: next}
	stamp := sinks.TileStamp(t.epoch, next)
	for _, h := range t.dirty {
		v := &views[h.view]
		first := len(s.states)
		s.states = h.state.Snapshot(fence, s.states)
		s.tiles = append(s.tiles, sinks.Tile{
			TileID: sinks.TileID{
				Entity: v.View.Entity, Key: h.key, View: v.stored, HopSeconds: hopSeconds(v.Windows, h.hop), Start: h.start, Source: t.source,
			},
			Stamp: stamp, State: s.states[first:len(s.states):len(s.states)], Expire: v.Windows.TTL(h.hop),
		})
		s.held = append(s.held, h)
		h.pending.Add(1)
		h.dirty = false
		t.charge(h)
	}
	t.dirty = t.dirty[:0]
	t.evict()
}

func (t *tiles) charge(h *hotTile) {
	now := int64(h.state.MemoryBytes() + len(h.key) + tileOverheadBytes)
	t.bytes += now - h.bytes
	h.bytes = now
}

// evict lets the tiles go that were used longest ago, until the rest fits.
func (t *tiles) evict() {
	limit := t.limit()
	for h := t.oldest(); h != nil && t.bytes > limit; {
		next := h.newer
		if h == t.newest {
			next = nil
		}
		if h.pending.Load() == 0 {
			t.unlink(h)
			delete(t.all, h.tileKey)
			t.bytes -= h.bytes
		}
		h = next
	}
}

func (t *tiles) oldest() *hotTile {
	if t.newest == nil {
		return nil
	}
	return t.newest.newer
}

// link makes h the newest of the ring.
func (t *tiles) link(h *hotTile) {
	if t.newest == nil {
		h.older, h.newer = h, h
	} else {
		oldest := t.newest.newer
		h.older, h.newer = t.newest, oldest
		t.newest.newer, oldest.older = h, h
	}
	t.newest = h
}

func (t *tiles) unlink(h *hotTile) {
	if h.newer == h {
		t.newest = nil
		return
	}
	h.older.newer, h.newer.older = h.newer, h.older
	if t.newest == h {
		t.newest = h.older
	}
}
