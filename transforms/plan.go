package transforms

import (
	"slices"

	"millrace/feature"
	"millrace/transforms/expr"
)

// Problem is one fault in a view's text.
type Problem struct {
	Part    string // where in the view: "where", "keys.driver_id", "features[3].expr"
	Offset  int    // byte offset in that part's text; -1 for the part as a whole
	Message string
	Hint    string // the next step, "" when there is none
}

// Plan is a compiled view. It is immutable and may be shared; NewWriter and
// NewReader make the state that belongs to one goroutine.
//
// The write program's outputs are, in order: the join keys, `where` if there
// is one, the stored columns, and what windows take. Read features are kept as
// typed trees over windowed features and, behind them, stored columns, and are
// made into a program for the features that a read asks for.
type Plan struct {
	View   *feature.View
	Entity *feature.Entity
	Source *feature.Source
	Fields []feature.Field // fields of the source, and of an element, that the write half reads, in its order
	Stored *feature.Stored // what crosses the cut: features at write, then hidden inputs

	Windows *Windows // nil without windowed features

	rows     *feature.Source // Source, with the fields of an element behind its own
	write    *expr.Program
	keys     *expr.Program // the join keys alone
	hasWhere bool
	slots    []int             // field index in rows of each of Fields
	features []compiledFeature // parallel to View.Features
}

// compiledFeature is what a read needs of one feature.
type compiledFeature struct {
	stored   int        // index in Stored.Columns, or -1
	windowed int        // index in Windows.Features, or -1
	tree     *expr.Expr // over windowed features and stored columns; nil for these
}

// Phase reports where the named feature is computed; false when there is none.
func (p *Plan) Phase(name string) (feature.Phase, bool) {
	i := p.featureIndex(name)
	if i < 0 {
		return 0, false
	}
	return p.View.Features[i].At, true
}

// StoresRows reports whether rows of the view are stored by themselves: one with
// windowed features alone has tiles and nothing else, and takes no finished row.
func (p *Plan) StoresRows() bool { return p.Windows == nil || !p.Windows.Only }

func (p *Plan) featureIndex(name string) int { return indexOf(p.View.Features, name) }

// indexOf returns the place of the feature of that name, -1 without one.
func indexOf(features []feature.Feature, name string) int {
	return slices.IndexFunc(features, func(f feature.Feature) bool { return f.Name == name })
}

// Fields returns the fields that any of plans, all of one shape of a source,
// reads: the layout to decode into. They are in the source's order.
func Fields(src *feature.Source, plans []*Plan) []feature.Field {
	used := make(map[string]bool)
	for _, p := range plans {
		for _, f := range p.Fields {
			used[f.Name] = true
		}
	}
	var fields []feature.Field
	if len(plans) > 0 {
		src = plans[0].rows
	}
	for _, f := range src.Fields {
		if used[f.Name] {
			fields = append(fields, f.Field)
		}
	}
	return fields
}
