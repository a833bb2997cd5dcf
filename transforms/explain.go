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
	Where    string             `json:"where,omitempty"`
	Finished string             `json:"finished"` // an example of a finished row
	Fields   []ExplainedField   `json:"fields"`
	Write    []ExplainedFeature `json:"write"`
	Stored   []ExplainedField   `json:"stored"`
	Read     []ExplainedFeature `json:"read"`
}

// ExplainedField is a named, typed column.
type ExplainedField struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Hidden bool   `json:"hidden,omitempty"`
}

// ExplainedFeature is a name and what computes it.
type ExplainedFeature struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Expr string `json:"expr"`
}

// Explain describes a plan.
func Explain(p *Plan) Explanation {
	e := Explanation{View: p.View.Name, Entity: p.Entity.Name, Source: p.Source.Name, Revision: p.View.Revision, Where: p.View.Where, Finished: finishedExample(p)}
	for i, k := range p.View.Keys {
		e.Keys = append(e.Keys, ExplainedFeature{k.JoinKey, p.Entity.JoinKeys[i].Type.String(), k.Expr})
	}
	for _, f := range p.Fields {
		e.Fields = append(e.Fields, ExplainedField{Name: f.Name, Type: f.Type.String()})
	}
	for _, c := range p.Stored.Columns {
		e.Stored = append(e.Stored, ExplainedField{Name: c.Name, Type: c.Type.String(), Hidden: c.Hidden})
	}
	for i := range p.View.Features {
		f := &p.View.Features[i]
		x := ExplainedFeature{f.Name, f.Type.String(), f.Expr}
		if f.At == feature.PhaseRead {
			e.Read = append(e.Read, x)
		} else {
			e.Write = append(e.Write, x)
		}
	}
	return e
}

// String lays the plan out for a terminal, in the order in which data flows.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "view %s: features of %s from %s (revision %d)\n", e.View, e.Entity, e.Source, e.Revision)
	if e.Where != "" {
		fmt.Fprintf(&b, "\nonly rows where\n  %s\n", e.Where)
	}
	section(&b, "fields read of a record", fieldLines(e.Fields))
	section(&b, "entity key", featureLines(e.Keys))
	section(&b, "computed at write", featureLines(e.Write))
	section(&b, "stored (what a finished row carries)", fieldLines(e.Stored))
	section(&b, "computed at read", featureLines(e.Read))
	section(&b, "a finished row, for a record with the header transform_on_write: false", []string{e.Finished})
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
		lines = append(lines, fmt.Sprintf("%-20s %-12s = %s", f.Name, f.Type, f.Expr))
	}
	return lines
}
