package window

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"millrace/feature"
)

func shapeOf(eventIDs bool, specs ...Spec) *Shape {
	var aggs []Aggregate
	for i := range specs {
		aggs = append(aggs, Aggregate{Spec: specs[i], Hash: specs[i].Hash(string(rune('a'+i)), "")})
	}
	s, err := NewShape(aggs, eventIDs)
	if err != nil {
		panic(err)
	}
	return s
}

// input has the same column of floats for every aggregate.
func input(s *Shape, c *feature.Column) *Input {
	in := &Input{Of: make([]*feature.Column, len(s.Aggregates)), Where: make([]feature.Bitmap, len(s.Aggregates))}
	for i := range s.Aggregates {
		if s.Aggregates[i].Spec.Of.Kind != feature.KindInvalid {
			in.Of[i] = c
		}
	}
	return in
}

func floats(values ...float64) *feature.Column {
	c := new(feature.Column)
	c.Reset(float64s)
	for _, v := range values {
		c.SetFloat(c.AppendNull(), v)
	}
	return c
}

func intOf(t *testing.T, tile *Tile, i int) int64 {
	t.Helper()
	var c feature.Column
	c.Reset(int64s)
	tile.Finalize(i, &c, c.AppendNull())
	return c.Ints[0]
}

func TestTileKeepsFenceAndStatesTogether(t *testing.T) {
	s := shapeOf(true, Spec{Kind: KindCount}, Spec{Kind: KindSum, Of: float64s})
	tile := s.NewTile(Fence{Topic: 2, Next: 5})
	in := input(s, floats(1, 2, 3))
	for row := range 3 {
		if tile.Count(EventID("e", int32(row))) {
			tile.Update(in, row, &Position{Offset: int64(row)})
		}
	}
	b := tile.Snapshot(Fence{Topic: 2, Next: 9}, nil)
	back := s.NewTile(Fence{})
	if err := back.Decode(b, Fence{}); err != nil {
		t.Fatal(err)
	}
	if !back.Fence.Covers(2, 8) || back.Fence.Covers(2, 9) || back.Fence.Covers(3, 0) {
		t.Errorf("fence %v", back.Fence)
	}
	if back.Count(EventID("e", 1)) || !back.Count(EventID("e", 3)) {
		t.Error("ids were not kept")
	}
	if intOf(t, back, 0) != 3 || back.Since(1) != (Fence{2, 5}) || back.Lacks(0) {
		t.Error("states were not kept")
	}
}

func TestTileUnderAnotherCatalog(t *testing.T) {
	count, sum, last := Spec{Kind: KindCount}, Spec{Kind: KindSum, Of: float64s}, Spec{Kind: KindLast, Of: float64s}
	full := shapeOf(true, count, sum, last)
	tile := full.NewTile(Fence{1, 1})
	tile.Count(7)
	tile.Update(input(full, floats(4)), 0, &Position{})
	b := tile.Snapshot(Fence{1, 2}, nil)

	// One aggregate went, one came; serving keeps no ids.
	other := &Shape{Aggregates: []Aggregate{{Spec: last, Hash: 99}, full.Aggregates[2], full.Aggregates[0]}}
	read := other.NewTile(Fence{})
	if err := read.Decode(b, Fence{1, 2}); err != nil {
		t.Fatal(err)
	}
	if !read.Lacks(0) || read.Since(0) != (Fence{1, 2}) || read.Lacks(1) || intOf(t, read, 2) != 1 {
		t.Error("states were confused")
	}
	sum2 := other.NewTile(Fence{})
	sum2.Merge(read)
	if !sum2.Lacks(0) || sum2.Lacks(1) {
		t.Error("a merge forgot that a tile lacks a state")
	}
}

