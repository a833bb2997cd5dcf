package serving

import (
	"fmt"
	"time"

	"millrace/feature"
	"millrace/transforms"
)

// modelRead is a model under one mapping of keys in a Read: where its inputs
// and stored predictions are found.
type modelRead struct {
	plan    *transforms.ModelPlan
	predict Predictor // nil if clients write the predictions
	group   int       // of its entity
	stored  int       // index in the group's predictions; -1 without a cache
	aliases []int     // under which its outputs are asked for
	inputs  []modelInput
	sources []modelSource // parallel to the fingerprint's; nil without a cache
}

// modelInput is where an input is found.
type modelInput struct {
	onDemand int // index in Read.onDemand, -1 for a feature of a view
	index    int // in Read.hidden, or among the on-demand view's features
	dflt     *feature.Column
}

// modelSource is where a view of a fingerprint is found; view is -1 for an
// on-demand view, which has nothing stored.
type modelSource struct{ group, view int }

// addModels checks that all models are there, and prepares what Refresh reads.
func (s *snapshot) addModels() error {
	s.refreshes = make(map[string]*Read)
	for _, m := range s.Catalog.Models {
		switch {
		case s.Models[m.Name] == nil:
			return fmt.Errorf("model %s has no plan", m.Name)
		case m.Endpoint != "" && s.Predictors[m.Name] == nil:
			return fmt.Errorf("model %s has no client", m.Name)
		}
	}
	for _, m := range s.Catalog.Models {
		if m.Endpoint == "" || !m.Cache {
			continue
		}
		refs := make([]feature.FeatureRef, len(m.Outputs))
		for i, out := range m.Outputs {
			refs[i] = feature.FeatureRef{View: m.Name, Feature: out.Name}
		}
		r, err := s.compile(refs)
		if err != nil {
			return fmt.Errorf("model %s: %w", m.Name, err)
		}
		s.refreshes[m.Name] = r
	}
	return nil
}

// addOutput asks for an output of a model.
func (c *readCompiler) addOutput(ref feature.FeatureRef, model *feature.Model, output int) error {
	e := c.snap.Catalog.Entity(model.Entity)
	if e == nil {
		return fmt.Errorf("there is no entity %s", model.Entity)
	}
	o := c.output(ref, model.Outputs[output].Type)
	o.model, o.nth = c.wantModel(c.snap.Models[model.Name], e, ref.Keys), output
	m := &c.read.models[o.model]
	o.group = m.group
	indexOrAppend(&m.aliases, o.alias)
	c.show(o)
	return nil
}

// wantModel finds or makes the model under a mapping of its keys.
func (c *readCompiler) wantModel(plan *transforms.ModelPlan, e *feature.Entity, mapping map[string]string) int {
	r, group := c.read, c.group(e, mapping)
	for i := range r.models {
		if r.models[i].plan == plan && r.models[i].group == group {
			return i
		}
	}
	m := modelRead{plan: plan, predict: c.snap.Predictors[plan.Model.Name], group: group, stored: -1}
	if plan.Model.Cache {
		g := &r.groups[group]
		m.stored = len(g.predictions)
		g.predictions = append(g.predictions, plan)
	}
	r.models = append(r.models, m)
	c.mappings = append(c.mappings, mapping)
	return len(r.models) - 1
}

// addModelInputs asks for what the i-th model takes.
func (c *readCompiler) addModelInputs(i int) error {
	for n := range c.read.models[i].plan.Inputs {
		in := &c.read.models[i].plan.Inputs[n]
		v, ok := c.snap.served(in.Ref.View)
		if !ok {
			return fmt.Errorf("there is no view %s", in.Ref.View)
		}
		e := c.snap.Catalog.Entity(v.entity)
		if e == nil {
			return fmt.Errorf("there is no entity %s", v.entity)
		}
		group, at := c.group(e, c.mappings[i]), modelInput{onDemand: -1}
		if v.view != nil {
			at.index = c.wantHidden(group, -1, in.Ref.View, in.Ref.Feature)
			at.dflt = c.read.hidden[at.index].dflt
		} else {
			f := &v.features[indexOf(v.features, in.Ref.Feature)]
			at.onDemand, at.index = c.wantOnDemand(v.onDemand, group, -1, f)
			at.dflt = f.Default
		}
		c.read.models[i].inputs = append(c.read.models[i].inputs, at)
	}
	return nil
}

