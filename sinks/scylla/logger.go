package scylla

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/gocql/gocql"
)

// driverLogger passes the driver's messages on. They are about connections, so
// they are for debugging: a store that cannot be reached shows in errors.
type driverLogger struct{ to *slog.Logger }

func (l driverLogger) Print(v ...any) { l.to.Debug(strings.TrimSpace(fmt.Sprint(v...))) }

func (l driverLogger) Printf(format string, v ...any) {
	l.to.Debug(strings.TrimSpace(fmt.Sprintf(format, v...)))
}

func (l driverLogger) Println(v ...any) { l.to.Debug(strings.TrimSpace(fmt.Sprintln(v...))) }

// warningHandler passes on what the database itself warns of.
type warningHandler struct{ to *slog.Logger }

func warnings(to *slog.Logger) gocql.WarningHandlerBuilder {
	return func(*gocql.Session) gocql.WarningHandler { return warningHandler{to} }
}

func (w warningHandler) HandleWarnings(_ gocql.ExecutableQuery, _ *gocql.HostInfo, texts []string) {
	for _, text := range texts {
		w.to.Warn("database warns", "warning", text)
	}
}
