package sinks_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"millrace/sinks"
	"millrace/sinks/memory"
)

// However many keys the store is asked for at once, each tile comes with the
// place of its own key.
func TestTilesComeKeyByKey(t *testing.T) {
	store := new(memory.Store)
	for k := range 3 {
		id := sinks.TileID{Entity: "driver", Key: fmt.Sprint(k), View: "trip@1", HopSeconds: 1, Start: int64(k) * 1e6}
		if err := store.WriteTiles(context.Background(), []sinks.Tile{{TileID: id, State: []byte{byte(k)}}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, seconds := range []int64{10, 100_000} { // all at once, and one by one
		var got []string
		ranges := []sinks.TileRange{{View: "trip@1", HopSeconds: 1, To: seconds * 1e6}}
		err := sinks.NewWindows(store, store).ReadTiles(context.Background(), "driver", []string{"0", "1", "2"}, ranges,
			func(key, within int, start int64, _ int32, state []byte) {
				got = append(got, fmt.Sprint(key, within, start/1e6, int(state[0])))
			})
		if want := []string{"0 0 0 0", "1 0 1 1", "2 0 2 2"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v", got, err)
		}
	}
}
