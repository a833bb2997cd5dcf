package expr

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"millrace/feature"
)

// Scope says what names mean.
type Scope interface {
	// Resolve returns what name stands for: a column, or any typed expression,
	// so that features can name features. Dotted names are one name.
	Resolve(name string) (*Expr, bool)
	// Names lists what Resolve knows, for hints.
	Names() []string
}

// Check gives every part of n a type. All errors are reported: one as *Error,
// several joined, in the order of the text.
func Check(n *Node, scope Scope) (*Expr, error) {
	if n == nil {
		return nil, errorAt(0, 0, "", "no expression")
	}
	c := &checker{scope: scope}
	e := c.check(n)
	if e != nil && e.isInterval() {
		c.fail(n, "write epoch(…) for its seconds, or datediff('day', start, end)", "an interval cannot be the result")
	}
	if e != nil && len(c.errs) == 0 {
		return e, nil
	}
	slices.SortStableFunc(c.errs, func(a, b *Error) int { return a.Offset - b.Offset })
	if len(c.errs) == 1 {
		return nil, c.errs[0]
	}
	all := make([]error, len(c.errs))
	for i, e := range c.errs {
		all[i] = e
	}
	return nil, errors.Join(all...)
}

// checker collects errors. A part with an error is nil, and what contains it is
// nil without a further error.
type checker struct {
	scope Scope
	errs  []*Error
}

func (c *checker) fail(n *Node, hint, format string, args ...any) *Expr {
	for i, a := range args {
		if t, ok := a.(feature.Type); ok {
			args[i] = typeName(t)
		}
	}
	c.errs = append(c.errs, errorAt(n.off, n.end, hint, format, args...))
	return nil
}

// typeName is how messages call a type, also those that only expressions have.
func typeName(t feature.Type) string {
	switch {
	case t == feature.Of(kindInterval):
		return "interval"
	case t.Kind == feature.KindInvalid:
		return strings.Replace(t.String(), t.Kind.String(), "null", 1)
	}
	return t.String()
}

func (c *checker) operands(n *Node) ([]*Expr, bool) {
	if c.tooLoose(n) {
		return nil, false
	}
	if n.kind == nodeCall && n.text == "event_time" && c.rows() != nil {
		return nil, true // what stands in it is no value, but a view
	}
	return c.checkAll(n.args)
}

func (c *checker) checkAll(nodes []*Node) ([]*Expr, bool) {
	all, ok := make([]*Expr, len(nodes)), true
	for i, n := range nodes {
		all[i] = c.check(n)
		ok = ok && all[i] != nil
	}
	return all, ok
}

func (c *checker) check(n *Node) *Expr {
	switch n.kind { //nolint:exhaustive // leaves; the switch below has the rest
	case nodeNull:
		return nullOf(feature.Type{})
	case nodeBool:
		return constBool(n.text == "true")
	case nodeString:
		return constString(n.text)
	case nodeInt, nodeFloat:
		return c.number(n)
	case nodeName:
		return c.name(n)
	}
	args, ok := c.operands(n)
	if !ok {
		if n.kind == nodeCall {
			c.lookup(n) // an unknown function is an error of its own
		}
		return c.negatedMinimum(n)
	}
	if slices.ContainsFunc(args, (*Expr).isInterval) {
		return c.withIntervals(n, args)
	}
	switch n.kind {
	case nodeUnary:
		return c.unary(n, args[0])
	case nodeBinary:
		return c.binary(n, args[0], args[1])
	case nodeCall:
		return c.call(n, args)
	case nodeCase:
		return c.caseOf(n, args)
	case nodeIn:
		return c.negate(n, c.in(n, args))
	case nodeBetween:
		return c.negate(n, c.between(n, args))
	case nodeIsNull:
		return c.negate(n, apply(kernelIsNull, feature.Of(feature.KindBool), n, args[0]))
	case nodeDistinct:
		return c.distinct(n, args[0], args[1])
	case nodeLike:
		return c.negate(n, c.like(n, args))
	case nodeCast:
		return c.cast(n, args[0])
	case nodeInterval:
		return c.interval(n, args[0])
	case nodeList, nodeSubscript, nodeSlice:
		return c.bracket(n, args)
	case nodeNull, nodeBool, nodeInt, nodeFloat, nodeString, nodeName:
	}
	return nil
}

