package telemetry

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check is one condition of readiness. Run is called concurrently with other
// checks, gives up when ctx ends, and returns nil when the condition holds.
type Check struct {
	Name string
	Run  func(ctx context.Context) error
}

// checkTimeout is shorter than what probes usually wait for.
const checkTimeout = 2 * time.Second

// AdminHandler serves /metrics, /healthz (the process lives), /readyz (all
// checks hold; the body says which do not) and, when asked, /debug/pprof/. It
// carries no authentication: it belongs on an address that only operators
// reach.
func AdminHandler(m *Metrics, withProfiles bool, checks []Check) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, health{Status: "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ready(w, r, checks)
	})
	if withProfiles {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// health is the body of /healthz and /readyz. Checks holds "ok" or the error.
type health struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks,omitempty"`
}

func ready(w http.ResponseWriter, r *http.Request, checks []Check) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	h, code := health{Status: "ready", Checks: make(map[string]string, len(checks))}, http.StatusOK
	for i, err := range runAll(ctx, checks) {
		h.Checks[checks[i].Name] = "ok"
		if err != nil {
			h.Checks[checks[i].Name] = err.Error()
			h.Status, code = "not ready", http.StatusServiceUnavailable
		}
	}
	answer(w, code, h)
}

// runAll answers in the order of checks. A check that does not come back in
// time counts as failed; its goroutine ends with the check.
func runAll(ctx context.Context, checks []Check) []error {
	results := make([]chan error, len(checks))
	for i, c := range checks {
		results[i] = make(chan error, 1)
		go func() { results[i] <- c.Run(ctx) }()
	}
	errs := make([]error, len(checks))
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() {
			select {
			case errs[i] = <-results[i]:
			case <-ctx.Done():
				errs[i] = context.Cause(ctx)
			}
		})
	}
	all.Wait()
	return errs
}

func answer(w http.ResponseWriter, code int, h health) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(h) //nolint:errchkjson // the caller went away
}
