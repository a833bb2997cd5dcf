package serving_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/feature"
	"millrace/internal/synctest"
	"millrace/serving"
	"millrace/serving/servingtest"
	"millrace/transforms"
)

const predicted = `
project: rides
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
  - {name: offer, join_keys: [{name: driver_id, type: int64}, {name: item_id, type: int64}]}
sources:
  - {name: trips, push: {}, fields: [{name: driver_id, type: int64}, {name: n, type: int64}]}
  - {name: offers, push: {}, fields: [{name: driver_id, type: int64}, {name: item_id, type: int64}, {name: price, type: float64}]}
  - {name: asked, request: {}, fields: [{name: km, type: float64}]}
views:
  - name: trip
    entity: driver
    source: trips
    features:
      - {name: last, expr: n}
      - {name: shown, expr: "n * 2", at: read, default: 7}
      - {name: fault, expr: "9223372036854775797 + n - 9223372036854775797", at: read}
      - {name: count, agg: count, windows: [1h], hop: 15m}
  - {name: offered, entity: offer, source: offers, features: [{name: price}]}
on_demand_views:
  - {name: double, entity: driver, sources: [trip], features: [{name: last4, expr: "trip.shown * 2", type: int64}]}
  - {name: far, entity: driver, sources: [trip, asked], features: [{name: per_km, expr: "trip.last / km", type: float64}]}
models:
  - name: fraud
    version: "7"
    endpoint: http://models:8080
    entity: driver
    inputs: ["trip:last", "trip:shown", "trip:count_1h", "double:last4"]
    outputs: [{name: score, type: float64, as: "trip:risk"}, {name: why, type: string}]
    max_age: 1h
    serve_stale_for: 10m
MORE
  - {name: cost, version: "1", endpoint: "http://models:8080", entity: driver, cache: none, inputs: ["far:per_km"], outputs: [{name: usd, type: float64}]}
  - {name: pair, version: "1", endpoint: "http://models:8080", entity: offer, inputs: ["offered:price", "trip:last"], outputs: [{name: p, type: float64}]}
  - {name: given, entity: driver, version: "2", max_age: 1h, outputs: [{name: p, type: float64}]}
services:
  - {name: risk, features: [trip, "fraud:score", "trip:risk"]}
`

// predictor answers the sum of numeric inputs, and text, and counts its calls.
type predictor struct {
	mu    sync.Mutex
	calls int
	rows  int
	keys  []serving.InferenceKey
	fault func(row int) serving.InferenceFault
	wait  func(ctx context.Context)
	add   float64
	gap   bool // the second output is left out
}

func (p *predictor) Predict(ctx context.Context, q *serving.Inference, dst *serving.Inferred) error {
	p.mu.Lock()
	p.calls++
	p.rows += q.Rows
	p.keys = append(p.keys, q.Keys...)
	wait, fault, add := p.wait, p.fault, p.add
	p.mu.Unlock()
	if wait != nil {
		wait(ctx)
	}
	dst.Outputs = make([]feature.Column, 2)
	dst.Outputs[0].Reset(feature.Of(feature.KindFloat64))
	dst.Outputs[1].Reset(feature.Of(feature.KindString))
	for i := range dst.Outputs {
		dst.Outputs[i].Resize(q.Rows)
	}
	dst.Faults, dst.Shared = make([]serving.InferenceFault, q.Rows), nil
	for row := range q.Rows {
		if fault != nil {
			if dst.Faults[row] = fault(row); dst.Faults[row].Reason != "" {
				continue
			}
		}
		if ctx.Err() != nil {
			dst.Faults[row].Reason = "timeout"
			continue
		}
		sum := add
		for _, c := range q.Inputs {
			switch {
			case c.IsNull(row):
			case c.Type.Layout() == feature.LayoutInt:
				sum += float64(c.Ints[row])
			default:
				sum += c.Floats[row]
			}
		}
		dst.Outputs[0].SetFloat(row, sum)
		if !p.gap {
			dst.Outputs[1].SetString(row, fmt.Sprint("sum of ", len(q.Inputs)))
		}
	}
	return nil
}

