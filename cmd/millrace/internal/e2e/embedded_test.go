//go:build !real

package e2e_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"millrace/cmd/millrace/internal/app"
	"millrace/cmd/millrace/internal/config"
	"millrace/sinks"
)

// newStack makes a project on the embedded stack.
func newStack(t *testing.T, name string) *stack {
	t.Helper()
	s := newBase(t, name)
	s.brokers = []string{freePort(t)}
	s.env = []string{
		"MILLRACE_STORE_TYPE=embedded", "MILLRACE_STORE_DATA_DIR=" + filepath.Join(s.dir, "data"),
		"MILLRACE_SERVE_HTTP=" + s.http,
	}
	return s
}

// crashPartitions is what `dev` gives a topic.
const crashPartitions = 4

// up starts everything; on the embedded stack that is one process, which
// creates the topic itself.
func (s *stack) up(int32) *process {
	s.t.Helper()
	return s.startIngest()
}

// startIngest starts `dev`, which ingests and serves.
func (s *stack) startIngest() *process {
	s.t.Helper()
	p := s.start(s.admin, "dev", "--kafka", s.brokers[0], "--http", s.http, "--admin", s.admin,
		"--data-dir", filepath.Join(s.dir, "data"), "--definitions", "definitions")
	s.ready(p)
	return p
}

// ingesters is how many ingesting processes can share the work.
const ingesters = 1

// inCI is the size of the crash test in make test.
var inCI = struct{ seeds, idSeeds, events, rekeySeeds, rekeyEvents, pushSeeds, predictionSeeds int }{1, 1, 20_000, 1, 20_000, 1, 1}

// restartIngest starts another process in the place of one that ended; the
// broker is inside it, so producers wait meanwhile.
func (s *stack) restartIngest() { s.startIngest() }

// TestRestartKeepsData ends dev politely and finds everything again.
func TestRestartKeepsData(t *testing.T) {
	s := newStack(t, "restart")
	s.write(tripDefinitions)
	p := s.up(1)
	s.produce(0, "7", trip(7, 1, time.Now()))
	s.waitValue(5*time.Second, 7, "driver_trips:serial", "1")
	began := time.Now()
	p.stop(syscall.SIGTERM)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("ending took %s, more than 5 s", took)
	}
	if p.err != nil {
		t.Errorf("ended with %v\n%s", p.err, p.log)
	}
	s.startIngest()
	s.waitValue(5*time.Second, 7, "driver_trips:serial", "1")
}

// rawUpsert writes a row of 80 bytes to a store of its own, on the same disk,
// and syncs it, as `dev` does.
func (s *stack) rawUpsert() func(ctx context.Context, n int64) error {
	s.t.Helper()
	c := config.Default()
	c.Store.DataDir = s.t.TempDir()
	store, err := app.OpenEmbeddedStore(&c, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = store.Close() })
	return func(ctx context.Context, n int64) error {
		row := sinks.Row{Entity: "driver", View: "raw", Key: "1", Stamp: n, Value: make([]byte, 80)}
		if err := store.Write(ctx, []sinks.Row{row}); err != nil {
			return err
		}
		return store.Sync(ctx)
	}
}
