package transforms

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"millrace/feature"
	"millrace/transforms/expr"
)

// SQLSettings say what is known of the table of raw events.
type SQLSettings struct {
	Table  string // "" is the source's name
	Latest bool   // only the row that a store would hold for each entity key
	// Try makes what fails null. Without it DuckDB ends the query at the first
	// row that a lane would dead-letter for its expression.
	Try  bool
	Skew time.Duration // future skew allowed; 0 is DefaultMaxFutureSkew

	Entities string // of Training: table of what is asked for; "" is DefaultEntities
}

// The columns that the query makes beside those of the definition.
const (
	sqlEventTime = `"millrace_event_time"`
	sqlNow       = `"millrace_now"`
	sqlReadTime  = "cast(getvariable('read_time') as timestamp)"
)

// SQL writes the view as a DuckDB query over a table of its source's raw
// events: one row per event that would be stored, with the join keys, the event
// time, and all features, those computed at read as a read at that moment
// would give them: now() is the variable read_time. What it computes is the
// definition's own text by way of expr.Node.SQL.
//
// The table has the source's fields by name and record_time, the log's time of
// the record; with Latest also record_offset and record_partition. TTLs and
// sizes are not applied. The session's TimeZone must be UTC.
//
// The error is that of an expression which DuckDB has no form for, or of a
// windowed feature, whose value depends on when it is read: see Training.
func SQL(p *Plan, s SQLSettings) (string, error) {
	if p.Windows != nil {
		return "", fmt.Errorf("write %s as SQL: feature %s is an aggregate over a window, which has a value for each time of a read and none for an event; "+
			"ask for it at the times of a table of entities", p.View, p.Windows.Features[0].Name)
	}
	q := newQuery(p, s)
	if err := q.check(); err != nil {
		return "", err
	}
	return q.String(), nil
}

// check names what cannot be written.
func (q *query) check() error {
	refuse := func(what string, n *expr.Node) error {
		if f := expr.LacksSQL(n); f != "" {
			return fmt.Errorf("write %s as SQL: %s calls %s, which DuckDB does not have; compute it before loading the events", q.plan.View.Name, what, f)
		}
		return nil
	}
	var all []error
	if q.where != nil {
		all = append(all, refuse("where", q.where))
	}
	for i, k := range q.plan.View.Keys {
		all = append(all, refuse("join key "+k.JoinKey, q.keys[i]))
	}
	for i, n := range q.nodes {
		if n != nil {
			all = append(all, refuse("feature "+q.plan.View.Features[i].Name, n))
		}
	}
	for _, n := range q.ofs {
		all = append(all, refuse("what an aggregate is of", n))
	}
	for _, n := range q.filters {
		all = append(all, refuse("the filter of an aggregate", n))
	}
	return errors.Join(all...)
}

// query writes steps: step 0 has the events with declared types and times; each
// step after it adds the features at write that name only features of steps
// before, and drops rows as soon as it is known that they are not wanted, as a
// lane does; millrace_rows adds entity key and features at read, and the answer
// puts all in the definition's order. Features at read are written into those
// that name them, because a failure spreads to them, which null would not.
type query struct {
	plan     *Plan
	settings SQLSettings
	where    *expr.Node   // nil without one
	keys     []*expr.Node // parallel to the view's keys
	nodes    []*expr.Node // parallel to the view's features; nil for aggregates
	ofs      []*expr.Node // parallel to the arguments of windows
	filters  []*expr.Node // parallel to their filters
	steps    []int        // parallel too: the step of a feature at write; 0 is a field, or not known yet
	last     int          // step
	training bool         // the steps are part of a query of Training
}

func newQuery(p *Plan, s SQLSettings) *query {
	q := &query{plan: p, settings: s, steps: make([]int, len(p.View.Features))}
	if q.settings.Table == "" {
		q.settings.Table = p.Source.Name
	}
	if q.settings.Skew == 0 {
		q.settings.Skew = DefaultMaxFutureSkew
	}
	if p.hasWhere {
		q.where = parsed(p.View.Where)
	}
	for _, k := range p.View.Keys {
		q.keys = append(q.keys, parsed(k.Expr))
	}
	for i := range p.View.Features {
		q.nodes = append(q.nodes, parsed(p.View.Features[i].Expr))
	}
	q.parseWindows()
	for i := range q.nodes {
		q.last = max(q.last, q.step(i))
	}
	return q
}

