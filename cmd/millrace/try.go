package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"millrace/cmd/millrace/internal/app"
	"millrace/cmd/millrace/internal/config"
	"millrace/cmd/millrace/internal/sample"
	"millrace/feature/definition"
	"millrace/pipeline"
)

func newTry(g *globals) *cobra.Command {
	var f clusterFlags
	var n int
	c := &cobra.Command{
		Use:   "try VIEW",
		Short: "Run some records of a topic through a view and show what becomes of each; nothing is stored",
		Long: "Takes records of the topic of the view's source, without a group, and runs them through the definitions in the folder, as they are there: " +
			"decoding, the write half, encoding. A record becomes a row, with its features as a read would answer them now, is filtered, or is refused with the reason.",
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
			return try(cmd, &cfg, p, f, args[0], n)
		},
	}
	g.addDefinitions(c)
	f.add(c, "where to begin: earliest, latest (wait for new ones) or a duration back; default: the newest records")
	c.Flags().IntVarP(&n, "records", "n", 20, "how many records")
	return c
}

func try(cmd *cobra.Command, cfg *config.Config, p *definition.Project, f clusterFlags, name string, n int) error {
	route, err := routeOf(cfg, p, name)
	if err != nil {
		return err
	}
	v, err := sample.NewView(route, p.Plans[name], now())
	if err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	records, err := f.sampleRecords(cmd, cfg, route.Topic, n)
	if err != nil {
		return err
	}
	var all []sample.Outcome
	for i := range records {
		outcomes, err := v.Try(cmd.Context(), &records[i])
		if err != nil {
			return fmt.Errorf("try view %s: %w", name, err)
		}
		all = append(all, outcomes...)
	}
	if isTerminal(cmd.OutOrStdout()) {
		return tryTable(cmd.OutOrStdout(), all, len(records), route.Topic)
	}
	e := json.NewEncoder(cmd.OutOrStdout())
	for i := range all {
		if err := e.Encode(&all[i]); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	return nil
}

// routeOf finds how the records of a view's source are taken in.
func routeOf(cfg *config.Config, p *definition.Project, name string) (*pipeline.Route, error) {
	view := p.Catalog.View(name)
	if _, onDemand := p.OnDemand[name]; onDemand {
		return nil, fmt.Errorf("try %s: it is an on-demand view, computed when it is read; try the views that it reads", name)
	}
	if p.Catalog.Model(name) != nil {
		return nil, fmt.Errorf("try %s: it is a model, whose predictions are of features and not of records; try the views that it takes features of", name)
	}
	if view == nil {
		return nil, fmt.Errorf("try %s: project %s has no such view%s", name, p.Catalog.Project, viewList(p.Catalog))
	}
	if p.Catalog.Source(view.Source).Topic == "" {
		return nil, fmt.Errorf("try view %s: its source %s has no topic to take records from", name, view.Source)
	}
	routes, err := app.AllRoutes(cfg, p)
	if err != nil {
		return nil, err //nolint:wrapcheck // says already what and where
	}
	i := slices.IndexFunc(routes, func(r pipeline.Route) bool { return r.Source == view.Source })
	return &routes[i], nil
}

func tryTable(w io.Writer, all []sample.Outcome, records int, topic string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RECORD\tEND\tEVENT TIME\tKEY\tFEATURES, OR WHY NOT")
	counts := make(map[string]int)
	var ends []string
	for i := range all {
		o := &all[i]
		what := o.Features.String()
		if o.End == sample.EndReject {
			what = fmt.Sprintf("%s at %s: %s", o.Reason, o.Stage, o.Message)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", o.Record, o.End, o.EventTime, o.Keys, what)
		if counts[o.End] == 0 {
			ends = append(ends, o.End)
		}
		counts[o.End]++
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	for i, end := range ends {
		ends[i] = strconv.Itoa(counts[end]) + " " + end
	}
	fmt.Fprintf(w, "%d records of topic %s: %s\n", records, topic, strings.Join(ends, ", "))
	return nil
}
