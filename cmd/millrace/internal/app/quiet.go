package app

import (
	"context"
	"log/slog"
)

// quiet passes on warnings and errors of a client library; what it tells at
// info level is for those who debug.
type quiet struct{ slog.Handler }

// newQuiet wraps a logger.
func newQuiet(log *slog.Logger) *slog.Logger { return slog.New(quiet{log.Handler()}) }

// Enabled implements slog.Handler.
func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return q.Handler.Enabled(ctx, level) && (level >= slog.LevelWarn || q.Handler.Enabled(ctx, slog.LevelDebug))
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }
