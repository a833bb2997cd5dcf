package serving

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"millrace/feature"
	"millrace/transforms"
)

// Read is a compiled list of features: what to read for it, what a request has
// to bring, and in which order answers come. It is immutable and shared.
type Read struct {
	columns  []feature.Field
	renamed  []bool // parallel to columns
	context  []ContextField
	outputs  []Output
	names    []string // "view:feature", parallel to outputs
	byView   []int
	aliases  []string
	groups   []group
	onDemand []onDemand
	hidden   []hiddenOutput
	models   []modelRead
	catalog  int64 // version

	repeatedShort, repeatedFull []string

	states sync.Pool // *state
}

// Output is one feature of an answer.
type Output struct {
	View    string // as answers name it: the service's alias, or the view
	Feature string
	Type    feature.Type

	alias    int // index in Read.aliases; -1 if no request names it
	model    int // index in Read.models, -1 for others; then nth is the output's place, and the rest means nothing
	onDemand int // index in Read.onDemand, -1 for a view; then group and view mean nothing
	group    int
	view     int // index in the group's views
	nth      int // among the view's wanted features
	ttl      time.Duration
	mode     feature.TTLMode
	dflt     *feature.Column
	origin   Origin // of a value that is there
	missing  int    // index of its stored column in the view's query; -1 if computed
	rowless  bool   // it is made of windows alone, and needs no stored row
}

// group is the part of a read that one store read answers: views of one entity
// under the same keys.
type group struct {
	entity      string
	keys        []int // index in Read.columns of each join key
	views       []wantedView
	predictions []*transforms.ModelPlan // whose stored ones are read
}

type wantedView struct {
	plan     *transforms.Plan
	features []string
	time     bool // an on-demand view asks for the time of its row
	printed  bool // it is part of the fingerprint of a prediction
}

// needsRow reports whether the stored row is to be read.
func (w *wantedView) needsRow(r *transforms.Reader) bool {
	for i := range w.features {
		if r.NeedsRow(i) {
			return true
		}
	}
	return w.time
}

// Columns lists the entity columns that a request must bring, with the types
// it must bring them in. A name occurs twice only if entities disagree on its
// type. Not to be changed.
func (r *Read) Columns() []feature.Field { return r.columns }

// Renamed reports whether the i-th column is wanted only in place of a join key
// of another name: `keys: {driver_id: backup_driver_id}`. It stands for one
// more entity of a row, which a row need not have.
func (r *Read) Renamed(i int) bool { return r.renamed[i] }

// Outputs lists the features in the order in which they were asked for. Not to
// be changed.
func (r *Read) Outputs() []Output { return r.outputs }

// Names lists outputs as "view:feature". Not to be changed.
func (r *Read) Names() []string { return r.names }

// ByView lists the indices of outputs with those of a view together, views in
// the order of their first feature: the column order of Feast's answers. Not
// to be changed.
func (r *Read) ByView() []int { return r.byView }

// compile makes the Read of refs, which name existing views and features
// unless a definition is wrong.
func (s *snapshot) compile(refs []feature.FeatureRef) (*Read, error) {
	c := readCompiler{snap: s, read: &Read{catalog: s.Catalog.Version}, owners: make(map[string]string)}
	for _, ref := range refs {
		if err := c.add(ref); err != nil {
			return nil, err
		}
	}
	for i := range c.read.models {
		if err := c.addModelInputs(i); err != nil {
			return nil, err
		}
	}
	for i := range c.read.onDemand {
		if err := c.addInputs(i); err != nil {
			return nil, err
		}
	}
	r := c.read
	for i := range r.models {
		c.print(&r.models[i])
	}
	r.byView = orderByView(r)
	r.repeatedFull, r.repeatedShort = r.findRepeated(true), r.findRepeated(false)
	// One state is made now, so that a fault in a plan is found here.
	st, err := r.newState()
	if err != nil {
		return nil, err
	}
	c.finish(st)
	r.states.Put(st)
	return r, nil
}

type readCompiler struct {
	snap     *snapshot
	read     *Read
	owners   map[string]string   // alias -> view
	mappings []map[string]string // parallel to the models of the read
}

