package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sourcegraph/conc/pool"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/serving/predict/predicttest"
)

const (
	calmEntities   = 1000 // whose inputs do not change
	hastyTimeout   = 200 * time.Millisecond
	staleEvery     = 50 * time.Millisecond // between reads of stale predictions, per system
	burstDrivers   = calmEntities + changedEntities
	slowTakes      = 100 * modelTakes
	faultBreathing = 6 * time.Second // after the model has failed: longer than the breaker's pause
)

// faults are what becomes of a model that was healthy.
var faults = []struct {
	name  string
	begin func(m *modelServer)
}{
	{"healthy", func(*modelServer) {}},
	{"dead: connections are refused", (*modelServer).close},
	{"silent: takes requests and never answers", func(m *modelServer) { m.fake.Behave(predicttest.Behaviour{Hang: make(chan struct{})}) }},
	{"100 times slower", func(m *modelServer) { m.fake.Behave(predicttest.Behaviour{Delay: slowTakes}) }},
}

// afflicted is a system whose model has one of the faults.
type afflicted struct {
	*system

	fault    string
	fresh    []time.Duration
	p99, p50 []float64 // of fresh reads by round
	rates    []float64 // of ingestion, by round
	produced int

	stale map[string][]time.Duration // reads of predictions that are not fresh, by origin
}

// predictFault runs a system for each fault at the same time, and compares them.
func predictFault(ctx context.Context, s settings, r *report) error {
	all := make([]*afflicted, 0, len(faults))
	for i := range faults {
		a, err := startAfflicted(ctx, s, i)
		if err != nil {
			return fmt.Errorf("%s: %w", faults[i].name, err)
		}
		defer a.stop()
		defer a.model.close()
		all = append(all, a)
	}
	if err := readAfflicted(ctx, s, all); err != nil {
		return err
	}
	for round := range s.rounds + 1 { // the first warms up
		for _, i := range rand.Perm(len(all)) {
			if err := all[i].burst(ctx, s, round > 0); err != nil {
				return fmt.Errorf("%s: %w", all[i].fault, err)
			}
		}
	}
	faultTable(s, r, all)
	return nil
}

// startAfflicted starts a system, has its predictions made, and lets its model
// have the fault.
func startAfflicted(ctx context.Context, s settings, i int) (*afflicted, error) {
	m, err := startModel(modelTakes)
	if err != nil {
		return nil, err
	}
	y, err := startSystem(ctx, s, fmt.Sprintf("bench_predict_fault%d", i), "[on_read, on_write]", "\n    debounce: 100ms", m)
	if err != nil {
		m.close()
		return nil, err
	}
	a := &afflicted{system: y, fault: faults[i].name, produced: burstDrivers, stale: make(map[string][]time.Duration)}
	if err = y.fill(ctx, burstDrivers); err == nil {
		err = y.waitFresh(ctx, burstDrivers)
	}
	if err != nil {
		y.stop()
		m.close()
		return nil, err
	}
	faults[i].begin(m)
	return a, nil
}

// faultChanges is the events per second of one of the systems: all of them share
// two cores with the servers.
func (s *settings) faultChanges() int {
	if s.embedded() {
		return 250
	}
	return 50
}

// readAfflicted measures reads of fresh and of stale predictions of all systems
// while inputs of all change.
func readAfflicted(ctx context.Context, s settings, all []*afflicted) error {
	lasts := faultBreathing + time.Duration(s.rounds)*(s.reads+s.reads/4)
	p := pool.New().WithContext(ctx).WithCancelOnError().WithFirstError()
	for _, a := range all {
		p.Go(func(ctx context.Context) error {
			sent, err := a.pace(ctx, s.faultChanges(), lasts, func(i int) *kgo.Record {
				return fare(calmEntities+i%changedEntities, a.produced+i)
			})
			a.produced += sent
			return err
		})
		p.Go(func(ctx context.Context) error { return a.readStale(ctx, lasts) })
	}
	p.Go(func(ctx context.Context) error {
		select {
		case <-ctx.Done():
		case <-time.After(faultBreathing): // what a fault does at first is told by the stale reads
		}
		return readFresh(ctx, s, all)
	})
	return p.Wait() //nolint:wrapcheck // says already what and where
}

