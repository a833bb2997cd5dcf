package expr

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"millrace/feature"
)

// Program computes a list of expressions. It is immutable and may be shared;
// NewMachine makes what belongs to one goroutine.
//
// Invariant: nodes stand after their operands, and no two nodes compute the
// same value, whatever expressions they came from.
type Program struct {
	nodes  []node
	outs   []int // node of each output
	inputs []int // nodes that Run loads
	slots  []int
	causes []Failure
}

// node is a step of a program or one of its sources.
type node struct {
	kind   exprKind
	typ    feature.Type
	slot   int
	value  *feature.Column
	kernel *kernel
	set    *constSet
	args   []int
	cause  int32
}

// Compile makes the program that computes outs, in that order. Parts that
// several of them share are computed once, and parts without columns now.
func Compile(outs []*Expr) *Program {
	c := &compiler{program: new(Program), byExpr: make(map[*Expr]int), byKey: make(map[string]int)}
	for _, e := range outs {
		c.program.outs = append(c.program.outs, c.add(e))
	}
	c.program.sweep()
	return c.program
}

// Slots returns the slots of the columns that the program reads, in order of
// first use.
func (p *Program) Slots() []int { return append([]int(nil), p.slots...) }

// ReadsEventTime reports whether a run reads Input.EventMicros.
func (p *Program) ReadsEventTime() bool {
	return slices.ContainsFunc(p.nodes, func(n node) bool { return n.kind == exprEventTime })
}

// Steps returns how many kernels a run calls: parts that are shared count
// once, and columns and constants do not count.
func (p *Program) Steps() int {
	n := 0
	for i := range p.nodes {
		if p.nodes[i].kind == exprApply {
			n++
		}
	}
	return n
}

// compiler numbers expressions so that equal ones have equal numbers.
type compiler struct {
	program *Program
	byExpr  map[*Expr]int
	byKey   map[string]int
}

func (c *compiler) add(e *Expr) int {
	if i, ok := c.byExpr[e]; ok {
		return i
	}
	n := node{kind: e.kind, typ: e.typ, slot: e.slot, value: e.value, kernel: e.kernel, set: e.set}
	constants := e.kind == exprApply
	for _, a := range e.args {
		i := c.add(a)
		n.args = append(n.args, i)
		constants = constants && c.program.nodes[i].kind == exprConst
	}
	if constants {
		if value := c.fold(n); value != nil {
			n = node{kind: exprConst, typ: e.typ, value: value}
		}
	}
	i := c.intern(n, e.at)
	c.byExpr[e] = i
	return i
}

func (c *compiler) intern(n node, at *Node) int {
	key := n.key()
	if i, ok := c.byKey[key]; ok {
		return i
	}
	p := c.program
	if n.kind == exprApply {
		n.cause = int32(len(p.causes))
		for _, why := range n.kernel.why {
			p.causes = append(p.causes, failureAt(at, why))
		}
	}
	p.nodes = append(p.nodes, n)
	c.byKey[key] = len(p.nodes) - 1
	return len(p.nodes) - 1
}

// fold computes a node whose operands are constants; nil when it fails, which
// it then does on every row.
func (c *compiler) fold(n node) *feature.Column {
	single := &Program{causes: make([]Failure, len(n.kernel.why))}
	last := node{kind: exprApply, typ: n.typ, kernel: n.kernel, set: n.set}
	for _, a := range n.args {
		last.args = append(last.args, len(single.nodes))
		single.nodes = append(single.nodes, c.program.nodes[a])
	}
	single.outs = []int{len(single.nodes)}
	single.nodes = append(single.nodes, last)
	m := single.NewMachine()
	m.Run(Input{Rows: 1})
	if m.AnyFailed(0) {
		return nil
	}
	return m.Out(0)
}

// sweep drops the nodes that folding left without use and lists the inputs.
func (p *Program) sweep() {
	used := make([]bool, len(p.nodes))
	for _, i := range p.outs {
		used[i] = true
	}
	for i, v := range slices.Backward(p.nodes) {
		for _, a := range v.args {
			used[a] = used[a] || used[i]
		}
	}
	to, kept := make([]int, len(p.nodes)), p.nodes[:0]
	for i, n := range p.nodes {
		if !used[i] {
			continue
		}
		to[i] = len(kept)
		for j, a := range n.args {
			n.args[j] = to[a]
		}
		kept = append(kept, n)
	}
	p.nodes = kept
	for j, i := range p.outs {
		p.outs[j] = to[i]
	}
	for i, n := range p.nodes {
		if n.kind == exprApply || n.kind == exprConst {
			continue
		}
		p.inputs = append(p.inputs, i)
		if n.kind == exprColumn {
			p.slots = append(p.slots, n.slot)
		}
	}
}

// key is equal for nodes that compute the same value.
func (n *node) key() string {
	b := []byte{byte('a' + n.kind)}
	b = append(b, n.typ.String()...)
	b = strconv.AppendUint(append(b, '#'), uint64(n.typ.Length), 10)
	switch n.kind {
	case exprColumn:
		b = strconv.AppendInt(append(b, '@'), int64(n.slot), 10)
	case exprConst:
		b = appendValueKey(b, n.value, 0)
	case exprApply:
		b = append(append(b, ' '), n.kernel.name...)
		for _, a := range n.args {
			b = strconv.AppendInt(append(b, ' '), int64(a), 10)
		}
		if n.set != nil {
			b = append(append(b, ' '), n.set.key...)
		}
	case exprEventTime, exprNow:
	}
	return string(b)
}

// appendValueKey appends text that is equal for identical values; zeros of
// different sign are not identical.
func appendValueKey(b []byte, c *feature.Column, row int) []byte {
	if c.IsNull(row) {
		return append(b, '~')
	}
	b = append(b, '=')
	switch c.Type.Layout() {
	case feature.LayoutBool:
		return strconv.AppendBool(b, c.Bools[row])
	case feature.LayoutInt:
		return strconv.AppendInt(b, c.Ints[row], 10)
	case feature.LayoutFloat:
		return strconv.AppendUint(b, math.Float64bits(c.Floats[row]), 16)
	case feature.LayoutString:
		return strconv.AppendQuote(b, c.Strings[row])
	case feature.LayoutList:
		for e := c.Spans[row].Start; e < c.Spans[row].End; e++ {
			b = appendValueKey(b, c.Elems, int(e))
		}
		return append(b, ';')
	case feature.LayoutNone:
	}
	return b
}

// maxQuoted bounds how much of an expression a failure message repeats.
const maxQuoted = 80

func failureAt(at *Node, why string) Failure {
	if at == nil {
		return Failure{Message: why}
	}
	text := at.String()
	if len(text) > maxQuoted {
		cut := maxQuoted
		for !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = strings.TrimSpace(text[:cut]) + "…"
	}
	return Failure{Offset: at.off, End: at.end, Message: why + " in " + text}
}
