package pebble

import (
	"context"
	"fmt"
	"log/slog"
)

// logger passes the database's messages on. Its routine ones, a line for each
// flush and compaction, are for debugging.
type logger struct{ to *slog.Logger }

func (l logger) Infof(format string, args ...any) { l.to.Debug(fmt.Sprintf(format, args...)) }

func (l logger) Errorf(format string, args ...any) { l.to.Error(fmt.Sprintf(format, args...)) }

// Fatalf must not return: the database calls it when it can no longer keep its
// promises, for instance when its log cannot be written.
func (l logger) Fatalf(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	l.to.Error(message)
	panic("embedded store cannot go on: " + message)
}

func (l logger) Eventf(context.Context, string, ...any) {}

func (l logger) IsTracingEnabled(context.Context) bool { return false }