// world is a service with models over a store in memory.
type world struct {
	t     *testing.T
	store *servingtest.Store
	svc   *serving.Service
	model *predictor
	now   time.Time
	ends  map[string]int
	mu    sync.Mutex
}

func newWorld(t *testing.T, model string, swaps ...string) *world {
	t.Helper()
	w := &world{t: t, store: servingtest.NewStore(), model: new(predictor), now: noon, ends: make(map[string]int)}
	w.svc = w.service(model, 1, swaps...)
	t.Cleanup(w.svc.Close)
	return w
}

// service is another one over the same store and predictor. model is added to
// the definition of model fraud.
func (w *world) service(model string, version int64, swaps ...string) *serving.Service {
	w.t.Helper()
	if model == "" {
		model = "    refresh: [on_read]"
	}
	p := load(w.t, strings.NewReplacer(swaps...).Replace(strings.Replace(predicted, "MORE", model, 1)))
	p.Catalog.Version = version
	s := serving.Settings{
		Catalog: p.Catalog, Plans: p.Plans, OnDemand: p.OnDemand, Models: p.Models,
		Predictors: map[string]serving.Predictor{"fraud": w.model, "cost": w.model, "pair": w.model},
		Store:      w.store, Tiles: w.store, Predictions: w.store, Clock: func() time.Time { return w.now },
		Events: serving.Events{
			Values:    func(status serving.Status, n int) { w.count("values "+status.String(), n) },
			Kept:      func(model string, end serving.KeepEnd, n int) { w.count("kept "+end.String(), n) },
			Refreshed: func(model, by string, end serving.RefreshEnd, n int) { w.count("refreshed "+end.String(), n) },
			Failed:    func(err error) { w.count("failed", 1) },
		},
		Damaged: func(err error) bool { return strings.Contains(err.Error(), "a stored value") },
	}
	svc, err := serving.New(s)
	if err != nil {
		w.t.Fatal(err)
	}
	return svc
}

func (w *world) count(what string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends[what] += n
}

func (w *world) put(id, n int) {
	w.t.Helper()
	if err := w.store.Put("trip@1", fmt.Sprint(id), w.now, fmt.Sprintf(`{"last": %d, "n": %d}`, n, n)); err != nil {
		w.t.Fatal(err)
	}
}

// ask looks features up for driver 1 and shows values with status and origin.
func (w *world) ask(features ...string) string { return w.askOf(w.svc, features...) }

func (w *world) askOf(svc *serving.Service, features ...string) string {
	w.t.Helper()
	req := drivers(prepare(w.t, svc, features...), 1)
	resp := new(serving.Response)
	if err := svc.Lookup(w.t.Context(), req, resp); err != nil {
		return err.Error()
	}
	defer resp.Release()
	var all []string
	for i := range features {
		all = append(all, shownValue(resp.Value(i, 0)))
	}
	return strings.Join(all, " | ")
}

func shownValue(v serving.Value) string {
	text := "null"
	if v.Column != nil && !v.Column.IsNull(v.Row) {
		switch v.Column.Type.Layout() {
		case feature.LayoutFloat:
			text = fmt.Sprint(v.Column.Floats[v.Row])
		case feature.LayoutInt:
			text = fmt.Sprint(v.Column.Ints[v.Row])
		default:
			text = v.Column.Strings[v.Row]
		}
	}
	text += " " + v.Status.String()
	if v.Origin != serving.OriginNone {
		text += " " + v.Origin.String()
	}
	if v.Detail != "" {
		text += ":" + v.Detail
	}
	return text
}

// shownEnds is the names of ends.
func shownEnds(ends []serving.RefreshEnd) string {
	names := make([]string, len(ends))
	for i, e := range ends {
		names[i] = e.String()
	}
	return "[" + strings.Join(names, " ") + "]"
}

