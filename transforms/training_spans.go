package transforms

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/transforms/expr"
	"millrace/transforms/window"
)

// parseWindows reads what aggregates are of.
func (q *query) parseWindows() {
	ws := q.plan.Windows
	if ws == nil {
		return
	}
	q.ofs, q.filters = make([]*expr.Node, len(ws.Args)), make([]*expr.Node, ws.Filters)
	for i := range ws.Features {
		f := &ws.Features[i]
		a := q.plan.View.Features[f.at].Aggregate
		if f.of >= 0 {
			q.ofs[f.of] = parsed(a.Of)
		}
		if f.filter >= 0 {
			q.filters[f.filter] = parsed(a.Filter)
		}
	}
}

func ofName(i int) string     { return fmt.Sprintf(`"millrace_of_%d"`, i) }
func filterName(i int) string { return fmt.Sprintf(`"millrace_filter_%d"`, i) }
func spanName(i int) string   { return fmt.Sprintf(`"millrace_in_%d"`, i) }
func wildName(i int) string   { return fmt.Sprintf(`"millrace_wild_%d"`, i) }
func stateName(i int) string  { return fmt.Sprintf(`"millrace_window_%d"`, i) }

const sqlEventID = `"millrace_event_id"`

// windowColumns are what windows count of a row.
func (q *query) windowColumns() []string {
	var columns []string
	for i, n := range q.ofs {
		columns = append(columns, q.atWrite(n)+" as "+ofName(i))
	}
	for i, n := range q.filters {
		columns = append(columns, "("+q.atWrite(n)+") as "+filterName(i))
	}
	if ws := q.plan.Windows; ws != nil && ws.EventID != "" {
		columns = append(columns, expr.QuoteSQL(ws.EventID)+" as "+sqlEventID)
	}
	return columns
}

// hops are the hops whose windows are asked for, as indices of the plan's.
func (v *askedView) hops() iter.Seq[int] {
	return func(yield func(int) bool) {
		if v.query.plan.Windows == nil {
			return
		}
		for hop := range v.query.plan.Windows.Hops {
			if len(v.windowsOf(hop)) > 0 && !yield(hop) {
				return
			}
		}
	}
}

// windowsOf are the windowed features of a hop that are asked for, as indices
// of the plan's windows.
func (v *askedView) windowsOf(hop int) []int {
	r := v.reader.Windows()
	if r == nil {
		return nil
	}
	var all []int
	for i := range r.Features() {
		at := slices.IndexFunc(v.query.plan.Windows.Features, func(f Windowed) bool { return f.Name == r.Feature(i).Name })
		if v.query.plan.Windows.Features[at].Hop == hop {
			all = append(all, at)
		}
	}
	return all
}

func (v *askedView) hopStep(hop int, what string) string {
	return v.step(Duration(v.query.plan.Windows.Hops[hop].Span) + "/" + what)
}

// writeHop writes the windows of a hop: which rows count, which of them each
// asked time reaches, and what is aggregated of them.
func (b *training) writeHop(w *withSQL, v *askedView, hop int) {
	ws := v.query.plan.Windows
	w.add(v.hopStep(hop, "counted"), []string{"*"}, v.query.rowsStep(), v.query.onTime(), v.query.once(ws.Hops[hop].Span)...)
	spans, columns := v.spans(hop), []string{"a." + sqlRow, "r.*"}
	for i, s := range spans {
		columns = append(columns, "("+insideSQL(s)+") as "+spanName(i))
	}
	var reached []string
	if !slices.ContainsFunc(spans, func(s window.Window) bool { return s.Unlimited }) {
		reached = append(reached, insideSQL(reach(spans)))
	}
	w.add(v.hopStep(hop, "reached"), columns,
		fmt.Sprintf("%s as a\n  join %s as r on %s", sqlAsked, v.hopStep(hop, "counted"), b.sameKey(v)), reached)
	states := []string{sqlRow}
	for _, i := range v.windowsOf(hop) {
		f := &ws.Features[i]
		states = append(states, v.query.states(f, i, slices.Index(spans, f.Window))...)
	}
	w.add(v.hopStep(hop, "windows"), states, v.hopStep(hop, "reached"), nil, "group by "+sqlRow)
}

