package transforms

import (
	"fmt"
	"slices"
	"strings"

	"millrace/feature"
	"millrace/transforms/expr"
)

// rowsStep is the name of the step that has a view's rows.
func (q *query) rowsStep() string { return expr.QuoteSQL(q.plan.View.Name + "/rows") }

// writeTraining writes the steps that make rows of raw events: what a lane
// would have stored of each, and what windows would have counted of it.
func (q *query) writeTraining(w *withSQL) {
	q.writeSteps(w)
	columns := make([]string, 0, len(q.keys)+len(q.plan.Stored.Columns))
	for i, k := range q.keys {
		columns = append(columns, fmt.Sprintf("cast(%s as %s) as %s", q.atWrite(k), expr.SQLType(q.plan.Entity.JoinKeys[i].Type), keyName(i)))
	}
	columns = append(append(columns, sqlEventTime, sqlNow, sqlRecorded), q.order()...)
	for _, c := range q.plan.Stored.Columns {
		columns = append(columns, expr.QuoteSQL(c.Name))
	}
	w.add(q.rowsStep(), append(columns, q.windowColumns()...), q.stepName(q.last), q.wheres(q.last+1))
}

// sameKey are the conditions under which a row r of the view is of an asked
// entity, and had been recorded when it was asked for.
func (b *training) sameKey(v *askedView) string {
	var all []string
	for i, k := range v.keys {
		all = append(all, fmt.Sprintf("r.%s = a.%s", keyName(i), keyName(k)))
	}
	return strings.Join(append(all, fmt.Sprintf("r.%s <= a.%s", sqlRecorded, sqlAt)), " and ")
}

// writeView writes what a read loads of a view, and the features that it makes
// of it.
func (b *training) writeView(w *withSQL, v *askedView) {
	q := v.query
	from := []string{sqlAsked + " as a"}
	columns := []string{"a." + sqlRow, "a." + sqlAt, v.keyed() + " as " + sqlKeyed}
	if q.plan.StoresRows() {
		b.writeRow(w, v)
		from = append(from, fmt.Sprintf("left join %s as r using (%s)", v.step("row"), sqlRow))
		columns = append(columns, "r."+sqlEventTime, fmt.Sprintf("(r.%s is not null) as %s", sqlEventTime, sqlFound), v.old()+" as "+sqlOld)
		for _, c := range q.plan.Stored.Columns {
			columns = append(columns, "r."+expr.QuoteSQL(c.Name))
		}
	}
	for hop := range v.hops() {
		b.writeHop(w, v, hop)
		from = append(from, fmt.Sprintf("left join %s using (%s)", v.hopStep(hop, "windows"), sqlRow))
	}
	w.add(v.step("values"), append(columns, v.windowValues()...), strings.Join(from, "\n  "), nil)
	served := []string{sqlRow}
	if q.plan.StoresRows() {
		served = append(served, sqlEventTime)
	} else {
		served = append(served, "cast(null as timestamp) as "+sqlEventTime)
	}
	for i, name := range v.features {
		served = append(served, v.answer(i)+" as "+expr.QuoteSQL(name))
		if v.failures {
			served = append(served, v.failed(i)+" as "+failedName(name))
		}
	}
	w.add(v.step("served"), served, v.step("values"), nil)
}

// Columns of a view's values.
const (
	sqlKeyed = `"millrace_keyed"` // no join key is null
	sqlFound = `"millrace_found"` // a row was stored
	sqlOld   = `"millrace_old"`   // longer ago than the TTL
)

func (v *askedView) keyed() string {
	var all []string
	for _, k := range v.keys {
		all = append(all, fmt.Sprintf("a.%s is not null", keyName(k)))
	}
	return "(" + strings.Join(all, " and ") + ")"
}

func (v *askedView) old() string {
	view := v.query.plan.View
	if view.TTL == 0 || view.TTLMode == feature.TTLIgnore {
		return "false"
	}
	return fmt.Sprintf("coalesce(r.%s < a.%s - %s, false)", sqlEventTime, sqlAt, interval(view.TTL))
}

// writeRow writes which row the store would have held.
func (b *training) writeRow(w *withSQL, v *askedView) {
	q := v.query
	columns := []string{"a." + sqlRow, "r." + sqlEventTime}
	for _, c := range q.plan.Stored.Columns {
		columns = append(columns, "r."+expr.QuoteSQL(c.Name))
	}
	w.add(v.step("row"), columns, fmt.Sprintf("%s as a\n  join %s as r on %s", sqlAsked, q.rowsStep(), b.sameKey(v)), nil,
		fmt.Sprintf("qualify row_number() over (partition by a.%s order by %s) = 1", sqlRow, q.newest("r.")))
}

