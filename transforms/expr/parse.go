package expr

import (
	"slices"
	"strings"
)

// Bounds of what Parse accepts. Text that people write stays far below them.
const (
	MaxTextBytes = 64 << 10
	MaxNesting   = 200  // parentheses, calls, case and operators inside one another
	maxDepth     = 1000 // of the tree; a chain of additions is deep without nesting
	maxParts     = 10_000
)

// reserved words cannot be names unless quoted.
var reserved = map[string]bool{
	"and": true, "or": true, "not": true, "case": true, "when": true, "then": true, "else": true, "end": true,
	"null": true, "true": true, "false": true, "in": true, "between": true, "is": true, "like": true, "ilike": true,
	"cast": true, "try_cast": true, "distinct": true, "from": true, "as": true,
}

// Binding powers, from loose to tight, as in DuckDB's grammar.
const (
	powerArrow = iota + 1 // also the left side of ->>, whose right side is tight
	powerOr
	powerAnd
	powerNot
	powerIs
	powerCompare
	powerIn // in, between, like
	powerJoin
	powerAdd
	powerMultiply
	powerSign
	powerCast
	powerSubscript
)

var infixPower = map[string]int{
	"->": powerArrow, "->>": powerArrow, "or": powerOr, "and": powerAnd, "is": powerIs,
	"=": powerCompare, "==": powerCompare, "<>": powerCompare, "!=": powerCompare,
	"<": powerCompare, "<=": powerCompare, ">": powerCompare, ">=": powerCompare,
	"in": powerIn, "between": powerIn, "like": powerIn, "ilike": powerIn, "not": powerIn,
	"||": powerJoin, "+": powerAdd, "-": powerAdd,
	"*": powerMultiply, "/": powerMultiply, "//": powerMultiply, "%": powerMultiply,
	"::": powerCast, "[": powerSubscript,
}

// Parse reads one expression. Errors are *Error with offsets in text.
func Parse(text string) (*Node, error) {
	if len(text) > MaxTextBytes {
		return nil, errorAt(0, len(text), "split it into several features", "the expression has %d bytes, at most %d are allowed", len(text), MaxTextBytes)
	}
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	n := p.expression(0)
	if p.err == nil && p.peek().kind != tokenEnd {
		p.unexpected("an operator or the end")
	}
	if p.err != nil {
		return nil, p.err
	}
	return n, nil
}

// parser remembers the first error; after it every step is harmless and the
// nodes it returns, never nil, mean nothing.
type parser struct {
	tokens  []token
	at      int
	nesting int
	parts   int
	err     *Error
}

func (p *parser) peek() token { return p.tokens[p.at] }

// take returns the next token and steps over it; the last one stays.
func (p *parser) take() token {
	t := p.tokens[p.at]
	if p.at < len(p.tokens)-1 {
		p.at++
	}
	return t
}

// is reports whether the next token is the symbol or keyword s.
func (p *parser) is(s string) bool { return p.tokenIs(p.at, s) }

func (p *parser) tokenIs(at int, s string) bool {
	if at >= len(p.tokens) {
		return false
	}
	t := p.tokens[at]
	return (t.kind == tokenSymbol || t.kind == tokenWord) && t.text == s
}

func (p *parser) accept(s string) bool {
	if p.is(s) {
		p.take()
		return true
	}
	return false
}

func (p *parser) expect(s, hint string) {
	if !p.accept(s) {
		p.unexpected(s)
		if hint != "" && p.err.Hint == "" {
			p.err.Hint = hint
		}
	}
}

// fail records the first error and moves to the end, so that parsing stops.
func (p *parser) fail(e *Error) {
	if p.err == nil {
		p.err = e
		p.at = len(p.tokens) - 1
	}
}

func (p *parser) unexpected(want string) {
	t := p.peek()
	hint := ""
	found := "end"
	if t.kind != tokenEnd {
		found = t.raw
	}
	switch {
	case t.kind == tokenWord && reserved[t.text]:
		hint = `a column of that name goes in double quotes: "` + t.raw + `"`
	case want == ")":
		hint = "close the parenthesis"
	}
	p.fail(errorAt(t.off, t.end, hint, "unexpected %s, expected %s", found, want))
}

