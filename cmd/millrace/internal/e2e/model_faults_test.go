//go:build !real

package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"millrace/serving/predict/predicttest"
)

// faultDefinitions have a model for each way in which a fault may end, at one
// server, and one for which NaN is an answer.
const faultDefinitions = `
project: PROJECT
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources: [{name: trips, push: {}, fields: [{name: driver_id, type: int64}, {name: fare, type: float64}, {name: seats, type: int64}]}]
views: [{name: trip, entity: driver, source: trips, features: [{name: fare}, {name: seats}]}]
models:
  - {name: sum, SAME, outputs: [{name: score, type: float64}]}
  - {name: last, SAME, outputs: [{name: score, type: float64}], on_error: last_value}
  - {name: strict, SAME, outputs: [{name: score, type: float64}], on_error: error}
  - {name: nans, SAME, outputs: [{name: score, type: float64, allow_nan: true}]}
`

// badModels is a project whose models' server misbehaves.
type badModels struct {
	*stack

	server *predicttest.Server
	driver int64 // one that nothing is known of yet
}

func newBadModels(t *testing.T) *badModels {
	t.Helper()
	var models []predicttest.Model
	for _, name := range []string{"sum", "last", "strict", "nans"} {
		models = append(models, predicttest.Sum(name, "7", "score"))
	}
	s := &badModels{stack: newStack(t, "badmodels"), server: predicttest.New(models...)}
	same := fmt.Sprintf(`version: "7", endpoint: %q, entity: driver, inputs: ["trip:fare", "trip:seats"], timeout: 300ms`, s.server.Listen(t))
	s.write(strings.ReplaceAll(faultDefinitions, "SAME", same))
	s.up(1)
	return s
}

func (s *badModels) push(driver int64, fare float64) {
	s.t.Helper()
	s.pushOK("/v1/push/trips", jsonBody, fmt.Sprintf(`{"rows": [{"driver_id": %d, "fare": %v, "seats": 2}]}`, driver, fare))
}

func askModel(model string, driver int64) string {
	return fmt.Sprintf(`{"features": ["trip:fare", "%s:score"], "entities": [{"driver_id": %d}], "include": ["status", "origin"]}`, model, driver)
}

// wants asks for a model's score beside a feature.
func (s *badModels) wants(model string, driver int64, fare float64, value, status, origin string) {
	s.t.Helper()
	code, text := s.sendBody("/v1/lookup", jsonBody, askModel(model, driver))
	want := fmt.Sprintf(`"values":[%v,%s],"status":["PRESENT","%s"],"origin":["stored","%s"]`, fare, value, status, origin)
	if code != http.StatusOK || !strings.Contains(text, want) {
		s.t.Errorf("model %s answered %d %s, not %s", model, code, text, want)
	}
}

// wantsStored explains a model's score and says whether a prediction of it is
// stored, whatever is served.
func (s *badModels) wantsStored(model string, driver int64, want bool) {
	s.t.Helper()
	_, text := s.sendBody("/v1/explain", jsonBody, fmt.Sprintf(`{"features": ["%s:score"], "entities": [{"driver_id": %d}]}`, model, driver))
	if !strings.Contains(text, `"model":{"name":"`+model+`"`) || strings.Contains(text, "stored_version") != want {
		s.t.Errorf("stored is not %v: %s", want, text)
	}
}

// mend makes the models answer, and changes the driver's input: what failed is
// not tried again for two seconds. Another driver's success keeps the breaker
// from counting.
func (s *badModels) mend(model string, driver int64) {
	s.t.Helper()
	s.server.Behave(predicttest.Behaviour{})
	s.push(driver, 4.5)
	s.wants(model, driver, 4.5, "6.5", "PRESENT", "prediction_computed:missing")
	s.wants(model, driver, 4.5, "6.5", "PRESENT", "prediction_fresh:on_read")
	s.driver++
	s.push(s.driver, 0.5)
	s.wants(model, s.driver, 0.5, "2.5", "PRESENT", "prediction_computed:missing")
}

