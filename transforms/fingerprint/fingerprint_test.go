package fingerprint_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/transforms/fingerprint"
)

// input is what is added for one view.
type input struct {
	name       string
	generation uint32
	read       uint64
	row        fingerprint.Row
}

type tile struct {
	view string
	hop  int32
	hash uint64
}

// state is what a fingerprint is made of.
type state struct {
	shape  uint64
	inputs []input
	tiles  map[tile]bool
}

func (s *state) bytes(shuffle int64) []byte {
	b := new(fingerprint.Builder)
	b.Reset(s.shape)
	rng := rand.New(rand.NewPCG(uint64(shuffle), 1))
	inputs := slices.Clone(s.inputs)
	rng.Shuffle(len(inputs), func(i, j int) { inputs[i], inputs[j] = inputs[j], inputs[i] })
	for _, in := range inputs {
		b.View(in.name, in.generation, in.read, in.row)
	}
	for x := range s.tiles { // a map's order is another each time
		b.Tiles(x.view, x.hop, []uint64{x.hash})
		if rng.IntN(2) == 0 { // one that is added twice is one
			b.Tiles(x.view, x.hop, []uint64{x.hash})
		}
	}
	return b.Append(nil)
}

func rows() *rapid.Generator[fingerprint.Row] {
	return rapid.Custom(func(t *rapid.T) fingerprint.Row {
		r := fingerprint.Row{Kind: fingerprint.RowKind(rapid.IntRange(0, 2).Draw(t, "kind"))}
		if r.Kind == fingerprint.Present {
			r.EventMicros = rapid.Int64().Draw(t, "event time")
			copy(r.Hash[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "hash"))
		}
		return r
	})
}

