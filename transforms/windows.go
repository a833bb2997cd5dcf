package transforms

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"millrace/feature"
	"millrace/transforms/window"
)

// Windows is what the windowed features of a view need: tiles of one Shape for
// each hop, and the values and filters that tiles are updated with. Expressions
// and states that are the same are there once. It is immutable.
type Windows struct {
	Features []Windowed // in the view's order
	Hops     []Hop      // in the order in which features name them
	Args     []feature.Type
	Filters  int
	EventID  string        // field of the source with the id of the event, or ""
	Lateness time.Duration // how old a row that counts may be at its record's time; 0 any age
	Only     bool          // the view stores nothing of a row by itself

	argTexts, filterTexts []string
	eventID               feature.Kind
}

// Windowed is one windowed feature.
type Windowed struct {
	Name   string
	Type   feature.Type
	Window window.Window
	Spec   window.Spec
	Hash   uint64 // of the state: window.Spec.Hash
	Since  int64  // catalog version that brought the window; given by apply, 0 before
	Hop    int    // index in Windows.Hops
	State  int    // index in the aggregates of the hop's Shape

	at         int // index in the view's features
	of, filter int // indices of arguments and filters, or -1
}

// ID identifies what a window merges: which state, of tiles of which hop, from
// when to when. Since when a window is complete is known by it, not by the state
// alone: another hop has tiles of its own, and a longer window reaches back to
// tiles that were let go and to rows that were too late. It is stored, so its
// input never changes meaning.
func (w *Windowed) ID() uint64 {
	b := binary.LittleEndian.AppendUint64(nil, w.Hash)
	for _, d := range []time.Duration{w.Window.Length, w.Window.Hop, w.Window.Offset} {
		b = binary.LittleEndian.AppendUint64(b, uint64(d))
	}
	return xxhash.Sum64(b)
}

// Hop is the tiles of one span.
type Hop struct {
	Span  time.Duration // 0: one tile without end
	Shape *window.Shape

	of, filter []int // parallel to the Shape's aggregates
	checks     bool  // some aggregate may refuse a value
}

// Input points in at what rows holds for the tiles of a hop.
func (w *Windows) Input(hop int, rows *feature.Rows, in *window.Input) {
	h := &w.Hops[hop]
	in.Of, in.Where = in.Of[:0], in.Where[:0]
	for i := range h.of {
		var of *feature.Column
		var keep feature.Bitmap
		if h.of[i] >= 0 {
			of = &rows.Windows.Args[h.of[i]]
		}
		if h.filter[i] >= 0 {
			keep = rows.Windows.Filters[h.filter[i]]
		}
		in.Of, in.Where = append(in.Of, of), append(in.Where, keep)
	}
}

// late reports whether windows leave a row alone. It depends on the record
// alone, so that a replay decides the same way.
func (w *Windows) late(o *feature.Origin) bool {
	if w.Lateness == 0 {
		return false
	}
	const most = math.MaxInt64 / 4000 // a wild record time does not overflow
	record := min(max(o.RecordMillis, -most), most) * 1000
	return o.EventMicros < record-w.Lateness.Microseconds()
}

// TTL is how long the store keeps tiles of a hop after their last write: none
// of them is read after that. 0 is for ever.
func (w *Windows) TTL(hop int) time.Duration {
	h := &w.Hops[hop]
	if h.Span == 0 {
		return 0
	}
	longest := time.Duration(0)
	for i := range w.Features {
		if f := &w.Features[i]; f.Hop == hop {
			longest = max(longest, f.Window.Length+f.Window.Offset)
		}
	}
	return longest + h.Span + w.Lateness + 24*time.Hour
}

// MaxCells is how many cells one read of an entity may touch per hop.
const MaxCells = 2000

// Tiles is how many tiles of a hop a read of all features covers at most: from
// the first of the window that begins first to the last of the one that ends
// last.
func (w *Windows) Tiles(hop int) int {
	span := w.Hops[hop].Span
	if span == 0 {
		return 1
	}
	var most time.Duration
	least := time.Duration(math.MaxInt64)
	for i := range w.Features {
		if f := &w.Features[i]; f.Hop == hop {
			most, least = max(most, f.Window.Length+f.Window.Offset), min(least, f.Window.Offset)
		}
	}
	return window.Window{Length: most - least, Hop: span}.Tiles()
}

// Cells is how many cells of a hop a read of all features touches at most, when
// the source's topic has so many partitions: its tiles, once for each partition
// that may hold events of one entity.
func (p *Plan) Cells(hop, partitions int) int {
	if p.OnePartition() {
		partitions = min(partitions, 1)
	}
	return p.Windows.Tiles(hop) * partitions
}

// OnePartition reports whether all events of an entity are in one partition:
// pushes and rekeyed views are keyed by the entity, and records whose key the source declares are
// when the view's join keys are that key, as it is and as a whole. A key that is
// computed may be one for several record keys, and one that is a part of the
// record's key has events wherever the other parts lead.
func (p *Plan) OnePartition() bool {
	if p.Source.Kind == feature.SourcePush || p.View.Rekey {
		return true
	}
	taken := make(map[string]bool)
	for _, k := range p.View.Keys {
		name := strings.TrimSpace(k.Expr)
		if f, ok := p.Source.Field(name); !ok || !f.Key {
			return false
		}
		taken[name] = true
	}
	return !slices.ContainsFunc(p.Source.Fields, func(f feature.SourceField) bool { return f.Key && !taken[f.Name] })
}

// TileBytes bounds the bytes of a tile of a hop.
func (w *Windows) TileBytes(hop int) int {
	shape := w.Hops[hop].Shape
	specs := make([]window.Spec, len(shape.Aggregates))
	for i := range specs {
		specs[i] = shape.Aggregates[i].Spec
	}
	return window.MaxTileBytes(specs, shape.EventIDs)
}

// Feature returns the windowed feature of that name.
func (w *Windows) Feature(name string) (*Windowed, bool) {
	if w == nil {
		return nil, false
	}
	i := slices.IndexFunc(w.Features, func(f Windowed) bool { return f.Name == name })
	if i < 0 {
		return nil, false
	}
	return &w.Features[i], true
}
