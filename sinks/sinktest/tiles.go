package sinktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"millrace/sinks"
)

func tileContracts() []contract {
	return []contract{
		{"TileKeepsTheGreatestStateInEveryOrder", greatestTileInEveryOrder},
		{"LaterEpochOutranksEveryOffset", epochsOutrank},
		{"EveryPartOfATilesNameCounts", tilesApart},
		{"RowsAndTilesAreApart", rowsAndTilesApart},
		{"RowsAndTilesWrittenTogetherKeepTheirOrders", writtenTogether},
		{"ManyTilesAreLoadedAtOnce", manyTiles},
		{"LargestTiles", largestTiles},
		{"TileSetIsReused", tileSetIsReused},
		{"CallersBuffersAreFreeAfterWriteTiles", borrowedTiles},
		{"TilesThatExpireAreReadBefore", expiringTiles},
		{"CallsWithoutTiles", noTiles},
	}
}

// hourTile is a tile of hops of an hour without expiry.
func hourTile(entity, key string, hours int64, source int32, stamp int64, state string) sinks.Tile {
	const hour = 3600
	id := sinks.TileID{Entity: entity, Key: key, View: "v@1", HopSeconds: hour, Start: hours * hour * 1_000_000, Source: source}
	return sinks.Tile{TileID: id, Stamp: stamp, State: []byte(state)}
}

func writeTiles(t tester, s Store, tiles ...sinks.Tile) {
	t.Helper()
	if err := s.WriteTiles(t.Context(), tiles); err != nil {
		t.Fatalf("WriteTiles of %d tiles: %v", len(tiles), err)
	}
}

func loadTiles(t tester, s Store, ids ...sinks.TileID) [][]byte {
	t.Helper()
	var set sinks.TileSet
	if err := s.ReadTiles(t.Context(), ids, &set); err != nil {
		t.Fatalf("ReadTiles of %d: %v", len(ids), err)
	}
	if len(set.States) != len(ids) {
		t.Fatalf("ReadTiles of %d gave %d states", len(ids), len(set.States))
	}
	return set.States
}

func idsOf(tiles []sinks.Tile) []sinks.TileID {
	ids := make([]sinks.TileID, len(tiles))
	for i := range tiles {
		ids[i] = tiles[i].TileID
	}
	return ids
}

// greatestTileInEveryOrder writes four tiles to one cell in all 24 orders, each
// twice, alone and beside another one of its entity key: two stamps, equal
// stamps decided by bytes, one state a prefix of another.
func greatestTileInEveryOrder(t *testing.T, s Store) {
	entity := fresh("entity")
	tiles := []sinks.Tile{
		hourTile(entity, "", 5, 0, 3, "zzz"), hourTile(entity, "", 5, 0, 7, "b"),
		hourTile(entity, "", 5, 0, 7, "ba"), hourTile(entity, "", 5, 0, 7, "b\xff"),
	}
	n := 0
	permute(tiles, func(order []sinks.Tile) {
		key := fmt.Sprintf("order%d", n)
		n++
		for _, tile := range order {
			tile.Key = key
			writeTiles(t, s, tile)
			writeTiles(t, s, hourTile(entity, key, 6, 0, 1, "beside"), tile)
		}
		expect(t, key, loadTiles(t, s, hourTile(entity, key, 5, 0, 0, "").TileID)[0], "b\xff")
	})
}

// epochsOutrank writes what a former owner writes late: less, however far its
// offset is.
func epochsOutrank(t *testing.T, s Store) {
	entity := fresh("entity")
	const lastOffset = 1<<40 - 1
	for i, n := range []int64{0, 1, 2, sinks.MaxEpoch} {
		key := strconv.Itoa(i)
		writeTiles(t, s, hourTile(entity, key, 0, 3, sinks.TileStamp(n+1, 0), "new owner"))
		writeTiles(t, s, hourTile(entity, key, 0, 3, sinks.TileStamp(n, lastOffset), "zombie"))
		expect(t, key, loadTiles(t, s, hourTile(entity, key, 0, 3, 0, "").TileID)[0], "new owner")
	}
}

