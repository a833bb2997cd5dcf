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

// Replay takes the dead letters of one source in again, and tells the changelog
// where models wait for that, unless it is one that nobody writes.
func Replay(ctx context.Context, c *config.Config, store replay.Store, s replay.Settings, f sinks.LetterFilter, changelog Changelog) (*replay.Result, error) {
	latest, err := LoadApplied(ctx, store)
	if err != nil {
		return nil, err
	}
	changes := &replayChanges{open: func() (Changes, error) {
		return openReplayChanges(c, latest.Catalog.Project)
	}}
	defer changes.close()
	tells := changelog == ChangelogWritten && !s.DryRun
	if tells {
		s.Changes = changes
	}
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
		if tells {
			if err := changes.watch(routes, latest.Watched()); err != nil {
				return nil, err
			}
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

// Changelog says whether a replay is to write the changelog.
type Changelog bool

// A process that only looks at a cluster writes none.
const (
	ChangelogWritten Changelog = true
	ChangelogNone    Changelog = false
)
