package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"millrace/transforms"
)

func newSQL(g *globals) *cobra.Command {
	var s transforms.SQLSettings
	c := &cobra.Command{
		Use:   "sql VIEW",
		Short: "Print a view as a DuckDB query over a table of raw events, for training data",
		Long: `Print a view as a DuckDB query over a table of raw events, for training data.

The query is the definition's own text, so that what a model is trained on is
what it is served: one row per event that would be stored. The table has the
source's fields by name and record_time, the log's time of the record; with
--latest also record_offset and record_partition.

  duckdb events.db "$(millrace sql driver_trips)"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := g.load()
			if err != nil {
				return err
			}
			p, err := loadDefinitions(cmd.Context(), &cfg, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if _, is := p.OnDemand[args[0]]; is {
				return fmt.Errorf("write %s as SQL: it is an on-demand view, which joins views and request data; write its views instead", args[0])
			}
			plan, ok := p.Plans[args[0]]
			if !ok {
				return fmt.Errorf("write %s as SQL: project %s has no such view%s", args[0], p.Catalog.Project, viewList(p.Catalog))
			}
			s.Skew = cfg.Ingest.MaxFutureSkew.Std()
			text, err := transforms.SQL(plan, s)
			if err != nil {
				return err //nolint:wrapcheck // says which view and feature
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err //nolint:wrapcheck // the output is gone; nothing to add
		},
	}
	g.addDefinitions(c)
	c.Flags().StringVar(&s.Table, "table", "", "table of raw events (default: the source's name)")
	c.Flags().BoolVar(&s.Latest, "latest", false, "only the row that the store would hold for each entity key")
	c.Flags().BoolVar(&s.Try, "try", false, "null where an expression fails; without it such an event ends the query")
	return c
}
