package serving

import (
	"fmt"
	"slices"
	"time"

	"millrace/feature"
	"millrace/transforms"
)

// ContextField is data that a request brings for on-demand views.
type ContextField struct {
	feature.Field
	Optional bool // may be left out, which is null
}

// Context lists the request data that the asked-for features are computed
// from, with the types a request must bring it in. A name occurs twice only if
// request sources disagree on its type. Not to be changed.
func (r *Read) Context() []ContextField { return r.context }

// IsRequestField reports whether any request source has a field of that name:
// a request may bring it even if nothing that it asks for needs it.
func (s *Service) IsRequestField(name string) bool { return s.current.Load().request[name] }

// onDemand is an on-demand view under one name in answers: its features, and
// where their inputs are found.
type onDemand struct {
	plan     *transforms.OnDemandPlan
	group    int // of the views that it is computed from
	alias    int // -1 if no request names it: it is an input of a model
	features []string
	inputs   []onDemandInput // parallel to its reader's Inputs
	of       [][]int         // per feature, indices of inputs
	views    [][]int         // per feature, the views of the group whose rows it is computed from
	windows  [][]int         // per feature, the hidden outputs with windows that it is computed from
	defaults []bool          // per feature, whether it has a default
}

type onDemandInput struct {
	kind  transforms.InputKind
	index int // in Read.hidden or Read.context
	view  int // in the group's views, if it is of one
}

// hiddenOutput is a feature of a view that an on-demand view or a model is computed from.
// It is decided like an output of its own and shown to nobody.
type hiddenOutput struct {
	Output
	also int // index in Read.aliases of its view, -1 if that name means another one
}

// wantOnDemand finds or makes the on-demand view of a plan, group and alias.
func (c *readCompiler) wantOnDemand(plan *transforms.OnDemandPlan, group, alias int, f *feature.Feature) (at, nth int) {
	all := &c.read.onDemand
	at = slices.IndexFunc(*all, func(o onDemand) bool { return o.plan == plan && o.group == group && o.alias == alias })
	if at < 0 {
		at = len(*all)
		*all = append(*all, onDemand{plan: plan, group: group, alias: alias})
	}
	o := &(*all)[at]
	if nth = indexOrAppend(&o.features, f.Name); nth == len(o.defaults) {
		o.defaults = append(o.defaults, f.Default != nil)
	}
	return at, nth
}

// addInputs asks for what on-demand view i is computed from.
func (c *readCompiler) addInputs(i int) error {
	o := &c.read.onDemand[i]
	reader, err := o.plan.NewReader(o.features)
	if err != nil {
		return fmt.Errorf("prepare on-demand view %s: %w", o.plan.View.Name, err)
	}
	for _, in := range reader.Inputs() {
		at := onDemandInput{kind: in.Kind}
		switch in.Kind {
		case transforms.InputRequest:
			at.index = c.wantContext(in)
		case transforms.InputEventTime:
			at.view = c.wantView(&c.read.groups[o.group], in.Source)
			c.read.groups[o.group].views[at.view].time = true
		case transforms.InputFeature:
			at.index = c.wantHidden(o.group, o.alias, in.Source, in.Name)
			at.view = c.read.hidden[at.index].view
		}
		o.inputs = append(o.inputs, at)
	}
	for n := range o.features {
		o.of = append(o.of, reader.InputsOf(n))
	}
	return nil
}

// finish fills in what is known once its inputs are.
func (o *onDemand) finish(hidden []hiddenOutput, st *state) {
	g := &st.groups[o.group]
	for n := range o.features {
		var views, windows []int
		for _, at := range o.of[n] {
			in := &o.inputs[at]
			if in.kind == transforms.InputFeature && len(hidden[in.index].fromWindows(g)) > 0 {
				windows = append(windows, in.index)
			}
			rowless := in.kind == transforms.InputFeature && hidden[in.index].rowless
			if in.kind != transforms.InputRequest && !rowless {
				indexOrAppend(&views, in.view)
			}
		}
		o.views, o.windows = append(o.views, views), append(o.windows, windows)
	}
}

func (c *readCompiler) wantContext(in transforms.OnDemandInput) int {
	all := &c.read.context
	f := feature.Field{Name: in.Name, Type: in.Type}
	if i := slices.IndexFunc(*all, func(k ContextField) bool { return k.Field == f }); i >= 0 {
		(*all)[i].Optional = (*all)[i].Optional && in.Optional
		return i
	}
	*all = append(*all, ContextField{Field: f, Optional: in.Optional})
	return len(*all) - 1
}

