package transforms

import (
	"strconv"

	"millrace/feature"
	"millrace/transforms/window"
)

// windowsWriter is the part of a Writer that windows need.
type windowsWriter struct {
	plan   *Windows
	keep   []feature.Bitmap // of the latest batch, by filter
	inputs []window.Input   // of the latest batch, by hop
	counts []bool           // parallel to Writer.keep
	id     []byte           // of one event, reused
}

func newWindowsWriter(ws *Windows) *windowsWriter {
	if ws == nil {
		return nil
	}
	return &windowsWriter{plan: ws, keep: make([]feature.Bitmap, ws.Filters), inputs: make([]window.Input, len(ws.Hops))}
}

// outputs is how many outputs of the write half windows take.
func (ws *Windows) outputs() int {
	switch {
	case ws == nil:
		return 0
	case ws.EventID != "":
		return len(ws.Args) + ws.Filters + 1
	}
	return len(ws.Args) + ws.Filters
}

// firstWindow is the output of the first argument.
func (w *Writer) firstWindow() int {
	return w.firstStored(len(w.plan.Entity.JoinKeys)) + len(w.plan.Stored.Columns)
}

// runWindows prepares the filters and inputs of a batch.
func (w *Writer) runWindows(rows int) {
	ww := w.windows
	ww.counts = ww.counts[:0]
	if w.machine == nil {
		return
	}
	args := w.outs[w.firstWindow():]
	filters := args[len(ww.plan.Args):]
	for i := range ww.keep {
		ww.keep[i] = ww.keep[i].Resize(0).Resize(rows)
		for row := range rows {
			if !filters[i].IsNull(row) && filters[i].Bools[row] {
				ww.keep[i].Set(row)
			}
		}
	}
	for hop := range ww.inputs {
		h, in := &ww.plan.Hops[hop], &ww.inputs[hop]
		in.Of, in.Where = in.Of[:0], in.Where[:0]
		for i := range h.of {
			var of *feature.Column
			var keep feature.Bitmap
			if h.of[i] >= 0 {
				of = args[h.of[i]]
			}
			if h.filter[i] >= 0 {
				keep = ww.keep[h.filter[i]]
			}
			in.Of, in.Where = append(in.Of, of), append(in.Where, keep)
		}
	}
}

// windowsEnd decides what windows make of a row that everything else keeps;
// false takes it out.
func (w *Writer) windowsEnd(row int, o feature.Origin, out *feature.Rows) bool {
	ww := w.windows
	if o.Deleted || w.machine == nil {
		return w.uncounted(o, out)
	}
	first := w.firstWindow()
	for i := range len(ww.plan.Args) + ww.plan.Filters {
		if !w.machine.AnyFailed(first + i) {
			continue
		}
		if w.rejected(first+i, "aggregate ", ww.plan.nameOf(i), row, o, out) {
			return false
		}
	}
	if ww.plan.late(&o) {
		return w.lateEnd(o, out)
	}
	for hop := range ww.inputs {
		if !ww.plan.Hops[hop].checks {
			continue
		}
		if err := ww.plan.Hops[hop].Shape.Check(&ww.inputs[hop], row); err != nil {
			out.Rejects = append(out.Rejects, feature.Reject{
				Origin: o, Stage: feature.StageTransform, Reason: feature.ReasonWindowValue, Message: err.Error(),
			})
			return false
		}
	}
	ww.counts = append(ww.counts, true)
	return true
}

// uncounted is the end of a row that windows ignore.
func (w *Writer) uncounted(o feature.Origin, out *feature.Rows) bool {
	switch {
	case !w.windows.plan.Only:
		w.windows.counts = append(w.windows.counts, false)
		return true
	case o.Deleted: // there is nothing to take away
		out.Filtered++
	default:
		out.Rejects = append(out.Rejects, feature.Reject{
			Origin: o, Stage: feature.StageTransform, Reason: feature.ReasonWindowsOnly,
			Message: "the view has windowed features alone, which count raw rows",
		})
	}
	return false
}

func (w *Writer) lateEnd(o feature.Origin, out *feature.Rows) bool {
	ws := w.windows.plan
	out.Windows.Late++
	letter := w.plan.View.Late == feature.LateDeadLetter
	if letter {
		out.Rejects = append(out.Rejects, feature.Reject{
			Origin: o, Stage: feature.StageTransform, Reason: feature.ReasonLate,
			Message: "event time is more than " + Duration(ws.Lateness) + " before the record time",
		})
	}
	switch {
	case !ws.Only:
		w.windows.counts = append(w.windows.counts, false)
		if letter {
			out.Both++
		}
		return true
	case !letter:
		out.Filtered++
	}
	return false
}

// gatherWindows fills what windows take of the rows that were kept.
func (w *Writer) gatherWindows(in *feature.Batch, out *feature.Rows) {
	ww := w.windows
	to := &out.Windows
	to.Counts = to.Counts.Resize(len(w.keep))
	for i, counts := range ww.counts {
		if counts {
			to.Counts.Set(i)
		}
	}
	for i := range to.Filters {
		to.Filters[i] = to.Filters[i].Resize(len(w.keep))
	}
	if w.machine == nil {
		for i := range to.Args {
			to.Args[i].Resize(len(w.keep))
		}
		return
	}
	args := w.outs[w.firstWindow():]
	for i := range to.Args {
		to.Args[i].Gather(args[i], w.keep)
	}
	for i := range to.Filters {
		for k, row := range w.keep {
			if ww.keep[i].Get(int(row)) {
				to.Filters[i].Set(k)
			}
		}
	}
	if ww.plan.EventID != "" {
		w.gatherIDs(args[len(args)-1], in, to)
	}
}

// gatherIDs hashes the ids of events. Numbers are told by their digits.
func (w *Writer) gatherIDs(ids *feature.Column, in *feature.Batch, to *feature.RowWindows) {
	to.HasID = to.HasID.Resize(len(w.keep))
	for k, row := range w.keep {
		hash := uint64(0)
		if !ids.IsNull(int(row)) && !in.Origins[row].Deleted {
			to.HasID.Set(k)
			element := in.Origins[row].Element
			if ids.Type.Layout() == feature.LayoutInt {
				w.windows.id = strconv.AppendInt(w.windows.id[:0], ids.Ints[row], 10)
				hash = window.EventID(string(w.windows.id), element)
			} else {
				hash = window.EventID(ids.Strings[row], element)
			}
		}
		to.EventIDs = append(to.EventIDs, hash)
	}
}

// nameOf is a feature that argument or filter i is of.
func (ws *Windows) nameOf(i int) string {
	for k := range ws.Features {
		if f := &ws.Features[k]; f.of == i || i >= len(ws.Args) && f.filter == i-len(ws.Args) {
			return f.Name
		}
	}
	return ""
}
