package telemetry_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"millrace/internal/synctest"
	"millrace/internal/telemetry"
)

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w
}

type health struct {
	Status string
	Checks map[string]string
}

func readiness(t *testing.T, checks ...telemetry.Check) (int, health) {
	t.Helper()
	w := get(t, telemetry.AdminHandler(telemetry.NewMetrics("v1"), false, checks), "/readyz")
	var h health
	if err := json.Unmarshal(w.Body.Bytes(), &h); err != nil {
		t.Fatalf("body %q: %v", w.Body, err)
	}
	return w.Code, h
}

func holds(context.Context) error { return nil }

func TestReadyWhenEveryCheckHolds(t *testing.T) {
	code, h := readiness(t, telemetry.Check{Name: "store", Run: holds}, telemetry.Check{Name: "kafka", Run: holds})
	if code != http.StatusOK || h.Status != "ready" || h.Checks["store"] != "ok" || h.Checks["kafka"] != "ok" {
		t.Errorf("%d %+v", code, h)
	}
}

func TestReadySaysWhichCheckFails(t *testing.T) {
	fails := func(context.Context) error { return errors.New("store unavailable") }
	code, h := readiness(t, telemetry.Check{Name: "store", Run: fails}, telemetry.Check{Name: "kafka", Run: holds})
	if code != http.StatusServiceUnavailable || h.Status != "not ready" {
		t.Errorf("%d %s", code, h.Status)
	}
	if h.Checks["store"] != "store unavailable" || h.Checks["kafka"] != "ok" {
		t.Errorf("checks: %v", h.Checks)
	}
}

func TestReadyDoesNotWaitForACheckThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		hangs := func(context.Context) error { <-end; return nil } // ignores its context
		code, h := readiness(t, telemetry.Check{Name: "store", Run: hangs}, telemetry.Check{Name: "kafka", Run: holds})
		close(end)
		if code != http.StatusServiceUnavailable || !strings.Contains(h.Checks["store"], "deadline") || h.Checks["kafka"] != "ok" {
			t.Errorf("%d %+v", code, h)
		}
	})
}

func TestAliveWhateverTheChecksSay(t *testing.T) {
	fails := telemetry.Check{Name: "store", Run: func(context.Context) error { return errors.New("away") }}
	h := telemetry.AdminHandler(telemetry.NewMetrics("v1"), false, []telemetry.Check{fails})
	if w := get(t, h, "/healthz"); w.Code != http.StatusOK {
		t.Errorf("/healthz = %d", w.Code)
	}
}

func TestMetricsAreExposed(t *testing.T) {
	m := telemetry.NewMetrics("v9")
	m.View("driver_trips").Ends(1, 0, 0, 0)
	body := get(t, telemetry.AdminHandler(m, false, nil), "/metrics").Body.String()
	for _, want := range []string{
		`millrace_rows_total{end="stored",view="driver_trips"} 1`,
		`version="v9"`, "go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

func TestProfilesOnlyWhenAsked(t *testing.T) {
	for asked, want := range map[bool]int{true: http.StatusOK, false: http.StatusNotFound} {
		h := telemetry.AdminHandler(telemetry.NewMetrics("v1"), asked, nil)
		if w := get(t, h, "/debug/pprof/cmdline"); w.Code != want {
			t.Errorf("asked %v: /debug/pprof/cmdline = %d, want %d", asked, w.Code, want)
		}
	}
}
