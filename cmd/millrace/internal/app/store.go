package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"millrace/cmd/millrace/internal/config"
	"millrace/sinks"
	"millrace/sinks/pebble"
)

// Store is everything a project keeps, whichever store keeps it.
type Store interface {
	sinks.Sink
	letterStore
	sinks.Cells
	tileStore
	sinks.KeyScanner
	sinks.Meta
	Ping(ctx context.Context) error
	Close() error
}

type letterStore interface {
	sinks.DeadLetter
	sinks.LetterReader
	sinks.LetterKeeper
	sinks.Refusals
	sinks.LetterFinder
}

type tileStore interface {
	sinks.TileSink
	sinks.TileLoader
	sinks.TileReader
}

// Keyspace names the tables of a project.
func Keyspace(c *config.Config, project string) string {
	if c.Store.Keyspace != "" {
		return c.Store.Keyspace
	}
	return "millrace_" + project
}

// OpenStore opens the store of a project. With create, what is missing of
// keyspaces and tables is made first.
func OpenStore(ctx context.Context, c *config.Config, project string, create bool, log *slog.Logger) (Store, error) {
	if err := c.RequireStore(); err != nil {
		return nil, err
	}
	if c.Store.Type == "embedded" {
		return OpenEmbeddedStore(c, log)
	}
	return openScylla(ctx, c, project, create, log)
}

// OpenEmbeddedStore opens the store in the data folder; one process at a time
// can.
func OpenEmbeddedStore(c *config.Config, log *slog.Logger) (Store, error) {
	store, err := pebble.Open(filepath.Join(c.Store.DataDir, "store"), pebble.Settings{LetterTTL: c.Store.LetterTTL.Std(), Logger: log})
	if err != nil {
		return nil, fmt.Errorf("open the embedded store: %w", err)
	}
	return store, nil
}

// pingTimeout bounds a readiness check.
const pingTimeout = 2 * time.Second

// errNotReady is what a readiness check says before a role has started.
var errNotReady = errors.New("starting")
