//go:build real

package e2e_test

import (
	"os"
	"os/exec"
	"testing"
)

// feastDefinitions are what testdata/feast/client.py has in Feast's registry.
const feastDefinitions = `
project: PROJECT
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources:
  - name: trips
    push: {}
    fields: [{name: driver_id, type: int64}, {name: conv_rate, type: float64}, {name: trips, type: int64}, {name: event_timestamp, type: timestamp}]
    event_time: event_timestamp
  - {name: users, kafka: {topic: TOPIC, start: earliest}, format: json, fields: [{name: driver_id, type: int64}, {name: age, type: int64}]}
  - {name: quote, request: {}, fields: [{name: fare, type: float64}]}
views:
  - {name: driver_stats, entity: driver, source: trips, features: [{name: conv_rate}, {name: trips}]}
  - {name: user_data, entity: driver, source: users, features: [{name: age}]}
on_demand_views:
  - name: quoted
    entity: driver
    sources: [driver_stats, quote]
    features: [{name: expected, expr: quote.fare * driver_stats.conv_rate}]
models: [{name: fraud, version: "1", entity: driver, outputs: [{name: score, type: float64, as: "user_data:model_predictions"}]}]
services: [{name: scoring, features: [driver_stats, "fraud:score"]}]
`

// TestFeastClient runs Feast's own client, unmodified, against the API: it
// pushes, reads, and keeps predictions beside features.
func TestFeastClient(t *testing.T) {
	_, packages := pythonPackages(t, "feast", "testdata/feast/requirements.txt")
	s := newStack(t, "feast")
	s.write(feastDefinitions)
	s.up(1)
	cmd := exec.Command("python3", "testdata/feast/client.py", "http://"+s.http, t.TempDir())
	cmd.Env = append(os.Environ(), "PYTHONPATH="+packages, "FEAST_USAGE=False")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
