package expr

import "millrace/feature"

// What needs more than a table of overloads: forms that unify their operands,
// and calls.

func (c *checker) caseOf(n *Node, args []*Expr) *Expr {
	nodes := n.args
	var operand *Expr
	var operandNode *Node
	if n.hasOperand {
		operand, operandNode, args, nodes = args[0], nodes[0], args[1:], nodes[1:]
	}
	var conditions, values []*Expr
	var valueNodes []*Node
	ok := true
	for ; len(args) > 1; args, nodes = args[2:], nodes[2:] {
		var when *Expr
		if operand != nil {
			when = c.compare(nodes[0], operandNode, nodes[0], operand, args[0], compareEqual)
		} else {
			when = c.wantBool(nodes[0], args[0], "the condition after when")
		}
		ok = ok && when != nil
		conditions, values, valueNodes = append(conditions, when), append(values, args[1]), append(valueNodes, nodes[1])
	}
	if n.hasElse {
		values, valueNodes = append(values, args[0]), append(valueNodes, nodes[0])
	}
	values, same := c.unify(valueNodes, values, "the branches of case are")
	if !ok || !same {
		return nil
	}
	return caseExpr(n, conditions, values)
}

func caseExpr(n *Node, conditions, values []*Expr) *Expr {
	t := values[0].typ
	operands := make([]*Expr, 0, 2*len(conditions)+1)
	for i, when := range conditions {
		operands = append(operands, when, values[i])
	}
	if len(values) > len(conditions) {
		operands = append(operands, values[len(conditions)])
	} else {
		operands = append(operands, nullOf(t))
	}
	return apply(kernelCase, t, n, operands...)
}

// in is a search in a set for the constants of the list and a chain of
// comparisons for the rest.
func (c *checker) in(n *Node, args []*Expr) *Expr {
	for i := range args[1:] {
		literal, ok := c.timeLiteral(n.args[i+1], args[i+1], args[0])
		if !ok {
			return nil
		}
		args[i+1] = literal
	}
	if !c.comparable(n, args...) {
		return nil
	}
	all, ok := c.unify(n.args, args, "cannot compare")
	if !ok {
		return nil
	}
	bools := feature.Of(feature.KindBool)
	x := all[0]
	if x.untyped() {
		return nullOf(bools)
	}
	var constants []*feature.Column
	var result *Expr
	for _, e := range all[1:] {
		if v := constantValue(e); v != nil && !x.typ.IsList() {
			constants = append(constants, v)
			continue
		}
		result = either(n, result, apply(compareKernel(compareEqual, x.typ.Layout()), bools, n, x, e))
	}
	if len(constants) > 0 {
		found := apply(kernelIn, bools, n, x)
		found.set = newConstSet(constants)
		result = either(n, found, result)
	}
	return result
}

// either is `a or b`; one of them may be missing.
func either(n *Node, a, b *Expr) *Expr {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	return apply(kernelOr, a.typ, n, a, b)
}

// constantValue computes e now; nil when it has columns or fails.
func constantValue(e *Expr) *feature.Column {
	p := Compile([]*Expr{e})
	if n := p.nodes[p.outs[0]]; n.kind == exprConst {
		return n.value
	}
	return nil
}

func (c *checker) lookup(n *Node) (function, bool) {
	name := n.text
	if other, ok := aliases[name]; ok {
		name = other
	}
	f, ok := functions[name]
	if !ok {
		c.fail(n, didYouMean(n.text, functionNames(), "functions are listed in docs/expressions.md"), "unknown function %s", n.text)
	}
	return f, ok
}

func (c *checker) call(n *Node, args []*Expr) *Expr {
	f, ok := c.lookup(n)
	if !ok {
		return nil
	}
	if f.build != nil {
		return f.build(c, n, args)
	}
	return c.choose(n, f, args)
}

// choose takes the overload that costs the least widening, of equals the first.
func (c *checker) choose(n *Node, f function, args []*Expr) *Expr {
	best, bestCost := -1, 0
	for i, o := range f.overloads {
		if cost, ok := o.cost(args); ok && (best < 0 || cost < bestCost) {
			best, bestCost = i, cost
		}
	}
	if best < 0 {
		return c.noOverload(n, f, args)
	}
	o := f.overloads[best]
	operands := make([]*Expr, len(args))
	for i, e := range args {
		operands[i] = cast(e, feature.Of(o.in[i]), false, n)
	}
	if o.kernel == nil {
		return operands[0]
	}
	return apply(o.kernel, feature.Of(o.out), n, operands...)
}