// node completes n, whose text reaches from off to the last token taken.
func (p *parser) node(off int, n Node) *Node {
	n.off, n.end = off, off
	if p.parts++; p.parts > maxParts {
		p.fail(errorAt(n.off, n.end, "split it into several features", "the expression has more than %d parts", maxParts))
	}
	if p.at > 0 {
		n.end = max(off, p.tokens[p.at-1].end)
	}
	for _, a := range n.args {
		n.depth = max(n.depth, a.depth+1)
	}
	if n.depth > maxDepth {
		p.fail(errorAt(n.off, n.end, "split it into several features", "the expression is deeper than %d", maxDepth))
	}
	return &n
}

// expression reads operators that bind at least as tightly as power.
func (p *parser) expression(power int) *Node {
	p.nesting++
	defer func() { p.nesting-- }()
	if p.nesting > MaxNesting {
		t := p.peek()
		p.fail(errorAt(t.off, t.end, "split it into several features", "the expression nests deeper than %d", MaxNesting))
		return &Node{}
	}
	left := p.prefix()
	for p.err == nil {
		t := p.peek()
		have := infixPower[t.text]
		if (t.kind != tokenSymbol && t.kind != tokenWord) || have == 0 || have < power {
			break
		}
		left = p.infix(left, have)
	}
	return left
}

func (p *parser) infix(left *Node, power int) *Node {
	t := p.take()
	switch t.text {
	case "is":
		return p.isTest(left)
	case "not":
		if !p.is("in") && !p.is("between") && !p.is("like") && !p.is("ilike") {
			p.unexpected("in, between or like after not")
			return left
		}
		return p.membership(left, p.take().text, true)
	case "in", "between", "like", "ilike":
		return p.membership(left, t.text, false)
	case "[":
		return p.subscript(left)
	case "->>":
		power = powerJoin
	case "::":
		name := p.typeName()
		return p.node(left.off, Node{kind: nodeCast, text: name, args: []*Node{left}})
	}
	right := p.expression(power + 1)
	if next := p.peek(); power == powerCompare && next.kind == tokenSymbol && infixPower[next.text] == powerCompare {
		p.fail(errorAt(next.off, next.end, "write a < b and b < c", "comparisons do not chain"))
	}
	return p.node(left.off, Node{kind: nodeBinary, text: canonicalOperator(t.text), args: []*Node{left, right}})
}

func canonicalOperator(s string) string {
	switch s {
	case "==":
		return "="
	case "!=":
		return "<>"
	}
	return s
}

func (p *parser) isTest(left *Node) *Node {
	n := Node{args: []*Node{left}, negated: p.accept("not")}
	switch {
	case p.accept("null"):
		n.kind = nodeIsNull
	case p.is("true"), p.is("false"):
		t := p.take()
		n.kind, n.negated = nodeDistinct, !n.negated
		n.args = append(n.args, &Node{kind: nodeBool, text: t.text, off: t.off, end: t.end})
	case p.accept("distinct"):
		p.expect("from", "")
		n.kind = nodeDistinct
		n.args = append(n.args, p.expression(powerIs+1))
		if p.is("is") {
			p.unexpected("an operator that binds more loosely than is")
			p.err.Hint = "put the first test in parentheses"
		}
	default:
		p.unexpected("null, true, false or distinct from")
	}
	return p.node(left.off, n)
}

func (p *parser) membership(left *Node, word string, negated bool) *Node {
	n := Node{args: []*Node{left}, negated: negated}
	switch word {
	case "in":
		n.kind = nodeIn
		p.expect("(", "write x in (a, b)")
		if p.is(")") {
			p.unexpected("at least one value")
		}
		n.args = append(n.args, p.list(")")...)
	case "between":
		n.kind = nodeBetween
		low := p.expression(powerIn + 1)
		p.expect("and", "write x between low and high")
		n.args = append(n.args, low, p.expression(powerIn+1))
	default:
		n.kind, n.text = nodeLike, word
		n.args = append(n.args, p.expression(powerIn+1))
	}
	return p.node(left.off, n)
}

