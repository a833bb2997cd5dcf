package app

import (
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/internal/synctest"
	"millrace/internal/telemetry"
	"millrace/serving"
	"millrace/serving/predict"
	"millrace/serving/predict/predicttest"
	"millrace/transforms"
)

const modelDefinitions = `project: rides
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources:
  - name: trips
    kafka: {topic: trips}
    fields:
      - {name: driver_id, type: int64}
      - {name: fare, type: float64}
      - {name: km, type: float64}
      - {name: seats, type: int64}
      - {name: at, type: timestamp}
      - {name: vec, type: list<float32>, length: 4}
views:
  - name: driver_trips
    entity: driver
    source: trips
    features: [{name: last_fare, expr: fare}, {name: last_km, expr: km}, {name: seats}, {name: vec}, {name: at}]
models:
  - name: sum
    version: "7"
    endpoint: http://models:8080
    entity: driver
    inputs: ["driver_trips:last_fare", "driver_trips:seats"]
    outputs: [{name: score, type: float64}]
    timeout: 200ms
  - name: wide
    version: "1"
    endpoint: http://models:8080/inference
    entity: driver
    inputs: ["driver_trips:vec", "driver_trips:at", "driver_trips:seats"]
    outputs: [{name: score, type: float64, allow_nan: true}, {name: near, type: list<float32>, length: 3}]
    max_batch: 17
  - {name: stacked, version: "1", endpoint: "http://models:8080", tensors: stacked, tensor_name: x, entity: driver,
     inputs: ["driver_trips:last_fare", "driver_trips:last_km"], outputs: [{name: score, type: float64}]}
  - {name: whole, version: "1", endpoint: "http://models:8080", tensors: stacked, tensor_name: x, entity: driver,
     inputs: ["driver_trips:seats", "driver_trips:at"], outputs: [{name: score, type: float64}]}
  - {name: churn, entity: driver, outputs: [{name: risk, type: float64}]}
`

func modelPlans(t *testing.T) map[string]*transforms.ModelPlan {
	t.Helper()
	p, err := definition.Load([]definition.File{{Name: "a.yaml", Data: []byte(modelDefinitions)}})
	if err != nil {
		t.Fatal(err)
	}
	return p.Models
}

// TestClientsAskWhatPlansSay: tensors by name, datatype and shape are those that
// explain shows.
func TestClientsAskWhatPlansSay(t *testing.T) {
	for name, p := range modelPlans(t) {
		if p.Model.Endpoint == "" {
			continue
		}
		m := PredictModel(p)
		c, err := predict.New(m, predict.Settings{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		offered := &predict.Signature{Name: name, Versions: []string{p.Model.Version}, Inputs: tensors(p.Asks), Outputs: tensors(p.Gives)}
		if err := c.Fit(offered); err != nil {
			t.Error(err)
		}
		if m.MaxBatch != p.Model.MaxBatch || m.Timeout != p.Model.Timeout || m.Endpoint != p.Model.Endpoint {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func tensors(all []transforms.Tensor) []predict.Tensor {
	var out []predict.Tensor
	for _, x := range all {
		out = append(out, predict.Tensor{Name: x.Name, Datatype: string(x.Datatype), Shape: []int64{-1, int64(x.Dims[0])}})
	}
	return out
}

// world is clients of a server in memory. It is of one bubble.
type world struct {
	t       *testing.T
	server  *predicttest.Server
	models  *Models
	metrics *telemetry.Metrics
	logged  *strings.Builder
}

func newWorld(t *testing.T, prepare func(*predicttest.Server)) *world {
	t.Helper()
	sum, stacked := predicttest.Sum("sum", "7", "score"), predicttest.Sum("stacked", "1", "score")
	sum.Inputs = []predicttest.Declared{{Name: "last_fare", Datatype: "FP64", Shape: []int{-1}}, {Name: "seats", Datatype: "INT64", Shape: []int{-1, 1}}}
	w := &world{t: t, server: predicttest.New(sum, stacked), metrics: telemetry.NewMetrics("test"), logged: new(strings.Builder)}
	prepare(w.server)
	var err error
	w.models, err = newModels(modelPlans(t), w.server.Memory(t), w.metrics, slog.New(slog.NewTextHandler(w.logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.models.Close)
	return w
}

// ask asks a model for drivers whose inputs are given; nil is null.
func (w *world) ask(model string, inputs [2][]any) *serving.Inferred {
	w.t.Helper()
	q := &serving.Inference{Rows: len(inputs[0])}
	for i, x := range modelPlans(w.t)[model].Inputs {
		c := new(feature.Column)
		c.Reset(x.Type)
		c.Resize(q.Rows)
		for row, v := range inputs[i] {
			switch v := v.(type) {
			case float64:
				c.SetFloat(row, v)
			case int:
				c.SetInt(row, int64(v))
			}
		}
		q.Inputs = append(q.Inputs, c)
	}
	for row := range q.Rows {
		q.Keys = append(q.Keys, serving.InferenceKey{Entity: fmt.Sprint(row), Fingerprint: fmt.Sprint(inputs[0][row], inputs[1][row])})
	}
	dst := new(serving.Inferred)
	if err := w.models.Predictors()[model].Predict(w.t.Context(), q, dst); err != nil {
		w.t.Fatal(err)
	}
	return dst
}

// TestWhatIsNullOfInputs: floats are sent as NaN, what has none is not sent.
func TestWhatIsNullOfInputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(*predicttest.Server) {})
		got := w.ask("sum", [2][]any{{1.5, nil, 1.5}, {2, 2, nil}})
		if got.Faults[0].Reason != "" || got.Outputs[0].Floats[0] != 3.5 || got.Shared.Get(0) {
			t.Errorf("it is %+v", got)
		}
		calls := w.server.Calls()
		if len(calls) != 1 || calls[0].Rows != 2 || calls[0].Inputs["last_fare"].Data[1] != nil {
			t.Errorf("calls %+v", calls)
		}
		want := []serving.InferenceFault{{}, {Reason: "non_finite", Lasting: true}, {Reason: "input", Lasting: true}}
		if !reflect.DeepEqual(got.Faults, want) {
			t.Errorf("faults %+v, want %+v", got.Faults, want)
		}
		if again := w.ask("sum", [2][]any{{1.5}, {2}}); !again.Shared.Get(0) || len(w.server.Calls()) != 1 {
			t.Errorf("who asks again gets %+v", again)
		}
	})
}

func TestStackedInputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(*predicttest.Server) {})
		got := w.ask("stacked", [2][]any{{1.5, 3.0}, {2.5, 4.0}})
		if got.Outputs[0].Floats[0] != 4 || got.Outputs[0].Floats[1] != 7 {
			t.Errorf("it is %+v", got)
		}
		if x := w.server.Calls()[0].Inputs["x"]; !reflect.DeepEqual(x.Shape, []int{2, 2}) || x.Datatype != "FP64" {
			t.Errorf("tensor %+v", x)
		}
	})
}

