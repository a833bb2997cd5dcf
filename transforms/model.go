package transforms

import (
	"fmt"

	"millrace/feature"
)

// Hidden columns of a stored prediction; no output may have their names.
const (
	PredictionVersion     = "version"     // string: of the model that computed it, or that a client wrote it for
	PredictionFingerprint = "fingerprint" // bytes: transforms/fingerprint; empty when a client wrote it
	PredictionCatalog     = "catalog"     // int64: catalog version of the process that wrote it
	PredictionBy          = "by"          // string: one of By…
)

// ModelPlan is a compiled model. It is immutable once apply's numbers are in it,
// and may be shared.
//
// A prediction is stored as a row of View, one per key of the model's entity:
// the outputs, then the hidden columns, in Stored. Its event time is when its
// inputs were read.
type ModelPlan struct {
	Model  *feature.Model
	Entity *feature.Entity
	Inputs []ModelInput // parallel to Model.Inputs
	Asks   []Tensor     // tensors of a request, in the order in which they are sent
	Gives  []Tensor     // tensors of an answer, parallel to Model.Outputs
	View   *feature.View
	Stored *feature.Stored

	views map[string]*Plan // that the inputs are made of, behind on-demand views, too
}

// ModelInput is one input, of a view or of an on-demand view.
type ModelInput struct {
	Ref      feature.FeatureRef
	Type     feature.Type
	View     *Plan         // nil for a feature on demand
	OnDemand *OnDemandPlan // nil for a feature of a view
}

// CompileModel makes the plan of m, whose references were checked: every input
// is a feature of one of plans or onDemand, and every input and output has a
// type that a tensor carries.
func CompileModel(m *feature.Model, e *feature.Entity, plans map[string]*Plan, onDemand map[string]*OnDemandPlan) (*ModelPlan, error) {
	p := &ModelPlan{Model: m, Entity: e, views: make(map[string]*Plan)}
	for _, ref := range m.Inputs {
		in := ModelInput{Ref: ref, View: plans[ref.View], OnDemand: onDemand[ref.View]}
		f := in.feature()
		if f == nil {
			return nil, fmt.Errorf("model %s: there is no feature %s:%s", m.Name, ref.View, ref.Feature)
		}
		in.Type = f.Type
		if err := p.addViews(&in, plans); err != nil {
			return nil, err
		}
		p.Inputs = append(p.Inputs, in)
	}
	var err error
	if p.Asks, err = asked(m, p.Inputs); err != nil {
		return nil, err
	}
	for i, out := range m.Outputs {
		t, err := TensorOf(out.Type)
		if err != nil {
			return nil, fmt.Errorf("model %s: output %s: %w", m.Name, out.Name, err)
		}
		t.Name, t.Columns = out.Name, []int{i}
		p.Gives = append(p.Gives, t)
	}
	p.View, p.Stored = predictionView(m)
	return p, nil
}

// addViews notes the views that an input is made of.
func (p *ModelPlan) addViews(in *ModelInput, plans map[string]*Plan) error {
	if in.View != nil {
		p.views[in.Ref.View] = in.View
		return nil
	}
	for _, from := range in.OnDemand.InputsOf(in.Ref.Feature) {
		if from.Kind == InputRequest {
			continue
		}
		if p.views[from.Source] = plans[from.Source]; plans[from.Source] == nil {
			return fmt.Errorf("model %s: input %s:%s is made of view %s, which has no plan", p.Model.Name, in.Ref.View, in.Ref.Feature, from.Source)
		}
	}
	return nil
}

// feature is what the input is of its view; nil if there is no such feature.
func (in *ModelInput) feature() *feature.Feature {
	var all []feature.Feature
	switch {
	case in.View != nil:
		all = in.View.View.Features
	case in.OnDemand != nil:
		all = in.OnDemand.View.Features
	}
	i := indexOf(all, in.Ref.Feature)
	if i < 0 {
		return nil
	}
	return &all[i]
}

// predictionView is the view as which predictions are stored. It is fed by
// nothing, and no catalog lists it.
func predictionView(m *feature.Model) (*feature.View, *feature.Stored) {
	v := &feature.View{Name: m.Name, Entity: m.Entity, TTL: m.MaxAge, TTLMode: feature.TTLIgnore, Revision: m.Revision, Generation: 1}
	st := new(feature.Stored)
	for _, out := range m.Outputs {
		v.Features = append(v.Features, feature.Feature{Name: out.Name, Type: out.Type})
		st.Columns = append(st.Columns, feature.StoredColumn{Name: out.Name, Type: out.Type, Since: m.Revision})
	}
	for _, c := range []feature.StoredColumn{
		{Name: PredictionVersion, Type: feature.Of(feature.KindString)},
		{Name: PredictionFingerprint, Type: feature.Of(feature.KindBytes)},
		{Name: PredictionCatalog, Type: feature.Of(feature.KindInt64)},
		{Name: PredictionBy, Type: feature.Of(feature.KindString)},
	} {
		c.Since, c.Hidden = m.Revision, true
		st.Columns = append(st.Columns, c)
	}
	return v, st
}