func (o *overload) cost(args []*Expr) (int, bool) {
	if len(args) != len(o.in) {
		return 0, false
	}
	sum := 0
	for i, e := range args {
		cost, ok := widenCost(e.typ, feature.Of(o.in[i]))
		if !ok {
			return 0, false
		}
		sum += cost
	}
	return sum, true
}

// noOverload explains by the overload that fits most operands, of equals the
// last, which is the widest.
func (c *checker) noOverload(n *Node, f function, args []*Expr) *Expr {
	best, bestWrong, bestCount := -1, 0, 0
	for i, o := range f.overloads {
		if len(o.in) != len(args) {
			continue
		}
		wrong, count := -1, 0
		for j, e := range args {
			if _, ok := widenCost(e.typ, feature.Of(o.in[j])); !ok {
				count++
				if wrong < 0 {
					wrong = j
				}
			}
		}
		if best < 0 || count <= bestCount {
			best, bestWrong, bestCount = i, wrong, count
		}
	}
	if best < 0 {
		return c.fail(n, "write "+f.usage, "%s does not take %s", n.text, countOf(len(args)))
	}
	return c.want(n.args[bestWrong], args[bestWrong], feature.Of(f.overloads[best].in[bestWrong]), "the argument of "+f.usage)
}

func countOf(n int) string {
	switch n {
	case 0:
		return "no arguments"
	case 1:
		return "one argument"
	}
	return "so many arguments"
}

func (c *checker) atLeast(n *Node, args []*Expr, least int, usage string) bool {
	if len(args) < least {
		c.fail(n, "write "+usage, "%s does not take %s", n.text, countOf(len(args)))
		return false
	}
	return true
}

func (c *checker) extreme(n *Node, args []*Expr, least bool) *Expr {
	if !c.atLeast(n, args, 1, n.text+"(x, y)") {
		return nil
	}
	if !c.comparable(n, args...) {
		return nil
	}
	same, ok := c.unify(n.args, args, "cannot compare")
	if !ok {
		return nil
	}
	t := same[0].typ
	if t == (feature.Type{}) {
		return same[0]
	}
	return apply(extremeKernel(least), t, n, same...)
}

func (c *checker) coalesce(n *Node, args []*Expr) *Expr {
	if !c.atLeast(n, args, 1, "coalesce(x, y)") {
		return nil
	}
	same, ok := c.unify(n.args, args, "the arguments of coalesce are")
	if !ok {
		return nil
	}
	return apply(kernelCoalesce, same[0].typ, n, same...)
}

func (c *checker) nullif(n *Node, args []*Expr) *Expr {
	if len(args) != 2 {
		return c.fail(n, "write nullif(x, y)", "nullif takes two arguments")
	}
	equal := c.compare(n, n.args[0], n.args[1], args[0], args[1], compareEqual)
	if equal == nil {
		return nil
	}
	return apply(kernelNullif, args[0].typ, n, args[0], equal)
}

// texts casts every argument to text, as concat does.
func (c *checker) texts(n *Node, args []*Expr) ([]*Expr, bool) {
	ok := true
	for i, e := range args {
		if args[i] = cast(e, feature.Of(feature.KindString), false, n); args[i] == nil {
			c.fail(n.args[i], "", "%s cannot be made text", e.typ)
			ok = false
		}
	}
	return args, ok
}

func (c *checker) concat(n *Node, args []*Expr) *Expr {
	if !c.atLeast(n, args, 1, "concat(x, y)") {
		return nil
	}
	for _, e := range args {
		if e.typ.IsList() {
			return c.listConcat(n, args)
		}
	}
	texts, ok := c.texts(n, args)
	if !ok {
		return nil
	}
	return apply(kernelConcat, feature.Of(feature.KindString), n, texts...)
}

func (c *checker) concatWS(n *Node, args []*Expr) *Expr {
	if !c.atLeast(n, args, 2, "concat_ws(',', x, y)") {
		return nil
	}
	texts, ok := c.texts(n, args)
	if !ok {
		return nil
	}
	return apply(kernelConcatWS, feature.Of(feature.KindString), n, texts...)
}

func (c *checker) clock(n *Node, args []*Expr, leaf *Expr) *Expr {
	if len(args) > 0 {
		return c.fail(n, "write "+n.text+"()", "%s takes no arguments", n.text)
	}
	return leaf
}
