package transforms

import (
	"fmt"
	"strings"
)

// OnDemandExplanation is the plan of an on-demand view as people read it.
type OnDemandExplanation struct {
	OnDemandView string             `json:"on_demand_view"`
	Entity       string             `json:"entity"`
	Sources      []string           `json:"sources"`
	Inputs       []ExplainedField   `json:"inputs"`  // features of views, and event times of their rows
	Request      []ExplainedRequest `json:"request"` // what a request has to bring
	Read         []ExplainedFeature `json:"read"`

	ReadSteps int `json:"-"` // kernels that a read of all features calls; part of what a read costs
}

// ExplainedRequest is a field that arrives with a request.
type ExplainedRequest struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Source   string `json:"source"`
	Optional bool   `json:"optional,omitempty"`
}

// ExplainOnDemand describes a plan.
func ExplainOnDemand(p *OnDemandPlan) OnDemandExplanation {
	e := OnDemandExplanation{
		OnDemandView: p.View.Name, Entity: p.View.Entity, Sources: p.View.Sources,
		Inputs: []ExplainedField{}, Request: []ExplainedRequest{},
	}
	for _, in := range p.Inputs {
		if in.Kind == InputRequest {
			e.Request = append(e.Request, ExplainedRequest{Name: in.Name, Type: in.Type.String(), Source: in.Source, Optional: in.Optional})
			continue
		}
		e.Inputs = append(e.Inputs, ExplainedField{Name: in.String(), Type: in.Type.String()})
	}
	var names []string
	for i := range p.View.Features {
		f := &p.View.Features[i]
		x := ExplainedFeature{Name: f.Name, Type: f.Type.String(), Expr: f.Expr}
		for _, in := range p.InputsOf(f.Name) {
			x.Inputs = append(x.Inputs, in.String())
		}
		e.Read = append(e.Read, x)
		names = append(names, f.Name)
	}
	if r, err := p.NewReader(names); err == nil {
		e.ReadSteps = r.program.Steps()
	}
	return e
}

// InputsOf lists what the named feature is computed from.
func (p *OnDemandPlan) InputsOf(name string) []OnDemandInput {
	r, err := p.NewReader([]string{name})
	if err != nil {
		return nil // there is no such feature
	}
	return r.Inputs()
}

// String lays the plan out for a terminal, in the order in which data flows.
func (e OnDemandExplanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "on-demand view %s: features of %s from %s; nothing is stored\n", e.OnDemandView, e.Entity, strings.Join(e.Sources, ", "))
	section(&b, "read of views (as served: ttl and defaults applied)", fieldLines(e.Inputs))
	lines := make([]string, 0, len(e.Request))
	for _, f := range e.Request {
		line := fmt.Sprintf("%-20s %-12s of %s", f.Name, f.Type, f.Source)
		if f.Optional {
			line += "  (optional: null when left out)"
		}
		lines = append(lines, line)
	}
	section(&b, "arrives with the request", lines)
	section(&b, "computed at read", featureLines(e.Read))
	return b.String()
}
