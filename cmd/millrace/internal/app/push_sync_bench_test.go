package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/cmd/millrace/internal/config"
	"millrace/feature/definition"
	"millrace/internal/telemetry"
	"millrace/serving"
	"millrace/serving/rest"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sinks/rowcodec"
)

const pushDefinitions = `
project: p
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources:
  - name: trips
    push: {}
    fields: [{name: driver_id, type: int64}, {name: fare, type: float64}, {name: km, type: float64}, {name: status, type: string}]
views:
  - name: driver_trips
    entity: driver
    source: trips
    where: status = 'completed'
    features: [{name: per_km, expr: "fare / nullif(km, 0)"}, {name: tier, expr: upper(status)}, {name: fare}]
`

// pushServer is the API that writes to a store.
func pushServer(t testing.TB, store Store) http.Handler {
	t.Helper()
	p, err := definition.Load([]definition.File{{Name: "p.yaml", Data: []byte(pushDefinitions)}})
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	writes, err := newPush(&c, p, store, nil, nil, telemetry.NewMetrics("push"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	svc, err := serving.New(serving.Settings{Catalog: p.Catalog, Plans: p.Plans, OnDemand: p.OnDemand, Store: rowcodec.NewReader(store, sinks.NewSchemas(store))})
	if err != nil {
		t.Fatal(err)
	}
	return rest.Handler(svc, rest.Settings{Writer: writes})
}

func pushOne(t testing.TB, h http.Handler, n int) {
	body := fmt.Sprintf(`{"rows": [{"driver_id": %d, "fare": 12.5, "km": 4, "status": "completed"}]}`, n)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/v1/push/trips", strings.NewReader(body)))
	if rec.Code != http.StatusOK {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
}

// benchKeys bounds what a store of the benchmark holds.
const benchKeys = 1000

// BenchmarkPush compares a push of one row with what its store takes to write
// one by itself, durably; lines is a row of a stream of them.
func BenchmarkPush(b *testing.B) {
	c := config.Default()
	c.Store.DataDir = b.TempDir()
	pebble, err := OpenEmbeddedStore(&c, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer pebble.Close() //nolint:errcheck // a temporary folder
	for name, store := range map[string]Store{"memory": new(memory.Store), "pebble": pebble} {
		h := pushServer(b, store)
		b.Run(name+"/write", func(b *testing.B) {
			row := sinks.Row{Entity: "driver", View: "driver_trips@1", Value: make([]byte, 80)}
			for n := 0; b.Loop(); n++ {
				row.Key, row.Stamp = fmt.Sprint(n%benchKeys), int64(n)
				if err := store.Write(context.Background(), []sinks.Row{row}); err != nil {
					b.Fatal(err)
				}
				if err := store.Sync(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/push", func(b *testing.B) {
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				pushOne(b, h, n%benchKeys)
			}
		})
		b.Run(name+"/lines", func(b *testing.B) {
			b.ReportAllocs()
			var body strings.Builder
			for n := range b.N {
				fmt.Fprintf(&body, "{\"driver_id\": %d, \"fare\": 12.5, \"km\": 4, \"status\": \"completed\"}\n", n%benchKeys)
			}
			r := httptest.NewRequest(http.MethodPost, "/v1/push/trips", strings.NewReader(body.String()))
			r.Header.Set("Content-Type", "application/x-ndjson")
			rec := httptest.NewRecorder()
			b.ResetTimer()
			h.ServeHTTP(rec, r)
			if rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), fmt.Sprintf(`"stored":%d,`, b.N)) {
				b.Fatal(rec.Body)
			}
		})
	}
}

// TestAPushAddsLittle: what one row costs beside its store, which costs nothing
// here, is below a millisecond.
func TestAPushAddsLittle(t *testing.T) {
	h := pushServer(t, new(memory.Store))
	took := make([]time.Duration, 201)
	for i := range took {
		began := time.Now()
		pushOne(t, h, i)
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	if median := took[len(took)/2]; median > time.Millisecond {
		t.Errorf("half of the pushes took more than %s", median)
	}
}
