package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"

	"github.com/sourcegraph/conc/pool"
	"github.com/spf13/cobra"

	"millrace/cmd/millrace/internal/app"
	"millrace/cmd/millrace/internal/config"
	"millrace/feature/definition"
	"millrace/feature/history"
	"millrace/internal/telemetry"
)

func newIngest(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "ingest",
		Short: "Read events, compute features, store them; any number share the partitions",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runRole(cmd, g, "ingest", ingestRole) },
	}
	g.addDefinitions(c)
	return c
}

func newServe(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Answer feature lookups; any number, stateless",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runRole(cmd, g, "serve", serveRole) },
	}
	g.addDefinitions(c)
	return c
}

// role is what a process of a role works with.
type role struct {
	name    string
	cfg     *config.Config
	project *definition.Project
	store   app.Store
	metrics *telemetry.Metrics
	log     *slog.Logger
	status  *app.Status
}

// runRole opens what every role needs, runs its admin endpoint beside it, and
// closes everything when ctx ends.
func runRole(cmd *cobra.Command, g *globals, name string, do func(context.Context, *role) error) error {
	ctx := cmd.Context()
	cfg, err := g.load()
	if err != nil {
		return err
	}
	r := &role{name: name, cfg: &cfg, log: logger(&cfg, os.Stderr), metrics: telemetry.NewMetrics(version)}
	projectID, err := projectName(&cfg)
	if err != nil {
		return err
	}
	admin, err := app.Listen(ctx, "the admin endpoint", cfg.Telemetry.Admin, "telemetry.admin or MILLRACE_TELEMETRY_ADMIN")
	if err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	defer admin.Close() //nolint:errcheck // ServeHTTP closes it; this is for the way out before
	if r.store, err = app.OpenStore(ctx, &cfg, projectID, false, r.log); err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	defer r.closeStore()
	if err := r.loadCatalog(ctx, g); err != nil {
		return err
	}
	return r.run(ctx, admin, do)
}

func (r *role) closeStore() {
	if err := r.store.Close(); err != nil {
		r.log.Error("close the store", "err", err)
	}
}

func (r *role) loadCatalog(ctx context.Context, g *globals) error {
	var err error
	if r.project, err = app.LoadApplied(ctx, r.store); err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	if g.definitions == "" {
		return nil
	}
	applied, err := history.Latest(ctx, r.store)
	if err != nil {
		return err //nolint:wrapcheck // says already what
	}
	folder, err := loadDefinitionsAs(ctx, r.cfg, os.Stderr, applied)
	if err != nil {
		return err
	}
	return app.Pin(ctx, r.store, folder) //nolint:wrapcheck // says already what and where
}

// run serves the admin endpoint while do works.
func (r *role) run(ctx context.Context, adminListener net.Listener, do func(context.Context, *role) error) error {
	r.status = app.NewStatus(r.name, version, r.project.Catalog)
	r.metrics.SetCatalogVersion(r.project.Catalog.Version)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	adminCtx, stopAdmin := context.WithCancel(context.WithoutCancel(ctx))
	p := pool.New().WithErrors()
	p.Go(func() error {
		err := app.ServeHTTP(adminCtx, adminListener, r.adminMux(), r.log)
		if err != nil {
			stop()
		}
		return err //nolint:wrapcheck // says already what and where
	})
	r.log.Info("started", "role", r.name, "project", r.project.Catalog.Project, "catalog", r.project.Catalog.Version, "admin", adminListener.Addr().String())
	err := do(ctx, r)
	stopAdmin()
	if aerr := p.Wait(); err == nil {
		err = aerr
	}
	r.log.Info("ended", "role", r.name)
	return err
}

func (r *role) adminMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("/", telemetry.AdminHandler(r.metrics, r.cfg.Telemetry.Pprof, r.status.Checks(r.store)))
	mux.Handle("GET /v1/status", r.status)
	return mux
}

func ingestRole(ctx context.Context, r *role) error {
	pipe, err := app.NewIngest(r.cfg, r.project, r.store, r.metrics, r.log, false, r.status.Events())
	if err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	r.status.Watch(pipe)
	return pipe.Run(ctx) //nolint:wrapcheck // says already what and where
}

func serveRole(ctx context.Context, r *role) error {
	topic, err := app.OpenTopic(r.cfg, r.project, r.store, r.log)
	if err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	if topic != nil {
		defer topic.Close()
	}
	changes, err := app.OpenPushChanges(r.cfg, r.project, r.metrics, r.log)
	if err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	if changes != nil {
		defer changes.Close() //nolint:errcheck // nothing can fail
	}
	h, err := app.NewServer(r.cfg, r.project, r.store, topic, changes, r.metrics, r.log)
	if err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	defer h.Close()
	l, err := app.Listen(ctx, "the read API", r.cfg.Serve.HTTP, "serve.http or MILLRACE_SERVE_HTTP")
	if err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	r.status.SetReady()
	r.log.Info("serving", "http", l.Addr().String())
	if err := app.ServeHTTP(ctx, l, h, r.log); err != nil {
		return fmt.Errorf("the read API: %w", err)
	}
	return nil
}
