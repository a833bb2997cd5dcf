package transforms

import (
	"fmt"
	"slices"
	"time"

	"millrace/feature"
	"millrace/transforms/expr"
)

// DefaultMaxFutureSkew is how far ahead of its record's time an event time may
// lie, and a record time ahead of the clock.
const DefaultMaxFutureSkew = 5 * time.Minute

// Writer runs the write half of a plan over batches of one layout, or takes
// finished rows. It belongs to one goroutine and allocates nothing per row in
// steady state.
type Writer struct {
	plan    *Plan
	skew    time.Duration
	columns []int         // batch column of each of plan.Fields
	machine *expr.Machine // nil when rows come finished
	input   expr.Input
	outs    []*feature.Column // of the latest batch: join keys, where if there is one to ask, stored columns
	keep    []int32           // rows that survive, reused
	windows *windowsWriter    // nil without windowed features
}

// NewWriter makes a Writer for batches whose columns are fields, which must
// contain p.Fields: Fields makes such a list. skew is the future skew allowed.
func (p *Plan) NewWriter(fields []feature.Field, skew time.Duration) (*Writer, error) {
	w := &Writer{plan: p, skew: skew, machine: p.write.NewMachine(), windows: newWindowsWriter(p.Windows)}
	for _, want := range p.Fields {
		at := slices.Index(fields, want)
		if at < 0 {
			return nil, fmt.Errorf("bind %s to a batch: it has no column %s of type %s", p.View, want.Name, want.Type)
		}
		w.columns = append(w.columns, at)
	}
	w.input.Columns = make([]*feature.Column, len(p.rows.Fields))
	w.outs = make([]*feature.Column, w.firstWindow()+p.Windows.outputs())
	return w, nil
}

// Apply runs the write half over in, unless its rows come finished, and fills
// out, which it resets: finished rows, the number filtered, and rejects. nowMillis is the wall clock for the
// check of record times; 0 leaves the check out, as a replay must. Strings of
// out live until in is reset or Apply is called again.
//
// Every row of in has one end in out: it is in Origins, in Filtered, or in
// Rejects; feature.Rows says which late rows are in two. `where` decides first among expressions, so one that fails on a row
// which the view does not want costs nothing.
func (w *Writer) Apply(in *feature.Batch, nowMillis int64, out *feature.Rows) {
	out.Reset(w.plan.View, w.plan.Stored, w.plan.Entity.JoinKeys, in.Partition)
	w.run(in)
	w.keep = w.keep[:0]
	if w.windows != nil {
		out.Windows.Reset(w.plan.Windows.Args, w.plan.Windows.Filters)
		w.runWindows(in.Rows())
	}
	for row := range in.Origins {
		if w.end(in, row, nowMillis, out) {
			w.keep = append(w.keep, int32(row))
			out.Origins = append(out.Origins, in.Origins[row])
		}
	}
	nKeys := len(out.Keys)
	for i := range out.Keys {
		out.Keys[i].Gather(w.outs[i], w.keep)
	}
	for i := range out.Columns {
		out.Columns[i].Gather(w.outs[w.firstStored(nKeys)+i], w.keep)
	}
	if w.windows != nil {
		w.gatherWindows(in, out)
	}
}

// hasWhere reports whether a row may be filtered by `where`; a finished one was
// let through by whoever made it.
func (w *Writer) hasWhere() bool { return w.plan.hasWhere && w.machine != nil }

func (w *Writer) firstStored(nKeys int) int {
	if w.hasWhere() {
		return nKeys + 1
	}
	return nKeys
}

// setRows gives dst the rows of a batch at write, and their times.
func setRows(dst *expr.Input, in *feature.Batch) {
	dst.Rows = in.Rows()
	dst.EventMicros, dst.NowMicros = dst.EventMicros[:0], dst.NowMicros[:0]
	for i := range in.Origins {
		dst.EventMicros = append(dst.EventMicros, in.Origins[i].EventMicros)
		dst.NowMicros = append(dst.NowMicros, in.Origins[i].RecordMillis*1000)
	}
}

// run fills outs.
func (w *Writer) run(in *feature.Batch) {
	if w.machine == nil {
		for i := range w.outs {
			w.outs[i] = &in.Columns[i]
		}
		return
	}
	setRows(&w.input, in)
	for i, slot := range w.plan.slots {
		w.input.Columns[slot] = &in.Columns[w.columns[i]]
	}
	w.machine.Run(w.input)
	for i := range w.outs {
		w.outs[i] = w.machine.Out(i)
	}
}