// print finds what a model's fingerprint is made of. Every view of it is wanted
// by now: by an input, or by an on-demand view that is one.
func (c *readCompiler) print(m *modelRead) {
	if m.stored < 0 || m.predict == nil {
		return
	}
	groupOf := make(map[*transforms.Plan]int)
	for _, in := range m.inputs {
		if in.onDemand < 0 {
			h := &c.read.hidden[in.index]
			groupOf[c.read.groups[h.group].views[h.view].plan] = h.group
			continue
		}
		o := &c.read.onDemand[in.onDemand]
		for _, from := range o.inputs {
			if from.kind != transforms.InputRequest {
				groupOf[c.read.groups[o.group].views[from.view].plan] = o.group
			}
		}
	}
	for _, s := range m.plan.Sources() {
		at := modelSource{view: -1}
		if s.View != nil {
			at.group = groupOf[s.View]
			at.view = c.wantView(&c.read.groups[at.group], s.Name)
			c.read.groups[at.group].views[at.view].printed = true
		}
		m.sources = append(m.sources, at)
	}
}

// modelState is the part of a state that belongs to one model.
type modelState struct {
	printer *transforms.Printer
	units   []unit            // per distinct key, or per row of the request without a cache
	lacking []int32           // units to infer
	cells   [][]cell          // per input that is a feature of a view, its cells by distinct key
	own     []feature.Column  // inputs, a row per row of the request
	columns []*feature.Column // the same: own, or the reader's
	inputs  []feature.Column  // of the units to infer
	asked   []*feature.Column // the same, as the predictor wants them
	printed []byte            // fingerprint of the unit at hand
	prints  []string          // fingerprints, parallel to lacking
	result  *Inferred         // parallel to lacking; nil if nothing was inferred
	later   []string          // keys to be refreshed behind the lookup
}

// unit is what is known of the prediction of one key, or of one row.
type unit struct {
	status   Status
	origin   Origin
	detail   string
	at       int64 // when its inputs were read, micros
	stamp    int64 // of the stored one; 0 if there is none
	ahead    bool  // the inputs of the stored one were read after this read began
	inferred int32 // row in the result; -1 for the stored one
	verdict  transforms.Judgement
}

func (r *Read) newModelStates(st *state) {
	st.models = make([]modelState, len(r.models))
	for i := range r.models {
		m, s := &r.models[i], &st.models[i]
		s.cells, s.columns = make([][]cell, len(m.inputs)), make([]*feature.Column, len(m.inputs))
		s.own, s.inputs = make([]feature.Column, len(m.inputs)), make([]feature.Column, len(m.inputs))
		for n := range m.inputs {
			s.own[n].Reset(m.plan.Inputs[n].Type)
			s.asked = append(s.asked, &s.inputs[n])
		}
		if m.sources == nil {
			continue
		}
		s.printer = m.plan.NewPrinter()
		for _, src := range m.sources {
			if src.view < 0 {
				continue
			}
			if w := st.groups[src.group].readers[src.view].Windows(); w != nil {
				w.KeepTiles(true)
			}
		}
	}
}

// release lets go of what belongs to a request.
func (s *modelState) release() {
	clear(s.columns)
	clear(s.prints)
	s.result = nil
}

// maxAge is the least age that a request wants of a model's outputs; 0 is any.
func (m *modelRead) maxAge(maxAge []time.Duration) time.Duration {
	least := time.Duration(0)
	for _, a := range m.aliases {
		if d := maxAge[a]; d > 0 && (least == 0 || d < least) {
			least = d
		}
	}
	return least
}

// servesLast reports whether the model's last prediction stands in for one that
// could not be computed, if it is no older than the request wants.
func (m *modelRead) servesLast(at, nowMicros int64, maxAge time.Duration) bool {
	return m.plan.Model.OnError == feature.ModelErrorLastValue && (maxAge == 0 || !older(nowMicros, at, maxAge))
}

// unitOf is the unit of a row of the request; -1 if one of its keys is null.
func (m *modelRead) unitOf(r *Response, row int) int {
	if m.stored >= 0 {
		return int(r.st.groups[m.group].slots[row])
	}
	return row
}
