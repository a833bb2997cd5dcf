package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/pipeline"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sources"
	"millrace/transforms"
	"millrace/transforms/window"
)

// A view whose windows count trips in tiles of a second and in one without end,
// and know the last code: version 1 refuses codes that are no number.
const windowed = `
  - name: rides
    entity: driver
    source: trips
    where: code is distinct from 'none'
    late: dead_letter
    features:
      - {name: number, expr: cast(code as bigint)}
      - {name: n, agg: count, window: 1m, hop: 1s}
      - {name: all, agg: count, window: unlimited}
      - {name: newest, agg: last, of: code, window: unlimited}
`

func windowedCatalogs(t tester) (v1, v2 *Catalog) {
	t.Helper()
	return catalog(t, 1, broken+windowed), catalog(t, 2, fixed+strings.ReplaceAll(windowed, "cast(code", "try_cast(code"))
}

// sabotage takes away one of the parts that make tiles exact.
type sabotage int

const (
	nothing sabotage = iota
	noFence          // tiles come back without what they have passed
	noStamp          // the last writer wins
	noLook           // letters are marked without a look at who replays
	sabotages
)

// WriteTiles may be killed between any two tiles.
func (k *killer) WriteTiles(ctx context.Context, tiles []sinks.Tile) error {
	for _, tile := range tiles {
		if k.broken == noStamp {
			writes++
			tile.Stamp = writes
		}
		if err := k.call(func() error { return k.Store.WriteTiles(ctx, []sinks.Tile{tile}) }); err != nil {
			return err
		}
	}
	return nil
}

var writes int64 // of noStamp

func (k *killer) ReadTiles(ctx context.Context, ids []sinks.TileID, dst *sinks.TileSet) error {
	return k.call(func() error {
		err := k.Store.ReadTiles(ctx, ids, dst)
		for i, state := range dst.States {
			if k.broken == noFence && state != nil {
				dst.Put(i, decodeTile(k.windows, &sinks.Tile{TileID: ids[i], State: slices.Clone(state)}).Snapshot(window.Fence{}, nil))
			}
		}
		return err
	})
}

// rides returns the windows of a catalog's view of that name.
func rides(c *Catalog) *transforms.Windows {
	views := c.Routes[0].Views
	return views[slices.IndexFunc(views, func(v pipeline.RouteView) bool { return v.View.Name == "rides" })].Windows
}

func decodeTile(ws *transforms.Windows, t *sinks.Tile) *window.Tile {
	hop := slices.IndexFunc(ws.Hops, func(h transforms.Hop) bool { return int32(h.Span/time.Second) == t.HopSeconds })
	tile := ws.Hops[hop].Shape.NewTile(window.Fence{})
	if err := tile.Decode(t.State, window.Fence{}); err != nil {
		panic(err)
	}
	return tile
}

// counted is what a tile's first aggregate says.
func counted(tile *window.Tile) int64 {
	var c feature.Column
	c.Reset(feature.Of(feature.KindInt64))
	c.AppendNull()
	tile.Finalize(0, &c, 0)
	return c.Ints[0]
}

// compareTiles holds tiles against the records: lanes counted what version 1
// took, replays the rest, everything once; the last code is that of the record
// that is last by event and record time, whoever counted it.
func compareTiles(ws *transforms.Windows, store *memory.Store, all []trip) (faults []string) {
	want := make(map[sinks.TileID]int64)
	last := make(map[string]*trip)
	for i := range all {
		r := &all[i]
		if r.driver == 0 || r.code == "none" {
			continue
		}
		id := sinks.TileID{Entity: "driver", Key: fmt.Sprint(r.driver), View: "rides@1", Source: r.partition}
		if r.fare != "5" || r.code != "7" {
			id.Source = sinks.ReplaySource
		}
		for _, h := range ws.Hops {
			id.HopSeconds, id.Start = int32(h.Span/time.Second), window.TileStart(r.event*1000, h.Span)
			want[id]++
		}
		if old := last[id.Key]; old == nil || r.newer(old) {
			last[id.Key] = r
		}
	}
	merged := make(map[string]*window.Tile)
	tiles := store.Tiles()
	for i := range tiles {
		tile, id := decodeTile(ws, &tiles[i]), tiles[i].TileID
		if n := counted(tile); n != want[id] {
			faults = append(faults, fmt.Sprintf("tile %+v counted %d, want %d", id, n, want[id]))
		}
		delete(want, id)
		if id.HopSeconds != 0 {
			continue
		}
		if merged[id.Key] == nil {
			merged[id.Key] = tile
		} else {
			merged[id.Key].Merge(tile)
		}
	}
	for id, n := range want {
		faults = append(faults, fmt.Sprintf("tile %+v is missing, want %d", id, n))
	}
	for key, tile := range merged {
		var c feature.Column
		c.Reset(feature.Of(feature.KindString))
		c.AppendNull()
		tile.Finalize(1, &c, 0)
		if r := last[key]; r != nil && c.Strings[0] != r.code {
			faults = append(faults, fmt.Sprintf("the last code of driver %s is %s, want %s", key, c.Strings[0], r.code))
		}
	}
	return faults
}