func (w *world) expect(want string, features ...string) {
	w.t.Helper()
	if got := w.ask(features...); got != want {
		w.t.Errorf("%s: %s\nwant %s", w.now.Format(time.TimeOnly), got, want)
	}
}

func (w *world) called(n int) {
	w.t.Helper()
	w.model.mu.Lock()
	defer w.model.mu.Unlock()
	if w.model.calls != n {
		w.t.Errorf("the model was called %d times, want %d", w.model.calls, n)
	}
	w.model.calls = 0
}

// A prediction is computed once, and served until an input, the version, or
// time makes it stale.
func TestPredictionsAreServedWhileTheirInputsStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		w.put(1, 3)
		w.expect("21 PRESENT prediction_computed:missing", "fraud:score") // 3 + 6 + 0 + 12
		synctest.Wait()
		w.called(1)
		w.expect("21 PRESENT prediction_fresh:on_read | sum of 4 PRESENT prediction_fresh:on_read | 21 PRESENT prediction_fresh:on_read | 3 PRESENT stored",
			"fraud:score", "fraud:why", "trip:risk", "trip:last")
		w.called(0)

		w.now = w.now.Add(time.Minute)
		w.put(1, 3) // the same values, of another event
		w.expect("21 PRESENT prediction_stale:row", "fraud:score")
		synctest.Wait()
		w.called(1)
		w.expect("21 PRESENT prediction_fresh:on_read", "fraud:score")

		w.put(1, 4)
		w.now = w.now.Add(11 * time.Minute) // not to be served any more
		w.expect("28 PRESENT prediction_computed:row", "fraud:score")
		synctest.Wait()
		w.now = w.now.Add(time.Hour)
		w.expect("28 PRESENT prediction_fresh:on_read", "fraud:score")
		w.now = w.now.Add(time.Second)
		w.expect("28 PRESENT prediction_stale:age", "fraud:score")
		synctest.Wait()
		w.called(3 - 1)
	})
}

// A window that slides changes nothing before max_age; an event does.
func TestSlidingWindowsCallNoModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		p := load(t, strings.Replace(predicted, "MORE", "", 1)).Plans["trip"]
		w.put(1, 3)
		count(t, w.store, p, 0, 50*time.Minute, `{"driver_id": 1, "n": 3}`)
		w.expect("22 PRESENT prediction_computed:missing | 1 PRESENT computed", "fraud:score", "trip:count_1h")
		synctest.Wait()
		w.called(1)
		w.now = w.now.Add(40 * time.Minute) // the tile slides out
		w.expect("22 PRESENT prediction_fresh:on_read | 0 PRESENT computed", "fraud:score", "trip:count_1h")
		w.called(0)
		count(t, w.store, p, 0, -39*time.Minute, `{"driver_id": 1, "n": 3}`)
		w.expect("22 PRESENT prediction_computed:events", "fraud:score")
		synctest.Wait()
		w.called(1)
	})
}

// What changes of how inputs are read makes predictions stale, too.
func TestOtherDefinitionsMakePredictionsStale(t *testing.T) {
	for name, c := range map[string]struct{ from, to, want string }{
		"a default":            {"default: 7", "default: 8", "21 PRESENT prediction_computed:read"},
		"an expression":        {`"n * 2"`, `"n * 3"`, "30 PRESENT prediction_computed:read"},
		"on demand":            {"trip.shown * 2", "trip.shown * 4", "33 PRESENT prediction_computed:read"},
		"a version":            {`version: "7"`, `version: "8"`, "21 PRESENT prediction_computed:version"},
		"order":                {`"trip:last", "trip:shown"`, `"trip:shown", "trip:last"`, "21 PRESENT prediction_computed:model"},
		"another view":         {`, "double:last4"`, ``, "9 PRESENT prediction_computed:model"},
		"nothing that matters": {"serve_stale_for: 10m", "serve_stale_for: 1s", "21 PRESENT prediction_fresh:on_read"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "")
				w.put(1, 3)
				w.ask("fraud:score")
				synctest.Wait()
				w.now = w.now.Add(11 * time.Minute)
				svc := w.service("", 2, c.from, c.to)
				defer svc.Close()
				if got := w.askOf(svc, "fraud:score"); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
			})
		})
	}
}

