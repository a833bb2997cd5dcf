package transforms

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"millrace/feature"
)

// ModelSource is one view or on-demand view that a model's inputs are made of:
// what a fingerprint describes as one thing. An on-demand view has no stored
// state of its own; the views that it is computed from are sources, too.
type ModelSource struct {
	Name       string
	Generation uint32 // 0 for an on-demand view
	View       *Plan  // nil for an on-demand view
	Features   []string
	Row        bool     // the view's stored row is read
	Windows    []string // windowed features that are read: of Features, or what these are computed from
	Read       uint64   // hash of the read half of Features: see ReadTexts, and which stored columns they load
}

// Sources lists what the inputs are made of, ordered by name. It is made of the
// plans as they are now, so ask after apply's numbers are in them.
func (p *ModelPlan) Sources() []ModelSource {
	var all []ModelSource
	asks := p.asks()
	for _, name := range slices.Sorted(maps.Keys(asks)) {
		a := asks[name]
		s := ModelSource{Name: name, View: a.plan, Features: slices.Sorted(maps.Keys(a.features))}
		text := a.text()
		if a.plan != nil {
			s.Generation, s.Row = a.plan.View.Generation, a.times
			text += s.resolve()
		}
		s.Read = xxhash.Sum64String(text)
		all = append(all, s)
	}
	return all
}

// Watched lists the views, in no order, whose changes make the model compute a
// prediction: those of its own entity that its inputs are made of, if it
// refreshes on write.
func (p *ModelPlan) Watched() []string {
	if !p.Model.RefreshOnWrite {
		return nil
	}
	var names []string
	for name, plan := range p.views {
		if plan.View.Entity == p.Model.Entity {
			names = append(names, name)
		}
	}
	return names
}

// resolve finds what a read of the features loads, and returns the identities
// of it, which apply gives.
func (s *ModelSource) resolve() string {
	r, err := s.View.NewReader(s.Features)
	if err != nil {
		return "" // all of them were found when the model was compiled
	}
	var b strings.Builder
	for i := range s.Features {
		s.Row = s.Row || r.NeedsRow(i)
	}
	for _, c := range r.Columns() {
		fmt.Fprintf(&b, "column %s %s %d since %d\n", c.Name, c.Type, c.Type.Length, c.Since)
	}
	if w := r.Windows(); w != nil {
		for i := range w.Features() {
			f := w.Feature(i)
			s.Windows = append(s.Windows, f.Name)
			fmt.Fprintf(&b, "window %s %x since %d\n", f.Name, f.ID(), f.Since)
		}
		slices.Sort(s.Windows)
	}
	return b.String()
}

// Shape is a hash of how the model takes its inputs and what it is to answer:
// which, of which types, in which order, in which tensors.
func (p *ModelPlan) Shape() uint64 {
	var b strings.Builder
	for i := range p.Inputs {
		in := &p.Inputs[i]
		fmt.Fprintf(&b, "%s:%s %s %d\n", in.Ref.View, in.Ref.Feature, in.Type, in.Type.Length)
	}
	for _, all := range [][]Tensor{p.Asks, p.Gives} {
		for _, t := range all {
			fmt.Fprintf(&b, "tensor %s %s %v %v\n", t.Name, t.Datatype, t.Dims, t.Columns)
		}
	}
	return xxhash.Sum64String(b.String())
}

// ReadTexts says of every source how its features are read: the expressions
// that are computed at read, those that these name, defaults, and the limit of
// age. It leaves out what apply numbers, so that texts of two folders compare.
func (p *ModelPlan) ReadTexts() map[string]string {
	texts := make(map[string]string)
	for name, a := range p.asks() {
		texts[name] = a.text()
	}
	return texts
}

// ask is what a model reads of one view.
type ask struct {
	plan     *Plan
	onDemand *OnDemandPlan
	features map[string]bool
	times    bool // the event time of its row
}

// asks collects what the inputs are made of, by name of the view.
func (p *ModelPlan) asks() map[string]*ask {
	all := make(map[string]*ask)
	of := func(name string) *ask {
		if all[name] == nil {
			all[name] = &ask{features: make(map[string]bool)}
		}
		return all[name]
	}
	for i := range p.Inputs {
		in := &p.Inputs[i]
		a := of(in.Ref.View)
		a.plan, a.onDemand = in.View, in.OnDemand
		a.features[in.Ref.Feature] = true
		if in.OnDemand == nil {
			continue
		}
		for _, from := range in.OnDemand.InputsOf(in.Ref.Feature) {
			switch from.Kind {
			case InputFeature:
				of(from.Source).features[from.Name] = true
			case InputEventTime:
				of(from.Source).times = true
			case InputRequest: // no prediction that is made of it is stored
			}
		}
	}
	for name, a := range all {
		if a.plan == nil && a.onDemand == nil {
			a.plan = p.views[name]
		}
	}
	return all
}

func (a *ask) text() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(a.features)) {
		if a.onDemand != nil {
			readText(&b, a.onDemand.View.Features, nil, name)
			continue
		}
		readText(&b, a.plan.View.Features, a.plan.Windows, name)
	}
	if a.times {
		b.WriteString("event time\n")
	}
	if a.plan != nil {
		fmt.Fprintf(&b, "ttl %s mode %d\n", a.plan.View.TTL, a.plan.View.TTLMode)
	}
	return b.String()
}

// readText writes how a feature is read: itself with its default, then the
// features behind it, which stand for what they are without one.
func readText(b *strings.Builder, features []feature.Feature, windows *Windows, name string) {
	seen := make(map[string]bool)
	var visit func(name string, top bool)
	visit = func(name string, top bool) {
		i := indexOf(features, name)
		if i < 0 || seen[name] && !top {
			return // a field, which crosses the cut as it is
		}
		seen[name] = true
		f := &features[i]
		fmt.Fprintf(b, "%s %s %d ", f.Name, f.Type, f.Type.Length)
		w, windowed := windows.Feature(f.Name)
		switch {
		case windowed:
			fmt.Fprintf(b, "window %x of %x %s n %d k %d q %v distinct %t", w.ID(), w.Hash, w.Spec.Kind, w.Spec.N, w.Spec.K, w.Spec.Q, w.Spec.Distinct)
		case f.At == feature.PhaseWrite:
			b.WriteString("stored")
		default:
			b.WriteString("= " + Normal(f.Expr))
		}
		if top && f.Default != nil {
			b.WriteString(" default ")
			writeValues(b, f.Default)
		}
		b.WriteByte('\n')
		if windowed || f.At == feature.PhaseWrite {
			return
		}
		for _, inner := range Names(f.Expr) {
			if inner != f.Name {
				visit(inner, false)
			}
		}
	}
	visit(name, true)
}

// writeValues writes a column of a default so that other values give other text.
func writeValues(b *strings.Builder, c *feature.Column) {
	fmt.Fprintf(b, "%v %v %v %v %q %v", c.Valid, c.Bools, c.Ints, c.Floats, c.Strings, c.Spans)
	if c.Elems != nil {
		b.WriteString(" of ")
		writeValues(b, c.Elems)
	}
}