// replaysOfWindows draws trips and a history of replays, each of which dies at
// a call of the store, or is taken over at one and does not notice at once, and
// says what windows got wrong in the end. draw returns a number in [0, n).
func replaysOfWindows(t tester, v1, v2 *Catalog, draw func(n int) int, broken sabotage) []string {
	t.Helper()
	store, all := new(memory.Store), make([]trip, 1+draw(40))
	for i := range all {
		all[i] = trip{
			driver: draw(3), fare: []string{"5", "5", "5.5"}[draw(3)], code: []string{"7", "seven", "none", "8x"}[draw(4)],
			event: base + 700*int64(draw(5)), partition: int32(i % 2), offset: int64(i / 2), record: base + 1000 + int64(i*37%61)*10,
		}
	}
	for p := range int32(2) {
		ingest(t, store, v1, p, records(all, p))
	}
	var faults []string
	var replay func(left, depth int)
	replay = func(left, depth int) {
		k := &killer{Store: store, left: left, broken: broken, windows: rides(v2)}
		if k.after = draw(2) == 0; left >= 0 && depth < 2 && draw(2) == 0 {
			k.instead = func() { replay(draw(80)-20, depth+1) }
		}
		s := settings(k, v1, v2)
		s.MaxAttempts, s.chunk, s.batch = 100, 12, 2
		_, err := Run(context.Background(), s, sinks.LetterFilter{Source: "trips"})
		if err != nil && !errors.Is(err, errKilled) && !errors.Is(err, ErrTakenOver) {
			faults = append(faults, err.Error())
		}
		faults = append(faults, k.faults...)
		if draw(3) == 0 { // the lane died before it committed
			ingest(t, store, v1, 0, records(all, 0))
		}
	}
	for range draw(7) {
		replay(draw(60), 0)
	}
	replay(-1, 0)
	return append(faults, compareTiles(rides(v2), store, all)...)
}

// Killed and taken over anywhere, any number of times, with lanes that write
// letters again in between: every window counts every letter once.
func TestWindowsCountEveryLetterOnce(t *testing.T) {
	v1, v2 := windowedCatalogs(t)
	rapid.Check(t, func(t *rapid.T) {
		if faults := replaysOfWindows(t, v1, v2, func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "n") }, nothing); len(faults) > 0 {
			t.Fatalf("%q", faults)
		}
	})
}

func TestEverySabotageOfTilesIsSeen(t *testing.T) {
	v1, v2 := windowedCatalogs(t)
	for broken := range sabotages {
		wrong := 0
		const seeds = 300
		for seed := range uint64(seeds) {
			if len(replaysOfWindows(t, v1, v2, rand.New(rand.NewPCG(seed, 5)).IntN, broken)) > 0 {
				wrong++
				if broken != nothing {
					break
				}
			}
		}
		if (wrong > 0) != (broken != nothing) {
			t.Errorf("sabotage %d: %d of %d histories go wrong", broken, wrong, seeds)
		}
	}
}

// A late letter is as late as it was: it stays, and no window counts it.
func TestLateLettersStayLate(t *testing.T) {
	store := new(memory.Store)
	v1, v2 := windowedCatalogs(t)
	rides(v2).Lateness = time.Hour
	r := trip{driver: 1, fare: "5", code: "seven", event: base, record: base + 2*3600_000}
	ingest(t, store, v1, 0, records([]trip{r}, 0))
	got := replay(t, settings(store, v1, v2), sinks.LetterFilter{View: "rides"})
	if got.RefusedAgain != 1 || got.Reasons[feature.ReasonLate] != 1 || len(store.Tiles()) != 0 {
		t.Errorf("%+v, %d tiles", got, len(store.Tiles()))
	}
	if !slices.ContainsFunc(store.Rows(), func(r sinks.Row) bool { return r.View == "rides@1" }) {
		t.Error("what the view stores of the row is not stored")
	}
}

