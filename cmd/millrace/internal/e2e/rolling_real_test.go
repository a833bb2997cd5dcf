//go:build real

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// rollingWindows are what the second version adds to a live view: a new
// aggregate, and windows of one that is counted already, over other tiles and
// further back.
const rollingWindows = `      - {name: even_unlimited, agg: count, filter: n % 2 = 0, window: unlimited}
      - {name: sum_recent, agg: sum, of: n, window: 20s, hop: 1s}
      - {name: count_recent, agg: count, window: 20s, hop: 1s}
      - {name: count_48h, agg: count, window: 48h, hop: 15m}
`

const (
	rollingDrivers    = 40
	rollingPartitions = 6
	rollingSkew       = time.Second // added windows are complete sooner
)

// load is a producer that goes on until it is ended, and rests while somebody
// holds mu.
type load struct {
	mu    sync.Mutex
	sent  int64
	end   chan struct{}
	ended chan struct{}
	err   error
}

// startLoad sends some hundred events a second, a few seconds out of order.
func (s *stack) startLoad() *load {
	client, _ := s.kafka()
	l := &load{end: make(chan struct{}), ended: make(chan struct{})}
	rng := rand.New(rand.NewPCG(1, 1))
	tick := time.NewTicker(20 * time.Millisecond)
	go func() {
		defer close(l.ended)
		defer tick.Stop()
		for l.err == nil {
			select {
			case <-l.end:
				return
			case <-tick.C:
			}
			l.mu.Lock()
			l.burst(client, s.topic, rng)
			l.mu.Unlock()
		}
	}()
	return l
}

// burst sends five events and waits until the broker has them.
func (l *load) burst(client *kgo.Client, topic string, rng *rand.Rand) {
	var records []*kgo.Record
	for range 5 {
		e := event{driver: rng.Int64N(rollingDrivers), serial: l.sent, partition: rng.Int32N(rollingPartitions)}
		e.eventMicros = time.Now().Add(-time.Duration(rng.IntN(3000)) * time.Millisecond).UnixMicro()
		records = append(records, &kgo.Record{Topic: topic, Partition: e.partition, Value: []byte(e.json())})
		l.sent++
	}
	l.err = client.ProduceSync(context.Background(), records...).FirstErr()
}

// atRest runs check while nothing is sent and everything is read.
func (l *load) atRest(s *stack, check func()) {
	s.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		s.t.Fatal(l.err)
	}
	s.waitCaughtUp(40 * time.Second)
	check()
}

// explained is a window of an answer of /v1/explain.
type explained struct {
	From, To time.Time
	Complete bool
	Since    *time.Time
	Pending  bool
	value    float64
}

// explain asks where windows of a driver come from, by feature.
func (s *stack) explain(driver int64, features ...string) map[string]explained {
	s.t.Helper()
	var text []byte
	s.eventually(30*time.Second, "explain windows", func() (err error) { // processes come and go on a small machine
		var status int
		status, text, err = s.post("/v1/explain", map[string]any{"features": features, "entities": []any{map[string]any{"driver_id": driver}}})
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", status, text)
		}
		return err
	})
	var a struct {
		Values []struct {
			Feature string
			Value   *float64
			Windows []explained
		}
	}
	if err := json.Unmarshal(text, &a); err != nil {
		s.t.Fatal(err)
	}
	all := make(map[string]explained)
	for _, v := range a.Values {
		w := v.Windows[0]
		if v.Value != nil {
			w.value = *v.Value
		}
		all[strings.TrimPrefix(v.Feature, "driver_windows:")] = w
	}
	return all
}

var rollingFeatures = []string{
	"driver_windows:even_unlimited", "driver_windows:sum_recent", "driver_windows:count_recent", "driver_windows:count_48h", "driver_windows:count_24h",
}