// parsed reads text that compiling the plan has read before.
func parsed(text string) *expr.Node {
	n, err := expr.Parse(text)
	if err != nil {
		return nil
	}
	return n
}

// step is the one that adds feature i: 0 for one that is the field of its name,
// which the events have, and for one at read.
func (q *query) step(i int) int {
	f := &q.plan.View.Features[i]
	if _, isField := q.plan.Field(f.Name); isField || f.At == feature.PhaseRead {
		return 0
	}
	if q.steps[i] == 0 { // once: features that share parts would be walked again and again
		q.steps[i] = q.after(q.nodes[i])
	}
	return q.steps[i]
}

// after is the first step in which n can be computed.
func (q *query) after(n *expr.Node) int {
	step := 1
	for _, name := range expr.Names(n) {
		if i := q.plan.featureIndex(name); i >= 0 {
			step = max(step, q.step(i)+1)
		}
	}
	return step
}

func (q *query) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "-- %s of %s, by DuckDB with its TimeZone set to UTC.\n", q.plan.View, q.plan.Entity.Name)
	fmt.Fprintf(&b, "-- %s holds raw events: the fields of source %s, and %s.\n", q.table(), q.plan.Source.Name, strings.Join(q.recordColumns(), ", "))
	if u := q.plan.View.Unnest; u != nil {
		fmt.Fprintf(&b, "-- Its column %s is a list of structs, and a row here is an element of one.\n", expr.QuoteSQL(u.Field))
	}
	if q.readsNow() {
		b.WriteString("-- now() at read is the variable read_time: set variable read_time = timestamp '2026-01-31 12:00:00';\n")
	}
	w := withSQL{b: &b}
	q.writeSteps(&w)
	w.add("millrace_rows", q.rows(), q.stepName(q.last), q.wheres(q.last+1))
	w.end()
	fmt.Fprintf(&b, "select\n  %s\nfrom millrace_rows\n", strings.Join(q.answers(), ",\n  "))
	if q.settings.Latest {
		fmt.Fprintf(&b, "qualify row_number() over (\n  partition by %s\n  order by %s desc, %s desc, \"record_offset\" desc, %s\"record_partition\" desc\n) = 1\n",
			strings.Join(q.keyNames(), ", "), sqlEventTime, sqlNow, q.elementOrder())
	}
	return b.String()
}

// writeSteps writes the steps, step 0 to the last.
func (q *query) writeSteps(w *withSQL) {
	w.add(q.stepName(0), q.events(), q.from(), nil)
	for step := 1; step <= q.last; step++ {
		w.add(q.stepName(step), append([]string{"*"}, q.features(step)...), q.stepName(step-1), q.wheres(step))
	}
}

func (q *query) stepName(step int) string {
	if q.training {
		return expr.QuoteSQL(fmt.Sprintf("%s/%d", q.plan.View.Name, step))
	}
	return fmt.Sprintf("millrace_%d", step)
}

func (q *query) table() string { return expr.QuoteSQL(q.settings.Table) }

func (q *query) recordColumns() []string {
	if q.settings.Latest {
		return []string{"record_time", "record_offset", "record_partition"}
	}
	return []string{"record_time"}
}

// events are the columns that expressions may name, and no others: a column
// that the source does not declare must not stand in a feature's place.
func (q *query) events() []string {
	var columns []string
	for _, f := range q.plan.Fields {
		columns = append(columns, fmt.Sprintf("cast(%s as %s) as %s", q.field(f.Name), expr.SQLType(f.Type), expr.QuoteSQL(f.Name)))
	}
	eventTime := `"record_time"`
	if name := q.plan.Source.EventTime; name != "" {
		eventTime = "coalesce(" + q.field(name) + `, "record_time")`
	}
	columns = append(columns, fmt.Sprintf("cast(%s as timestamp) as %s", eventTime, sqlEventTime),
		`cast(date_trunc('milliseconds', "record_time") as timestamp) as `+sqlNow)
	if q.settings.Latest {
		columns = append(columns, q.order()...)
	}
	if q.training {
		columns = append(columns, `cast("record_time" as timestamp) as `+sqlRecorded)
	}
	return columns
}

// features are those at write that a step adds.
func (q *query) features(step int) []string {
	var columns []string
	for i, n := range q.nodes {
		if q.steps[i] == step {
			columns = append(columns, q.atWrite(n)+" as "+expr.QuoteSQL(q.plan.View.Features[i].Name))
		}
	}
	return columns
}

