package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// clientPredictions are models whose predictions clients write: one that a view
// of Kafka also names, and one that soon grows too old.
const clientPredictions = `
project: PROJECT
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources:
  - name: trips
    kafka: {topic: TOPIC, start: earliest}
    format: json
    fields: [{name: driver_id, type: int64}, {name: fare, type: float64}]
views: [{name: driver_trips, entity: driver, source: trips, features: [{name: fare}]}]
models:
  - {name: fraud, version: "7", entity: driver, outputs: [{name: score, type: float64, as: "driver_trips:fraud_score"}]}
  - {name: churn, entity: driver, outputs: [{name: risk, type: float64}, {name: why, type: string}], max_age: 1h}
`

// online asks as Feast's client does, and returns values and statuses of the
// first driver by feature.
func (s *stack) online(driver int64, features ...string) (values, statuses []string) {
	s.t.Helper()
	body := jsonText(map[string]any{"features": features, "entities": map[string]any{"driver_id": []int64{driver}}})
	status, text := s.sendBody("/get-online-features", jsonBody, body)
	if status != http.StatusOK {
		s.t.Fatalf("%s answered %d: %s", body, status, text)
	}
	var a struct {
		Results []struct {
			Values   []json.RawMessage
			Statuses []string
		}
	}
	if err := json.Unmarshal([]byte(text), &a); err != nil || len(a.Results) != 1+len(features) {
		s.t.Fatalf("%s answered %s: %v", body, text, err)
	}
	for _, r := range a.Results[1:] { // without the key
		values, statuses = append(values, string(r.Values[0])), append(statuses, r.Statuses[0])
	}
	return values, statuses
}

// TestPredictionsOfClients: a caller reads features and a prediction together,
// finds none, infers, and writes it back, natively and as Feast's client does.
func TestPredictionsOfClients(t *testing.T) {
	s := newStack(t, "clientpredictions")
	s.write(clientPredictions)
	s.up(1)
	expectOnline := func(driver int64, value, status string, feature string) {
		t.Helper()
		if values, statuses := s.online(driver, feature); values[0] != value || statuses[0] != status {
			t.Errorf("%s of driver %d is %s %s, not %s %s", feature, driver, values, statuses, value, status)
		}
	}
	expectOnline(7, "null", "NOT_FOUND", "driver_trips:fraud_score")
	s.pushOK("/write-to-online-store", jsonBody, `{"feature_view_name": "driver_trips", "df": {"driver_id": [7], "fraud_score": [0.25]}}`)
	expectOnline(7, "0.25", "PRESENT", "driver_trips:fraud_score")
	s.pushOK("/write-to-online-store", jsonBody,
		`{"feature_view_name": "fraud", "df": {"driver_id": [7, 8], "score": [0.5, 0.75]}, "allow_registry_cache": true, "transform_on_write": true}`)
	expectOnline(7, "0.5", "PRESENT", "fraud:score")
	expectOnline(8, "0.75", "PRESENT", "driver_trips:fraud_score")
	if got := s.pushOK("/v1/push/churn", jsonBody, `{"rows": [{"driver_id": 7, "risk": 0.1, "why": null}]}`); got.Stored != 1 || got.Views["churn"].Stored != 1 {
		t.Errorf("answered %+v", got)
	}
	_, text, err := s.post("/v1/lookup", map[string]any{
		"features": []string{"fraud:score", "driver_trips:fraud_score", "churn"}, "entities": map[string]any{"driver_id": []int{7}}, "include": []string{"origin", "status"},
	})
	const want = `"values":[0.5,0.5,0.1,null],"status":["PRESENT","PRESENT","PRESENT","NULL_VALUE"],"origin":["client","client","client","client"]`
	if err != nil || !strings.Contains(string(text), want) {
		t.Errorf("answered %s %v", text, err)
	}
	s.tooOld()
	s.eventually(5*time.Second, "metrics", func() error {
		m, err := s.metrics(&process{admin: s.admin})
		if err == nil && m[`millrace_push_rows_total{end="stored",source="fraud",view="fraud"}`] != 3 {
			err = fmt.Errorf("metrics %v", m)
		}
		return err
	})
}

// tooOld: a prediction older than the model's max_age is not served, and what is
// mixed with features is not stored.
func (s *stack) tooOld() {
	s.t.Helper()
	old := time.Now().Add(-2 * time.Hour).UTC().Format(time.RFC3339)
	s.pushOK("/v1/push/churn", jsonBody, fmt.Sprintf(`{"rows": [{"driver_id": 9, "risk": 0.1, "why": "x", "event_timestamp": %q}]}`, old))
	if values, statuses := s.online(9, "churn:risk"); values[0] != "null" || statuses[0] != "OUTSIDE_MAX_AGE" {
		s.t.Errorf("a prediction of two hours ago is %s %s", values, statuses)
	}
	status, text := s.sendBody("/write-to-online-store", jsonBody, `{"feature_view_name": "driver_trips", "df": {"driver_id": [9], "fraud_score": [0.25], "fare": [1]}}`)
	if status != http.StatusUnprocessableEntity || !strings.Contains(text, "fare: no part of a prediction of model fraud") {
		s.t.Errorf("mixed with a feature: %d %s", status, text)
	}
	if values, _ := s.online(9, "fraud:score"); values[0] != "null" {
		s.t.Errorf("of a refused write %s was stored", values)
	}
}
