package pipeline

import (
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
	"time"

	"millrace/feature"
	"millrace/transforms"
)

// hotPlan has six aggregates over three windows.
func hotPlan(tb testing.TB) *transforms.Plan {
	tb.Helper()
	src := &feature.Source{Name: "trips", Format: feature.FormatJSON, Fields: []feature.SourceField{
		{Field: feature.Field{Name: "id", Type: feature.Of(feature.KindInt64)}}, {Field: feature.Field{Name: "fare", Type: feature.Of(feature.KindFloat64)}},
	}}
	v := &feature.View{Name: "v", Keys: []feature.JoinKeyExpr{{JoinKey: "id", Expr: "id"}}}
	for _, kind := range []string{"count", "sum", "avg", "min", "max", "stddev_pop"} {
		for _, length := range []time.Duration{time.Hour, 24 * time.Hour, 7 * 24 * time.Hour} {
			a := &feature.Aggregate{Kind: kind, Of: "fare", Window: length}
			v.Features = append(v.Features, feature.Feature{Name: kind + strconv.Itoa(int(length.Hours())), Aggregate: a})
		}
	}
	p, problems := transforms.Compile(v, src, &feature.Entity{Name: "e", JoinKeys: []feature.Field{{Name: "id", Type: feature.Of(feature.KindInt64)}}})
	if len(problems) > 0 {
		tb.Fatal(problems[0].Message)
	}
	return p
}

// hotRows is a batch of rows of random entities, and their keys.
type hotRows struct {
	plan  *transforms.Plan
	batch feature.Batch
	rows  feature.Rows
	keys  []string
	next  int64
}

const hotEntities = 100_000

// fill makes the next batch; entity names the entity of a row.
func (h *hotRows) fill(tb testing.TB, n int, entity func(offset int64) int) {
	tb.Helper()
	h.batch.Reset(transforms.Fields(h.plan.Source, []*transforms.Plan{h.plan}), 0)
	h.keys = h.keys[:0]
	for i := range n {
		h.batch.AppendRow(feature.Origin{Offset: h.next, RecordMillis: 1e12, EventMicros: 1e15 + h.next, Record: int32(i)})
		h.batch.Columns[0].SetInt(i, int64(entity(h.next)))
		h.batch.Columns[1].SetFloat(i, float64(h.next%97)+0.25)
		h.keys = append(h.keys, strconv.Itoa(entity(h.next)))
		h.next++
	}
	w, err := h.plan.NewWriter(h.batch.Fields, time.Minute)
	if err != nil {
		tb.Fatal(err)
	}
	w.Apply(&h.batch, 0, &h.rows)
}

// count has t count the batch, and closes it.
func (h *hotRows) count(tb testing.TB, t *tiles, s *slot, views []RouteView) {
	tb.Helper()
	t.touch(0, h.plan.Windows, &h.rows, h.keys)
	t.loaded.Reset(len(t.toLoad("e", "v@1", h.plan.Windows)))
	if err := t.take(h.plan.Windows); err != nil {
		tb.Fatal(err)
	}
	t.update(h.plan.Windows, &h.rows, nil)
	t.close(s, views, h.next)
	s.acknowledged()
	s.reset()
}

func newHot(tb testing.TB, entities int) (*hotRows, *tiles, []RouteView) {
	tb.Helper()
	h := &hotRows{plan: hotPlan(tb)}
	t := newTiles(0, func() int64 { return 1 << 40 })
	t.begin(1, 1, 0)
	views := []RouteView{{View: &feature.View{Name: "v", Entity: "e"}, Windows: h.plan.Windows, stored: "v@1"}}
	s := new(slot)
	for int(h.next) < entities {
		h.fill(tb, min(2000, entities-int(h.next)), func(offset int64) int { return int(offset) })
		h.count(tb, t, s, views)
	}
	return h, t, views
}

// BenchmarkTiles counts rows of entities whose tiles are held, with six
// aggregates over three windows, and takes the tiles' bytes batch by batch.
func BenchmarkTiles(b *testing.B) {
	h, t, views := newHot(b, hotEntities)
	rng, s := rand.New(rand.NewPCG(1, 2)), new(slot)
	const rows = 2048
	drawn := make([]int, rows)
	for i := range drawn {
		drawn[i] = rng.IntN(hotEntities)
	}
	h.fill(b, rows, func(offset int64) int { return drawn[offset%rows] })
	b.ReportAllocs()
	for b.Loop() {
		t.begun(h) // the same rows again are new ones
		h.count(b, t, s, views)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
}

// begun moves the fences of all tiles below the batch.
func (t *tiles) begun(h *hotRows) {
	for i := range h.rows.Origins {
		h.rows.Origins[i].Offset += int64(len(h.rows.Origins))
	}
	h.next += int64(len(h.rows.Origins))
}

// What a lane charges for the tiles that it holds is near what they take.
func TestHeldTilesAreChargedWhatTheyTake(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory")
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	h, held, _ := newHot(t, 20_000)
	runtime.GC()
	runtime.ReadMemStats(&after)
	took := int64(after.HeapAlloc - before.HeapAlloc)
	t.Logf("%d tiles take %d bytes each and are charged %d", len(held.all), took/int64(len(held.all)), held.bytes/int64(len(held.all)))
	if held.bytes*100 < took*85 || held.bytes*100 > took*125 {
		t.Errorf("%d tiles take %d bytes and are charged %d", len(held.all), took, held.bytes)
	}
	runtime.KeepAlive(h)
	runtime.KeepAlive(held)
}

// Counting rows of entities whose tiles are held allocates nothing per row.
func TestCountingAllocatesNothingPerRow(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	h, held, views := newHot(t, 500)
	s := new(slot)
	h.fill(t, 500, func(offset int64) int { return int(offset) % 500 })
	h.count(t, held, s, views)
	n := testing.AllocsPerRun(20, func() {
		held.begun(h)
		h.count(t, held, s, views)
	})
	if n > 10 {
		t.Errorf("%v allocations for a batch of 500 rows", n)
	}
}
