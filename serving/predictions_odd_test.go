package serving_test

import (
	"strings"
	"testing"

	"millrace/feature"
	"millrace/serving"
)

// A key that is too long is not null, and is said to be too long.
func TestExplainOfPredictionsOfKeysThatAreTooLong(t *testing.T) {
	p := load(t, mixed)
	w := newWorld(t, "")
	svc, err := serving.New(serving.Settings{
		Catalog: p.Catalog, Plans: p.Plans, OnDemand: p.OnDemand, Models: p.Models, Store: w.store, Tiles: w.store, Predictions: w.store,
		Predictors: map[string]serving.Predictor{"state": teller{}, "vals": teller{}, "cost": teller{}, "pair": teller{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer svc.Close()
	for name, want := range map[string]string{"state:text": "exceeds", "given:text": "exceeds"} {
		req := new(serving.Request)
		req.Reset(prepare(t, svc, name))
		req.Rows = 1
		req.Columns[0].Resize(1)
		req.Columns[0].SetString(0, strings.Repeat("x", feature.MaxKeyBytes+1))
		resp := new(serving.Response)
		e, fault := svc.Explain(t.Context(), req, resp)
		if fault != nil {
			t.Fatal(fault)
		}
		if why := e.Values[0].Why; !strings.Contains(why, want) || e.Values[0].Status != serving.StatusNotFound {
			t.Errorf("%s: %s %q", name, e.Values[0].Status, why)
		}
		resp.Release()
	}
}

// Requests without rows, and services of outputs alone, are answered.
func TestOddRequestsForPredictions(t *testing.T) {
	w := newWorld(t, "", `[trip, "fraud:score", "trip:risk"]`, `["trip:risk", {view: fraud, as: other, keys: {driver_id: other_id}}, cost]`)
	read, fault := w.svc.PrepareService("risk")
	if fault != nil {
		t.Fatal(fault)
	}
	for _, ids := range [][]int64{nil, {-1}, {-1, -1, -1}, make([]int64, 1000)} {
		req := drivers(read, ids...)
		for i := range req.Context {
			req.Context[i].Resize(len(ids))
		}
		resp := new(serving.Response)
		for range 2 { // the second has the first one's memory
			if err := w.svc.Lookup(t.Context(), req, resp); err != nil {
				t.Fatal(err)
			}
			for row, id := range ids {
				for i := range read.Outputs() {
					if v := resp.Value(i, row); (v.Status == serving.StatusNotFound) != (id < 0) {
						t.Errorf("%s of %d: %s", read.Names()[i], id, shownValue(v))
					}
				}
			}
		}
		resp.Release()
	}
}
