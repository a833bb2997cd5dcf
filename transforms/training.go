package transforms

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"millrace/feature"
	"millrace/transforms/expr"
)

// Training is features that are asked for offline, as a model is trained on
// them: for a table of entities and times, what a read of each would have
// served at its time.
type Training struct {
	Name     string // of the view or service, for people
	Plans    map[string]*Plan
	OnDemand map[string]*OnDemandPlan
	Features []feature.FeatureRef
	LeftOut  []feature.FeatureRef // outputs of models: no event holds predictions, and a comment says so
	Short    bool                 // columns are called by the feature alone, not view:feature
	Settings SQLSettings
}

// DefaultEntities is the table of entities and times, when no other is named.
const DefaultEntities = "entities"

// The columns of a table of entities that the query adds.
const (
	sqlRow      = `"millrace_row"`
	sqlAt       = `"millrace_at"`
	sqlRecorded = `"millrace_recorded"`
	sqlAsked    = `"millrace_asked"`
)

// SQL writes a DuckDB query over a table of entities and tables of raw events.
//
// The table of entities has the join keys by the names that a read gives them,
// the fields of request sources that are asked for, and event_timestamp, the
// time of the read; what else it has is passed on. The answer has its rows in
// their order, and a column for each feature, as a read at that time would have
// served it if every record had been stored at its record's time: what came
// later is not seen, so nothing leaks from the future. now() at read is that
// time. TTLs apply.
//
// A table of raw events is named like its source, and has the source's fields
// by name, record_time, record_offset and record_partition. It has no deletes
// and no finished rows; sizes are not looked at. What windows approximate is
// exact here. The session's TimeZone must be UTC.
//
// The error is that of something that DuckDB has no form for.
func (t *Training) SQL() (string, error) {
	if len(t.Features) == 0 && len(t.LeftOut) > 0 {
		return "", fmt.Errorf("write %s as SQL: it serves predictions alone, which no event holds; write its models as SQL, which are their inputs", t.Name)
	}
	b := &training{of: t, queries: make(map[string]*query)}
	for _, ref := range t.Features {
		if err := b.ask(ref); err != nil {
			return "", fmt.Errorf("write %s as SQL: %w", t.Name, err)
		}
	}
	if err := b.check(); err != nil {
		return "", err
	}
	return b.write()
}

// training builds one query: first what is asked of which view, then the text.
type training struct {
	of      *Training
	queries map[string]*query // by view
	order   []string          // its keys, as they were first asked for
	keys    []feature.Field   // join-key columns of the table of entities
	inputs  []OnDemandInput   // its request columns
	views   []*askedView
	demands []*askedOnDemand
	answers []string // the SQL of columns
}

// askedView is a view under one naming of its keys.
type askedView struct {
	query    *query
	name     string // of its steps
	keys     []int  // of training.keys, parallel to the entity's join keys
	features []string
	failures bool // an on-demand feature asks which of them failed
	reader   *Reader
}

// askedOnDemand is an on-demand view under one naming of its keys.
type askedOnDemand struct {
	plan     *OnDemandPlan
	name     string
	keys     map[string]string
	features []string
}

// ask adds a feature to what is asked for.
func (b *training) ask(ref feature.FeatureRef) error {
	name := cmp.Or(ref.As, ref.View)
	column := name + ":" + ref.Feature
	if b.of.Short {
		column = ref.Feature
	}
	var from string
	switch {
	case b.of.Plans[ref.View] != nil:
		from = b.view(ref.View, name, ref.Keys).want(ref.Feature)
	case b.of.OnDemand[ref.View] != nil:
		from = b.demand(name, ref).want(ref.Feature)
	default:
		return fmt.Errorf("there is no view %s", ref.View)
	}
	b.answers = append(b.answers, from+" as "+expr.QuoteSQL(column))
	return nil
}

// view finds or makes what is asked of a view under a naming of its keys.
func (b *training) view(view, name string, naming map[string]string) *askedView {
	plan := b.of.Plans[view]
	keys := make([]int, len(plan.Entity.JoinKeys))
	for i, k := range plan.Entity.JoinKeys {
		if column := naming[k.Name]; column != "" {
			k.Name = column
		}
		keys[i] = place(&b.keys, k)
	}
	for _, v := range b.views {
		if v.query.plan == plan && slices.Equal(v.keys, keys) {
			return v
		}
	}
	q := b.queries[view]
	if q == nil {
		s := b.of.Settings
		s.Latest = true // for the columns that order rows
		q = newQuery(plan, s)
		q.training = true
		b.queries[view] = q
		b.order = append(b.order, view)
	}
	for slices.ContainsFunc(b.views, func(v *askedView) bool { return v.name == name }) {
		name += "'" // an alias of another view, or other keys behind an on-demand view
	}
	b.views = append(b.views, &askedView{query: q, name: name, keys: keys})
	return b.views[len(b.views)-1]
}

// demand finds or makes what is asked of an on-demand view, and asks for its
// inputs.
func (b *training) demand(name string, ref feature.FeatureRef) *askedOnDemand {
	plan := b.of.OnDemand[ref.View]
	at := slices.IndexFunc(b.demands, func(d *askedOnDemand) bool { return d.plan == plan && maps.Equal(d.keys, ref.Keys) })
	if at < 0 {
		at = len(b.demands)
		b.demands = append(b.demands, &askedOnDemand{plan: plan, name: name, keys: ref.Keys})
	}
	i := indexOf(plan.View.Features, ref.Feature)
	for _, in := range plan.InputsOf(ref.Feature) {
		if in.Kind == InputRequest {
			in.Optional = false
			place(&b.inputs, in)
			continue
		}
		v := b.view(in.Source, in.Source, ref.Keys)
		v.failures = v.failures || i >= 0 && plan.View.Features[i].Default != nil
		if in.Kind == InputFeature {
			v.want(in.Name)
		}
	}
	return b.demands[at]
}