// wantHidden asks for a feature of a view on behalf of what has an alias.
func (c *readCompiler) wantHidden(group, alias int, view, name string) int {
	v, r := c.snap.Catalog.View(view), c.read
	f := &v.Features[featureIndex(v, name)]
	h := hiddenOutput{also: -1, Output: Output{
		View: v.Name, Feature: f.Name, Type: f.Type, ttl: v.TTL, mode: v.TTLMode, dflt: f.Default,
		alias: alias, model: -1, onDemand: -1, group: group,
	}}
	h.view, h.nth = c.want(&r.groups[group], v.Name, f.Name)
	if owner, taken := c.owners[v.Name]; alias >= 0 && (!taken || owner == v.Name) {
		c.owners[v.Name] = v.Name
		h.also = indexOrAppend(&r.aliases, v.Name)
	}
	r.hidden = append(r.hidden, h)
	return len(r.hidden) - 1
}

// limit is how old the feature may be: for what the request says of its view
// and of the on-demand view, whichever is less. What a model takes is the same
// for all requests, because others will be served its prediction.
func (h *hiddenOutput) limit(maxAge []time.Duration) ageLimit {
	if h.alias < 0 {
		return h.Output.limit(0)
	}
	age := maxAge[h.alias]
	if h.also >= 0 && maxAge[h.also] > 0 && (age == 0 || maxAge[h.also] < age) {
		age = maxAge[h.also]
	}
	return h.Output.limit(age)
}

// onDemandState is the part of a state that belongs to one on-demand view.
type onDemandState struct {
	reader  *transforms.OnDemandReader
	own     []feature.Column  // inputs, a row per row of the request
	columns []*feature.Column // what the reader is given: own, or columns that need no copy
	keys    [][]cell          // per input that is a feature, its cells by distinct key
	cells   []cell            // per feature, one per row of the request
}

func (r *Read) newOnDemandStates(st *state) error {
	st.onDemand = make([]onDemandState, len(r.onDemand))
	for i := range r.onDemand {
		o, s := &r.onDemand[i], &st.onDemand[i]
		reader, err := o.plan.NewReader(o.features)
		if err != nil {
			return fmt.Errorf("prepare on-demand view %s: %w", o.plan.View.Name, err)
		}
		s.reader = reader
		s.own = make([]feature.Column, len(o.inputs))
		for n, in := range reader.Inputs() {
			s.own[n].Reset(in.Type)
		}
		s.columns = make([]*feature.Column, len(o.inputs))
		s.keys = make([][]cell, len(o.inputs))
	}
	return nil
}

// computeOnDemand runs the on-demand views over what the groups have read.
func (r *Response) computeOnDemand(req *Request) {
	for i := range r.read.onDemand {
		o, s := &r.read.onDemand[i], &r.st.onDemand[i]
		g := &r.st.groups[o.group]
		for n, in := range o.inputs {
			switch in.kind {
			case transforms.InputRequest:
				s.columns[n] = &req.Context[in.index]
			case transforms.InputEventTime:
				s.columns[n] = g.eventTimes(&s.own[n], in.view, r.Rows)
			case transforms.InputFeature:
				h := &r.read.hidden[in.index]
				s.keys[n] = h.cells(s.keys[n][:0], g, h.limit(req.maxAge), r.NowMicros)
				s.columns[n] = h.gather(&s.own[n], g, s.keys[n])
			}
		}
		s.reader.Run(s.columns, r.Rows, r.NowMicros)
		s.cells = s.cells[:0]
		for n := range o.features {
			for row := range r.Rows {
				s.cells = append(s.cells, o.cell(s, g, n, row))
			}
		}
	}
	for i := range r.read.outputs {
		if o := &r.read.outputs[i]; o.onDemand >= 0 {
			for row := range r.Rows {
				r.counts[r.st.onDemand[o.onDemand].cells[o.nth*r.Rows+row].status]++
			}
		}
	}
}

// eventTimes fills dst with the event time of a view's row for every row of the
// request: null where there is no such row.
func (g *groupState) eventTimes(dst *feature.Column, view, rows int) *feature.Column {
	l := g.rows[view]
	dst.Truncate(0)
	dst.Resize(rows)
	for row, key := range g.slots {
		if key >= 0 && l.Found.Get(int(key)) {
			dst.SetInt(row, l.Origins[key].EventMicros)
		}
	}
	return dst
}

