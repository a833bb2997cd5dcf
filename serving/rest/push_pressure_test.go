package rest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/internal/synctest"
	"millrace/sinks"
)

const countDefinitions = `
project: rides
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources: [{name: profiles, push: {topic: profiles}, fields: [{name: driver_id, type: int64}, {name: rating, type: float64}]}]
views: [{name: profile, entity: driver, source: profiles, features: [{name: pushes, agg: count, window: 1h}]}]
`

// slow is a store that takes so many rows a second, one after the other, and
// answers after a way to it and back. What is more waits: a store refuses
// nothing.
type slow struct {
	sinks.Sink
	perSecond int
	way       time.Duration

	mu   sync.Mutex
	free time.Time // when it has stored all that it was given
}

func (s *slow) Write(ctx context.Context, rows []sinks.Row) error {
	if err := s.take(ctx, len(rows)); err != nil {
		return err
	}
	return s.Sink.Write(ctx, rows) //nolint:wrapcheck // the test's own
}

// take returns when so many rows are stored.
func (s *slow) take(ctx context.Context, rows int) error {
	s.mu.Lock()
	now := time.Now()
	if s.free.Before(now) {
		s.free = now
	}
	s.free = s.free.Add(time.Duration(rows) * time.Second / time.Duration(s.perSecond))
	wait := time.NewTimer(s.free.Sub(now) + s.way)
	s.mu.Unlock()
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the store: %w", ctx.Err())
	}
}

// outcomes are what pushes came to.
type outcomes struct {
	mu       sync.Mutex
	took     []time.Duration // of accepted ones
	accepted []int           // ids
	refused  int
	other    []string
	lastHalf int // accepted ones that came in the second half
}

func (o *outcomes) p99() time.Duration {
	slices.Sort(o.took)
	return o.took[len(o.took)*99/100]
}

// pushOne pushes one row and notes what it came to.
func (w *pushWorld) pushOne(id int, o *outcomes, late bool) {
	begun := time.Now()
	rec := httptest.NewRecorder()
	w.serve(rec, httptest.NewRequest(http.MethodPost, "/v1/push/profiles", strings.NewReader(fmt.Sprintf(`{"rows": [{"driver_id": %d, "rating": 1}]}`, id))))
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case rec.Code == http.StatusOK:
		o.took, o.accepted = append(o.took, time.Since(begun)), append(o.accepted, id)
		if late {
			o.lastHalf++
		}
	case rec.Code == http.StatusServiceUnavailable && rec.Header().Get("Retry-After") != "" && strings.Contains(rec.Body.String(), `"overloaded"`):
		o.refused++
	default:
		o.other = append(o.other, rec.Body.String())
	}
}

// offer pushes at random moments, so many a second, whatever becomes of them.
func (w *pushWorld) offer(perSecond int, d time.Duration, o *outcomes) {
	r := rand.New(rand.NewPCG(1, 2))
	var all sync.WaitGroup
	begun := time.Now()
	for id := 1_000_000; time.Since(begun) < d; id++ {
		time.Sleep(time.Duration(r.ExpFloat64() * float64(time.Second) / float64(perSecond)))
		late := time.Since(begun) > d/2
		all.Go(func() { w.pushOne(id, o, late) })
	}
	all.Wait()
}

// heldNow is how much memory is in use, stacks included.
func heldNow() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// TestPressure offers five times what the store takes: it goes on at its full
// rate, whoever is let in is answered nearly as soon as without the others, and
// the rest is refused and costs nothing.
func TestPressure(t *testing.T) {
	const rate, lasting = 500, 12 * time.Second
	for name, definitions := range map[string]string{"direct": profileDefinitions, "topic": countDefinitions} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newPushWorld(t)
				w.now = time.Time{}
				s := &slow{Sink: w.store, perSecond: rate, way: 8 * time.Millisecond}
				if name == "topic" {
					s.way = 20 * time.Millisecond // lanes commit as soon
				}
				w.sink, w.topic.taken = s, s.take
				w.define(definitions)
				w.handler = w.make()
				var unloaded, loaded outcomes
				for id := range 200 {
					w.pushOne(id, &unloaded, false)
				}
				held := heldNow()
				w.offer(5*rate, lasting, &loaded)
				held = heldNow() - held
				if len(unloaded.accepted) != 200 || len(loaded.other) > 0 {
					t.Fatalf("%d of 200 accepted, then %d failed: %.300v", len(unloaded.accepted), len(loaded.other), loaded.other)
				}
				offered := len(loaded.accepted) + loaded.refused
				t.Logf("unloaded p99 %v; of %d, %d accepted, p99 %v, last half %d; %d KiB more", unloaded.p99(), offered, len(loaded.accepted), loaded.p99(), loaded.lastHalf, held>>10)
				if p99 := loaded.p99(); p99 > 3*unloaded.p99() {
					t.Errorf("p99 is %v, and %v without load", p99, unloaded.p99())
				}
				if n := loaded.lastHalf; n < rate*6*95/100 || n > rate*6*105/100 {
					t.Errorf("%d of the last 6 s were accepted", n)
				}
				if offered < 4*rate*12 || loaded.refused < offered*7/10 {
					t.Errorf("%d of %d were refused", loaded.refused, offered)
				}
				if held > 16<<20 {
					t.Errorf("%d bytes more are in use", held)
				}
				if name == "direct" && len(w.store.Rows()) != 200+len(loaded.accepted) {
					t.Errorf("%d are stored, %d were accepted", len(w.store.Rows()), 200+len(loaded.accepted))
				}
				if name == "topic" && len(w.topic.rows) != 200+len(loaded.accepted) {
					t.Errorf("%d are on the topic, %d were accepted", len(w.topic.rows), 200+len(loaded.accepted))
				}
			})
		})
	}
}

// TestPressureSlowsStreams: a stream beside more than the store takes waits for
// its turns; where it was refused it goes on at next_row, and every line is there.
func TestPressureSlowsStreams(t *testing.T) {
	const rows = 3000
	synctest.Test(t, func(t *testing.T) {
		w := newPushWorld(t)
		w.now = time.Time{}
		w.sink = &slow{Sink: w.store, perSecond: 500, way: 8 * time.Millisecond}
		w.define(profileDefinitions)
		w.handler = w.make()
		var others outcomes
		var both sync.WaitGroup
		both.Go(func() { w.offer(1000, 10*time.Second, &others) })
		next, told, requests := 0, 0, 0
		for next < rows && requests < 100 {
			requests++
			status, a := w.lines(strings.NewReader(strings.SplitAfterN(profileLines(rows), "\n", next+1)[next]))
			if status == http.StatusOK {
				next, told = rows, told+a.Stored
				break
			}
			if a.Error.NextRow == nil || a.Error.Code != "overloaded" {
				t.Fatalf("%d %+v", status, a)
			}
			next, told = next+*a.Error.NextRow, told+a.Error.Written.Stored
			time.Sleep(time.Second)
		}
		both.Wait()
		if next != rows || told != rows || len(w.store.Rows()) != rows+len(others.accepted) {
			t.Errorf("%d of %d lines in %d requests, %d told; %d are stored, %d others were accepted", next, rows, requests, told, len(w.store.Rows()), len(others.accepted))
		}
		if len(others.other) > 0 || len(others.accepted) < 500 || others.refused < 500 {
			t.Errorf("others: %d accepted, %d refused, %d failed: %.300v", len(others.accepted), others.refused, len(others.other), others.other)
		}
		t.Logf("%d requests; others: %d accepted, %d refused, p99 %v", requests, len(others.accepted), others.refused, others.p99())
	})
}
