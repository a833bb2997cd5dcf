package app

import (
	"log/slog"
	"testing"
	"time"

	"millrace/cmd/millrace/internal/config"
	"millrace/feature"
	"millrace/feature/definition"
	"millrace/feature/history"
	"millrace/internal/telemetry"
	"millrace/serving"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sinks/rowcodec"
	"millrace/transforms"
)

const predictionDefinitions = `
project: p
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources: [{name: trips, kafka: {topic: trips}, format: json, fields: [{name: driver_id, type: int64}, {name: fare, type: float64}]}]
views: [{name: trip, entity: driver, source: trips, features: [{name: fare}]}]
models:
  - {name: fraud, version: "7", endpoint: "http://models", entity: driver, inputs: ["trip:fare"], outputs: [{name: score, type: float64, as: "trip:fraud_score"}]}
`

// TestPredictionsAreWritten: the parts are connected, and what is written is of
// the applied catalog, in the table that it gave numbers to.
func TestPredictionsAreWritten(t *testing.T) {
	p, err := definition.Load([]definition.File{{Name: "p.yaml", Data: []byte(predictionDefinitions)}})
	if err != nil {
		t.Fatal(err)
	}
	store := new(memory.Store)
	if _, _, err := history.Apply(t.Context(), store, sinks.NewSchemas(store), p, "test", time.Now()); err != nil {
		t.Fatal(err)
	}
	if p, err = LoadApplied(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	writes, err := newPush(&c, p, store, nil, nil, telemetry.NewMetrics("push"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now().UnixMicro()
	row := []byte(`{"driver_id": 7, "fraud_score": 0.5}`)
	if got, err := writes.Push(t.Context(), &serving.PushRequest{View: "trip", Rows: [][]byte{row}}); err != nil || got.Stored != 1 {
		t.Fatalf("answered %+v %v", got, err)
	}
	plan := p.Models["fraud"]
	q := &feature.Query{Entity: "driver", Keys: []string{"7"}, Views: []feature.ViewQuery{{View: plan.View.StoredName(), Columns: plan.Stored.Columns}}}
	dst := make([]feature.Loaded, 1)
	if err := rowcodec.NewReader(store, sinks.NewSchemas(store)).Read(t.Context(), q, dst); err != nil {
		t.Fatal(err)
	}
	got := plan.Prediction(&dst[0], 0)
	if !got.Found || got.Version != "7" || len(got.Fingerprint) > 0 || got.Catalog != p.Catalog.Version || got.Catalog == 0 || got.By != transforms.ByClient ||
		got.AtMicros < before || got.AtMicros > time.Now().UnixMicro() || dst[0].Columns[0].Floats[0] != 0.5 {
		t.Errorf("stored %+v of catalog %d, %v", got, p.Catalog.Version, dst[0].Columns[0].Floats)
	}
}
