package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/transforms"
)

// onDemandExplanation is the plan of an on-demand view with what it costs.
type onDemandExplanation struct {
	transforms.OnDemandExplanation

	Cost onDemandCost `json:"read_cost"`
}

// onDemandCost is what reading all of an on-demand view costs for one entity.
type onDemandCost struct {
	StoreReads int      `json:"store_reads"` // views of the entity share it
	Views      []string `json:"views"`       // read for it
	Steps      int      `json:"steps"`       // of its own; those of its inputs are their views'
}

// explainOnDemand describes an on-demand view.
func explainOnDemand(w io.Writer, p *transforms.OnDemandPlan, asJSON bool) error {
	e := onDemandExplanation{OnDemandExplanation: transforms.ExplainOnDemand(p)}
	e.Cost = onDemandCost{Views: viewsRead(p.Inputs), Steps: e.ReadSteps}
	if len(e.Cost.Views) > 0 {
		e.Cost.StoreReads = 1
	}
	if asJSON {
		return writeJSON(w, e)
	}
	read := "nothing is read of the store"
	if e.Cost.StoreReads > 0 {
		read = "one store read per entity, of " + strings.Join(e.Cost.Views, ", ") + ", shared with what else is read of it"
	}
	_, err := fmt.Fprintf(w, "%s\ncost\n  a read               %s; %s of its own\n", e.String(), read, steps(e.Cost.Steps))
	return err //nolint:wrapcheck // the output is gone; nothing to add
}

// viewsRead lists the views among inputs.
func viewsRead(inputs []transforms.OnDemandInput) []string {
	views := []string{}
	for _, in := range inputs {
		if in.Kind != transforms.InputRequest && !slices.Contains(views, in.Source) {
			views = append(views, in.Source)
		}
	}
	return views
}

type listedOnDemand struct {
	Name     string   `json:"name"`
	Entity   string   `json:"entity"`
	Features int      `json:"features"`
	Views    []string `json:"views"`
	Request  []string `json:"request"` // fields that a request brings
}

func listOnDemand(p *transforms.OnDemandPlan) listedOnDemand {
	l := listedOnDemand{Name: p.View.Name, Entity: p.View.Entity, Features: len(p.View.Features), Views: viewsRead(p.Inputs), Request: []string{}}
	for _, in := range p.Inputs {
		if in.Kind == transforms.InputRequest && !slices.Contains(l.Request, in.Name) {
			l.Request = append(l.Request, in.Name)
		}
	}
	return l
}

// entityRead is the entity of which a feature needs something of the store;
// false if it needs nothing.
func entityRead(p *definition.Project, f feature.FeatureRef) (string, bool) {
	if v := p.Catalog.View(f.View); v != nil {
		return v.Entity, true
	}
	plan := p.OnDemand[f.View]
	return plan.View.Entity, len(viewsRead(plan.InputsOf(f.Feature))) > 0
}
