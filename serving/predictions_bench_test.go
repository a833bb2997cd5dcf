package serving_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/serving"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sinks/rowcodec"
	"millrace/transforms"
)

// BenchmarkPredictions is a lookup of stored and windowed features, without a
// prediction and with one that is fresh: what knowing that costs.
func BenchmarkPredictions(b *testing.B) {
	for _, entities := range []int{1, 100} {
		for _, features := range [][]string{
			{"trip:last", "trip:shown", "trip:count_1h"},
			{"trip:last", "trip:shown", "trip:count_1h", "fraud:score"},
		} {
			name := fmt.Sprintf("entities=%d/%s", entities, map[int]string{3: "features", 4: "fresh"}[len(features)])
			b.Run(name, func(b *testing.B) { benchPredictions(b, entities, features) })
		}
	}
}

func benchPredictions(b *testing.B, entities int, features []string) {
	p := load(b, strings.Replace(predicted, "MORE", "", 1))
	store := new(memory.Store)
	schemas := sinks.NewSchemas(store)
	for _, s := range []*feature.Stored{p.Plans["trip"].Stored, p.Models["fraud"].Stored} {
		id, err := schemas.Put(b.Context(), *s)
		if err != nil {
			b.Fatal(err)
		}
		s.ID = id
	}
	model := new(predictor)
	svc, err := serving.New(serving.Settings{
		Catalog: p.Catalog, Plans: p.Plans, OnDemand: p.OnDemand, Models: p.Models,
		Predictors: map[string]serving.Predictor{"fraud": model, "cost": model, "pair": model},
		Store:      rowcodec.NewReader(store, schemas), Tiles: sinks.NewWindows(store, store),
		Predictions: rowcodec.NewWriter(store), Clock: func() time.Time { return noon },
	})
	if err != nil {
		b.Fatal(err)
	}
	defer svc.Close()
	keys := make([]string, entities)
	ids := make([]int64, entities)
	for i := range keys {
		ids[i], keys[i] = int64(i+1), fmt.Sprint(i+1)
	}
	storeTrips(b, store, p.Plans["trip"], ids)
	if _, err := svc.Refresh(context.Background(), "fraud", keys, transforms.ByAll, nil); err != nil {
		b.Fatal(err)
	}
	req, resp := drivers(prepare(b, svc, features...), ids...), new(serving.Response)
	model.calls = 0
	b.ReportAllocs()
	for b.Loop() {
		if err := svc.Lookup(context.Background(), req, resp); err != nil {
			b.Fatal(err)
		}
	}
	if v := resp.Value(len(features)-1, entities-1); model.calls != 0 || v.Status != serving.StatusPresent {
		b.Fatalf("%d calls, %s", model.calls, shownValue(v))
	}
}

// storeTrips stores a row of the view trip for each driver.
func storeTrips(b *testing.B, store sinks.Sink, p *transforms.Plan, ids []int64) {
	b.Helper()
	rows := new(feature.Rows)
	rows.Reset(p.View, p.Stored, []feature.Field{{Name: "driver_id", Type: feature.Of(feature.KindInt64)}}, 0)
	for n, id := range ids {
		rows.Origins = append(rows.Origins, feature.Origin{EventMicros: noon.UnixMicro()})
		rows.Keys[0].Resize(n + 1)
		rows.Keys[0].SetInt(n, id)
		for i := range rows.Columns {
			rows.Columns[i].Resize(n + 1)
			rows.Columns[i].SetInt(n, id)
		}
	}
	if err := rowcodec.NewWriter(store).WriteRows(b.Context(), rows); err != nil {
		b.Fatal(err)
	}
}