func (c *readCompiler) add(ref feature.FeatureRef) error {
	if model, output := c.snap.Catalog.Output(ref); model != nil {
		return c.addOutput(ref, model, output)
	}
	v, ok := c.snap.served(ref.View)
	if !ok {
		return fmt.Errorf("there is no view %s", ref.View)
	}
	at := indexOf(v.features, ref.Feature)
	if at < 0 {
		return fmt.Errorf("view %s has no feature %s", ref.View, ref.Feature)
	}
	e := c.snap.Catalog.Entity(v.entity)
	if e == nil {
		return fmt.Errorf("there is no entity %s", v.entity)
	}
	r := c.read
	o := c.output(ref, v.features[at].Type)
	o.dflt = v.features[at].Default
	o.group = c.group(e, ref.Keys)
	if v.view != nil {
		o.ttl, o.mode = v.view.TTL, v.view.TTLMode
		o.view, o.nth = c.want(&r.groups[o.group], ref.View, ref.Feature)
	} else {
		o.onDemand, o.nth = c.wantOnDemand(v.onDemand, o.group, o.alias, &v.features[at])
	}
	c.show(o)
	return nil
}

// output begins the output of a reference, under its name in answers.
func (c *readCompiler) output(ref feature.FeatureRef, t feature.Type) Output {
	o := Output{View: ref.As, Feature: ref.Feature, Type: t, model: -1, onDemand: -1}
	if o.View == "" {
		o.View = ref.View
	}
	o.alias = indexOrAppend(&c.read.aliases, o.View)
	if _, taken := c.owners[o.View]; !taken {
		c.owners[o.View] = ref.View
	}
	return o
}

func (c *readCompiler) show(o Output) {
	c.read.outputs = append(c.read.outputs, o)
	c.read.names = append(c.read.names, o.View+":"+o.Feature)
}

// group finds or makes the group of an entity under a mapping of its keys.
func (c *readCompiler) group(e *feature.Entity, mapping map[string]string) int {
	keys := make([]int, len(e.JoinKeys))
	for i, k := range e.JoinKeys {
		column, own := mapping[k.Name], k.Name
		if column != "" {
			k.Name = column
		}
		keys[i] = indexOrAppend(&c.read.columns, k)
		if keys[i] == len(c.read.renamed) {
			c.read.renamed = append(c.read.renamed, true)
		}
		c.read.renamed[keys[i]] = c.read.renamed[keys[i]] && k.Name != own
	}
	for i := range c.read.groups {
		if g := &c.read.groups[i]; g.entity == e.Name && slices.Equal(g.keys, keys) {
			return i
		}
	}
	c.read.groups = append(c.read.groups, group{entity: e.Name, keys: keys})
	return len(c.read.groups) - 1
}

func (c *readCompiler) want(g *group, name, feat string) (view, nth int) {
	view = c.wantView(g, name)
	return view, indexOrAppend(&g.views[view].features, feat)
}

func (c *readCompiler) wantView(g *group, name string) int {
	plan := c.snap.Plans[name]
	if i := slices.IndexFunc(g.views, func(w wantedView) bool { return w.plan == plan }); i >= 0 {
		return i
	}
	g.views = append(g.views, wantedView{plan: plan})
	return len(g.views) - 1
}

// finish fills in what only the readers of a state know.
func (c *readCompiler) finish(st *state) {
	for i := range c.read.outputs {
		c.read.outputs[i].finish(st)
	}
	for i := range c.read.hidden {
		c.read.hidden[i].finish(st)
	}
	for i := range c.read.onDemand {
		c.read.onDemand[i].finish(c.read.hidden, st)
	}
}

func (o *Output) finish(st *state) {
	o.origin, o.missing = OriginComputed, -1
	if o.onDemand >= 0 || o.model >= 0 {
		return
	}
	reader := st.groups[o.group].readers[o.view]
	o.rowless = !reader.NeedsRow(o.nth)
	if o.rowless || reader.Computed(o.nth) {
		return
	}
	o.origin = OriginStored
	o.missing = slices.IndexFunc(reader.Columns(), func(s feature.StoredColumn) bool {
		return s.Name == o.Feature && !s.Hidden
	})
}

func orderByView(r *Read) []int {
	order := make([]int, len(r.outputs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return r.outputs[a].alias - r.outputs[b].alias })
	return order
}

// Repeated lists the names that occur more than once among outputs: short
// feature names, or full ones. Not to be changed.
func (r *Read) Repeated(full bool) []string {
	if full {
		return r.repeatedFull
	}
	return r.repeatedShort
}

func (r *Read) findRepeated(full bool) []string {
	seen, repeated := make(map[string]int, len(r.outputs)), []string(nil)
	for i := range r.outputs {
		name := r.outputs[i].Feature
		if full {
			name = r.names[i]
		}
		if seen[name]++; seen[name] == 2 {
			repeated = append(repeated, name)
		}
	}
	return repeated
}

func indexOrAppend[T comparable](s *[]T, v T) int {
	if i := slices.Index(*s, v); i >= 0 {
		return i
	}
	*s = append(*s, v)
	return len(*s) - 1
}
