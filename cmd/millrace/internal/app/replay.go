package app

import (
	"context"
	"fmt"

	"millrace/cmd/millrace/internal/config"
	"millrace/feature/history"
	"millrace/pipeline/replay"
	"millrace/sinks"
	"millrace/sinks/rowcodec"
)

// Replay takes the dead letters of one source in again.
func Replay(ctx context.Context, c *config.Config, store replay.Store, s replay.Settings, f sinks.LetterFilter) (*replay.Result, error) {
	s.Store = store
	s.NewEncoder = func() sinks.Encoder { return rowcodec.NewEncoder() }
	s.Catalog = func(ctx context.Context, version int64) (*replay.Catalog, error) {
		a, err := catalogAt(ctx, store, version)
		if err != nil {
			return nil, err
		}
		p, err := history.Open(a)
		if err != nil {
			return nil, fmt.Errorf("load catalog version %d: %w", a.Version, err)
		}
		routes, err := replayRoutes(c, p)
		if err != nil {
			return nil, err
		}
		return &replay.Catalog{Version: a.Version, Routes: routes}, nil
	}
	s.Revision = func(ctx context.Context, version int64, view string) (uint16, error) {
		a, err := catalogAt(ctx, store, version)
		if err != nil {
			return 0, err
		}
		return a.Views[view].Revision, nil
	}
	return replay.Run(ctx, s, f) //nolint:wrapcheck // says already what and where
}
