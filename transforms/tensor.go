package transforms

import (
	"errors"
	"fmt"
	"slices"

	"millrace/feature"
)

// Datatype is the type of a tensor's elements as the Open Inference Protocol
// names it.
type Datatype string

// The datatypes that features have.
const (
	TensorBool    Datatype = "BOOL"
	TensorInt32   Datatype = "INT32"
	TensorInt64   Datatype = "INT64" // also timestamps, in microseconds
	TensorFloat32 Datatype = "FP32"
	TensorFloat64 Datatype = "FP64"
	TensorBytes   Datatype = "BYTES"
)

// Tensor is the layout of one tensor. Its first dimension, which Dims leaves
// out, is that of the keys of a request.
type Tensor struct {
	Name     string
	Datatype Datatype
	Dims     []int // of one key: [1] for a scalar, [length] for a list, [inputs] where they are stacked
	Columns  []int // which inputs or outputs of the model it carries; several where they are stacked
}

// ErrNoTensor is wrapped by errors about types that no tensor carries.
var ErrNoTensor = errors.New("no tensor carries")

// TensorOf is the layout, without a name, of values of one type. The error says
// what to do instead.
func TensorOf(t feature.Type) (Tensor, error) {
	var d Datatype
	switch t.Kind {
	case feature.KindBool:
		d = TensorBool
	case feature.KindInt32:
		d = TensorInt32
	case feature.KindInt64, feature.KindTimestamp:
		d = TensorInt64
	case feature.KindFloat32:
		d = TensorFloat32
	case feature.KindFloat64:
		d = TensorFloat64
	case feature.KindString, feature.KindBytes:
		d = TensorBytes
	case feature.KindJSON, feature.KindInvalid:
		return Tensor{}, fmt.Errorf("%w %s: cast it to string, or take values out of it", ErrNoTensor, t)
	}
	switch {
	case t.Depth > 1:
		return Tensor{}, fmt.Errorf("%w %s: make one list of it, of fixed length", ErrNoTensor, t)
	case t.IsList() && t.Length == 0:
		return Tensor{}, fmt.Errorf("%w %s of any length: fix it with length: N", ErrNoTensor, t)
	case t.IsList():
		return Tensor{Datatype: d, Dims: []int{int(t.Length)}}, nil
	}
	return Tensor{Datatype: d, Dims: []int{1}}, nil
}

// asked is the tensors that carry a model's inputs.
func asked(m *feature.Model, inputs []ModelInput) ([]Tensor, error) {
	all := make([]Tensor, 0, len(inputs))
	for i := range inputs {
		in := &inputs[i]
		t, err := TensorOf(in.Type)
		if err != nil {
			return nil, fmt.Errorf("model %s: input %s:%s: %w", m.Name, in.Ref.View, in.Ref.Feature, err)
		}
		t.Name, t.Columns = in.Ref.Feature, []int{i}
		all = append(all, t)
	}
	if m.Tensors != feature.TensorsStacked || len(all) == 0 {
		return all, nil
	}
	one := Tensor{Name: m.TensorName, Datatype: all[0].Datatype, Dims: []int{len(all)}}
	for i := range all {
		if all[i].Datatype != one.Datatype || !slices.Equal(all[i].Dims, []int{1}) {
			return nil, fmt.Errorf("model %s: inputs of different types cannot be stacked in one tensor", m.Name)
		}
		one.Columns = append(one.Columns, i)
	}
	return []Tensor{one}, nil
}
