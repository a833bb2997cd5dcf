package sinktest

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"millrace/sinks"
)

func windowContracts() []contract {
	return []contract{
		{"RangeHoldsItsFirstStartAndNotItsEnd", rangeEdges},
		{"TilesOfARangeComeByStartAndSource", rangeOrder},
		{"RangesOfManyKeysAreApart", rangesApart},
		{"WindowSetIsReused", windowSetIsReused},
		{"LongRange", longRange},
	}
}

// hours is the range of hourly tiles that start in [from, to).
func hours(from, to int64) sinks.TileRange {
	const hour = 3600
	return sinks.TileRange{View: "v@1", HopSeconds: hour, From: from * hour * 1_000_000, To: to * hour * 1_000_000}
}

// windows returns the tiles by key and range.
func windows(t tester, s Store, entity string, keys []string, ranges ...sinks.TileRange) [][][]sinks.TileState {
	t.Helper()
	var set sinks.WindowSet
	if err := s.ReadWindows(t.Context(), entity, keys, ranges, &set); err != nil {
		t.Fatalf("ReadWindows of %d keys and %d ranges: %v", len(keys), len(ranges), err)
	}
	all := make([][][]sinks.TileState, len(keys))
	for i := range keys {
		for j := range ranges {
			all[i] = append(all[i], set.Of(i, j))
		}
	}
	return all
}

func expectTiles(t tester, what string, got []sinks.TileState, want string) {
	t.Helper()
	var states []string
	for i := range got {
		states = append(states, string(clip(got[i].State)))
	}
	if all := strings.Join(states, " "); all != want {
		t.Errorf("%s: tiles are %q, want %q", what, all, want)
	}
}

func rangeEdges(t *testing.T, s Store) {
	entity := fresh("entity")
	for h := int64(-2); h <= 2; h++ {
		writeTiles(t, s, hourTile(entity, "k", h, 0, 1, strconv.Itoa(int(h))))
	}
	first := sinks.Tile{TileID: sinks.TileID{Entity: entity, Key: "k", View: "v@1", HopSeconds: 3600, Start: math.MinInt64}, State: []byte("first")}
	ever := sinks.Tile{TileID: sinks.TileID{Entity: entity, Key: "k", View: "v@1"}, State: []byte("ever")}
	writeTiles(t, s, first, ever)
	always := sinks.TileRange{View: "v@1", HopSeconds: 3600, From: math.MinInt64, To: math.MaxInt64}
	unlimited := always
	unlimited.HopSeconds = 0
	for _, c := range []struct {
		in   sinks.TileRange
		want string
	}{
		{hours(-2, 3), "-2 -1 0 1 2"},
		{hours(-2, 2), "-2 -1 0 1"},
		{hours(-1, 1), "-1 0"},
		{hours(0, 1), "0"},
		{hours(2, 9), "2"},
		{hours(3, 9), ""},
		{hours(-9, -2), ""},
		{hours(1, 1), ""},
		{hours(1, 0), ""},
		{sinks.TileRange{View: "v@1", HopSeconds: 3600, From: 1, To: 3_600_000_000}, ""},
		{sinks.TileRange{View: "v@1", HopSeconds: 3600, From: -1, To: 3_600_000_001}, "0 1"},
		{always, "first -2 -1 0 1 2"},
		{unlimited, "ever"},
	} {
		got := windows(t, s, entity, []string{"k"}, c.in)[0][0]
		expectTiles(t, fmt.Sprintf("hop %d from %d to %d", c.in.HopSeconds, c.in.From, c.in.To), got, c.want)
	}
}

