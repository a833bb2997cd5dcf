package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/cmd/millrace/internal/config"
	"millrace/feature/definition"
	"millrace/feature/history"
	"millrace/internal/telemetry"
	"millrace/serving"
	"millrace/serving/predict/predicttest"
	"millrace/sinks"
	"millrace/sinks/changelog"
	"millrace/sinks/memory"
)

const watchingModels = `project: rides
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources: [{name: trips, push: {}, fields: [{name: driver_id, type: int64}, {name: fare, type: float64}]}]
views: [{name: trip, entity: driver, source: trips, features: [{name: last_fare, expr: fare}]}]
models:
  - {name: fraud, version: "7", endpoint: "http://models:8080", entity: driver, inputs: ["trip:last_fare"], outputs: [{name: score, type: float64}], refresh: [on_write]}
  - {name: churn, version: "1", endpoint: "http://models:8080", entity: driver, inputs: ["trip:last_fare"], outputs: [{name: score, type: float64}], refresh: [on_write]}
  - {name: lazy, version: "1", endpoint: "http://models:8080", entity: driver, inputs: ["trip:last_fare"], outputs: [{name: score, type: float64}], refresh: [on_read]}
`

// noted is a Refresher that notes keys by model.
type noted struct {
	mu   sync.Mutex
	keys map[string][]string
}

func (n *noted) Refresh(_ context.Context, model string, keys []string, _ string, dst []serving.RefreshEnd) ([]serving.RefreshEnd, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.keys == nil {
		n.keys = make(map[string][]string)
	}
	n.keys[model] = append(n.keys[model], keys...)
	return append(dst, make([]serving.RefreshEnd, len(keys))...), nil
}

func (n *noted) of(model string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Compact(slices.Sorted(slices.Values(n.keys[model])))
}

func appliedModels(t *testing.T, text string) (*memory.Store, *definition.Project) {
	t.Helper()
	store := new(memory.Store)
	return store, applyModels(t, store, text)
}

func applyModels(t *testing.T, store sinks.Meta, text string) *definition.Project {
	t.Helper()
	p, err := definition.Load([]definition.File{{Name: "p.yaml", Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := history.Apply(t.Context(), store, sinks.NewSchemas(store), p, "test", time.Now()); err != nil {
		t.Fatal(err)
	}
	if p, err = LoadApplied(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestModelsFollowChanges, each in a group of its own, from when the definitions
// were applied.
func TestModelsFollowChanges(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, changelog.Topic("rides")),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	store, p := appliedModels(t, watchingModels)
	c := config.Default()
	c.Kafka.Brokers = cluster.ListenAddrs()
	client, err := KafkaClient(&c, "rides")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	change(t, client, "old", time.Now().Add(-2*time.Minute))
	change(t, client, "new", time.Now())

	m, by := telemetry.NewMetrics("test"), new(noted)
	r, err := NewRefresh(t.Context(), &c, p, store, by, m, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	st := NewStatus("refresh", "test", p.Catalog)
	st.WatchRefresh(r)
	if err := st.working(); !errors.Is(err, errNotReady) {
		t.Errorf("ready before it runs: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	admin := kadm.NewClient(client)
	for _, model := range []string{"fraud", "churn"} {
		await(t, "refreshes of "+model, func() bool { return slices.Equal(by.of(model), []string{"new"}) })
		await(t, "the commit for "+model, func() bool { return sum(t, admin, "millrace-rides.refresh."+model) == 2 })
	}
	if err := st.working(); err != nil {
		t.Errorf("not ready: %v", err)
	}
	if docs := st.Document().Refreshed; len(docs) != 2 || docs[0].Model != "fraud" || docs[0].Partitions != 2 || docs[0].State != "following" {
		t.Errorf("status %+v", docs)
	}
	if n := refreshesTimed(t, m); n != 2 {
		t.Errorf("%v refreshes are timed", n)
	}
	stop()
	if err := <-ended; err != nil || by.of("lazy") != nil {
		t.Errorf("%v; keys of a model that does not refresh on write: %v", err, by.of("lazy"))
	}
}

func change(t *testing.T, client *kgo.Client, key string, at time.Time) {
	t.Helper()
	k, _ := changelog.AppendKey(nil, "driver", key)
	v, _ := changelog.AppendValue(nil, &sinks.Change{Entity: "driver", Key: key})
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: changelog.Topic("rides"), Key: k, Value: v, Timestamp: at}).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// refreshesTimed is how many refreshes of all models have told their delay.
func refreshesTimed(t *testing.T, m *telemetry.Metrics) (n uint64) {
	t.Helper()
	all, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		for _, c := range f.GetMetric() {
			if f.GetName() == "millrace_refresh_delay_seconds" {
				n += c.GetHistogram().GetSampleCount()
			}
		}
	}
	return n
}

// sum of what a group has committed.
func sum(t *testing.T, admin *kadm.Client, group string) int64 {
	t.Helper()
	os, err := admin.FetchOffsets(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	os.Each(func(o kadm.OffsetResponse) { total += o.At })
	return total
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestNothingToRefreshIsSaid(t *testing.T) {
	store, p := appliedModels(t, strings.ReplaceAll(watchingModels, "on_write", "on_read"))
	c := config.Default()
	c.Kafka.Brokers = []string{"127.0.0.1:1"}
	_, err := NewRefresh(t.Context(), &c, p, store, new(noted), telemetry.NewMetrics("test"), slog.New(slog.DiscardHandler))
	if !errors.Is(err, ErrNothingToRefresh) {
		t.Error(err)
	}
}

// TestAChangedInputIsPredictedAnew through all parts: a push is stored and told,
// the changelog is followed, and a read finds the prediction of it.
func TestAChangedInputIsPredictedAnew(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, changelog.Topic("rides")),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	server := predicttest.New(predicttest.Sum("sum", "7", "score"))
	text := strings.Replace(servedModel, "http://models:8080", server.Listen(t), 1)
	store := new(slowStore)
	p := applyModels(t, store, strings.Replace(text, "max_age: 1h", "max_age: 1h, refresh: [on_write]", 1))
	c, m, log := config.Default(), telemetry.NewMetrics("test"), slog.New(slog.DiscardHandler)
	c.Kafka.Brokers = cluster.ListenAddrs()
	changes, err := OpenPushChanges(&c, p, m, log)
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Close() //nolint:errcheck // nothing can fail
	a := &api{t: t, server: server, metrics: m}
	if a.handler, err = NewServer(&c, p, store, nil, changes, m, log); err != nil {
		t.Fatal(err)
	}
	defer a.handler.Close()
	r, err := NewRefresh(t.Context(), &c, p, store, a.handler.Service, m, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for push, want := range map[string]string{
		`{"driver_id": 1, "fare": 2.5, "seats": 3}`: `"values":[5.5],"origin":["prediction_fresh:on_write"]`,
		`{"driver_id": 1, "fare": 4.5, "seats": 3}`: `"values":[7.5],"origin":["prediction_fresh:on_write"]`,
	} {
		a.push(push)
		await(t, want, func() bool { return strings.Contains(a.post("/v1/lookup", askScore), want) })
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
