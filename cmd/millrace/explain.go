package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"millrace/feature/definition"
	"millrace/transforms"
)

func newExplain(g *globals) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "explain VIEW",
		Short: "Show the plan of a view or on-demand view: what computes what, and what is stored",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := g.load()
			if err != nil {
				return err
			}
			p, err := loadDefinitions(&cfg, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			e, err := explain(p, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				out := json.NewEncoder(cmd.OutOrStdout())
				out.SetIndent("", "  ")
				return out.Encode(e)
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), e.String())
			return err //nolint:wrapcheck // the output is gone; nothing to add
		},
	}
	g.addDefinitions(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// explain describes a view or an on-demand view, as text or JSON.
func explain(p *definition.Project, name string) (fmt.Stringer, error) {
	if plan, ok := p.Plans[name]; ok {
		return transforms.Explain(plan), nil
	}
	if plan, ok := p.OnDemand[name]; ok {
		return transforms.ExplainOnDemand(plan), nil
	}
	known := "; it has none"
	if names := p.Catalog.ViewNames(); len(names) > 0 {
		known = "; it has " + strings.Join(names, ", ")
	}
	return nil, fmt.Errorf("explain %s: project %s has no such view%s", name, p.Catalog.Project, known)
}
