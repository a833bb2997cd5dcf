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
	"millrace/sinks/scylla"
)

// Store is everything a project keeps, whichever store keeps it.
type Store interface {
	sinks.Sink
	sinks.DeadLetter
	sinks.LetterReader
	sinks.Cells
	sinks.Meta
	Ping(ctx context.Context) error
	Close() error
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
		return OpenEmbeddedStore(c)
	}
	s := scyllaSettings(c, project, log)
	if create {
		if err := scylla.Create(ctx, s); err != nil {
			return nil, fmt.Errorf("create the tables of project %s: %w", project, err)
		}
	}
	store, err := scylla.Open(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("open the store of project %s: %w", project, err)
	}
	return store, nil
}

// OpenEmbeddedStore opens the store in the data folder; one process at a time
// can.
func OpenEmbeddedStore(c *config.Config) (Store, error) {
	store, err := pebble.Open(filepath.Join(c.Store.DataDir, "store"), pebble.Settings{LetterTTL: c.Store.LetterTTL.Std()})
	if err != nil {
		return nil, fmt.Errorf("open the embedded store: %w", err)
	}
	return store, nil
}

func scyllaSettings(c *config.Config, project string, log *slog.Logger) scylla.Settings {
	return scylla.Settings{
		Hosts: c.Store.Hosts, Port: c.Store.Port, Keyspace: Keyspace(c, project),
		LocalDC: c.Store.DataCenter, Consistency: c.Store.Consistency, Replication: c.Store.Replication,
		Username: c.Store.User, Password: c.Store.Password.Reveal(), TLS: scylla.TLS{
			Enabled: c.Store.TLS.Enabled, CA: c.Store.TLS.CA, Cert: c.Store.TLS.Cert, Key: c.Store.TLS.Key,
			InsecureSkipVerify: c.Store.TLS.InsecureSkipVerify,
		},
		Timeout: c.Store.Timeout.Std(), NumConns: c.Store.Connections, MaxInFlight: c.Store.MaxInFlight,
		LetterTTL: c.Store.LetterTTL.Std(), Logger: log,
	}
}

// pingTimeout bounds a readiness check.
const pingTimeout = 2 * time.Second

// errNotReady is what a readiness check says before a role has started.
var errNotReady = errors.New("starting")