func TestFilterAndCheck(t *testing.T) {
	s := shapeOf(false, Spec{Kind: KindCount}, Spec{Kind: KindMax, Of: strs})
	c := new(feature.Column)
	c.Reset(strs)
	c.SetString(c.AppendNull(), strings.Repeat("x", MaxValueBytes))
	c.SetString(c.AppendNull(), strings.Repeat("x", MaxValueBytes+1))
	in := input(s, c)
	in.Where[0] = feature.Bitmap{0b10}
	if err := s.Check(in, 0); err != nil {
		t.Error(err)
	}
	if err := s.Check(in, 1); !errors.Is(err, ErrTooLong) {
		t.Errorf("a value of %d bytes: %v", MaxValueBytes+1, err)
	}
	in.Where[1] = feature.Bitmap{0b01}
	if err := s.Check(in, 1); err != nil {
		t.Error("a row that the filter leaves out is not kept:", err)
	}
	tile := s.NewTile(Fence{})
	tile.Update(in, 0, &Position{})
	if intOf(t, tile, 0) != 0 {
		t.Error("the filter was not asked")
	}
}

// Every list's size is counted as its bytes are.
func TestCheckCountsTheBytesOfLists(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, at := events(t, feature.ListOf(tags))
		for i := range at {
			if !c.IsNull(i) && elementsBytes(c, i) != len(appendElements(nil, c, i)) {
				t.Fatal("sizes differ")
			}
		}
	})
}

func TestADuplicateCountsOnceAndTheOldestIdsGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := shapeOf(true, Spec{Kind: KindCount})
		tile := s.NewTile(Fence{})
		in := input(s, nil)
		known := map[uint64]bool{}
		for range rapid.IntRange(0, 100).Draw(t, "events") {
			id := rapid.Uint64Range(0, 50).Draw(t, "id")
			if tile.Count(id) {
				tile.Update(in, 0, &Position{})
			}
			known[id] = true
			if rapid.IntRange(0, 9).Draw(t, "evict") == 0 {
				b := tile.Snapshot(Fence{}, nil)
				if err := tile.Decode(b, Fence{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		var c feature.Column
		c.Reset(int64s)
		tile.Finalize(0, &c, c.AppendNull())
		if c.Ints[0] != int64(len(known)) {
			t.Fatalf("%d events counted as %d", len(known), c.Ints[0])
		}
	})
	s := shapeOf(true, Spec{Kind: KindCount})
	tile := s.NewTile(Fence{})
	for id := range uint64(MaxEventIDs + 10) {
		tile.Count(id)
	}
	if err := tile.Decode(tile.Snapshot(Fence{}, nil), Fence{}); err != nil {
		t.Fatal(err)
	}
	if tile.Count(10) || tile.Count(MaxEventIDs+9) || !tile.Count(9) || tile.Forgotten() != 1 {
		t.Error("the oldest ids did not go first")
	}
}

func TestTileBytesStayWithinTheirBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := shapeOf(true, specs...)
		tile := s.NewTile(Fence{})
		for i := range specs {
			c, at := events(t, specs[i].Of)
			for row := range at {
				update(tile.state(i), c, row, &at[row])
			}
		}
		b := tile.Snapshot(Fence{}, nil)
		if len(b) > MaxTileBytes(specs, true) {
			t.Fatalf("%d bytes", len(b))
		}
		back := s.NewTile(Fence{})
		if err := back.Decode(b, Fence{}); err != nil || !bytes.Equal(back.Snapshot(Fence{}, nil), b) {
			t.Fatal("bytes changed", err)
		}
	})
}

