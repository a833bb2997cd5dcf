package main

import (
	"context"
	"fmt"
	"slices"
)

// onWrite is a model whose input is the view of the ingest scenario. Its server
// is not there: who ingests asks it nothing.
const onWrite = `models:
  - name: fraud
    version: "1"
    endpoint: http://127.0.0.1:1
    entity: driver
    inputs: ["driver_trips:last_fare", "driver_trips:fare_per_km"]
    outputs: [{name: score, type: float64}]
    refresh: [on_write]
`

// changelogIngest takes in the same backlog without and with a model that
// refreshes on write, alternately: what the changelog costs ingestion.
func changelogIngest(ctx context.Context, s settings, r *report) error {
	variants := []struct{ name, definitions string }{{"without a model", ""}, {"with a model that refreshes on write", onWrite}}
	var projects []*project
	for i, v := range variants {
		p, err := newProject(s, fmt.Sprintf("bench_changelog%d", i), ingestDefinitions+v.definitions)
		if err != nil {
			return err
		}
		defer p.close()
		if err := p.produce(ctx, s.events); err != nil {
			return err
		}
		if err := p.apply(); err != nil {
			return err
		}
		projects = append(projects, p)
	}
	took := make([][]usage, len(projects))
	order := []int{0, 1}
	for round := range s.rounds + 1 { // the first warms the servers up
		for _, i := range order {
			u, err := ingestOnce(ctx, projects[i])
			if err != nil {
				return fmt.Errorf("%s: %w", variants[i].name, err)
			}
			if round > 0 {
				took[i] = append(took[i], u)
			}
		}
		slices.Reverse(order)
	}
	t := r.table("changelog: the ingest scenario, without and with a model that refreshes on write", "pipeline", "events/s", "of the first line", "client CPU µs/event")
	for i, v := range variants {
		rates, ratios, cpus := make([]float64, s.rounds), make([]float64, s.rounds), make([]float64, s.rounds)
		for round, u := range took[i] {
			rates[round] = float64(s.events) / u.wall.Seconds()
			ratios[round] = took[0][round].wall.Seconds() / u.wall.Seconds()
			cpus[round] = float64(u.cpu.Microseconds()) / float64(s.events)
		}
		t.add(v.name, perSecond(median(rates)), fmt.Sprintf("%.0f %% (%.0f–%.0f)", 100*median(ratios), 100*slices.Min(ratios), 100*slices.Max(ratios)), fmt.Sprintf("%.1f", median(cpus)))
	}
	t.notef("%d events over %d entities and %d partitions, in rounds that alternate; wall time includes process start, joining the group and the last commit. "+
		"Ratios are of the rounds: median (least–greatest).",
		s.events, entities, partitions)
	t.notef("Goal: the changelog costs at most 10 %%.")
	return nil
}
