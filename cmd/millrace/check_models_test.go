package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"millrace/serving/predict/predicttest"
)

// checkModel runs check --online over a model of driver whose server is at url.
func checkModel(t *testing.T, url string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "millrace.yaml", fmt.Sprintf("definitions: %s/d\nstore: {type: embedded, data_dir: %s/data}\n", dir, dir))
	write(t, dir, "d/p.yaml", fmt.Sprintf(`project: p
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources: [{name: trips, push: {}, fields: [{name: driver_id, type: int64}, {name: fare, type: float64}, {name: seats, type: int64}]}]
views: [{name: v, entity: driver, source: trips, features: [{name: last_fare, expr: fare}, {name: seats}]}]
models:
  - name: sum
    version: "7"
    endpoint: %s
    entity: driver
    inputs: ["v:last_fare", "v:seats"]
    outputs: [{name: score, type: float64}]
    timeout: 1ms
  - {name: churn, entity: driver, outputs: [{name: risk, type: float64}]}
`, url))
	out, err := command(t, "check", "--online", "--config", dir+"/millrace.yaml")
	return strings.ReplaceAll(out, url, "URL"), err
}

func told(name, datatype string, shape ...int) predicttest.Declared {
	return predicttest.Declared{Name: name, Datatype: datatype, Shape: shape}
}

// refusing is a server that answers everything with a status.
func refusing(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", status) })
}

func TestCheckOnlineAsksModelServers(t *testing.T) {
	model := func(version string, inputs, outputs []predicttest.Declared) http.Handler {
		m := predicttest.Sum("sum", version, "score")
		m.Inputs, m.Outputs = inputs, outputs
		return predicttest.New(m)
	}
	fitting := []predicttest.Declared{told("last_fare", "FP64", -1, 1), told("seats", "INT64", -1)}
	scores := []predicttest.Declared{told("score", "FP32", -1, 1)}
	for name, c := range map[string]struct {
		server           http.Handler
		errors, warnings int
		want             []string
	}{
		"fits": {model("7", fitting, scores), 0, 0, []string{"model sum: URL has version 7, which fits\n"}},
		"another signature": {model("7", []predicttest.Declared{told("last_fare", "FP32", -1, 1), told("places", "INT64", -1, 1)}, scores), 1, 0, []string{
			"p.yaml:6:5: the server has another model sum than is defined", "hint: change the definition or the model", `
  model "sum" does not fit its definition:
    - input "last_fare" is sent as FP64 and the model wants FP32
    - the model has no input "seats"
    - the model has an input "places", which the definition lacks
  the definition has:
    versions 7
    input  last_fare FP64 [-1, 1]
    input  seats INT64 [-1, 1]
    output score FP64 [-1, 1]
  the model server has:
    versions 7
    input  last_fare FP32 [-1, 1]
    input  places INT64 [-1, 1]
    output score FP32 [-1, 1]
`,
		}},
		"no signature":    {model("7", nil, nil), 0, 1, []string{"p.yaml:8:15: warning: the server of model sum does not tell its inputs and outputs"}},
		"half of it":      {model("7", fitting, nil), 0, 1, []string{"does not tell its outputs"}},
		"another version": {model("8", fitting, scores), 1, 0, []string{"the server has no version 7 of model sum", "hint: load it there, or correct name or version"}},
		"gateway alone":   {refusing(502), 1, 0, []string{"does not answer: status 502", "hint: start it, or correct the endpoint"}},
		"no model server": {refusing(404), 1, 0, []string{"URL/v2 does not say that it is a model server", "status 404", "hint: correct the endpoint"}},
		"loading": {notYet(model("7", fitting, scores)), 1, 0, []string{
			"the server is not ready for version 7 of model sum", "status 503", "hint: wait until it has loaded the model",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.server)
			defer server.Close()
			out, err := checkModel(t, server.URL)
			wantCheck(t, out, err, c.errors, c.warnings, c.want...)
		})
	}
	t.Run("away", func(t *testing.T) {
		out, err := checkModel(t, "http://127.0.0.1:1")
		wantCheck(t, out, err, 1, 0, "p.yaml:8:15: the server of model sum does not answer: unreachable: Get", "hint: start it, or correct the endpoint")
	})
}

// notYet is a server that is there and whose models are not ready.
func notYet(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/ready") {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func wantCheck(t *testing.T, out string, err error, faults, warnings int, want ...string) {
	t.Helper()
	if (faults > 0) != errors.Is(err, errSilent) || faults == 0 && err != nil {
		t.Errorf("it ended with %v", err)
	}
	for _, w := range append(want, fmt.Sprintf("online: %d errors, %d warnings\n", faults, warnings)) {
		if !strings.Contains(out, w) {
			t.Errorf("want %q in\n%s", w, out)
		}
	}
}
