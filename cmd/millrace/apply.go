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
	"millrace/feature"
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
					next, err := numbered(ctx, p, meta)
					if err != nil {
						return err
					}
					if err := app.EnsureTopics(ctx, cfg, p, next); err != nil {
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
	next, changes, err := nextVersion(ctx, p, meta)
	if err != nil {
		return err
	}
	if len(changes) == 0 {
		fmt.Fprintln(w, "nothing would change")
	}
	for _, c := range changes {
		fmt.Fprintln(w, c)
	}
	printNeeds(w, cfg, p, generations(p.Catalog, next))
	return nil
}

// nextVersion is what applying p would record, and what that changes.
func nextVersion(ctx context.Context, p *definition.Project, meta metaStore) (*history.Applied, []history.Change, error) {
	prev, err := history.Latest(ctx, meta)
	if err != nil && !errors.Is(err, history.ErrNothingApplied) {
		return nil, nil, err //nolint:wrapcheck // says already what and where
	}
	return history.Next(prev, p) //nolint:wrapcheck // says already what and where
}

// numbered is p's catalog with the generations that applying it would give.
func numbered(ctx context.Context, p *definition.Project, meta metaStore) (*feature.Catalog, error) {
	next, _, err := nextVersion(ctx, p, meta)
	if err != nil {
		return nil, err
	}
	return generations(p.Catalog, next), nil
}

// generations is k with the generations of views as a version has them.
func generations(k *feature.Catalog, a *history.Applied) *feature.Catalog {
	c := *k
	c.Views = make([]*feature.View, len(k.Views))
	for i, v := range k.Views {
		one := *v
		one.Generation = a.Views[v.Name].Generation
		c.Views[i] = &one
	}
	return &c
}

// printNeeds lists the topics that the roles touch and the rights they need. k is
// the catalog of p with the generations of views.
func printNeeds(w io.Writer, cfg *config.Config, p *definition.Project, k *feature.Catalog) {
	fmt.Fprintln(w, "\ntopics and rights:")
	pushed := false
	for _, s := range k.Sources {
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
	fmt.Fprintf(w, "  ingest: read group %s\n", app.Group(cfg, k.Project))
	for _, v := range k.Views {
		if !v.Rekey {
			continue
		}
		fmt.Fprintf(w, "  ingest: read, write, describe, describe configs topic %s, which apply creates for view %s\n", app.RekeyTopic(k.Project, v), v.Name)
		fmt.Fprintf(w, "  ingest: read group %s\n", app.RekeyGroup(cfg, k.Project, v))
		fmt.Fprintf(w, "  ingest: write, describe transactional ids that begin with %s\n", app.RekeyTransactions(k.Project, v))
	}
	printChangelog(w, p)
	if pushed {
		fmt.Fprintf(w, "  serve: describe group %s\n", app.Group(cfg, k.Project))
	}
}

// printChangelog lists who writes the changelog.
func printChangelog(w io.Writer, p *definition.Project) {
	topic := app.ChangelogTopic(p)
	if topic == "" {
		return
	}
	if app.WritesChanges(p, app.HasTopic) {
		fmt.Fprintf(w, "  ingest: write, describe topic %s, which apply creates, compacted, for models that refresh on write\n", topic)
	}
	if app.WritesChanges(p, app.IsPushed) {
		fmt.Fprintf(w, "  serve: write, describe topic %s\n", topic)
	}
	fmt.Fprintf(w, "  deadletter replay: write, describe topic %s\n", topic)
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
