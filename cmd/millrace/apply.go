package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"millrace/cmd/millrace/internal/app"
	"millrace/cmd/millrace/internal/config"
	"millrace/feature/definition"
	"millrace/feature/history"
	"millrace/sinks"
)

func newPlan(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "plan",
		Short: "Say what apply would change, and change nothing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDefinitions(cmd, g, false, func(ctx context.Context, cfg *config.Config, p *definition.Project, meta metaStore) error {
				return printPlan(ctx, cmd.OutOrStdout(), cfg, p, meta)
			})
		},
	}
	g.addDefinitions(c)
	return c
}

func newApply(g *globals) *cobra.Command {
	var topics bool
	c := &cobra.Command{
		Use:   "apply",
		Short: "Record the definitions as a new catalog version and create what is missing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDefinitions(cmd, g, true, func(ctx context.Context, cfg *config.Config, p *definition.Project, meta metaStore) error {
				if err := app.RequireSchemas(p.Catalog); err != nil {
					return err //nolint:wrapcheck // says already what and where
				}
				if topics && len(cfg.Kafka.Brokers) > 0 {
					if err := app.EnsureTopics(ctx, cfg, p.Catalog); err != nil {
						return err //nolint:wrapcheck // says already what and where
					}
				}
				return apply(ctx, cmd.OutOrStdout(), p, meta)
			})
		},
	}
	g.addDefinitions(c)
	c.Flags().BoolVar(&topics, "topics", true, "create internal topics that are missing")
	return c
}

func newHistory(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "history",
		Short: "List the catalog versions that were applied",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd, g, func(ctx context.Context, _ *config.Config, meta metaStore) error {
				all, err := history.List(ctx, meta)
				if err != nil {
					return err //nolint:wrapcheck // says already what and where
				}
				for _, a := range all {
					fmt.Fprintf(cmd.OutOrStdout(), "%d\t%s\t%s\t%d views\n", a.Version, a.AppliedAt.Format(time.RFC3339), a.By, len(a.Views))
				}
				return nil
			})
		},
	}
	g.addDefinitions(c)
	return c
}

func withDefinitions(cmd *cobra.Command, g *globals, create bool, do func(context.Context, *config.Config, *definition.Project, metaStore) error) error {
	cfg, err := g.load()
	if err != nil {
		return err
	}
	p, err := loadDefinitions(cmd.Context(), &cfg, cmd.OutOrStdout())
	if err != nil {
		return err
	}
	meta, done, err := openMeta(cmd.Context(), &cfg, p.Catalog.Project, create)
	if err != nil {
		return err
	}
	defer done()
	return do(cmd.Context(), &cfg, p, meta)
}

func printPlan(ctx context.Context, w io.Writer, cfg *config.Config, p *definition.Project, meta metaStore) error {
	if err := app.RequireSchemas(p.Catalog); err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	prev, err := history.Latest(ctx, meta)
	if err != nil && !errors.Is(err, history.ErrNothingApplied) {
		return err //nolint:wrapcheck // says already what and where
	}
	_, changes, err := history.Next(prev, p)
	if err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	if len(changes) == 0 {
		fmt.Fprintln(w, "nothing would change")
	}
	for _, c := range changes {
		fmt.Fprintln(w, c)
	}
	printNeeds(w, cfg, p)
	return nil
}

// printNeeds lists the topics that the roles touch and the rights they need.
func printNeeds(w io.Writer, cfg *config.Config, p *definition.Project) {
	fmt.Fprintln(w, "\ntopics and rights:")
	pushed := false
	for _, s := range p.Catalog.Sources {
		if s.Topic != "" {
			fmt.Fprintf(w, "  ingest: read, describe topic %s\n", s.Topic)
		}
		if s.Topic != "" && s.Pushed {
			fmt.Fprintf(w, "  serve: write, describe topic %s\n", s.Topic)
			pushed = true
		}
	}
	if cfg.DeadLetter.Topic != "" {
		fmt.Fprintf(w, "  ingest: write topic %s\n", cfg.DeadLetter.Topic)
	}
	fmt.Fprintf(w, "  ingest: read group %s\n", app.DefaultGroup(p.Catalog.Project))
	if pushed {
		fmt.Fprintf(w, "  serve: describe group %s\n", app.DefaultGroup(p.Catalog.Project))
	}
}

func apply(ctx context.Context, w io.Writer, p *definition.Project, meta metaStore) error {
	a, changes, err := history.Apply(ctx, meta, sinks.NewSchemas(meta), p, whoami(), now())
	if err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	for _, c := range changes {
		fmt.Fprintln(w, c)
	}
	if len(changes) == 0 {
		fmt.Fprintf(w, "nothing changed; catalog version %d stays\n", a.Version)
		return nil
	}
	fmt.Fprintf(w, "applied as catalog version %d; running roles keep theirs until they are restarted\n", a.Version)
	return nil
}

func whoami() string {
	u, err := user.Current()
	if err != nil {
		return "unknown"
	}
	return u.Username
}