const minInt64Digits = "9223372036854775808"

func (c *checker) number(n *Node) *Expr {
	if n.kind == nodeFloat {
		v, _ := strconv.ParseFloat(n.text, 64) // too great is infinite, as in DuckDB
		return constFloat(v)
	}
	v, err := strconv.ParseInt(n.text, 10, 64)
	switch {
	case err != nil:
		return c.fail(n, "write it with a point to make it a float64", "%s does not fit int64", n.text)
	case fitsInt32(v):
		return constInt(feature.KindInt32, v)
	}
	return constInt(feature.KindInt64, v)
}

// negatedMinimum is the one literal that fits only with its sign; for it the
// error of its digits is taken back.
func (c *checker) negatedMinimum(n *Node) *Expr {
	if n.kind != nodeUnary || n.text != "-" || n.args[0].kind != nodeInt || n.args[0].text != minInt64Digits {
		return nil
	}
	c.errs = c.errs[:len(c.errs)-1]
	return constInt(feature.KindInt64, -1<<63)
}

// maxListed bounds how many known names a hint lists.
const maxListed = 12

func (c *checker) name(n *Node) *Expr {
	if e, ok := c.scope.Resolve(n.text); ok && e != nil {
		return e
	}
	known := c.scope.Names()
	full := endingIn(known, "."+n.text)
	switch len(full) {
	case 0:
	case 1:
		return c.fail(n, "did you mean "+full[0]+"?", "unknown name %s", n.text)
	default:
		return c.fail(n, "write "+strings.Join(full[:min(len(full), maxListed)], " or "), "the name %s is ambiguous", n.text)
	}
	other := "no names are known here"
	if scope, ok := c.scope.(Hinter); ok {
		if hint := scope.Hint(n.text); hint != "" {
			return c.fail(n, didYouMean(n.text, known, hint), "unknown name %s", n.text)
		}
	}
	switch {
	case n.quoted:
		other = "text goes in single quotes: " + quoteText(n.text)
	case len(known) > maxListed:
		other = "known names are " + strings.Join(known[:maxListed], ", ") + ", …"
	case len(known) > 0:
		other = "known names are " + strings.Join(known, ", ")
	}
	return c.fail(n, didYouMean(n.text, known, other), "unknown name %s", n.text)
}

func endingIn(names []string, end string) []string {
	var all []string
	for _, name := range names {
		if strings.HasSuffix(name, end) {
			all = append(all, name)
		}
	}
	return all
}

// castHint proposes the cast that would make n a t.
func castHint(n *Node, t feature.Type) string {
	return "write cast(" + shortText(n) + " as " + t.String() + ")"
}

func shortText(n *Node) string {
	if s := n.String(); len(s) <= maxQuoted {
		return s
	}
	return "…"
}

// want returns e as a value of type t, which it must have or widen to.
func (c *checker) want(n *Node, e *Expr, t feature.Type, whose string) *Expr {
	if _, ok := widenCost(e.typ, t); ok {
		return cast(e, t, false, n)
	}
	hint := ""
	if Cast(e, t) != nil {
		hint = castHint(n, t)
	}
	return c.fail(n, hint, "%s is %s, not %s", whose, e.typ, t)
}

func (c *checker) wantBool(n *Node, e *Expr, whose string) *Expr {
	if e.is(feature.KindBool) || e.untyped() {
		return cast(e, feature.Of(feature.KindBool), false, n)
	}
	hint := "compare it with something"
	if isNumeric(e.typ) {
		hint = "write " + shortText(n) + " <> 0"
	}
	return c.fail(n, hint, "%s is %s, not bool", whose, e.typ)
}

// negate adds the `not` of `not in` and its like.
func (c *checker) negate(n *Node, e *Expr) *Expr {
	if e == nil || !n.negated {
		return e
	}
	return apply(kernelNot, e.typ, n, e)
}

func (c *checker) unary(n *Node, e *Expr) *Expr {
	of := n.args[0]
	if n.text == "not" {
		if e = c.wantBool(of, e, "the operand of not"); e == nil {
			return nil
		}
		return apply(kernelNot, e.typ, n, e)
	}
	switch {
	case e.untyped():
		return nullOf(feature.Of(feature.KindInt32))
	case !isNumeric(e.typ):
		return c.fail(of, numberHint(of, e), "%s needs a number, %s is %s", n.text, shortText(of), e.typ)
	case n.text == "+":
		return e
	}
	return apply(negateKernel(e.typ.Kind), e.typ, n, e)
}

