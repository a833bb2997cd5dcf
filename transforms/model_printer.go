package transforms

import (
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"millrace/feature"
	"millrace/transforms/fingerprint"
)

// Printer makes fingerprints of what the inputs of a model were read from. For
// each key:
//
//	p.Begin()
//	for i := range p.Sources() {
//		p.Add(i, loaded, windows, row) // as they were read for the key
//	}
//	bytes = p.Append(bytes[:0])
//
// It belongs to one goroutine. It is made of the plans as they are, so after
// apply's numbers are in them.
type Printer struct {
	sources []ModelSource
	wanted  []wantedWindows // parallel to sources
	tiles   []uint64
	shape   uint64
	builder fingerprint.Builder
	scratch []byte
}

// NewPrinter returns a Printer for predictions of p.
func (p *ModelPlan) NewPrinter() *Printer {
	sources := p.Sources()
	return &Printer{sources: sources, wanted: make([]wantedWindows, len(sources)), shape: p.Shape()}
}

// Sources lists what Add is to be called for, ordered by name. It is not to be
// changed.
func (p *Printer) Sources() []ModelSource { return p.sources }

// Begin begins the fingerprint of another key.
func (p *Printer) Begin() { p.builder.Reset(p.shape) }

// Add adds source i as it was read. l and w are those of a Reader of the
// source's view, w after KeepTiles, in which row is the key; l was asked for
// hashes. What the source does not need (Row, Windows) may be nil, and what else
// was read with it leaves no trace.
func (p *Printer) Add(i int, l *feature.Loaded, w *WindowReader, row int) {
	s := &p.sources[i]
	var r fingerprint.Row
	switch {
	case !s.Row:
	case l.Found.Get(row):
		o := &l.Origins[row]
		r = fingerprint.Row{Kind: fingerprint.Present, EventMicros: o.EventMicros, Hash: o.Hash}
	default:
		r.Kind = fingerprint.Absent
	}
	p.builder.View(s.Name, s.Generation, s.Read^p.failed(i, w, row), r)
	if len(s.Windows) == 0 {
		return
	}
	for hop, r := range w.Ranges() {
		p.tiles = w.AppendTiles(p.tiles[:0], hop, row, p.wanted[i].in(w, s.Windows))
		p.builder.Tiles(s.Name, int32(r.Hop/time.Second), p.tiles)
	}
}

// failed is another number for any other set of windows of source i that have
// failed in a row; 0 if none has. Of tiles that were not looked at nobody knows
// whether they are others, so that those that were read do not tell a change.
func (p *Printer) failed(i int, w *WindowReader, row int) (mark uint64) {
	if len(p.sources[i].Windows) == 0 || !w.AnyFailed(row) {
		return 0
	}
	for k, wanted := range p.wanted[i].in(w, p.sources[i].Windows) {
		if _, failed := w.Failure(k, row); failed && wanted {
			mark ^= xxhash.Sum64String("failed " + w.Feature(k).Name)
		}
	}
	return mark
}

// wantedWindows is which features of a reader a source has.
type wantedWindows struct {
	reader *WindowReader
	of     []bool // parallel to its features
}

func (x *wantedWindows) in(w *WindowReader, names []string) []bool {
	if x.reader != w {
		x.reader, x.of = w, x.of[:0]
		for k := range w.Features() {
			x.of = append(x.of, slices.Contains(names, w.Feature(k).Name))
		}
	}
	return x.of
}

// Append appends the fingerprint of what was added.
func (p *Printer) Append(dst []byte) []byte { return p.builder.Append(dst) }

// AppendValues appends the fingerprint of the values of all inputs, in their
// order, in a row of each: that of models whose Fingerprint is
// feature.FingerprintValues. failed says that one of them has failed, which is
// not the null that it stands as. It needs no Begin.
func (p *Printer) AppendValues(dst []byte, inputs []*feature.Column, row int, failed bool) []byte {
	var hash [16]byte // of what failed
	if !failed {
		hash, p.scratch = fingerprint.HashValues(p.scratch, inputs, row)
	}
	p.builder.ResetValues(p.shape, hash)
	return p.builder.Append(dst)
}