// TestBadModelAnswers: whatever a model's server does, the answer says so under
// the documented name, a metric counts it, features beside it are served, and
// nothing is stored of it.
func TestBadModelAnswers(t *testing.T) {
	s := newBadModels(t)
	var visits atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		visits.Add(1)
		w.WriteHeader(http.StatusOK)
	}))
	defer other.Close()
	change := func(f func(*predicttest.Tensor)) predicttest.Behaviour {
		return predicttest.Behaviour{Change: func(a *predicttest.Answer) { f(&a.Outputs[0]) }}
	}
	value := func(v any) predicttest.Behaviour {
		return change(func(o *predicttest.Tensor) { o.Data = []any{v} })
	}
	for _, c := range []struct {
		name, reason string
		does         predicttest.Behaviour
	}{
		{"shape", "shape", change(func(o *predicttest.Tensor) { o.Shape, o.Data = []int{1, 2}, []any{6.5, 6.5} })},
		{"more values than the shape", "shape", change(func(o *predicttest.Tensor) { o.Data = []any{6.5, 6.5} })},
		{"more rows", "rows", change(func(o *predicttest.Tensor) { o.Shape, o.Data = []int{2, 1}, []any{6.5, 6.5} })},
		{"datatype", "type", change(func(o *predicttest.Tensor) { o.Datatype, o.Data = "BYTES", []any{"6.5"} })},
		{"value of another type", "type", value("6.5")},
		{"NaN", "non_finite", value(predicttest.Literal("NaN"))},
		{"null for NaN", "non_finite", value(nil)},
		{"infinity", "non_finite", value(predicttest.Literal("-Infinity"))},
		{"another output", "missing_output", change(func(o *predicttest.Tensor) { o.Name = "scores" })},
		{"oversized", "oversized", predicttest.Behaviour{Rewrite: func(b []byte) []byte { return append(b, make([]byte, 5<<20)...) }}},
		{"oversized, of unknown length", "oversized", predicttest.Behaviour{Chunked: true, Rewrite: func(b []byte) []byte { return append(b, make([]byte, 5<<20)...) }}},
		{"500", "http", predicttest.Behaviour{Status: 500, Text: "Internal Server Error"}},
		{"404", "http", predicttest.Behaviour{Status: 404, Text: `{"error":"no such model"}`}},
		{"422", "http", predicttest.Behaviour{Status: 422, Text: `{"detail":[]}`}},
		{"503", "unavailable", predicttest.Behaviour{Status: 503}},
		{"truncated", "truncated", predicttest.Behaviour{Cut: 40}},
		{"truncated, of unknown length", "truncated", predicttest.Behaviour{Cut: 40, Chunked: true}},
		{"no JSON", "malformed", predicttest.Behaviour{Text: "<html>"}},
		{"version", "model", predicttest.Behaviour{Change: func(a *predicttest.Answer) { a.ModelVersion = "8" }}},
		{"model", "model", predicttest.Behaviour{Change: func(a *predicttest.Answer) { a.ModelName = "sun" }}},
		{"redirect", "redirect", predicttest.Behaviour{Status: 307, Location: other.URL + "/v2/models/sum/versions/7/infer"}},
		{"dropped", "unreachable", predicttest.Behaviour{Drop: true}},
		{"slow", "timeout", predicttest.Behaviour{Delay: time.Minute}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.t = t
			defer func(m map[string]float64) { s.wantsCounted(m, c.reason) }(s.counts())
			s.driver++
			driver := s.driver
			s.push(driver, 3.5)
			s.server.Behave(c.does)
			s.wants("sum", driver, 3.5, "null", "ERROR", "prediction_failed:"+c.reason)
			s.wantsStored("sum", driver, false)
			s.mend("sum", driver)
		})
	}
	s.t = t
	if n := visits.Load(); n != 0 {
		t.Errorf("the redirect's host was asked %d times", n)
	}
	t.Run("dead", s.deadModel)
	t.Run("declared NaN", s.declaredNaN)
}