// newest orders rows as a store does, the one that stays first.
func (q *query) newest(of string) string { return q.ordered(of, " desc") }

// ordered lists what orders rows: event time, record time, offset, element and
// partition.
func (q *query) ordered(of, how string) string {
	columns := []string{sqlEventTime, sqlNow, `"record_offset"`}
	if q.plan.View.Unnest != nil {
		columns = append(columns, sqlElement)
	}
	columns = append(columns, `"record_partition"`)
	for i := range columns {
		columns[i] = of + columns[i] + how
	}
	return strings.Join(columns, ", ")
}

// live says when feature i has a value of its own, and not its default.
func (v *askedView) live(i int) string {
	switch {
	case !v.reader.NeedsRow(i):
		return sqlKeyed
	case v.query.plan.View.TTLMode == feature.TTLReport:
		return sqlFound
	}
	return "(" + sqlFound + " and not " + sqlOld + ")"
}

// answer is feature i as it is served.
func (v *askedView) answer(i int) string {
	f := &v.query.plan.View.Features[v.query.plan.featureIndex(v.features[i])]
	name, otherwise := expr.QuoteSQL(f.Name), "null"
	if f.Default != nil {
		otherwise = expr.SQLValue(f.Default, 0)
	}
	broken := v.broken(i)
	switch {
	case v.reader.Computed(i):
		return v.computed(i, otherwise)
	case f.Default == nil && f.Aggregate != nil:
		return name
	case f.Default == nil:
		return fmt.Sprintf("case when %s then %s end", v.live(i), name)
	case f.Aggregate != nil && broken != "":
		return fmt.Sprintf("case when %s then null else coalesce(%s, %s) end", broken, name, otherwise)
	case f.Aggregate != nil:
		return fmt.Sprintf("coalesce(%s, %s)", name, otherwise)
	}
	return fmt.Sprintf("coalesce(case when %s then %s end, %s)", v.live(i), name, otherwise)
}

// computed is a feature at read. One that fails, or is made of a window that
// failed, is null and takes no default.
func (v *askedView) computed(i int, otherwise string) string {
	text := v.text(i)
	broken, none := v.broken(i), fmt.Sprintf("try(%s) is null", text)
	if broken != "" {
		none = broken + " or " + none
		broken = " when " + broken + " then null"
	}
	if otherwise == "null" {
		return fmt.Sprintf("case when not %s then null%s else try(%s) end", v.live(i), broken, text)
	}
	late := ""
	if v.query.plan.View.TTLMode == feature.TTLReport && v.reader.NeedsRow(i) { // an old value that is none is out of age, however it came
		late = fmt.Sprintf(" when %s and (%s) then %s", sqlOld, none, otherwise)
	}
	return fmt.Sprintf("case when not %s then %s%s%s when try((%s) is null) then %s else try(%s) end", v.live(i), otherwise, late, broken, text, otherwise, text)
}

// text is the expression of feature i at read.
func (v *askedView) text(i int) string {
	q := v.query
	return q.readText(q.nodes[q.plan.featureIndex(v.features[i])], sqlAt)
}

func failedName(name string) string { return expr.QuoteSQL("millrace_failed/" + name) }

// failed says whether feature i has the status ERROR.
func (v *askedView) failed(i int) string {
	var all []string
	if broken := v.broken(i); broken != "" {
		all = append(all, broken)
	}
	if v.reader.Computed(i) {
		all = append(all, fmt.Sprintf("try((%s) is null) is null", v.text(i)))
	}
	if len(all) == 0 {
		return "false"
	}
	live := v.live(i)
	if v.reader.NeedsRow(i) && v.query.plan.View.TTLMode == feature.TTLReport {
		live += " and not " + sqlOld
	}
	return fmt.Sprintf("(%s and (%s))", live, strings.Join(all, " or "))
}

// broken says when a window that feature i is made of has no representation;
// "" is never.
func (v *askedView) broken(i int) string {
	var all []string
	for _, w := range v.reader.FromWindows(i) {
		if f := v.reader.Windows().Feature(w); mayFail(f) {
			all = append(all, failedName(f.Name))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return "(" + strings.Join(slices.Compact(all), " or ") + ")"
}