func numberHint(n *Node, e *Expr) string {
	if f := feature.Of(feature.KindFloat64); Cast(e, f) != nil {
		return castHint(n, f)
	}
	return ""
}

var swapped = map[string]comparison{">": compareLess, ">=": compareLessEqual}

var direct = map[string]comparison{"=": compareEqual, "<>": compareUnequal, "<": compareLess, "<=": compareLessEqual}

func (c *checker) binary(n *Node, a, b *Expr) *Expr {
	switch n.text {
	case "and", "or":
		return c.connect(n, a, b)
	case "||":
		return c.join(n, a, b)
	case "->", "->>":
		return c.arrow(n, a, b)
	}
	if how, ok := direct[n.text]; ok {
		return c.compare(n, n.args[0], n.args[1], a, b, how)
	}
	if how, ok := swapped[n.text]; ok {
		return c.compareSwapped(n, a, b, how)
	}
	return c.arithmetic(n, a, b)
}

func (c *checker) connect(n *Node, a, b *Expr) *Expr {
	a = c.wantBool(n.args[0], a, "the left side of "+n.text)
	b = c.wantBool(n.args[1], b, "the right side of "+n.text)
	if a == nil || b == nil {
		return nil
	}
	if n.text == "and" {
		return apply(kernelAnd, a.typ, n, a, b)
	}
	return apply(kernelOr, a.typ, n, a, b)
}

func (c *checker) join(n *Node, a, b *Expr) *Expr {
	if a.typ.IsList() || b.typ.IsList() {
		return c.joinLists(n, []*Expr{a, b}, kernelListJoin)
	}
	text := feature.Of(feature.KindString)
	if a.is(feature.KindBytes) && b.is(feature.KindBytes) {
		text = a.typ
	}
	a = c.want(n.args[0], a, text, "the left side of ||")
	b = c.want(n.args[1], b, text, "the right side of ||")
	if a == nil || b == nil {
		return nil
	}
	return apply(kernelJoin, text, n, a, b)
}

