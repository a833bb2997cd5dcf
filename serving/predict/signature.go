package predict

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Signature is the tensors of a model: its metadata in the protocol.
type Signature struct {
	Name     string   `json:"name"`
	Versions []string `json:"versions"`
	Inputs   []Tensor `json:"inputs"`
	Outputs  []Tensor `json:"outputs"`
}

// Tensor is one input or output of a signature; a dimension of -1 is any.
type Tensor struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

// String is a tensor in a line: fare FP64 [-1, 1].
func (t Tensor) String() string {
	dims := make([]string, len(t.Shape))
	for i, d := range t.Shape {
		dims[i] = strconv.FormatInt(d, 10)
	}
	return fmt.Sprintf("%s %s [%s]", t.Name, t.Datatype, strings.Join(dims, ", "))
}

func find(list []Tensor, name string) *Tensor {
	i := slices.IndexFunc(list, func(t Tensor) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return &list[i]
}

// Signature is what m sends and wants. m must have been checked by New.
func (m *Model) Signature() *Signature {
	s := &Signature{Name: m.Name}
	if m.Version != "" {
		s.Versions = []string{m.Version}
	}
	if m.Layout == Stacked {
		s.Inputs = []Tensor{{m.Tensor, datatypes[m.TensorKind], []int64{-1, int64(m.stackWidth())}}}
	} else {
		for i := range m.Inputs {
			p := &m.Inputs[i]
			s.Inputs = append(s.Inputs, Tensor{p.Name, datatypes[p.As], []int64{-1, int64(p.width())}})
		}
	}
	for i := range m.Outputs {
		p := &m.Outputs[i]
		s.Outputs = append(s.Outputs, Tensor{p.Name, datatypes[p.Type.Kind], []int64{-1, int64(p.width())}})
	}
	return s
}

// MisfitError says how a model's signature differs from its definition.
type MisfitError struct {
	Wanted, Offered *Signature
	Problems        []string // sentences without a stop
}

// Error has the problems and both signatures, a line each.
func (e *MisfitError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "model %q does not fit its definition:\n", e.Wanted.Name)
	for _, p := range e.Problems {
		fmt.Fprintf(&b, "  - %s\n", p)
	}
	e.Wanted.print(&b, "the definition")
	e.Offered.print(&b, "the model server")
	return strings.TrimRight(b.String(), "\n")
}

func (s *Signature) print(b *strings.Builder, whose string) {
	fmt.Fprintf(b, "%s has:\n", whose)
	if len(s.Versions) > 0 {
		fmt.Fprintf(b, "  versions %s\n", strings.Join(s.Versions, ", "))
	}
	for _, part := range []struct {
		what string
		list []Tensor
	}{{"input ", s.Inputs}, {"output", s.Outputs}} {
		for _, t := range part.list {
			fmt.Fprintf(b, "  %s %s\n", part.what, t)
		}
		if len(part.list) == 0 {
			fmt.Fprintf(b, "  %ss are not declared\n", strings.TrimSpace(part.what))
		}
	}
}

// Fit compares what a server offers with what m sends and wants. It returns a
// *MisfitError with both if they differ. What the server does not declare cannot
// differ.
func (m *Model) Fit(offered *Signature) error {
	e := &MisfitError{Wanted: m.Signature(), Offered: offered}
	if offered.Name != m.Name {
		e.addf("the server calls the model %q", offered.Name)
	}
	if m.Version != "" && len(offered.Versions) > 0 && !slices.Contains(offered.Versions, m.Version) {
		e.addf("version %q is not served", m.Version)
	}
	if len(offered.Inputs) > 0 {
		e.compareInputs()
	}
	if len(offered.Outputs) > 0 {
		e.compareOutputs(m)
	}
	if len(e.Problems) == 0 {
		return nil
	}
	return e
}

func (e *MisfitError) addf(format string, args ...any) {
	e.Problems = append(e.Problems, fmt.Sprintf(format, args...))
}

func (e *MisfitError) compareInputs() {
	for _, want := range e.Wanted.Inputs {
		got := find(e.Offered.Inputs, want.Name)
		switch {
		case got == nil:
			e.addf("the model has no input %q", want.Name)
		case got.Datatype != want.Datatype:
			e.addf("input %q is sent as %s and the model wants %s", want.Name, want.Datatype, got.Datatype)
		case !sameShape(want.Shape, got.Shape):
			e.addf("input %q is sent with another shape than the model wants", want.Name)
		}
	}
	for _, got := range e.Offered.Inputs {
		if find(e.Wanted.Inputs, got.Name) == nil {
			e.addf("the model has an input %q, which the definition lacks", got.Name)
		}
	}
}

func (e *MisfitError) compareOutputs(m *Model) {
	for i, want := range e.Wanted.Outputs {
		got := find(e.Offered.Outputs, want.Name)
		switch {
		case got == nil:
			e.addf("the model has no output %q", want.Name)
		case !slices.Contains(holds[m.Outputs[i].Type.Kind], got.Datatype):
			e.addf("output %q is %s, which %s cannot hold", want.Name, got.Datatype, m.Outputs[i].Type)
		case !sameShape(want.Shape, got.Shape):
			e.addf("output %q has another shape than the definition wants", want.Name)
		}
	}
}

// sameShape compares [-1, k] with what a server declares: its own first
// dimension is free or a batch size, and [n] stands for [n, 1].
func sameShape(want, got []int64) bool {
	switch len(got) {
	case 0:
		return true // not declared
	case 1:
		return want[1] == 1
	case 2:
		return got[1] == -1 || got[1] == want[1]
	default:
		return false
	}
}
