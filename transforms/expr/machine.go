package expr

import "millrace/feature"

// Input is what a program runs over. The machine keeps none of it after the
// next Run; outputs may share its memory, strings above all.
type Input struct {
	Rows        int
	Columns     []*feature.Column // by slot; slots that the program does not use may be nil
	EventMicros []int64           // one per row, read by event_time()
	NowMicros   []int64           // one per row, read by now()
}

// Failure says why a value could not be computed. The message holds no values
// of the row. Offsets count in the text of the expression that contains the
// failing part, which is another feature's when features name features.
type Failure struct {
	Offset, End int
	Message     string
}

// Machine runs a Program. It owns the registers, which it reuses from run to
// run, so it belongs to one goroutine. Once it has seen its largest batch, Run
// allocates nothing.
type Machine struct {
	program   *Program
	rows      int
	registers []register // parallel to program.nodes
	calls     []call
	arena     feature.Arena
}

// register holds the values of one node: a column, and for the rows that failed
// a bit and a cause. A row that failed is null in the column.
type register struct {
	col     *feature.Column // own, or the caller's
	own     feature.Column
	failing bool           // whether failed and causes count
	failed  feature.Bitmap // as long as the batch when failing
	causes  []int32        // index in Program.causes, where failed
}

// call is one step: a kernel bound to its registers.
type call struct {
	kernel   func(c *call)
	spreads  bool // nullsSpread
	n        int  // rows
	out      *register
	args     []*register
	nullable []*register // of args, those that may have nulls: all but constants
	arena    *feature.Arena
	cause    int32 // of the kernel's first message
	set      *constSet
	mask     feature.Bitmap // scratch, one bit per row
	inner    *call          // of kernels that run another one over elements
}

// NewMachine makes a machine for one goroutine.
func (p *Program) NewMachine() *Machine {
	m := &Machine{program: p, registers: make([]register, len(p.nodes)), rows: -1}
	for i := range p.nodes {
		r := &m.registers[i]
		r.own.Reset(p.nodes[i].typ)
		r.col = &r.own
	}
	for i := range p.nodes {
		n := &p.nodes[i]
		if n.kind != exprApply {
			continue
		}
		c := call{kernel: n.kernel.run, spreads: n.kernel.nulls == nullsSpread, out: &m.registers[i], arena: &m.arena, cause: n.cause, set: n.set}
		for _, a := range n.args {
			c.args = append(c.args, &m.registers[a])
			if v := p.nodes[a].value; v == nil || v.IsNull(0) {
				c.nullable = append(c.nullable, &m.registers[a])
			}
		}
		m.calls = append(m.calls, c)
	}
	return m
}

// Run computes every output for the rows of in. A column that in lacks, or that
// has not in.Rows rows of the layout the program was compiled for, is all null.
func (m *Machine) Run(in Input) {
	m.arena.Reset()
	if in.Rows != m.rows {
		m.resize(max(in.Rows, 0))
	}
	for _, i := range m.program.inputs {
		m.load(i, &in)
	}
	for i := range m.calls {
		c := &m.calls[i]
		c.out.failing = false
		if c.spreads {
			c.spread()
		}
		c.kernel(c)
	}
}

func (m *Machine) resize(rows int) {
	m.rows = rows
	for i := range m.program.nodes {
		n, r := &m.program.nodes[i], &m.registers[i]
		have := r.own.Len()
		if n.kind == exprColumn && have == 0 {
			continue // load resizes it in the rare case that it is needed
		}
		if have == 0 {
			r.own.Reset(n.typ) // a list drops its elements
		}
		r.own.Resize(rows)
		if n.kind == exprConst {
			for row := have; row < rows; row++ {
				fillConstant(&r.own, n.value, row)
			}
		}
	}
	for i := range m.calls {
		m.calls[i].n = rows
	}
}

// fillConstant sets one row of a constant. Lists share one copy of the elements.
func fillConstant(c, value *feature.Column, row int) {
	if row > 0 && c.Type.IsList() && !c.IsNull(0) {
		c.Spans[row] = c.Spans[0]
		c.Valid.Set(row)
		return
	}
	c.CopyRow(row, value, 0)
}

