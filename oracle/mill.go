package main

import (
	"millrace/transforms/expr"
)

// expression is a text that the language accepts, and its SQL.
type expression struct {
	text  string
	node  *expr.Node
	typed *expr.Expr
}

func parse(text string) (expression, error) {
	n, err := expr.Parse(text)
	if err != nil {
		return expression{}, err
	}
	e, err := expr.Check(n, scope{})
	return expression{text: text, node: n, typed: e}, err
}

// compute evaluates expressions of ours, in one program as a view's are.
func compute(all []expression, in expr.Input) [][]cell {
	outs := make([]*expr.Expr, len(all))
	for i, e := range all {
		outs[i] = e.typed
	}
	m := expr.Compile(outs).NewMachine()
	m.Run(in)
	cells := make([][]cell, len(all))
	for i := range all {
		cells[i] = make([]cell, in.Rows)
		for row := range in.Rows {
			if _, failed := m.Failure(i, row); failed {
				cells[i][row].failed = true
			} else {
				cells[i][row].value = columnCell(m.Out(i), row)
			}
		}
	}
	return cells
}
