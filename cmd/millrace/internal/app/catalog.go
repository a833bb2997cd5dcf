package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"millrace/feature/definition"
	"millrace/feature/history"
	"millrace/sinks"
)

// LoadApplied loads the newest catalog version that was applied to a store.
func LoadApplied(ctx context.Context, meta sinks.Meta) (*definition.Project, error) {
	a, err := history.Latest(ctx, meta)
	if errors.Is(err, history.ErrNothingApplied) {
		return nil, fmt.Errorf("load the catalog: %w; run millrace apply --definitions DIR", err)
	}
	if err != nil {
		return nil, fmt.Errorf("load the catalog: %w", err)
	}
	p, err := history.Open(a)
	if err != nil {
		return nil, fmt.Errorf("load catalog version %d: %w", a.Version, err)
	}
	return p, nil
}

// errPinned is wrapped when a role is told to run other definitions than the
// applied ones.
var errPinned = errors.New("the folder differs from what was applied")

// Pin refuses to run when the folder says something else than the store.
func Pin(ctx context.Context, meta sinks.Meta, folder *definition.Project) error {
	prev, err := history.Latest(ctx, meta)
	if err != nil {
		return fmt.Errorf("compare the definitions with the applied ones: %w", err)
	}
	_, changes, err := history.Next(prev, folder)
	if err != nil {
		return fmt.Errorf("compare the definitions with the applied ones: %w", err)
	}
	if len(changes) > 0 {
		return fmt.Errorf("compare the definitions with catalog version %d: %w; run millrace apply first, or leave --definitions out", prev.Version, errPinned)
	}
	return nil
}

// catalogAt loads an applied version; 0 is the newest.
func catalogAt(ctx context.Context, meta sinks.Meta, version int64) (*history.Applied, error) {
	all, err := history.List(ctx, meta)
	if err != nil {
		return nil, fmt.Errorf("load catalog version %d: %w", version, err)
	}
	for _, a := range slices.Backward(all) {
		if version == 0 || a.Version == version {
			return a, nil
		}
	}
	return nil, fmt.Errorf("load catalog version %d: %w; run millrace history to see what was applied", version, history.ErrNothingApplied)
}
