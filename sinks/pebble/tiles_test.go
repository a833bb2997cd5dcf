package pebble

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"millrace/sinks"
)

func cellTile(key string, start, stamp int64, state string, expire time.Duration) sinks.Tile {
	id := sinks.TileID{Entity: "e", Key: key, View: "v@1", HopSeconds: 60, Start: start}
	return sinks.Tile{TileID: id, Stamp: stamp, State: []byte(state), Expire: expire}
}

func writeTiles(t testing.TB, s *Store, tiles ...sinks.Tile) {
	t.Helper()
	if err := s.WriteTiles(t.Context(), tiles); err != nil {
		t.Fatalf("WriteTiles: %v", err)
	}
}

// readTile returns the tile of key at 0 as the loader and as serving see it,
// which must be the same.
func readTile(t testing.TB, s *Store, key string) string {
	t.Helper()
	var tiles sinks.TileSet
	var found sinks.WindowSet
	if err := s.ReadTiles(t.Context(), []sinks.TileID{cellTile(key, 0, 0, "", 0).TileID}, &tiles); err != nil {
		t.Fatalf("ReadTiles: %v", err)
	}
	in := []sinks.TileRange{{View: "v@1", HopSeconds: 60, From: 0, To: 1}}
	if err := s.ReadWindows(t.Context(), "e", []string{key}, in, &found); err != nil {
		t.Fatalf("ReadWindows: %v", err)
	}
	state := ""
	for _, tile := range found.Of(0, 0) {
		state += string(tile.State)
	}
	if loaded := string(tiles.States[0]); loaded != state {
		t.Errorf("tile %s is loaded as %q and served as %q", key, loaded, state)
	}
	return state
}

func TestTilesSurviveClosingAndOpening(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Settings{})
	writeTiles(t, s, cellTile("k", 0, sinks.TileStamp(2, 5), "kept", 0), cellTile("other", 0, 1, "other", 0))
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	s = open(t, dir, Settings{})
	writeTiles(t, s, cellTile("k", 0, sinks.TileStamp(1, 9), "a former owner's", 0))
	if got := readTile(t, s, "k"); got != "kept" {
		t.Errorf("tile is %q", got)
	}
	writeTiles(t, s, cellTile("k", 0, sinks.TileStamp(2, 6), "counted on", 0))
	if k, other := readTile(t, s, "k"), readTile(t, s, "other"); k != "counted on" || other != "other" {
		t.Errorf("tiles are %q and %q", k, other)
	}
}

func TestTilesBeforeSyncSurviveACrash(t *testing.T) {
	files := vfs.NewCrashableMem()
	s := open(t, "store", Settings{files: files})
	writeTiles(t, s, cellTile("k", 0, 1, "synced", 0))
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	writeTiles(t, s, cellTile("lost", 0, 1, "acknowledged only", 0))
	again := open(t, "store", Settings{files: files.CrashClone(vfs.CrashCloneCfg{})})
	if k, lost := readTile(t, again, "k"), readTile(t, again, "lost"); k != "synced" || lost != "" {
		t.Errorf("tiles are %q and %q", k, lost)
	}
}

func TestTilesExpireAndArePruned(t *testing.T) {
	c := newClock()
	s := open(t, "store", Settings{files: vfs.NewMem(), Now: c.Now})
	for i := range 2*pruneKeys + 3 {
		writeTiles(t, s, cellTile(fmt.Sprint("short", i), 0, 5, "state", time.Minute), cellTile(fmt.Sprint("ever", i), 0, 5, "state", 0))
	}
	c.advance(time.Minute - time.Microsecond)
	prune(t, s, 0)
	if got := readTile(t, s, "short0"); got != "state" {
		t.Errorf("just before: %q", got)
	}
	c.advance(time.Microsecond)
	if got := readTile(t, s, "short0"); got != "" {
		t.Errorf("just after: %q", got)
	}
	writeTiles(t, s, cellTile("short0", 0, 4, "a former owner's", time.Minute))
	if got := readTile(t, s, "short0"); got != "" {
		t.Errorf("an older tile came back: %q", got)
	}
	writeTiles(t, s, cellTile("short0", 0, 6, "newer", time.Minute))
	prune(t, s, 2*pruneKeys+2)
	if got := readTile(t, s, "short0"); got != "newer" {
		t.Errorf("after pruning: %q", got)
	}
	for i := range 2*pruneKeys + 3 {
		if readTile(t, s, fmt.Sprint("ever", i)) != "state" {
			t.Fatalf("tile %d without expiry is gone", i)
		}
	}
}

func TestTileKeysSortAsTheirIDsWithinAViewAndHop(t *testing.T) {
	name := rapid.StringOfN(rapid.SampledFrom([]rune{0, 1, 2, 'a'}), 0, 3, -1)
	gen := rapid.Custom(func(t *rapid.T) sinks.TileID {
		return sinks.TileID{
			Entity: name.Draw(t, "entity"), Key: name.Draw(t, "key"), View: name.Draw(t, "view"),
			HopSeconds: rapid.Int32Range(0, 2).Draw(t, "hop"), Start: rapid.Int64().Draw(t, "start"), Source: rapid.Int32().Draw(t, "source"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		ka, kb := string(appendTileKey(nil, &a)), string(appendTileKey(nil, &b))
		if (ka == kb) != (a == b) {
			t.Fatalf("%+v and %+v: same key %v", a, b, ka == kb)
		}
		if len(ka) != tileKeyLen(&a) {
			t.Fatalf("the key has %d bytes, foretold are %d", len(ka), tileKeyLen(&a))
		}
		c := a
		c.Start, c.Source = b.Start, b.Source
		if kc := string(appendTileKey(nil, &c)); (ka < kc) != (a.Compare(&c) < 0) {
			t.Fatalf("%+v and %+v sort otherwise than their keys", a, c)
		}
	})
}
