package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"millrace/feature/definition"
)

func newCheck(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "check",
		Short: "Report every error in the definitions",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.load()
			if err != nil {
				return err
			}
			p, err := loadDefinitions(cmd.Context(), &cfg, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			k := p.Catalog
			fmt.Fprintf(cmd.OutOrStdout(), "project %s: %d entities, %d sources, %d views, %d on-demand views, %d services: no errors\n",
				k.Project, len(k.Entities), len(k.Sources), len(k.Views), len(k.OnDemandViews), len(k.Services))
			return nil
		},
	}
	g.addDefinitions(c)
	return c
}

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of definition files, for editors",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := definition.Schema()
			if err != nil {
				return fmt.Errorf("make the JSON Schema: %w", err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
			return err //nolint:wrapcheck // the output is gone; nothing to add
		},
	}
}
