package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// windowAggregates are counted over windowNames, all of which hold every event
// of the crash test: those are an hour old.
var (
	windowNames      = []string{"12h", "24h", "unlimited"}
	windowAggregates = []string{"count", "sum", "min", "max", "avg", "last", "stddev_pop", "count_distinct"}
)

// windowChunk is how many drivers are read at once: each has some hundred tiles.
const windowChunk = 50

var windowDefinitions = windowView("driver_windows", "")

// windowView is a view of all of them, with further lines.
func windowView(name, more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - name: %s\n    entity: driver\n    source: trips\n%s    features:\n", name, more)
	for _, agg := range windowAggregates {
		of := ""
		if agg != "count" {
			of = ", of: n"
		}
		fmt.Fprintf(&b, "      - {name: %s, agg: %s%s, windows: [%s]}\n", agg, agg, of, strings.Join(windowNames, ", "))
	}
	b.WriteString("      - {name: count_before, agg: count, window: 12h, offset: 12h}\n")
	return b.String()
}

// windowWants are the answers of a plain scan over a driver's events.
func windowWants(events []event) map[string]float64 {
	n := float64(len(events))
	w := map[string]float64{"count": n, "min": math.Inf(1), "max": math.Inf(-1), "last": float64(newest(events).serial)}
	serials := make(map[int64]bool)
	for i := range events {
		v := float64(events[i].serial)
		serials[events[i].serial] = true
		w["sum"] += v
		w["min"], w["max"] = min(w["min"], v), max(w["max"], v)
	}
	w["count_distinct"] = float64(len(serials))
	w["avg"] = w["sum"] / n
	for i := range events {
		d := float64(events[i].serial) - w["avg"]
		w["stddev_pop"] += d * d / n
	}
	w["stddev_pop"] = math.Sqrt(w["stddev_pop"])
	return w
}

// scanLog reads every event of the topic, by driver: what windows count is what
// the log holds, and a producer that tries again may have written one twice.
func (s *stack) scanLog() map[int64][]event {
	s.t.Helper()
	_, adm := s.kafka()
	ends, err := adm.ListEndOffsets(s.t.Context(), s.topic)
	if err != nil {
		s.t.Fatal(err)
	}
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.ConsumeTopics(s.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	all, seen := make(map[int64][]event), make(map[int64]bool)
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			s.t.Fatalf("%d records are not read: %v", left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var v struct {
				Driver int64 `json:"driver_id"`
				N, At  int64
			}
			if err := json.Unmarshal(r.Value, &v); err != nil {
				s.t.Error(err)
			}
			all[v.Driver] = append(all[v.Driver], event{v.At, r.Timestamp.UnixMilli(), r.Offset, r.Partition, v.N})
			left--
			if seen[v.N] {
				s.t.Logf("the log holds event %d more than once: partition %d, offset %d", v.N, r.Partition, r.Offset)
			}
			seen[v.N] = true
		})
	}
	return all
}

// compareWindows holds the windows of every driver in a view against a plain
// scan.
func (s *stack) compareWindows(view string, want map[int64][]event) {
	s.t.Helper()
	features := []string{view + ":count_before"}
	for _, agg := range windowAggregates {
		for _, w := range windowNames {
			features = append(features, fmt.Sprintf("%s:%s_%s", view, agg, w))
		}
	}
	var drivers []int64
	for d := range want {
		drivers = append(drivers, d)
	}
	wrong := 0
	for len(drivers) > 0 {
		chunk := drivers[:min(windowChunk, len(drivers))]
		drivers = drivers[len(chunk):]
		var a *answer
		s.eventually(30*time.Second, "look windows up", func() (err error) { // the machine still recovers from the chaos
			a, err = s.lookup(features, chunk...)
			return err
		})
		for i, d := range chunk {
			wants := windowWants(want[d])
			for k, f := range features {
				name := strings.TrimPrefix(f, view+":")
				agg := name[:strings.LastIndex(name, "_")]
				w, got := wants[agg], math.NaN()
				if name == "count_before" {
					w = 0
				}
				_ = json.Unmarshal(a.Rows[i].Values[k], &got)
				if math.Abs(got-w) > 1e-9*math.Abs(w) || math.IsNaN(got) {
					if wrong++; wrong <= 5 {
						s.t.Errorf("driver %d: %s is %s (%s), want %v", d, name, a.Rows[i].Values[k], a.Rows[i].Status[k], w)
					}
				}
			}
		}
	}
	if wrong > 0 {
		s.t.Errorf("%d windows are wrong", wrong)
	}
}

// TestReplayOfATopicChangesNoWindow reads the topic again from its start.
func TestReplayOfATopicChangesNoWindow(t *testing.T) {
	s := newStack(t, "rewind")
	s.write(strings.Replace(tripDefinitions, "services:", windowDefinitions+"services:", 1))
	p := s.up(2)
	now := time.Now()
	for i := range int64(40) {
		s.produce(int32(i%2), "7", trip(7, i, now.Add(-time.Hour).Add(time.Duration(i)*time.Second)))
	}
	s.waitCaughtUp(20 * time.Second)
	s.waitValue(5*time.Second, 7, "driver_windows:count_12h", "40")
	s.endIngest(p)
	s.resetGroup()
	s.applyAndRestart()
	s.produce(0, "7", trip(7, 40, now))
	s.waitCaughtUp(30 * time.Second)
	s.waitValue(5*time.Second, 7, "driver_windows:count_12h", "41")
	s.waitValue(time.Second, 7, "driver_windows:sum_unlimited", "820")
	s.waitValue(time.Second, 7, "driver_windows:last_24h", "40")
}