var operatorVerbs = map[string]string{"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "//": "divide", "%": "take the remainder of"}

func (c *checker) arithmetic(n *Node, a, b *Expr) *Expr {
	if a.untyped() && b.untyped() {
		a = nullOf(feature.Of(feature.KindInt32))
	}
	if n.text == "-" && isTime(a.typ) && isTime(b.typ) {
		return timeDifference(n, a, b)
	}
	t, ok := common(a.typ, b.typ)
	if !ok || !isNumeric(t) {
		bad, e := n.args[0], a
		if isNumeric(a.typ) {
			bad, e = n.args[1], b
		}
		hint := numberHint(bad, e)
		if isTime(a.typ) || isTime(b.typ) {
			hint = "write time + interval 1 day, or epoch(time) for its seconds"
		}
		return c.fail(n, hint, "cannot %s %s and %s", operatorVerbs[n.text], a.typ, b.typ)
	}
	if n.text == "/" && (t.Kind == feature.KindInt32 || t.Kind == feature.KindInt64) {
		t = feature.Of(feature.KindFloat64)
	}
	return apply(arithmeticKernel(n.text, t.Kind), t, n, cast(a, t, false, n), cast(b, t, false, n))
}

// unify widens es, which stand at nodes, to one type. The second result is
// false, and the error reported, when there is none.
func (c *checker) unify(nodes []*Node, es []*Expr, what string) ([]*Expr, bool) {
	t, first := es[0].typ, nodes[0]
	for i, e := range es[1:] {
		u, ok := common(t, e.typ)
		if !ok {
			c.fail(nodes[i+1], unifyHint(nodes[i+1], e, first, t), "%s %s and %s", what, t, e.typ)
			return nil, false
		}
		if u != t {
			t, first = u, nodes[i+1]
		}
	}
	same := make([]*Expr, len(es))
	for i, e := range es {
		same[i] = cast(e, t, false, nodes[i])
	}
	return same, true
}

// unifyHint proposes to make the text a value of the other type.
func unifyHint(n *Node, e *Expr, other *Node, t feature.Type) string {
	switch {
	case n.kind == nodeString && Cast(e, t) != nil && constantValue(Cast(e, t)) == nil: // 'a' is no number
		return castHint(other, e.typ)
	case t.Kind == feature.KindString && Cast(nullLike(t), e.typ) != nil:
		return castHint(other, e.typ)
	case Cast(nullLike(e.typ), t) != nil:
		return castHint(n, t)
	}
	return ""
}

// nullLike is an expression of type t that is good for asking about casts.
func nullLike(t feature.Type) *Expr { return &Expr{kind: exprColumn, typ: t} }

// timeLiteral reads a text literal that is compared with a time as a time.
func (c *checker) timeLiteral(n *Node, e, other *Expr) (*Expr, bool) {
	if n.kind != nodeString || !isTime(other.typ) {
		return e, true
	}
	micros, ok := parseTimestamp(n.text)
	if !ok {
		c.fail(n, "write '2024-05-01 12:00:00'", "%s is not a time", quoteText(n.text))
		return nil, false
	}
	return constInt(feature.KindTimestamp, micros), true
}

// compare makes `a how b`; na and nb are where a and b stand.
func (c *checker) compare(n, na, nb *Node, a, b *Expr, how comparison) *Expr {
	a, okA := c.timeLiteral(na, a, b)
	b, okB := c.timeLiteral(nb, b, a)
	if !okA || !okB {
		return nil
	}
	if !c.comparable(n, a, b) {
		return nil
	}
	both, ok := c.unify([]*Node{na, nb}, []*Expr{a, b}, "cannot compare")
	if !ok {
		return nil
	}
	t, bools := both[0].typ, feature.Of(feature.KindBool)
	if t == (feature.Type{}) {
		return nullOf(bools)
	}
	return apply(compareKernel(how, t.Layout()), bools, n, both...)
}

// compareSwapped makes `b how a` of n, which was written a > b or a >= b, and
// reports errors in the order of the text.
func (c *checker) compareSwapped(n *Node, a, b *Expr, how comparison) *Expr {
	e := c.compare(n, n.args[0], n.args[1], a, b, how)
	if e == nil || e.kind != exprApply {
		return e
	}
	return apply(e.kernel, e.typ, n, e.args[1], e.args[0])
}

// between compares in the one type that all three widen to.
func (c *checker) between(n *Node, args []*Expr) *Expr {
	of, okOf := c.timeLiteral(n.args[0], args[0], args[1])
	low, okLow := c.timeLiteral(n.args[1], args[1], of)
	high, okHigh := c.timeLiteral(n.args[2], args[2], of)
	if !okOf || !okLow || !okHigh {
		return nil
	}
	all, ok := c.unify(n.args, []*Expr{of, low, high}, "cannot compare")
	if !ok {
		return nil
	}
	above := c.compare(n, n.args[1], n.args[0], all[1], all[0], compareLessEqual)
	below := c.compare(n, n.args[0], n.args[2], all[0], all[2], compareLessEqual)
	if above == nil || below == nil {
		return nil
	}
	return apply(kernelAnd, above.typ, n, above, below)
}

func (c *checker) distinct(n *Node, a, b *Expr) *Expr {
	equal := c.compare(n, n.args[0], n.args[1], a, b, compareEqual)
	if equal == nil {
		return nil
	}
	return c.negate(n, apply(kernelDistinct, equal.typ, n, a, b, equal))
}

func (c *checker) like(n *Node, args []*Expr) *Expr {
	text := feature.Of(feature.KindString)
	s := c.want(n.args[0], args[0], text, "the left side of "+n.text)
	pattern := c.want(n.args[1], args[1], text, "the pattern of "+n.text)
	if s == nil || pattern == nil {
		return nil
	}
	k := kernelLike
	if n.text == "ilike" {
		k = kernelILike
	}
	return apply(k, feature.Of(feature.KindBool), n, s, pattern)
}

func (c *checker) cast(n *Node, e *Expr) *Expr {
	t, err := feature.ParseType(n.text)
	if err != nil {
		return c.fail(n, "", "%s is not a type", n.text)
	}
	if to := cast(e, t, n.try, n); to != nil {
		return to
	}
	return c.fail(n, "", "there is no cast from %s to %s", e.typ, t)
}