func (s *badModels) counts() map[string]float64 {
	s.t.Helper()
	m, err := s.metrics(&process{admin: s.admin})
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// wantsCounted compares with what was counted before: a read, and a call, retried
// or not, of a row.
func (s *badModels) wantsCounted(before map[string]float64, reason string) {
	s.t.Helper()
	after, call := s.counts(), reason
	if reason == "non_finite" { // which is a fault of a row in a call that was answered
		call = "none"
	}
	for name, want := range map[string][2]float64{
		`millrace_prediction_reads_total{detail="` + reason + `",model="sum",origin="prediction_failed"}`: {1, 2}, // and an explanation
		`millrace_prediction_reads_total{detail="on_read",model="sum",origin="prediction_fresh"}`:         {1, 1},
		`millrace_prediction_rows_total{model="sum",reason="` + reason + `"}`:                             {1, 2},
		`millrace_prediction_calls_total{model="sum",reason="` + call + `"}`:                              {1, 4},
		`millrace_prediction_writes_total{end="written",model="sum"}`:                                     {2, 2},
	} {
		if got := after[name] - before[name]; got < want[0] || got > want[1] {
			s.t.Errorf("%s has grown by %v, not %v", name, got, want)
		}
	}
}

// deadModel: connections are dropped before any answer, and the server comes back.
func (s *badModels) deadModel(t *testing.T) {
	s.t = t
	s.driver++
	driver := s.driver
	s.push(driver, 3.5)
	s.server.Kill()
	s.wants("sum", driver, 3.5, "null", "ERROR", "prediction_failed:unreachable")
	s.wantsStored("sum", driver, false)
	s.server.Revive()
	s.mend("sum", driver)
}

// declaredNaN: a model that may answer NaN has it stored, and JSON has no other
// name for it than null.
func (s *badModels) declaredNaN(t *testing.T) {
	s.t = t
	s.driver++
	s.push(s.driver, 3.5)
	s.server.Behave(predicttest.Behaviour{Change: func(a *predicttest.Answer) { a.Outputs[0].Data = []any{nil} }})
	s.wants("nans", s.driver, 3.5, "null", "PRESENT", "prediction_computed:missing")
	s.server.Behave(predicttest.Behaviour{Status: 500})
	s.wants("nans", s.driver, 3.5, "null", "PRESENT", "prediction_fresh:on_read")
	s.wantsStored("nans", s.driver, true)
}

// TestModelFaultsEndAsDeclared: null, the last value, or no answer, natively and
// as Feast's client sees it; and all of them recover.
func TestModelFaultsEndAsDeclared(t *testing.T) {
	s := newBadModels(t)
	s.push(7, 3.5)
	for _, model := range []string{"sum", "last", "strict"} {
		s.wants(model, 7, 3.5, "5.5", "PRESENT", "prediction_computed:missing")
	}
	s.server.Behave(predicttest.Behaviour{Status: 500})
	s.push(7, 8.5)
	s.push(8, 1)
	s.wants("sum", 7, 8.5, "null", "ERROR", "prediction_failed:http")
	s.wants("last", 7, 8.5, "5.5", "PRESENT", "prediction_last_value:http")
	s.wants("last", 8, 1, "null", "ERROR", "prediction_failed:http") // which has none
	for _, path := range []string{"/v1/lookup", "/get-online-features"} {
		body := askModel("strict", 7)
		if path != "/v1/lookup" {
			body = `{"features": ["trip:fare", "strict:score"], "entities": {"driver_id": [7]}}`
		}
		if code, text := s.sendBody(path, jsonBody, body); code != http.StatusBadGateway || !strings.Contains(text, "model strict has computed no prediction: http") {
			t.Errorf("%s answered %d %s", path, code, text)
		}
	}
	for model, want := range map[string]string{"sum": "null INVALID", "last": "5.5 PRESENT"} {
		values, statuses := s.online(7, "trip:fare", model+":score")
		if got := values[1] + " " + statuses[1]; got != want || values[0] != "8.5" {
			t.Errorf("Feast's client gets %v %v of model %s, not %s", values, statuses, model, want)
		}
	}
	s.server.Behave(predicttest.Behaviour{})
	s.push(7, 9.5)
	for _, model := range []string{"sum", "last", "strict"} {
		s.wants(model, 7, 9.5, "11.5", "PRESENT", "prediction_computed:row")
	}
}
