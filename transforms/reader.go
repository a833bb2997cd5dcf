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
}

// slotBinding says which loaded column a slot of the program reads.
type slotBinding struct{ slot, column int }

// readOut says where the value of a requested feature is found.
type readOut struct {
	column int // index in wanted, or -1
	output int // of the program, when column is -1
}

// NewReader makes a Reader for features, each a name of one of the view's
// features, in the order in which results are asked for.
func (p *Plan) NewReader(features []string) (*Reader, error) {
	r := &Reader{}
	at := make(map[int]int) // stored column -> index in wanted
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
			r.outs = append(r.outs, readOut{column: want(f.stored)})
			continue
		}
		r.outs = append(r.outs, readOut{column: -1, output: len(trees)})
		trees = append(trees, p.features[i].tree)
	}
	if len(trees) > 0 {
		r.program = expr.Compile(trees)
		r.machine = r.program.NewMachine()
		r.input.Columns = make([]*feature.Column, len(p.Stored.Columns))
		for _, slot := range r.program.Slots() {
			want(slot)
		}
	}
	r.bind(at)
	return r, nil
}

// bind remembers which loaded column each slot of the program reads.
func (r *Reader) bind(at map[int]int) {
	r.slots = make([]slotBinding, 0, len(at))
	if r.program == nil {
		return
	}
	for _, slot := range r.program.Slots() {
		r.slots = append(r.slots, slotBinding{slot: slot, column: at[slot]})
	}
}

// Columns lists the stored columns to load, in the order that Run expects them
// in Loaded.Columns. It is not to be changed.
func (r *Reader) Columns() []feature.StoredColumn { return r.wanted }

// Computed reports whether the i-th feature is computed at read.
func (r *Reader) Computed(i int) bool { return r.outs[i].column < 0 }

// Run computes the features for every row of l at nowMicros. l must hold
// Columns; results are valid until l is reset or Run is called again.
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
		r.input.Columns[b.slot] = &l.Columns[b.column]
	}
	r.machine.Run(r.input)
}

// Column returns the values of the i-th feature, one per row of the Loaded.
func (r *Reader) Column(i int) *feature.Column {
	if o := r.outs[i]; o.column < 0 {
		return r.machine.Out(o.output)
	}
	return &r.loaded.Columns[r.outs[i].column]
}

// Failed reports whether computing the i-th feature failed on a row; its value
// is then not to be used.
func (r *Reader) Failed(i, row int) bool {
	_, failed := r.Failure(i, row)
	return failed
}

// Failure says why computing the i-th feature failed on a row, if it did.
func (r *Reader) Failure(i, row int) (message string, failed bool) {
	o := r.outs[i]
	if o.column >= 0 || !r.machine.AnyFailed(o.output) {
		return "", false
	}
	f, failed := r.machine.Failure(o.output, row)
	return f.Message, failed
}
