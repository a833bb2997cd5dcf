package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// variant is one of several pipelines that take in the same events.
type variant struct {
	name       string
	aggregates []string // each over windowsOf
	eventID    bool
}

const windowsOf = "windows: [1h, 1d, 7d]"

var (
	fixed    = []string{"count", "sum, of: fare", "avg, of: fare", "min, of: fare", "max, of: fare", "stddev_pop, of: fare"}
	sketches = []string{"count_distinct, of: city", "quantile, of: fare, q: 0.95", "top_k, of: city, k: 10", "last_n, of: fare, n: 20"}
)

// windowsIngest compares the pipeline without windows with the same one with
// six aggregates over three windows.
func windowsIngest(ctx context.Context, s settings, r *report) error {
	return compare(ctx, s, r, "windows: 3 derived features, without and with 6 aggregates × 3 windows",
		"Goal: at least 35 % of the events per second without windows, at most one write per entity, view and hop of a micro-batch.",
		variant{name: "without windows"}, variant{name: "with windows", aggregates: fixed})
}

func windowsSketches(ctx context.Context, s settings, r *report) error {
	return compare(ctx, s, r, "windows-sketches: without windows and with count_distinct, quantile, top_k, last_n × 3 windows", "Reported; no goal.",
		variant{name: "without windows"}, variant{name: "with sketches", aggregates: sketches})
}

func windowsEventID(ctx context.Context, s settings, r *report) error {
	return compare(ctx, s, r, "windows-event-id: 6 aggregates × 3 windows, without and with event_id", "Goal: event_id costs at most 15 %.",
		variant{name: "without event_id", aggregates: fixed}, variant{name: "with event_id", aggregates: fixed, eventID: true})
}

// definitions of a variant are those of the ingest scenario and its windows.
func (v *variant) definitions() string {
	text := strings.Replace(ingestDefinitions, "      - {name: status, type: string}\n",
		"      - {name: status, type: string}\n      - {name: city, type: string}\n      - {name: trip_id, type: string}\n", 1)
	if v.eventID {
		text = strings.Replace(text, "    event_time: completed_at\n", "    event_time: completed_at\n    event_id: trip_id\n", 1)
	}
	return text + aggregated(v.aggregates, windowsOf)
}

// aggregated is the features of aggregates over windows.
func aggregated(aggregates []string, windows string) string {
	var features strings.Builder
	for i, a := range aggregates {
		fmt.Fprintf(&features, "      - {name: w%d, agg: %s, %s}\n", i, a, windows)
	}
	return features.String()
}

// rounds of one variant.
type rounds struct {
	*variant
	worker *worker
	first  burst // touches every entity for the first time
	hot    []burst
}

// compare runs all variants at once, and lets them take in bursts of events one
// after the other: the first touches every entity once, the others are of
// random ones, which their lanes hold by then.
func compare(ctx context.Context, s settings, r *report, title, goal string, variants ...variant) error {
	all := make([]*rounds, 0, len(variants))
	for i := range variants {
		w, err := startVariant(ctx, s, i, &variants[i])
		if err != nil {
			return err
		}
		defer w.stop()
		all = append(all, &rounds{variant: &variants[i], worker: w})
	}
	base := time.Now().Truncate(time.Hour) // all rounds within one tile of each hop
	for round := range s.rounds + 2 {      // the first of the random ones warms up
		for _, one := range all {
			rng := rand.New(rand.NewPCG(s.seed, uint64(round)))
			b, err := one.worker.take(ctx, s.burstOf(round), func(i int, rec *kgo.Record) {
				driver := i
				if round > 0 {
					driver = rng.IntN(s.hot)
				}
				rec.Key = []byte(strconv.Itoa(driver))
				rec.Value = trip(nil, round<<24+i, driver, rng, base.Add(time.Duration(round*1_000_000+i)*time.Microsecond))
			})
			if err != nil {
				return fmt.Errorf("%s: %w", one.name, err)
			}
			switch round {
			case 0:
				one.first = b
			case 1:
			default:
				one.hot = append(one.hot, b)
			}
		}
		slices.Reverse(all)
	}
	slices.SortFunc(all, func(a, b *rounds) int { return slices.IndexFunc(variants, a.is) - slices.IndexFunc(variants, b.is) })
	return compareTable(ctx, s, r, title, goal, all)
}