// cells decides the feature for every distinct key.
func (h *hiddenOutput) cells(dst []cell, g *groupState, limit ageLimit, nowMicros int64) []cell {
	for key := range g.query.Keys {
		dst = append(dst, h.cell(g, key, limit, nowMicros))
	}
	return dst
}

// gather returns the feature as it would be served, with a row for every row
// of the request: dst, or the reader's own column where rows and keys are the
// same and nothing stands in for its values.
func (h *hiddenOutput) gather(dst *feature.Column, g *groupState, cells []cell) *feature.Column {
	if len(g.query.Keys) == len(g.slots) && !slices.ContainsFunc(cells, replaced) {
		if len(cells) > 0 { // else the reader has not run
			return g.readers[h.view].Column(h.nth)
		}
	}
	dst.Reset(dst.Type)
	dst.Resize(len(g.slots))
	for row, key := range g.slots {
		switch c := h.at(cells, key); c.origin {
		case OriginStored, OriginComputed:
			dst.CopyRow(row, g.readers[h.view].Column(h.nth), int(key))
		case OriginDefault:
			dst.CopyRow(row, h.dflt, 0)
		default:
		}
	}
	return dst
}

// replaced reports whether a cell's value is not the one of its column.
func replaced(c cell) bool { return c.origin != OriginStored && c.origin != OriginComputed }

// at is the cell of a key, -1 for a null key.
func (h *hiddenOutput) at(cells []cell, key int32) cell {
	if key < 0 {
		return h.without(StatusNotFound)
	}
	return cells[key]
}

// cell decides status and origin of feature n on a row. A null that may come
// from an input that failed is a failure: a failure is not an absence.
func (o *onDemand) cell(s *onDemandState, g *groupState, n, row int) cell {
	switch {
	case s.reader.Failed(n, row):
		return cell{status: StatusError}
	case !s.reader.Column(n).IsNull(row):
		return cell{status: StatusPresent, origin: OriginComputed}
	}
	for _, at := range o.of[n] {
		if o.inputs[at].kind != transforms.InputFeature {
			continue
		}
		if key := g.slots[row]; key >= 0 && s.keys[at][key].status == StatusError {
			return cell{status: StatusError}
		}
	}
	if o.defaults[n] {
		return cell{status: StatusNull, origin: OriginDefault}
	}
	return cell{status: StatusNull, origin: OriginComputed}
}

// onDemandValue is the value of an on-demand feature for a row of the request.
func (r *Response) onDemandValue(o *Output, row int) Value {
	s, d := &r.st.onDemand[o.onDemand], &r.read.onDemand[o.onDemand]
	c := s.cells[o.nth*r.Rows+row]
	v := Value{Status: c.status, Origin: c.origin, Row: row}
	g := &r.st.groups[d.group]
	v.HasTime, v.EventMicros = g.oldest(d.views[o.nth], row)
	if windows := d.windows[o.nth]; len(windows) > 0 && g.slots[row] >= 0 {
		v.addWindows(r, g, windows, int(g.slots[row]))
	}
	switch c.origin {
	case OriginStored, OriginComputed:
		v.Column = s.reader.Column(o.nth)
	case OriginDefault:
		v.Column, v.Row = o.dflt, 0
	default:
	}
	return v
}

// addWindows takes what is known of the windows of hidden outputs into v.
func (v *Value) addWindows(r *Response, g *groupState, hidden []int, key int) {
	for _, i := range hidden {
		h := &r.read.hidden[i]
		if h.rowless {
			if found, micros := h.windowsTime(g, key); found && (!v.HasTime || micros < v.EventMicros) {
				v.HasTime, v.EventMicros = true, micros
			}
		}
		if r.sinces != nil && v.Complete != CompleteNo {
			v.Complete = h.complete(g, key)
		}
	}
}

// oldest is the least event time among the rows of views for a row of the
// request; false if there are none.
func (g *groupState) oldest(views []int, row int) (found bool, micros int64) {
	if len(views) == 0 || g.slots[row] < 0 {
		return false, 0 // slots of a group without views are not made
	}
	key := int(g.slots[row])
	for _, v := range views {
		if l := g.rows[v]; l.Found.Get(key) && (!found || l.Origins[key].EventMicros < micros) {
			found, micros = true, l.Origins[key].EventMicros
		}
	}
	return found, micros
}
