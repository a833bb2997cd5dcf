package app

import (
	"context"
	"fmt"

	"millrace/feature"
	"millrace/serving"
	"millrace/serving/predict"
	"millrace/transforms"
)

// PredictModel is what a client needs to know of a model with an endpoint.
func PredictModel(p *transforms.ModelPlan) predict.Model {
	m := predict.Model{
		Name: p.Model.Name, Version: p.Model.Version, Endpoint: p.Model.Endpoint,
		MaxBatch: p.Model.MaxBatch, Timeout: p.Model.Timeout,
	}
	if p.Model.Tensors == feature.TensorsStacked {
		m.Layout, m.Tensor = predict.Stacked, p.Model.TensorName
	}
	for i := range p.Inputs {
		in := &p.Inputs[i]
		name := in.Ref.Feature // which is the tensor's
		if m.Layout == predict.Stacked {
			name = in.Ref.View + ":" + in.Ref.Feature
		}
		// A float that is null is sent as NaN, for which models have a rule of their
		// own; of other kinds nothing could stand for it.
		m.Inputs = append(m.Inputs, predict.Port{Name: name, Type: in.Type, AllowNaN: isFloat(in.Type)})
	}
	for _, out := range p.Model.Outputs {
		m.Outputs = append(m.Outputs, predict.Port{Name: out.Name, Type: out.Type, AllowNaN: out.AllowNaN})
	}
	return m
}

func isFloat(t feature.Type) bool {
	return t.Kind == feature.KindFloat32 || t.Kind == feature.KindFloat64
}

// predictor is a client as serving knows it.
type predictor struct{ client *predict.Client }

// Predict implements serving.Predictor.
func (p predictor) Predict(ctx context.Context, q *serving.Inference, dst *serving.Inferred) error {
	asked := predict.Request{Inputs: q.Inputs, Rows: q.Rows}
	if q.Keys != nil {
		asked.Keys = make([]predict.Key, len(q.Keys))
		for i, k := range q.Keys {
			asked.Keys[i] = predict.Key(k)
		}
	}
	got := predict.Result{Outputs: dst.Outputs, Shared: dst.Shared}
	if err := p.client.Predict(ctx, &asked, &got); err != nil {
		return fmt.Errorf("infer: %w", err)
	}
	dst.Outputs, dst.Shared = got.Outputs, got.Shared
	dst.Faults = append(dst.Faults[:0], make([]serving.InferenceFault, q.Rows)...)
	for row, f := range got.Faults {
		if f != nil {
			dst.Faults[row] = serving.InferenceFault{Reason: f.Reason.String(), Lasting: f.Lasting()}
		}
	}
	return nil
}
