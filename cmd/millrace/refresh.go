package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"millrace/cmd/millrace/internal/app"
)

const refreshHelp = "Follows the changelog for every model with refresh: on_write, each in a consumer group of its own, and brings the predictions of " +
	"entities whose inputs have changed up to date: once per entity and debounce. Any number of processes share the keys. `millrace dev` does it by itself.\n\n"

func newRefresh(g *globals) *cobra.Command {
	var f refreshAllFlags
	c := &cobra.Command{
		Use:     "refresh",
		Short:   "Compute predictions anew when their inputs change, or once for all keys",
		Long:    refreshHelp + refreshAllHelp,
		Example: "  millrace refresh\n  millrace refresh --model fraud --all --rate 500",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if f.all {
				return refreshAll(cmd, g, f)
			}
			return runRole(cmd, g, "refresh", refreshRole)
		},
	}
	g.addDefinitions(c)
	f.add(c)
	return c
}

func refreshRole(ctx context.Context, r *role) error {
	svc, err := app.NewService(r.cfg, r.project, r.store, r.metrics, r.log)
	if err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	defer svc.Close()
	feeds, err := app.NewRefresh(ctx, r.cfg, r.project, r.store, svc, r.metrics, r.log)
	if err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	r.status.WatchRefresh(feeds)
	return feeds.Run(ctx) //nolint:wrapcheck // says already what and where
}

// refreshing returns what refreshes predictions until its context ends: nothing
// where no model refreshes on write.
func (d *devProcess) refreshing(ctx context.Context, svc *app.Service) (func(context.Context) error, error) {
	feeds, err := app.NewRefresh(ctx, d.cfg, d.project, d.store, svc, d.metrics, d.log)
	if errors.Is(err, app.ErrNothingToRefresh) {
		return func(context.Context) error { return nil }, nil
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // says already what and where
	}
	d.status.WatchRefresh(feeds)
	return feeds.Run, nil
}
