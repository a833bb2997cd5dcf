package expr

import (
	"slices"
	"strings"
)

type nodeKind uint8

const (
	nodeNull nodeKind = iota
	nodeBool
	nodeInt
	nodeFloat
	nodeString
	nodeName      // a column or feature, dots included
	nodeUnary     // text is "-", "+" or "not"
	nodeBinary    // text is the operator
	nodeCall      // text is the function's name in lower case
	nodeCase      // [operand,] when, then, …, [else]
	nodeIn        // operand, then the list
	nodeBetween   // operand, low, high
	nodeIsNull    // operand
	nodeDistinct  // left, right
	nodeLike      // operand, pattern; text is "like" or "ilike"
	nodeCast      // operand; text is the type's name; try for try_cast
	nodeList      // the elements
	nodeSubscript // operand, index
	nodeSlice     // operand, first, last
	nodeInterval  // a number; text is the unit, or with none the operand is text that has them
)

// Node is a parsed expression whose names have not been resolved. It is
// immutable and may be shared.
type Node struct {
	kind       nodeKind
	text       string
	args       []*Node
	off, end   int
	depth      int
	negated    bool // not in, not between, is not null, is not distinct from, not like
	hasOperand bool // case x when …
	hasElse    bool
	try        bool
	quoted     bool // a name written in double quotes
}

// Names returns the columns and features that n mentions, each once, in order
// of first mention.
func Names(n *Node) []string {
	var names []string
	seen := make(map[string]bool)
	var walk func(*Node)
	walk = func(n *Node) {
		if n.kind == nodeName && !seen[n.text] {
			seen[n.text] = true
			names = append(names, n.text)
		}
		for _, a := range n.args {
			walk(a)
		}
	}
	if n != nil {
		walk(n)
	}
	return names
}

// Uses reports whether n calls the named function; the name is in lower case.
func Uses(n *Node, function string) bool {
	return n != nil && (n.kind == nodeCall && n.text == function ||
		slices.ContainsFunc(n.args, func(a *Node) bool { return Uses(a, function) }))
}

// String writes n so that Parse reads the same tree back. Every operand that is
// not a literal, a name or a call stands in parentheses.
func (n *Node) String() string {
	var b strings.Builder
	n.print(&b)
	return b.String()
}

func (n *Node) print(b *strings.Builder) {
	switch n.kind {
	case nodeNull, nodeBool, nodeInt, nodeFloat:
		b.WriteString(n.text)
	case nodeString:
		b.WriteString(quoteText(n.text))
	case nodeName:
		b.WriteString(quoteName(n.text))
	case nodeUnary:
		b.WriteString(n.text)
		if n.text == "not" {
			b.WriteByte(' ')
		}
		n.args[0].operand(b)
	case nodeBinary, nodeLike:
		n.infix(b, n.not()+n.text, n.args[1:])
	case nodeCall:
		b.WriteString(n.text)
		printList(b, '(', n.args, ')')
	case nodeCase:
		n.printCase(b)
	case nodeIn:
		n.args[0].operand(b)
		b.WriteString(" " + n.not() + "in ")
		printList(b, '(', n.args[1:], ')')
	case nodeBetween:
		n.infix(b, n.not()+"between", n.args[1:2])
		b.WriteString(" and ")
		n.args[2].operand(b)
	case nodeIsNull:
		n.args[0].operand(b)
		b.WriteString(" is " + n.not() + "null")
	case nodeDistinct:
		n.infix(b, "is "+n.not()+"distinct from", n.args[1:])
	case nodeCast:
		n.printCast(b)
	case nodeInterval:
		n.printInterval(b)
	case nodeList:
		printList(b, '[', n.args, ']')
	case nodeSubscript, nodeSlice:
		n.printSubscript(b)
	}
}

func (n *Node) not() string {
	if n.negated {
		return "not "
	}
	return ""
}

func (n *Node) infix(b *strings.Builder, operator string, right []*Node) {
	n.args[0].operand(b)
	b.WriteString(" " + operator + " ")
	right[0].operand(b)
}

func (n *Node) operand(b *strings.Builder) {
	switch n.kind {
	case nodeNull, nodeBool, nodeInt, nodeFloat, nodeString, nodeName, nodeCall, nodeCast, nodeList, nodeSubscript, nodeSlice:
		n.print(b)
	case nodeUnary, nodeBinary, nodeCase, nodeIn, nodeBetween, nodeIsNull, nodeDistinct, nodeLike, nodeInterval:
		b.WriteByte('(')
		n.print(b)
		b.WriteByte(')')
	}
}

func printList(b *strings.Builder, start byte, args []*Node, end byte) {
	b.WriteByte(start)
	for i, a := range args {
		if i > 0 {
			b.WriteString(", ")
		}
		a.print(b)
	}
	b.WriteByte(end)
}

func (n *Node) printCase(b *strings.Builder) {
	b.WriteString("case")
	args := n.args
	if n.hasOperand {
		b.WriteByte(' ')
		args[0].operand(b)
		args = args[1:]
	}
	for ; len(args) > 1; args = args[2:] {
		b.WriteString(" when ")
		args[0].operand(b)
		b.WriteString(" then ")
		args[1].operand(b)
	}
	if n.hasElse {
		b.WriteString(" else ")
		args[0].operand(b)
	}
	b.WriteString(" end")
}

func (n *Node) printSubscript(b *strings.Builder) {
	n.args[0].operand(b)
	b.WriteByte('[')
	n.args[1].print(b)
	if n.kind == nodeSlice {
		b.WriteByte(':')
		n.args[2].print(b)
	}
	b.WriteByte(']')
}

func (n *Node) printCast(b *strings.Builder) {
	if n.try {
		b.WriteString("try_")
	}
	b.WriteString("cast(")
	n.args[0].print(b)
	b.WriteString(" as " + n.text + ")")
}

func (n *Node) printInterval(b *strings.Builder) {
	b.WriteString("interval ")
	if n.args[0].kind == nodeString {
		n.args[0].print(b)
	} else {
		printList(b, '(', n.args, ')')
	}
	if n.text != "" {
		b.WriteString(" " + n.text)
	}
}

func quoteText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// quoteName writes a dotted name, quoted where it is not plain.
func quoteName(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		if p == "" || wordLength(p) != len(p) || reserved[strings.ToLower(p)] {
			if slices.Contains(parts, "") {
				return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
			}
			parts[i] = `"` + strings.ReplaceAll(p, `"`, `""`) + `"`
		}
	}
	return strings.Join(parts, ".")
}