func states() *rapid.Generator[*state] {
	return rapid.Custom(func(t *rapid.T) *state {
		s := &state{shape: rapid.Uint64().Draw(t, "shape"), tiles: make(map[tile]bool)}
		for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-d]{1,3}`), 0, 5, rapid.ID[string]).Draw(t, "views") {
			s.inputs = append(s.inputs, input{name, rapid.Uint32Range(0, 9).Draw(t, "generation"), rapid.Uint64().Draw(t, "read"), rows().Draw(t, "row")})
		}
		for range rapid.IntRange(0, 8).Draw(t, "tiles") {
			s.tiles[tile{rapid.SampledFrom([]string{"a", "ab", "b"}).Draw(t, "view"), rapid.Int32Range(0, 2).Draw(t, "hop"), rapid.Uint64Range(0, 9).Draw(t, "hash")}] = true
		}
		return s
	})
}

func (s *state) clone() *state {
	c := &state{shape: s.shape, inputs: slices.Clone(s.inputs), tiles: make(map[tile]bool)}
	maps.Copy(c.tiles, s.tiles)
	return c
}

func (s *state) sorted() []tile {
	return slices.SortedFunc(maps.Keys(s.tiles), func(a, b tile) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
}

func compare(t interface{ Fatal(args ...any) }, stored, current []byte) fingerprint.Verdict {
	v, err := fingerprint.Compare(stored, current)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestOrderChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := states().Draw(t, "state")
		a, b := s.bytes(1), s.bytes(rapid.Int64().Draw(t, "order"))
		if !bytes.Equal(a, b) {
			t.Fatalf("% x\n% x", a, b)
		}
		if v := compare(t, a, b); v.Stale() {
			t.Fatalf("stale: %+v", v)
		}
	})
}

// TestEveryChangeIsSeen, whichever part it is of, and says which.
func TestEveryChangeIsSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := states().Draw(t, "state")
		after := before.clone()
		want := fingerprint.Verdict{}
		kinds := []string{"shape", "a new view", "a new tile"}
		if len(before.inputs) > 0 {
			kinds = append(kinds, "generation", "read", "row", "a view less")
		}
		if len(before.tiles) > 0 {
			kinds = append(kinds, "another tile")
		}
		i := rapid.IntRange(0, max(0, len(before.inputs)-1)).Draw(t, "which")
		switch rapid.SampledFrom(kinds).Draw(t, "change") {
		case "shape":
			after.shape++
			want.Rule = fingerprint.ChangedModel
		case "a new view":
			after.inputs = append(after.inputs, input{name: "new"})
			want = fingerprint.Verdict{Rule: fingerprint.ChangedViews, View: "new"}
		case "a view less":
			want = fingerprint.Verdict{Rule: fingerprint.ChangedViews, View: after.inputs[i].name}
			after.inputs = slices.Delete(after.inputs, i, i+1)
		case "generation":
			after.inputs[i].generation++
			want = fingerprint.Verdict{Rule: fingerprint.ChangedGeneration, View: after.inputs[i].name}
		case "read":
			after.inputs[i].read++
			want = fingerprint.Verdict{Rule: fingerprint.ChangedRead, View: after.inputs[i].name}
		case "row":
			r := rows().Filter(func(r fingerprint.Row) bool { return r != before.inputs[i].row }).Draw(t, "other")
			want = fingerprint.Verdict{Rule: fingerprint.ChangedRow, View: after.inputs[i].name}
			if (r.Kind == fingerprint.NoRow) != (after.inputs[i].row.Kind == fingerprint.NoRow) {
				want.Rule = fingerprint.ChangedRead
			}
			after.inputs[i].row = r
		case "a new tile":
			after.tiles[tile{"ab", 1, 77}] = true
			want = fingerprint.Verdict{Rule: fingerprint.NewEvents, View: "ab"}
		case "another tile":
			x := rapid.SampledFrom(before.sorted()).Draw(t, "tile")
			delete(after.tiles, x)
			after.tiles[tile{x.view, x.hop, x.hash + 100}] = true
			want = fingerprint.Verdict{Rule: fingerprint.NewEvents, View: x.view}
		}
		if got := compare(t, before.bytes(1), after.bytes(2)); got != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
	})
}

// TestSlidingIsNotStale: any tiles may be gone, whole groups too.
func TestSlidingIsNotStale(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := states().Draw(t, "state")
		after := before.clone()
		for _, x := range before.sorted() {
			if rapid.Bool().Draw(t, "gone") {
				delete(after.tiles, x)
			}
		}
		if v := compare(t, before.bytes(1), after.bytes(2)); v.Stale() {
			t.Fatalf("%+v", v)
		}
	})
}

// TestCompareIsTheRule holds the merging pass to its plain statement.
func TestCompareIsTheRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := states().Draw(t, "stored"), states().Draw(t, "current")
		b.shape, b.inputs = a.shape, a.inputs
		stale := false
		for x := range b.tiles {
			stale = stale || !a.tiles[x]
		}
		if v := compare(t, a.bytes(1), b.bytes(2)); v.Stale() != stale || stale && v.Rule != fingerprint.NewEvents {
			t.Fatalf("%+v, want stale %t", v, stale)
		}
	})
}

// TestNoBytesButTheBuilders: a byte less, more or changed is an error or another
// state, never taken for this one.
func TestNoBytesButTheBuilders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		good := states().Draw(t, "state").bytes(1)
		bad := slices.Clone(good)
		switch rapid.IntRange(0, 2).Draw(t, "damage") {
		case 0:
			bad = bad[:rapid.IntRange(0, len(bad)-1).Draw(t, "cut")]
		case 1:
			bad = append(bad, rapid.Byte().Draw(t, "more"))
		case 2:
			at := rapid.IntRange(0, len(bad)-1).Draw(t, "at")
			bad[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			if fingerprint.Check(bad) == nil {
				forth, back := compare(t, good, bad), compare(t, bad, good)
				if !forth.Stale() && !back.Stale() {
					t.Fatalf("% x is taken for % x", bad, good)
				}
				return
			}
		}
		for _, pair := range [][2][]byte{{bad, good}, {good, bad}} {
			if _, err := fingerprint.Compare(pair[0], pair[1]); !errors.Is(err, fingerprint.ErrFormat) {
				t.Fatalf("% x: %v", bad, err)
			}
		}
	})
}

func TestModes(t *testing.T) {
	b := new(fingerprint.Builder)
	b.ResetValues(7, [16]byte{1})
	one := b.Append(nil)
	b.ResetValues(7, [16]byte{2})
	two := b.Append(nil)
	b.Reset(7)
	state := b.Append(nil)
	for _, c := range []struct {
		a, b []byte
		want fingerprint.Rule
	}{{one, one, fingerprint.Fresh}, {one, two, fingerprint.ChangedValues}, {one, state, fingerprint.ChangedModel}, {state, state, fingerprint.Fresh}} {
		if got := compare(t, c.a, c.b); got.Rule != c.want || got.View != "" {
			t.Errorf("%+v, want %s", got, c.want)
		}
	}
	later := slices.Clone(one)
	later[0] = 2
	if _, err := fingerprint.Compare(later, one); err == nil || err.Error() != "fingerprint: format 2; this version reads format 1" {
		t.Errorf("a later format: %v", err)
	}
	if _, err := fingerprint.Compare(nil, one); !errors.Is(err, fingerprint.ErrFormat) {
		t.Errorf("no bytes: %v", err)
	}
}

func column(typ feature.Type, set func(c *feature.Column)) *feature.Column {
	c := new(feature.Column)
	c.Reset(typ)
	c.Resize(1)
	set(c)
	return c
}

// TestValuesAreToldApart: values that look alike are not one.
func TestValuesAreToldApart(t *testing.T) {
	text := func(s string) *feature.Column {
		return column(feature.Of(feature.KindString), func(c *feature.Column) { c.SetString(0, s) })
	}
	list := func(values ...int64) *feature.Column {
		return column(feature.ListOf(feature.Of(feature.KindInt64)), func(c *feature.Column) {
			for _, v := range values {
				c.Elems.SetInt(c.Elems.AppendNull(), v)
			}
			c.SetList(0, 0)
		})
	}
	number := column(feature.Of(feature.KindFloat64), func(c *feature.Column) { c.SetFloat(0, 1) })
	null := column(feature.Of(feature.KindFloat64), func(*feature.Column) {})
	zero := column(feature.Of(feature.KindFloat64), func(c *feature.Column) { c.SetFloat(0, 0) })
	flag := column(feature.Of(feature.KindBool), func(c *feature.Column) { c.SetBool(0, true) })
	seen := make(map[[16]byte]int)
	var scratch []byte
	for i, columns := range [][]*feature.Column{
		{text("a"), text("b")},
		{text("ab"), text("")},
		{text(""), text("ab")},
		{text("b"), text("a")},
		{number},
		{null},
		{zero},
		{flag},
		{list()},
		{list(1, 2)},
		{list(1), list(2)},
		{list(12)},
		{null, number},
		{number, null},
	} {
		var hash [16]byte
		hash, scratch = fingerprint.HashValues(scratch, columns, 0)
		if j, again := seen[hash]; again {
			t.Errorf("values %d and %d have one hash", j, i)
		}
		seen[hash] = i
		if same, _ := fingerprint.HashValues(nil, columns, 0); same != hash {
			t.Errorf("values %d have two hashes", i)
		}
	}
}

func TestCompareAllocatesNothing(t *testing.T) {
	s := &state{shape: 1, tiles: map[tile]bool{{"a", 60, 1}: true, {"a", 60, 2}: true, {"b", 0, 1}: true}}
	s.inputs = []input{{name: "a", generation: 1}, {name: "b", generation: 1}}
	stored := s.bytes(1)
	delete(s.tiles, tile{"a", 60, 2})
	current := s.bytes(1)
	if n := testing.AllocsPerRun(100, func() { _, _ = fingerprint.Compare(stored, current) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	b, dst, tiles := new(fingerprint.Builder), make([]byte, 0, 512), []uint64{7, 3}
	build := func() {
		b.Reset(1)
		b.View("b", 1, 2, fingerprint.Row{Kind: fingerprint.Present})
		b.View("a", 1, 2, fingerprint.Row{Kind: fingerprint.Absent})
		b.Tiles("a", 60, tiles)
		b.Tiles("a", 0, tiles)
		dst = b.Append(dst[:0])
	}
	build()
	if n := testing.AllocsPerRun(100, build); n > 0 {
		t.Errorf("building: %v allocations", n)
	}
}

// FuzzCheck: what is accepted is what a Builder writes, so comparing it with
// itself is fresh and nothing panics.
func FuzzCheck(f *testing.F) {
	s := &state{shape: 1, tiles: map[tile]bool{{"a", 60, 1}: true, {"b", 0, 1 << 63}: true}}
	s.inputs = []input{{name: "a", generation: 1, row: fingerprint.Row{Kind: fingerprint.Present}}, {name: "b", generation: 1}}
	f.Add(s.bytes(1), s.bytes(2))
	b := new(fingerprint.Builder)
	b.ResetValues(1, [16]byte{3})
	f.Add(b.Append(nil), []byte{1, 1})
	f.Fuzz(func(t *testing.T, x, y []byte) {
		v, err := fingerprint.Compare(x, x)
		if (err != nil) != (fingerprint.Check(x) != nil) || v.Stale() {
			t.Errorf("% x with itself: %+v, %v", x, v, err)
		}
		if v, err := fingerprint.Compare(x, y); err == nil && v.Rule > fingerprint.ChangedValues {
			t.Errorf("%+v", v)
		}
	})
}