func place[T comparable](all *[]T, v T) int {
	at := slices.Index(*all, v)
	if at < 0 {
		at = len(*all)
		*all = append(*all, v)
	}
	return at
}

// want asks for a feature, and returns the SQL of its column.
func (v *askedView) want(name string) string {
	place(&v.features, name)
	return v.step("served") + "." + expr.QuoteSQL(name)
}

func (d *askedOnDemand) want(name string) string {
	place(&d.features, name)
	return d.step() + "." + expr.QuoteSQL(name)
}

// step is the name of a step of a view: no view's name has a slash.
func (v *askedView) step(what string) string { return expr.QuoteSQL(v.name + "/" + what) }

func (d *askedOnDemand) step() string { return expr.QuoteSQL(d.name + "/computed") }

// check names what cannot be written, and prepares what is asked of views.
func (b *training) check() error {
	var all []error
	var sources []string
	for _, name := range b.order {
		all = append(all, b.queries[name].check())
		place(&sources, b.queries[name].plan.Source.Name)
	}
	if b.of.Settings.Table != "" && len(sources) > 1 {
		all = append(all, fmt.Errorf("write %s as SQL: --table names the events of one source, and these are of %s; make views of these names",
			b.of.Name, strings.Join(sources, ", ")))
	}
	for _, v := range b.views {
		reader, err := v.query.plan.NewReader(v.features)
		v.reader = reader
		all = append(all, err)
	}
	for _, d := range b.demands {
		for _, name := range d.features {
			if f := expr.LacksSQL(d.node(name)); f != "" {
				all = append(all, fmt.Errorf("write %s as SQL: feature %s calls %s, which DuckDB does not have; leave the feature out", d.plan.View.Name, name, f))
			}
		}
	}
	return errors.Join(all...)
}

func (b *training) write() (string, error) {
	var text strings.Builder
	b.comment(&text)
	w := withSQL{b: &text}
	w.add(sqlAsked, b.asked(), b.entities(), nil)
	for _, name := range b.order {
		b.queries[name].writeTraining(&w)
	}
	for _, v := range b.views {
		b.writeView(&w, v)
	}
	for _, d := range b.demands {
		b.writeOnDemand(&w, d)
	}
	w.end()
	fmt.Fprintf(&text, "select\n  %s\nfrom %s\n", strings.Join(append([]string{b.passed()}, b.answers...), ",\n  "), sqlAsked)
	for _, v := range b.views {
		text.WriteString(joined(v.step("served")))
	}
	for _, d := range b.demands {
		text.WriteString(joined(d.step()))
	}
	fmt.Fprintf(&text, "order by %s.%s\n", sqlAsked, sqlRow)
	return text.String(), nil
}

func joined(step string) string { return fmt.Sprintf("join %s using (%s)\n", step, sqlRow) }

func (b *training) comment(text *strings.Builder) {
	fmt.Fprintf(text, "-- What a read of %s would have served, by DuckDB with its TimeZone set to UTC.\n", b.of.Name)
	columns := make([]string, 0, len(b.keys)+len(b.inputs)+1)
	for _, k := range b.keys {
		columns = append(columns, k.Name)
	}
	for _, in := range b.inputs {
		place(&columns, in.Name)
	}
	fmt.Fprintf(text, "-- %s holds what is asked for: %s, and whatever else is passed on.\n", b.entities(), strings.Join(append(columns, feature.EventTimestamp), ", "))
	for _, ref := range b.of.LeftOut {
		fmt.Fprintf(text, "-- %s:%s is a prediction, which no event holds, and is left out.\n", cmp.Or(ref.As, ref.View), ref.Feature)
	}
	var told []string
	for _, name := range b.order {
		q := b.queries[name]
		if slices.Contains(told, q.table()) {
			continue
		}
		told = append(told, q.table())
		fmt.Fprintf(text, "-- %s holds raw events: the fields of source %s, and %s.\n", q.table(), q.plan.Source.Name, strings.Join(q.recordColumns(), ", "))
		if u := q.plan.View.Unnest; u != nil {
			fmt.Fprintf(text, "-- Its column %s is a list of structs, and a row of view %s is an element of one.\n", expr.QuoteSQL(u.Field), name)
		}
	}
}

func (b *training) entities() string {
	if b.of.Settings.Entities == "" {
		return expr.QuoteSQL(DefaultEntities)
	}
	return expr.QuoteSQL(b.of.Settings.Entities)
}

// asked are the columns of the table of entities, and what is made of them.
func (b *training) asked() []string {
	columns := []string{"*", "row_number() over () as " + sqlRow, fmt.Sprintf("cast(%s as timestamp) as %s", expr.QuoteSQL(feature.EventTimestamp), sqlAt)}
	for i, k := range b.keys {
		columns = append(columns, fmt.Sprintf("cast(%s as %s) as %s", expr.QuoteSQL(k.Name), expr.SQLType(k.Type), keyName(i)))
	}
	for i, in := range b.inputs {
		columns = append(columns, fmt.Sprintf("cast(%s as %s) as %s", expr.QuoteSQL(in.Name), expr.SQLType(in.Type), inputName(i)))
	}
	return columns
}

func inputName(i int) string { return fmt.Sprintf(`"millrace_input_%d"`, i) }

// passed is the table of entities as it came.
func (b *training) passed() string {
	own := []string{sqlRow, sqlAt}
	for i := range b.keys {
		own = append(own, keyName(i))
	}
	for i := range b.inputs {
		own = append(own, inputName(i))
	}
	return fmt.Sprintf("%s.* exclude (%s)", sqlAsked, strings.Join(own, ", "))
}
