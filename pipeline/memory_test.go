package pipeline

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"millrace/internal/synctest"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sources"
)

// forgetful acknowledges tiles and keeps none, so that what memory is taken is
// the lane's.
type forgetful struct {
	gate   chan struct{} // nil, or writes wait until it is closed
	wrote  atomic.Int64
	loaded atomic.Int64
}

func (f *forgetful) WriteTiles(ctx context.Context, tiles []sinks.Tile) error {
	f.wrote.Add(int64(len(tiles)))
	if f.gate != nil {
		select {
		case <-f.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (f *forgetful) ReadTiles(_ context.Context, ids []sinks.TileID, dst *sinks.TileSet) error {
	f.loaded.Add(int64(len(ids)))
	dst.Reset(len(ids))
	return nil
}

// countsInto makes the rig's view count windows of two hops into f.
func countsInto(f *forgetful, budget int64) func(*Settings) {
	return func(s *Settings) {
		s.Routes[0].Views = []RouteView{simView()}
		s.Sink = dropSink{} // rows are no matter here
		s.Tiles, s.Sinces, s.TileBytes = f, sinks.NewSinces(new(memory.Store)), budget
	}
}

// entities makes n records, each of another entity.
func entities(first, n int64) []sources.Record {
	records := make([]sources.Record, n)
	for i := range records {
		offset := first + int64(i)
		records[i] = sources.Record{Offset: offset, TimeMillis: 1000 + offset%60_000, Value: fmt.Appendf(nil, "%08d", offset)}
	}
	return records
}

func tileKeys() int64 {
	if n, err := strconv.ParseInt(os.Getenv("MILLRACE_TILE_KEYS"), 10, 64); err == nil {
		return n
	}
	return 100_000
}

// liveHeap is what the collector leaves.
func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestTilesStayWithinTheirBudget counts very many entities, each in two tiles:
// what the lane says that it holds is within ingest.tile_bytes, and so is what
// the heap has grown by, but for buffers. MILLRACE_TILE_KEYS asks for more.
func TestTilesStayWithinTheirBudget(t *testing.T) {
	const budget, buffers, burst = 32 << 20, 24 << 20, 5000
	s, f := benchSettings(), new(forgetful)
	countsInto(f, budget)(&s)
	var held, tiles atomic.Int64
	s.Events = Events{BatchDone: func(b *BatchStats) {
		held.Store(max(held.Load(), b.HeldBytes))
		tiles.Store(max(tiles.Load(), int64(b.Held)))
	}}
	src, _ := s.Source.(*fakeSource)
	p, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	<-src.started
	if _, err := src.assign(fresh(p0)); err != nil {
		t.Fatal(err)
	}
	before, grown, keys := liveHeap(), int64(0), tileKeys()
	for first := int64(0); first < keys; first += burst {
		if src.h.Deliver(fetch(p0, entities(first, burst)...)) {
			<-src.resumed
		}
		if first%(keys/8) < burst {
			grown = max(grown, liveHeap()-before)
		}
	}
	for p.Snapshot()[0].Next != keys {
		time.Sleep(time.Millisecond) // there is no event of a lane that has nothing to do
	}
	grown = max(grown, liveHeap()-before)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	t.Logf("%d entities: %d tiles written, at most %d held, %d KiB of them, the heap grew by %d KiB", keys, f.wrote.Load(), tiles.Load(), held.Load()>>10, grown>>10)
	if f.wrote.Load() != 2*keys || f.loaded.Load() != 2*keys {
		t.Errorf("%d tiles written, %d loaded, want two per entity", f.wrote.Load(), f.loaded.Load())
	}
	inFlight := held.Load() * 3 * 2 * 2048 / max(tiles.Load(), 1)
	if held.Load() > budget+inFlight || held.Load() < budget/2 {
		t.Errorf("%d bytes of tiles were held, the budget is %d and batches in flight have %d", held.Load(), budget, inFlight)
	}
	if grown > budget+inFlight+buffers {
		t.Errorf("the heap grew by %d bytes, the budget is %d, batches in flight have %d", grown, budget, inFlight)
	}
}

// A tile is let go only when the store has it: while acknowledgements are
// outstanding, memory exceeds its budget by what is in flight and no more.
func TestTilesAreHeldUntilTheStoreHasThem(t *testing.T) {
	const budget = 64 << 10
	f := new(forgetful)
	limits := func(s *Settings) {
		countsInto(f, budget)(s)
		s.MaxRows, s.InFlight = 500, 3
		f.gate = make(chan struct{})
	}
	run(t, limits, func(r *rig) {
		r.assign(fresh(p0))
		r.src.h.Deliver(fetch(p0, entities(0, 4000)...))
		synctest.Wait()
		ts := r.p.allLanes()[0].tiles
		if f.wrote.Load() != 3000 || len(ts.all) != 3000 || ts.bytes <= budget {
			t.Errorf("%d tiles are in flight, %d are held with %d bytes, want 3000", f.wrote.Load(), len(ts.all), ts.bytes)
		}
		for _, h := range ts.all {
			if h.pending.Load() != 1 {
				t.Errorf("a tile is held that %d writes are under way of", h.pending.Load())
				break
			}
		}
		each := ts.bytes / 3000
		close(f.gate)
		settle()
		r.wantCommit(p0, 4000)
		// The last batches were in flight when they were closed; the next one lets them go.
		r.src.h.Deliver(fetch(p0, entities(4000, 1)...))
		settle()
		if ts.bytes > budget || ts.bytes < budget-2*each || f.wrote.Load() != 8002 {
			t.Errorf("%d bytes are held of %d tiles, the budget is %d; %d were written", ts.bytes, len(ts.all), budget, f.wrote.Load())
		}
	})
}

// Records below the fences change no tile, but their tiles are loaded: a topic
// that is read again from its start takes no more memory than the first time.
func TestTilesThatNothingChangesAreLetGo(t *testing.T) {
	const budget = 64 << 10
	f := new(forgetful)
	run(t, countsInto(f, budget), func(r *rig) {
		r.assign(fresh(p0))
		settle()
		ts := r.p.allLanes()[0].tiles
		ts.since.Next = 1 << 30 // what is loaded is as if it had counted all that comes
		for first := range int64(10) {
			r.src.h.Deliver(fetch(p0, entities(first*1000, 1000)...))
			settle()
			if ts.bytes > budget || len(ts.all) > 1000 {
				t.Errorf("%d bytes of %d tiles are held, the budget is %d", ts.bytes, len(ts.all), budget)
			}
		}
		if f.wrote.Load() != 0 || f.loaded.Load() != 20_000 {
			t.Errorf("%d tiles were written, %d loaded", f.wrote.Load(), f.loaded.Load())
		}
	})
}

// A lane that rests gives its share up when others come.
func TestLanesThatRestShareTheirTiles(t *testing.T) {
	const budget = 1 << 20
	f := new(forgetful)
	run(t, countsInto(f, budget), func(r *rig) {
		r.assign(fresh(p0))
		for first := range int64(3) {
			r.src.h.Deliver(fetch(p0, entities(first*1000, 1000)...))
			settle()
		}
		ts := r.p.allLanes()[0].tiles
		if ts.bytes < budget/2 {
			t.Errorf("%d bytes are held", ts.bytes)
		}
		r.assign(fresh(p1), fresh(sources.Partition{Topic: "trips", Number: 2}), fresh(sources.Partition{Topic: "trips", Number: 3}))
		settle()
		if ts.bytes > budget/4 {
			t.Errorf("%d bytes are held by one of four lanes, the budget of all is %d", ts.bytes, budget)
		}
	})
}
