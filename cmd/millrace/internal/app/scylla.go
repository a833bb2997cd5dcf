package app

import (
	"context"
	"errors"
	"log/slog"

	"millrace/cmd/millrace/internal/config"
)

func openScylla(_ context.Context, _ *config.Config, _ string, _ bool, _ *slog.Logger) (Store, error) {
	return nil, errors.New("pending")
}