// Two processes with different catalogs come to rest: the newer one's
// prediction stays, and the older one stores none.
func TestTheNewerCatalogsPredictionStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		newer := w.service("", 2, `version: "7"`, `version: "8"`)
		defer newer.Close()
		w.put(1, 3)
		w.expect("21 PRESENT prediction_computed:missing", "fraud:score")
		synctest.Wait()
		w.now = w.now.Add(11 * time.Minute)
		for range 3 {
			w.askOf(newer, "fraud:score")
			synctest.Wait()
			w.now = w.now.Add(11 * time.Minute)
			w.expect("21 PRESENT prediction_computed:version", "fraud:score")
			synctest.Wait()
		}
		w.called(1 + 1 + 3)
		if got := w.askOf(newer, "fraud:score"); got != "21 PRESENT prediction_fresh:on_read" {
			t.Error(got)
		}
		if w.ends["kept written"] != 2 || w.ends["kept newer"] != 3 {
			t.Errorf("ends %v", w.ends)
		}
	})
}

// A read that began before the stored prediction's inputs were read, and whose
// own may be older, answers what it computes and stores nothing.
func TestReadsDoNotStoreOverLaterOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "", "    serve_stale_for: 10m\n", "")
		w.put(1, 3)
		w.ask("fraud:score")
		synctest.Wait()
		w.now = w.now.Add(-time.Second)
		w.put(1, 4)
		w.expect("28 PRESENT prediction_computed:row", "fraud:score")
		synctest.Wait()
		if w.ends["kept written"] != 1 || w.ends["kept lost"] != 1 {
			t.Errorf("ends %v", w.ends)
		}
		w.now = w.now.Add(time.Second)
		w.expect("28 PRESENT prediction_computed:row", "fraud:score")
		synctest.Wait()
		w.expect("28 PRESENT prediction_fresh:on_read", "fraud:score")
	})
}

// What cannot be computed is answered as the model says.
func TestWhatIsServedWhenModelsFail(t *testing.T) {
	const stale = 2 * time.Hour
	for name, c := range map[string]struct{ model, never, before string }{
		"null":       {"    on_error: null", "null ERROR prediction_failed:shape", "null ERROR prediction_failed:shape"},
		"last value": {"    on_error: last_value", "null ERROR prediction_failed:shape", "21 PRESENT prediction_last_value:shape"},
		"error":      {"    on_error: error", "prediction_failed: model fraud has computed no prediction: shape", "prediction_failed: model fraud has computed no prediction: shape"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, c.model)
				fails := func(int) serving.InferenceFault { return serving.InferenceFault{Reason: "shape"} }
				w.put(1, 3)
				w.model.fault = fails
				w.expect(c.never, "fraud:score")
				w.model.fault = nil
				w.ask("fraud:score")
				synctest.Wait()
				w.now = w.now.Add(stale)
				w.model.fault = fails
				w.expect(c.before, "fraud:score")
				synctest.Wait()
				w.model.fault = nil
				w.expect("21 PRESENT prediction_computed:age", "fraud:score") // nothing wrong was stored
			})
		})
	}
}

// A predictor that leaves an output out says nothing that could be stored.
func TestGapsAreFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		w.put(1, 3)
		w.model.gap = true
		w.expect("null ERROR prediction_failed:malformed", "fraud:score")
		w.model.gap = false
		w.expect("21 PRESENT prediction_computed:missing", "fraud:score")
	})
}

