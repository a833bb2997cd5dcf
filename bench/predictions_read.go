package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	scoredEntities = 10_000 // whose predictions are fresh
	missingAtOnce  = 64
	missingTrials  = 20
	crowdSize      = 1000
	crowdTrials    = 5
)

// predictRead measures lookups that find predictions fresh beside the same
// features alone, and counts the calls of the model for those that find none.
func predictRead(ctx context.Context, s settings, r *report) error {
	m, err := startModel(5 * time.Millisecond)
	if err != nil {
		return err
	}
	defer m.close()
	y, err := startSystem(ctx, s, "bench_predict_read", "[on_read]", "", m)
	if err != nil {
		return err
	}
	defer y.stop()
	if err := y.fill(ctx, scoredEntities+missingTrials*missingAtOnce+crowdTrials); err != nil {
		return err
	}
	if err := y.missing(ctx, r); err != nil {
		return err
	}
	if err := y.crowded(ctx, r); err != nil {
		return err
	}
	if err := y.waitFresh(ctx, scoredEntities); err != nil {
		return err
	}
	return y.freshHits(ctx, r)
}

// missing looks up entities whose predictions were never made.
func (y *system) missing(ctx context.Context, r *report) error {
	var cold, warm, calls []float64
	for trial := range missingTrials {
		keys := make([]int, missingAtOnce)
		for i := range keys {
			keys[i] = scoredEntities + trial*missingAtOnce + i
		}
		before := y.model.calls.Load()
		took, err := y.timed(ctx, keys, "prediction_computed:missing")
		if err != nil {
			return err
		}
		cold, calls = append(cold, took), append(calls, float64(y.model.calls.Load()-before))
		if took, err = y.timed(ctx, keys, "prediction_fresh:on_read"); err != nil {
			return err
		}
		warm = append(warm, took)
	}
	t := r.table(fmt.Sprintf("predict-read: one lookup of %d entities", missingAtOnce), "predictions", "lookups", "p50 ms", "greatest ms", "model calls per lookup, most")
	ms := func(v float64) string { return fmt.Sprintf("%.2f", v) }
	t.add("missing: inferred and stored", strconv.Itoa(missingTrials), ms(median(cold)), ms(slices.Max(cold)), fmt.Sprint(slices.Max(calls)))
	t.add("stored by that", strconv.Itoa(missingTrials), ms(median(warm)), ms(slices.Max(warm)), "0")
	t.notef("The model takes 5 ms for a call. Goal: one call.")
	return nil
}

// timed is how many milliseconds a lookup takes whose predictions all have an
// origin.
func (y *system) timed(ctx context.Context, keys []int, origin string) (float64, error) {
	began := time.Now()
	got, err := y.scores(ctx, patient, keys...)
	took := time.Since(began)
	for i := range got {
		if got[i].origin != origin || got[i].value != float64(2*keys[i]) {
			return 0, fmt.Errorf("driver %d has %v, want %d, %s", keys[i], got[i], 2*keys[i], origin)
		}
	}
	return took.Seconds() * 1000, err
}

// crowded has a thousand callers ask for one missing key.
func (y *system) crowded(ctx context.Context, r *report) error {
	t := r.table(fmt.Sprintf("predict-read: %d callers ask for one missing key", crowdSize), "trial", "model calls", "p50 ms", "p99 ms")
	connect := func() error {
		_, err := y.ask(ctx, patient, `{"service":"features","entities":{"driver_id":[1]}}`)
		return err
	}
	if _, err := crowd(crowdSize, connect); err != nil {
		return err
	}
	for trial := range crowdTrials {
		key := scoredEntities + missingTrials*missingAtOnce + trial
		before := y.model.calls.Load()
		took, err := crowd(crowdSize, func() error {
			got, err := y.scores(ctx, patient, key)
			if err == nil && got[0].value != float64(2*key) {
				err = fmt.Errorf("driver %d has %v", key, got)
			}
			return err
		})
		if err != nil {
			return err
		}
		t.add(strconv.Itoa(trial+1), strconv.FormatInt(y.model.calls.Load()-before, 10), millis(quantile(took, 0.5)), millis(quantile(took, 0.99)))
	}
	t.notef("Over HTTP, each on a connection of its own, all sent at once; serve.concurrency is 1,200 for that. Goal: one call.")
	return nil
}

// freshHits alternates lookups without and with the prediction.
func (y *system) freshHits(ctx context.Context, r *report) error {
	t := r.table("predict-read: fresh predictions beside the same features", "entities", "in flight", "lookups of each kind",
		"features p50 ms", "with prediction p50 ms", "more at p50", "features p99 ms", "with prediction p99 ms", "more at p99")
	for _, c := range []struct{ entities, inFlight int }{{1, 1}, {1, 4}, {10, 1}, {100, 1}} {
		kinds := make([]func(*rand.Rand) error, 0, 2)
		for i, service := range []string{"features", "scored"} {
			kinds = append(kinds, func(rng *rand.Rand) error {
				return lookup(ctx, y.client, y.http, service, 3+i, randomKeys(rng, scoredEntities, c.entities))
			})
		}
		before := y.model.calls.Load()
		all, p50, p99 := make([][]time.Duration, 2), make([]float64, y.s.rounds), make([]float64, y.s.rounds)
		for round := range y.s.rounds {
			took, err := alternate(ctx, y.s, c.inFlight, kinds...)
			if err != nil {
				return err
			}
			more := func(q float64) float64 { return (quantile(took[1], q) - quantile(took[0], q)).Seconds() * 1000 }
			p50[round], p99[round] = more(0.5), more(0.99)
			all[0], all[1] = append(all[0], took[0]...), append(all[1], took[1]...)
		}
		if y.model.calls.Load() != before {
			return errors.New("predictions that are fresh have cost calls of the model")
		}
		span := func(v []float64) string {
			return fmt.Sprintf("%.2f (%.2f–%.2f)", median(v), slices.Min(v), slices.Max(v))
		}
		t.add(strconv.Itoa(c.entities), strconv.Itoa(c.inFlight), strconv.Itoa(len(all[0])), millis(quantile(all[0], 0.5)), millis(quantile(all[1], 0.5)), span(p50),
			millis(quantile(all[0], 0.99)), millis(quantile(all[1], 0.99)), span(p99))
	}
	t.notef("%d entities; 3 features, or these and the prediction made of two of them. Every caller asks for one and the other in turn, so that both meet the same "+
		"neighbours on the machine; rounds of %s. Quantiles are of all rounds; what is more, of each round: median (least–greatest).", scoredEntities, y.s.reads)
	t.notef("Goal: at most 0.2 ms more at p99.")
	return nil
}

// alternate is hammer with several kinds of requests, which every caller makes
// one after the other, in an order of chance; it returns the durations of each.
func alternate(ctx context.Context, s settings, inFlight int, kinds ...func(*rand.Rand) error) ([][]time.Duration, error) {
	var mu sync.Mutex
	all := make([][]time.Duration, len(kinds))
	warm := time.Now().Add(s.reads / 4)
	_, err := hammer(ctx, s, inFlight, func(rng *rand.Rand) error {
		for _, i := range rng.Perm(len(kinds)) {
			began := time.Now()
			if err := kinds[i](rng); err != nil {
				return err
			}
			took := time.Since(began)
			if began.Before(warm) {
				continue
			}
			mu.Lock()
			all[i] = append(all[i], took)
			mu.Unlock()
		}
		return nil
	})
	return all, err
}