// TestRestartOneByOne adds an aggregate and windows to a live view and restarts
// the ingesting processes one after the other under load. What was there stays
// exact all the time; what is new is exact where it is called complete, and not
// complete before every partition counts it. A process of the old version that
// is given a partition of the new one ends, and loses nothing.
func TestRestartOneByOne(t *testing.T) {
	s := newStack(t, "rolling")
	s.env = append(s.env, fmt.Sprintf("MILLRACE_INGEST_MAX_FUTURE_SKEW=%s", rollingSkew))
	s.write(crashDefinitions(false))
	a := s.up(rollingPartitions)
	b, c := s.startIngest(), s.startIngest()
	l := s.startLoad()
	time.Sleep(2 * time.Second) // load before the change; there is no event to wait for
	s.write(strings.Replace(crashDefinitions(false), "services:", rollingWindows+"services:", 1))
	s.mustRun("apply", "--definitions", "definitions")
	applied := time.Now()
	s.serveAnew()

	oldExact := func() { s.compareWindowsTo("driver_windows", s.scanLog(), allWindows()) }
	l.atRest(s, oldExact)
	s.wantPending(true)

	s.endIngest(a)
	a = s.startIngest()
	l.atRest(s, oldExact)
	s.endIngest(b)
	s.startIngest()
	l.atRest(s, oldExact)
	s.wantPending(true) // c counts nothing new

	// The new a dies. Its partitions are shared by the new b and the old c.
	a.stop(syscall.SIGKILL)
	select {
	case <-c.done:
	case <-time.After(40 * time.Second):
		t.Fatal("the process of the old version goes on with partitions of the new one")
	}
	if c.err == nil || !strings.Contains(c.log.String(), "needs catalog version 2, this process runs 1") {
		t.Errorf("it ended with %v\n%s", c.err, tail(c.log.String(), 2000))
	}
	l.atRest(s, oldExact) // the new b has all
	s.restartIngest()
	s.restartIngest()
	s.eventually(20*time.Second, "every partition counts the new windows", func() error {
		if w := s.explain(1, rollingFeatures...)["sum_recent"]; w.Pending {
			return fmt.Errorf("it is %+v", w)
		}
		return nil
	})
	adopted := time.Now()
	s.eventually(60*time.Second, "a window of 20 s is complete", func() error {
		if w := s.explain(1, rollingFeatures...)["sum_recent"]; !w.Complete {
			return fmt.Errorf("it is %+v", w)
		}
		return nil
	})
	l.atRest(s, func() {
		oldExact()
		s.compareNewWindows(applied, adopted)
	})
	close(l.end)
	<-l.ended
	t.Logf("%d events", l.sent)
}

// serveAnew starts a server of the newest version and asks that one from then on.
func (s *stack) serveAnew() {
	s.t.Helper()
	s.http = freePort(s.t)
	s.env = append(s.env, "MILLRACE_SERVE_HTTP="+s.http)
	s.ready(s.start(freePort(s.t), "serve"))
}

// wantPending asks whether the new windows wait for lanes; the old ones do not.
func (s *stack) wantPending(want bool) {
	s.t.Helper()
	for name, w := range s.explain(1, rollingFeatures...) {
		if is := w.Pending; is != (want && name != "count_24h") || w.Complete == is {
			s.t.Errorf("%s: %+v", name, w)
		}
	}
}

// compareNewWindows holds the new windows against the log.
func (s *stack) compareNewWindows(applied, adopted time.Time) {
	s.t.Helper()
	whole := 0
	for driver, events := range s.scanLog() {
		all := s.explain(driver, rollingFeatures...)
		for name, w := range all {
			if name != "count_24h" && (w.Since == nil || w.Since.Before(applied.Add(2*rollingSkew)) || w.Since.After(adopted.Add(2*rollingSkew))) {
				s.t.Errorf("driver %d: %s is complete since %v; version 2 was applied at %v, adopted by all by %v", driver, name, w.Since, applied, adopted)
			}
			if w.Complete && name != "count_24h" && w.From.Before(*w.Since) {
				s.t.Errorf("driver %d: %s is complete: %+v", driver, name, w)
			}
		}
		// Tiles of the longer window are those of others, which reach back to all.
		if w := all["count_48h"]; w.Complete || w.value != float64(len(events)) {
			s.t.Errorf("driver %d: %+v of %d events", driver, w, len(events))
		}
		s.compareFrom(all["even_unlimited"], slices.DeleteFunc(slices.Clone(events), func(e event) bool { return e.serial%2 != 0 }))
		if all["sum_recent"].Complete != all["count_recent"].Complete {
			s.t.Errorf("driver %d: %+v", driver, all)
		}
		if !all["sum_recent"].Complete {
			continue
		}
		whole++
		for name, want := range map[string]float64{"sum_recent": sumOf(events, all["sum_recent"]), "count_recent": countOf(events, all["count_recent"])} {
			if w := all[name]; w.value != want {
				s.t.Errorf("driver %d: %s is %v, want %v: %+v", driver, name, w.value, want, w)
			}
		}
	}
	if whole != rollingDrivers {
		s.t.Errorf("%d drivers have complete windows, want %d", whole, rollingDrivers)
	}
}

// compareFrom holds a window against the events of which it has counted the later
// part.
func (s *stack) compareFrom(w explained, events []event) {
	s.t.Helper()
	from := *w.Since
	least := countOf(events, explained{From: from, To: from.Add(time.Hour)})
	if w.Complete || w.value < least || w.value >= float64(len(events)) || least == 0 {
		s.t.Errorf("%+v, want from %v on and less than %d", w, least, len(events))
	}
}

func within(events []event, w explained) []event {
	return slices.DeleteFunc(slices.Clone(events), func(e event) bool {
		at := time.UnixMicro(e.eventMicros)
		return at.Before(w.From) || !at.Before(w.To)
	})
}

func countOf(events []event, w explained) float64 { return float64(len(within(events, w))) }

func sumOf(events []event, w explained) (sum float64) {
	for _, e := range within(events, w) {
		sum += float64(e.serial)
	}
	return sum
}