// end decides one row's end; true keeps it.
func (w *Writer) end(in *feature.Batch, row int, nowMillis int64, out *feature.Rows) bool {
	o := in.Origins[row]
	if reason, message := w.checkTimes(o, nowMillis); reason != "" {
		out.Rejects = append(out.Rejects, feature.Reject{Origin: o, Stage: feature.StageTransform, Reason: reason, Message: message})
		return false
	}
	if o.Deleted {
		return w.deletedEnd(row, o, out) && (w.windows == nil || w.windowsEnd(row, o, out))
	}
	nKeys := len(out.Keys)
	if w.hasWhere() {
		if w.rejected(nKeys, "where", "", row, o, out) {
			return false
		}
		if c := w.outs[nKeys]; c.IsNull(row) || !c.Bools[row] {
			out.Filtered++
			return false
		}
	}
	return w.keyEnd(row, o, out) && w.columnsEnd(row, o, out) && (w.windows == nil || w.windowsEnd(row, o, out))
}

// deletedEnd asks a deleted row for nothing but whose it is: `where` has said
// nothing of the row that it takes away, and a key that is not known is never
// filtered, because a row that should be gone would stay.
func (w *Writer) deletedEnd(row int, o feature.Origin, out *feature.Rows) bool {
	for i := range out.Keys {
		failed := false
		if w.machine != nil && w.machine.AnyFailed(i) {
			_, failed = w.machine.Failure(i, row)
		}
		if !failed && !w.outs[i].IsNull(row) {
			continue
		}
		out.Rejects = append(out.Rejects, feature.Reject{
			Origin: o, Stage: feature.StageTransform, Reason: feature.ReasonNoKey,
			Message: "a delete does not tell join key " + w.plan.View.Keys[i].JoinKey,
		})
		return false
	}
	return true
}

func (w *Writer) keyEnd(row int, o feature.Origin, out *feature.Rows) bool {
	for i := range out.Keys {
		if w.rejected(i, "join key ", w.plan.View.Keys[i].JoinKey, row, o, out) {
			return false
		}
		if !w.outs[i].IsNull(row) {
			continue
		}
		if w.plan.View.OnNullKey == feature.NullKeyFilter {
			out.Filtered++
			return false
		}
		out.Rejects = append(out.Rejects, feature.Reject{
			Origin: o, Stage: feature.StageTransform, Reason: feature.ReasonNullKey,
			Message: "join key " + w.plan.View.Keys[i].JoinKey + " is null",
		})
		return false
	}
	return true
}

func (w *Writer) columnsEnd(row int, o feature.Origin, out *feature.Rows) bool {
	first := w.firstStored(len(out.Keys))
	for i := range out.Columns {
		if w.rejected(first+i, "feature ", w.plan.Stored.Columns[i].Name, row, o, out) {
			return false
		}
		if !w.checkLength(i, first+i, row, o, out) {
			return false
		}
	}
	return true
}

// checkLength holds lists of declared length to it.
func (w *Writer) checkLength(column, output, row int, o feature.Origin, out *feature.Rows) bool {
	want := w.plan.Stored.Columns[column].Type.Length
	if want == 0 {
		return true
	}
	c := w.outs[output]
	if c.IsNull(row) || c.Spans[row].End-c.Spans[row].Start == want {
		return true
	}
	out.Rejects = append(out.Rejects, feature.Reject{
		Origin: o, Stage: feature.StageTransform, Reason: feature.ReasonLength,
		Message: fmt.Sprintf("feature %s has not %d elements", w.plan.Stored.Columns[column].Name, want),
	})
	return false
}

// rejected records the failure of an output on a row, if there is one.
func (w *Writer) rejected(output int, what, name string, row int, o feature.Origin, out *feature.Rows) bool {
	if w.machine == nil || !w.machine.AnyFailed(output) {
		return false
	}
	f, failed := w.machine.Failure(output, row)
	if !failed {
		return false
	}
	out.Rejects = append(out.Rejects, feature.Reject{
		Origin: o, Stage: feature.StageTransform, Reason: feature.ReasonExpression,
		Message: what + name + ": " + f.Message,
	})
	return true
}

func (w *Writer) checkTimes(o feature.Origin, nowMillis int64) (feature.Reason, string) {
	skew := w.skew.Milliseconds()
	if nowMillis != 0 && o.RecordMillis > nowMillis+skew {
		return feature.ReasonRecordFuture, fmt.Sprintf("record time is more than %s ahead of the clock", w.skew)
	}
	// In milliseconds, because microseconds of a wild record time overflow.
	if o.EventMicros/1000 > o.RecordMillis+skew {
		return feature.ReasonEventFuture, fmt.Sprintf("event time is more than %s ahead of the record time", w.skew)
	}
	return "", ""
}