// subscript reads the index of left or the bounds of a slice, and the closing
// bracket. Bounds that are not written are the first and the last element.
func (p *parser) subscript(left *Node) *Node {
	n := Node{kind: nodeSubscript, args: []*Node{left, p.bound(":", "1")}}
	if p.accept(":") {
		n.kind = nodeSlice
		n.args = append(n.args, p.bound("]", "-1"))
	}
	if p.is(":") {
		p.unexpected("]")
		p.err.Hint = "slices have no step"
	}
	p.expect("]", "")
	return p.node(left.off, n)
}

func (p *parser) bound(end, missing string) *Node {
	if at := p.peek(); p.is(end) {
		return &Node{kind: nodeInt, text: missing, off: at.off, end: at.off}
	}
	return p.expression(0)
}

// list reads expressions up to the closing symbol; the opening one is taken.
func (p *parser) list(end string) []*Node {
	var all []*Node
	if p.accept(end) {
		return nil
	}
	for p.err == nil {
		all = append(all, p.expression(0))
		if !p.accept(",") {
			p.expect(end, "")
			break
		}
	}
	return all
}

func (p *parser) prefix() *Node {
	t := p.peek()
	switch t.kind {
	case tokenInt, tokenFloat, tokenString:
		p.take()
		kind := map[tokenKind]nodeKind{tokenInt: nodeInt, tokenFloat: nodeFloat, tokenString: nodeString}[t.kind]
		return p.node(t.off, Node{kind: kind, text: t.text})
	case tokenWord:
		return p.word(t)
	case tokenQuoted:
		return p.name()
	case tokenSymbol:
		return p.symbol(t)
	case tokenEnd:
	}
	p.unexpected("an expression")
	return &Node{}
}

func (p *parser) symbol(t token) *Node {
	switch t.text {
	case "(":
		p.take()
		n := p.expression(0)
		p.expect(")", "")
		return n
	case "[":
		p.take()
		return p.node(t.off, Node{kind: nodeList, args: p.list("]")})
	case "-", "+":
		p.take()
		operand := p.expression(powerSign)
		return p.node(t.off, Node{kind: nodeUnary, text: t.text, args: []*Node{operand}})
	}
	p.unexpected("an expression")
	return &Node{}
}

func (p *parser) word(t token) *Node {
	switch t.text {
	case "null":
		p.take()
		return p.node(t.off, Node{kind: nodeNull, text: t.text})
	case "true", "false":
		p.take()
		return p.node(t.off, Node{kind: nodeBool, text: t.text})
	case "not":
		p.take()
		operand := p.expression(powerNot)
		return p.node(t.off, Node{kind: nodeUnary, text: t.text, args: []*Node{operand}})
	case "case":
		p.take()
		return p.caseOf(t.off)
	case "cast", "try_cast":
		p.take()
		return p.cast(t)
	}
	if reserved[t.text] {
		p.unexpected("an expression")
		return &Node{}
	}
	if t.text == "interval" && p.startsInterval() {
		return p.interval(t)
	}
	if p.tokenIs(p.at+1, "(") {
		return p.call()
	}
	if name := typeNames[t.text]; name != "" && p.tokens[p.at+1].kind == tokenString { // timestamp '2024-05-01'
		p.take()
		return p.node(t.off, Node{kind: nodeCast, text: name, args: []*Node{p.prefix()}})
	}
	return p.name()
}