func (r *rounds) is(v variant) bool { return v.name == r.name }

// burstOf is the events of a round; the first has one for each entity.
func (s *settings) burstOf(round int) int {
	if round == 0 {
		return s.hot
	}
	return s.burst
}

func startVariant(ctx context.Context, s settings, i int, v *variant) (*worker, error) {
	p, err := newProject(s, fmt.Sprintf("bench_windows%d", i), v.definitions())
	if err != nil {
		return nil, err
	}
	if err := p.createTopic(ctx, partitions); err != nil {
		return nil, err
	}
	if err := p.apply(); err != nil {
		return nil, err
	}
	return p.work(ctx)
}

func compareTable(ctx context.Context, s settings, r *report, title, goal string, all []*rounds) error {
	t := r.table(title, "pipeline", "events/s", "of the first line", "client CPU µs/event", "tiles written per event",
		"tiles loaded per event", "new entities/s", "tiles loaded per new entity", "max RSS MiB")
	rate := func(b *burst) float64 { return float64(b.events) / b.wall.Seconds() }
	base := over(all[0].hot, rate)
	for _, one := range all {
		mine := over(one.hot, rate)
		ratios := make([]float64, len(mine))
		for i := range mine {
			ratios[i] = mine[i] / base[i]
		}
		rss, err := one.worker.end()
		if err != nil {
			return err
		}
		t.add(one.name, perSecond(median(mine)), fmt.Sprintf("%.0f %% (%.0f–%.0f)", 100*median(ratios), 100*slices.Min(ratios), 100*slices.Max(ratios)),
			fmt.Sprintf("%.1f", median(over(one.hot, func(b *burst) float64 { return float64(b.cpu.Microseconds()) / float64(b.events) }))),
			fmt.Sprintf("%.2f", median(over(one.hot, func(b *burst) float64 { return b.written / float64(b.events) }))),
			fmt.Sprintf("%.2f", median(over(one.hot, func(b *burst) float64 { return b.loaded / float64(b.events) }))),
			perSecond(rate(&one.first)), fmt.Sprintf("%.2f", one.first.loaded/float64(one.first.events)), fmt.Sprintf("%.0f", float64(rss)/1024))
	}
	tile, err := all[len(all)-1].worker.p.tileBytes(ctx)
	if err != nil {
		return err
	}
	t.notef("%d entities, each touched before and held; topics of %d partitions keyed by the entity; rounds of %d events, alternately; "+
		"tiles of %d bytes on average. Ratios are of the rounds: median (least–greatest). New entities are those of the first round, whose tiles are looked for in the store.",
		s.hot, partitions, s.burst, tile)
	t.notef("%s", goal)
	return nil
}

func over(bursts []burst, f func(*burst) float64) []float64 {
	all := make([]float64, len(bursts))
	for i := range bursts {
		all[i] = f(&bursts[i])
	}
	return all
}

// tileBytes is the bytes of some tiles that the project has stored, on average.
func (p *project) tileBytes(ctx context.Context) (int, error) {
	db, err := openRaw(p.s.cql, "millrace_"+p.name)
	if err != nil {
		return 0, err
	}
	defer db.close()
	iter := db.session.Query("SELECT state FROM tiles LIMIT 300").WithContext(ctx).Iter()
	var state []byte
	n, sum := 0, 0
	for iter.Scan(&state) {
		n, sum = n+1, sum+len(state)
	}
	if err := iter.Close(); err != nil {
		return 0, fmt.Errorf("read tiles: %w", err)
	}
	return sum / max(1, n), nil
}
