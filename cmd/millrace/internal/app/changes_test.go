package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/cmd/millrace/internal/config"
	"millrace/cmd/millrace/internal/embedded"
	"millrace/feature/definition"
	"millrace/feature/history"
	"millrace/internal/telemetry"
	"millrace/pipeline"
	"millrace/pipeline/replay"
	"millrace/sinks"
	"millrace/sinks/changelog"
	"millrace/sinks/memory"
)

// watchedProject has a model of drivers that refreshes on write: fares and
// ratings are inputs, codes is behind one, rides is rekeyed; others and sold are
// none, or of another entity.
const watchedProject = `project: p
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
  - {name: item, join_keys: [{name: sku, type: string}]}
sources:
  - name: trips
    kafka: {topic: p.trips, start: earliest}
    format: json
    fields: [{name: driver_id, type: int64}, {name: fare, type: float64}, {name: code, type: string}, {name: sku, type: string}]
  - name: profiles
    push: {}
    fields: [{name: driver_id, type: int64}, {name: rating, type: float64}]
views:
  - {name: fares, entity: driver, source: trips, where: fare > 0, features: [{name: amount, expr: fare}]}
  - {name: codes, entity: driver, source: trips, where: code is not null, features: [{name: number, expr: cast(code as bigint)}]}
  - {name: rides, entity: driver, source: trips, rekey: true, where: fare > 0, features: [{name: n, agg: count, window: 1h}]}
  - {name: others, entity: driver, source: trips, features: [{name: fare}]}
  - {name: sold, entity: item, source: trips, where: sku is not null, features: [{name: fare}]}
  - {name: ratings, entity: driver, source: profiles, features: [{name: rating}]}
on_demand_views:
  - {name: quote, sources: [codes], features: [{name: twice, expr: codes.number * 2}]}
models:
  - name: fraud
    version: "7"
    endpoint: http://models:8080
    entity: driver
    inputs: ["fares:amount", "quote:twice", "rides:n", "ratings:rating"]
    outputs: [{name: score, type: float64}]
    refresh: [on_read, on_write]
`

