package transforms

import (
	"fmt"
	"strings"

	"millrace/feature"
)

// ModelExplanation is the plan of a model as people read it.
type ModelExplanation struct {
	Model    string              `json:"model"`
	Version  string              `json:"version,omitempty"`
	Entity   string              `json:"entity"`
	Endpoint string              `json:"endpoint,omitempty"`
	Inputs   []ExplainedField    `json:"inputs"`
	Asks     []ExplainedTensor   `json:"request_tensors"`
	Gives    []ExplainedTensor   `json:"answer_tensors"`
	Outputs  []ExplainedOutput   `json:"outputs"`
	Sources  []ExplainedMaterial `json:"made_of"`
	Stored   []ExplainedField    `json:"stored"`
	Computed string              `json:"computed"` // when
	Served   string              `json:"served"`   // for how long
	Failing  string              `json:"failing"`  // what is served when none can be computed
}

// ExplainedTensor is the layout of a tensor; n is the number of keys.
type ExplainedTensor struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    string `json:"shape"`
}

// ExplainedOutput is a value that the model answers.
type ExplainedOutput struct {
	Name string `json:"name"`
	Type string `json:"type"`
	As   string `json:"as,omitempty"`
	NaN  bool   `json:"allow_nan,omitempty"`
}

// ExplainedMaterial is what a prediction remembers of one view.
type ExplainedMaterial struct {
	Name     string   `json:"name"`
	Row      bool     `json:"row"`
	Windows  []string `json:"windows,omitempty"`
	OnDemand bool     `json:"on_demand,omitempty"`
}

// ExplainModel describes a plan.
func ExplainModel(p *ModelPlan) ModelExplanation {
	m := p.Model
	e := ModelExplanation{
		Model: m.Name, Version: m.Version, Entity: m.Entity, Endpoint: m.Endpoint, Inputs: []ExplainedField{},
		Asks: explainTensors(p.Asks), Gives: explainTensors(p.Gives), Sources: []ExplainedMaterial{}, Stored: []ExplainedField{},
		Computed: computedWhen(m), Served: servedFor(m), Failing: failing(m),
	}
	for i := range p.Inputs {
		in := &p.Inputs[i]
		e.Inputs = append(e.Inputs, ExplainedField{Name: in.Ref.View + ":" + in.Ref.Feature, Type: typeText(in.Type)})
	}
	for _, out := range m.Outputs {
		x := ExplainedOutput{Name: out.Name, Type: typeText(out.Type), NaN: out.AllowNaN}
		if out.As.View != "" {
			x.As = out.As.View + ":" + out.As.Feature
		}
		e.Outputs = append(e.Outputs, x)
	}
	if !m.Cache {
		return e
	}
	if m.Endpoint != "" && m.Fingerprint == feature.FingerprintState {
		for _, s := range p.Sources() {
			e.Sources = append(e.Sources, ExplainedMaterial{Name: s.Name, Row: s.Row, Windows: s.Windows, OnDemand: s.View == nil})
		}
	}
	for _, c := range p.Stored.Columns {
		e.Stored = append(e.Stored, ExplainedField{Name: c.Name, Type: typeText(c.Type), Hidden: c.Hidden})
	}
	return e
}

func explainTensors(all []Tensor) []ExplainedTensor {
	out := make([]ExplainedTensor, 0, len(all))
	for _, t := range all {
		var shape strings.Builder
		shape.WriteString("[n")
		for _, d := range t.Dims {
			fmt.Fprintf(&shape, ", %d", d)
		}
		out = append(out, ExplainedTensor{Name: t.Name, Datatype: string(t.Datatype), Shape: shape.String() + "]"})
	}
	return out
}

func typeText(t feature.Type) string {
	if t.Length > 0 {
		return fmt.Sprintf("%s[%d]", t, t.Length)
	}
	return t.String()
}

