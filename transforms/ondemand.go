package transforms

import (
	"strings"

	"millrace/feature"
	"millrace/transforms/expr"
)

// InputKind says what an input of an on-demand view is.
type InputKind uint8

// The kinds.
const (
	InputFeature   InputKind = iota // a feature of a view, as it is served: default and TTL applied
	InputEventTime                  // the event time of a view's row
	InputRequest                    // a field of a request source
)

// OnDemandInput is one column that an on-demand view is computed from. Inputs
// compare with ==.
type OnDemandInput struct {
	Kind     InputKind
	Source   string // the view or request source
	Name     string // of the feature or field; "" for an event time
	Type     feature.Type
	Optional bool // of a field: a request may leave it out
}

// String is how an expression names the input.
func (in OnDemandInput) String() string {
	if in.Kind == InputEventTime {
		return "event_time(" + in.Source + ")"
	}
	return in.Source + "." + in.Name
}

// OnDemandPlan is a compiled on-demand view. It is immutable and may be
// shared; NewReader makes what belongs to one goroutine.
//
// Its columns have one row per row of a request, not per distinct key as those
// of a Plan: two rows of one entity may carry different request data.
type OnDemandPlan struct {
	View   *feature.OnDemandView
	Inputs []OnDemandInput // all that any of its features reads

	trees []*expr.Expr // parallel to View.Features; slots are indices of Inputs
}

// CompileOnDemand type-checks v over the features of views and the fields of
// requests, and fills in the Type and At of its features. All problems are
// returned at once; the plan is nil if there are any. A feature or field of
// the zero Type is one of which nothing is known: what may only follow from it
// is no problem, and the plan is nil all the same.
func CompileOnDemand(v *feature.OnDemandView, views []*feature.View, requests []*feature.Source) (*OnDemandPlan, []Problem) {
	scope := newOnDemandScope(v, views, requests)
	c := scope.c
	c.parse()
	c.order()
	for _, i := range c.sorted {
		v.Features[i].At = feature.PhaseRead
		scope.check(i)
	}
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	for _, doubtful := range scope.doubt {
		if doubtful {
			return nil, nil
		}
	}
	return &OnDemandPlan{View: v, Inputs: scope.inputs, trees: c.trees}, nil
}

// onDemandScope says what names mean in an on-demand view: its own features,
// `view.feature`, and request fields, plain or as `request.field`. A column
// becomes an input when it is first named.
type onDemandScope struct {
	c     *compiler
	known map[string]OnDemandInput // by every name under which it may stand
	names []string                 // of known, in the order of the sources
	views []*feature.View
	ofs   map[string]bool // names of all sources

	inputs  []OnDemandInput
	at      map[OnDemandInput]int
	doubt   []bool // features of which the type is not known
	current int    // the feature that is checked
}

func newOnDemandScope(v *feature.OnDemandView, views []*feature.View, requests []*feature.Source) *onDemandScope {
	n := len(v.Features)
	// The compiler's view and source stand for the features, which name each
	// other, and for the plain names of request fields.
	c := &compiler{
		view: &feature.View{Name: v.Name, Features: v.Features}, src: new(feature.Source),
		nodes: make([]*expr.Node, n), aggregates: make([]aggregate, n), trees: make([]*expr.Expr, n),
	}
	s := &onDemandScope{
		c: c, known: make(map[string]OnDemandInput), views: views,
		ofs: make(map[string]bool), at: make(map[OnDemandInput]int), doubt: make([]bool, n),
	}
	for _, name := range v.Sources {
		s.ofs[name] = true
	}
	s.addRequests(requests)
	for _, view := range views {
		for i := range view.Features {
			s.add(view.Name+"."+view.Features[i].Name, OnDemandInput{
				Kind: InputFeature, Source: view.Name, Name: view.Features[i].Name, Type: view.Features[i].Type,
			})
		}
	}
	return s
}