// TestLastingFaults are of the row alone: of what somebody may mend at the
// server, none is.
func TestLastingFaults(t *testing.T) {
	type behaviour = predicttest.Behaviour
	for name, c := range map[string]struct {
		b    behaviour
		want serving.InferenceFault
	}{
		"bad request":    {behaviour{Status: 400}, serving.InferenceFault{Reason: "http"}},
		"not loaded":     {behaviour{Status: 404}, serving.InferenceFault{Reason: "http"}},
		"broken":         {behaviour{Status: 500}, serving.InferenceFault{Reason: "http"}},
		"busy":           {behaviour{Status: 503}, serving.InferenceFault{Reason: "unavailable"}},
		"slow":           {behaviour{Delay: time.Minute}, serving.InferenceFault{Reason: "timeout"}},
		"no JSON":        {behaviour{Text: "x"}, serving.InferenceFault{Reason: "malformed"}},
		"another server": {behaviour{Status: 307, Location: "http://elsewhere/"}, serving.InferenceFault{Reason: "redirect"}},
		"another model":  {behaviour{Change: func(a *predicttest.Answer) { a.ModelVersion = "8" }}, serving.InferenceFault{Reason: "model"}},
		"another type":   {behaviour{Change: func(a *predicttest.Answer) { a.Outputs[0].Datatype = "BYTES" }}, serving.InferenceFault{Reason: "type"}},
		"another shape":  {behaviour{Change: func(a *predicttest.Answer) { a.Outputs[0].Shape[1] = 2 }}, serving.InferenceFault{Reason: "shape"}},
		"more rows":      {behaviour{Change: func(a *predicttest.Answer) { a.Outputs[0].Shape[0] = 2 }}, serving.InferenceFault{Reason: "rows"}},
		"no number":      {behaviour{Change: func(a *predicttest.Answer) { a.Outputs[0].Data[0] = math.NaN() }}, serving.InferenceFault{Reason: "non_finite", Lasting: true}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(s *predicttest.Server) { s.Behave(c.b) })
				if got := w.ask("sum", [2][]any{{1.5}, {2}}); got.Faults[0] != c.want || !got.Outputs[0].IsNull(0) {
					t.Errorf("fault %+v, want %+v", got.Faults[0], c.want)
				}
			})
		})
	}
}

// sent says how the last call was made.
func (w *world) sent() string {
	calls := w.server.Calls()
	last := calls[len(calls)-1]
	return fmt.Sprint("binary ", last.Binary, ", flat ", len(last.Inputs["last_fare"].Shape) == 1)
}

