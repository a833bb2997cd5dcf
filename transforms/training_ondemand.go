package transforms

import (
	"fmt"
	"slices"
	"strings"

	"millrace/transforms/expr"
)

// node is the parsed expression of a feature.
func (d *askedOnDemand) node(name string) *expr.Node {
	i := indexOf(d.plan.View.Features, name)
	return parsed(d.plan.View.Features[i].Expr)
}

// writeOnDemand writes an on-demand view over what its views serve and what the
// table of entities brings.
func (b *training) writeOnDemand(w *withSQL, d *askedOnDemand) {
	columns, used := []string{sqlAsked + "." + sqlRow}, []string{}
	for _, name := range d.features {
		columns = append(columns, b.onDemandAnswer(d, name)+" as "+expr.QuoteSQL(name))
		for _, in := range d.plan.InputsOf(name) {
			if in.Kind != InputRequest {
				place(&used, b.view(in.Source, in.Source, d.keys).step("served"))
			}
		}
	}
	from := []string{sqlAsked}
	for _, step := range used {
		from = append(from, strings.TrimSuffix(joined(step), "\n"))
	}
	w.add(d.step(), columns, strings.Join(from, "\n  "), nil)
}

// onDemandAnswer is a feature as it is served: a null that comes of an input
// that failed takes no default.
func (b *training) onDemandAnswer(d *askedOnDemand, name string) string {
	i := indexOf(d.plan.View.Features, name)
	f := &d.plan.View.Features[i]
	text := b.onDemandText(d, d.node(name))
	if f.Default == nil {
		return "try(" + text + ")"
	}
	null := []string{fmt.Sprintf("try((%s) is null)", text)}
	for _, in := range d.plan.InputsOf(name) {
		if in.Kind == InputFeature {
			null = append(null, fmt.Sprintf("not %s.%s", b.view(in.Source, in.Source, d.keys).step("served"), failedName(in.Name)))
		}
	}
	return fmt.Sprintf("case when %s then %s else try(%s) end", strings.Join(null, " and "), expr.SQLValue(f.Default, 0), text)
}

func (b *training) onDemandText(d *askedOnDemand, n *expr.Node) string {
	return n.SQL(expr.SQLNames{
		Now:       sqlAsked + "." + sqlAt,
		EventTime: func(view string) string { return b.view(view, view, d.keys).step("served") + "." + sqlEventTime },
		Name: func(name string) string {
			if source, field, dotted := strings.Cut(name, "."); dotted && b.of.Plans[source] != nil {
				return b.view(source, source, d.keys).step("served") + "." + expr.QuoteSQL(field)
			}
			if i := slices.IndexFunc(b.inputs, func(in OnDemandInput) bool { return d.means(name, in) }); i >= 0 {
				return sqlAsked + "." + inputName(i)
			}
			return "(" + b.onDemandText(d, d.node(name)) + ")"
		},
	})
}

// means reports whether name, in the view, is a field of a request source.
func (d *askedOnDemand) means(name string, in OnDemandInput) bool {
	return slices.ContainsFunc(d.plan.Inputs, func(own OnDemandInput) bool {
		own.Optional = false
		return own == in && (name == in.String() || name == in.Name)
	})
}
