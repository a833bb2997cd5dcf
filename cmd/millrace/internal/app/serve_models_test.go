package app

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/cmd/millrace/internal/config"
	"millrace/internal/synctest"
	"millrace/internal/telemetry"
	"millrace/serving"
	"millrace/serving/predict/predicttest"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/transforms"
)

const servedModel = `project: rides
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources: [{name: trips, push: {}, fields: [{name: driver_id, type: int64}, {name: fare, type: float64}, {name: seats, type: int64}]}]
views: [{name: trip, entity: driver, source: trips, features: [{name: last_fare, expr: fare}, {name: seats}]}]
models:
  - {name: sum, version: "7", endpoint: "http://models:8080", entity: driver, inputs: ["trip:last_fare", "trip:seats"],
     outputs: [{name: score, type: float64, as: "trip:score"}], max_age: 1h, timeout: 10s}
`

// slowStore takes a while to store predictions; rows of views are there at once.
type slowStore struct {
	memory.Store

	takes time.Duration
}

func (s *slowStore) Write(ctx context.Context, rows []sinks.Row) error {
	if len(rows) > 0 && strings.HasPrefix(rows[0].View, "sum@") {
		time.Sleep(s.takes)
	}
	return s.Store.Write(ctx, rows) //nolint:wrapcheck // a test's
}

// api is the API over a memory store and a model server in memory.
type api struct {
	t       *testing.T
	server  *predicttest.Server
	handler *Server
	metrics *telemetry.Metrics
}

func newAPI(t *testing.T, store *slowStore) *api {
	t.Helper()
	p := applyModels(t, store, servedModel)
	c := config.Default()
	c.Serve.Concurrency = 2000
	a := &api{t: t, server: predicttest.New(predicttest.Sum("sum", "7", "score")), metrics: telemetry.NewMetrics("test")}
	log := slog.New(slog.DiscardHandler)
	models, err := newModels(p.Models, a.server.Memory(t), a.metrics, log)
	if err != nil {
		t.Fatal(err)
	}
	svc, err := newService(&c, p, store, models, a.metrics, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(svc.Close)
	writes, err := newPush(&c, p, store, nil, nil, a.metrics, log)
	if err != nil {
		t.Fatal(err)
	}
	a.handler = newServer(&c, svc, writes, a.metrics)
	return a
}

func (a *api) post(path, body string) string {
	a.t.Helper()
	rec := httptest.NewRecorder()
	a.handler.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
	if rec.Code != http.StatusOK {
		a.t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
	}
	return rec.Body.String()
}

func (a *api) push(row string) { a.post("/v1/push/trips", `{"rows": [`+row+`]}`) }

const askScore = `{"features": ["sum:score"], "entities": [{"driver_id": 1}], "include": ["origin"]}`

func (a *api) wants(want string) {
	a.t.Helper()
	if got := a.post("/v1/lookup", askScore); !strings.Contains(got, want) {
		a.t.Errorf("got %s, want %s", got, want)
	}
}

// TestPredictionsThroughTheAPI: the parts are connected. What is computed is
// stored, served until an input changes, and counted.
func TestPredictionsThroughTheAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t, new(slowStore))
		a.push(`{"driver_id": 1, "fare": 2.5, "seats": 3}`)
		a.wants(`"values":[5.5],"origin":["prediction_computed:missing"]`)
		a.wants(`"values":[5.5],"origin":["prediction_fresh:on_read"]`)
		time.Sleep(time.Minute)
		a.push(`{"driver_id": 1, "fare": 3.5, "seats": 3}`)
		a.wants(`"values":[6.5],"origin":["prediction_computed:row"]`)
		time.Sleep(time.Minute)
		a.push(`{"driver_id": 1, "fare": 3.5, "seats": null}`)
		a.wants(`"values":[null],"origin":["prediction_failed:input"]`)
		if n := len(a.server.Calls()); n != 2 {
			t.Errorf("%d calls", n)
		}
		for name, want := range map[string]float64{
			"millrace_prediction_reads_total missing sum prediction_computed": 1,
			"millrace_prediction_reads_total on_read sum prediction_fresh":    1,
			"millrace_prediction_reads_total input sum prediction_failed":     1,
			"millrace_prediction_inferences_total row sum":                    1,
			"millrace_prediction_calls_saved_total sum fresh":                 1,
			"millrace_prediction_writes_total written sum":                    2,
			"millrace_prediction_age_seconds sum":                             1,
		} {
			if got := counted(t, a.metrics)[name]; got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
	})
}

// TestAThousandReadsMakeOneCall: of one key, while the model computes, while the
// store is slow to take the prediction, and after.
func TestAThousandReadsMakeOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t, &slowStore{takes: 100 * time.Millisecond})
		a.push(`{"driver_id": 1, "fare": 2.5, "seats": 3}`)
		a.server.Behave(predicttest.Behaviour{Delay: 30 * time.Millisecond})
		var reads sync.WaitGroup
		for i := range 1000 {
			reads.Go(func() { a.wants(`"values":[5.5]`) })
			if i%5 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		reads.Wait()
		if n := len(a.server.Calls()); n != 1 {
			t.Errorf("%d calls", n)
		}
		got := counted(t, a.metrics)
		const saved = "millrace_prediction_calls_saved_total sum "
		coalesced, reused, fresh := got[saved+"coalesced"], got[saved+"reused"], got[saved+"fresh"]
		if coalesced == 0 || reused == 0 || fresh == 0 || coalesced+reused+fresh != 999 {
			t.Errorf("%v coalesced, %v reused, %v fresh", coalesced, reused, fresh)
		}
		if n := got["millrace_prediction_writes_total written sum"]; n != 1 {
			t.Errorf("%v predictions were stored", n)
		}
	})
}

// TestADeadModelStopsNoServer, and what it would answer is an error.
func TestADeadModelStopsNoServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t, new(slowStore))
		a.server.Kill()
		a.push(`{"driver_id": 1, "fare": 2.5, "seats": 3}`)
		a.wants(`"values":[null],"origin":["prediction_failed:unreachable"]`)
		a.server.Revive()
		time.Sleep(3 * time.Second)
		a.wants(`"values":[5.5],"origin":["prediction_computed:missing"]`)
	})
}

// TestARowThatCannotBeReadIsRefreshedAlone: what the codec says of it is known
// from a store that is away.
func TestARowThatCannotBeReadIsRefreshedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(slowStore)
		a := newAPI(t, store)
		a.push(`{"driver_id": 1, "fare": 2.5, "seats": 3}`)
		for _, bad := range []sinks.Row{
			{Entity: "driver", Key: "2", View: "trip@1", Stamp: 1, Value: []byte("no row")},
			{Entity: "driver", Key: "3", View: "trip@1", Stamp: 1, Value: make([]byte, 100)}, // of another format
		} {
			if err := store.Write(t.Context(), []sinks.Row{bad}); err != nil {
				t.Fatal(err)
			}
		}
		ends, err := a.handler.Service.Refresh(t.Context(), "sum", []string{"2", "1", "3"}, transforms.ByWrite, nil)
		want := []serving.RefreshEnd{serving.RefreshFailed, serving.RefreshStored, serving.RefreshFailed}
		if err != nil || !slices.Equal(ends, want) {
			t.Errorf("ends %v, %v", ends, err)
		}
	})
}
