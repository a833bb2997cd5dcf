package fingerprint

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// Format is the version of the bytes that Builder writes.
const Format = 1

// Mode says what a fingerprint is of.
type Mode byte

// The modes; never renumber them.
const (
	State  Mode = 1 // of the stored state of the inputs
	Values Mode = 2 // of the values of the inputs
)

// RowKind says what a view's row is in a fingerprint.
type RowKind byte

// The kinds; never renumber them.
const (
	NoRow   RowKind = iota // no row of the view is read
	Absent                 // none was stored, or it was deleted
	Present                // EventMicros and Hash say which
)

// Row is the stored row of a view that inputs were read from.
type Row struct {
	Kind        RowKind
	EventMicros int64
	Hash        [16]byte // of the bytes of its cell: feature.StoredOrigin.Hash
}

// Builder makes fingerprints. The zero Builder is empty; it is reused by Reset
// and belongs to one goroutine. Strings are kept until then.
type Builder struct {
	mode   Mode
	shape  uint64
	values [16]byte
	views  []view
	groups []group
}

type view struct {
	name       string
	generation uint32
	read       uint64
	row        Row
}

// group is the tiles of a windowed view and hop.
type group struct {
	view       string
	hopSeconds int32
	tiles      []uint64
}

// Reset begins the fingerprint of the state of inputs. shape is a hash of how
// the model takes them: which, in which order, as what.
func (b *Builder) Reset(shape uint64) {
	b.mode, b.shape = State, shape
	b.views, b.groups = b.views[:0], b.groups[:0]
}

// ResetValues makes the fingerprint that of values: hash is that of all inputs'.
func (b *Builder) ResetValues(shape uint64, hash [16]byte) {
	b.Reset(shape)
	b.mode, b.values = Values, hash
}

// View adds a view that an input is made of: its stored data's generation, the
// hash of how its features are read, and its row. An on-demand view has
// generation 0 and no row. Each is added once.
func (b *Builder) View(name string, generation uint32, read uint64, row Row) {
	if row.Kind != Present {
		row = Row{Kind: row.Kind}
	}
	b.views = append(b.views, view{name, generation, read, row})
}

// Tiles adds hashes of the tiles of a windowed view and hop, 0 seconds for
// windows without end. They may be added in parts. tiles is copied.
func (b *Builder) Tiles(name string, hopSeconds int32, tiles []uint64) {
	if len(tiles) == 0 {
		return
	}
	at := slices.IndexFunc(b.groups, func(g group) bool { return g.view == name && g.hopSeconds == hopSeconds })
	if at < 0 {
		at = len(b.groups)
		b.groups = slices.Grow(b.groups, 1)[:at+1] // its tiles' memory is used again
		b.groups[at] = group{name, hopSeconds, b.groups[at].tiles[:0]}
	}
	b.groups[at].tiles = append(b.groups[at].tiles, tiles...)
}

// Append appends the fingerprint's bytes.
func (b *Builder) Append(dst []byte) []byte {
	dst = append(dst, Format, byte(b.mode))
	dst = binary.LittleEndian.AppendUint64(dst, b.shape)
	if b.mode == Values {
		return append(dst, b.values[:]...)
	}
	slices.SortFunc(b.views, func(x, y view) int { return cmp.Compare(x.name, y.name) })
	dst = binary.AppendUvarint(dst, uint64(len(b.views)))
	for i := range b.views {
		dst = b.views[i].append(dst)
	}
	slices.SortFunc(b.groups, func(x, y group) int {
		return cmp.Or(cmp.Compare(x.view, y.view), cmp.Compare(x.hopSeconds, y.hopSeconds))
	})
	dst = binary.AppendUvarint(dst, uint64(len(b.groups)))
	for i := range b.groups {
		dst = b.groups[i].append(dst)
	}
	return dst
}

func (v *view) append(dst []byte) []byte {
	dst = appendText(dst, v.name)
	dst = binary.LittleEndian.AppendUint32(dst, v.generation)
	dst = binary.LittleEndian.AppendUint64(dst, v.read)
	dst = append(dst, byte(v.row.Kind))
	if v.row.Kind != Present {
		return dst
	}
	dst = binary.LittleEndian.AppendUint64(dst, uint64(v.row.EventMicros))
	return append(dst, v.row.Hash[:]...)
}

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

func (g *group) append(dst []byte) []byte {
	slices.Sort(g.tiles)
	g.tiles = slices.Compact(g.tiles)
	dst = appendText(dst, g.view)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(g.hopSeconds))
	dst = binary.AppendUvarint(dst, uint64(len(g.tiles)))
	for _, t := range g.tiles {
		dst = binary.LittleEndian.AppendUint64(dst, t)
	}
	return dst
}
