package transforms

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"millrace/feature"
	"millrace/transforms/expr"
)

// Compile type-checks v over src and cuts it into its halves. It fills in the
// Type of v's features, and sets At to read for features that name one computed
// at read, and for windowed ones. All problems are returned at once; the plan is nil if there are any.
func Compile(v *feature.View, src *feature.Source, e *feature.Entity) (*Plan, []Problem) {
	c := &compiler{view: v, src: src, entity: e, nodes: make([]*expr.Node, len(v.Features))}
	c.aggregates = make([]aggregate, len(v.Features))
	c.unnest()
	c.parse()
	c.order()
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	c.inferPhases()
	c.checkWrite()
	c.checkWindows()
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	p := c.cut()
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	p.Source = src
	return p, nil
}

// compiler holds the state of one Compile.
//
// Features form a graph by naming each other. Those at write are checked over
// the source's fields; those at read over stored columns, where a field or a
// write feature they name becomes a column that crosses the cut.
type compiler struct {
	view     *feature.View
	src      *feature.Source // with the fields of elements, if the view has rows of these
	entity   *feature.Entity
	problems []Problem

	where  *expr.Node
	keys   []*expr.Node // parallel to view.Keys
	nodes  []*expr.Node // parallel to view.Features
	sorted []int        // features, those named before those naming them

	trees     []*expr.Expr // typed trees of features at write, over fields
	keyTrees  []*expr.Expr
	whereTree *expr.Expr

	aggregates []aggregate // parallel to view.Features; the zero one for others
	windows    *Windows
	windowArgs []*expr.Expr // parallel to windows.Args
	windowKeep []*expr.Expr // parallel to windows.Filters
}

func (c *compiler) problem(part string, offset int, message, hint string) {
	c.problems = append(c.problems, Problem{Part: part, Offset: offset, Message: message, Hint: hint})
}

// fail records every error of the expression engine with its position.
func (c *compiler) fail(part string, err error) {
	var many interface{ Unwrap() []error }
	if errors.As(err, &many) {
		for _, one := range many.Unwrap() {
			c.fail(part, one)
		}
		return
	}
	if at, ok := errors.AsType[*expr.Error](err); ok {
		c.problem(part, at.Offset, at.Message, at.Hint)
		return
	}
	c.problem(part, -1, err.Error(), "")
}

func featurePart(i int) string { return fmt.Sprintf("features[%d].expr", i) }

func (c *compiler) parse() {
	if c.view.Where != "" {
		c.where = c.parseOne("where", c.view.Where)
	}
	c.keys = make([]*expr.Node, len(c.view.Keys))
	for i, k := range c.view.Keys {
		c.keys[i] = c.parseOne("keys."+k.JoinKey, k.Expr)
	}
	for i := range c.view.Features {
		if c.view.Features[i].Aggregate != nil {
			c.parseAggregate(i)
			continue
		}
		c.nodes[i] = c.parseOne(featurePart(i), c.view.Features[i].Expr)
	}
}

func (c *compiler) parseOne(part, text string) *expr.Node {
	n, err := expr.Parse(text)
	if err != nil {
		c.fail(part, err)
	}
	return n
}

// isOwnField reports whether feature i is just the field of its own name, the
// one case in which a name means both. Without such a field the name is unknown,
// not a circle.
func (c *compiler) isOwnField(i int) bool {
	f := &c.view.Features[i]
	return strings.TrimSpace(f.Expr) == f.Name
}

// featureNamed returns the feature that name stands for in an expression, or
// -1 when it stands for a field or nothing.
func (c *compiler) featureNamed(name string) int {
	if _, isField := c.src.Field(name); isField {
		return -1
	}
	for i := range c.view.Features {
		if c.view.Features[i].Name == name {
			return i
		}
	}
	return -1
}

// order sorts features so that each comes after those it names.
func (c *compiler) order() {
	const (
		unseen = iota
		open
		done
	)
	state := make([]int, len(c.nodes))
	var visit func(i int) bool
	visit = func(i int) bool {
		if state[i] != unseen {
			return state[i] == done
		}
		state[i] = open
		for _, name := range c.inputsOf(i) {
			j := c.featureNamed(name)
			if j < 0 || j == i && c.isOwnField(i) {
				continue
			}
			if !visit(j) {
				c.problem(featurePart(i), 0, fmt.Sprintf("feature %s is computed from itself", c.view.Features[i].Name),
					"break the circle: name source fields in one of its features")
			}
		}
		state[i] = done
		c.sorted = append(c.sorted, i)
		return true
	}
	for i := range c.nodes {
		c.refuseForeignField(i)
		visit(i)
	}
}

func (c *compiler) refuseForeignField(i int) {
	name := c.view.Features[i].Name
	if _, isField := c.src.Field(name); isField && !c.isOwnField(i) {
		c.problem(featurePart(i), -1, fmt.Sprintf("feature %s has the name of a field of source %s but is not that field", name, c.src.Name),
			"give the feature another name, or leave its expr out to serve the field")
	}
}

// inputsOf lists what feature i names, in whichever of its texts.
func (c *compiler) inputsOf(i int) []string {
	a := &c.aggregates[i]
	return slices.Concat(namesOf(c.nodes[i]), namesOf(a.of), namesOf(a.filter))
}

func namesOf(n *expr.Node) []string {
	if n == nil {
		return nil
	}
	return expr.Names(n)
}

