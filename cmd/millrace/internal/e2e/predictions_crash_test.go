package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/sinks/changelog"
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

// TestPredictionsCrash kills processes of every kind while inputs of a model
// change and are read: what is served as fresh or as just computed is the
// model's answer to the inputs beside it, always. At rest the stored
// predictions of all drivers are, without a read that would repair them: of
// most drivers there never was one, so that no change may be lost.
func TestPredictionsCrash(t *testing.T) {
	for i := range crashSeeds(inCI.predictionSeeds) {
		seed := uint64(i + 301)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { predictionsCrashRun(t, seed) })
	}
}

func predictionsCrashRun(t *testing.T, seed uint64) {
	s := newStack(t, fmt.Sprintf("predcrash%d", seed))
	s.suffixes = []string{"", "_profiles"}
	s.write(strings.ReplaceAll(sumDefinitions, "MODEL", sumModel(t)))
	apis := s.upPredicting()
	stop := make(chan struct{})
	var ended sync.WaitGroup
	var readers []*sumReader
	for i := range 4 {
		r := &sumReader{apis: apis, rng: rand.New(rand.NewPCG(seed, uint64(10+i))), drivers: predictionRead, origins: make(map[string]int)}
		readers = append(readers, r)
		ended.Go(func() { r.run(stop) })
	}
	var killed map[string]int
	chaosOver := make(chan struct{})
	ended.Go(func() { killed = s.killAny(rand.New(rand.NewPCG(seed, 2)), chaosOver) })
	events := &sumEvents{rng: rand.New(rand.NewPCG(seed, 1)), want: make(map[int64]*sumWant)}
	events.produce(s, predictionDrivers, predictionChaos)
	close(chaosOver)
	close(stop)
	ended.Wait()
	s.waitPredicted(60 * time.Second)
	s.checkPredicted(apis, events)
	origins, checked := make(map[string]int), 0
	for _, r := range readers {
		for o, n := range r.origins {
			origins[o] += n
			if now(o) {
				checked += n
			}
		}
		for _, problem := range r.problems {
			t.Error(problem)
		}
	}
	t.Logf("%d trips of %d drivers; killed %v; checked %d of what was served: %v", events.n, predictionDrivers, killed, checked, origins)
	if checked < 1000 || len(killed) == 0 {
		t.Errorf("%d predictions were checked, and %v killed: that proves nothing", checked, killed)
	}
}

// killAny kills processes of any kind, and starts others in their place, until
// over. It returns how many it killed of each.
func (s *stack) killAny(rng *rand.Rand, over <-chan struct{}) map[string]int {
	killed := make(map[string]int)
	for {
		select {
		case <-over:
			return killed
		case <-time.After(time.Duration(predictionPause.Milliseconds()/2+rng.Int64N(predictionPause.Milliseconds())) * time.Millisecond):
		}
		s.mu.Lock()
		var running []*process
		for _, p := range s.procs {
			if p.running() {
				running = append(running, p)
			}
		}
		s.mu.Unlock()
		victim := running[rng.IntN(len(running))]
		victim.stop(syscall.SIGKILL)
		killed[victim.cmd.Args[1]]++
		s.startWith(victim.cmd.Env, victim.admin, victim.cmd.Args[1:]...)
	}
}

// sumReader reads drivers all along.
type sumReader struct {
	apis     []string
	rng      *rand.Rand
	drivers  int64
	origins  map[string]int // of scores
	problems []string
}

func (r *sumReader) run(stop <-chan struct{}) {
	client := &http.Client{Timeout: 5 * time.Second}
	for {
		select {
		case <-stop:
			return
		default:
		}
		if !r.read(client) {
			time.Sleep(50 * time.Millisecond) // the server is being started: there is no event to wait for
		}
	}
}

