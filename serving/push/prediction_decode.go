package push

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/valyala/fastjson"

	"millrace/feature"
	"millrace/serving"
	"millrace/transforms"
)

// predictionCall is what one write of predictions works with; it is used again.
type predictionCall struct {
	decoder RowDecoder
	parser  fastjson.Parser
	reader  predictionReader
	records []Row
	rowOf   []int  // parallel to records: the row of the request
	text    []byte // of records that are not the request's own
	batch   feature.Batch
	rows    feature.Rows
	key     []byte
}

// endOfTime is the record time of rows that may not tell theirs. Predictions
// are not of the future, so it comes to mean now, in microseconds.
const endOfTime = math.MaxInt64 / 1000

// read makes records of the request's rows. What is wrong with the columns of a
// data frame is wrong with all of it.
func (w *predictionWrite) read() *serving.Error {
	c := w.call
	c.records, c.rowOf, c.text = c.records[:0], c.rowOf[:0], c.text[:0]
	c.reader = predictionReader{form: w.form, others: w.s.beside(w.form, w.req), frame: w.req.Frame, marks: c.reader.marks[:0]}
	for i, text := range w.req.Rows {
		row := Row{Value: text, Millis: endOfTime}
		if v, err := c.parser.ParseBytes(text); err == nil && v.Type() == fastjson.TypeObject {
			o := v.GetObject()
			faults := c.reader.columnFaults(o)
			if w.req.Frame && len(faults) > 0 {
				return frameFaults(faults)
			}
			for j := range faults {
				w.reject(i, faults[j].reason, faults[j].text())
			}
			if len(faults) > 0 {
				continue
			}
			var differs bool
			start := len(c.text)
			if c.text, differs = c.reader.record(c.text, len(c.records), o); differs {
				row.Value = c.text[start:len(c.text):len(c.text)]
			}
		}
		c.records, c.rowOf = append(c.records, row), append(c.rowOf, i)
	}
	return nil
}

// beside lists the other ways to write predictions under the name that the
// request gives.
func (s *Service) beside(f *predictionForm, req *serving.PushRequest) []*predictionForm {
	if f.view == "" {
		return nil
	}
	name := req.View
	if name == "" {
		name = req.Source
	}
	return slices.DeleteFunc(slices.Clone(s.also[name]), func(g *predictionForm) bool { return g == f })
}

// decode makes columns of the records, and refuses those that do not fit, lack a
// join key, or hold what their output does not allow.
func (w *predictionWrite) decode(ctx context.Context) error {
	c := w.call
	c.batch.Reset(w.form.layout, feature.PushedPartition)
	if err := c.decoder.Decode(ctx, &c.batch, c.records); err != nil {
		return fmt.Errorf("decode %d predictions of model %s: %w", len(c.records), w.form.plan.Model.Name, err)
	}
	for i := range c.batch.Rejects {
		r := &c.batch.Rejects[i]
		w.reject(c.rowOf[r.Origin.Record], r.Reason, r.Message)
	}
	w.notFinite()
	for row := range c.batch.Origins {
		for i, k := range w.form.plan.Entity.JoinKeys {
			if c.batch.Columns[i].IsNull(row) {
				w.reject(w.rowAt(row), feature.ReasonNullKey, "join key "+k.Name+" is null")
			}
		}
	}
	return nil
}

// rowAt is the row of the request that a row of the batch is.
func (w *predictionWrite) rowAt(row int) int {
	return w.call.rowOf[w.call.batch.Origins[row].Record]
}

// notFinite puts marked values where the decoder found null, or refuses them.
func (w *predictionWrite) notFinite() {
	c := w.call
	if len(c.reader.marks) == 0 {
		return
	}
	at := make(map[int]int, len(c.batch.Origins)) // record -> row of the batch
	for row := range c.batch.Origins {
		at[int(c.batch.Origins[row].Record)] = row
	}
	type place struct{ record, output int }
	told := make(map[place]bool)
	for _, m := range c.reader.marks {
		out := &w.form.plan.Model.Outputs[m.output]
		row, decoded := at[m.record]
		switch p := (place{m.record, m.output}); {
		case !out.AllowNaN && !told[p]:
			told[p] = true
			w.reject(c.rowOf[m.record], feature.ReasonNaN, w.form.columns[m.output]+
				" is NaN or infinite, which output "+out.Name+" of model "+w.form.plan.Model.Name+" does not allow: write null, or allow_nan: true in its definition")
		case !out.AllowNaN, !decoded:
		default:
			column := &c.batch.Columns[len(w.form.plan.Entity.JoinKeys)+m.output]
			if m.element >= 0 {
				row, column = int(column.Spans[row].Start)+m.element, column.Elems
			}
			column.SetFloat(row, m.value)
		}
	}
}

// check refuses rows that no store may see.
func (w *predictionWrite) check() {
	c := w.call
	w.fill(func(row int) bool { return !w.bad[w.rowAt(row)] })
	w.s.store.Check(&c.rows)
	for i := range c.rows.Rejects {
		r := &c.rows.Rejects[i]
		w.reject(c.rowOf[r.Origin.Record], r.Reason, r.Message)
	}
}

// newest picks the good row of each key whose time is the greatest, of equal
// times the last one.
func (w *predictionWrite) newest() func(row int) bool {
	c := w.call
	keys := c.batch.Columns[:len(w.form.plan.Entity.JoinKeys)]
	best := make(map[string]int, len(c.batch.Origins))
	keep := feature.Bitmap(nil).Resize(len(c.batch.Origins))
	for row := range c.batch.Origins {
		if w.bad[w.rowAt(row)] {
			continue
		}
		c.key = feature.AppendKey(c.key[:0], keys, row)
		if old, seen := best[string(c.key)]; seen {
			if min(c.batch.Origins[row].EventMicros, w.now) < min(c.batch.Origins[old].EventMicros, w.now) {
				continue
			}
			keep.Clear(old)
		}
		best[string(c.key)] = row
		keep.Set(row)
	}
	return keep.Get
}

// fill makes rows to store of those of the batch that are to be kept.
func (w *predictionWrite) fill(keep func(row int) bool) {
	c, p := w.call, w.form.plan
	n := len(p.Entity.JoinKeys)
	s := transforms.StoredPrediction{Version: p.Model.Version, Catalog: w.s.catalog.Version, By: transforms.ByClient}
	p.ResetRows(&c.rows)
	for row := range c.batch.Origins {
		if !keep(row) {
			continue
		}
		s.AtMicros = min(c.batch.Origins[row].EventMicros, w.now)
		s.Stamp = s.AtMicros
		p.AppendRow(&c.rows, c.batch.Columns[:n], row, c.batch.Columns[n:], row, &s)
		c.rows.Origins[c.rows.Len()-1].Record = c.batch.Origins[row].Record
	}
}
