package expr

import (
	"strings"

	"millrace/feature"
)

// SQLNames says what the names of an expression are called in SQL. The zero
// value is a table whose columns have the names that the expression uses.
type SQLNames struct {
	Name      func(name string) string // SQL of a column or feature; nil writes the name, quoted
	EventTime func(view string) string // SQL of event_time(view), a TIMESTAMP, "" without a view; nil is the column "view.event_time" or event_time
	Now       string                   // SQL of now(), a TIMESTAMP; "" is the column now
}

// SQL writes n for DuckDB, where it gives the values and types that it gives
// here: n itself, but for what is spelled differently there. Names are quoted,
// decimal literals made DOUBLE, types have SQL's names, clocks are columns, and
// functions that DuckDB lacks or means differently are written out. What still
// differs is listed in docs/expressions.md, and `make oracle` holds both to it.
//
// The session's TimeZone must be UTC. Text becomes a time by way of TIMESTAMPTZ
// there, because DuckDB's cast to TIMESTAMP ignores the zone that the text names.
//
// Failures are not values in SQL: DuckDB ends the query. Wrap what may fail in
// try(…), which makes it null.
func (n *Node) SQL(names SQLNames) string {
	b := printer{sql: &names}
	n.print(&b)
	return b.String()
}

// sqlLacks are functions that SQL cannot write.
var sqlLacks = []string{"geohash"}

// LacksSQL returns the first function of n that SQL cannot write, or "".
func LacksSQL(n *Node) string {
	for _, f := range sqlLacks {
		if Uses(n, f) {
			return f
		}
	}
	return ""
}

// sqlForms are calls that DuckDB spells differently, by the function's own
// name. $1 is the first argument, and so on; $,2 is the second with a comma before
// it, or nothing.
var sqlForms = map[string]string{
	"sign":              "cast(sign($1) as integer)", // a TINYINT
	"timezone":          "timezone($1, cast($2 as timestamptz))",
	"bucketize":         "(case when $1 is not null then len(list_filter($2, lambda millrace_edge: millrace_edge <= $1)) end)",
	"hash_bucket":       "(cast('0x' || left(md5(cast($1 as varchar)), 15) as bigint) % $2)",
	"haversine_km":      "(12742.0176e0 * asin(sqrt(least(1e0, " + sqlHaversine + ") + 0 * (" + sqlHaversine + "))))", // least drops null and NaN
	"json_array_length": "cast(json_array_length($1$,2) as bigint)",                                                   // a UBIGINT
	"to_timestamp":      "(to_timestamp($1) at time zone 'UTC')",
}

const sqlHaversine = "pow(sin(radians($3 - $1) / 2), 2) + cos(radians($1)) * cos(radians($3)) * pow(sin(radians($4 - $2) / 2), 2)"

// float makes a decimal literal DOUBLE: DuckDB's has no exponent.
func (b *printer) float(text string) {
	b.put(text)
	if b.sql != nil && !strings.ContainsAny(text, "eE") {
		b.put("e0")
	}
}

func (b *printer) name(name string) {
	switch {
	case b.sql == nil:
		b.put(quoteName(name))
	case b.sql.Name != nil:
		b.put(b.sql.Name(name))
	default:
		b.put(QuoteSQL(name))
	}
}

// QuoteSQL writes name as a quoted identifier.
func QuoteSQL(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (b *printer) call(n *Node) {
	if b.sql == nil {
		b.put(n.text)
		printList(b, "(", n.args, ")")
		return
	}
	name := n.text
	if other, ok := aliases[name]; ok {
		name = other
	}
	switch form, ok := sqlForms[name]; {
	case name == "event_time":
		b.eventTime(n)
	case name == "now":
		b.now()
	case ok:
		b.form(form, n.args)
	default:
		b.put(n.text)
		printList(b, "(", n.args, ")")
	}
}

func (b *printer) eventTime(n *Node) {
	view := ""
	if len(n.args) > 0 {
		view = n.args[0].text
	}
	switch {
	case b.sql.EventTime != nil:
		b.put(b.sql.EventTime(view))
	case view == "":
		b.put(QuoteSQL("event_time"))
	default:
		b.put(QuoteSQL(view + ".event_time"))
	}
}

func (b *printer) now() {
	if b.sql.Now == "" {
		b.put(QuoteSQL("now"))
		return
	}
	b.put(b.sql.Now)
}

// form writes a template of sqlForms. Arguments stand in parentheses where
// they need them.
func (b *printer) form(form string, args []*Node) {
	for i := 0; i < len(form); i++ {
		if form[i] != '$' {
			b.put(form[i : i+1])
			continue
		}
		i++
		comma := form[i] == ','
		if comma {
			i++
		}
		k := int(form[i] - '1')
		if k >= len(args) {
			continue
		}
		if comma {
			b.put(", ")
		}
		args[k].operand(b)
	}
}

// sqlTypes are DuckDB's names of types where they are not our own.
var sqlTypes = map[string]string{
	"bool": "boolean", "int32": "integer", "int64": "bigint", "float32": "float", "float64": "double",
	"string": "varchar", "bytes": "blob",
}

func (b *printer) typeName(name string) string {
	if b.sql == nil {
		return name
	}
	return sqlType(name)
}

// SQLType is DuckDB's name of t.
func SQLType(t feature.Type) string { return sqlType(t.String()) }

// sqlType turns list<t> into t[] and names scalars as SQL does.
func sqlType(name string) string {
	if inner, ok := strings.CutPrefix(name, "list<"); ok {
		return sqlType(strings.TrimSuffix(inner, ">")) + "[]"
	}
	if sql, ok := sqlTypes[name]; ok {
		return sql
	}
	return name
}
