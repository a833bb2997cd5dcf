package refresh_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"millrace/feature"
	"millrace/serving"
	"millrace/sinks"
	"millrace/sinks/rowcodec"
)

// process serves lookups, or refreshes, under one version of the definitions
// and a clock of its own.
type process struct {
	conn

	svc     *serving.Service
	serves  bool
	version int          // 1 or 2
	skew    atomic.Int64 // a time.Duration; refreshes behind lookups read it
}

// start starts a process.
func (w *world) start(version int, skew time.Duration) *process {
	return w.startOver(conn{w: w, life: newLife()}, version, skew)
}

func (w *world) startOver(c conn, version int, skew time.Duration) *process {
	p := &process{conn: c, version: version}
	p.skew.Store(int64(skew))
	project := w.kind.versions[version-1]
	cells := sinks.Cells(p.conn)
	tiles := sinks.TileReader(p.conn)
	if w.broken == noVerification {
		l := newLiar(p.conn)
		cells, tiles = l, l
	}
	svc, err := serving.New(serving.Settings{
		Catalog: project.Catalog, Plans: project.Plans, OnDemand: project.OnDemand, Models: project.Models,
		Predictors:  map[string]serving.Predictor{"m": predictor{c, project.Models["m"].Model.Version, version}},
		Store:       rowcodec.NewReader(cells, loaded.schemas),
		Tiles:       sinks.NewWindows(tiles, &loaded.meta),
		Predictions: writer{p, rowcodec.NewWriter(p.conn), cells},
		Clock:       p.now,
	})
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.faultf("start: %v", err)
	}
	p.svc = svc
	return p
}

// newest is the version of definitions that processes come to have.
func (w *world) newest() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changes.version
}

func (p *process) now() time.Time { return time.Now().Add(time.Duration(p.skew.Load())) }

// crash ends the process where it is.
func (p *process) crash() {
	if p.ended() {
		return
	}
	close(p.over)
	p.w.mu.Lock()
	for key := range p.w.trace {
		p.w.tracef(key, "%p crashed", p.life)
	}
	p.w.mu.Unlock()
	p.w.behind.Go(p.svc.Close)
}

// writer is where a process keeps predictions.
type writer struct {
	p     *process
	to    *rowcodec.Writer
	cells sinks.Cells
}

// WriteRows implements serving.PredictionWriter.
func (wr writer) WriteRows(ctx context.Context, rows *feature.Rows) error {
	w := wr.p.w
	n := len(wr.p.w.kind.versions[0].Models["m"].Model.Outputs)
	for i := range rows.Origins {
		switch o := &rows.Origins[i]; w.broken {
		case noStampRule:
			o.EventMicros = min(o.EventMicros, wr.p.now().UnixMicro())
		case noFingerprint:
			rows.Columns[n+1].SetString(i, "")
		}
	}
	w.mu.Lock()
	w.kept += rows.Len()
	for i := range rows.Origins {
		key := string(feature.AppendKey(nil, rows.Keys, i))
		skew := time.Duration(wr.p.skew.Load())
		w.wrote[written{key, rows.Origins[i].EventMicros}] = wrote{wr.p, rows.Columns[n+3].Strings[i]}
		w.tracef(key, "%p v%d skew %v keeps %d %q", wr.p.life, wr.p.version, skew, rows.Origins[i].EventMicros, rows.Columns[0].Strings[i])
	}
	crash := !w.healed && w.rng.IntN(15) == 0 && (!wr.p.serves || !w.slow)
	w.mu.Unlock()
	if l, is := wr.cells.(*liar); is {
		l.wrote(rows)
	}
	err := wr.to.WriteRows(ctx, rows)
	if crash {
		wr.p.crash() // between the store and a second look
	}
	return err
}

// reading marks the contexts of lookups.
type reading struct{}