// A model that does not answer costs its own values, within the deadline.
func TestSlowModelsAreAnsweredForInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		w.put(1, 3)
		w.model.wait = func(ctx context.Context) { <-ctx.Done() }
		begin := time.Now()
		w.expect("null ERROR prediction_failed:timeout | 3 PRESENT stored", "fraud:score", "trip:last")
		if took := time.Since(begin); took > time.Second || took < 900*time.Millisecond {
			t.Errorf("it took %s of the second that it had", took)
		}
	})
}

// Lookups that wait for a model leave an eighth of the slots to those that need
// none: beyond that, what they lack is a fault at once.
func TestSlowModelsKeepNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		w.put(1, 3)
		free := make(chan struct{})
		w.model.wait = func(context.Context) { <-free }
		var waiting sync.WaitGroup
		for range 448 { // of 512
			waiting.Go(func() { w.ask("fraud:score") })
		}
		synctest.Wait()
		w.expect("null ERROR prediction_failed:overloaded | 3 PRESENT stored", "fraud:score", "trip:last")
		w.expect("3 PRESENT stored", "trip:last")
		close(free)
		waiting.Wait()
		w.expect("21 PRESENT prediction_fresh:on_read", "fraud:score")
	})
}

// An input that could not be computed is no input: nothing is inferred of it.
func TestFailedInputsAreNotInferred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "", `"trip:shown", "trip:count_1h"`, `"trip:fault", "trip:count_1h"`)
		w.put(1, 13)
		w.expect("null ERROR prediction_failed:input", "fraud:score")
		w.called(0)
		w.put(1, 3)
		w.expect("18 PRESENT prediction_computed:missing", "fraud:score") // 3 + 3 + 0 + 12
	})
}

// Without a cache a prediction is of each row's own request data.
func TestUncachedPredictionsAreOfRows(t *testing.T) {
	w := newWorld(t, "")
	w.put(1, 6)
	req := drivers(prepare(t, w.svc, "cost:usd"), 1, 1, -1)
	req.Context[0].Resize(3)
	req.Context[0].SetFloat(0, 2)
	req.Context[0].SetFloat(1, 3)
	req.Context[0].SetFloat(2, 3)
	resp := lookup(t, w.svc, req)
	defer resp.Release()
	for row, want := range []string{"3 PRESENT prediction_computed:uncached", "2 PRESENT prediction_computed:uncached", "null NOT_FOUND"} {
		if got := shownValue(resp.Value(0, row)); got != want {
			t.Errorf("row %d: %s, want %s", row, got, want)
		}
	}
	w.called(1)
	if w.model.keys != nil || w.ends["kept written"] != 0 {
		t.Errorf("keys %v, ends %v", w.model.keys, w.ends)
	}
}

// Inputs of part of the keys are read under these, and their change is seen.
func TestInputsOfOtherEntities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		w.put(1, 6)
		if err := w.store.Put("offered@1", "1|2", w.now, `{"price": 0.5}`); err != nil {
			t.Fatal(err)
		}
		ask := func(want string) {
			t.Helper()
			req := drivers(prepare(t, w.svc, "pair:p"), 1)
			for i, c := range req.Read().Columns() {
				if c.Name == "item_id" {
					req.Columns[i].SetInt(0, 2)
				}
			}
			resp := lookup(t, w.svc, req)
			defer resp.Release()
			if got := shownValue(resp.Value(0, 0)); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			synctest.Wait()
		}
		ask("6.5 PRESENT prediction_computed:missing")
		ask("6.5 PRESENT prediction_fresh:on_read")
		w.put(1, 7)
		ask("7.5 PRESENT prediction_computed:row")
	})
}

