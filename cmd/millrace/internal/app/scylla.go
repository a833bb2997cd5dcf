package app

import (
	"context"
	"fmt"
	"log/slog"

	"millrace/cmd/millrace/internal/config"
	"millrace/sinks/scylla"
)

func openScylla(ctx context.Context, c *config.Config, project string, create bool, log *slog.Logger) (Store, error) {
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

func scyllaSettings(c *config.Config, project string, log *slog.Logger) scylla.Settings {
	return scylla.Settings{
		Hosts: c.Store.Hosts, Port: c.Store.Port, Keyspace: Keyspace(c, project),
		LocalDC: c.Store.DataCenter, Consistency: c.Store.Consistency, TileConsistency: c.Store.TileConsistency, Replication: c.Store.Replication,
		Username: c.Store.User, Password: c.Store.Password.Reveal(), TLS: scylla.TLS{
			Enabled: c.Store.TLS.Enabled, CA: c.Store.TLS.CA, Cert: c.Store.TLS.Cert, Key: c.Store.TLS.Key,
			InsecureSkipVerify: c.Store.TLS.InsecureSkipVerify,
		},
		Timeout: c.Store.Timeout.Std(), NumConns: c.Store.Connections, MaxInFlight: c.Store.MaxInFlight,
		LetterTTL: c.Store.LetterTTL.Std(), Logger: log,
	}
}