func watched(t testing.TB, text string) *definition.Project {
	t.Helper()
	p, err := definition.Load([]definition.File{{Name: "f.yaml", Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// asking lists the views of routes that tell what changes.
func asking(rs []pipeline.Route) []string {
	var names []string
	for i := range rs {
		for _, v := range rs[i].Views {
			if v.Changes {
				names = append(names, v.View.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

func TestRoutesTellOfWatchedViews(t *testing.T) {
	p, c := watched(t, watchedProject), config.Default()
	ingested, _, err := routes(&c, p, &decoders{})
	if err != nil {
		t.Fatal(err)
	}
	pushed, err := pushRoutes(&c, p)
	if err != nil {
		t.Fatal(err)
	}
	replayed, err := replayRoutes(&c, p)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		way   string
		got   []pipeline.Route
		views string
	}{{"ingest", ingested, "codes fares rides"}, {"push", pushed, "ratings"}, {"replay", replayed, "codes fares ratings rides"}} {
		if got := asking(x.got); strings.Join(got, " ") != x.views {
			t.Errorf("%s tells of %q, want %s", x.way, got, x.views)
		}
	}
	readOnly := strings.Replace(watchedProject, "[on_read, on_write]", "[on_read]", 1)
	if ingested, _, err = routes(&c, watched(t, readOnly), &decoders{}); err != nil || len(asking(ingested)) != 0 {
		t.Errorf("of a model that refreshes on read it tells of %q, %v", asking(ingested), err)
	}
}

// A chunk that was begun before the model was applied is finished under its old
// catalog, and told all the same.
func TestReplaysTellOfViewsThatTheNewestCatalogWatches(t *testing.T) {
	c := config.Default()
	old, err := replayRoutes(&c, watched(t, strings.Replace(watchedProject, "[on_read, on_write]", "[on_read]", 1)))
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	r := &replayChanges{open: func() (Changes, error) { opened++; return noBrokers{}, nil }}
	if err := r.watch(old, nil); err != nil || opened != 0 {
		t.Errorf("a changelog is opened %d times for nobody, %v", opened, err)
	}
	for range 2 {
		if err := r.watch(old, watched(t, watchedProject).Watched()); err != nil {
			t.Fatal(err)
		}
	}
	if got := asking(old); strings.Join(got, " ") != "codes fares ratings rides" || opened != 1 {
		t.Errorf("tells of %q, opened %d times", got, opened)
	}
}

// TestNamesOfViewsFitTheChangelog holds the two bounds together: a definition
// that loads has no view whose stored name no record can carry.
func TestNamesOfViewsFitTheChangelog(t *testing.T) {
	long := strings.Repeat("v", 128)
	p := watched(t, strings.ReplaceAll(watchedProject, "fares", long))
	v := p.Catalog.View(long)
	v.Generation = 1<<32 - 1
	c := sinks.Change{Entity: v.Entity, Key: "1", Views: []sinks.ChangedView{{View: v.StoredName(), Row: true}}}
	if _, err := changelog.AppendValue(nil, &c); err != nil {
		t.Error(err)
	}
	if _, err := definition.Load([]definition.File{{Name: "f.yaml", Data: []byte(strings.ReplaceAll(watchedProject, "fares", long+"v"))}}); err == nil {
		t.Error("a longer name loads: hold it against changelog.MaxNameBytes")
	}
}

// watchedWorld is a project on an embedded broker and a store in memory.
type watchedWorld struct {
	t       *testing.T
	c       config.Config
	p       *definition.Project
	store   *memory.Store
	metrics *telemetry.Metrics
	client  *kgo.Client
	log     *slog.Logger
}

func newWatchedWorld(t *testing.T) *watchedWorld {
	t.Helper()
	k, err := embedded.OpenKafka(embedded.Settings{Addr: "127.0.0.1:0", DataDir: t.TempDir(), Partitions: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	w := &watchedWorld{t: t, c: config.Default(), store: new(memory.Store), metrics: telemetry.NewMetrics("changes"), log: slog.New(slog.DiscardHandler)}
	w.c.Kafka.Brokers = []string{k.Addr()}
	if w.client, err = kgo.NewClient(kgo.SeedBrokers(k.Addr()), kgo.DefaultProduceTopic("p.trips")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.Close)
	w.apply(watchedProject)
	return w
}

func (w *watchedWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *watchedWorld) apply(text string) {
	w.t.Helper()
	ctx := w.t.Context()
	_, _, err := history.Apply(ctx, w.store, sinks.NewSchemas(w.store), watched(w.t, text), "test", time.Now())
	w.must(err)
	w.p, err = LoadApplied(ctx, w.store)
	w.must(err)
	w.must(EnsureDevTopics(ctx, &w.c, w.p))
}

// ingest works until the test says so.
func (w *watchedWorld) ingest() (stop func()) {
	w.t.Helper()
	pipe, err := NewIngest(&w.c, w.p, w.store, w.metrics, w.log, true)
	w.must(err)
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- pipe.Run(ctx) }()
	return func() { w.t.Helper(); cancel(); w.must(<-ended) }
}

func (w *watchedWorld) produce(values ...string) {
	w.t.Helper()
	for _, v := range values {
		w.must(w.client.ProduceSync(w.t.Context(), &kgo.Record{Value: []byte(v)}).FirstErr())
	}
}

// told reads the changelog: entity and key, and the views that were named with
// it. It reads what is there and no further.
func (w *watchedWorld) told() map[string][]string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	topic := changelog.Topic("p")
	ends, err := kadm.NewClient(w.client).ListEndOffsets(ctx, topic)
	w.must(errors.Join(err, ends.Error()))
	left := make(map[int32]int64)
	ends.Each(func(o kadm.ListedOffset) { left[o.Partition] = o.Offset })
	maps.DeleteFunc(left, func(_ int32, end int64) bool { return end == 0 })
	reader, err := kgo.NewClient(kgo.SeedBrokers(w.c.Kafka.Brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	w.must(err)
	defer reader.Close()
	got := make(map[string][]string)
	for len(left) > 0 {
		fs := reader.PollFetches(ctx)
		w.must(fs.Err())
		fs.EachRecord(func(r *kgo.Record) {
			var c sinks.Change
			w.must(changelog.Decode(r.Key, r.Value, &c))
			id := c.Entity + " " + c.Key
			for _, v := range c.Views {
				if !slices.Contains(got[id], v.View) {
					got[id] = append(got[id], v.View)
				}
			}
			slices.Sort(got[id])
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return got
}

// waitTold waits until the changelog is what is wanted, or says what it is.
func (w *watchedWorld) waitTold(want map[string][]string) {
	w.t.Helper()
	var got map[string][]string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if got = w.told(); maps.EqualFunc(got, want, slices.Equal) {
			return
		}
	}
	w.t.Fatalf("told %v\nwant %v", got, want)
}

// TestChangesReachTheChangelog follows rows on every way they come: exactly the
// keys of watched views are told, of API writes before they are answered.
func TestChangesReachTheChangelog(t *testing.T) {
	w := newWatchedWorld(t)
	stop := w.ingest()
	w.produce(`{"driver_id": 1, "fare": 5, "sku": "a"}`, `{"driver_id": 2, "fare": -1, "code": "7"}`,
		`{"driver_id": 3, "fare": -1}`, `{"driver_id": 4, "code": "x"}`, `{"driver_id": null, "fare": 5}`)
	want := map[string][]string{"driver 1": {"fares@1", "rides@1"}, "driver 2": {"codes@1"}}
	w.waitTold(want)

	changes, err := OpenPushChanges(&w.c, w.p, w.metrics, w.log)
	w.must(err)
	h, err := NewServer(&w.c, w.p, w.store, nil, changes, w.metrics, w.log)
	w.must(err)
	defer h.Close()
	push := func() *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/v1/push/profiles", strings.NewReader(`{"rows": [{"driver_id": 9, "rating": 4.5}]}`)))
		return rec
	}
	if rec := push(); rec.Code != http.StatusOK {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	want["driver 9"] = []string{"ratings@1"}
	if got := w.told(); !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("when the push is answered, told are %v\nwant %v", got, want)
	}
	w.must(changes.Close())
	if rec := push(); rec.Code != http.StatusServiceUnavailable {
		t.Errorf("without a changelog a push is answered %d %s", rec.Code, rec.Body)
	}
	stop()

	w.apply(strings.ReplaceAll(watchedProject, "cast(code", "try_cast(code"))
	result, err := Replay(t.Context(), &w.c, w.store, replay.Settings{}, sinks.LetterFilter{Source: "trips"}, ChangelogNone)
	w.must(err)
	if result.RefusedAgain == 0 || result.Stored == 0 {
		t.Fatalf("%+v", result)
	}
	if got := w.told(); !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("a replay that is to write no changelog told %v", got)
	}
	w.replayAgain(result.Stored)
	want["driver 4"] = []string{"codes@1"}
	if got := w.told(); !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("after the replay told are %v\nwant %v", got, want)
	}
	w.counted(map[string]float64{telemetry.WayIngest: 3, telemetry.WayPush: 1})
}

// replayAgain refuses the row of driver 4 once more, and replays it.
func (w *watchedWorld) replayAgain(stored int) {
	w.t.Helper()
	w.apply(watchedProject)
	stop := w.ingest()
	w.produce(`{"driver_id": 4, "code": "y"}`)
	for end := time.Now().Add(20 * time.Second); len(w.letters("codes")) == 0; {
		if time.Now().After(end) {
			w.t.Fatal("no letter of codes")
		}
		time.Sleep(10 * time.Millisecond) // the store tells nobody
	}
	stop()
	w.apply(strings.ReplaceAll(watchedProject, "cast(code", "try_cast(code"))
	result, err := Replay(w.t.Context(), &w.c, w.store, replay.Settings{}, sinks.LetterFilter{Source: "trips"}, ChangelogWritten)
	w.must(err)
	if result.Stored != stored {
		w.t.Fatalf("%+v", result)
	}
}

func (w *watchedWorld) letters(view string) (all []sinks.Letter) {
	for _, l := range w.store.Letters() {
		if l.View == view {
			all = append(all, l)
		}
	}
	return all
}

// counted compares the keys that metrics count by way.
func (w *watchedWorld) counted(want map[string]float64) {
	w.t.Helper()
	families, err := w.metrics.Gatherer().Gather()
	w.must(err)
	got := make(map[string]float64)
	for _, f := range families {
		if f.GetName() != "millrace_changelog_keys_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			got[m.GetLabel()[0].GetValue()] += m.GetCounter().GetValue()
		}
	}
	if !maps.Equal(got, want) {
		w.t.Errorf("keys are counted as %v, want %v", got, want)
	}
}

// Without brokers what is pushed to watched views is refused, and other rows are not.
func TestPushesWithoutBrokersAreRefusedWhereModelsWait(t *testing.T) {
	c, store := config.Default(), new(memory.Store)
	m, log := telemetry.NewMetrics("changes"), slog.New(slog.DiscardHandler)
	for text, code := range map[string]int{
		watchedProject: http.StatusServiceUnavailable,
		strings.Replace(watchedProject, `, "ratings:rating"`, "", 1): http.StatusOK,
	} {
		p := watched(t, text)
		changes, err := OpenPushChanges(&c, p, m, log)
		if err != nil {
			t.Fatal(err)
		}
		h, err := NewServer(&c, p, store, nil, changes, m, log)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/v1/push/profiles", strings.NewReader(fmt.Sprintf(`{"rows": [{"driver_id": %d, "rating": 1}]}`, 1))))
		if rec.Code != code {
			t.Errorf("answered %d %s, want %d", rec.Code, rec.Body, code)
		}
	}
}