// Predictions that are not computed at reads are served while they are fresh.
func TestReadsThatDoNotCompute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "    refresh: [on_write]")
		w.put(1, 3)
		w.expect("null NOT_FOUND", "fraud:score")
		ends, err := w.svc.Refresh(t.Context(), "fraud", []string{"1", "1", "x", "2"}, transforms.ByWrite, nil)
		if err != nil || shownEnds(ends) != "[stored stored refused stored]" {
			t.Errorf("%v, %v", ends, err)
		}
		w.called(1)
		w.expect("21 PRESENT prediction_fresh:on_write", "fraud:score")
		w.put(1, 4)
		w.expect("21 PRESENT prediction_stale:row", "fraud:score")
		w.now = w.now.Add(11 * time.Minute)
		w.expect("null OUTSIDE_MAX_AGE", "fraud:score")
		w.called(0)
		if ends, err = w.svc.Refresh(t.Context(), "fraud", []string{"1"}, transforms.ByWrite, ends); err != nil || shownEnds(ends) != "[stored]" {
			t.Errorf("%v, %v", ends, err)
		}
		if ends, err = w.svc.Refresh(t.Context(), "fraud", []string{"1"}, transforms.ByWrite, ends); err != nil || shownEnds(ends) != "[fresh]" {
			t.Errorf("%v, %v", ends, err)
		}
		w.called(1)
		w.expect("28 PRESENT prediction_fresh:on_write", "fraud:score")
	})
}

// What clients wrote is served as theirs until it is too old, and a refresh on
// write takes its place.
func TestPredictionsOfClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		write := func(model string) {
			p := load(t, strings.Replace(predicted, "MORE", "", 1)).Models[model]
			rows := new(feature.Rows)
			p.ResetRows(rows)
			out := make([]feature.Column, 2)
			out[0].Reset(feature.Of(feature.KindFloat64))
			out[1].Reset(feature.Of(feature.KindString))
			out[0].Resize(1)
			out[1].Resize(1)
			out[0].SetFloat(0, 0.25)
			keys := make([]feature.Column, 1)
			keys[0].Reset(feature.Of(feature.KindInt64))
			keys[0].Resize(1)
			keys[0].SetInt(0, 1)
			p.AppendRow(rows, keys, 0, out, 0, &transforms.StoredPrediction{AtMicros: w.now.UnixMicro(), Stamp: w.now.UnixMicro(), Version: p.Model.Version, By: transforms.ByClient})
			if err := w.store.WriteRows(t.Context(), rows); err != nil {
				t.Fatal(err)
			}
		}
		w.expect("null NOT_FOUND", "given:p")
		write("given")
		write("fraud")
		clear(w.ends)
		w.expect("0.25 PRESENT client | 0.25 PRESENT client | null NULL_VALUE client", "given:p", "fraud:score", "fraud:why")
		if w.ends["values PRESENT"] != 2 || w.ends["values NULL_VALUE"] != 1 {
			t.Errorf("counted %v", w.ends)
		}
		w.put(1, 3)
		w.now = w.now.Add(time.Minute)
		w.expect("0.25 PRESENT client", "fraud:score")
		w.called(0)
		if ends, err := w.svc.Refresh(t.Context(), "fraud", []string{"1"}, transforms.ByWrite, nil); err != nil || shownEnds(ends) != "[stored]" {
			t.Errorf("%v, %v", ends, err)
		}
		w.expect("21 PRESENT prediction_fresh:on_write", "fraud:score")
		w.now = w.now.Add(time.Hour)
		w.expect("null OUTSIDE_MAX_AGE", "given:p")
	})
}

// A caller's limit of age computes anew what is older; what has no place in the
// model's prediction is not made of it.
func TestCallersLimitOfAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		w.put(1, 3)
		w.ask("fraud:score")
		synctest.Wait()
		w.now = w.now.Add(5 * time.Minute)
		for age, want := range map[time.Duration]string{
			time.Minute: "21 PRESENT prediction_computed:age", 10 * time.Minute: "21 PRESENT prediction_fresh:on_read",
		} {
			req := drivers(prepare(t, w.svc, "fraud:score", "trip:last"), 1)
			if err := req.SetMaxAge("fraud", age); err != nil {
				t.Fatal(err)
			}
			if err := req.SetMaxAge("trip", time.Second); err != nil { // of the feature alone
				t.Fatal(err)
			}
			resp := lookup(t, w.svc, req)
			if got := shownValue(resp.Value(0, 0)) + " | " + shownValue(resp.Value(1, 0)); got != want+" | null OUTSIDE_MAX_AGE" {
				t.Errorf("%s: %s", age, got)
			}
			resp.Release()
			synctest.Wait()
		}
	})
}