// FuzzTile: bytes that no writer wrote are an error, never a panic; bytes that
// decode are written back as a tile that decodes to the same bytes.
func FuzzTile(f *testing.F) {
	s := shapeOf(true, specs...)
	tile := s.NewTile(Fence{1, 2})
	f.Add(tile.Snapshot(Fence{3, 4}, nil))
	tile.Count(1)
	in := &Input{Of: make([]*feature.Column, len(specs)), Where: make([]feature.Bitmap, len(specs))}
	for i := range specs {
		if specs[i].Of.Kind == feature.KindInvalid {
			continue
		}
		c := new(feature.Column)
		c.Reset(specs[i].Of)
		c.Resize(2)
		switch c.Type.Layout() {
		case feature.LayoutBool:
			c.SetBool(0, true)
		case feature.LayoutInt:
			c.SetInt(0, 7)
		case feature.LayoutFloat:
			c.SetFloat(0, 2.5)
		case feature.LayoutString:
			c.SetString(0, "gold")
		case feature.LayoutList:
			c.Elems.SetString(c.Elems.AppendNull(), "x")
			c.Elems.AppendNull()
			c.SetList(0, 0)
		}
		in.Of[i] = c
	}
	tile.Update(in, 0, &Position{EventMicros: 1})
	tile.Update(in, 1, &Position{EventMicros: 2})
	f.Add(tile.Snapshot(Fence{3, 4}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, direct := s.NewTile(Fence{}), s.NewTile(Fence{})
		err, merged := x.Decode(b, Fence{}), direct.MergeBytes(b, s.NewSpare())
		if (err == nil) != (merged == nil) || merged != nil && !errors.Is(merged, ErrFormat) {
			t.Fatalf("decoding gives %v, merging %v", err, merged)
		}
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		whole := s.NewTile(Fence{}) // what nobody writes, such as a variance of nothing, merging may pass over
		whole.Merge(x)
		sameTile(t, whole, direct)
		for i := range specs {
			answer(t, x.state(i))
		}
		sum := s.NewTile(Fence{})
		sum.Merge(x)
		sum.Merge(x)
		first := x.Snapshot(x.Fence, nil)
		if err := x.Decode(first, Fence{}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(x.Snapshot(x.Fence, nil), first) {
			t.Fatal("bytes changed")
		}
	})
}

// sameTile compares what two tiles have counted, bit by bit.
func sameTile(t rapid.TB, want, got *Tile) {
	t.Helper()
	for i := range want.states {
		a, b := want.state(i).AppendState(nil), got.state(i).AppendState(nil)
		if !bytes.Equal(a, b) || want.Lacks(i) != got.Lacks(i) {
			t.Fatalf("%s: %x, lacks %v; merged from bytes %x, lacks %v", name(want.state(i).spec), a, want.Lacks(i), b, got.Lacks(i))
		}
	}
}

// Merging bytes gives, bit by bit, what merging the tiles decoded gives, under
// a catalog that knows other aggregates, too.
func TestMergingBytesIsMergingTiles(t *testing.T) {
	for i := range specs {
		s := &specs[i]
		t.Run(name(s), rapid.MakeCheck(func(t *rapid.T) {
			wrote := shapeOf(false, Spec{Kind: KindCount}, *s)
			reads := &Shape{Aggregates: wrote.Aggregates}
			switch rapid.IntRange(0, 3).Draw(t, "reader") {
			case 0:
				reads = &Shape{Aggregates: wrote.Aggregates[1:]}
			case 1:
				reads = shapeOf(false, Spec{Kind: KindCount}, *s, Spec{Kind: KindAvg, Of: float64s})
			}
			want, got, spare := reads.NewTile(Fence{}), reads.NewTile(Fence{}), reads.NewSpare()
			for range rapid.IntRange(0, 4).Draw(t, "tiles") {
				c, at := events(t, s.Of)
				tile := wrote.NewTile(Fence{})
				in := input(wrote, c)
				for row := range at {
					tile.Update(in, row, &at[row])
				}
				b := tile.Snapshot(Fence{}, nil)
				decoded := reads.NewTile(Fence{})
				if err := errors.Join(decoded.Decode(b, Fence{}), got.MergeBytes(b, spare)); err != nil {
					t.Fatal(err)
				}
				want.Merge(decoded)
				clear(b) // nothing points into it
			}
			sameTile(t, want, got)
		}))
	}
}

// What decoding refuses, merging bytes refuses.
func TestMergingBytesRefusesWhatDecodingRefuses(t *testing.T) {
	for i := range specs {
		s := &specs[i]
		t.Run(name(s), rapid.MakeCheck(func(t *rapid.T) {
			c, at := events(t, s.Of)
			x := NewState(s)
			for row := range at {
				update(x, c, row, &at[row])
			}
			b := x.AppendState(nil)
			switch rapid.IntRange(0, 2).Draw(t, "damage") {
			case 0:
				b = b[:rapid.IntRange(0, len(b)-1).Draw(t, "length")]
			case 1:
				b = append(b, 0)
			default:
				b[rapid.IntRange(0, len(b)-1).Draw(t, "place")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
			}
			shape := &Shape{Aggregates: []Aggregate{{Spec: *s}}}
			decoded, merged := NewState(s).Decode(b), NewState(s).mergeBytes(b, shape.NewSpare(), 0)
			if fmt.Sprint(decoded) != fmt.Sprint(merged) {
				t.Fatalf("decoding gives %v, merging %v", decoded, merged)
			}
		}))
	}
}

// What a tile says it takes is near what it takes, so that a lane's limit is
// one of memory.
func TestMemoryBytesIsNearTheTruth(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory")
	}
	c := numbers()
	for name, specs := range map[string][]Spec{"six": benched[:6], "all": benched} {
		s := shapeOf(true, specs...)
		in := input(s, c)
		tiles, said := make([]*Tile, 2000), 0
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range tiles {
			tiles[i] = s.NewTile(Fence{1, 2})
			for row := range 10 {
				tiles[i].Update(in, row, &Position{Offset: int64(row)})
				tiles[i].Count(uint64(row))
			}
			said += tiles[i].MemoryBytes()
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		took := int(after.HeapAlloc - before.HeapAlloc)
		if said*100 < took*85 || said*100 > took*125 {
			t.Errorf("%s: %d bytes each, and it says %d", name, took/len(tiles), said/len(tiles))
		}
		t.Logf("%s: %d bytes each, and it says %d", name, took/len(tiles), said/len(tiles))
		runtime.KeepAlive(tiles)
	}
}

// documented is the tile that docs/format/tile.md draws.
func documented() (*Shape, []byte) {
	count, last := Spec{Kind: KindCount}, Spec{Kind: KindLast, Of: strs}
	s := &Shape{Aggregates: []Aggregate{{count, 0x1111111111111111}, {last, 0x2222222222222222}}, EventIDs: true}
	tile := s.NewTile(Fence{Topic: 1, Next: 0})
	tile.Count(EventID("trip-7", 0))
	c := new(feature.Column)
	c.Reset(strs)
	c.SetString(c.AppendNull(), "gold")
	tile.Update(input(s, c), 0, &Position{
		EventMicros: 1_700_000_000_000_000, RecordMillis: 1_700_000_000_123, Offset: 258, Element: 2, Partition: 5,
	})
	return s, tile.Snapshot(Fence{Topic: 1, Next: 259}, nil)
}

func TestTileDocument(t *testing.T) {
	page, err := os.ReadFile("../../docs/format/tile.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "```tile\n")
	block, _, _ = strings.Cut(block, "```")
	var drawn []byte
	for line := range strings.Lines(block) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), "  ")
		digits, _, _ := strings.Cut(strings.TrimSpace(rest), "  ")
		b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		drawn = append(drawn, b...)
	}
	if _, b := documented(); !bytes.Equal(drawn, b) {
		t.Fatalf("docs/format/tile.md draws another tile than the code writes; stored tiles would not be read\n page %x\n code %x", drawn, b)
	}
}

func TestQuantilesOfOneValueShareAState(t *testing.T) {
	low, high := Spec{Kind: KindQuantile, Of: float64s, Q: 0}, Spec{Kind: KindQuantile, Of: float64s, Q: 1}
	if low.Hash("fare", "") != high.Hash("fare", "") || low.Hash("fare", "") == low.Hash("km", "") || low.Hash("a", "b") == low.Hash("ab", "") {
		t.Fatal("hashes")
	}
	s := shapeOf(false, low)
	tile := s.NewTile(Fence{})
	for row := range 3 {
		tile.Update(input(s, floats(3, 1, 2)), row, &Position{Offset: int64(row)})
	}
	c := floats(0, 0)
	tile.Finalize(0, c, 0)
	tile.FinalizeAs(0, &high, c, 1)
	if c.Floats[0] != 1 || c.Floats[1] != 3 {
		t.Errorf("got %v", c.Floats)
	}
}
