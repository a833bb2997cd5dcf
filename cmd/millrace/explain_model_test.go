package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// withModels copies the example's definitions, and adds models.
func withModels(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	files, err := filepath.Glob(filepath.Join(ridesFolder, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const models = `models:
  - name: fraud
    version: "7"
    endpoint: http://models:8080
    entity: driver
    inputs: [driver_trips:fare_per_km, driver_trips:idle_s, driver_activity:trips_24h, driver_profile:rating]
    outputs: [{name: score, type: float64, as: "driver_trips:fraud_score"}, {name: why, type: string}]
    max_age: 1h
    refresh: [on_read, on_write]
    serve_stale_for: 10m
    on_error: last_value
  - {name: churn, entity: driver, outputs: [{name: risk, type: float64}], max_age: 30d}
services:
  - {name: scores, features: ["driver_trips:fraud_score", fraud, "churn:risk", {view: churn, as: other, keys: {driver_id: other_id}}]}
`
	if err := os.WriteFile(filepath.Join(dir, "models.yaml"), []byte(models), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestExplainOfAModel(t *testing.T) {
	dir := withModels(t)
	out, err := command(t, "explain", "fraud", "--definitions", dir)
	const want = `model fraud: predictions of driver, version 7, at http://models:8080

inputs, in this order
  driver_trips:fare_per_km          float64
  driver_trips:idle_s               float64
  driver_activity:trips_24h         int64
  driver_profile:rating             float64

tensors of a request for n keys
  fare_per_km          FP64         [n, 1]
  idle_s               FP64         [n, 1]
  trips_24h            INT64        [n, 1]
  rating               FP64         [n, 1]

tensors of its answer
  score                FP64         [n, 1]
  why                  BYTES        [n, 1]

outputs
  score                float64      also driver_trips:fraud_score
  why                  string

stale when one of these changes
  driver_activity      the events counted by trips_24h; how its features are read
  driver_profile       its row; how its features are read
  driver_trips         its row; how its features are read

stored of a prediction, in one cell of its entity
  score                float64
  why                  string
  version              string       (hidden)
  fingerprint          bytes        (hidden)
  catalog              int64        (hidden)
  by                   string       (hidden)

computed
  after a change of an input, and at a read that finds none that is fresh
served
  for 1h while the stored state of the inputs and the version are those that it was computed from; up to 10m longer while another is computed
where none can be computed
  the last prediction that is stored

a stored prediction takes 69 bytes, and the values of variable width
`
	if err != nil || out != want {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = command(t, "explain", "fraud", "--json", "--definitions", dir)
	var e modelExplanation
	if err != nil || json.Unmarshal([]byte(out), &e) != nil || e.FixedBytes != 69 || len(e.Sources) != 3 || e.Sources[0].Row || e.Outputs[0].As != "driver_trips:fraud_score" {
		t.Errorf("%v, explained as %+v", err, e)
	}
}

// TestExplainOfAModelThatClientsWrite speaks of no server.
func TestExplainOfAModelThatClientsWrite(t *testing.T) {
	out, err := command(t, "explain", "churn", "--definitions", withModels(t))
	const want = `model churn: predictions of driver

outputs
  risk                 float64

stored of a prediction, in one cell of its entity
  risk                 float64
  version              string       (hidden)
  fingerprint          bytes        (hidden)
  catalog              int64        (hidden)
  by                   string       (hidden)

computed
  by clients, which write them
served
  for 30d

a stored prediction takes 65 bytes, and the values of variable width
`
	if err != nil || out != want {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestExplainOfAModelThatNothingAsks says what computes its predictions.
func TestExplainOfAModelThatNothingAsks(t *testing.T) {
	dir := withModels(t)
	path := filepath.Join(dir, "models.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte("[on_read, on_write]"), []byte("[]"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := command(t, "explain", "fraud", "--definitions", dir)
	if err != nil || !strings.Contains(out, "computed\n  by millrace refresh --all, and by clients that write them\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestModelsAreListed(t *testing.T) {
	dir := withModels(t)
	out, err := command(t, "explain", "--definitions", dir)
	const want = `
MODEL  VERSION  ENTITY  INPUTS  OUTPUTS  PREDICTIONS ARE COMPUTED
fraud  7        driver  4       2        after a change of an input, and at a read that finds none that is fresh
churn           driver  0       1        by clients, which write them

SERVICE  FEATURES  STORE READS  VIEWS
scores   5         2            fraud, churn
`
	if err != nil || !strings.Contains(out, want) {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err = command(t, "explain", "fruad", "--definitions", dir); err == nil || !strings.Contains(err.Error(), "models fraud, churn") {
		t.Errorf("an unknown model: %v", err)
	}
	for args, want := range map[string]string{
		"try fraud": "it is a model", "push fraud --to kafka": "predictions are written through the API",
		"explain driver_trips:fraud_score": "part of fraud, which is explained as a whole: millrace explain fraud",
		"explain driver_trips:idle_s":      "millrace explain driver_trips", "sql fraud:why": "millrace sql fraud", "explain driver_tips:a": "no such view",
	} {
		if _, err := command(t, append(strings.Fields(args), "--definitions", dir)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
	out, err = command(t, "check", "--definitions", dir)
	if err != nil || !strings.Contains(out, "1 on-demand views, 2 models, 2 services: no errors\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestModelsAreApplied to an embedded store, and plan says what a change means.
func TestModelsAreApplied(t *testing.T) {
	definitions, data := withModels(t), t.TempDir()
	write(t, data, "millrace.yaml", "definitions: "+definitions+"\nstore: {type: embedded, data_dir: "+data+"/data}\n")
	says := func(ok bool, want string, args ...string) {
		t.Helper()
		out, err := command(t, append(args, "--config", data+"/millrace.yaml")...)
		if text := fmt.Sprint(out, err); (err == nil) != ok || !strings.Contains(text, want) {
			t.Errorf("millrace %s: want %q in\n%s", strings.Join(args, " "), want, text)
		}
	}
	change := func(file, from, to string) {
		t.Helper()
		path := filepath.Join(definitions, file)
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), from) {
			t.Fatalf("%v, or %s has no %q", err, file, from)
		}
		write(t, definitions, file, strings.Replace(string(text), from, to, 1))
	}
	says(true, "new       model fraud: 2 outputs of driver, computed from 4 features by version 7 at http://models:8080", "plan")
	says(true, "ingest: write, describe topic millrace.rides.changelog, which apply creates, compacted, for models that refresh on write", "plan")
	says(true, "new       model churn: 1 outputs of driver, written by clients", "apply", "--topics=false")
	says(true, "nothing would change", "plan")
	change("models.yaml", `version: "7"`, `version: "8"`)
	says(true, `stale     model fraud: version "7" becomes "8"; stored predictions are stale`, "plan")
	says(true, "applied as catalog version 2", "apply", "--topics=false")
	change("views.yaml", "epoch(now())", "1 + epoch(now())")
	says(true, "stale     model fraud: its inputs of driver_trips are read in another way", "plan")
	change("models.yaml", "{name: why, type: string}", "{name: why, type: json}")
	says(false, "no tensor carries json", "check")
	change("models.yaml", "{name: why, type: json}", "{name: reason, type: string}")
	says(true, "revision  model fraud: revision 2: output reason is new, output why is removed", "apply", "--topics=false")
	says(true, "3\t", "history")
}