// wheres are the conditions that a step can judge and those before could not.
func (q *query) wheres(step int) []string {
	var conditions []string
	add := func(n *expr.Node, form string) {
		if q.after(n) == step {
			conditions = append(conditions, fmt.Sprintf(form, q.atWrite(n)))
		}
	}
	if step == 1 {
		conditions = append(conditions, fmt.Sprintf("%s <= %s + interval %d microseconds", sqlEventTime, sqlNow, q.settings.Skew.Microseconds()))
	}
	if q.where != nil {
		add(q.where, "(%s)")
	}
	for _, k := range q.keys {
		add(k, "(%s) is not null")
	}
	for i := range q.plan.View.Features {
		if f := &q.plan.View.Features[i]; step == q.last+1 && f.At == feature.PhaseWrite && f.Type.Length > 0 {
			conditions = append(conditions, fmt.Sprintf("(%[1]s is null or len(%[1]s) = %[2]d)", expr.QuoteSQL(f.Name), f.Type.Length))
		}
	}
	return conditions
}

// rows are entity key, times and features.
func (q *query) rows() []string {
	columns := make([]string, 0, len(q.nodes)+4)
	for i, k := range q.keys {
		columns = append(columns, fmt.Sprintf("cast(%s as %s) as %s", q.atWrite(k), expr.SQLType(q.plan.Entity.JoinKeys[i].Type), keyName(i)))
	}
	columns = append(columns, sqlEventTime)
	if q.settings.Latest {
		columns = append(append(columns, sqlNow), q.order()...)
	}
	for i := range q.nodes {
		f := &q.plan.View.Features[i]
		name := expr.QuoteSQL(f.Name)
		if f.At == feature.PhaseWrite {
			columns = append(columns, name)
			continue
		}
		columns = append(columns, "try("+q.atRead(q.nodes[i])+") as "+name)
		if f.Default != nil {
			columns = append(columns, "try(("+q.atRead(q.nodes[i])+") is null) as "+nullName(i))
		}
	}
	return columns
}

func (q *query) atWrite(n *expr.Node) string {
	text := n.SQL(expr.SQLNames{EventTime: eventTimeSQL, Now: sqlNow})
	if q.settings.Try {
		text = "try(" + text + ")"
	}
	return text
}

func (q *query) atRead(n *expr.Node) string { return q.readText(n, sqlReadTime) }

// readText is the SQL of an expression at read. Windowed features are columns.
func (q *query) readText(n *expr.Node, now string) string {
	return n.SQL(expr.SQLNames{EventTime: eventTimeSQL, Now: now, Name: func(name string) string {
		if i := q.plan.featureIndex(name); i >= 0 && q.plan.View.Features[i].At == feature.PhaseRead && q.nodes[i] != nil {
			return "(" + q.readText(q.nodes[i], now) + ")"
		}
		return expr.QuoteSQL(name)
	}})
}

// answers are what a read serves: features with their defaults.
func (q *query) answers() []string {
	var columns []string
	for i, k := range q.plan.View.Keys {
		columns = append(columns, keyName(i)+" as "+expr.QuoteSQL(k.JoinKey))
	}
	columns = append(columns, sqlEventTime+" as event_time")
	for i := range q.plan.View.Features {
		f := &q.plan.View.Features[i]
		name := expr.QuoteSQL(f.Name)
		switch {
		case f.Default == nil:
		case f.At == feature.PhaseRead: // what failed is null with the status ERROR and takes no default
			name = fmt.Sprintf("case when %[2]s then %[3]s else %[1]s end as %[1]s", name, nullName(i), expr.SQLValue(f.Default, 0))
		default:
			name = fmt.Sprintf("coalesce(%[1]s, %[2]s) as %[1]s", name, expr.SQLValue(f.Default, 0))
		}
		columns = append(columns, name)
	}
	return columns
}

func eventTimeSQL(string) string { return sqlEventTime }

func keyName(i int) string { return fmt.Sprintf(`"millrace_key_%d"`, i) }

func (q *query) keyNames() []string {
	var names []string
	for i := range q.plan.View.Keys {
		names = append(names, keyName(i))
	}
	return names
}

// nullName is a column that says whether feature i, computed at read, is null.
func nullName(i int) string { return fmt.Sprintf(`"millrace_null_%d"`, i) }

// readsNow reports whether a feature at read asks for now().
func (q *query) readsNow() bool {
	for i := range q.nodes {
		if q.plan.View.Features[i].At == feature.PhaseRead && expr.Uses(q.nodes[i], "now") {
			return true
		}
	}
	return false
}
