package transforms

import (
	"fmt"

	"millrace/feature"
	"millrace/transforms/expr"
)

// Reader runs the read half of a plan for some of the view's features. It
// belongs to one goroutine; a pool of them serves concurrent reads.
type Reader struct {
	wanted  []feature.StoredColumn
	outs    []readOut
	program *expr.Program
	machine *expr.Machine
	input   expr.Input
	slots   []slotBinding
	loaded  *feature.Loaded
	windows *WindowReader // nil when no windowed feature is needed
}

// slotBinding says what a slot of the program reads.
type slotBinding struct{ slot, column, windowed int }

// readOut says where the value of a requested feature is found.
type readOut struct {
	column   int   // index in wanted, or -1
	windowed int   // of the WindowReader, or -1
	output   int   // of the program, when both are -1
	from     []int // windowed features that it is or is computed from
	row      bool  // it is made of the stored row: of a column of it, or of its time
}

// NewReader makes a Reader for features, each a name of one of the view's
// features, in the order in which results are asked for.
func (p *Plan) NewReader(features []string) (*Reader, error) {
	r := &Reader{}
	at := make(map[int]int)       // stored column -> index in wanted
	windowed := make(map[int]int) // windowed feature -> index in r.windows
	first := 0                    // slot of the first stored column
	if p.Windows != nil {
		first = len(p.Windows.Features)
	}
	wantWindow := func(i int) int {
		if _, ok := windowed[i]; !ok {
			windowed[i] = len(windowed)
			r.windows = r.windows.with(p.Windows, i)
		}
		return windowed[i]
	}
	want := func(stored int) int {
		if _, ok := at[stored]; !ok {
			at[stored] = len(r.wanted)
			r.wanted = append(r.wanted, p.Stored.Columns[stored])
		}
		return at[stored]
	}
	var trees []*expr.Expr
	for _, name := range features {
		i := p.featureIndex(name)
		if i < 0 {
			return nil, fmt.Errorf("read view %s: it has no feature %s", p.View.Name, name)
		}
		if f := p.features[i]; f.stored >= 0 {
			r.outs = append(r.outs, readOut{column: want(f.stored), windowed: -1, row: true})
			continue
		} else if f.windowed >= 0 {
			w := wantWindow(f.windowed)
			r.outs = append(r.outs, readOut{column: -1, windowed: w, from: []int{w}})
			continue
		}
		tree := p.features[i].tree
		out := readOut{column: -1, windowed: -1, output: len(trees)}
		program := expr.Compile([]*expr.Expr{tree})
		out.row = program.ReadsEventTime()
		for _, slot := range program.Slots() {
			if slot < first {
				out.from = append(out.from, wantWindow(slot))
			} else {
				out.row = true
			}
		}
		out.row = out.row || len(out.from) == 0 // a constant is a fact about rows, too
		r.outs = append(r.outs, out)
		trees = append(trees, tree)
	}
	if len(trees) > 0 {
		r.program = expr.Compile(trees)
		r.machine = r.program.NewMachine()
		r.input.Columns = make([]*feature.Column, first+len(p.Stored.Columns))
		for _, slot := range r.program.Slots() {
			if slot < first {
				r.slots = append(r.slots, slotBinding{slot: slot, column: -1, windowed: windowed[slot]})
			} else {
				r.slots = append(r.slots, slotBinding{slot: slot, column: want(slot - first), windowed: -1})
			}
		}
	}
	return r, nil
}

// Windows is what has to be given the tiles that the features need before Run,
// or nil when they need none.
func (r *Reader) Windows() *WindowReader { return r.windows }

// Columns lists the stored columns to load, in the order that Run expects them
// in Loaded.Columns. It is not to be changed.
func (r *Reader) Columns() []feature.StoredColumn { return r.wanted }

// Computed reports whether the i-th feature is computed at read.
func (r *Reader) Computed(i int) bool { return r.outs[i].column < 0 && r.outs[i].windowed < 0 }

// Windowed returns which feature of Windows the i-th is; false when it is none.
func (r *Reader) Windowed(i int) (int, bool) { return r.outs[i].windowed, r.outs[i].windowed >= 0 }

// FromWindows lists the features of Windows that the i-th feature is or is
// computed from. It is not to be changed.
func (r *Reader) FromWindows(i int) []int { return r.outs[i].from }

// NeedsRow reports whether the i-th feature is made of the stored row. One that
// is made of windows alone has a value where no row is stored.
func (r *Reader) NeedsRow(i int) bool { return r.outs[i].row }

// Run computes the features for every row of l at nowMicros. l must hold
// Columns, and Windows the windows of the same rows; results are valid until
// one of them is reset or Run is called again.
func (r *Reader) Run(l *feature.Loaded, nowMicros int64) {
	r.loaded = l
	if r.program == nil {
		return
	}
	rows := len(l.Origins)
	r.input.Rows = rows
	r.input.EventMicros, r.input.NowMicros = r.input.EventMicros[:0], r.input.NowMicros[:0]
	for i := range rows {
		r.input.EventMicros = append(r.input.EventMicros, l.Origins[i].EventMicros)
		r.input.NowMicros = append(r.input.NowMicros, nowMicros)
	}
	for _, b := range r.slots {
		if b.windowed >= 0 {
			r.input.Columns[b.slot] = r.windows.Column(b.windowed)
		} else {
			r.input.Columns[b.slot] = &l.Columns[b.column]
		}
	}
	r.machine.Run(r.input)
}

// Column returns the values of the i-th feature, one per row of the Loaded.
func (r *Reader) Column(i int) *feature.Column {
	switch o := &r.outs[i]; {
	case o.windowed >= 0:
		return r.windows.Column(o.windowed)
	case o.column < 0:
		return r.machine.Out(o.output)
	default:
		return &r.loaded.Columns[o.column]
	}
}

// Failed reports whether computing the i-th feature failed on a row; its value
// is then not to be used.
func (r *Reader) Failed(i, row int) bool {
	_, failed := r.Failure(i, row)
	return failed
}

// Failure says why computing the i-th feature failed on a row, if it did.
func (r *Reader) Failure(i, row int) (message string, failed bool) {
	o := &r.outs[i]
	if o.windowed >= 0 {
		return r.windows.Failure(o.windowed, row)
	}
	for _, w := range o.from { // a value that failed is not the null that it stands as
		if _, failed := r.windows.Failure(w, row); failed {
			return "feature " + r.windows.Feature(w).Name + ", which it is computed from, failed", true
		}
	}
	if o.column >= 0 || !r.machine.AnyFailed(o.output) {
		return "", false
	}
	f, failed := r.machine.Failure(o.output, row)
	return f.Message, failed
}