// Epochs of tiles are few, so only replays that were left in mid-chunk use one.
func TestOnlyInterruptedReplaysUseAnEpoch(t *testing.T) {
	store, _, s := fill(t, 3)
	for range 3 {
		replay(t, s, sinks.LetterFilter{})
	}
	tiles := func() (epoch int64) {
		text, err := store.Get(t.Context(), sinks.MetaReplays, "trips")
		var is state
		if err = errors.Join(err, json.Unmarshal(text, &is)); err != nil {
			t.Fatal(err)
		}
		return is.Tiles
	}
	if n := tiles(); n != 0 {
		t.Errorf("epoch %d after whole replays", n)
	}
	dying := s
	dying.Store = &killer{Store: store, left: 6}
	if _, err := Run(t.Context(), dying, sinks.LetterFilter{Source: "trips"}); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	replay(t, s, sinks.LetterFilter{})
	if n := tiles(); n != 1 {
		t.Errorf("epoch %d after one that was interrupted", n)
	}
}

// partDecoder is manyDecoder, which cannot read the element x.
type partDecoder struct{ manyDecoder }

func (d partDecoder) Decode(ctx context.Context, dst *feature.Batch, recs []sources.Record) error {
	err := d.manyDecoder.Decode(ctx, dst, recs)
	for last := dst.Rows() - 1; last >= 0 && dst.Origins[last].Element == 2; last-- { // x is the last one
		dst.RejectLast(feature.StageDecode, feature.ReasonMalformed, "x")
	}
	return err
}

// Of a record that nobody could decode one element is still refused: windows
// count the others once, however often it is tried again.
func TestWhatIsDecodedNowIsNotTriedAgain(t *testing.T) {
	store := new(memory.Store)
	c := catalog(t, 1, broken+windowed)
	c.Routes[0].Shapes[0].NewDecoder = func() sources.Decoder { return partDecoder{} }
	l := sinks.Letter{
		LetterID: sinks.LetterID{Source: "trips", Element: feature.WholeRecord}, Topic: "trips",
		RecordMillis: base, RecordValue: []byte("12x"), CatalogVersion: 1,
	}
	if err := store.Put(t.Context(), []sinks.Letter{l}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		replay(t, settings(store, c), sinks.LetterFilter{})
	}
	var views []string
	for _, l := range store.Letters() {
		views = append(views, l.View)
		if l.Element != 2 || l.Attempts != 3 || l.Reason != feature.ReasonMalformed {
			t.Errorf("letter left: %+v", l)
		}
	}
	if !slices.Equal(views, []string{"codes", "fares", "rides"}) {
		t.Errorf("letters of views %q are left", views)
	}
	tiles := store.Tiles()
	if len(tiles) != 4 { // two keys, two hops
		t.Errorf("%d tiles", len(tiles))
	}
	for i := range tiles {
		if n := counted(decodeTile(rides(c), &tiles[i])); n != 1 || tiles[i].Source != sinks.ReplaySource {
			t.Errorf("tile %+v counted %d", tiles[i].TileID, n)
		}
	}
}

// The first element of a record was refused for no view in particular: windows
// have counted the others, and a replay counts that one alone.
func TestTheFirstElementIsNotTheRecord(t *testing.T) {
	store := new(memory.Store)
	c := catalog(t, 1, broken+windowed)
	c.Routes[0].Shapes[0].NewDecoder = func() sources.Decoder { return manyDecoder{} }
	l := sinks.Letter{
		LetterID: sinks.LetterID{Source: "trips"}, Topic: "trips",
		RecordMillis: base, RecordValue: []byte("123"), CatalogVersion: 1,
	}
	if err := store.Put(t.Context(), []sinks.Letter{l}); err != nil {
		t.Fatal(err)
	}
	if got := replay(t, settings(store, c), sinks.LetterFilter{}); got.Stored != 1 {
		t.Errorf("%+v", got)
	}
	for _, tile := range store.Tiles() {
		if n := counted(decodeTile(rides(c), &tile)); tile.Key != "1" || n != 1 {
			t.Errorf("tile %+v counted %d", tile.TileID, n)
		}
	}
	if n := len(store.Tiles()); n != 2 { // of one key, two hops
		t.Errorf("%d tiles", n)
	}
}
