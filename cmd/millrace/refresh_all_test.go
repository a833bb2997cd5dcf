package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/cmd/millrace/internal/admin"
	"millrace/cmd/millrace/internal/app"
	"millrace/cmd/millrace/internal/config"
	"millrace/internal/telemetry"
	"millrace/serving"
	"millrace/serving/predict/predicttest"
	"millrace/serving/sweep"
)

// refreshWorld is an embedded project with a model of drivers, and its server.
type refreshWorld struct {
	t      *testing.T
	config string
	dir    string
	server *predicttest.Server
	said   string // of the last refresh
}

func newRefreshWorld(t *testing.T) *refreshWorld {
	t.Helper()
	w := &refreshWorld{t: t, dir: t.TempDir()}
	w.config = w.dir + "/millrace.yaml"
	write(t, w.dir, "millrace.yaml", fmt.Sprintf("definitions: %s/d\nstore: {type: embedded, data_dir: %s/data}\n", w.dir, w.dir))
	return w
}

// serve starts a model server of a version and applies definitions that name it.
func (w *refreshWorld) serve(version string) {
	w.t.Helper()
	w.server = predicttest.New(predicttest.Sum("fraud", version, "score"))
	s := httptest.NewServer(w.server)
	w.t.Cleanup(s.Close)
	w.apply(fmt.Sprintf(`models:
  - name: fraud
    version: "%s"
    endpoint: %s
    entity: driver
    inputs: ["v:last_fare", "v:seats"]
    outputs: [{name: score, type: float64}]
    max_batch: 100
  - {name: churn, entity: driver, outputs: [{name: risk, type: float64}]}
`, version, s.URL))
}

func (w *refreshWorld) apply(models string) {
	w.t.Helper()
	write(w.t, w.dir, "d/p.yaml", `project: p
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources: [{name: trips, push: {}, fields: [{name: driver_id, type: int64}, {name: fare, type: float64}, {name: seats, type: int64}]}]
views: [{name: v, entity: driver, source: trips, features: [{name: last_fare, expr: fare}, {name: seats}]}]
`+models)
	if out, err := command(w.t, "apply", "--config", w.config); err != nil {
		w.t.Fatalf("apply: %v\n%s", err, out)
	}
}

