package sinktest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"millrace/sinks"
)

func tileRaceContracts() []contract {
	return []contract{
		{"ConcurrentOwnersOfOneTile", concurrentOwners},
		{"LoaderSeesWhatWasAcknowledged", loaderSeesAcknowledged},
		{"AnyHistoryOfTilesGivesTheModel", anyTileHistory},
	}
}

// concurrentOwners lets owners of several epochs race for the tiles of one key
// with shuffled offsets, many of them equal; the greatest must stay.
func concurrentOwners(t *testing.T, s Store) {
	const owners, offsets = 6, 30
	entity := fresh("entity")
	var wg sync.WaitGroup
	for n := range owners {
		wg.Go(func() {
			for _, offset := range rand.Perm(offsets) {
				state := fmt.Sprintf("%d of %d", offset, n/2)
				stamp := sinks.TileStamp(int64(n/2), int64(offset))
				tiles := []sinks.Tile{hourTile(entity, "hot", 0, 0, stamp, state), hourTile(entity, "hot", 1, 0, stamp, state)}
				if err := s.WriteTiles(t.Context(), tiles); err != nil {
					t.Errorf("WriteTiles: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	for h := range int64(2) {
		got := loadTiles(t, s, hourTile(entity, "hot", h, 0, 0, "").TileID)[0]
		expect(t, "the hot tile", got, fmt.Sprintf("%d of %d", offsets-1, owners/2-1))
	}
}

// loaderSeesAcknowledged loads tiles right after their writes were
// acknowledged, by another goroutine's account.
func loaderSeesAcknowledged(t *testing.T, s Store) {
	const n, loaders = 100, 3
	entity := fresh("entity")
	id := hourTile(entity, "k", 0, 0, 0, "").TileID
	var turn [loaders]chan uint64
	var wg sync.WaitGroup
	for i := range turn {
		turn[i] = make(chan uint64, n)
		wg.Go(func() {
			for acknowledged := range turn[i] {
				got := loadTiles(errorOnly{t}, s, id)
				if len(got) != 1 || got[0] == nil || binary.BigEndian.Uint64(got[0]) < acknowledged {
					t.Errorf("loaded %x, tile %d was acknowledged", got, acknowledged)
				}
			}
		})
	}
	for i := range uint64(n) {
		writeTiles(t, s, sinks.Tile{TileID: id, Stamp: int64(i), State: binary.BigEndian.AppendUint64(nil, i)})
		turn[i%loaders] <- i
	}
	for _, c := range turn {
		close(c)
	}
	wg.Wait()
}

// errorOnly is a test seen from a goroutine that is not its own, which must not
// end it.
type errorOnly struct{ *testing.T }

func (e errorOnly) Fatalf(format string, args ...any) { e.Errorf(format, args...) }

// anyTileHistory writes random histories, cut into random calls and partly
// repeated, and compares what is loaded and what ranges hold with the plain
// rule.
func anyTileHistory(t *testing.T, s Store) {
	keys := []string{"a", "ü|"}
	rapid.Check(t, func(t *rapid.T) {
		entity := fresh("entity")
		model := make(map[sinks.TileID]sinks.Tile)
		for _, call := range rapid.SliceOfN(genTiles(entity, keys), 1, 8).Draw(t, "calls") {
			tiles := make([]sinks.Tile, 0, len(call))
			for id, tile := range call {
				tiles = append(tiles, tile)
				if old, ok := model[id]; !ok || tile.Newer(&old) {
					model[id] = tile
				}
			}
			for range rapid.IntRange(1, 2).Draw(t, "times") {
				writeTiles(t, s, tiles...)
			}
		}
		var ids []sinks.TileID
		for id := range model {
			ids = append(ids, id)
		}
		for i, state := range loadTiles(t, s, ids...) {
			expect(t, "a tile", state, string(model[ids[i]].State))
		}
		from := rapid.Int64Range(-3, 3).Draw(t, "from")
		in := hours(from, from+rapid.Int64Range(0, 4).Draw(t, "length"))
		for i, of := range windows(t, s, entity, keys, in) {
			left := inRange(model, keys[i], in)
			for _, got := range of[0] {
				id := sinks.TileID{Entity: entity, Key: keys[i], View: in.View, HopSeconds: in.HopSeconds, Start: got.Start, Source: got.Source}
				expect(t, "a tile of the range", got.State, string(left[id].State))
				delete(left, id)
			}
			if len(left) > 0 {
				t.Errorf("key %d: %d tiles are missing from the range", i, len(left))
			}
		}
	})
}

func inRange(model map[sinks.TileID]sinks.Tile, key string, in sinks.TileRange) map[sinks.TileID]sinks.Tile {
	some := make(map[sinks.TileID]sinks.Tile)
	for id, tile := range model {
		if id.Key == key && id.View == in.View && id.HopSeconds == in.HopSeconds && id.Start >= in.From && id.Start < in.To {
			some[id] = tile
		}
	}
	return some
}

// genTiles draws the tiles of one WriteTiles: distinct cells, few stamps and
// few bytes, so that ties are common.
func genTiles(entity string, keys []string) *rapid.Generator[map[sinks.TileID]sinks.Tile] {
	return rapid.Custom(func(t *rapid.T) map[sinks.TileID]sinks.Tile {
		call := make(map[sinks.TileID]sinks.Tile)
		for range rapid.IntRange(1, 6).Draw(t, "tiles") {
			key := rapid.SampledFrom(keys).Draw(t, "key")
			start, source := rapid.Int64Range(-2, 2).Draw(t, "hour"), rapid.Int32Range(-2, 1).Draw(t, "source")
			stamp := sinks.TileStamp(rapid.Int64Range(0, 2).Draw(t, "n"), rapid.Int64Range(0, 2).Draw(t, "offset"))
			state := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x7f, 0x80, 0xff}), 1, 3).Draw(t, "state")
			tile := hourTile(entity, key, start, source, stamp, string(state))
			if rapid.Bool().Draw(t, "other view") {
				tile.View = "w@1"
			}
			call[tile.TileID] = tile
		}
		return call
	})
}
