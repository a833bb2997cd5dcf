package expr

import (
	"millrace/feature"
)

// bracket is what is written in brackets: a list, an element, a slice.
func (c *checker) bracket(n *Node, args []*Expr) *Expr {
	switch n.kind { //nolint:exhaustive // the rest has no brackets
	case nodeSubscript:
		return c.subscript(n, args)
	case nodeSlice:
		return c.slice(n, args)
	}
	return c.list(n, args)
}

// wantList reports an argument that is no list.
func (c *checker) wantList(n *Node, e *Expr, whose string) bool {
	if e.typ.IsList() || e.untyped() {
		return true
	}
	hint := ""
	if e.is(feature.KindJSON) {
		hint = "name its elements' type: cast(" + shortText(n) + " as list<float64>)"
	}
	c.fail(n, hint, "%s is %s, not a list", whose, e.typ)
	return false
}

// listArgs holds calls of functions of count arguments, the first a list.
func (c *checker) listArgs(n *Node, args []*Expr, count int, usage string) bool {
	if len(args) != count {
		c.fail(n, "write "+usage, "%s does not take %s", n.text, countOf(len(args)))
		return false
	}
	return c.wantList(n.args[0], args[0], "the argument of "+usage)
}

// elem is the type of the elements of e, the zero Type for a bare null.
func elem(e *Expr) feature.Type {
	if e.typ.IsList() {
		return e.typ.Elem()
	}
	return feature.Type{}
}

// unifyWithElements widens the elements of list and x, which stands at n, to one
// type.
func (c *checker) unifyWithElements(n *Node, list, x *Expr) (*Expr, *Expr, bool) {
	t, ok := common(elem(list), x.typ)
	if !ok {
		hint := ""
		if Cast(x, elem(list)) != nil {
			hint = castHint(n, elem(list))
		}
		c.fail(n, hint, "the elements are %s, this is %s", elem(list), x.typ)
		return nil, nil, false
	}
	return cast(list, feature.ListOf(t), false, n), cast(x, t, false, n), true
}

// subscript is x[i], of lists and text.
func (c *checker) subscript(n *Node, args []*Expr) *Expr {
	x, i := args[0], args[1]
	if i = c.want(n.args[1], i, feature.Of(feature.KindInt64), "the index"); i == nil {
		return nil
	}
	switch {
	case x.typ.IsList():
		if elem(x) == (feature.Type{}) {
			return nullOf(elem(x))
		}
		return apply(kernelListExtract, elem(x), n, x, i)
	case x.is(feature.KindString), x.untyped():
		text := feature.Of(feature.KindString)
		return apply(kernelSubstring, text, n, cast(x, text, false, n), i, constInt(feature.KindInt64, 1))
	}
	return c.noElements(n.args[0], x)
}

// noElements explains why x, which stands at n, has no subscript.
func (c *checker) noElements(n *Node, x *Expr) *Expr {
	hint := ""
	if x.is(feature.KindJSON) {
		hint = "write " + operandText(n) + " -> 0, which counts from 0"
	}
	return c.fail(n, hint, "only lists and strings have elements, %s is %s", shortText(n), x.typ)
}

func operandText(n *Node) string {
	var b printer
	n.operand(&b)
	if b.text.Len() > maxQuoted {
		return "…"
	}
	return b.String()
}

func (c *checker) listExtract(n *Node, args []*Expr) *Expr {
	if len(args) != 2 {
		return c.fail(n, "write list_extract(list, i)", "%s does not take %s", n.text, countOf(len(args)))
	}
	return c.subscript(n, args)
}

// slice is x[first:last], of lists and text.
func (c *checker) slice(n *Node, args []*Expr) *Expr {
	x, whole := args[0], feature.Of(feature.KindInt64)
	first := c.want(n.args[1], args[1], whole, "the first index of the slice")
	last := c.want(n.args[2], args[2], whole, "the last index of the slice")
	switch {
	case first == nil || last == nil:
		return nil
	case x.untyped():
		return x
	case x.is(feature.KindString):
		return apply(kernelTextSlice, x.typ, n, x, first, last)
	case x.typ.IsList():
		return apply(kernelListSlice, feature.ListOf(elem(x)), n, x, first, last)
	}
	return c.noElements(n.args[0], x)
}

func (c *checker) listSlice(n *Node, args []*Expr) *Expr {
	if len(args) != 3 {
		return c.fail(n, "write list_slice(list, first, last)", "%s does not take %s", n.text, countOf(len(args)))
	}
	return c.slice(n, args)
}

func (c *checker) listContains(n *Node, args []*Expr) *Expr {
	return c.search(n, args, "list_contains(list, x)", kernelListContains, feature.Of(feature.KindBool))
}

func (c *checker) listPosition(n *Node, args []*Expr) *Expr {
	return c.search(n, args, "list_position(list, x)", kernelListPosition, feature.Of(feature.KindInt32))
}

func (c *checker) search(n *Node, args []*Expr, usage string, k *kernel, out feature.Type) *Expr {
	if !c.listArgs(n, args, 2, usage) || !c.comparable(n, args...) {
		return nil
	}
	list, x, ok := c.unifyWithElements(n.args[1], args[0], args[1])
	switch {
	case !ok:
		return nil
	case x.typ == feature.Type{}:
		list, x = cast(list, feature.ListOf(out), false, n), nullOf(out) // nulls of any type do
	}
	return apply(k, out, n, list, x)
}

// lengthOf is len, of text and lists.
func (c *checker) lengthOf(n *Node, args []*Expr) *Expr {
	if len(args) == 1 && args[0].typ.IsList() {
		return apply(kernelListLength, feature.Of(feature.KindInt64), n, args[0])
	}
	return c.choose(n, textLength, args)
}