func computedWhen(m *feature.Model) string {
	switch {
	case m.Endpoint == "":
		return "by clients, which write them"
	case !m.Cache:
		return "at every read"
	case m.RefreshOnRead && m.RefreshOnWrite:
		return "after a change of an input, and at a read that finds none that is fresh"
	case m.RefreshOnWrite:
		return "after a change of an input"
	case m.RefreshOnRead:
		return "at a read that finds none that is fresh"
	}
	return "by millrace refresh --all, and by clients that write them"
}

func servedFor(m *feature.Model) string {
	if !m.Cache {
		return "to the request that it was computed for"
	}
	text := "at any age"
	if m.MaxAge > 0 {
		text = "for " + Duration(m.MaxAge)
	}
	if m.Endpoint != "" {
		text += " while " + map[feature.FingerprintMode]string{
			feature.FingerprintState: "the stored state of the inputs", feature.FingerprintValues: "the values of the inputs",
		}[m.Fingerprint] + " and the version are those that it was computed from"
	}
	if m.ServeStaleFor > 0 {
		text += "; up to " + Duration(m.ServeStaleFor) + " longer while another is computed"
	}
	return text
}

func failing(m *feature.Model) string {
	if m.Endpoint == "" {
		return "null"
	}
	return map[feature.ModelErrorPolicy]string{
		feature.ModelErrorNull: "null", feature.ModelErrorLastValue: "the last prediction that is stored", feature.ModelErrorFail: "an error of the request",
	}[m.OnError]
}

// String lays the plan out for a terminal, in the order in which data flows.
func (e ModelExplanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "model %s: predictions of %s", e.Model, e.Entity)
	if e.Version != "" {
		fmt.Fprintf(&b, ", version %s", e.Version)
	}
	if e.Endpoint != "" {
		fmt.Fprintf(&b, ", at %s", e.Endpoint)
	}
	b.WriteByte('\n')
	lines := make([]string, 0, len(e.Inputs))
	for _, in := range e.Inputs {
		lines = append(lines, fmt.Sprintf("%-33s %s", in.Name, in.Type)) // two names are long
	}
	section(&b, "inputs, in this order", lines)
	if e.Endpoint != "" {
		section(&b, "tensors of a request for n keys", tensorLines(e.Asks))
		section(&b, "tensors of its answer", tensorLines(e.Gives))
	}
	lines = lines[:0]
	for _, o := range e.Outputs {
		line := fmt.Sprintf("%-20s %-12s", o.Name, o.Type)
		if o.As != "" {
			line += " also " + o.As
		}
		if o.NaN {
			line += " may be NaN"
		}
		lines = append(lines, strings.TrimRight(line, " "))
	}
	section(&b, "outputs", lines)
	section(&b, "stale when one of these changes", materialLines(e.Sources))
	lines = fieldLines(e.Stored)
	for i, f := range e.Stored {
		if f.Hidden {
			lines[i] = fmt.Sprintf("%-20s %-12s (hidden)", f.Name, f.Type)
		}
	}
	section(&b, "stored of a prediction, in one cell of its entity", lines)
	fmt.Fprintf(&b, "\ncomputed\n  %s\nserved\n  %s\n", e.Computed, e.Served)
	if e.Endpoint != "" { // nothing computes the others
		fmt.Fprintf(&b, "where none can be computed\n  %s\n", e.Failing)
	}
	return b.String()
}

func tensorLines(all []ExplainedTensor) []string {
	lines := make([]string, 0, len(all))
	for _, t := range all {
		lines = append(lines, fmt.Sprintf("%-20s %-12s %s", t.Name, t.Datatype, t.Shape))
	}
	return lines
}

func materialLines(all []ExplainedMaterial) []string {
	lines := make([]string, 0, len(all))
	for _, m := range all {
		var parts []string
		if m.Row {
			parts = append(parts, "its row")
		}
		if len(m.Windows) > 0 {
			parts = append(parts, "the events counted by "+strings.Join(m.Windows, ", "))
		}
		parts = append(parts, "how its features are read")
		lines = append(lines, fmt.Sprintf("%-20s %s", m.Name, strings.Join(parts, "; ")))
	}
	return lines
}