// readFresh asks all systems in turn for predictions that are fresh.
func readFresh(ctx context.Context, s settings, all []*afflicted) error {
	kinds := make([]func(*rand.Rand) error, len(all))
	for i, a := range all {
		kinds[i] = func(rng *rand.Rand) error {
			return lookup(ctx, a.client, a.http, "scored", 4, randomKeys(rng, calmEntities, 1))
		}
	}
	for range s.rounds {
		took, err := alternate(ctx, s, 1, kinds...)
		if err != nil {
			return err
		}
		for i, a := range all {
			a.fresh = append(a.fresh, took[i]...)
			a.p50 = append(a.p50, quantile(took[i], 0.5).Seconds())
			a.p99 = append(a.p99, quantile(took[i], 0.99).Seconds())
		}
	}
	return nil
}

// readStale reads predictions whose inputs change, or that never were, in a
// hurry, and notes how long that takes and what comes.
func (a *afflicted) readStale(ctx context.Context, lasts time.Duration) error {
	var done sync.WaitGroup
	var mu sync.Mutex
	var failed error
	rng := rand.New(rand.NewPCG(a.s.seed, 7))
	tick := time.NewTicker(staleEvery)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < lasts && ctx.Err() == nil; <-tick.C {
		driver := calmEntities + rng.IntN(changedEntities+500) // the last have no inputs either
		done.Go(func() {
			began := time.Now()
			got, err := a.scores(ctx, hastyTimeout, driver)
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, errUnavailable):
				got = []score{{origin: "none: " + err.Error()}}
			case err != nil:
				failed = err
				return
			}
			a.stale[got[0].origin] = append(a.stale[got[0].origin], took)
		})
	}
	done.Wait()
	return failed
}

// burst measures how fast events are taken in.
func (a *afflicted) burst(ctx context.Context, s settings, counts bool) error {
	n := s.burst
	began := time.Now()
	a.produced += n
	if err := a.take(ctx, n, burstDrivers, a.produced); err != nil {
		return err
	}
	if counts {
		a.rates = append(a.rates, float64(n)/time.Since(began).Seconds())
	}
	return nil
}

func faultTable(s settings, r *report, all []*afflicted) {
	t := r.table("predict-fault: a model that fails, of the healthy one", "model", "fresh reads p50 ms", "p99 ms", "p50 of healthy", "p99 of healthy",
		"ingestion events/s", "of healthy")
	of := func(mine, base []float64) string {
		ratios := make([]float64, len(mine))
		for i := range mine {
			ratios[i] = mine[i] / base[i]
		}
		return fmt.Sprintf("%.0f %% (%.0f–%.0f)", 100*median(ratios), 100*slices.Min(ratios), 100*slices.Max(ratios))
	}
	for _, a := range all {
		t.add(a.fault, millis(quantile(a.fresh, 0.5)), millis(quantile(a.fresh, 0.99)), of(a.p50, all[0].p50), of(a.p99, all[0].p99),
			perSecond(median(a.rates)), of(a.rates, all[0].rates))
	}
	t.notef("A system for each, at the same time; predictions of %d entities refresh on read and on write while %d others change, %d events/s in each system. "+
		"Fresh reads are of the former, of one entity, one at a time, of all systems in turn by chance, in %d rounds of %s. "+
		"Ingestion is of bursts of %d events, of one system at a time.",
		calmEntities, changedEntities, s.faultChanges(), s.rounds, s.reads, s.burst)
	t.notef("Goals: p99 within 10 %% of healthy, ingestion within 5 %%. Ratios are of the rounds: median (least–greatest).")
	t = r.table(fmt.Sprintf("predict-fault: reads of stale and missing predictions with a deadline of %s", hastyTimeout), "model",
		"answers", "reads", "p50 ms", "p99 ms", "greatest ms", "later than the deadline")
	for _, a := range all {
		for _, origin := range slices.Sorted(maps.Keys(a.stale)) {
			took := a.stale[origin]
			late := 0
			for _, d := range took {
				if d > hastyTimeout {
					late++
				}
			}
			t.add(a.fault, cmp.Or(origin, "null"), strconv.Itoa(len(took)), millis(quantile(took, 0.5)), millis(quantile(took, 0.99)), millis(slices.Max(took)), strconv.Itoa(late))
		}
	}
	t.notef("From the moment in which the model fails, every %s in each system, of entities that change and of some without inputs. The model's own timeout is 1 s. "+
		"Times are by the caller's clock.", staleEvery)
}
