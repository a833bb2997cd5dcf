package main

import (
	"context"
	"fmt"

	"millrace/transforms/expr"
)

// explain looks for the parts of e at which a difference on a row arises, asks
// the table of known differences about each, and returns those it does not know.
// A part of which an operand differs already explains nothing by itself.
func (o *oracle) explain(ctx context.Context, rs *rowSet, e expression, q asked, row int, ours cell) ([]*finding, error) {
	conflicts, err := o.conflicts(ctx, e, rs.rows[row], row)
	if err != nil {
		return nil, err
	}
	if len(conflicts) == 0 {
		return o.asWhole(ctx, rs, e, q, row, ours)
	}
	var all []*finding
	for _, c := range conflicts {
		if id := explained(c); id != "" {
			o.Known[id]++
			continue
		}
		steady, err := o.steady(ctx, c, row)
		if err != nil {
			return nil, err
		}
		if !steady {
			o.Unsteady++
			continue
		}
		if c, err = o.shrink(ctx, c, rs.rows[row], row); err != nil {
			return nil, err
		}
		all = append(all, &finding{conflict: c})
	}
	return all, nil
}

// steady reports whether DuckDB stays with what it said about c when it is asked
// for c alone.
func (o *oracle) steady(ctx context.Context, c *conflict, row int) (bool, error) {
	theirs, err := o.duck.eval(ctx, []asked{c.expression.asked()}, onlyRow(row))
	if err != nil {
		return false, err
	}
	return len(differentRows(c.expression, []cell{c.ours}, theirs[0])) > 0, nil
}

// asWhole is for an expression of which no part differs on the row alone: what
// was asked of DuckDB does not mean what was parsed here, or ours depends on
// the other rows, or DuckDB's does. The last happens below try(…) once a row
// has failed, and is not ours to report.
func (o *oracle) asWhole(ctx context.Context, rs *rowSet, e expression, q asked, row int, ours cell) ([]*finding, error) {
	alone := compute([]expression{e}, input(rs.rows[row:row+1]))[0][0]
	if !alone.same(ours) {
		return []*finding{{note: fmt.Sprintf("here it is %s among other rows and %s alone", ours.show(e.typed.Type()), alone.show(e.typed.Type()))}}, nil
	}
	theirs, err := o.duck.eval(ctx, []asked{q}, onlyRow(row))
	if err != nil {
		return nil, err
	}
	if len(differentRows(e, []cell{alone}, theirs[0])) == 0 {
		o.Unsteady++
		return nil, nil
	}
	c := &conflict{whole: true, expression: e, ours: alone, theirType: theirs[0].typ, refused: theirs[0].refused}
	if len(theirs[0].cells) > 0 {
		c.theirs = theirs[0].cells[0]
	}
	if id := explained(c); id != "" {
		o.Known[id]++
		return nil, nil
	}
	return []*finding{{conflict: c, note: "as written it means something else: " + q.sql}}, nil
}

func onlyRow(row int) string { return fmt.Sprintf(`where "row" = %d`, row) }

// conflicts evaluates e and its parts on one row of t, and returns the parts
// that differ while their operands do not.
func (o *oracle) conflicts(ctx context.Context, e expression, values []any, row int) ([]*conflict, error) {
	all := parts(e)
	questions := make([]asked, len(all))
	for i, p := range all {
		questions[i] = p.asked()
	}
	ours := compute(all, input([][]any{values}))
	willFail(questions, ours)
	theirs, err := o.duck.eval(ctx, questions, onlyRow(row))
	if err != nil {
		return nil, err
	}
	agreed := make(map[string]cell)
	var found []*conflict
	for i, p := range all {
		c := &conflict{expression: p, ours: ours[i][0], theirType: theirs[i].typ, refused: theirs[i].refused}
		agree := true
		for _, operand := range operands(p.node) {
			value, ok := agreed[operand.text]
			agree = agree && ok
			c.values = append(c.values, value)
			c.operands = append(c.operands, operand)
		}
		if len(differentRows(p, ours[i], theirs[i])) == 0 {
			agreed[p.text] = c.ours
			continue
		}
		if len(theirs[i].cells) > 0 {
			c.theirs = theirs[i].cells[0]
		}
		if agree {
			found = append(found, c)
		}
	}
	return found, nil
}

// parts lists what e is made of and e, operands first, each text once.
func parts(e expression) []expression {
	var all []expression
	seen := make(map[string]bool)
	var walk func(e expression)
	walk = func(e expression) {
		for _, k := range operands(e.node) {
			walk(k)
		}
		if !seen[e.text] {
			seen[e.text] = true
			all = append(all, e)
		}
	}
	printed, err := parse(e.node.String())
	if err != nil {
		panic(fmt.Sprintf("%q is printed as %q: %v", e.text, e.node, err))
	}
	walk(printed)
	return all
}

// operands lists the parts of n that are expressions by themselves. Those that
// are not, intervals and the digits of the least int64, give way to their parts.
func operands(n *expr.Node) []expression {
	var all []expression
	for _, k := range n.Operands() {
		if e, err := parse(k.String()); err == nil {
			all = append(all, e)
		} else {
			all = append(all, operands(k)...)
		}
	}
	return all
}

// shrink puts the values of c's operands in their place, one by one, as long as
// the difference stays.
func (o *oracle) shrink(ctx context.Context, c *conflict, values []any, row int) (*conflict, error) {
	for i, operand := range c.operands {
		text, ok := literalOf(c.values[i], operand.typed.Type())
		if !ok || len(operand.node.Operands()) == 0 {
			continue
		}
		literal, err := expr.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("attempted to parse the literal %q: %w", text, err)
		}
		if len(c.operands) != len(c.expression.node.Operands()) {
			break // see operands
		}
		smaller, err := parse(c.expression.node.With(i, literal).String())
		if err != nil {
			continue // the part must be a literal of another kind
		}
		again, err := o.conflicts(ctx, smaller, values, row)
		if err != nil {
			return nil, err
		}
		if n := len(again); n > 0 && again[n-1].expression.text == smaller.text {
			c = again[n-1]
		}
	}
	return c, nil
}
