package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"millrace/feature"
	"millrace/transforms"
)

func newExplain(g *globals) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "explain VIEW",
		Short: "Show a view's plan: which half computes what, and what is stored",
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
			plan, ok := p.Plans[args[0]]
			if !ok {
				return fmt.Errorf("explain %s: project %s has no such view%s", args[0], p.Catalog.Project, viewList(p.Catalog.Views))
			}
			e := transforms.Explain(plan)
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

func viewList(views []*feature.View) string {
	text := ""
	for i, v := range views {
		if i == 0 {
			text = "; it has "
		} else {
			text += ", "
		}
		text += v.Name
	}
	return text
}
