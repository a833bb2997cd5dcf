package expr

import "slices"

// What tools need to look at a parsed expression and to change parts of it.

// Operands lists the parts of n, in the order of the text.
func (n *Node) Operands() []*Node { return slices.Clone(n.args) }

// With returns n with another part in place of its i-th.
func (n *Node) With(i int, part *Node) *Node {
	c := *n
	c.args = slices.Clone(n.args)
	c.args[i] = part
	return &c
}

// Label says in a word what n does: "+", "and", "in", "case", "cast int32",
// "ln(", "null", "number", "text", "name" and the like.
func (n *Node) Label() string {
	switch n.kind {
	case nodeNull:
		return "null"
	case nodeBool, nodeInt, nodeFloat:
		return "number"
	case nodeString:
		return "text"
	case nodeName:
		return "name"
	case nodeUnary, nodeBinary, nodeLike:
		return n.text
	case nodeCall:
		return n.text + "("
	case nodeCase:
		return "case"
	case nodeIn:
		return "in"
	case nodeBetween:
		return "between"
	case nodeIsNull:
		return "is null"
	case nodeDistinct:
		return "is distinct from"
	case nodeCast:
		return "cast " + n.text
	case nodeInterval:
		return "interval"
	case nodeList:
		return "list"
	case nodeSubscript, nodeSlice:
		return "["
	}
	return ""
}