func (w *refreshWorld) open() (*config.Config, app.Store) {
	w.t.Helper()
	cfg, err := config.Load(w.config, func(string) (string, bool) { return "", false })
	if err != nil {
		w.t.Fatal(err)
	}
	store, err := app.OpenEmbeddedStore(&cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	return &cfg, store
}

// push stores rows of n drivers, before there is a model.
func (w *refreshWorld) push(n int) {
	w.t.Helper()
	w.apply("")
	cfg, store := w.open()
	defer store.Close() //nolint:errcheck // what is not there is missed
	p, err := app.LoadApplied(w.t.Context(), store)
	if err != nil {
		w.t.Fatal(err)
	}
	api, err := app.NewServer(cfg, p, store, nil, nil, telemetry.NewMetrics("test"), slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	defer api.Close()
	rows := make([]map[string]any, n)
	for i := range rows {
		rows[i] = map[string]any{"driver_id": i, "fare": i, "seats": 1}
	}
	body, err := json.Marshal(map[string]any{"rows": rows})
	if err != nil {
		w.t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	api.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/v1/push/trips", bytes.NewReader(body)))
	if answer.Code != http.StatusOK {
		w.t.Fatalf("push answered %d: %s", answer.Code, answer.Body)
	}
}

// refresh runs the command and returns its summary.
func (w *refreshWorld) refresh(args ...string) sweepSummary {
	w.t.Helper()
	out, err := command(w.t, append([]string{"refresh", "--all", "--model", "fraud", "--config", w.config}, args...)...)
	w.said = out
	var s sweepSummary
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err == nil {
		err = json.Unmarshal([]byte(lines[len(lines)-1]), &s)
	}
	if err != nil {
		w.t.Fatalf("refresh: %v\n%s", err, out)
	}
	return s
}

func (w *refreshWorld) rows() int {
	n := 0
	for _, c := range w.server.Calls() {
		n += c.Rows
	}
	return n
}

func TestAllKeysAreRefreshedAndFreshOnesLeft(t *testing.T) {
	w := newRefreshWorld(t)
	const n = 1300
	w.push(n)
	w.serve("7")
	for _, c := range []struct {
		version       string
		stored, fresh int64
	}{{"7", n, 0}, {"", 0, n}, {"8", n, 0}} {
		if c.version == "8" {
			w.serve(c.version)
		}
		before := w.rows()
		s := w.refresh()
		if s.Ends["stored"] != c.stored || s.Ends["fresh"] != c.fresh || s.Keys != n || s.Progress != 1 || s.PerSec <= 0 {
			t.Errorf("version %q: %+v", c.version, s)
		}
		if asked := int64(w.rows() - before); asked != c.stored {
			t.Errorf("version %q: the model was asked for %d rows", c.version, asked)
		}
	}
	for _, call := range w.server.Calls() {
		if call.Rows > 100 || call.Version != "8" {
			t.Errorf("a call of version %s with %d rows", call.Version, call.Rows)
		}
	}
}

// Interrupted, the command ends at once and the next one goes on.
func TestInterruptedRefreshGoesOn(t *testing.T) {
	w := newRefreshWorld(t)
	const n = 2500
	w.push(n)
	w.serve("7")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var once sync.Once
	var at time.Time
	w.server.Script(func(call int) predicttest.Behaviour {
		if call < 24 {
			return predicttest.Behaviour{}
		}
		once.Do(func() { at = time.Now(); interrupt() })
		return predicttest.Behaviour{Hang: t.Context().Done()}
	})
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs([]string{"refresh", "--all", "--model", "fraud", "--config", w.config})
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.ExecuteContext(ctx)
	if took := time.Since(at); err == nil || at.IsZero() || !strings.Contains(err.Error(), "interrupted; run it again to go on") || took > time.Second {
		t.Fatalf("after %v: %v\n%s", took, err, &out)
	}
	w.server.Behave(predicttest.Behaviour{})
	s := w.refresh()
	if s.Earlier == 0 || s.Keys+s.Earlier != n || s.Progress != 1 {
		t.Errorf("the second run: %+v", s)
	}
	if !strings.Contains(w.said, "was interrupted; --restart begins anew") {
		t.Errorf("it does not say that it goes on:\n%s", w.said)
	}
	if s = w.refresh(); s.Ends["fresh"] != n || s.Earlier != 0 {
		t.Errorf("all of them: %+v", s)
	}
}

// Where a process has the embedded store, it does the work for the command.
func TestRefreshIsDoneByTheRunningProcess(t *testing.T) {
	w := newRefreshWorld(t)
	const n = 1200
	w.push(n)
	w.serve("7")
	cfg, store := w.open()
	defer store.Close() //nolint:errcheck // nothing is written any more
	p, err := app.LoadApplied(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	r, err := app.NewService(cfg, p, store, telemetry.NewMetrics("test"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	admin.Handle(mux, store)
	admin.HandleRefresh(mux, r)
	process := httptest.NewServer(mux)
	defer process.Close()
	if err := admin.WriteRun(cfg.Store.DataDir, admin.Run{Admin: strings.TrimPrefix(process.URL, "http://"), Project: "p"}); err != nil {
		t.Fatal(err)
	}
	if s := w.refresh(); s.Ends["stored"] != n || w.rows() != n {
		t.Errorf("%+v; the model was asked for %d rows", s, w.rows())
	}
	if s := w.refresh("--rate", "100000"); s.Ends["fresh"] != n {
		t.Errorf("again: %+v", s)
	}
}

func TestRefreshSaysWhatItCannotDo(t *testing.T) {
	w := newRefreshWorld(t)
	w.serve("7")
	for _, c := range []struct{ args, want string }{
		{"", "refreshes on write"},
		{"--all", "name the model with --model"},
		{"--model fraud", "are of --all"},
		{"--rate 5", "are of --all"},
		{"--all --model fraud --rate -1", "must be above 0"},
		{"--all --model fraude", "did you mean fraud?"},
		{"--all --model churn", "clients write its predictions"},
	} {
		_, err := command(t, append([]string{"refresh", "--config", w.config}, strings.Fields(c.args)...)...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("refresh %s: %v, want %q", c.args, err, c.want)
		}
	}
}

// TestNoStoreSaysHowToReachThatOfDev: dev --data-dir is found by its folder.
func TestNoStoreSaysHowToReachThatOfDev(t *testing.T) {
	dir := withModels(t)
	t.Chdir(t.TempDir()) // nothing runs here
	_, err := command(t, "refresh", "--all", "--model", "fraud", "--definitions", dir)
	if err == nil || !strings.Contains(err.Error(), "set MILLRACE_STORE_DATA_DIR to its --data-dir") {
		t.Errorf("beside a dev with a folder of its own: %v", err)
	}
}

// A line says what a person who waits wants to know.
func TestRefreshShowsHowFarItIs(t *testing.T) {
	s := sweepShow{begun: now(), from: 0.5, model: "fraud"}
	s.last.Counts[serving.RefreshStored], s.last.Counts[serving.RefreshRefused], s.last.Progress = 900, 100, 0.75
	at := s.begun.Add(20 * time.Second)
	if got, want := s.text(at), "1000 keys (900 stored, 100 refused), 50 keys/s, about 20s left"; got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	s.last.Failing, s.last.Err = at.Add(-5*time.Second), errors.New("connection refused")
	if got, want := s.text(at), "1000 keys (900 stored, 100 refused), 50 keys/s, failing for 5s: connection refused"; got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	var out bytes.Buffer
	lines := newSweepShow(&out, "fraud")
	lines.progress(sweep.Status{Progress: 0.1})
	if out.Len() > 0 {
		t.Errorf("it says at once:\n%s", &out)
	}
	lines.said = lines.said.Add(-showEvery)
	lines.progress(sweep.Status{Progress: 0.42})
	lines.progress(sweep.Status{Progress: 0.43})
	if got := out.String(); got != "fraud 42% 0 keys, about 0s left\n" {
		t.Errorf("it says\n%s", got)
	}
}
