package expr

import (
	"strconv"

	"millrace/feature"
)

// jsonLook is what is done at the end of a path.
type jsonLook struct {
	name    string
	out     feature.Type
	result  jsonResult
	atIndex *kernel // for an index that is computed; nil when there is no index
}

// arrow is j -> path and j ->> path.
func (c *checker) arrow(n *Node, j, path *Expr) *Expr {
	if n.text == "->" {
		return c.look(n, j, path, jsonLook{name: "json", out: feature.Of(feature.KindJSON), result: resultJSON, atIndex: kernelJSONIndex})
	}
	return c.look(n, j, path, jsonLook{name: "json text", out: feature.Of(feature.KindString), result: resultText, atIndex: kernelJSONIndexText})
}

// look follows path, which stands second in n, in j, which stands first. A path
// that is text is known now; an index may be computed.
func (c *checker) look(n *Node, j, path *Expr, l jsonLook) *Expr {
	if j = c.wantJSON(n.args[0], j); j == nil {
		return nil
	}
	whole := path.is(feature.KindInt32) || path.is(feature.KindInt64)
	switch {
	case path.untyped():
		return nullOf(l.out)
	case whole && l.atIndex != nil:
		at := cast(path, feature.Of(feature.KindInt64), false, n)
		if v := constantValue(at); v != nil && !v.IsNull(0) {
			step := jsonStep{index: v.Ints[0], hasIndex: true}
			return l.follow(n, j, &jsonPath{text: strconv.FormatInt(step.index, 10), steps: []jsonStep{step}})
		}
		return apply(l.atIndex, l.out, n, j, at)
	case !path.is(feature.KindString):
		return c.fail(n.args[1], pathHint, "the path is %s, not string", path.typ)
	}
	v := constantValue(path)
	switch {
	case v == nil:
		return c.fail(n.args[1], pathHint, "the path is no literal")
	case v.IsNull(0):
		return nullOf(l.out)
	}
	steps, wrong := parsePath(v.Strings[0])
	if wrong != "" {
		return c.fail(n.args[1], pathHint, "%s", wrong)
	}
	return l.follow(n, j, &jsonPath{text: quoteText(v.Strings[0]), steps: steps})
}

// follow goes path in j. When j is what a path has found itself, the two become
// one, which spares writing what lies between; not when the question is whether
// there is anything, which is null where the first path has found nothing.
func (l jsonLook) follow(n *Node, j *Expr, path *jsonPath) *Expr {
	if between := j.path(); between != nil && l.out.Kind != feature.KindBool {
		path, j = path.after(between), j.args[0]
	}
	k := pathKernel(l.name, path, l.result)
	if l.out.Kind == feature.KindJSON {
		k.path = path
	}
	return apply(k, l.out, n, j)
}

// path returns the way that e goes in its operand; nil when e is something else
// than JSON that a path has found.
func (e *Expr) path() *jsonPath {
	if e.kind != exprApply {
		return nil
	}
	return e.kernel.path
}

const pathHint = "write 'key', '$.key.list[0]' or '/key/list/0'"

// wantJSON returns e as JSON; text is read as JSON, as in DuckDB.
func (c *checker) wantJSON(n *Node, e *Expr) *Expr {
	switch {
	case e.is(feature.KindJSON), e.is(feature.KindString), e.untyped():
		return cast(e, feature.Of(feature.KindJSON), false, n)
	case e.typ.IsList():
		return c.fail(n, "write "+operandText(n)+"[1]", "%s is %s, not json", shortText(n), e.typ)
	}
	return c.fail(n, "", "%s is %s, not json", shortText(n), e.typ)
}

func (c *checker) jsonArrayLength(n *Node, args []*Expr) *Expr {
	l := jsonLook{name: "json length", out: feature.Of(feature.KindInt64), result: resultLength}
	switch len(args) {
	case 1:
		j := c.wantJSON(n.args[0], args[0])
		if j == nil {
			return nil
		}
		return l.follow(n, j, new(jsonPath))
	case 2:
		return c.look(n, args[0], args[1], l)
	}
	return c.fail(n, "write json_array_length(json[, path])", "%s does not take %s", n.text, countOf(len(args)))
}

// comparable reports operands that have no order because they are JSON, whose
// text says less than it seems: {"a":1} and {"a": 1} would differ.
func (c *checker) comparable(n *Node, es ...*Expr) bool {
	for _, e := range es {
		if e.typ.Kind == feature.KindJSON {
			c.fail(n, "take the value out with ->> or cast it first", "values of %s cannot be compared", e.typ)
			return false
		}
	}
	return true
}

// tooLoose reports an arrow whose operand is a condition. The arrows bind so
// loosely that this is never meant: a = b ->> 'c' is (a = b) ->> 'c'.
func (c *checker) tooLoose(n *Node) bool {
	if n.kind != nodeBinary || n.text != "->" && n.text != "->>" {
		return false
	}
	left, right := n.args[0], n.args[1]
	if !left.isCondition() && !right.isCondition() {
		return false
	}
	for left.isCondition() {
		left = left.args[len(left.args)-1]
	}
	for right.isCondition() {
		right = right.args[0]
	}
	c.fail(n, "write ("+operandText(left)+" "+n.text+" "+operandText(right)+")", "%s binds more loosely than what stands beside it", n.text)
	return true
}

func (n *Node) isCondition() bool {
	switch n.kind { //nolint:exhaustive // the rest is none
	case nodeBinary:
		_, compares := direct[n.text]
		_, compared := swapped[n.text]
		return compares || compared || n.text == "and" || n.text == "or"
	case nodeUnary:
		return n.text == "not"
	case nodeIn, nodeBetween, nodeIsNull, nodeDistinct, nodeLike:
		return true
	}
	return false
}
