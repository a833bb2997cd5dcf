package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sources"
	"millrace/transforms"
	"millrace/transforms/window"
)

// The simulated view counts its rows in tiles of a second and in one without
// end, and keeps the last key: what an answer needs to be wrong visibly.
var simWindows = simWindowsOf()

func simView() RouteView {
	v := &feature.View{Name: "v", Entity: "e", Revision: 1, Generation: 1}
	r := fakeView(v)
	r.Windows = simWindows
	r.NewTransformer = func() Transformer { return fakeTransformer{v: v, ws: simWindows} }
	r.Finished.NewTransformer = r.NewTransformer
	for i := range simWindows.Features {
		r.Aggregates = append(r.Aggregates, Aggregate{ID: simWindows.Features[i].ID(), Version: 1})
	}
	return r
}

// The sabotages: each takes one of the parts away that make tiles exact.
const (
	noFence      = "no fence"
	noStamp      = "no stamp"
	lateSnapshot = "late snapshot"
	noLetters    = "adoption does not read letters"
)

// WriteTiles implements sinks.TileSink.
func (s *store) WriteTiles(ctx context.Context, tiles []sinks.Tile) error {
	effect, err := s.enter(ctx, &s.w.storeDown, 30*time.Millisecond)
	if !effect {
		return err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	distinct := make(map[sinks.TileID]bool)
	for _, t := range tiles {
		if distinct[t.TileID] {
			s.w.faultf("one write names tile %+v twice", t.TileID)
		}
		distinct[t.TileID] = true
		s.noteTile(&t)
		t.Key, t.State = string([]byte(t.Key)), bytes.Clone(t.State)
		if s.w.broken == lateSnapshot {
			s.encodeNow(&t)
		}
		s.tiles = append(s.tiles, t)
	}
	s.settle(!s.w.volatile)
	return err
}

// WriteTogether implements sinks.TogetherSink: each half may fail by itself.
func (s *store) WriteTogether(ctx context.Context, rows []sinks.Row, tiles []sinks.Tile) error {
	return errors.Join(s.WriteTiles(ctx, tiles), s.Write(ctx, rows))
}

// encodeNow is the mistake of encoding a tile when it is stored.
func (s *store) encodeNow(t *sinks.Tile) {
	fence := decodeTile(t).Fence
	if s.m.p == nil { // a replay, which counts nothing meanwhile
		return
	}
	for _, l := range s.m.p.allLanes() {
		for k, h := range l.tiles.all {
			if k.key == t.Key && k.start == t.Start && hopSeconds(simWindows, k.hop) == t.HopSeconds && l.partition.Number == t.Source && h.state != nil {
				t.State = h.state.Snapshot(fence, nil)
			}
		}
	}
}

func shapeOf(id *sinks.TileID) *window.Shape {
	i := slices.IndexFunc(simMoreWindows.Hops, func(h transforms.Hop) bool { return int32(h.Span/time.Second) == id.HopSeconds })
	return simMoreWindows.Hops[i].Shape
}

func decodeTile(t *sinks.Tile) *window.Tile {
	tile := shapeOf(&t.TileID).NewTile(window.Fence{})
	if err := tile.Decode(t.State, window.Fence{}); err != nil {
		panic(err)
	}
	return tile
}

// settleTiles makes durable what was acknowledged; the caller holds mu.
func (s *store) settleTiles() {
	for _, t := range s.tiles {
		if old, found := s.w.tiles[t.TileID]; !found || s.w.broken == noStamp || t.Newer(&old) {
			s.w.tiles[t.TileID] = t
		}
	}
	s.tiles = nil
}

// ReadTiles implements sinks.TileLoader: it sees what any process has
// acknowledged. What a process has not made durable, it may still lose by
// itself, unless somebody else has seen it.
func (s *store) ReadTiles(ctx context.Context, ids []sinks.TileID, dst *sinks.TileSet) error {
	effect, err := s.enter(ctx, &s.w.storeDown, 20*time.Millisecond)
	if !effect || err != nil {
		return errDown
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, other := range s.w.stores {
		if other != s && !other.m.dead {
			other.settle(true) // in the order of writing: letters do not outlive tiles alone
		}
	}
	dst.Reset(len(ids))
	for i, id := range ids {
		t, found := s.w.tiles[id]
		for _, mine := range s.tiles {
			if mine.TileID == id && (!found || mine.Newer(&t)) {
				t, found = mine, true
			}
		}
		if !found {
			continue
		}
		if s.w.broken == noFence {
			t.State = decodeTile(&t).Snapshot(window.Fence{}, nil)
		}
		dst.Put(i, t.State)
	}
	return nil
}

// compareTiles holds the merged tiles against the log: invariants 5 and 6. The
// caller holds mu.
func (w *world) compareTiles() {
	want := make(map[sinks.TileID]int64)
	w.each(func(_ sources.Partition, _ int, r sources.Record) {
		if !w.reads(w.latest(), r.Value[0]) {
			return
		}
		for hop := range simWindows.Hops {
			id := sinks.TileID{Entity: "e", Key: string(r.Value), View: "v@1", HopSeconds: hopSeconds(simWindows, hop)}
			id.Start = window.TileStart(r.TimeMillis*1000, simWindows.Hops[hop].Span)
			want[id]++
		}
	})
	got := make(map[sinks.TileID]*window.Tile)
	for id, t := range w.tiles {
		id.Source = 0
		if tile := decodeTile(&t); got[id] == nil {
			got[id] = tile
		} else {
			got[id].Merge(tile)
		}
	}
	for id, n := range want {
		if got[id] == nil {
			w.faultf("tile %+v is missing", id)
			continue
		}
		for i, a := range shapeOf(&id).Aggregates {
			var c feature.Column
			c.Reset(feature.Of(feature.KindInt64))
			if a.Spec.Kind == window.KindLast || a.Spec.Kind == window.KindFirst {
				c.Reset(feature.Of(feature.KindString))
			}
			c.AppendNull()
			got[id].Finalize(i, &c, 0)
			if a.Spec.Kind == window.KindCount && c.Ints[0] != n || a.Spec.Kind == window.KindLast && c.Strings[0] != id.Key {
				w.faultf("tile %+v: aggregate %d is %v %v, want %d", id, i, c.Ints, c.Strings, n)
			}
		}
	}
	if len(got) != len(want) {
		w.faultf("%d tiles, want %d", len(got), len(want))
	}
}

// randomScript is a script without rapid, for many seeds.
func randomScript(rng *rand.Rand) []step {
	script := make([]step, 5+rng.IntN(35))
	for i := range script {
		script[i] = step{simSteps[rng.IntN(len(simSteps))], rng.Int32N(simPartitions), rng.IntN(simMembers), 1 + rng.IntN(40)}
	}
	return script
}

// TestSabotagesOfTilesAreSeen: with one part of what makes tiles exact taken
// away, simulations go wrong. The third sabotage is a race as well: see
// TestLateSnapshotsAreSeenWithoutRace.
func TestSabotagesOfTilesAreSeen(t *testing.T) {
	for _, broken := range []string{noFence, noStamp, noLetters} {
		t.Run(broken, func(t *testing.T) { goesWrong(t, broken) })
	}
}

func goesWrong(t *testing.T, broken string) {
	t.Helper()
	const enough, most = 3, 2000
	wrong, seeds := 0, uint64(0)
	for ; seeds < most && wrong < enough; seeds++ {
		rng := rand.New(rand.NewPCG(seeds, 7))
		if len(simulate(t, seeds, false, broken, randomScript(rng))) > 0 {
			wrong++
		}
	}
	t.Logf("%d of %d simulations went wrong", wrong, seeds)
	if wrong < enough {
		t.Error("too little was seen")
	}
}

// TestSimulatedTilesAreExact runs many seeds; MILLRACE_SIM_SEEDS asks for more.
func TestSimulatedTilesAreExact(t *testing.T) {
	for seed := range simSeeds() {
		rng := rand.New(rand.NewPCG(seed, 7))
		if faults := simulate(t, seed, seed%3 == 0, "", randomScript(rng)); len(faults) > 0 {
			t.Fatal(fmt.Sprintf("seed %d: ", seed), faults)
		}
	}
}

func simSeeds() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("MILLRACE_SIM_SEEDS"), 10, 64); err == nil {
		return n
	}
	return 200
}
