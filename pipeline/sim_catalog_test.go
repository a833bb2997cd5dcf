package pipeline

import (
	"bytes"
	"context"
	"time"

	"millrace/feature"
	"millrace/sources"
	"millrace/transforms"
)

// change is what a catalog version brings.
type change int

const (
	readsTilde change = iota // rows that the view refused are accepted
	readsBang                // records that could not be decoded are
	addsFirst                // one more aggregate
)

// simVersion is the first catalog version; later ones change something each.
const simVersion = 3

// latest returns the newest catalog version; the caller holds mu.
func (w *world) latest() int64 { return simVersion + int64(len(w.kinds)) }

// apply makes a catalog version.
func (w *world) apply(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.kinds) < 4 {
		w.kinds = append(w.kinds, change(n%3))
	}
}

// since returns the version that brought a change first, 0 when none has up to
// a version; the caller holds mu.
func (w *world) since(version int64, c change) int64 {
	for i, kind := range w.kinds {
		if v := simVersion + 1 + int64(i); kind == c && v <= version {
			return v
		}
	}
	return 0
}

// reads reports whether records of a key become rows under a version; the
// caller holds mu.
func (w *world) reads(version int64, key byte) bool {
	return key != '?' && (key != '!' || w.since(version, readsBang) > 0) && (key != '~' || w.since(version, readsTilde) > 0)
}

// route is what a version makes of the topic.
func (w *world) route(version int64) Route {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := &feature.View{Name: "v", Entity: "e", Revision: 1, Generation: 1}
	first := w.since(version, addsFirst)
	windows := simWindows
	if first > 0 {
		windows = simMoreWindows
	}
	decoder := func() sources.Decoder { return simDecoder{w, w.sinceLocked(version, readsBang)} }
	r := fakeView(v)
	r.Windows, r.Changes = windows, true
	r.NewTransformer = func() Transformer {
		return simTransformer{fakeTransformer{v: v, ws: windows}, w.sinceLocked(version, readsTilde)}
	}
	r.Finished.NewTransformer, r.Finished.NewDecoder = r.NewTransformer, decoder
	known := make(map[uint64]bool)
	for i := range simWindows.Features {
		known[simWindows.Features[i].ID()] = true
	}
	for i := range windows.Features {
		id, since := windows.Features[i].ID(), int64(1)
		if !known[id] {
			since = first
		}
		r.Aggregates = append(r.Aggregates, Aggregate{ID: id, Version: since})
	}
	return Route{
		Source: "trips", Topic: "trips", Shapes: []Shape{{Fields: keyField, NewDecoder: decoder}}, Views: []RouteView{r},
		WindowsVersion: max(first, w.since(version, readsTilde), w.since(version, readsBang)),
	}
}

func (w *world) sinceLocked(version int64, c change) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.since(version, c) > 0
}

// simDecoder fails while the world says so.
type simDecoder struct {
	w     *world
	bangs bool // records of ! can be read
}

func (d simDecoder) Decode(ctx context.Context, dst *feature.Batch, recs []sources.Record) error {
	d.w.mu.Lock()
	down := d.w.decoderDown
	d.w.mu.Unlock()
	if down {
		return errDown
	}
	if !d.bangs || !bytes.ContainsRune(valuesOf(recs), '!') {
		return fakeDecoder{new(faults)}.Decode(ctx, dst, recs)
	}
	for i := range recs {
		row := dst.AppendRow(feature.Origin{Offset: recs[i].Offset, RecordMillis: recs[i].TimeMillis, EventMicros: recs[i].TimeMillis * 1000, Record: int32(i)})
		dst.Columns[0].SetString(row, dst.Arena.Copy(recs[i].Value))
	}
	return nil
}

func valuesOf(recs []sources.Record) []byte {
	var all []byte
	for i := range recs {
		all = append(all, recs[i].Value...)
	}
	return all
}

// simTransformer is fakeTransformer, which may accept ~.
type simTransformer struct {
	fakeTransformer
	tildes bool
}

func (t simTransformer) Apply(in *feature.Batch, now int64, out *feature.Rows) {
	t.accepts = t.tildes
	t.fakeTransformer.Apply(in, now, out)
}

// simMoreWindows has one more aggregate without end.
var simMoreWindows = simWindowsOf(feature.Feature{Name: "first", Aggregate: &feature.Aggregate{Kind: "first", Of: "key", Unlimited: true}})

func simWindowsOf(more ...feature.Feature) *transforms.Windows {
	text := feature.Of(feature.KindString)
	src := &feature.Source{Name: "trips", Format: feature.FormatJSON, Fields: []feature.SourceField{{Field: feature.Field{Name: "key", Type: text}}}}
	e := &feature.Entity{Name: "e", JoinKeys: []feature.Field{{Name: "id", Type: text}}}
	v := &feature.View{Name: "v", Keys: []feature.JoinKeyExpr{{JoinKey: "id", Expr: "key"}}, Features: append([]feature.Feature{
		{Name: "key", Expr: "key"},
		{Name: "n", Aggregate: &feature.Aggregate{Kind: "count", Window: time.Minute, Hop: time.Second}},
		{Name: "all", Aggregate: &feature.Aggregate{Kind: "count", Unlimited: true}},
		{Name: "last", Aggregate: &feature.Aggregate{Kind: "last", Of: "key", Unlimited: true}},
	}, more...)}
	p, problems := transforms.Compile(v, src, e)
	if len(problems) > 0 {
		panic(problems[0].Message)
	}
	return p.Windows
}
