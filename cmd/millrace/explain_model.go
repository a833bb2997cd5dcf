package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/sinks/rowcodec"
	"millrace/transforms"
)

// modelExplanation is the plan of a model with what a prediction takes, which
// only the row's format knows.
type modelExplanation struct {
	transforms.ModelExplanation

	FixedBytes int `json:"fixed_bytes"` // of every stored prediction, without its values of variable width
}

// explainModel describes a model.
func explainModel(w io.Writer, p *transforms.ModelPlan, asJSON bool) error {
	e := modelExplanation{ModelExplanation: transforms.ExplainModel(p)}
	if p.Model.Cache {
		header, sizes := rowcodec.Sizes(p.Stored)
		e.FixedBytes = header
		for _, s := range sizes {
			e.FixedBytes += s.Bytes
		}
	}
	if asJSON {
		return writeJSON(w, e)
	}
	fmt.Fprint(w, e.String())
	if e.FixedBytes > 0 {
		fmt.Fprintf(w, "\na stored prediction takes %d bytes, and the values of variable width\n", e.FixedBytes)
	}
	return nil
}

type listedModel struct {
	Name     string `json:"name"`
	Version  string `json:"version,omitempty"`
	Entity   string `json:"entity"`
	Inputs   int    `json:"inputs"`
	Outputs  int    `json:"outputs"`
	Computed string `json:"computed"` // when
}

func listModel(p *transforms.ModelPlan) listedModel {
	m := p.Model
	return listedModel{m.Name, m.Version, m.Entity, len(m.Inputs), len(m.Outputs), transforms.ExplainModel(p).Computed}
}

// entitiesRead are the entities of which a read of a model's outputs needs
// something of the store: the prediction, and the inputs that say whether it is
// fresh.
func entitiesRead(p *definition.Project, m *feature.Model) []string {
	var all []string
	if m.Cache {
		all = append(all, m.Entity)
	}
	for _, in := range m.Inputs {
		if entity, ok := entityRead(p, in); ok && !slices.Contains(all, entity) {
			all = append(all, entity)
		}
	}
	return all
}

func printModels(t *tabwriter.Writer, all []listedModel) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(t, "\nMODEL\tVERSION\tENTITY\tINPUTS\tOUTPUTS\tPREDICTIONS ARE COMPUTED")
	for _, m := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\n", m.Name, m.Version, m.Entity, m.Inputs, m.Outputs, m.Computed)
	}
}

// wholeOf is the view or model that view:feature, or the name of an output, is
// part of; "" if there is none.
func wholeOf(k *feature.Catalog, name string) string {
	view, feat, one := strings.Cut(name, ":")
	if !one {
		return ""
	}
	if m, _ := k.Output(feature.FeatureRef{View: view, Feature: feat}); m != nil {
		return m.Name
	}
	if !slices.Contains(k.AskedNames(), view) {
		return ""
	}
	return view
}

func modelList(c *feature.Catalog) string {
	if len(c.Models) == 0 {
		return ""
	}
	names := make([]string, len(c.Models))
	for i, m := range c.Models {
		names[i] = m.Name
	}
	return "; models " + strings.Join(names, ", ")
}
