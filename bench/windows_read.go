package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sourcegraph/conc/pool"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	lookedUp     = 10 // entities per lookup
	readSpread   = 16 // partitions of the spread topic
	hotEntities  = 100
	wideEntities = 20
)

// spanOf is a window's length and its hop.
type spanOf struct{ length, hop time.Duration }

const oneHop = "windows: [1h, 6h, 1d], hop: 15m"

var (
	threeHopSpans = []spanOf{{time.Hour, time.Minute}, {24 * time.Hour, 15 * time.Minute}, {7 * 24 * time.Hour, 3 * time.Hour}}
	oneHopSpans   = []spanOf{{24 * time.Hour, 15 * time.Minute}} // of the greatest window: one read serves all
)

// readWindowsDefinitions has two views of one source: 18 windowed features and
// 18 stored ones.
func readWindowsDefinitions(windows string) string {
	var kept strings.Builder
	for i := range 18 {
		fmt.Fprintf(&kept, "      - {name: f%d, expr: fare + %d}\n", i, i)
	}
	head, _, _ := strings.Cut(ingestDefinitions, "views:\n")
	view := func(name string) string {
		return "  - name: " + name + "\n    entity: driver\n    source: trips\n    features:\n"
	}
	return head + "views:\n" + view("kept") + kept.String() + view("counted") + aggregated(fixed, windows) +
		"services:\n  - {name: stored, features: [kept]}\n  - {name: windowed, features: [counted]}\n"
}

// density is how often the entities of a reading have events.
type density struct {
	name       string
	windows    string
	spans      []spanOf // that are read
	entities   int
	partitions int32 // that each entity's events are spread over
	times      []time.Duration
}

// densities: an event in every tile of every window, so that a read meets as
// many tiles as it can; and one an hour.
func densities() []density {
	return []density{
		{"an event an hour", windowsOf, threeHopSpans, hotEntities, 1, every(spanOf{7 * 24 * time.Hour, time.Hour})},
		{"every tile", windowsOf, threeHopSpans, hotEntities, 1, every(threeHopSpans...)},
		{"every tile, one hop", oneHop, oneHopSpans, hotEntities, 1, every(oneHopSpans...)},
		{"every tile", windowsOf, threeHopSpans, wideEntities, readSpread, every(threeHopSpans...)},
	}
}

