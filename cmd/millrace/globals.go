package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"millrace/cmd/millrace/internal/admin"
	"millrace/cmd/millrace/internal/app"
	"millrace/cmd/millrace/internal/config"
	"millrace/feature/definition"
	"millrace/feature/history"
	"millrace/internal/telemetry"
	"millrace/sinks"
)

// globals is what every command may be told.
type globals struct {
	configFile  string
	definitions string
}

func (g *globals) addDefinitions(c *cobra.Command) {
	c.Flags().StringVar(&g.definitions, "definitions", "", "folder of definitions (default: the configuration's)")
}

// load reads the configuration; flags win over it.
func (g *globals) load() (config.Config, error) {
	c, err := config.Load(g.configFile, os.LookupEnv)
	if err != nil {
		return c, err //nolint:wrapcheck // says already what and where
	}
	if g.definitions != "" {
		c.Definitions = g.definitions
	}
	return c, nil
}

// logger writes to w: text for people, JSON for machines.
func logger(c *config.Config, w io.Writer) *slog.Logger {
	return telemetry.NewLogger(w, c.Telemetry.LogLevel, c.Telemetry.LogFormat)
}

// onTerminal reports whether f is one.
func onTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// loadDefinitions reads and checks the configured folder. Faults are printed
// as they are, and the error that comes back has nothing to add.
func loadDefinitions(ctx context.Context, c *config.Config, w io.Writer) (*definition.Project, error) {
	return loadDefinitionsAs(ctx, c, w, nil)
}

// loadDefinitionsAs is loadDefinitions with the schemas of subjects that were
// applied; without applied they are the registry's newest.
func loadDefinitionsAs(ctx context.Context, c *config.Config, w io.Writer, applied *history.Applied) (*definition.Project, error) {
	files, err := definition.ReadDir(c.Definitions)
	if err != nil {
		return nil, err //nolint:wrapcheck // says already what and where
	}
	subjects, err := app.OpenSubjects(c)
	if err != nil {
		return nil, err //nolint:wrapcheck // says already what and where
	}
	schemas := app.ReadSchemas(ctx, c.Definitions, subjects)
	schemas.Prefer(applied)
	schemas.FallBack(func() (*history.Applied, error) {
		return lastApplied(ctx, *c, cmp.Or(c.Project, definition.NameOf(files)))
	})
	p, err := definition.LoadWith(files, definition.Options{Schemas: schemas})
	if faults, ok := errors.AsType[definition.Errors](err); ok {
		fmt.Fprintln(w, faults.Error())
		fmt.Fprintf(w, "%d error(s) in %s\n", len(faults), c.Definitions)
		return nil, errSilent
	}
	for _, note := range schemas.Notes() {
		fmt.Fprintln(w, note)
	}
	return p, err //nolint:wrapcheck // says already what and where
}

// lastWait bounds how long a store is waited for that may not be there.
const lastWait = 5 * time.Second

// lastApplied finds what was applied last, where a store can be reached. c is a
// copy, which openMeta changes.
func lastApplied(ctx context.Context, c config.Config, project string) (*history.Applied, error) {
	ctx, cancel := context.WithTimeout(ctx, lastWait)
	defer cancel()
	if project == "" {
		return nil, history.ErrNothingApplied
	}
	meta, done, err := openMeta(ctx, &c, project, false)
	if err != nil {
		return nil, err
	}
	defer done()
	return history.Latest(ctx, meta) //nolint:wrapcheck // says already what
}

// projectName finds the project: the configuration's, the definitions', or that
// of the process that has the data folder, as a demo does.
func projectName(c *config.Config) (string, error) {
	if c.Project != "" {
		return c.Project, nil
	}
	files, err := definition.ReadDir(c.Definitions)
	if err != nil {
		if run, rerr := admin.ReadRun(c.Store.DataDir); rerr == nil && run.Project != "" {
			return run.Project, nil
		}
		return "", fmt.Errorf("find the project's name: %w; set project: in %s", err, config.FileName)
	}
	name := definition.NameOf(files)
	if name == "" {
		return "", fmt.Errorf("find the project's name: no file in %s says it; set project: in one, or in %s", c.Definitions, config.FileName)
	}
	return name, nil
}

// metaStore is what commands about definitions and dead letters need.
type metaStore interface {
	sinks.Meta
	sinks.Sink
	sinks.DeadLetter
	sinks.LetterReader
	sinks.LetterKeeper
	sinks.TileSink
	sinks.TileLoader
	sinks.KeyScanner
}

// withStore opens the project's store, or reaches the process that holds it.
func withStore(cmd *cobra.Command, g *globals, do func(context.Context, *config.Config, metaStore) error) error {
	cfg, err := g.load()
	if err != nil {
		return err
	}
	project, err := projectName(&cfg)
	if err != nil {
		return err
	}
	store, done, err := openMeta(cmd.Context(), &cfg, project, false)
	if err != nil {
		return err
	}
	defer done()
	return do(cmd.Context(), &cfg, store)
}

// hasEmbedded reports whether the data folder holds a store.
func hasEmbedded(c *config.Config) bool {
	_, err := os.Stat(filepath.Join(c.Store.DataDir, "store"))
	return err == nil
}

// openMeta opens the project's store, or reaches the process that holds it.
func openMeta(ctx context.Context, c *config.Config, project string, create bool) (metaStore, func(), error) {
	if len(c.Store.Hosts) == 0 && hasEmbedded(c) {
		c.Store.Type = "embedded" // nothing else is configured, and dev was run here
	}
	if c.Store.Type == "embedded" {
		if r, err := admin.ReadRun(c.Store.DataDir); err == nil {
			client := admin.NewClient(r.Admin)
			if client.Alive(ctx) {
				return client, func() {}, nil
			}
		}
	}
	store, err := app.OpenStore(ctx, c, project, create, logger(c, io.Discard))
	if err != nil {
		if c.RequireStore() != nil {
			return nil, nil, fmt.Errorf("%w; to reach the store of millrace dev, set MILLRACE_STORE_DATA_DIR to its --data-dir", err)
		}
		return nil, nil, err //nolint:wrapcheck // says already what and where
	}
	return store, func() { _ = store.Close() }, nil
}