// lookup asks for inputs and predictions of keys together, and holds that they
// are of each other.
func (p *process) lookup(keys []int) {
	began, resp := time.Now(), new(serving.Response)
	fault := p.ask(keys, resp, "m:echo")
	if p.ended() {
		return
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if fault != nil {
		if fault.Code == serving.CodeInternal || fault.Code == serving.CodeInvalidRequest {
			p.w.faultf("lookup: %v", fault)
		}
		return
	}
	for row := range keys {
		p.w.check(p, resp, row, began)
	}
	resp.Release()
}

// ask looks the inputs of keys up, and more behind them.
func (p *process) ask(keys []int, resp *serving.Response, more ...string) *serving.Error {
	read, fault := p.svc.PrepareFeatures(append(slices.Clone(p.w.kind.inputs), more...))
	if fault != nil {
		return fault
	}
	req := new(serving.Request)
	req.Reset(read)
	req.Rows = len(keys)
	for i, c := range read.Columns() {
		req.Columns[i].Resize(len(keys))
		for row, k := range keys {
			req.Columns[i].SetInt(row, p.w.kind.keyOf(k, c.Name))
		}
	}
	return p.svc.Lookup(context.WithValue(context.Background(), reading{}, true), req, resp)
}

// keyOf is a join key of the k-th entity.
func (k *kind) keyOf(n int, name string) int64 {
	switch {
	case name == "item_id":
		return int64(1 + n%2)
	case k.entity == "offer":
		return int64(1 + n/2)
	default:
		return int64(1 + n)
	}
}

// textOf is the entity key of the n-th entity.
func (k *kind) textOf(n int) string {
	e := k.versions[0].Models["m"].Entity
	columns := make([]feature.Column, len(e.JoinKeys))
	for i, key := range e.JoinKeys {
		columns[i].Reset(key.Type)
		columns[i].Resize(1)
		columns[i].SetInt(0, k.keyOf(n, key.Name))
	}
	return string(feature.AppendKey(nil, columns, 0))
}

// skewMost bounds how far clocks are from the time.
const skewMost = 5 * time.Second

// check holds that a prediction is of the inputs beside it. The caller holds mu.
func (w *world) check(p *process, resp *serving.Response, row int, began time.Time) {
	v, got, want := p.prediction(resp, row)
	age := time.Duration(resp.NowMicros-v.EventMicros) * time.Microsecond
	switch v.Origin {
	case serving.OriginFresh, serving.OriginClient:
		if got != want && !w.kind.counted(got, want) {
			w.faultf("a prediction of %q is served as %s for %q", got, v.Origin, want)
		}
		if w.kind.maxAge > 0 && age > w.kind.maxAge {
			w.faultf("a prediction is served as %s after %v", v.Origin, age)
		}
	case serving.OriginPredicted:
		if got != want {
			w.faultf("a prediction of %q is computed for %q", got, want)
		}
	case serving.OriginStale:
		most := w.kind.staleFor
		if v.Detail == "age" || w.kind.previousOK && v.Detail == "version" {
			most += w.kind.maxAge
		}
		if most > 0 && age > most {
			w.faultf("a prediction that is stale by %s is served after %v", v.Detail, age)
		}
		if since := began.Sub(w.model.computed[got]); most > 0 && since > most+2*skewMost+5*time.Second {
			w.faultf("a prediction that is stale by %s is served %v after it was computed", v.Detail, since)
		}
	default:
	}
	if v.Column != nil && w.model.computed[got].IsZero() && got != "null" {
		w.faultf("the model never said %q", got)
	}
}

// prediction is what is served of a prediction, what it is of, and what it would
// be of if it were of the inputs beside it.
func (p *process) prediction(resp *serving.Response, row int) (v serving.Value, got, want string) {
	v = resp.Value(len(p.w.kind.inputs), row)
	return v, textOf(v.Column, v.Row), p.wanted(resp, row)
}

// wanted is what the model would echo for the inputs of an answer.
func (p *process) wanted(resp *serving.Response, row int) string {
	text := p.w.kind.versions[p.version-1].Models["m"].Model.Version
	for i := range p.w.kind.inputs {
		v := resp.Value(i, row)
		text += " " + textOf(v.Column, v.Row)
	}
	return text
}

// counted reports whether a prediction differs from the inputs beside it in
// windows alone, of which it has seen more: they were read apart, and what is
// behind is the inputs of the answer.
func (k *kind) counted(got, want string) bool {
	is, inputs, more := strings.Split(got, " "), strings.Split(want, " "), false
	if len(is) != len(inputs) {
		return false
	}
	for i := range is {
		switch {
		case i > 0 && k.inputs[i-1] == "w:count_48h":
			n, _ := strconv.Atoi(is[i])
			seen, _ := strconv.Atoi(inputs[i]) // null is none
			more = n > seen
		case i > 0 && k.inputs[i-1] == "w:total_48h":
		case is[i] != inputs[i]:
			return false
		}
	}
	return more
}
