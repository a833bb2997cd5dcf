//go:build !real

package e2e_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// TestPushInEveryFormat sends rows with `millrace push` and reads the features:
// a row that does not fit is named by its line and costs no other.
func TestPushInEveryFormat(t *testing.T) {
	registry := srfake.New()
	defer registry.Close()
	avsc, err := os.ReadFile(filepath.Join(repository, "examples/rides/trip.avsc"))
	if err != nil {
		t.Fatal(err)
	}
	registry.SeedSchema("trips-avro", 1, 31, sr.Schema{Schema: string(avsc)})
	text, err := os.ReadFile(filepath.Join(repository, "examples/rides/trip.proto"))
	if err != nil {
		t.Fatal(err)
	}
	registry.SeedSchema("trips-protobuf", 1, 32, sr.Schema{Schema: string(text), Type: sr.TypeProtobuf})
	for name, format := range map[string]string{
		"json":        "format: json",
		"avro":        "format: avro\n    schema: {subject: trips-avro}",
		"protobuf":    "format: protobuf\n    schema: {subject: trips-protobuf, message: rides.Trip}",
		"descriptors": "format: protobuf\n    schema: {descriptors: trip.binpb, message: rides.Trip}",
		"avsc":        "format: avro\n    schema: {file: trip.avsc}",
	} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t, "push")
			s.env = append(s.env, "MILLRACE_SCHEMA_REGISTRY_URLS="+registry.URL())
			s.write(strings.ReplaceAll(rides, "FORMAT", format))
			for _, file := range []string{"trip.avsc", "trip.binpb"} {
				data, err := os.ReadFile(filepath.Join(repository, "examples/rides", file))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(s.dir, "definitions", file), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s.up(1)
			rows := `{"driver_id": 7, "fare": 12.5, "status": "completed", "trip_id": "a", "completed_at": "2026-01-02T03:04:05Z"}
{"driver_id": 7, "fare": "twelve"}
{"driver_id": 8, "fare": 8, "status": "completed", "trip_id": "b", "completed_at": "2026-01-02T03:04:05Z"}
`
			if err := os.WriteFile(filepath.Join(s.dir, "rows.ndjson"), []byte(rows), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := s.run("push", "trips", "rows.ndjson", "--to", "kafka", "--key", "driver_id", "--definitions", "definitions")
			if err == nil {
				t.Error("a refused row ended with 0")
			}
			expect(t, out, `"rows":3,"sent":2,"refused":1`)
			expect(t, out, "line 2: field fare: is a string, not float64")
			s.waitValue(10*time.Second, 7, "driver_trips:last_fare", "12.5")
			s.waitValue(10*time.Second, 8, "driver_trips:last_fare", "8")
			out, err = s.run("push", "trips", "rows.ndjson")
			if err == nil || !strings.Contains(out, "write push: true") {
				t.Errorf("through the API, which the source does not say: %v\n%s", err, out)
			}
		})
	}
}

const rides = `
project: PROJECT
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
sources:
  - name: trips
    kafka: {topic: TOPIC, start: earliest}
    FORMAT
    fields:
      - {name: driver_id, type: int64, path: driver.id}
      - {name: fare, type: float64}
      - {name: status, type: string}
      - {name: trip_id, type: string}
      - {name: completed_at, type: timestamp}
    event_time: completed_at
views:
  - name: driver_trips
    entity: driver
    source: trips
    features:
      - {name: last_fare, expr: fare}
services:
  - name: eta_v1
    features: [driver_trips]
`

// TestDemoFormats: the demo's trips arrive in each format, and what is
// malformed in JSON is in the others.
func TestDemoFormats(t *testing.T) {
	for _, format := range []string{"avro", "protobuf"} {
		t.Run(format, func(t *testing.T) {
			s := newStack(t, "demo")
			p := s.start(s.admin, "dev", "--demo", "--demo-format", format, "--demo-rate", "2000", "--kafka", s.brokers[0], "--http", s.http,
				"--admin", s.admin, "--data-dir", filepath.Join(s.dir, "data"))
			s.ready(p)
			s.env = append(s.env, "MILLRACE_PROJECT=rides")
			s.eventually(20*time.Second, "one malformed trip, and no other refused", func() error {
				out, err := s.run("deadletter", "list", "--count")
				if err != nil {
					return err
				}
				if !strings.Contains(out, `"reason":"malformed"`) {
					return errors.New("there is none")
				}
				if strings.Count(out, "\n") != 1 {
					t.Fatalf("refused:\n%s", out)
				}
				return nil
			})
			a, err := s.lookup([]string{"driver_trips:tier"}, 1001)
			if err != nil || string(a.Rows[0].Values[0]) != `"COMPLETED"` {
				t.Errorf("driver 1001: %v %v", a, err)
			}
		})
	}
	s := newStack(t, "demo")
	if out, err := s.run("dev", "--demo", "--demo-format", "xml"); err == nil || !strings.Contains(out, "write json, avro or protobuf") {
		t.Errorf("an unknown format: %v\n%s", err, out)
	}
}
