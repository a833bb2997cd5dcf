package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	changedEntities  = 5000
	changesPerSecond = 1000
	modelTakes       = 5 * time.Millisecond
	sampleEvery      = 125 * time.Millisecond
	pollEvery        = 5 * time.Millisecond
)

// predictChange measures from a change on Kafka until a read finds the
// prediction that was made of it, which reads do not make.
func predictChange(ctx context.Context, s settings, r *report) error {
	t := r.table(fmt.Sprintf("predict-change: from an event to its prediction, at %d events/s", changesPerSecond), "debounce", "events/s",
		"samples", "p50 ms", "p99 ms", "greatest ms", "within 1 s", "model calls/s", "keys per call", "CPU ms per s")
	parts := r.table("predict-change: parts of that, on average", slices.Concat([]string{"debounce"}, stageNames())...)
	for _, debounce := range []string{"", "100ms"} {
		if err := changeOf(ctx, s, t, parts, debounce); err != nil {
			return err
		}
	}
	parts.notef("Milliseconds, from the processes' own histograms. A refresh of a key reads twice and stores once, of up to 256 keys at a time.")
	t.notef("%d entities in turn, changed for %s; the model takes %s for a call and refreshes on write alone. Every %s the event just sent is followed: "+
		"its driver's score is read again and again, %s after each answer, until it is that of the event, with origin prediction_fresh:on_write. "+
		"Time is from before the event is given to the producer.",
		changedEntities, s.changes, modelTakes, sampleEvery, pollEvery)
	t.notef("Goal: within 1 s.")
	return nil
}

// stages are histograms of the way from an event to its prediction.
var stages = []struct{ name, histogram string }{
	{"an event is stored", "millrace_sink_write_duration_seconds"},
	{"the changelog is told", "millrace_changelog_publish_duration_seconds"},
	{"a change is refreshed, from its record on", "millrace_refresh_delay_seconds"},
	{"of that: a call of the model", "millrace_prediction_call_duration_seconds"},
	{"a read of the store, of lookups and refreshes", "millrace_serving_store_read_duration_seconds"},
}

func stageNames() []string {
	names := make([]string, len(stages))
	for i := range stages {
		names[i] = stages[i].name
	}
	return names
}

func changeOf(ctx context.Context, s settings, t, parts *table, debounce string) error {
	m, err := startModel(modelTakes)
	if err != nil {
		return err
	}
	defer m.close()
	extra := ""
	if debounce != "" {
		extra = "\n    debounce: " + debounce
	}
	y, err := startSystem(ctx, s, "bench_predict_change"+debounce, "[on_write]", extra, m)
	if err != nil {
		return err
	}
	defer y.stop()
	if err := y.fill(ctx, changedEntities); err != nil {
		return err
	}
	if err := y.waitFresh(ctx, changedEntities); err != nil {
		return err
	}
	before, err := y.counters(ctx)
	if err != nil {
		return err
	}
	calls, rows, cpu, began := m.calls.Load(), m.rows.Load(), y.cpu(), time.Now()
	sent, took, err := y.change(ctx, s.changes)
	if err != nil {
		return err
	}
	seconds := time.Since(began).Seconds()
	after, err := y.counters(ctx)
	if err != nil {
		return err
	}
	means := []string{cmp.Or(debounce, "none")}
	for i := range stages {
		of := func(part string) float64 { return after[stages[i].histogram+part] - before[stages[i].histogram+part] }
		means = append(means, fmt.Sprintf("%.1f", 1000*of("_sum")/max(1, of("_count"))))
	}
	parts.add(means...)
	within := 0
	for _, d := range took {
		if d <= time.Second {
			within++
		}
	}
	calls, rows = m.calls.Load()-calls, m.rows.Load()-rows
	t.add(cmp.Or(debounce, "none"), perSecond(float64(sent)/seconds), strconv.Itoa(len(took)), millis(quantile(took, 0.5)), millis(quantile(took, 0.99)),
		millis(slices.Max(took)), fmt.Sprintf("%.1f %%", 100*float64(within)/float64(len(took))), perSecond(float64(calls)/seconds),
		fmt.Sprintf("%.1f", float64(rows)/float64(max(calls, 1))), fmt.Sprintf("%.0f", (y.cpu()-cpu).Seconds()*1000/seconds))
	return nil
}

// change produces events for a time, and follows some of them.
func (y *system) change(ctx context.Context, lasts time.Duration) (sent int, took []time.Duration, err error) {
	f := &follower{system: y}
	sampled := time.Now()
	sent, err = y.pace(ctx, changesPerSecond, lasts, func(i int) *kgo.Record {
		driver, serial := i%changedEntities, changedEntities+i
		record := fare(driver, serial)
		if now := time.Now(); now.Sub(sampled) >= sampleEvery {
			sampled = now
			f.follow(ctx, driver, serial, now)
		}
		return record
	})
	f.done.Wait()
	if err == nil {
		err = f.err
	}
	return sent, f.took, err
}

// pace produces records at a rate for a time, and says how many.
func (y *system) pace(ctx context.Context, perSecond int, lasts time.Duration, write func(i int) *kgo.Record) (int, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(y.s.kafka), kgo.ProducerLinger(0), kgo.DefaultProduceTopic(y.name))
	if err != nil {
		return 0, fmt.Errorf("make a producer: %w", err)
	}
	defer client.Close()
	var mu sync.Mutex
	var failed error
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	sent := 0
	for began := time.Now(); time.Since(began) < lasts && ctx.Err() == nil; <-tick.C {
		for due := int(time.Since(began).Seconds() * float64(perSecond)); sent < due; sent++ {
			client.Produce(ctx, write(sent), func(_ *kgo.Record, err error) {
				if err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
			})
		}
	}
	if err := client.Flush(ctx); err != nil {
		return sent, fmt.Errorf("produce: %w", err)
	}
	mu.Lock()
	defer mu.Unlock()
	return sent, failed
}

// follower reads predictions of events until they are there.
type follower struct {
	*system

	done sync.WaitGroup
	mu   sync.Mutex
	took []time.Duration
	err  error
}

func (f *follower) follow(ctx context.Context, driver, serial int, began time.Time) {
	f.done.Go(func() {
		err := f.until(ctx, driver, serial, began.Add(30*time.Second))
		took := time.Since(began)
		f.mu.Lock()
		defer f.mu.Unlock()
		if err != nil {
			f.err = err
			return
		}
		f.took = append(f.took, took)
	})
}

// until reads the score of a driver until it is of an event, or of a later one.
func (f *follower) until(ctx context.Context, driver, serial int, end time.Time) error {
	for {
		got, err := f.scores(ctx, patient, driver)
		if err != nil {
			return err
		}
		if got[0].origin == "prediction_fresh:on_write" && got[0].value >= float64(2*serial) {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("driver %d has %v after 30 s, want %d", driver, got[0], 2*serial)
		}
		select {
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // the caller says of what
		case <-time.After(pollEvery): // predictions are told only to those who ask
		}
	}
}