func (c *checker) arrayLength(n *Node, args []*Expr) *Expr {
	if !c.listArgs(n, args, 1, "array_length(list)") {
		return nil
	}
	if args[0].untyped() {
		return nullOf(feature.Of(feature.KindInt64))
	}
	return c.lengthOf(n, args)
}

// containsIn is contains, of text and lists.
func (c *checker) containsIn(n *Node, args []*Expr) *Expr {
	if len(args) == 2 && args[0].typ.IsList() {
		return c.listContains(n, args)
	}
	return c.choose(n, textContains, args)
}

func (c *checker) listConcat(n *Node, args []*Expr) *Expr {
	if !c.atLeast(n, args, 1, "list_concat(list, list)") {
		return nil
	}
	for i, e := range args {
		if !c.wantList(n.args[i], e, "the argument of "+n.text) {
			return nil
		}
	}
	return c.joinLists(n, args, kernelListConcat)
}

// joinLists is || and list_concat of lists, which differ in what null is.
func (c *checker) joinLists(n *Node, args []*Expr, k *kernel) *Expr {
	same, ok := c.unify(n.args, args, "cannot join")
	if !ok {
		return nil
	}
	if same[0].untyped() {
		return same[0]
	}
	t := same[0].typ
	t.Length = 0
	return apply(k, t, n, same...)
}

func (c *checker) listAppend(n *Node, args []*Expr) *Expr {
	if !c.listArgs(n, args, 2, "list_append(list, x)") {
		return nil
	}
	list, x, ok := c.unifyWithElements(n.args[1], args[0], args[1])
	if !ok || !c.shallow(n, x) {
		return nil
	}
	return apply(kernelListConcat, feature.ListOf(x.typ), n, list, apply(kernelList, feature.ListOf(x.typ), n, x))
}

func (c *checker) listPrepend(n *Node, args []*Expr) *Expr {
	if len(args) != 2 {
		return c.fail(n, "write list_prepend(x, list)", "%s does not take %s", n.text, countOf(len(args)))
	}
	if !c.wantList(n.args[1], args[1], "the second argument of list_prepend(x, list)") {
		return nil
	}
	list, x, ok := c.unifyWithElements(n.args[0], args[1], args[0])
	if !ok || !c.shallow(n, x) {
		return nil
	}
	return apply(kernelListConcat, feature.ListOf(x.typ), n, apply(kernelList, feature.ListOf(x.typ), n, x), list)
}

// shallow reports values that lists cannot hold.
func (c *checker) shallow(n *Node, x *Expr) bool {
	if x.typ.Depth >= maxListDepth {
		c.fail(n, "", "lists nest at most %d deep", maxListDepth)
		return false
	}
	return true
}

// numbers returns the list argument of a call as a list of int64 or float64.
func (c *checker) numbers(n *Node, args []*Expr) *Expr {
	if !c.listArgs(n, args, 1, n.text+"(list)") {
		return nil
	}
	wide := feature.Of(feature.KindFloat64)
	switch t := elem(args[0]); {
	case t == feature.Type{}, t == feature.Of(feature.KindInt32), t == feature.Of(feature.KindInt64):
		wide = feature.Of(feature.KindInt64)
	case !isNumeric(t):
		hint := ""
		if to := feature.ListOf(wide); Cast(args[0], to) != nil {
			hint = castHint(n.args[0], to)
		}
		return c.fail(n.args[0], hint, "%s needs numbers, the elements are %s", n.text, t)
	}
	return cast(args[0], feature.ListOf(wide), false, n)
}

func (c *checker) listSum(n *Node, args []*Expr) *Expr {
	list := c.numbers(n, args)
	if list == nil {
		return nil
	}
	if elem(list).Kind == feature.KindInt64 {
		return apply(kernelListSumInts, elem(list), n, list)
	}
	return apply(kernelListSumFloats, elem(list), n, list)
}

func (c *checker) listAvg(n *Node, args []*Expr) *Expr {
	list := c.numbers(n, args)
	if list == nil {
		return nil
	}
	if elem(list).Kind == feature.KindInt64 {
		return apply(kernelListAvgInts, feature.Of(feature.KindFloat64), n, list)
	}
	return apply(kernelListAvgFloats, elem(list), n, list)
}

func (c *checker) listExtreme(n *Node, args []*Expr, least bool) *Expr {
	if !c.listArgs(n, args, 1, n.text+"(list)") || !c.comparable(n, args...) {
		return nil
	}
	switch t := elem(args[0]); {
	case t == feature.Type{}:
		return nullOf(t)
	case least:
		return apply(kernelListMin, t, n, args[0])
	default:
		return apply(kernelListMax, t, n, args[0])
	}
}

// vectors builds what takes two lists of numbers. It is float32 when that is
// what the elements widen to, and float64 otherwise, for integers too.
func (c *checker) vectors(n *Node, args []*Expr, usage string, narrow, wide *kernel) *Expr {
	if !c.listArgs(n, args, 2, usage) || !c.wantList(n.args[1], args[1], "the argument of "+usage) {
		return nil
	}
	for i, e := range args {
		if t := elem(e); t != (feature.Type{}) && !isNumeric(t) {
			return c.fail(n.args[i], "", "%s needs numbers, the elements are %s", n.text, t)
		}
	}
	k, t := wide, feature.Of(feature.KindFloat64)
	if wider, _ := common(elem(args[0]), elem(args[1])); wider.Kind == feature.KindFloat32 {
		k, t = narrow, wider
	}
	list := feature.ListOf(t)
	return apply(k, t, n, cast(args[0], list, false, n), cast(args[1], list, false, n))
}
