package main

import (
	"strings"

	"millrace/feature"
	"millrace/transforms/expr"
)

// asked is how DuckDB is asked for an expression.
type asked struct {
	sql   string
	tame  string // means the same, for rows that may fail
	fails bool   // whether some may
	json  bool   // it gives json, or lists of it
	depth int    // of the lists
}

func (e expression) asked() asked { return e.askedAs(e.node.SQL(expr.SQLNames{})) }

// askedAs asks for another text of the same meaning.
func (e expression) askedAs(sql string) asked {
	t := e.typed.Type()
	q := asked{sql: sql, tame: sql, json: t.Kind == feature.KindJSON, depth: int(t.Depth)}
	if expr.Uses(e.node, "coalesce") || expr.Uses(e.node, "ifnull") {
		q.tame = tamed(e.node).SQL(expr.SQLNames{})
	}
	return q
}

// tamed is n with every coalesce written as a case. Once a row has failed below
// try(…), DuckDB computes row by row, and coalesce then reads memory that nobody
// has written: values of other rows at best, and at worst the process ends.
func tamed(n *expr.Node) *expr.Node {
	operands := n.Operands()
	for i, k := range operands {
		operands[i] = tamed(k)
		n = n.With(i, operands[i])
	}
	if n.Label() != "coalesce(" && n.Label() != "ifnull(" {
		return n
	}
	var b strings.Builder
	last := len(operands) - 1
	for _, k := range operands[:last] {
		b.WriteString(" when (" + k.String() + ") is not null then " + k.String())
	}
	text := "case" + b.String() + " else " + operands[last].String() + " end"
	if last == 0 {
		text = operands[0].String()
	}
	plain, err := expr.Parse(text)
	if err != nil {
		panic(err) // it is made of what was parsed
	}
	return plain
}

// willFail tells each question whether ours has failed on a row.
func willFail(questions []asked, ours [][]cell) {
	for i := range questions {
		for _, c := range ours[i] {
			questions[i].fails = questions[i].fails || c.failed
		}
	}
}

// columns are the three things that a query asks of an expression: its value,
// null where it fails; whether it is null, null where it fails; and its type.
// What does not fail is asked for without try, which is how people ask.
func (q asked) columns() string {
	as := ""
	if q.json {
		as = "::varchar" + strings.Repeat("[]", q.depth) // the driver would decode it
	}
	if !q.fails {
		return "(" + q.sql + ")" + as + ", true, typeof(" + q.sql + ")"
	}
	return "try(" + q.tame + ")" + as + ", try((" + q.tame + ") is null), typeof(" + q.tame + ")"
}