func (p *parser) caseOf(off int) *Node {
	n := Node{kind: nodeCase}
	if !p.is("when") {
		n.hasOperand = true
		n.args = append(n.args, p.expression(0))
	}
	if !p.is("when") {
		p.unexpected("when")
	}
	for p.accept("when") {
		n.args = append(n.args, p.expression(0))
		p.expect("then", "write case when a then b else c end")
		n.args = append(n.args, p.expression(0))
	}
	if p.accept("else") {
		n.hasElse = true
		n.args = append(n.args, p.expression(0))
	}
	p.expect("end", "a case ends with end")
	return p.node(off, n)
}

func (p *parser) cast(t token) *Node {
	p.expect("(", "write cast(x as float64)")
	operand := p.expression(0)
	p.expect("as", "write cast(x as float64)")
	name := p.typeName()
	p.expect(")", "")
	return p.node(t.off, Node{kind: nodeCast, text: name, args: []*Node{operand}, try: t.text == "try_cast"})
}

// typeName reads a type and returns its canonical name.
func (p *parser) typeName() string {
	t := p.peek()
	if t.kind != tokenWord {
		p.unexpected("a type")
		return ""
	}
	p.take()
	if t.text == "list" && p.accept("<") {
		inner := p.typeName()
		p.expect(">", "")
		return "list<" + inner + ">"
	}
	name, known := typeNames[t.text]
	if !known {
		p.fail(errorAt(t.off, t.end, didYouMean(t.text, knownTypes(), "types are "+strings.Join(knownTypes(), ", ")), "unknown type %s", t.raw))
	}
	if t.text == "double" {
		p.accept("precision")
	}
	for p.tokenIs(p.at, "[") && p.tokenIs(p.at+1, "]") {
		p.take()
		p.take()
		name = "list<" + name + ">"
	}
	if p.is("[") {
		p.unexpected("the end of the type")
		if p.err.Hint == "" {
			p.err.Hint = "types have no length; to take an element, put the cast in parentheses"
		}
	}
	return name
}

func (p *parser) call() *Node {
	name := p.take()
	p.take() // the parenthesis
	if name.text == "extract" && p.tokenIs(p.at+1, "from") {
		part := p.take()
		p.take()
		of := p.expression(0)
		p.expect(")", "")
		literal := &Node{kind: nodeString, text: part.text, off: part.off, end: part.end}
		return p.node(name.off, Node{kind: nodeCall, text: "date_part", args: []*Node{literal, of}})
	}
	args := p.list(")")
	return p.node(name.off, Node{kind: nodeCall, text: name.text, args: args})
}

// name reads an identifier; dots join its parts into one name.
func (p *parser) name() *Node {
	t := p.take()
	parts := []string{nameText(t)}
	for p.is(".") {
		p.take()
		part := p.peek()
		if part.kind != tokenWord && part.kind != tokenQuoted {
			p.unexpected("a name after the dot")
			break
		}
		parts = append(parts, nameText(p.take()))
	}
	return p.node(t.off, Node{kind: nodeName, text: strings.Join(parts, "."), quoted: t.kind == tokenQuoted})
}

func nameText(t token) string {
	if t.kind == tokenQuoted {
		return t.text
	}
	return t.raw
}

// typeNames maps what may be written after `as` to the type it means.
var typeNames = map[string]string{
	"bool": "bool", "boolean": "bool", "logical": "bool",
	"int32": "int32", "int": "int32", "integer": "int32", "int4": "int32", "signed": "int32",
	"int64": "int64", "bigint": "int64", "int8": "int64", "long": "int64",
	"float32": "float32", "float": "float32", "real": "float32", "float4": "float32",
	"float64": "float64", "double": "float64", "float8": "float64",
	"string": "string", "varchar": "string", "text": "string", "char": "string", "bpchar": "string",
	"bytes": "bytes", "blob": "bytes", "bytea": "bytes", "binary": "bytes", "varbinary": "bytes",
	"timestamp": "timestamp", "datetime": "timestamp", "timestamptz": "timestamp", "timestamp_us": "timestamp",
	"json": "json",
}

func knownTypes() []string {
	var all []string
	for _, t := range typeNames {
		if !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	slices.Sort(all)
	return all
}