func rangeOrder(t *testing.T, s Store) {
	entity := fresh("entity")
	for _, source := range []int32{7, -1, 0, 300, -2} {
		for _, h := range []int64{1, -1, 0} {
			writeTiles(t, s, hourTile(entity, "k", h, source, 1, fmt.Sprintf("%d/%d", h, source)))
		}
	}
	got := windows(t, s, entity, []string{"k"}, hours(-1, 1))[0][0]
	expectTiles(t, "all sources", got, "-1/-2 -1/-1 -1/0 -1/7 -1/300 0/-2 0/-1 0/0 0/7 0/300")
	for i := range got {
		if want := fmt.Sprintf("%d/%d", got[i].Start/3600_000_000, got[i].Source); string(got[i].State) != want {
			t.Errorf("tile %d is named %s and holds %s", i, want, got[i].State)
		}
	}
}

// rangesApart asks for several views and hops of several keys, one of them
// twice and one that is not there.
func rangesApart(t *testing.T, s Store) {
	entity := fresh("entity")
	for _, key := range []string{"a", "b"} {
		for _, view := range []string{"v@1", "w@1"} {
			for _, hop := range []int32{60, 3600} {
				id := sinks.TileID{Entity: entity, Key: key, View: view, HopSeconds: hop}
				other := id
				other.Entity += "x"
				writeTiles(t, s, sinks.Tile{TileID: id, State: fmt.Appendf(nil, "%s/%s/%d", key, view, hop)},
					sinks.Tile{TileID: other, State: []byte("another entity's")})
			}
		}
	}
	keys := []string{"b", "none", "a", "b"}
	ranges := []sinks.TileRange{
		{View: "w@1", HopSeconds: 3600, To: 1},
		{View: "v@1", HopSeconds: 60, To: 1},
		{View: "w@1", HopSeconds: 61, To: 1},
		{View: "v@1", HopSeconds: 60, From: -9, To: 1},
	}
	for i, of := range windows(t, s, entity, keys, ranges...) {
		for j, got := range of {
			want := fmt.Sprintf("%s/%s/%d", keys[i], ranges[j].View, ranges[j].HopSeconds)
			if keys[i] == "none" || ranges[j].HopSeconds == 61 {
				want = ""
			}
			expectTiles(t, fmt.Sprintf("key %d, range %d", i, j), got, want)
		}
	}
}

func windowSetIsReused(t *testing.T, s Store) {
	entity := fresh("entity")
	for h := range int64(4) {
		writeTiles(t, s, hourTile(entity, "a", h, 0, 1, fmt.Sprintf("a%d", h)), hourTile(entity, "b", h, 0, 1, fmt.Sprintf("longer b%d", h)))
	}
	var set sinks.WindowSet
	read := func(keys []string, ranges ...sinks.TileRange) {
		t.Helper()
		if err := s.ReadWindows(t.Context(), entity, keys, ranges, &set); err != nil {
			t.Fatalf("ReadWindows: %v", err)
		}
	}
	read([]string{"a", "b"}, hours(0, 4), hours(1, 2))
	expectTiles(t, "a", set.Of(0, 0), "a0 a1 a2 a3")
	expectTiles(t, "b, the second range", set.Of(1, 1), "longer b1")
	read([]string{"b"}, hours(2, 3))
	expectTiles(t, "one range", set.Of(0, 0), "longer b2")
	read([]string{"none", "a", "b"}, hours(5, 6), hours(3, 4), hours(0, 2))
	expectTiles(t, "none", set.Of(0, 2), "")
	expectTiles(t, "a", set.Of(1, 1), "a3")
	expectTiles(t, "b after the end", set.Of(2, 0), "")
	expectTiles(t, "b", set.Of(2, 2), "longer b0 longer b1")
}

// longRange is longer than what a store sends at once.
func longRange(t *testing.T, s Store) {
	const n = 2500
	entity := fresh("entity")
	var tiles []sinks.Tile
	for h := range int64(n) {
		tiles = append(tiles, hourTile(entity, "k", h, 0, 1, strconv.Itoa(int(h))))
	}
	writeTiles(t, s, tiles...)
	got := windows(t, s, entity, []string{"k"}, hours(0, n))[0][0]
	if len(got) != n {
		t.Fatalf("%d tiles, want %d", len(got), n)
	}
	for i := range got {
		expect(t, "a tile", got[i].State, strconv.Itoa(i))
	}
}