// spans are the windows of a hop that differ.
func (v *askedView) spans(hop int) []window.Window {
	var all []window.Window
	for _, i := range v.windowsOf(hop) {
		place(&all, v.query.plan.Windows.Features[i].Window)
	}
	return all
}

// reach is one window of a hop around all of spans.
func reach(spans []window.Window) window.Window {
	all := spans[0]
	end := all.Offset + all.Length
	for _, s := range spans {
		end = max(end, s.Offset+s.Length)
		all.Offset = min(all.Offset, s.Offset)
	}
	all.Length = end - all.Offset
	return all
}

// insideSQL says which rows r a window covers at the time of a: from the start
// of the tile that holds its first moment to the end of the one that holds its
// last.
func insideSQL(s window.Window) string {
	if s.Unlimited {
		return "true"
	}
	tile := func(back time.Duration) string {
		at := "a." + sqlAt
		if back > 0 {
			at += " - " + interval(back)
		}
		return fmt.Sprintf("time_bucket(%s, %s)", interval(s.Hop), at)
	}
	return fmt.Sprintf("r.%s >= %s and r.%s < %s + %s", sqlEventTime, tile(s.Offset+s.Length), sqlEventTime, tile(s.Offset), interval(s.Hop))
}

// interval is a duration in its greatest whole unit of a fixed length.
func interval(d time.Duration) string {
	for _, u := range [...]struct {
		unit time.Duration
		name string
	}{{time.Hour, "hours"}, {time.Minute, "minutes"}, {time.Second, "seconds"}} {
		if d%u.unit == 0 {
			return fmt.Sprintf("interval %d %s", d/u.unit, u.name)
		}
	}
	return fmt.Sprintf("interval %d microseconds", d.Microseconds())
}

// onTime leaves out the rows that are late.
func (q *query) onTime() []string {
	if q.plan.Windows.Lateness == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s >= %s - %s", sqlEventTime, sqlNow, interval(q.plan.Windows.Lateness))}
}

// once leaves out copies: of the rows of a tile and partition that have one id,
// the first of the log counts. A row without an id counts each time.
func (q *query) once(hop time.Duration) []string {
	if q.plan.Windows.EventID == "" {
		return nil
	}
	var same []string
	for i := range q.keys {
		same = append(same, keyName(i))
	}
	if hop > 0 {
		same = append(same, fmt.Sprintf("time_bucket(%s, %s)", interval(hop), sqlEventTime))
	}
	same = append(same, `"record_partition"`, sqlEventID)
	if q.plan.View.Unnest != nil {
		same = append(same, sqlElement)
	}
	return []string{fmt.Sprintf("qualify %s is null or row_number() over (partition by %s order by \"record_offset\") = 1", sqlEventID, strings.Join(same, ", "))}
}

