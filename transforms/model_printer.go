package transforms

import (
	"slices"
	"time"

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
	shape   uint64
	builder fingerprint.Builder
	scratch []byte
}

// NewPrinter returns a Printer for predictions of p.
func (p *ModelPlan) NewPrinter() *Printer {
	return &Printer{sources: p.Sources(), shape: p.Shape()}
}

// Sources lists what Add is to be called for, ordered by name. It is not to be
// changed.
func (p *Printer) Sources() []ModelSource { return p.sources }

// Begin begins the fingerprint of another key.
func (p *Printer) Begin() { p.builder.Reset(p.shape) }

// Add adds source i as it was read. l and w are those of a Reader of the
// source's view, w after KeepFences, in which row is the key; l was asked for
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
	p.builder.View(s.Name, s.Generation, s.Read, r)
	if len(s.Windows) == 0 {
		return
	}
	for k := range w.Features() {
		f := w.Feature(k)
		if !slices.Contains(s.Windows, f.Name) {
			continue
		}
		for _, x := range w.Fences(k, row) {
			p.builder.Fence(s.Name, int32(f.Window.Hop/time.Second), x.Partition, fingerprint.Fence(x.Fence))
		}
	}
}

// Append appends the fingerprint of what was added.
func (p *Printer) Append(dst []byte) []byte { return p.builder.Append(dst) }

// AppendValues appends the fingerprint of the values of all inputs, in their
// order, in a row of each: that of models whose Fingerprint is
// feature.FingerprintValues. It needs no Begin.
func (p *Printer) AppendValues(dst []byte, inputs []*feature.Column, row int) []byte {
	var hash [16]byte
	hash, p.scratch = fingerprint.HashValues(p.scratch, inputs, row)
	p.builder.ResetValues(p.shape, hash)
	return p.builder.Append(dst)
}
