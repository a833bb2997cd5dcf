package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// windowAggregates are counted over windowNames.
var (
	windowNames      = []string{"12h", "24h", "unlimited"}
	windowAggregates = []string{"count", "sum", "min", "max", "avg", "last", "stddev_pop", "count_distinct", "last_n", "quantile"}
)

const (
	windowLastN    = 5
	windowQuantile = 0.75
	// windowChunk is how many drivers are read at once: each has some hundred tiles.
	windowChunk = 50
)

var windowDefinitions = windowView("driver_windows", "")

// windowView is a view of all of them, with further lines.
func windowView(name, more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - name: %s\n    entity: driver\n    source: trips\n    allowed_lateness: %.0fh\n%s    features:\n", name, crashLateness.Hours(), more)
	for _, agg := range windowAggregates {
		of := map[string]string{
			"count": "", "last_n": fmt.Sprintf(", of: n, n: %d", windowLastN), "quantile": fmt.Sprintf(", of: n, q: %v", windowQuantile),
		}
		more, special := of[agg]
		if !special {
			more = ", of: n"
		}
		fmt.Fprintf(&b, "      - {name: %s, agg: %s%s, windows: [%s]}\n", agg, agg, more, strings.Join(windowNames, ", "))
	}
	b.WriteString("      - {name: count_before, agg: count, window: 12h, offset: 12h}\n")
	return b.String()
}

// windowSpans are what windows cover of an event's age. No event of the crash
// tests lies near an edge, so tiles play no part.
var windowSpans = map[string][2]time.Duration{
	"12h": {0, 12 * time.Hour}, "24h": {0, 24 * time.Hour}, "unlimited": {0, math.MaxInt64}, "before": {12 * time.Hour, 24 * time.Hour},
}

// counted leaves out of a driver's events, which stand as their partitions hold
// them, what docs/windows.md says windows do not count: what is too late and,
// with ids, copies of an event in its partition.
func counted(events []event, eventIDs bool) (kept []event, late, copies int) {
	type name struct {
		id        string
		partition int32
	}
	seen := make(map[name]bool)
	for _, e := range events {
		of := name{e.id, e.partition}
		switch {
		case e.eventMicros < e.recordMillis*1000-crashLateness.Microseconds():
			late++
		case eventIDs && e.id != "" && seen[of]:
			copies++
		default:
			seen[of] = true
			kept = append(kept, e)
		}
	}
	return kept, late, copies
}

// windowWants are the answers of a plain scan over the events in a window: JSON
// numbers, or null, or lists.
func windowWants(events []event) map[string]any {
	w := map[string]any{"count": float64(len(events)), "count_distinct": 0.0}
	if len(events) == 0 {
		return w
	}
	byTime := slices.Clone(events)
	slices.SortFunc(byTime, func(a, b event) int {
		if a.newer(&b) {
			return -1
		}
		return 1
	})
	var serials, lastN []float64
	for i := range byTime {
		serials = append(serials, float64(byTime[i].serial))
	}
	lastN = slices.Clone(serials[:min(windowLastN, len(serials))])
	w["last"], w["last_n"] = lastN[0], lastN
	slices.Sort(serials)
	n, sum, squares := float64(len(serials)), 0.0, 0.0
	for _, v := range serials {
		sum += v
	}
	for _, v := range serials {
		squares += (v - sum/n) * (v - sum/n)
	}
	w["sum"], w["avg"], w["stddev_pop"] = sum, sum/n, math.Sqrt(squares/n)
	w["min"], w["max"] = serials[0], serials[len(serials)-1]
	w["quantile"] = serials[int(windowQuantile*(n-1))]
	w["count_distinct"] = float64(len(slices.Compact(serials)))
	return w
}

// sameWindow compares an answer with the oracle's: the sketch within its bound.
func sameWindow(agg string, got json.RawMessage, want any) bool {
	var value any
	if err := json.Unmarshal(got, &value); err != nil {
		return false
	}
	switch want := want.(type) {
	case []float64:
		list, _ := value.([]any)
		return slices.EqualFunc(list, want, func(a any, b float64) bool { return a == b })
	case float64:
		v, is := value.(float64)
		bound := 1e-9
		if agg == "quantile" {
			bound = 0.01
		}
		return is && math.Abs(v-want) <= bound*math.Abs(want)
	}
	return value == nil
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
	all := make(map[int64][]event)
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			s.t.Fatalf("%d records are not read: %v", left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var v struct {
				Driver int64 `json:"driver_id"`
				ID     string
				N, At  int64
			}
			if err := json.Unmarshal(r.Value, &v); err != nil {
				s.t.Error(err)
			}
			all[v.Driver] = append(all[v.Driver], event{v.Driver, v.At, r.Timestamp.UnixMilli(), r.Offset, r.Partition, v.N, v.ID})
			left--
		})
	}
	return all
}

// windowNamed is a windowed feature of a windowView.
type windowNamed struct{ agg, window string }

func (w windowNamed) in(view string) string { return view + ":" + w.agg + "_" + w.window }

func allWindows() []windowNamed {
	all := []windowNamed{{"count", "before"}}
	for _, agg := range windowAggregates {
		for _, w := range windowNames {
			all = append(all, windowNamed{agg, w})
		}
	}
	return all
}

// compareWindows holds the windows of every driver in a view against a plain
// scan.
func (s *stack) compareWindows(view string, eventIDs bool) {
	s.t.Helper()
	log := s.scanLog()
	late, copies := 0, 0
	for d := range log {
		var l, c int
		log[d], l, c = counted(log[d], eventIDs)
		late, copies = late+l, copies+c
	}
	s.t.Logf("the log holds %d events that are too late and %d copies", late, copies)
	if late == 0 || (copies > 0) != eventIDs {
		s.t.Error("the log does not have what the test is about")
	}
	s.compareWindowsTo(view, log, allWindows())
}

func (s *stack) compareWindowsTo(view string, want map[int64][]event, windows []windowNamed) {
	s.t.Helper()
	var features []string
	for _, w := range windows {
		features = append(features, w.in(view))
	}
	wrong := 0
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(want)), windowChunk) {
		var a *answer
		s.eventually(30*time.Second, "look windows up", func() (err error) { // the machine still recovers from the chaos
			a, err = s.lookup(features, chunk...)
			return err
		})
		now := time.Now()
		for i, d := range chunk {
			wants := make(map[string]map[string]any)
			for name, span := range windowSpans {
				wants[name] = windowWants(aged(want[d], now, span))
			}
			for k, w := range windows {
				if got := a.Rows[i].Values[k]; !sameWindow(w.agg, got, wants[w.window][w.agg]) {
					if wrong++; wrong <= 5 {
						s.t.Errorf("driver %d: %s_%s is %s (%s), want %v", d, w.agg, w.window, got, a.Rows[i].Status[k], wants[w.window][w.agg])
					}
				}
			}
		}
	}
	if wrong > 0 {
		s.t.Errorf("%d windows are wrong", wrong)
	}
}

// aged are the events of an age.
func aged(events []event, now time.Time, of [2]time.Duration) []event {
	var in []event
	for _, e := range events {
		if age := now.Sub(time.UnixMicro(e.eventMicros)); of[0] <= age && age < of[1] {
			in = append(in, e)
		}
	}
	return in
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