// tilesApart writes tiles whose names differ in one part only, and names that a
// careless concatenation would confuse, in one call.
func tilesApart(t *testing.T, s Store) {
	e := fresh("e")
	ids := []sinks.TileID{
		{Entity: e, Key: "k", View: "v@1", HopSeconds: 60, Start: 0, Source: 0},
		{Entity: e + "k", Key: "", View: "v@1", HopSeconds: 60, Start: 0, Source: 0},
		{Entity: e, Key: "kv", View: "@1", HopSeconds: 60, Start: 0, Source: 0},
		{Entity: e, Key: "", View: "kv@1", HopSeconds: 60, Start: 0, Source: 0},
		{Entity: e, Key: "k", View: "v@11", HopSeconds: 60, Start: 0, Source: 0},
		{Entity: e, Key: "k", View: "v@1\x00", HopSeconds: 60, Start: 0, Source: 0},
		{Entity: e, Key: "k", View: "w@1", HopSeconds: 60, Start: 0, Source: 0},
		{Entity: e, Key: "k", View: "v@1", HopSeconds: 0, Start: 0, Source: 0},
		{Entity: e, Key: "k", View: "v@1", HopSeconds: 61, Start: 0, Source: 0},
		{Entity: e, Key: "k", View: "v@1", HopSeconds: 86_400, Start: 0, Source: 0},
		{Entity: e, Key: "k", View: "v@1", HopSeconds: 60, Start: 60_000_000, Source: 0},
		{Entity: e, Key: "k", View: "v@1", HopSeconds: 60, Start: -60_000_000, Source: 0},
		{Entity: e, Key: "k", View: "v@1", HopSeconds: 60, Start: math.MinInt64, Source: 0},
		{Entity: e, Key: "k", View: "v@1", HopSeconds: 60, Start: math.MaxInt64, Source: 0},
		{Entity: e, Key: "k", View: "v@1", HopSeconds: 60, Start: 0, Source: 1},
		{Entity: e, Key: "k", View: "v@1", HopSeconds: 60, Start: 0, Source: -1}, // replay
		{Entity: e, Key: "k", View: "v@1", HopSeconds: 60, Start: 0, Source: -2}, // a load
		{Entity: e, Key: "k", View: "v@1", HopSeconds: 60, Start: 0, Source: math.MaxInt32},
		{Entity: e, Key: "k", View: "v@1", HopSeconds: 60, Start: 0, Source: math.MinInt32},
	}
	tiles := make([]sinks.Tile, len(ids))
	for i, id := range ids {
		tiles[i] = sinks.Tile{TileID: id, Stamp: int64(len(ids) - i), State: fmt.Appendf(nil, "tile %d", i)}
	}
	writeTiles(t, s, tiles...)
	for i, state := range loadTiles(t, s, ids...) {
		expect(t, fmt.Sprintf("tile %d", i), state, fmt.Sprintf("tile %d", i))
	}
}

func rowsAndTilesApart(t *testing.T, s Store) {
	entity := fresh("entity")
	tile := hourTile(entity, "k", 0, 0, 9, "tile")
	write(t, s, row(entity, "k", "v@1", 5, "row"))
	expect(t, "before any tile", loadTiles(t, s, tile.TileID)[0], "")
	writeTiles(t, s, tile)
	expect(t, "the row", read(t, s, entity, "k", "v@1"), "row")
	expect(t, "the tile", loadTiles(t, s, tile.TileID)[0], "tile")
}

// writtenTogether writes rows and tiles of common and of different keys in one
// call: each cell is ordered by its own stamp, whatever goes with it.
func writtenTogether(t *testing.T, s Store) {
	both, ok := s.(sinks.TogetherSink)
	if !ok {
		t.Skip("the store has no such write")
	}
	entity := fresh("entity")
	send := func(rows []sinks.Row, tiles ...sinks.Tile) {
		t.Helper()
		if err := both.WriteTogether(t.Context(), rows, tiles); err != nil {
			t.Fatalf("WriteTogether of %d rows and %d tiles: %v", len(rows), len(tiles), err)
		}
	}
	first, second, other := hourTile(entity, "k", 0, 0, 9, "first"), hourTile(entity, "k", 1, 0, 2, "second"), hourTile(entity, "alone", 0, 0, 1, "alone")
	send([]sinks.Row{row(entity, "k", "v@1", 5, "new"), row(entity, "l", "v@1", 5, "l")}, first, second, other)
	older := first
	older.Stamp, older.State = 8, []byte("zzz")
	newer := second
	newer.Stamp, newer.State = 3, []byte("newer")
	send([]sinks.Row{row(entity, "k", "v@1", 4, "old"), row(entity, "l", "v@1", 6, "later")}, older, newer)
	send(nil)
	expect(t, "the row with the greater stamp", read(t, s, entity, "k", "v@1"), "new")
	expect(t, "the other key's row", read(t, s, entity, "l", "v@1"), "later")
	states := loadTiles(t, s, first.TileID, second.TileID, other.TileID)
	for i, want := range []string{"first", "newer", "alone"} {
		expect(t, "a tile", states[i], want)
	}
}

// manyTiles loads more tiles than any request takes, of many entity keys and of
// one, in another order, with gaps and repetitions.
func manyTiles(t *testing.T, s Store) {
	const n = 2000
	entity := fresh("entity")
	var tiles []sinks.Tile
	for i := range n {
		key := strconv.Itoa(i % 700)
		if i >= n/2 {
			key = "hot"
		}
		tiles = append(tiles, hourTile(entity, key, int64(i), int32(i%3), int64(i), fmt.Sprintf("tile %d", i)))
	}
	writeTiles(t, s, tiles...)
	ids := idsOf(tiles)
	for i := range 100 {
		ids = append(ids, hourTile(entity, "hot", int64(n+i), 0, 0, "").TileID, ids[n-i-1])
	}
	slices.Reverse(ids)
	for i, state := range loadTiles(t, s, ids...) {
		want := fmt.Sprintf("tile %d", ids[i].Start/3600_000_000)
		if ids[i].Start >= n*3600_000_000 {
			want = ""
		}
		expect(t, "a tile", state, want)
	}
}

