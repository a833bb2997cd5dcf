package pipeline_test

import (
	"context"
	"fmt"

	"millrace/pipeline"
	"millrace/pipeline/replay"
	"millrace/sinks"
)

func init() { //nolint:gochecknoinits // the simulation cannot import what imports the pipeline
	pipeline.SimReplay = simReplay
}

func simReplay(ctx context.Context, s pipeline.ReplayStore, catalog func(int64) (int64, []pipeline.Route), encoder func() sinks.Encoder, changes sinks.Changes) error {
	_, err := replay.Run(ctx, replay.Settings{
		Store: s, NewEncoder: encoder, Changes: changes, MaxAttempts: 1 << 20,
		Catalog: func(_ context.Context, version int64) (*replay.Catalog, error) {
			version, routes := catalog(version)
			return &replay.Catalog{Version: version, Routes: routes}, nil
		},
		Revision: func(context.Context, int64, string) (uint16, error) { return 1, nil },
	}, sinks.LetterFilter{Source: "trips"})
	if err != nil {
		return fmt.Errorf("simulated replay: %w", err)
	}
	return nil
}
