package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// sumDefinitions have a model of two rows, a window and a feature that is
// computed on demand of both rows: every kind of input whose change makes a
// prediction stale. The names are those of the tensors of deploy/local/mlserver.
const sumDefinitions = `
project: PROJECT
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources:
  - name: trips
    kafka: {topic: TOPIC, start: earliest}
    format: json
    fields:
      - {name: driver_id, type: int64}
      - {name: n, type: int64}
      - {name: fare, type: float64}
      - {name: city, type: string}
      - {name: at, type: timestamp, unit: us}
    event_time: at
  - name: profiles
    kafka: {topic: TOPIC_profiles, start: earliest}
    format: json
    fields:
      - {name: driver_id, type: int64}
      - {name: p, type: int64}
      - {name: vector, type: list<float32>, length: 3}
      - {name: at, type: timestamp, unit: us}
    event_time: at
views:
  - {name: driver_trips, entity: driver, source: trips, features: [{name: n}, {name: fare}, {name: city}]}
  - {name: driver_windows, entity: driver, source: trips, features: [{name: trips, agg: count, window: 24h}]}
  - {name: driver_profile, entity: driver, source: profiles, features: [{name: p}, {name: vector}]}
on_demand_views:
  - name: state
    entity: driver
    sources: [driver_trips, driver_profile]
    features: [{name: active, expr: (driver_trips.n + driver_profile.p) % 2 = 0}]
models:
  - name: sum
    version: "7"
    endpoint: MODEL
    entity: driver
    inputs: ["driver_trips:fare", "driver_windows:trips", "state:active", "driver_profile:vector", "driver_trips:city"]
    outputs: [{name: score, type: float64}, {name: label, type: string}]
    refresh: [on_read, on_write]
    debounce: 100ms
    timeout: 2s
`

var sumAsked = []string{"driver_trips:fare", "driver_windows:trips", "state:active", "driver_profile:vector", "driver_trips:city", "sum:score", "sum:label"}

// sumInputs are what the model takes; null is nil.
type sumInputs struct {
	fare   *float64
	trips  int64
	active *bool
	vector []float64
	city   *string
}

func readSum(values []json.RawMessage) (in sumInputs, err error) {
	for i, p := range []any{&in.fare, &in.trips, &in.active, &in.vector, &in.city} {
		err = errors.Join(err, json.Unmarshal(values[i], p))
	}
	return in, err
}

// outputs are the model's by its definition, in JSON. All numbers are binary
// fractions, so that their sum is exact in whatever order.
func (in *sumInputs) outputs() (score, label string, err error) {
	if in.fare == nil || in.active == nil || in.city == nil || len(in.vector) != 3 {
		return "", "", fmt.Errorf("of inputs %+v nothing can be computed", in)
	}
	sum := *in.fare + float64(in.trips) + in.vector[0] + in.vector[1] + in.vector[2]
	if *in.active {
		sum++
	}
	return jsonText(sum), jsonText(*in.city), nil
}

// sumEvents makes what happens to drivers, and knows what is to come of it.
type sumEvents struct {
	rng   *rand.Rand
	n, at int64
	want  map[int64]*sumWant
}

type sumWant struct{ n, p, trips, profiles int64 }

func (e *sumEvents) of(driver int64) *sumWant {
	if e.want[driver] == nil {
		e.want[driver] = new(sumWant)
	}
	return e.want[driver]
}

// trip and profile are records of a driver; every one is younger than all before
// it. Their numbers keep the sum between 13 and 1000, where the model of
// deploy/local/mlserver fails and is slow.
func (e *sumEvents) trip(s *stack, driver int64) *kgo.Record {
	w := e.of(driver)
	e.n, e.at = e.n+1, max(e.at+1, time.Now().UnixMicro())
	w.n, w.trips = e.n, w.trips+1
	text := fmt.Sprintf(`{"driver_id":%d,"n":%d,"fare":%v,"city":"c%d","at":%d}`, driver, w.n, sumFare(w.n), w.n, e.at)
	return &kgo.Record{Topic: s.topic, Partition: int32(driver % crashPartitions), Value: []byte(text)}
}

func (e *sumEvents) profile(s *stack, driver int64) *kgo.Record {
	w := e.of(driver)
	e.at = max(e.at+1, time.Now().UnixMicro())
	w.p, w.profiles = e.rng.Int64N(200), w.profiles+1
	text := fmt.Sprintf(`{"driver_id":%d,"p":%d,"vector":[%v,0.25,1.5],"at":%d}`, driver, w.p, float64(w.p)/2, e.at)
	return &kgo.Record{Topic: s.topic + "_profiles", Partition: int32(driver % crashPartitions), Value: []byte(text)}
}

func sumFare(n int64) float64 { return 32 + float64(n)/64 }

func (w *sumWant) outputs() (score, label string) {
	fare, active, city := sumFare(w.n), (w.n+w.p)%2 == 0, fmt.Sprint("c", w.n)
	in := sumInputs{&fare, w.trips, &active, []float64{float64(w.p) / 2, 0.25, 1.5}, &city}
	score, label, _ = in.outputs() // nothing is null
	return score, label
}

// produce sends events until the time is over. Every third driver has one of
// each kind from the start, and all have them in the end.
func (e *sumEvents) produce(s *stack, drivers int64, lasts time.Duration) {
	s.t.Helper()
	client, _ := s.kafka()
	var mu sync.Mutex
	var failed error
	send := func(r *kgo.Record) {
		client.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
		})
	}
	for driver := int64(0); driver < drivers; driver += 3 {
		send(e.trip(s, driver))
		send(e.profile(s, driver))
	}
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		driver := e.rng.Int64N(drivers)
		if e.rng.IntN(2) == 0 {
			driver %= predictionRead // some are hot
		}
		if e.rng.IntN(3) == 0 {
			send(e.profile(s, driver))
		} else {
			send(e.trip(s, driver))
		}
		time.Sleep(time.Duration(e.rng.IntN(6)) * time.Millisecond) // load spread over the chaos
	}
	for driver := range drivers {
		if w := e.of(driver); w.trips == 0 || w.profiles == 0 {
			send(e.trip(s, driver))
			send(e.profile(s, driver))
		}
	}
	if err := errors.Join(client.Flush(context.Background()), failed); err != nil {
		s.t.Fatal(err)
	}
}