// every is how long ago the hops of spans were.
func every(spans ...spanOf) []time.Duration {
	var all []time.Duration
	for _, s := range spans {
		for at := time.Duration(0); at < s.length; at += s.hop {
			all = append(all, at)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// readWindows measures lookups of 10 entities × 18 windowed features over HTTP
// beside 18 stored ones, and beside raw selects of what each of them reads.
func readWindows(ctx context.Context, s settings, r *report) error {
	t := r.table("read-windows: lookups of 10 entities × 18 features, one at a time", "events", "partitions", "tiles per lookup",
		"stored p50 ms", "windowed p50 ms", "windowed: stored", "stored p99 ms", "windowed p99 ms", "raw select of rows p50 ms", "raw select of tiles p50 ms")
	for i, d := range densities() {
		if err := readDensity(ctx, s, t, i, &d); err != nil {
			return fmt.Errorf("%s, %d partitions: %w", d.name, d.partitions, err)
		}
	}
	t.notef("Count, sum, avg, min, max and stddev over windows of 1 h, 1 d and 7 d, their default hops 1 m, 15 m and 3 h; " +
		"with one hop, over 1 h, 6 h and 1 d with hops of 15 m.")
	t.notef("Measurements alternate over %d rounds; medians, ratios of the rounds: median (least–greatest). Raw selects are of the same cells, "+
		"one query per entity for rows and one per entity and hop for tiles; they decode nothing and merge nothing.", s.rounds)
	t.notef("Goal at one partition: windowed features add at most 2× the time of stored ones, a ratio of 3 or less.")
	return nil
}

func readDensity(ctx context.Context, s settings, t *table, i int, d *density) error {
	p, err := newProject(s, fmt.Sprintf("bench_tiles%d", i), readWindowsDefinitions(d.windows))
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.fillTiles(ctx, d); err != nil {
		return err
	}
	return p.whileServed(ctx, func(db *rawStore, addr string) error { return d.measure(ctx, s, t, db, addr) })
}

// fillTiles has `millrace ingest` count the events of a density.
func (p *project) fillTiles(ctx context.Context, d *density) error {
	if err := p.createTopic(ctx, d.partitions); err != nil {
		return err
	}
	if err := p.apply(); err != nil {
		return err
	}
	rng, now := rand.New(rand.NewPCG(p.s.seed, 3)), time.Now()
	n := d.entities * len(d.times) * int(d.partitions)
	err := p.send(ctx, n, func(i int, r *kgo.Record) {
		r.Partition = int32(i) % d.partitions
		at := i / int(d.partitions)
		r.Value = trip(nil, i, at%d.entities, rng, now.Add(-d.times[at/d.entities]))
	}, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	one := *p
	one.s.events = n
	_, err = ingestOnce(ctx, &one)
	return err
}

// reading is the times of one kind of read, by round.
type reading struct{ p50, p99 []float64 }

func (d *density) measure(ctx context.Context, s settings, t *table, db *rawStore, addr string) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	service := func(name string) func(*rand.Rand) error {
		return func(rng *rand.Rand) error {
			return lookup(ctx, client, addr, name, 18, randomKeys(rng, d.entities, lookedUp))
		}
	}
	tiles := 0
	kinds := []func(*rand.Rand) error{
		service("stored"), service("windowed"),
		func(rng *rand.Rand) error { return db.read(ctx, randomKeys(rng, d.entities, lookedUp), "kept@1") },
		func(rng *rand.Rand) (err error) {
			tiles, err = db.readTiles(ctx, randomKeys(rng, d.entities, lookedUp), "counted@1", d.spans, time.Now())
			return err
		},
	}
	got := make([]reading, len(kinds))
	short := s
	short.reads = s.reads / time.Duration(s.rounds)
	for range s.rounds {
		for i, do := range kinds {
			took, err := hammer(ctx, short, 1, do)
			if err != nil {
				return err
			}
			got[i].p50 = append(got[i].p50, quantile(took, 0.5).Seconds()*1000)
			got[i].p99 = append(got[i].p99, quantile(took, 0.99).Seconds()*1000)
		}
	}
	ratios := make([]float64, s.rounds)
	for i := range ratios {
		ratios[i] = got[1].p50[i] / got[0].p50[i]
	}
	ms := func(v []float64) string { return fmt.Sprintf("%.2f", median(v)) }
	t.add(d.name, strconv.Itoa(int(d.partitions)), strconv.Itoa(tiles), ms(got[0].p50), ms(got[1].p50),
		fmt.Sprintf("%.1f (%.1f–%.1f)", median(ratios), slices.Min(ratios), slices.Max(ratios)),
		ms(got[0].p99), ms(got[1].p99), ms(got[2].p50), ms(got[3].p50))
	return nil
}

// readTiles selects the tiles of some keys, a query per key and window, and
// returns how many there were.
func (r *rawStore) readTiles(ctx context.Context, keys []string, view string, spans []spanOf, now time.Time) (int, error) {
	counts := make([]int, len(keys)*len(spans))
	g := pool.New().WithContext(ctx).WithMaxGoroutines(16)
	for i := range counts {
		g.Go(func(ctx context.Context) error {
			key, s := keys[i/len(spans)], spans[i%len(spans)]
			from, to := now.Add(-s.length).Truncate(s.hop).UnixMicro(), now.Truncate(s.hop).Add(s.hop).UnixMicro()
			iter := r.session.Query("SELECT start, src, state FROM tiles WHERE entity = 'driver' AND key = ? AND feature_view = ? AND hop = ? AND start >= ? AND start < ?",
				key, view, int(s.hop.Seconds()), from, to).WithContext(ctx).PageSize(1000).Iter()
			var start int64
			var src int
			var state []byte
			for iter.Scan(&start, &src, &state) {
				counts[i]++
			}
			return iter.Close() //nolint:wrapcheck // the caller says what it did
		})
	}
	err := g.Wait()
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum, err //nolint:wrapcheck // the caller says what it did
}
