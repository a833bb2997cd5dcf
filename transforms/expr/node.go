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
	var b printer
	n.print(&b)
	return b.String()
}

// printer writes nodes in the language's own spelling or, with sql, in DuckDB's.
type printer struct {
	text strings.Builder
	sql  *SQLNames
}

func (b *printer) put(s string)   { b.text.WriteString(s) }
func (b *printer) String() string { return b.text.String() }

func (n *Node) print(b *printer) {
	switch n.kind {
	case nodeNull, nodeBool, nodeInt:
		b.put(n.text)
	case nodeFloat:
		b.float(n.text)
	case nodeString:
		b.put(quoteText(n.text))
	case nodeName:
		b.name(n.text)
	case nodeUnary:
		b.put(n.text)
		if n.text == "not" {
			b.put(" ")
		}
		n.args[0].operand(b)
	case nodeBinary, nodeLike:
		n.infix(b, n.not()+n.text, n.args[1:])
	case nodeCall:
		b.call(n)
	case nodeCase:
		n.printCase(b)
	case nodeIn:
		n.args[0].operand(b)
		b.put(" " + n.not() + "in ")
		printList(b, "(", n.args[1:], ")")
	case nodeBetween:
		n.infix(b, n.not()+"between", n.args[1:2])
		b.put(" and ")
		n.args[2].operand(b)
	case nodeIsNull:
		n.args[0].operand(b)
		b.put(" is " + n.not() + "null")
	case nodeDistinct:
		n.infix(b, "is "+n.not()+"distinct from", n.args[1:])
	case nodeCast:
		n.printCast(b)
	case nodeInterval:
		n.printInterval(b)
	case nodeList:
		printList(b, "[", n.args, "]")
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

func (n *Node) infix(b *printer, operator string, right []*Node) {
	n.args[0].operand(b)
	b.put(" " + operator + " ")
	right[0].operand(b)
}

func (n *Node) operand(b *printer) {
	switch n.kind {
	case nodeNull, nodeBool, nodeInt, nodeFloat, nodeString, nodeName, nodeCall, nodeCast, nodeList, nodeSubscript, nodeSlice:
		n.print(b)
	case nodeUnary, nodeBinary, nodeCase, nodeIn, nodeBetween, nodeIsNull, nodeDistinct, nodeLike, nodeInterval:
		b.put("(")
		n.print(b)
		b.put(")")
	}
}

func printList(b *printer, start string, args []*Node, end string) {
	b.put(start)
	for i, a := range args {
		if i > 0 {
			b.put(", ")
		}
		a.print(b)
	}
	b.put(end)
}

func (n *Node) printCase(b *printer) {
	b.put("case")
	args := n.args
	if n.hasOperand {
		b.put(" ")
		args[0].operand(b)
		args = args[1:]
	}
	for ; len(args) > 1; args = args[2:] {
		b.put(" when ")
		args[0].operand(b)
		b.put(" then ")
		args[1].operand(b)
	}
	if n.hasElse {
		b.put(" else ")
		args[0].operand(b)
	}
	b.put(" end")
}

func (n *Node) printSubscript(b *printer) {
	n.args[0].operand(b)
	b.put("[")
	n.args[1].print(b)
	if n.kind == nodeSlice {
		b.put(":")
		n.args[2].print(b)
	}
	b.put("]")
}

func (n *Node) printCast(b *printer) {
	zone := b.sql != nil && n.text == "timestamp"
	if zone {
		b.put("(")
	}
	if n.try {
		b.put("try_")
	}
	b.put("cast(")
	n.args[0].print(b)
	b.put(" as ")
	if zone {
		b.put("timestamptz) at time zone 'UTC')")
		return
	}
	b.put(b.typeName(n.text) + ")")
}

func (n *Node) printInterval(b *printer) {
	b.put("interval ")
	if n.args[0].kind == nodeString {
		n.args[0].print(b)
	} else {
		printList(b, "(", n.args, ")")
	}
	if n.text != "" {
		b.put(" " + n.text)
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
