package expr

import "millrace/feature"

// list is `[a, b]`; elements widen to one type. `[]` and `[null]` are lists of
// what their surroundings want.
func (c *checker) list(n *Node, args []*Expr) *Expr {
	var elem feature.Type
	if len(args) > 0 {
		same, ok := c.unify(n.args, args, "the elements of a list are")
		if !ok {
			return nil
		}
		args, elem = same, same[0].typ
	}
	if elem.Depth >= maxListDepth {
		return c.fail(n, "", "lists nest at most %d deep", maxListDepth)
	}
	elem.Length = 0
	return apply(kernelList, feature.ListOf(elem), n, args...)
}

// maxListDepth is how deep feature.ParseType lets lists nest.
const maxListDepth = 4

// kernelList makes one list of each row's operands.
var kernelList = &kernel{name: "list", nulls: nullsOwn, run: func(c *call) {
	out, size := c.startLists(), len(c.args)
	out.Valid.Fill(c.n)
	out.Elems.Resize(c.n * size)
	for j, a := range c.args {
		for row := range c.n {
			out.Elems.CopyRow(row*size+j, a.col, row)
		}
	}
	for row := range c.n {
		out.Spans[row] = feature.Span{Start: uint32(row * size), End: uint32((row + 1) * size)}
	}
	c.spreadFailures()
}}

// startLists empties the output, which holds lists, for c.n rows.
func (c *call) startLists() *feature.Column {
	out := c.out.col
	out.Reset(out.Type)
	out.Resize(c.n)
	return out
}

// kernelFillType gives a list without a type, which holds nulls and lists of
// nulls only, the type of its output.
var kernelFillType = &kernel{name: "fill type", nulls: nullsOwn, run: func(c *call) {
	out := c.startLists()
	for row := range c.n {
		copyNulls(out, row, c.args[0].col, row)
	}
	c.spreadFailures()
}}

func copyNulls(out *feature.Column, row int, in *feature.Column, from int) {
	if in.IsNull(from) || !in.Type.IsList() {
		out.SetNull(row)
		return
	}
	start := out.Elems.Len()
	for e := in.Spans[from].Start; e < in.Spans[from].End; e++ {
		copyNulls(out.Elems, out.Elems.AppendNull(), in.Elems, int(e))
	}
	out.SetList(row, start)
}
