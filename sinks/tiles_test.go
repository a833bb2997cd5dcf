package sinks_test

import (
	"bytes"
	"testing"

	"millrace/sinks"
)

// Sets that are read into again and again take no memory once they have it,
// and keep none of a state that was large once.
func TestSetsReuseTheirMemory(t *testing.T) {
	state := bytes.Repeat([]byte{7}, 300)
	var tiles sinks.TileSet
	var windows sinks.WindowSet
	fill := func() {
		tiles.Reset(20)
		windows.Reset(2, 3)
		for i := range 20 {
			if i%5 != 0 {
				tiles.Put(i, state)
			}
			windows.Add(i%2, i%3, int64(i), 0, state)
		}
	}
	fill()
	if n := testing.AllocsPerRun(10, fill); n != 0 {
		t.Errorf("%v allocations", n)
	}
	large := make([]byte, 1<<20)
	tiles.Reset(1)
	tiles.Put(0, large)
	windows.Reset(1, 1)
	windows.Add(0, 0, 0, 0, large)
	fill()
	tiles.Put(0, state)
	if n := cap(tiles.States[0]); n > 1024 {
		t.Errorf("a state has %d bytes of memory", n)
	}
	if n := cap(windows.Of(0, 0)[0].State); n > 1024 {
		t.Errorf("a tile has %d bytes of memory", n)
	}
}

func TestTileOrder(t *testing.T) {
	tile := func(stamp int64, state string) *sinks.Tile { return &sinks.Tile{Stamp: stamp, State: []byte(state)} }
	for _, c := range []struct {
		a, b  *sinks.Tile
		newer bool
	}{
		{tile(2, "a"), tile(1, "b"), true},
		{tile(1, "b"), tile(2, "a"), false},
		{tile(1, "b"), tile(1, "a"), true},
		{tile(1, "a"), tile(1, "ab"), false},
		{tile(1, "a"), tile(1, "a"), false},
	} {
		if c.a.Newer(c.b) != c.newer {
			t.Errorf("%d %s newer than %d %s: %v", c.a.Stamp, c.a.State, c.b.Stamp, c.b.State, !c.newer)
		}
	}
}
