package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// writeDefinitions: trips come from Kafka and through the API, profiles through
// the API alone.
const writeDefinitions = `
project: PROJECT
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
sources:
  - name: trips
    kafka: {topic: TOPIC, start: earliest}
    push: true
    format: json
    fields:
      - {name: driver_id, type: int64, path: driver.id}
      - {name: fare, type: float64}
      - {name: km, type: float64}
      - {name: status, type: string}
      - {name: at, type: timestamp}
    event_time: at
  - name: profiles
    push: {}
    fields: [{name: driver_id, type: int64}, {name: rating, type: float64}]
views:
  - name: driver_trips
    entity: driver
    source: trips
    where: status = 'completed'
    features:
      - {name: per_km, expr: "fare / nullif(km, 0)"}
      - {name: tier, expr: upper(status)}
  - {name: driver_profile, entity: driver, source: profiles, features: [{name: rating}]}
`

// pushed is what a push answers.
type pushed struct {
	Stored, Filtered, Rejected int
	Views                      map[string]struct{ Stored, Filtered, Rejected int }
	Errors                     []struct {
		Row                   int
		View, Reason, Message string
	}
	Error *struct {
		Code, Message string
		NextRow       *int `json:"next_row"`
	}
}

// send posts a body as it is.
func (s *stack) sendBody(path, contentType, body string) (int, string) {
	s.t.Helper()
	resp, err := http.Post("http://"+s.http+path, contentType, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// pushOK posts a body that is to be taken.
func (s *stack) pushOK(path, contentType, body string) pushed {
	s.t.Helper()
	status, text := s.sendBody(path, contentType, body)
	if status != http.StatusOK {
		s.t.Fatalf("POST %s\n%s\nanswered %d: %s", path, body, status, text)
	}
	var p pushed
	if text != "" && text != "null" {
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			s.t.Fatalf("POST %s answered %s: %v", path, text, err)
		}
	}
	return p
}

// now looks a driver's features up at once: what was answered is readable.
func (s *stack) now(driver int64, features ...string) string {
	s.t.Helper()
	a, err := s.lookup(features, driver)
	if err != nil {
		s.t.Fatal(err)
	}
	var values []string
	for _, v := range a.Rows[0].Values {
		values = append(values, string(v))
	}
	return strings.Join(values, " ")
}

const (
	jsonBody = "application/json"
	lineBody = "application/x-ndjson"
)

// TestPushThenGet: every answer of a synchronous push, and the order of rows.
func TestPushThenGet(t *testing.T) {
	s := newStack(t, "pushget")
	s.write(writeDefinitions)
	s.up(1)
	got := s.pushOK("/v1/push/profiles", jsonBody, `{"rows": [{"driver_id": 1, "rating": 4.5}, {"driver_id": 2, "rating": 3}]}`)
	if got.Stored != 2 || got.Views["driver_profile"].Stored != 2 || s.now(1, "driver_profile:rating") != "4.5" {
		t.Errorf("%+v, and the rating is %s", got, s.now(1, "driver_profile:rating"))
	}
	// An older row never replaces a newer one, and of equal times the later wins.
	at := time.Now().Add(-time.Minute).UTC()
	row := func(rating int, at time.Time) string {
		return fmt.Sprintf(`{"driver_id": 3, "rating": %d, "event_timestamp": %q}`, rating, at.Format(time.RFC3339Nano))
	}
	s.pushOK("/v1/push/profiles", lineBody, row(1, at)+"\n"+row(2, at)+"\n"+row(3, at.Add(-time.Second))+"\n")
	if got := s.now(3, "driver_profile:rating"); got != "2" {
		t.Errorf("rating %s", got)
	}
	// A bad row refuses the request, or itself alone.
	bad := `{"rows": [{"driver_id": 4, "rating": 1}, {"driver_id": 5, "rating": "high"}]`
	status, text := s.sendBody("/v1/push/profiles", jsonBody, bad+"}")
	if status != http.StatusUnprocessableEntity || !strings.Contains(text, `"rows[1]"`) || !strings.Contains(text, "field rating") {
		t.Errorf("%d %s", status, text)
	}
	if got := s.now(4, "driver_profile:rating"); got != "null" {
		t.Errorf("of a refused request %s was stored", got)
	}
	got = s.pushOK("/v1/push/profiles", jsonBody, bad+`, "on_error": "reject_row"}`)
	if got.Stored != 1 || got.Rejected != 1 || got.Errors[0].Row != 1 || got.Errors[0].Reason != "wrong_type" || s.now(4, "driver_profile:rating") != "1" {
		t.Errorf("%+v", got)
	}
	got = s.pushOK("/v1/push/profiles", lineBody, `{"driver_id": 6, "rating": 1}`+"\n{\n\n"+`{"driver_id": 7, "rating": 2}`)
	if got.Stored != 2 || got.Rejected != 1 || got.Errors[0].Row != 1 || s.now(7, "driver_profile:rating") != "2" {
		t.Errorf("%+v", got)
	}
	s.eventually(5*time.Second, "metrics", func() error {
		m, err := s.metrics(&process{admin: s.admin}) // the process that serves
		if err == nil && m[`millrace_push_rows_total{end="stored",source="profiles",view="driver_profile"}`] != 8 {
			err = fmt.Errorf("metrics %v", m)
		}
		return err
	})
}
