package transforms

import (
	"fmt"
	"slices"

	"millrace/feature"
	"millrace/transforms/expr"
)

// OnDemandReader computes some features of an on-demand view for the rows of a
// request. It belongs to one goroutine; a pool of them serves concurrent reads.
type OnDemandReader struct {
	inputs  []OnDemandInput
	of      [][]int // per feature, indices in inputs of what it is computed from
	program *expr.Program
	machine *expr.Machine
	input   expr.Input
	slots   []int // of inputs
}

// NewReader makes an OnDemandReader for features, each a name of one of the
// view's features, in the order in which results are asked for.
func (p *OnDemandPlan) NewReader(features []string) (*OnDemandReader, error) {
	r := &OnDemandReader{of: make([][]int, len(features))}
	trees := make([]*expr.Expr, len(features))
	for i, name := range features {
		at := indexOf(p.View.Features, name)
		if at < 0 {
			return nil, fmt.Errorf("read on-demand view %s: it has no feature %s", p.View.Name, name)
		}
		trees[i] = p.trees[at]
	}
	r.program = expr.Compile(trees)
	r.machine = r.program.NewMachine()
	r.slots = r.program.Slots()
	for _, slot := range r.slots {
		r.inputs = append(r.inputs, p.Inputs[slot])
	}
	for i, tree := range trees {
		for _, slot := range expr.Compile([]*expr.Expr{tree}).Slots() {
			r.of[i] = append(r.of[i], slices.Index(r.slots, slot))
		}
	}
	r.input.Columns = make([]*feature.Column, len(p.Inputs))
	return r, nil
}

// Inputs lists what to give to Run, in order. It is not to be changed.
func (r *OnDemandReader) Inputs() []OnDemandInput { return r.inputs }

// InputsOf lists what the i-th feature is computed from, as indices of Inputs.
// It is not to be changed.
func (r *OnDemandReader) InputsOf(i int) []int { return r.of[i] }

// Run computes the features at nowMicros over columns, which are parallel to
// Inputs and have that many rows. Results are valid until the columns change or Run is
// called again.
func (r *OnDemandReader) Run(columns []*feature.Column, rows int, nowMicros int64) {
	r.input.Rows = rows
	r.input.NowMicros = r.input.NowMicros[:0]
	for range rows {
		r.input.NowMicros = append(r.input.NowMicros, nowMicros)
	}
	for i, slot := range r.slots {
		r.input.Columns[slot] = columns[i]
	}
	r.machine.Run(r.input)
}

// Column returns the values of the i-th feature, one per row.
func (r *OnDemandReader) Column(i int) *feature.Column { return r.machine.Out(i) }

// Failed reports whether computing the i-th feature failed on a row; its value
// is then null.
func (r *OnDemandReader) Failed(i, row int) bool {
	_, failed := r.Failure(i, row)
	return failed
}

// Failure says why computing the i-th feature failed on a row, if it did.
func (r *OnDemandReader) Failure(i, row int) (message string, failed bool) {
	if !r.machine.AnyFailed(i) {
		return "", false
	}
	f, failed := r.machine.Failure(i, row)
	return f.Message, failed
}