func (m *Machine) load(i int, in *Input) {
	n, r := &m.program.nodes[i], &m.registers[i]
	switch n.kind {
	case exprEventTime:
		loadTimes(&r.own, in.EventMicros)
	case exprNow:
		loadTimes(&r.own, in.NowMicros)
	case exprColumn:
		if n.slot >= 0 && n.slot < len(in.Columns) {
			if c := in.Columns[n.slot]; c != nil && c.Len() == m.rows && (c.Type == n.typ || sameLayout(c.Type, n.typ)) {
				r.col = c
				return
			}
		}
		r.col = &r.own
		r.own.Reset(n.typ)
		r.own.Resize(m.rows)
	case exprConst, exprApply:
	}
}

// sameLayout reports whether columns of both types keep their values in the same
// slices, those of elements too.
func sameLayout(t, u feature.Type) bool {
	return t.Depth == u.Depth && feature.Of(t.Kind).Layout() == feature.Of(u.Kind).Layout()
}

func loadTimes(c *feature.Column, micros []int64) {
	n := copy(c.Ints, micros)
	if n == c.Len() {
		c.Valid.Fill(n)
		return
	}
	c.Valid = c.Valid.Resize(n)
	c.Valid.Fill(n)
	c.Valid = c.Valid.Resize(c.Len())
}

// Out returns the i-th output, valid until the next Run. Rows that failed are
// null in it. It may be one of the input's columns, and must not be changed.
func (m *Machine) Out(i int) *feature.Column { return m.registers[m.program.outs[i]].col }

// AnyFailed reports whether output i failed on any row.
func (m *Machine) AnyFailed(i int) bool { return m.registers[m.program.outs[i]].failing }

// Failure reports whether output i failed on row and why.
func (m *Machine) Failure(i, row int) (Failure, bool) {
	r := &m.registers[m.program.outs[i]]
	if !r.failing || row < 0 || row >= m.rows || !r.failed.Get(row) {
		return Failure{}, false
	}
	return m.program.causes[r.causes[row]], true
}

// spread makes the output null where any operand is null and failed where any
// operand failed; the first operand that failed names the cause.
func (c *call) spread() {
	valid := c.out.col.Valid
	if len(c.nullable) == 0 {
		valid.Fill(c.n)
		return
	}
	if len(valid) == 1 { // a read's few rows
		bits, failing := ^uint64(0), false
		for _, r := range c.nullable {
			bits &= r.col.Valid[0]
			failing = failing || r.failing
		}
		valid[0] = bits
		if failing {
			c.spreadFailures()
		}
		return
	}
	copy(valid, c.nullable[0].col.Valid)
	for _, r := range c.nullable[1:] {
		for w, bits := range r.col.Valid[:len(valid)] {
			valid[w] &= bits
		}
	}
	c.spreadFailures()
}

// spreadFailures makes the rows fail on which an operand failed.
func (c *call) spreadFailures() {
	for _, r := range c.args {
		if r.failing {
			c.takeFailures(r, r.failed, false)
		}
	}
}

// takeFailures makes the rows of mask fail for r's causes. Rows that failed
// before keep their cause unless replace is set.
func (c *call) takeFailures(r *register, mask feature.Bitmap, replace bool) {
	c.startFailing()
	for w := range mask {
		bits := mask[w] & r.failed[w]
		if !replace {
			bits &^= c.out.failed[w]
		}
		c.out.failed[w] |= bits
		c.out.col.Valid[w] &^= bits
		for row := range eachBit(bits, w) {
			c.out.causes[row] = r.causes[row]
		}
	}
}

// fail makes one row fail for the kernel's message of that index.
func (c *call) fail(row, message int) {
	c.startFailing()
	c.out.failed.Set(row)
	c.out.causes[row] = c.cause + int32(message)
	c.out.col.Valid.Clear(row)
}

func (c *call) startFailing() {
	r := c.out
	if r.failing {
		return
	}
	r.failing = true
	r.failed = r.failed.Resize(0).Resize(c.n)
	for len(r.causes) < c.n {
		r.causes = append(r.causes, 0)
	}
}