// TestServersAreLearnedWhenTheyCome: a dead one stops nothing, and one that was
// away may have been exchanged.
func TestServersAreLearnedWhenTheyCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(s *predicttest.Server) {
			s.Binary = true
			s.Kill()
		})
		time.Sleep(10 * time.Second)
		w.server.Revive()
		w.ask("sum", [2][]any{{1.0}, {1}})
		if got := w.sent(); got != "binary false, flat false" {
			t.Errorf("before anything is known: %s", got)
		}
		time.Sleep(learnWaitMax)
		w.ask("sum", [2][]any{{2.0}, {1}})
		if got := w.sent(); got != "binary true, flat true" {
			t.Errorf("after it was learned: %s", got)
		}
		w.server.Kill()
		for i := range 5 {
			w.ask("sum", [2][]any{{3.0}, {i}})
		}
		if got := w.ask("sum", [2][]any{{3.0}, {6}}); got.Faults[0] != (serving.InferenceFault{Reason: "breaker_open"}) {
			t.Errorf("a dead server: %+v", got.Faults)
		}
		synctest.Wait()
		w.server.Binary = false // the next one that comes
		w.server.Revive()
		time.Sleep(6 * time.Second)
		w.ask("sum", [2][]any{{4.0}, {1}}) // closes the breaker
		time.Sleep(learnWaitMax)
		w.ask("sum", [2][]any{{5.0}, {1}})
		if got := w.sent(); got != "binary false, flat true" {
			t.Errorf("after it was learned again: %s", got)
		}
		w.models.Close()
		for _, want := range []string{
			`level=WARN msg="calls of the model failed, so none is made but now and then" model=sum reason=unreachable`,
			"the model answers again", "does not tell of itself",
		} {
			if !strings.Contains(w.logged.String(), want) {
				t.Errorf("want %q in\n%s", want, w.logged)
			}
		}
		w.models.Close()
	})
}

// TestAServerIsExchangedForOneThatSpeaksNoBinary while calls fail, or between two
// of them: that it refuses what the other one took does not last.
func TestAServerIsExchangedForOneThatSpeaksNoBinary(t *testing.T) {
	for name, c := range map[string]struct{ away, silent bool }{
		"it was away": {away: true}, "nobody noticed": {}, "it was away, the next one is silent": {true, true}, "the next one is silent": {silent: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(s *predicttest.Server) { s.Binary = true })
				synctest.Wait()
				if w.ask("sum", [2][]any{{1.0}, {1}}); w.sent() != "binary true, flat true" {
					t.Fatalf("at first: %s", w.sent())
				}
				if c.away {
					w.server.Kill()
					for i := range 5 {
						w.ask("sum", [2][]any{{3.0}, {i}})
					}
				}
				synctest.Wait()
				w.server.Binary, w.server.Silent = false, c.silent
				w.server.Revive()
				for range 3 {
					time.Sleep(learnWaitMax)
					w.ask("sum", [2][]any{{4.0}, {1}})
				}
				if got := w.ask("sum", [2][]any{{5.0}, {1}}); got.Faults[0].Reason != "" {
					t.Errorf("after three minutes it fails: %+v", got.Faults)
				}
			})
		})
	}
}

// TestAModelThatDoesNotFitIsLogged when its server tells.
func TestAModelThatDoesNotFitIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := predicttest.Sum("sum", "7", "score")
		m.Inputs = []predicttest.Declared{{Name: "fare", Datatype: "FP64", Shape: []int{-1, 1}}}
		var logged strings.Builder
		all, err := newModels(modelPlans(t), predicttest.New(m).Memory(t), telemetry.NewMetrics("test"), slog.New(slog.NewTextHandler(&logged, nil)))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		all.Close()
		if !strings.Contains(logged.String(), "the model has no input") {
			t.Errorf("logged\n%s", &logged)
		}
	})
}

// TestMetricsOfModels count what clients tell.
func TestMetricsOfModels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(*predicttest.Server) {})
		w.ask("sum", [2][]any{{1.0, 1.0}, {1, nil}})
		w.ask("sum", [2][]any{{1.0}, {1}})
		w.server.Behave(predicttest.Behaviour{Status: http.StatusBadRequest})
		w.ask("sum", [2][]any{{2.0}, {1}})
		w.ask("sum", [2][]any{{2.0}, {1}})
		got := counted(t, w.metrics)
		for name, want := range map[string]float64{
			"millrace_prediction_calls_total sum none":         1,
			"millrace_prediction_calls_total sum http":         1,
			"millrace_prediction_rows_total sum none":          2,
			"millrace_prediction_rows_total sum input":         1,
			"millrace_prediction_rows_total sum http":          2,
			"millrace_prediction_remembered_total sum":         1,
			"millrace_prediction_calls_saved_total sum reused": 1,
		} {
			if got[name] != want {
				t.Errorf("%s is %v, want %v", name, got[name], want)
			}
		}
	})
}

// counted is what metrics have counted, by name and label values in the order of
// their names.
func counted(t *testing.T, m *telemetry.Metrics) map[string]float64 {
	t.Helper()
	all, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range all {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return got
}