// inferPhases makes every feature that names one computed at read a read
// feature too: its input does not exist before.
func (c *compiler) inferPhases() {
	for i := range c.view.Features {
		if c.view.Features[i].Aggregate != nil {
			c.view.Features[i].At = feature.PhaseRead
		}
	}
	for _, i := range c.sorted {
		for _, name := range namesOf(c.nodes[i]) {
			if j := c.featureNamed(name); j >= 0 && c.view.Features[j].At == feature.PhaseRead {
				c.view.Features[i].At = feature.PhaseRead
			}
		}
	}
}

// writeScope resolves names for the write half: fields, then features at write.
type writeScope struct{ c *compiler }

func (s writeScope) Resolve(name string) (*expr.Expr, bool) {
	for slot, f := range s.c.src.Fields {
		if f.Name == name {
			return expr.Column(slot, name, f.Type), true
		}
	}
	if i := s.c.featureNamed(name); i >= 0 && s.c.trees[i] != nil {
		return s.c.trees[i], true
	}
	return nil, false
}

func (s writeScope) Names() []string { return s.c.names() }

func (c *compiler) names() []string {
	var names []string
	for _, f := range c.src.Fields {
		names = append(names, f.Name)
	}
	for i := range c.view.Features {
		if c.featureNamed(c.view.Features[i].Name) >= 0 && !c.isOwnField(i) {
			names = append(names, c.view.Features[i].Name)
		}
	}
	return names
}

func (c *compiler) checkWrite() {
	c.trees = make([]*expr.Expr, len(c.nodes))
	for _, i := range c.sorted {
		if c.view.Features[i].At == feature.PhaseWrite {
			c.trees[i] = c.check(featurePart(i), c.nodes[i], writeScope{c})
			c.setType(i, c.trees[i])
		}
	}
	if c.where != nil {
		c.checkWhere()
	}
	c.keyTrees = make([]*expr.Expr, len(c.keys))
	for i := range c.keys {
		c.keyTrees[i] = c.checkKey(i)
	}
}

func (c *compiler) check(part string, n *expr.Node, scope expr.Scope) *expr.Expr {
	e, err := expr.Check(n, scope)
	if err != nil {
		c.fail(part, err)
		return nil
	}
	return e
}

// setType infers a feature's type, or compares it with the one stated.
func (c *compiler) setType(i int, e *expr.Expr) {
	if e != nil {
		c.takeType(i, e.Type())
	}
}

func (c *compiler) takeType(i int, inferred feature.Type) {
	f := &c.view.Features[i]
	if inferred.Kind == feature.KindInvalid {
		c.problem(featurePart(i), 0, fmt.Sprintf("feature %s has no type: its expression is only null", f.Name),
			"cast it, for example cast(null as float64)")
		return
	}
	stated := f.Type
	if stated.Length > 0 && stated.IsList() {
		inferred.Length = stated.Length
	}
	if stated.Kind != feature.KindInvalid && stated != inferred {
		c.problem(fmt.Sprintf("features[%d].type", i), -1, fmt.Sprintf("feature %s is stated to be %s but its %s is %s", f.Name, stated, whatOf(f), inferred),
			fmt.Sprintf("leave type out, or write cast(… as %s)", stated))
		return
	}
	f.Type = inferred
}

func whatOf(f *feature.Feature) string {
	if f.Aggregate != nil {
		return f.Aggregate.Kind
	}
	return "expression"
}

// needsRead refuses what is decided at write but names a feature that exists
// only at read.
func (c *compiler) needsRead(part string, n *expr.Node) bool {
	for _, name := range namesOf(n) {
		if j := c.featureNamed(name); j >= 0 && c.view.Features[j].At == feature.PhaseRead {
			if c.view.Features[j].Aggregate != nil && strings.HasPrefix(part, "features[") {
				c.problem(part, 0, fmt.Sprintf("feature %s is an aggregate, and there are no aggregates of aggregates", name),
					"name fields of the source and features at write; features at read may combine aggregates")
				return true
			}
			c.problem(part, 0, fmt.Sprintf("feature %s is computed at read, and this is decided at write", name), "name fields of the source and features at write")
			return true
		}
	}
	return false
}

func (c *compiler) checkWhere() {
	if c.needsRead("where", c.where) {
		return
	}
	c.whereTree = c.check("where", c.where, writeScope{c})
	if c.whereTree != nil && c.whereTree.Type() != feature.Of(feature.KindBool) {
		c.problem("where", 0, fmt.Sprintf("where is %s, not bool", c.whereTree.Type()), "compare it with something")
	}
}

// checkKey type-checks one join key; integers widen to the declared type.
func (c *compiler) checkKey(i int) *expr.Expr {
	part, want := "keys."+c.view.Keys[i].JoinKey, c.entity.JoinKeys[i].Type
	if c.needsRead(part, c.keys[i]) {
		return nil
	}
	e := c.check(part, c.keys[i], writeScope{c})
	if e == nil || e.Type() == want {
		return e
	}
	if e.Type() == feature.Of(feature.KindInt32) && want == feature.Of(feature.KindInt64) {
		return expr.Cast(e, want)
	}
	c.problem(part, 0, fmt.Sprintf("join key %s of entity %s is %s but its expression is %s",
		c.view.Keys[i].JoinKey, c.entity.Name, want, e.Type()), fmt.Sprintf("write cast(… as %s)", want))
	return nil
}
