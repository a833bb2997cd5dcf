package oip

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Tensor is values of a request or an answer, a row of them per key.
type Tensor struct {
	Name     string          `json:"name"`
	Shape    []int           `json:"shape"`
	Datatype string          `json:"datatype"`
	Data     json.RawMessage `json:"data"` // flat, or nested as the shape says
}

// Declared is a tensor of a model's metadata. -1 in a shape is any number.
type Declared struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    []int  `json:"shape"`
}

// Column makes a tensor of one value per row. T fits the datatype.
func Column[T float64 | int64 | string](name, datatype string, values []T) (Tensor, error) {
	data, err := json.Marshal(values)
	if err != nil {
		return Tensor{}, fmt.Errorf("tensor %s: %w", name, err) // a NaN has no JSON
	}
	return Tensor{Name: name, Shape: []int{len(values), 1}, Datatype: datatype, Data: data}, nil
}

// TensorError says what is wrong with a tensor that was sent.
type TensorError struct{ Message string }

// Error says what is wrong.
func (e *TensorError) Error() string { return e.Message }

func tensorError(format string, args ...any) error {
	return &TensorError{fmt.Sprintf(format, args...)}
}

// Values reads a tensor of one value per row. The error is a *TensorError.
func Values[T float64 | int64 | string](t Tensor) ([]T, error) {
	var flat []T
	if err := json.Unmarshal(t.Data, &flat); err != nil {
		var nested [][]T
		if json.Unmarshal(t.Data, &nested) != nil {
			return nil, tensorError("tensor %s: %v", t.Name, err)
		}
		flat = slices.Concat(nested...)
	}
	if rows, err := t.rows(); err != nil || rows != len(flat) {
		return nil, tensorError("tensor %s has %d values and the shape %v; want one per row", t.Name, len(flat), t.Shape)
	}
	return flat, nil
}

// rows is how many keys a tensor of scalars has: [n] or [n, 1].
func (t *Tensor) rows() (int, error) {
	if len(t.Shape) == 0 || len(t.Shape) > 2 || t.Shape[0] < 0 || len(t.Shape) == 2 && t.Shape[1] != 1 {
		return 0, tensorError("tensor %s has the shape %v, want [n, 1]", t.Name, t.Shape)
	}
	return t.Shape[0], nil
}