// read reports whether it was answered.
func (r *sumReader) read(client *http.Client) bool {
	var rows []map[string]int64
	for range 1 + r.rng.IntN(20) {
		rows = append(rows, map[string]int64{"driver_id": r.rng.Int64N(r.drivers)})
	}
	body := jsonText(map[string]any{"features": sumAsked, "entities": rows, "include": []string{"origin"}})
	resp, err := client.Post("http://"+r.apis[r.rng.IntN(len(r.apis))]+"/v1/lookup", jsonBody, strings.NewReader(body))
	if err != nil {
		return false
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		r.origins[fmt.Sprint("status ", resp.StatusCode)]++
		return false
	}
	var a struct {
		Rows []struct {
			Entity map[string]int64
			Values []json.RawMessage
			Origin []*string
		}
	}
	if err := json.Unmarshal(text, &a); err != nil {
		r.problem("%s: %v", text, err)
		return true
	}
	for _, row := range a.Rows {
		if problem := r.check(row.Values, row.Origin); problem != nil {
			r.problem("driver %d: %v: %s", row.Entity["driver_id"], problem, jsonText(row))
		}
	}
	return true
}

func (r *sumReader) problem(format string, args ...any) {
	if len(r.problems) < 5 {
		r.problems = append(r.problems, fmt.Sprintf(format, args...))
	}
}

// check compares what is said to be of these inputs with what the model makes
// of them.
func (r *sumReader) check(values []json.RawMessage, origins []*string) error {
	if origins[5] == nil {
		r.origins["none"]++
		return errors.New("no prediction, and no reason")
	}
	r.origins[*origins[5]]++
	if !now(*origins[5]) {
		return nil
	}
	in, err := readSum(values)
	if err != nil {
		return err
	}
	score, label, err := in.outputs()
	if err == nil && (string(values[5]) != score || string(values[6]) != label) {
		err = fmt.Errorf("the model makes %s and %s of these inputs", score, label)
	}
	return err
}

// now reports whether an origin says that the prediction is of the inputs as
// they are now.
func now(origin string) bool {
	return strings.HasPrefix(origin, "prediction_fresh:") || strings.HasPrefix(origin, "prediction_computed:")
}

// waitPredicted waits until every event and every change has had its end.
func (s *stack) waitPredicted(limit time.Duration) {
	s.t.Helper()
	s.waitCaughtUp(limit)
	s.eventually(limit, "predictions refreshed", func() error {
		lag, err := s.lagOf(s.group()+".refresh.sum", changelog.Topic(s.project))
		if err == nil && lag != 0 {
			err = fmt.Errorf("lag is %d", lag)
		}
		return err
	})
}

// checkPredicted explains every driver's prediction once: an explanation tells
// how the stored one was found, before a read computes another.
func (s *stack) checkPredicted(apis []string, events *sumEvents) {
	s.t.Helper()
	wrong, by := 0, make(map[string]int)
	for i, driver := range slices.Sorted(maps.Keys(events.want)) {
		body := jsonText(map[string]any{"features": []string{"sum:score", "sum:label"}, "entities": []any{map[string]any{"driver_id": driver}}})
		resp, err := http.Post("http://"+apis[i%len(apis)]+"/v1/explain", jsonBody, bytes.NewReader([]byte(body)))
		if err != nil {
			s.t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		var e struct {
			Values []struct {
				Value  json.RawMessage
				Origin string
				Model  struct{ Stale, By string }
			}
		}
		if err == nil {
			err = json.Unmarshal(text, &e)
		}
		if err != nil || len(e.Values) != 2 {
			s.t.Fatalf("explain driver %d: %d %s %v", driver, resp.StatusCode, text, err)
		}
		score, label := events.want[driver].outputs()
		v := e.Values[0]
		by[v.Origin]++
		if !strings.HasPrefix(v.Origin, "prediction_fresh:") || v.Model.Stale != "" || string(v.Value) != score || string(e.Values[1].Value) != label {
			if wrong++; wrong <= 3 {
				s.t.Errorf("at rest driver %d has %s %s, want %s %s: %s", driver, v.Value, e.Values[1].Value, score, label, text)
			}
		}
	}
	s.t.Logf("at rest %v", by)
	if wrong > 0 {
		s.t.Errorf("at rest %d of %d predictions are wrong", wrong, len(events.want))
	}
}
