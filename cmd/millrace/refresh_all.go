package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"millrace/cmd/millrace/internal/app"
	"millrace/cmd/millrace/internal/config"
	"millrace/feature/definition"
	"millrace/internal/telemetry"
	"millrace/serving"
	"millrace/serving/sweep"
	"millrace/transforms"
)

// refreshAllFlags is what `millrace refresh --all` may be told.
type refreshAllFlags struct {
	all     bool
	model   string
	rate    float64
	restart bool
}

func (f *refreshAllFlags) add(c *cobra.Command) {
	c.Flags().BoolVar(&f.all, "all", false, "refresh the predictions of all keys of --model, and end")
	c.Flags().StringVar(&f.model, "model", "", "with --all, the model")
	c.Flags().Float64Var(&f.rate, "rate", 0, "with --all, at most so many keys per second (default: no bound)")
	c.Flags().BoolVar(&f.restart, "restart", false, "with --all, begin anew where an earlier run was interrupted")
}

func (f *refreshAllFlags) check() error {
	switch {
	case !f.all && (f.model != "" || f.rate != 0 || f.restart):
		return errors.New("refresh: --model, --rate and --restart are of --all")
	case f.all && f.model == "":
		return errors.New("refresh --all: name the model with --model")
	case f.rate < 0:
		return fmt.Errorf("refresh --all --rate %v: it must be above 0", f.rate)
	}
	return nil
}

const refreshAllHelp = "With --all the predictions of every key of a model's entity that has anything stored are brought up to date, those that are fresh already left as they " +
	"are, and the command ends. It remembers in the store how far it is: interrupted anywhere, it goes on there when it is run again, unless the model or what its inputs " +
	"are made of has changed meanwhile. Two at once do the work twice, and no harm."

// refreshAll refreshes the predictions of all keys of a model, in this process
// or in the one that has the embedded store.
func refreshAll(cmd *cobra.Command, g *globals, f refreshAllFlags) error {
	return withStore(cmd, g, func(ctx context.Context, cfg *config.Config, store metaStore) error {
		p, err := app.LoadApplied(ctx, store)
		if err != nil {
			return err //nolint:wrapcheck // says already what and where
		}
		plan, err := refreshable(p, f.model)
		if err != nil {
			return err
		}
		refresher, done, err := openRefresher(cfg, p, store, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		defer done()
		show := newSweepShow(cmd.ErrOrStderr(), f.model)
		s := sweep.Settings{
			Store: store, Refresher: refresher, Model: f.model, Entity: plan.Model.Entity, By: transforms.ByAll, Work: app.RefreshWork(plan),
			MaxBatch: plan.Model.MaxBatch, CallTime: app.RefreshTimeout(plan.Model), Rate: f.rate, Restart: f.restart, Begin: show.begin, Progress: show.progress,
		}
		begun := now()
		result, err := sweep.Run(ctx, s)
		show.end()
		return endSweep(cmd.OutOrStdout(), f.model, result, now().Sub(begun), err)
	})
}

// refreshable finds the plan of a model whose predictions are computed and
// stored.
func refreshable(p *definition.Project, name string) (*transforms.ModelPlan, error) {
	plan := p.Models[name]
	switch {
	case plan == nil:
		var known []string
		for _, m := range p.Catalog.Models {
			known = append(known, m.Name)
		}
		text := fmt.Sprintf("refresh model %s: the applied catalog has no such model", name)
		if near := serving.Nearest(name, known); near != "" {
			text += "; did you mean " + near + "?"
		}
		return nil, errors.New(text)
	case plan.Model.Endpoint == "":
		return nil, fmt.Errorf("refresh model %s: it has no endpoint, so clients write its predictions", name)
	case !plan.Model.Cache:
		return nil, fmt.Errorf("refresh model %s: its predictions are computed at every read and not stored (cache: none)", name)
	}
	return plan, nil
}

// openRefresher returns what computes predictions: the process that has the
// store, which is reached like the store, or this one.
func openRefresher(cfg *config.Config, p *definition.Project, store metaStore, stderr io.Writer) (sweep.Refresher, func(), error) {
	if remote, ok := store.(sweep.Refresher); ok {
		return remote, func() {}, nil
	}
	own, ok := store.(app.Store)
	if !ok {
		return nil, nil, fmt.Errorf("refresh predictions: the store %T cannot be read", store)
	}
	r, err := app.NewService(cfg, p, own, telemetry.NewMetrics(version), logger(cfg, logsTo(stderr)))
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // says already what and where
	}
	return r, r.Close, nil
}

// logsTo is where logs go beside what a command shows: to a file or pipe, not
// to a terminal that shows a bar.
func logsTo(w io.Writer) io.Writer {
	if f, isFile := w.(*os.File); isFile && !onTerminal(f) {
		return f
	}
	return io.Discard
}

// endSweep prints the summary and says how to go on.
func endSweep(w io.Writer, model string, r *sweep.Result, took time.Duration, err error) error {
	if r == nil {
		return err //nolint:wrapcheck // says already what and where
	}
	if perr := printSweep(w, model, r, took); perr != nil && err == nil {
		return perr
	}
	failed := r.Counts[serving.RefreshFailed] + r.Earlier[serving.RefreshFailed]
	switch {
	case errors.Is(err, context.Canceled) && !errors.Is(err, sweep.ErrNotSaved):
		return fmt.Errorf("refresh model %s: interrupted; run it again to go on", model)
	case errors.Is(err, sweep.ErrGaveUp) && r.Left > 0:
		return fmt.Errorf("%w; %d keys are left, and all others are done: see the model server's log, it may choke on these; run it again to try them", err, r.Left)
	case errors.Is(err, sweep.ErrGaveUp):
		return fmt.Errorf("%w; millrace check --online asks the model's server; run it again to go on, when it and the store answer", err)
	case err == nil && failed > 0:
		return fmt.Errorf("refresh model %s: %d keys failed again and again while others did not; see the model server's log, and run it again", model, failed)
	}
	return err //nolint:wrapcheck // says already what and where
}

// endsText lists counts that are not 0.
func endsText(c *sweep.Counts) string {
	var parts []string
	for _, end := range []serving.RefreshEnd{
		serving.RefreshStored, serving.RefreshFresh, serving.RefreshNewer, serving.RefreshMoving, serving.RefreshRefused, serving.RefreshFailed,
	} {
		if n := c[end]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, end))
		}
	}
	return strings.Join(parts, ", ")
}
