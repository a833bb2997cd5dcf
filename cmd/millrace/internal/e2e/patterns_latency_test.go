package e2e_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/client"
)

// way is one way to write, seen from a single caller.
type way struct {
	name    string
	feature string // that shows what was written
	sync    bool   // it can be read when write returns
	write   func(ctx context.Context, driver, n int64, at time.Time) error

	answered, readable []time.Duration
}

// ways are the five patterns, in and beside Kafka, and a push to windows.
func (s *stack) ways(c *client.Client) []*way {
	async := func(source string) func(context.Context, int64, int64, time.Time) error {
		return func(ctx context.Context, driver, n int64, at time.Time) error {
			_, err := c.PushAsync(ctx, client.PushRequest{Source: source, Rows: client.Rows{patternRow(source, driver, n, at)}})
			return err
		}
	}
	sync := func(source string) func(context.Context, int64, int64, time.Time) error {
		return func(ctx context.Context, driver, n int64, at time.Time) error {
			_, err := c.Push(ctx, client.PushRequest{Source: source, Rows: client.Rows{patternRow(source, driver, n, at)}})
			return err
		}
	}
	kafka := func(source, suffix string) func(context.Context, int64, int64, time.Time) error {
		return func(_ context.Context, driver, n int64, at time.Time) error {
			s.put(suffix, []byte(strconv.FormatInt(driver, 10)), asJSON(s.t, patternRow(source, driver, n, at)))
			return nil
		}
	}
	return []*way{
		{name: "1 asynchronous, computed here: Kafka", feature: "driver_trips:last_fare", write: kafka("trips", "_trips")},
		{name: "1 asynchronous, computed here: HTTP 202", feature: "driver_trips:last_fare", write: async("trips")},
		{name: "2 asynchronous, precomputed: Kafka", feature: "driver_score:score", write: kafka("driver_scores", "_scores")},
		{name: "2 asynchronous, precomputed: HTTP 202", feature: "driver_score:score", write: async("driver_scores")},
		{name: "3 synchronous, computed here", feature: "driver_state:why", sync: true, write: sync("driver_status")},
		{name: "3 synchronous, computed here, with windows", feature: "driver_trips:last_fare", sync: true, write: sync("trips")},
		{name: "4 synchronous, precomputed", feature: "driver_quota:trips_left", sync: true, write: sync("driver_quotas")},
		{name: "5 synchronous, hybrid", feature: "driver_profile:rating", sync: true, write: sync("driver_profiles")},
	}
}

// patternRow is a row of a source whose feature at the end is n.
func patternRow(source string, driver, n int64, at time.Time) map[string]any {
	switch source {
	case "trips":
		return map[string]any{"driver_id": driver, "fare": n, "km": 4, "trip_id": fmt.Sprint(driver, "-", n), "completed_at": at}
	case "driver_scores":
		return map[string]any{"driver_id": driver, "score": n, "band": "B", "event_timestamp": at}
	case "driver_status":
		return map[string]any{"driver_id": driver, "status": "banned", "reason": fmt.Sprint(n), "changed_at": at}
	case "driver_quotas":
		return map[string]any{"driver_id": driver, "trips_left": n, "tier": "gold", "event_timestamp": at}
	default:
		return map[string]any{"driver_id": driver, "rating": n, "signed_up_at": at, "event_timestamp": at}
	}
}

// TestWritePatternLatency takes turns between the ways to write and the store's
// own upsert, and says after how long each is answered and can be read from
// another process. MILLRACE_PATTERN_WRITES is how many writes of each.
func TestWritePatternLatency(t *testing.T) {
	writes := int64(10)
	if n, err := strconv.Atoi(os.Getenv("MILLRACE_PATTERN_WRITES")); err == nil {
		writes = int64(n)
	}
	s := newPatterns(t, "patternlatency")
	c, other := newPatternClient(t, s.http), newPatternClient(t, s.otherServer())
	raw, floor := s.rawUpsert(), []time.Duration(nil)
	ways := s.ways(c)
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(writes)*time.Second+time.Minute)
	defer cancel()
	const warmUp = 5
	for n := range writes + warmUp {
		began := time.Now()
		if err := raw(ctx, n); err != nil {
			t.Fatal(err)
		}
		floor = append(floor, time.Since(began))
		for i, w := range ways {
			if err := w.measure(ctx, other, int64(100+i), n); err != nil {
				t.Fatalf("%s: write %d: %v", w.name, n, err)
			}
		}
	}
	t.Logf("one caller, %d writes of each, in turns; milliseconds p50 / p99", writes)
	report := func(name string, took []time.Duration) string {
		took = took[warmUp:]
		slices.Sort(took)
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		return fmt.Sprintf("%s %.2f / %.2f", name, ms(took[len(took)/2]), ms(took[len(took)*99/100]))
	}
	t.Log(report("the store's own upsert:", floor))
	for _, w := range ways {
		t.Logf("%s: %s, %s", w.name, report("answered", w.answered), report("readable", w.readable))
	}
}

// measure writes n for a driver and looks it up until it is served.
func (w *way) measure(ctx context.Context, other *client.Client, driver, n int64) error {
	began := time.Now()
	if err := w.write(ctx, driver, n, began); err != nil {
		return err
	}
	w.answered = append(w.answered, time.Since(began))
	for {
		a, err := other.Lookup(ctx, client.LookupRequest{Features: []string{w.feature}, Entities: client.Rows{{"driver_id": driver}}})
		if err != nil {
			return err
		}
		got := strings.Trim(a.Rows[0].Get(w.feature).String(), `"`)
		if got == strconv.FormatInt(n, 10) {
			w.readable = append(w.readable, time.Since(began))
			return nil
		}
		if w.sync {
			return fmt.Errorf("it was answered, and %s is %s", w.feature, got)
		}
	}
}

func newPatternClient(t *testing.T, server string) *client.Client {
	t.Helper()
	c, err := client.New("http://" + server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