// states are the aggregates of a windowed feature, over the rows of a span.
func (q *query) states(f *Windowed, i, span int) []string {
	where, of := spanName(span), "*"
	if f.filter >= 0 {
		where += " and " + filterName(f.filter)
	}
	if f.of >= 0 {
		of = ofName(f.of)
	}
	number := "cast(" + of + " as double)"
	state := func(form, where string) string {
		return fmt.Sprintf("%s filter (where %s) as %s", form, where, stateName(i))
	}
	switch f.Spec.Kind {
	case window.KindCountDistinct:
		return []string{state("count(distinct "+of+")", where)}
	case window.KindSum, window.KindAvg:
		if !f.Spec.IsInteger() {
			of = number
		}
		return []string{state(f.Spec.Kind.String()+"("+of+")", where)}
	case window.KindVarPop, window.KindStddevPop: // others than finite numbers would end the query
		return []string{
			state(f.Spec.Kind.String()+"("+number+")", where+" and isfinite("+number+")"),
			fmt.Sprintf("count(*) filter (where %s and not isfinite(%s)) as %s", where, number, wildName(i)),
		}
	case window.KindFirst, window.KindLast:
		return []string{state(fmt.Sprintf("%s(%s order by %s)", f.Spec.Kind, of, q.ordered("", "")), where)}
	case window.KindLastN:
		return []string{state(fmt.Sprintf("list(%s order by %s)", of, q.newest("")), where)}
	case window.KindTopK:
		return []string{state("list("+of+")", where+" and "+of+" is not null")}
	case window.KindQuantile:
		return []string{state(fmt.Sprintf("list(%s order by %s)", number, number), where+" and "+of+" is not null")}
	case window.KindCount, window.KindMin, window.KindMax, window.KindInvalid:
	}
	return []string{state(f.Spec.Kind.String()+"("+of+")", where)}
}

// mayFail reports whether a window may have the status ERROR.
func mayFail(f *Windowed) bool {
	switch f.Spec.Kind { //nolint:exhaustive // the others always have an answer
	case window.KindSum:
		return f.Spec.IsInteger()
	case window.KindVarPop, window.KindStddevPop:
		return true
	}
	return false
}

// windowValues are the values of windowed features, null without an entity key,
// and which of them failed.
func (v *askedView) windowValues() []string {
	var columns []string
	for hop := range v.hops() {
		for _, i := range v.windowsOf(hop) {
			f := &v.query.plan.Windows.Features[i]
			value := fmt.Sprintf("cast(%s as %s)", finished(f, stateName(i)), expr.SQLType(f.Type))
			switch f.Spec.Kind { //nolint:exhaustive // what others have of nothing is null
			case window.KindCount, window.KindCountDistinct:
				value = fmt.Sprintf("case when %s then coalesce(%s, 0) end", v.keyed(), value)
			case window.KindVarPop, window.KindStddevPop:
				value = fmt.Sprintf("case when %s = 0 then %s end", wildName(i), value)
				columns = append(columns, fmt.Sprintf("coalesce(%s > 0, false) as %s", wildName(i), failedName(f.Name)))
			case window.KindSum:
				if f.Spec.IsInteger() {
					value = fmt.Sprintf("try_cast(%s as bigint)", stateName(i))
					columns = append(columns, fmt.Sprintf("(%s is not null and %s is null) as %s", stateName(i), value, failedName(f.Name)))
				}
			}
			columns = append(columns, value+" as "+expr.QuoteSQL(f.Name))
		}
	}
	return columns
}

// finished makes the answer of a state.
func finished(f *Windowed, state string) string {
	switch f.Spec.Kind { //nolint:exhaustive // the others are their state
	case window.KindLastN:
		if f.Spec.Distinct { // each value at its newest place
			return fmt.Sprintf("(select (list(v order by i))[1:%d] from (select v, min(i) as i from "+
				"(select unnest(%s) as v, generate_subscripts(%s, 1) as i) group by v))", f.Spec.N, state, state)
		}
		return fmt.Sprintf("%s[1:%d]", state, f.Spec.N)
	case window.KindTopK:
		return fmt.Sprintf("(select (list(v order by n desc, v))[1:%d] from (select v, count(*) as n from "+
			"(select unnest(%s) as v) group by v))", f.Spec.K, state)
	case window.KindQuantile: // the value of rank q·(n-1), rounded down
		q := strconv.FormatFloat(f.Spec.Q, 'e', -1, 64)
		return fmt.Sprintf("%[1]s[1 + cast(floor(%[2]s * (len(%[1]s) - 1)) as bigint)]", state, q)
	}
	return state
}
