package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const tripDefinitions = `
project: PROJECT
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
sources:
  - name: trips
    kafka: {topic: TOPIC, start: earliest}
    format: json
    fields:
      - {name: driver_id, type: int64}
      - {name: n, type: int64}
      - {name: fare, type: float64}
      - {name: km, type: float64}
      - {name: status, type: string}
      - {name: at, type: timestamp, unit: us}
    event_time: at
views:
  - name: driver_trips
    entity: driver
    source: trips
    where: status is distinct from 'cancelled'
    features:
      - {name: serial, expr: n}
      - {name: fare_per_km, expr: "fare / nullif(km, 0)"}
      - {name: tier, expr: upper(status)}
  - name: driver_last
    entity: driver
    source: trips
    features:
      - {name: last_status, expr: status}
services:
  - name: eta_v1
    features: [driver_trips, "driver_last:last_status"]
`

// trip is an event of a driver with a serial number.
func trip(driver, n int64, at time.Time) string {
	return fmt.Sprintf(`{"driver_id":%d,"n":%d,"fare":12.5,"km":5,"status":"completed","at":%d}`, driver, n, at.UnixMicro())
}

// TestEventBecomesFeatures is the main job: an event in, its features out
// within a second, and newer ones soon after.
func TestEventBecomesFeatures(t *testing.T) {
	s := newStack(t, "main")
	s.write(tripDefinitions)
	s.up(2)
	s.produce(0, "1001", trip(1001, 1, time.Now()))
	s.waitValue(10*time.Second, 1001, "driver_trips:serial", "1") // the first one waits for the group
	s.produce(0, "1001", trip(1001, 2, time.Now()))
	s.waitValue(time.Second, 1001, "driver_trips:serial", "2")
	s.waitValue(time.Second, 1001, "driver_trips:fare_per_km", "2.5")
	s.waitValue(time.Second, 1001, "driver_trips:tier", `"COMPLETED"`)

	// An older event arrives late, on another partition: it changes nothing.
	s.produce(1, "1001", trip(1001, 3, time.Now().Add(-time.Hour)))
	s.produce(1, "1002", trip(1002, 4, time.Now()))
	s.waitValue(5*time.Second, 1002, "driver_trips:serial", "4")
	s.waitValue(time.Second, 1001, "driver_trips:serial", "2")

	status, body, err := s.post("/get-online-features", map[string]any{
		"feature_service": "eta_v1", "entities": map[string]any{"driver_id": []int64{1001, 9999}},
	})
	if err != nil || status != 200 {
		t.Fatalf("status %d, %v: %s", status, err, body)
	}
	if !strings.Contains(string(body), `"NOT_FOUND"`) || !strings.Contains(string(body), `2.5`) {
		t.Errorf("Feast's answer lacks the value or the status: %s", body)
	}
	s.waitCaughtUp(10 * time.Second)
	s.checkEnds("driver_trips", "driver_last")
}
