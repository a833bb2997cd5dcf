//go:build unix

package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/cmd/millrace/internal/app"
	"millrace/cmd/millrace/internal/config"
	"millrace/feature/definition"
	"millrace/feature/history"
	"millrace/internal/telemetry"
	"millrace/sinks"
)

const changesDefinitions = `
project: PROJECT
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources:
  - name: trips
    kafka: {topic: PROJECT.trips, start: earliest}
    format: json
    fields: [{name: driver_id, type: int64, path: driver.id}, {name: fare, type: float64}, {name: km, type: float64}, {name: status, type: string}]
views:
  - name: driver_trips
    entity: driver
    source: trips
    features: [{name: last_fare, expr: fare}, {name: fare_per_km, expr: "fare / nullif(km, 0)"}, {name: tier, expr: upper(status)}]
`

const changesModel = `models:
  - name: fraud
    version: "1"
    endpoint: http://127.0.0.1:1
    entity: driver
    inputs: ["driver_trips:last_fare", "driver_trips:fare_per_km"]
    outputs: [{name: score, type: float64}]
    refresh: [on_write]
`

// backlog is a project whose topic is filled while nobody takes it in.
type backlog struct {
	c        config.Config
	p        *definition.Project
	store    app.Store
	client   *kgo.Client
	produced int64
}

func newBacklog(b *testing.B, broker, project, model string) *backlog {
	b.Helper()
	l, log := &backlog{c: config.Default()}, slog.New(slog.DiscardHandler)
	l.c.Store.Type, l.c.Store.DataDir, l.c.Kafka.Brokers = "embedded", b.TempDir(), []string{broker}
	l.c.Ingest.CommitInterval = config.Duration(10 * time.Millisecond)
	l.c.Ingest.LaneBytes, l.c.Ingest.TotalBytes = 64<<20, 256<<20 // a paused partition waits for a fetch of idle ones
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	p, err := definition.Load([]definition.File{{Name: "a.yaml", Data: []byte(strings.ReplaceAll(changesDefinitions, "PROJECT", project) + model)}})
	must(err)
	l.store, err = app.OpenEmbeddedStore(&l.c, log)
	must(err)
	b.Cleanup(func() { _ = l.store.Close() })
	_, _, err = history.Apply(b.Context(), l.store, sinks.NewSchemas(l.store), p, "bench", time.Now())
	must(err)
	l.p, err = app.LoadApplied(b.Context(), l.store)
	must(err)
	must(app.EnsureDevTopics(b.Context(), &l.c, l.p))
	l.client, err = kgo.NewClient(kgo.SeedBrokers(broker), kgo.DefaultProduceTopic(project+".trips"), kgo.MaxBufferedRecords(50_000))
	must(err)
	b.Cleanup(l.client.Close)
	return l
}

// take produces n events, and then takes them in.
func (l *backlog) take(b *testing.B, n int, rng *rand.Rand) (wall, used time.Duration) {
	b.Helper()
	for i := range n {
		driver := rng.IntN(100_000)
		v := fmt.Appendf(nil, `{"trip_id":"t-%010d","driver":{"id":%d},"fare":%.2f,"km":%.1f,"status":"completed","city":"c-%03d","vehicle":"sedan"}`,
			i, driver, 3+rng.Float64()*40, rng.ExpFloat64()*6, rng.IntN(500))
		l.client.Produce(b.Context(), &kgo.Record{Key: fmt.Append(nil, driver), Value: v}, nil)
	}
	if err := l.client.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	l.produced += int64(n)
	pipe, err := app.NewIngest(&l.c, l.p, l.store, telemetry.NewMetrics("bench"), slog.New(slog.DiscardHandler), true)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- pipe.Run(ctx) }()
	for !pipe.Joined() {
		time.Sleep(time.Millisecond) // joining a group is another matter
	}
	before, began := cpu(b), time.Now()
	for committed := int64(0); committed < l.produced; {
		committed = 0
		for _, lane := range pipe.Snapshot() {
			committed += max(0, lane.Committed)
		}
		time.Sleep(time.Millisecond) // lanes tell nobody
	}
	wall, used = time.Since(began), cpu(b)-before
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	return wall, used
}

// BenchmarkIngestWithChangelog takes in the same number of events without and
// with a model that refreshes on write, alternately; the broker is a process of
// its own. cost-% is the median over rounds of what the changelog adds to the
// wall time, cpu-cost-% to the CPU of this process.
func BenchmarkIngestWithChangelog(b *testing.B) {
	const events = 300_000
	broker := startBroker(b)
	all := []*backlog{newBacklog(b, broker, "without", ""), newBacklog(b, broker, "with", changesModel)}
	rng := rand.New(rand.NewPCG(1, 1))
	var walls, cpus [2][]float64
	order := []int{0, 1}
	rounds := max(b.N, 2)
	for round := range rounds + 1 { // the first one warms up
		for _, i := range order {
			wall, used := all[i].take(b, events, rng)
			if round > 0 {
				walls[i], cpus[i] = append(walls[i], wall.Seconds()), append(cpus[i], used.Seconds())
			}
		}
		slices.Reverse(order)
	}
	middle := func(of [2][]float64) (without, with, cost float64) {
		ratios := make([]float64, rounds)
		for i := range ratios {
			ratios[i] = of[1][i]/of[0][i] - 1
		}
		for _, s := range [][]float64{of[0], of[1], ratios} {
			slices.Sort(s)
		}
		return of[0][rounds/2], of[1][rounds/2], 100 * ratios[rounds/2]
	}
	without, with, cost := middle(walls)
	b.ReportMetric(events/without, "without-events/s")
	b.ReportMetric(events/with, "with-events/s")
	b.ReportMetric(cost, "cost-%")
	without, with, cost = middle(cpus)
	b.ReportMetric(1e6*without/events, "without-cpu-µs/event")
	b.ReportMetric(1e6*with/events, "with-cpu-µs/event")
	b.ReportMetric(cost, "cpu-cost-%")
}