func (s *onDemandScope) addRequests(requests []*feature.Source) {
	owners := make(map[string]int)
	names := make([]string, 0, len(requests))
	for _, r := range requests {
		names = append(names, r.Name)
		for _, f := range r.Fields {
			owners[f.Name]++
		}
	}
	s.c.src.Name = strings.Join(names, " or ")
	for _, r := range requests {
		for _, f := range r.Fields {
			in := OnDemandInput{Kind: InputRequest, Source: r.Name, Name: f.Name, Type: f.Type, Optional: f.Optional}
			if owners[f.Name] > 1 { // a plain name would be ambiguous
				s.add(r.Name+"."+f.Name, in)
				continue
			}
			s.add(f.Name, in)
			s.known[r.Name+"."+f.Name] = in
			s.c.src.Fields = append(s.c.src.Fields, f)
		}
	}
}

func (s *onDemandScope) add(name string, in OnDemandInput) {
	s.known[name] = in
	s.names = append(s.names, name)
}

// check type-checks feature i. Those it names were checked before.
func (s *onDemandScope) check(i int) {
	c := s.c
	s.current = i
	if c.nodes[i] == nil {
		s.doubt[i] = true
		return
	}
	unsure := s.namesDoubt(i)
	before := len(c.problems)
	tree := c.check(featurePart(i), c.nodes[i], s)
	if unsure {
		kept := c.problems[:before]
		for _, p := range c.problems[before:] {
			if strings.HasPrefix(p.Message, "unknown ") || strings.HasSuffix(p.Message, " is ambiguous") {
				kept = append(kept, p)
			}
		}
		c.problems = kept
	} else {
		c.setType(i, tree)
	}
	if unsure || len(c.problems) > before {
		s.doubt[i] = true
		return
	}
	c.trees[i] = tree
}

// namesDoubt reports whether feature i names anything of which the type is not
// known.
func (s *onDemandScope) namesDoubt(i int) bool {
	for _, name := range namesOf(s.c.nodes[i]) {
		if in, ok := s.known[name]; ok {
			if in.Type.Kind == feature.KindInvalid {
				return true
			}
			continue
		}
		if j := s.c.featureNamed(name); j >= 0 && j != i && s.c.trees[j] == nil {
			return true
		}
	}
	return false
}

// Resolve implements expr.Scope. What is in doubt is a column without a type,
// which takes that of its surroundings.
func (s *onDemandScope) Resolve(name string) (*expr.Expr, bool) {
	if in, ok := s.known[name]; ok {
		return s.input(name, in), true
	}
	i := s.c.featureNamed(name)
	if i < 0 || i == s.current {
		return nil, false
	}
	if s.c.trees[i] == nil {
		return expr.Column(-1, name, feature.Type{}), true
	}
	return s.c.trees[i], true
}

func (s *onDemandScope) input(name string, in OnDemandInput) *expr.Expr {
	slot, used := s.at[in]
	if !used {
		slot = len(s.inputs)
		s.at[in] = slot
		s.inputs = append(s.inputs, in)
	}
	return expr.Column(slot, name, in.Type)
}

// Names implements expr.Scope.
func (s *onDemandScope) Names() []string {
	names := append([]string(nil), s.names...)
	for i := range s.c.view.Features {
		if name := s.c.view.Features[i].Name; i != s.current && s.c.featureNamed(name) == i {
			names = append(names, name)
		}
	}
	return names
}

// EventTime implements expr.RowTimes.
func (s *onDemandScope) EventTime(view string) (*expr.Expr, bool) {
	for _, v := range s.views {
		if v.Name == view {
			in := OnDemandInput{Kind: InputEventTime, Source: view, Type: feature.Of(feature.KindTimestamp)}
			return s.input(in.String(), in), true
		}
	}
	return nil, false
}

// TimedViews implements expr.RowTimes.
func (s *onDemandScope) TimedViews() []string {
	names := make([]string, len(s.views))
	for i, v := range s.views {
		names[i] = v.Name
	}
	return names
}

// Hint implements expr.Hinter: the name may be of a view that is no source.
func (s *onDemandScope) Hint(name string) string {
	if source, _, dotted := strings.Cut(name, "."); dotted && !s.ofs[source] {
		return "list " + source + " under sources to use it"
	}
	return ""
}
