package push

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/serving"
)

const definitions = `
project: p
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
sources:
  - name: trips
    kafka: {topic: trips}
    push: true
    format: json
    fields:
      - {name: driver_id, type: int64}
      - {name: fare, type: float64}
      - {name: km, type: int64}
      - {name: paid, type: bool}
      - {name: note, type: json}
      - {name: tags, type: list<int64>}
      - {name: at, type: timestamp, unit: ms}
    event_time: at
  - name: taken
    kafka: {topic: taken}
    push: true
    format: json
    fields: [{name: driver_id, type: int64}, {name: n, type: int64}]
  - name: profiles
    push: {}
    fields: [{name: driver_id, type: int64}, {name: rating, type: float64}]
  - name: lonely
    push: {}
    fields: [{name: driver_id, type: int64}]
  - name: clicks
    push: {topic: clicks}
    fields: [{name: driver_id, type: int64}, {name: n, type: int64}]
  - name: both
    push: {topic: both}
    fields: [{name: driver_id, type: int64}, {name: n, type: int64}]
  - name: spread
    kafka: {topic: spread}
    push: true
    format: json
    fields: [{name: driver_id, type: int64}, {name: n, type: int64}]
  - name: closed
    kafka: {topic: closed}
    format: json
    fields: [{name: driver_id, type: int64}]
views:
  - {name: fares, entity: driver, source: trips, features: [{name: amount, expr: fare * 2}, {name: n, expr: km}]}
  - {name: last, entity: driver, source: taken, features: [{name: m, expr: n + 1}]}
  - {name: profile, entity: driver, source: profiles, features: [{name: rating}]}
  - {name: counts, entity: driver, source: clicks, features: [{name: clicks, agg: count, window: 1h}, {name: newest, expr: n}]}
  - {name: rows, entity: driver, source: both, features: [{name: k, expr: n}]}
  - {name: tiles, entity: driver, source: both, features: [{name: c, agg: sum, of: n, window: 1h}]}
  - {name: moved, entity: driver, source: spread, rekey: true, features: [{name: c, agg: sum, of: n, window: 1h}, {name: n}]}
  - {name: stays, entity: driver, source: spread, features: [{name: k, expr: n}]}
  - {name: shut, entity: driver, source: closed, features: [{name: id, expr: driver_id}]}
models:
  - name: fraud
    version: "7"
    endpoint: http://models
    entity: driver
    inputs: ["fares:n"]
    outputs: [{name: score, type: float64, as: "fares:fraud_score"}, {name: why, type: string, as: "fares:fraud_why"}]
  - name: risk
    entity: driver
    outputs:
      - {name: level, type: float32, allow_nan: true, as: "fares:risk"}
      - {name: parts, type: list<float64>, length: 3, allow_nan: true, as: "fares:risk_parts"}
  - {name: split, entity: driver, outputs: [{name: a, type: int64, as: "fares:split_a"}, {name: b, type: int64, as: "shut:split_b"}]}
  - {name: live, version: "1", endpoint: "http://models", entity: driver, inputs: ["fares:n"], cache: none, outputs: [{name: y, type: int64, as: "fares:live"}]}
  - {name: strict, entity: driver, outputs: [{name: xs, type: list<float64>, length: 2, as: "shut:xs"}, {name: at_time, type: timestamp, as: "shut:seen"}]}
`

const base = 1_790_000_000_000

// world is the other side of both contracts, under the test's control.
type world struct {
	t   testing.TB
	svc *Service

	mu        sync.Mutex
	applied   []Row // all that Apply was given
	views     []string
	stored    int // calls of Store
	closed    int
	published []Row
	awaited   [][]Position
	told      []string // by Events

	kept   [][]string // rows of every WriteRows, as text
	refuse string     // Check and WriteRows refuse rows that hold this text

	failStore, failPublish, failApply error
	await                             func(ctx context.Context) error
	passed                            int
	letters                           []Refusal
	failPassed                        error
}