// largestTiles are too much together for one mutation.
func largestTiles(t *testing.T, s Store) {
	entity := fresh("entity")
	var tiles []sinks.Tile
	for i := range 3 {
		tiles = append(tiles, hourTile(entity, "k", int64(i), 0, 1, ""))
		tiles[i].State = bytes.Repeat([]byte{byte(i), 0, 0xfe, 0xff}, sinks.MaxRowBytes/4)
	}
	writeTiles(t, s, tiles...)
	for i, state := range loadTiles(t, s, idsOf(tiles)...) {
		if !bytes.Equal(state, tiles[i].State) {
			t.Errorf("tile %d has %d bytes, wrote %d", i, len(state), len(tiles[i].State))
		}
	}
	for i, got := range windows(t, s, entity, []string{"k"}, sinks.TileRange{View: "v@1", HopSeconds: 3600, From: 0, To: math.MaxInt64})[0][0] {
		if !bytes.Equal(got.State, tiles[i].State) {
			t.Errorf("tile %d of the range has %d bytes, wrote %d", i, len(got.State), len(tiles[i].State))
		}
	}
}

func tileSetIsReused(t *testing.T, s Store) {
	entity := fresh("entity")
	a, b := hourTile(entity, "a", 0, 0, 1, "the first tile"), hourTile(entity, "b", 0, 0, 1, "second")
	none := hourTile(entity, "c", 0, 0, 1, "").TileID
	writeTiles(t, s, a, b)
	want := map[sinks.TileID]string{a.TileID: "the first tile", b.TileID: "second"}
	var set sinks.TileSet
	for _, ids := range [][]sinks.TileID{
		{a.TileID, none, b.TileID}, {none}, {b.TileID, a.TileID, none, none, a.TileID}, {}, {none, none, none, none, b.TileID},
	} {
		if err := s.ReadTiles(t.Context(), ids, &set); err != nil {
			t.Fatalf("ReadTiles: %v", err)
		}
		if len(set.States) != len(ids) {
			t.Fatalf("%d states of %d ids", len(set.States), len(ids))
		}
		for i, state := range set.States {
			expect(t, fmt.Sprintf("%d of %d", i, len(ids)), state, want[ids[i]])
		}
	}
}

func borrowedTiles(t *testing.T, s Store) {
	entity := fresh("entity")
	var l lent
	var tiles []sinks.Tile
	for hours := range int64(2) {
		tile := hourTile(l.text(entity), l.text("k"), hours, 0, 1, "")
		tile.View, tile.State = l.text("v@1"), l.bytes([]byte("state"))
		tiles = append(tiles, tile)
	}
	writeTiles(t, s, tiles...)
	l.take()
	clear(tiles)
	for hours := range int64(2) {
		expect(t, "a tile", loadTiles(t, s, hourTile(entity, "k", hours, 0, 0, "").TileID)[0], "state")
	}
}

func expiringTiles(t *testing.T, s Store) {
	entity := fresh("entity")
	for stamp, state := range []string{"first", "second"} {
		tile := hourTile(entity, "k", 0, 0, int64(stamp), state)
		tile.Expire = time.Hour
		ever := hourTile(entity, "k", 1, 0, int64(stamp), state) // in the same request
		writeTiles(t, s, tile, ever)
	}
	long := hourTile(entity, "long", 0, 0, 1, "kept")
	long.Expire = math.MaxInt64
	writeTiles(t, s, long)
	got := loadTiles(t, s, hourTile(entity, "k", 0, 0, 0, "").TileID, hourTile(entity, "k", 1, 0, 0, "").TileID, long.TileID)
	for i, want := range []string{"second", "second", "kept"} {
		expect(t, fmt.Sprintf("tile %d", i), got[i], want)
	}
}

func noTiles(t *testing.T, s Store) {
	writeTiles(t, s)
	loadTiles(t, s)
	windows(t, s, "entity", nil, hours(0, 1))
	windows(t, s, "entity", []string{"k"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var tiles sinks.TileSet
	var found sinks.WindowSet
	for name, err := range map[string]error{
		"WriteTiles":  s.WriteTiles(ctx, []sinks.Tile{hourTile(fresh("entity"), "k", 0, 0, 1, "state")}),
		"ReadTiles":   s.ReadTiles(ctx, []sinks.TileID{{Entity: "entity"}}, &tiles),
		"ReadWindows": s.ReadWindows(ctx, "entity", []string{"k"}, []sinks.TileRange{hours(0, 1)}, &found),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s after its context ended: %v, want context.Canceled", name, err)
		}
	}
}
