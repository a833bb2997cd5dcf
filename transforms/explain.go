package transforms

import (
	"fmt"
	"strings"

	"millrace/feature"
)

// Explanation is a plan as people read it.
type Explanation struct {
	View     string             `json:"view"`
	Entity   string             `json:"entity"`
	Source   string             `json:"source"`
	Revision uint16             `json:"revision"`
	Keys     []ExplainedFeature `json:"keys"`
	Unnest   string             `json:"unnest,omitempty"` // what a row is made of, when it is not a record
	Where    string             `json:"where,omitempty"`
	Finished string             `json:"finished,omitempty"` // an example of a finished row; "" when the view takes none
	Fields   []ExplainedField   `json:"fields"`
	Write    []ExplainedFeature `json:"write"`
	Stored   []ExplainedField   `json:"stored"`
	Read     []ExplainedFeature `json:"read"`
	Windows  *ExplainedWindows  `json:"windows,omitempty"`

	WriteSteps int `json:"write_steps"` // kernels that the write half calls per batch
	ReadSteps  int `json:"-"`           // kernels that a read of all features calls; part of what a read costs
}

// ExplainedField is a named, typed column.
type ExplainedField struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Path   string `json:"path,omitempty"` // in the record, when it is not the name
	Hidden bool   `json:"hidden,omitempty"`
}

// ExplainedFeature is a name and what computes it.
type ExplainedFeature struct {
	Name   string   `json:"name"`
	Type   string   `json:"type"`
	Expr   string   `json:"expr"`
	Inputs []string `json:"inputs,omitempty"` // of a feature at read: the stored columns it loads
}

// Explain describes a plan.
func Explain(p *Plan) Explanation {
	e := Explanation{View: p.View.Name, Entity: p.Entity.Name, Source: p.Source.Name, Revision: p.View.Revision, Where: p.View.Where}
	if p.StoresRows() {
		e.Finished = finishedExample(p)
	}
	if u := p.View.Unnest; u != nil {
		e.Unnest = u.Field + " as " + u.As
	}
	for i, k := range p.View.Keys {
		e.Keys = append(e.Keys, ExplainedFeature{Name: k.JoinKey, Type: p.Entity.JoinKeys[i].Type.String(), Expr: k.Expr})
	}
	for _, f := range p.Fields {
		x := ExplainedField{Name: f.Name, Type: f.Type.String()}
		if declared, _ := p.Field(f.Name); declared.Path != f.Name {
			x.Path = declared.Path
		}
		e.Fields = append(e.Fields, x)
	}
	for _, c := range p.Stored.Columns {
		e.Stored = append(e.Stored, ExplainedField{Name: c.Name, Type: c.Type.String(), Hidden: c.Hidden})
	}
	for i := range p.View.Features {
		f := &p.View.Features[i]
		if f.Aggregate != nil {
			continue
		}
		x := ExplainedFeature{Name: f.Name, Type: f.Type.String(), Expr: f.Expr}
		if f.At == feature.PhaseRead {
			x.Inputs = p.inputNames(f.Name)
			e.Read = append(e.Read, x)
		} else {
			e.Write = append(e.Write, x)
		}
	}
	e.Windows = explainWindows(p)
	e.WriteSteps, e.ReadSteps = p.write.Steps(), p.readSteps()
	return e
}

// readSteps counts the kernels of a read of all features.
func (p *Plan) readSteps() int {
	var names []string
	for i := range p.View.Features {
		names = append(names, p.View.Features[i].Name)
	}
	r, err := p.NewReader(names)
	if err != nil || r.program == nil {
		return 0
	}
	return r.program.Steps()
}

// String lays the plan out for a terminal, in the order in which data flows.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "view %s: features of %s from %s (revision %d)\n", e.View, e.Entity, e.Source, e.Revision)
	if e.Unnest != "" {
		fmt.Fprintf(&b, "\none row per element of\n  %s\n", e.Unnest)
	}
	if e.Where != "" {
		fmt.Fprintf(&b, "\nonly rows where\n  %s\n", e.Where)
	}
	section(&b, "fields read of a record", fieldLines(e.Fields))
	section(&b, "entity key", featureLines(e.Keys))
	section(&b, "computed at write", featureLines(e.Write))
	section(&b, "stored (what a finished row carries)", fieldLines(e.Stored))
	e.Windows.sections(&b)
	section(&b, "computed at read", featureLines(e.Read))
	if e.Finished != "" {
		section(&b, "a finished row, for a record with the header transform_on_write: false", []string{e.Finished})
	} else {
		section(&b, "stored of a row", []string{"nothing but its tiles; finished rows are refused (windows_only)"})
	}
	return b.String()
}

func section(b *strings.Builder, title string, lines []string) {
	if len(lines) > 0 {
		fmt.Fprintf(b, "\n%s\n  %s\n", title, strings.Join(lines, "\n  "))
	}
}

func fieldLines(fs []ExplainedField) []string {
	lines := make([]string, 0, len(fs))
	for _, f := range fs {
		line := fmt.Sprintf("%-20s %s", f.Name, f.Type)
		if f.Path != "" {
			line = fmt.Sprintf("%-20s %-12s at %s", f.Name, f.Type, f.Path)
		}
		if f.Hidden {
			line += "  (hidden: an input of a feature computed at read)"
		}
		lines = append(lines, line)
	}
	return lines
}

func featureLines(fs []ExplainedFeature) []string {
	lines := make([]string, 0, len(fs))
	for _, f := range fs {
		line := fmt.Sprintf("%-20s %-12s = %s", f.Name, f.Type, f.Expr)
		if len(f.Inputs) > 0 {
			line += "  (loads " + strings.Join(f.Inputs, ", ") + ")"
		}
		lines = append(lines, line)
	}
	return lines
}

// inputNames lists what a feature at read is computed from: stored columns and
// windowed features.
func (p *Plan) inputNames(name string) []string {
	r, err := p.NewReader([]string{name})
	if err != nil {
		return nil // there is no such feature
	}
	var names []string
	for _, c := range r.Columns() {
		names = append(names, c.Name)
	}
	if w := r.Windows(); w != nil {
		for i := range w.Features() {
			names = append(names, w.Feature(i).Name)
		}
	}
	return names
}

// Inputs lists the stored columns that a read of the named feature loads: its
// own when it is computed at write, what it is computed from otherwise.
func (p *Plan) Inputs(name string) []feature.StoredColumn {
	r, err := p.NewReader([]string{name})
	if err != nil {
		return nil // there is no such feature
	}
	return r.Columns()
}
