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

// Fence is how far a partition was counted: a topic's number, and the next
// offset that was not.
type Fence struct {
	Topic uint32
	Next  int64
}

// less reports whether f has counted less than g.
func (f Fence) less(g Fence) bool {
	if f.Topic != g.Topic {
		return f.Topic < g.Topic
	}
	return f.Next < g.Next
}

// Builder makes fingerprints. The zero Builder is empty; it is reused by Reset
// and belongs to one goroutine. Strings are kept until then.
type Builder struct {
	mode   Mode
	shape  uint64
	values [16]byte
	views  []view
	fences []fence
}

type view struct {
	name       string
	generation uint32
	read       uint64
	row        Row
}

type fence struct {
	view       string
	hopSeconds int32
	partition  int32
	fence      Fence
}

// Reset begins the fingerprint of the state of inputs. shape is a hash of how
// the model takes them: which, in which order, as what.
func (b *Builder) Reset(shape uint64) {
	b.mode, b.shape = State, shape
	b.views, b.fences = b.views[:0], b.fences[:0]
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

// Fence adds how far a partition was counted in the tiles of a windowed view
// and hop, 0 seconds for windows without end. Of several the greatest counts.
func (b *Builder) Fence(name string, hopSeconds, partition int32, f Fence) {
	b.fences = append(b.fences, fence{name, hopSeconds, partition, f})
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
	b.sortFences()
	dst = binary.AppendUvarint(dst, uint64(b.groups()))
	for from := 0; from < len(b.fences); {
		to := from + 1
		for to < len(b.fences) && b.fences[from].sameGroup(&b.fences[to]) {
			to++
		}
		dst = appendGroup(dst, b.fences[from:to])
		from = to
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

func (f *fence) sameGroup(g *fence) bool { return f.view == g.view && f.hopSeconds == g.hopSeconds }

func compareFences(x, y fence) int {
	return cmp.Or(cmp.Compare(x.view, y.view), cmp.Compare(x.hopSeconds, y.hopSeconds), cmp.Compare(x.partition, y.partition))
}

// sortFences orders the fences, and keeps the greatest of each partition.
func (b *Builder) sortFences() {
	slices.SortFunc(b.fences, compareFences)
	kept := b.fences[:0]
	for _, f := range b.fences {
		last := len(kept) - 1
		switch {
		case last < 0 || compareFences(kept[last], f) != 0:
			kept = append(kept, f)
		case kept[last].fence.less(f.fence):
			kept[last].fence = f.fence
		}
	}
	b.fences = kept
}

func (b *Builder) groups() int {
	n := 0
	for i := range b.fences {
		if i == 0 || !b.fences[i-1].sameGroup(&b.fences[i]) {
			n++
		}
	}
	return n
}

func appendGroup(dst []byte, fences []fence) []byte {
	dst = appendText(dst, fences[0].view)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(fences[0].hopSeconds))
	dst = binary.AppendUvarint(dst, uint64(len(fences)))
	for i := range fences {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(fences[i].partition))
		dst = binary.LittleEndian.AppendUint32(dst, fences[i].fence.Topic)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(fences[i].fence.Next))
	}
	return dst
}
