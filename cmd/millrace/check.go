package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"millrace/feature/definition"
)

func newCheck(g *globals) *cobra.Command {
	var askOnline bool
	var f clusterFlags
	c := &cobra.Command{
		Use:   "check",
		Short: "Report every error in the definitions; --online also what topics, schemas and model servers say",
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
			fmt.Fprintf(cmd.OutOrStdout(), "project %s: %d entities, %d sources, %d views, %d on-demand views, %d models, %d services: no errors\n",
				k.Project, len(k.Entities), len(k.Sources), len(k.Views), len(k.OnDemandViews), len(k.Models), len(k.Services))
			if askOnline {
				return checkOnline(cmd.Context(), cmd.OutOrStdout(), &cfg, p, f)
			}
			return nil
		},
	}
	g.addDefinitions(c)
	f.addBrokers(c)
	c.Flags().BoolVar(&askOnline, "online", false,
		"also ask Kafka for the topics, the schema registry for newer schemas, model servers for what they serve, and the store for what was applied")
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