func newWorld(t testing.TB, change ...func(*Settings)) *world {
	t.Helper()
	p, err := definition.Load([]definition.File{{Name: "a.yaml", Data: []byte(definitions)}})
	if err != nil {
		t.Fatal(err)
	}
	p.Catalog.Version = 12
	w := &world{t: t, await: func(context.Context) error { return nil }}
	s := Settings{
		Catalog: p.Catalog, Plans: p.Plans, Models: p.Models, Predictions: w, NewDecoder: newTestDecoder,
		Applier: w, Topic: w, Clock: func() time.Time { return time.UnixMilli(base) },
		Events: Events{
			Rows: func(source string, e serving.PushEnds) {
				w.tellf("%s/%s %d %d %d", source, e.View, e.Stored, e.Filtered, e.Rejected)
			},
			Published: func(source string, n int) { w.tellf("published %s %d", source, n) },
			Failed:    func(err error) { w.tellf("failed %v", err) },
		},
	}
	for _, c := range change {
		c(&s)
	}
	if w.svc, err = New(s); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) tellf(format string, args ...any) {
	w.told = append(w.told, fmt.Sprintf(format, args...))
}

// Apply refuses rows that hold "bad" and filters those that hold "out"; the key
// of the others is "key" and their number.
func (w *world) Apply(_ context.Context, _, view string, rows []Row) (Applied, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failApply != nil {
		return nil, w.failApply
	}
	w.applied, w.views = append(w.applied, rows...), append(w.views, view)
	v := &Verdict{Views: []serving.PushEnds{{View: "v"}}}
	ends := &v.Views[0]
	for i, r := range rows {
		end, key := Stored, fmt.Sprintf("key%d", i)
		switch text := string(r.Value); {
		case strings.Contains(text, "bad"):
			end, key = Rejected, ""
			v.Faults = append(v.Faults, serving.RowFault{Row: i, View: "v", Reason: feature.ReasonWrongType, Message: "field fare: is bad"})
			ends.Rejected++
		case strings.Contains(text, "out"):
			end, key = Filtered, ""
			ends.Filtered++
		default:
			ends.Stored++
		}
		v.Ends, v.Keys = append(v.Ends, end), append(v.Keys, key)
	}
	return &fakeApplied{w, v}, nil
}

type fakeApplied struct {
	w *world
	v *Verdict
}

func (a *fakeApplied) Verdict() *Verdict { return a.v }

func (a *fakeApplied) Store(context.Context) error {
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	a.w.stored++
	return a.w.failStore
}

func (a *fakeApplied) Close() { a.w.closed++ }

var topicID = [16]byte{1, 2, 3}

func (w *world) Publish(_ context.Context, _ string, rows []Row) ([]Position, error) {
	if w.failPublish != nil {
		return nil, w.failPublish
	}
	w.published = append(w.published, rows...)
	at := make([]Position, len(rows))
	for i := range rows {
		at[i] = Position{TopicID: topicID, Partition: int32(i % 3), Offset: int64(100 + i), Millis: rows[i].Millis}
	}
	return at, nil
}

func (w *world) Await(ctx context.Context, _ string, at []Position) error {
	w.awaited = append(w.awaited, at)
	return w.await(ctx)
}

func (w *world) Passed(context.Context, string, []Position) (int, error) {
	return w.passed, w.failPassed
}

func (w *world) Letters(context.Context, string, []Position) ([]Refusal, error) {
	return w.letters, nil
}

// push pushes rows, each a JSON object.
func (w *world) push(req serving.PushRequest, rows ...string) (serving.PushAnswer, *serving.Error) {
	for _, r := range rows {
		req.Rows = append(req.Rows, []byte(r))
	}
	return w.svc.Push(context.Background(), &req)
}

// headers lists a row's, sorted.
func headers(r *Row) string {
	var all []string
	for _, h := range r.Headers {
		all = append(all, h.Key+"="+string(h.Value))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}
