package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/serving/predict/predicttest"
)

const crowdDefinitions = `
project: PROJECT
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources:
  - name: trips
    kafka: {topic: TOPIC, start: earliest}
    format: json
    fields: [{name: driver_id, type: int64}, {name: fare, type: float64}]
views: [{name: driver_trips, entity: driver, source: trips, features: [{name: fare}]}]
models:
  - {name: fraud, version: "1", endpoint: ENDPOINT, entity: driver, inputs: ["driver_trips:fare"], outputs: [{name: score, type: float64}], timeout: 1m}
`

// TestCrowdMakesOneCall: a thousand requests for one prediction that is missing,
// all of them waiting at the same time, cost one call of the model; and so do
// many keys of one request.
func TestCrowdMakesOneCall(t *testing.T) {
	const callers, keys = 1000, 64
	model := predicttest.New(predicttest.Sum("fraud", "1", "score"))
	s := newStack(t, "crowd")
	s.env = append(s.env, "MILLRACE_SERVE_CONCURRENCY=1200")
	s.write(strings.Replace(crowdDefinitions, "ENDPOINT", model.Listen(t), 1))
	s.up(1)
	for driver := range keys + 1 {
		s.produce(0, fmt.Sprint(driver), fmt.Sprintf(`{"driver_id": %d, "fare": %d.5}`, driver, driver))
	}
	s.waitValue(10*time.Second, keys, "driver_trips:fare", fmt.Sprintf("%d.5", keys))

	answer := make(chan struct{})
	release := sync.OnceFunc(func() { close(answer) })
	defer release() // before the model's server waits for its connections
	model.Behave(predicttest.Behaviour{Hang: answer})
	var done sync.WaitGroup
	for range callers {
		done.Go(func() {
			if got := s.askPatiently(keys); len(got) != 1 || got[0] != keys+0.5 {
				t.Errorf("the prediction is %v", got)
			}
		})
	}
	s.eventually(30*time.Second, "all of them wait for one call", func() error {
		m, err := s.metrics(&process{admin: s.admin})
		if joined := m[`millrace_prediction_calls_saved_total{model="fraud",way="coalesced"}`]; err == nil && joined != callers-1 {
			err = fmt.Errorf("%v have joined", joined)
		}
		return err
	})
	release()
	done.Wait()
	if calls := model.Calls(); len(calls) != 1 || calls[0].Rows != 1 {
		t.Fatalf("%d callers made %d calls: %v", callers, len(calls), calls)
	}

	drivers := make([]int, keys)
	for i := range drivers {
		drivers[i] = i
	}
	for i, v := range s.askPatiently(drivers...) {
		if v != float64(i)+0.5 {
			t.Errorf("the prediction of driver %d is %v", i, v)
		}
	}
	if calls := model.Calls(); len(calls) != 2 || calls[1].Rows != keys {
		t.Errorf("%d keys cost %d calls: %v", keys, len(calls)-1, calls)
	}
}

// askPatiently looks predictions up, from any goroutine, with time enough for a thousand callers on
// a busy machine.
func (s *stack) askPatiently(drivers ...int) []float64 {
	body := jsonText(map[string]any{"features": []string{"fraud:score"}, "entities": map[string]any{"driver_id": drivers}})
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.http+"/v1/lookup", strings.NewReader(body))
	if err != nil {
		s.t.Error(err)
		return nil
	}
	req.Header.Set("X-Request-Timeout", "50s")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Error(err)
		return nil
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	var a struct{ Rows []struct{ Values []*float64 } }
	if err := json.NewDecoder(resp.Body).Decode(&a); resp.StatusCode != http.StatusOK || err != nil || len(a.Rows) != len(drivers) {
		s.t.Errorf("answered %d with %d rows: %v", resp.StatusCode, len(a.Rows), err)
		return nil
	}
	values := make([]float64, len(drivers))
	for i := range a.Rows {
		if v := a.Rows[i].Values[0]; v != nil {
			values[i] = *v
		} else {
			s.t.Errorf("driver %d has no prediction", drivers[i])
		}
	}
	return values
}
