package transforms

import (
	"fmt"
	"strings"

	"millrace/transforms/expr"
)

// The elements of a list, as the first step of a query has them.
const (
	sqlElements = `"millrace_elements"` // the table of one record's elements
	sqlElement  = `"millrace_element"`  // the number of an element
)

// from is what raw rows are read from: events, or elements of a list of them.
func (q *query) from() string {
	u := q.plan.View.Unnest
	if u == nil {
		return q.table()
	}
	list := q.table() + "." + expr.QuoteSQL(u.Field)
	return fmt.Sprintf("%s, unnest(%s) with ordinality as %s(%s, %s)", q.table(), list, sqlElements, expr.QuoteSQL(u.As), sqlElement)
}

// field is the SQL of a field of raw rows.
func (q *query) field(name string) string {
	u := q.plan.View.Unnest
	if u == nil {
		return expr.QuoteSQL(name)
	}
	if field, ok := strings.CutPrefix(name, u.As+"."); ok {
		return fmt.Sprintf("%s.%s.%s", sqlElements, expr.QuoteSQL(u.As), expr.QuoteSQL(field))
	}
	return q.table() + "." + expr.QuoteSQL(name)
}

// order are the columns that order rows of equal times.
func (q *query) order() []string {
	columns := []string{`"record_offset"`, `"record_partition"`}
	if q.plan.View.Unnest != nil {
		columns = append(columns, sqlElement)
	}
	return columns
}

// elementOrder is where elements stand in the order of rows.
func (q *query) elementOrder() string {
	if q.plan.View.Unnest == nil {
		return ""
	}
	return sqlElement + " desc, "
}