// Sixty-four entities of which none has a prediction cost one call.
func TestMissingPredictionsAreOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		var ids []int64
		for i := range 64 {
			w.put(i+1, i)
			ids = append(ids, int64(i+1), int64(i+1))
		}
		resp := lookup(t, w.svc, drivers(prepare(t, w.svc, "fraud:score"), ids...))
		defer resp.Release()
		for row := range ids {
			if v := resp.Value(0, row); v.Column.Floats[v.Row] != float64(7*(row/2)) {
				t.Errorf("row %d: %s", row, shownValue(v))
			}
		}
		synctest.Wait()
		w.called(1)
		if w.model.rows != 64 || w.ends["kept written"] != 64 || w.ends["refreshed stored"] != 64 {
			t.Errorf("%d rows, ends %v", w.model.rows, w.ends)
		}
	})
}

// A store that cannot be written to costs a call at every read, and no answer.
func TestPredictionsThatCannotBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		w.put(1, 3)
		w.store.FailWrites(func(context.Context) error { return context.DeadlineExceeded })
		w.expect("21 PRESENT prediction_computed:missing", "fraud:score")
		w.expect("21 PRESENT prediction_computed:missing", "fraud:score")
		w.called(2)
		w.store.FailWrites(func(ctx context.Context) error { time.Sleep(3 * time.Second); return nil })
		begin := time.Now()
		w.expect("21 PRESENT prediction_computed:missing", "fraud:score")
		if took := time.Since(begin); took > time.Second {
			t.Errorf("a slow store held the answer back for %s", took)
		}
		w.mu.Lock() // the slow store has yet to answer
		defer w.mu.Unlock()
		if w.ends["kept failed"] != 2 {
			t.Errorf("ends %v", w.ends)
		}
	})
}

// Inputs that change at every look are left to whoever tells of the change.
func TestRefreshOfMovingInputsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		w.put(1, 1)
		n := 1
		w.model.wait = func(context.Context) {
			n++
			w.now = w.now.Add(time.Millisecond)
			w.put(1, n)
		}
		ends, err := w.svc.Refresh(t.Context(), "fraud", []string{"1"}, transforms.ByWrite, nil)
		if err != nil || shownEnds(ends) != "[moving]" {
			t.Errorf("%v, %v", ends, err)
		}
		w.called(3)
	})
}

func TestExplainOfPredictions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		w.put(1, 3)
		explain := func() *serving.ExplainedValue {
			t.Helper()
			resp := new(serving.Response)
			t.Cleanup(resp.Release)
			e, err := w.svc.Explain(t.Context(), drivers(prepare(t, w.svc, "fraud:score"), 1), resp)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return &e.Values[0]
		}
		v := explain()
		if v.Why != "" || len(v.Inputs) != 4 || v.Inputs[3].Name != "double:last4" || v.Inputs[3].Column.Ints[0] != 12 || v.Prediction.Found {
			t.Errorf("missing: %+v, %+v", v, v.Prediction)
		}
		w.put(1, 4)
		w.now = w.now.Add(time.Minute)
		v = explain()
		want := serving.ExplainedPrediction{Model: "fraud", Version: "7", Found: true, StoredVersion: "7", By: "on_read", Catalog: 1, Stale: "row", Changed: "trip"}
		if *v.Prediction != want || v.Why != "the stored prediction is stale: the row of trip has changed; another is computed meanwhile" {
			t.Errorf("stale: %q, %+v", v.Why, v.Prediction)
		}
	})
}
