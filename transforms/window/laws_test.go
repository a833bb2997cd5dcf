package window

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/big"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"millrace/feature"
)

var (
	int64s   = feature.Of(feature.KindInt64)
	float64s = feature.Of(feature.KindFloat64)
	strs     = feature.Of(feature.KindString)
	bools    = feature.Of(feature.KindBool)
	tags     = feature.ListOf(strs)
)

// specs is every aggregate over every layout it takes.
var specs = []Spec{
	{Kind: KindCount},
	{Kind: KindCount, Of: tags},
	{Kind: KindCountDistinct, Of: int64s},
	{Kind: KindCountDistinct, Of: float64s},
	{Kind: KindCountDistinct, Of: strs},
	{Kind: KindSum, Of: int64s},
	{Kind: KindSum, Of: float64s},
	{Kind: KindAvg, Of: int64s},
	{Kind: KindAvg, Of: float64s},
	{Kind: KindMin, Of: int64s},
	{Kind: KindMin, Of: float64s},
	{Kind: KindMin, Of: strs},
	{Kind: KindMin, Of: bools},
	{Kind: KindMax, Of: int64s},
	{Kind: KindMax, Of: float64s},
	{Kind: KindMax, Of: strs},
	{Kind: KindVarPop, Of: int64s},
	{Kind: KindVarPop, Of: float64s},
	{Kind: KindStddevPop, Of: float64s},
	{Kind: KindFirst, Of: strs},
	{Kind: KindFirst, Of: tags},
	{Kind: KindLast, Of: float64s},
	{Kind: KindLast, Of: tags},
	{Kind: KindLastN, Of: strs, N: 3},
	{Kind: KindLastN, Of: tags, N: 2},
	{Kind: KindLastN, Of: int64s, N: 3, Distinct: true},
	{Kind: KindTopK, Of: strs, K: 3},
	{Kind: KindTopK, Of: float64s, K: 2},
	{Kind: KindQuantile, Of: float64s, Q: 0.5},
	{Kind: KindQuantile, Of: int64s, Q: 0.99},
}

func name(s *Spec) string { return fmt.Sprintf("%s of %s", s.Kind, s.Of) }

// events draws rows of one type, many of them equal or null, with positions
// that often share an event time.
func events(t *rapid.T, typ feature.Type) (*feature.Column, []Position) {
	c := new(feature.Column)
	if typ.Kind == feature.KindInvalid {
		typ = int64s
	}
	c.Reset(typ)
	n := rapid.IntRange(0, 60).Draw(t, "events")
	at := make([]Position, n)
	for i := range n {
		fill(t, c, c.AppendNull())
		at[i] = Position{
			EventMicros: rapid.Int64Range(-3, 3).Draw(t, "time"), RecordMillis: rapid.Int64Range(0, 2).Draw(t, "record"),
			Offset: int64(i), Partition: rapid.Int32Range(0, 3).Draw(t, "partition"),
		}
	}
	return c, at
}

func fill(t *rapid.T, c *feature.Column, i int) {
	if rapid.IntRange(0, 5).Draw(t, "null") == 0 {
		return
	}
	switch c.Type.Layout() {
	case feature.LayoutBool:
		c.SetBool(i, rapid.Bool().Draw(t, "bool"))
	case feature.LayoutInt:
		c.SetInt(i, rapid.OneOf(rapid.Int64Range(-2, 2), rapid.Int64()).Draw(t, "int"))
	case feature.LayoutFloat:
		c.SetFloat(i, rapid.OneOf(rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1.5, -1.5}),
			rapid.Float64Range(-1e6, 1e6), rapid.Float64Range(1e15, 1e15+4), rapid.Float64Range(-1e15-4, -1e15), rapid.SampledFrom([]float64{1e15, -1e15, 1e-3})).Draw(t, "float"))
	case feature.LayoutString:
		c.SetString(i, rapid.OneOf(rapid.SampledFrom([]string{"", "a", "b"}), rapid.StringN(0, 3, 12)).Draw(t, "text"))
	case feature.LayoutList:
		start := c.Elems.Len()
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			fill(t, c.Elems, c.Elems.AppendNull())
		}
		c.SetList(i, start)
	case feature.LayoutNone:
	}
}

func update(s State, c *feature.Column, row int, at *Position) {
	if s.spec.Of.Kind == feature.KindInvalid {
		c = nil
	}
	s.Update(c, row, at)
}

// answer is a finished aggregate, printable and comparable.
func answer(t rapid.TB, s State) (string, float64) {
	typ, err := s.spec.Result()
	if err != nil {
		t.Fatal(err)
	}
	var c feature.Column
	c.Reset(typ)
	outcome := s.Finalize(&c, c.AppendNull())
	if (outcome == OutcomeValue) == c.IsNull(0) {
		t.Fatal("outcome and validity differ", outcome)
	}
	x := math.NaN()
	if outcome == OutcomeValue && typ == float64s {
		x = c.Floats[0]
	}
	if outcome == OutcomeError {
		return "error", x
	}
	return show(&c, 0), x
}

func show(c *feature.Column, i int) string {
	if c.IsNull(i) {
		return "null"
	}
	switch c.Type.Layout() {
	case feature.LayoutBool:
		return fmt.Sprint(c.Bools[i])
	case feature.LayoutInt:
		return fmt.Sprint(c.Ints[i])
	case feature.LayoutFloat:
		return fmt.Sprint(c.Floats[i] + 0)
	case feature.LayoutString:
		return fmt.Sprintf("%q", c.Strings[i])
	default:
		var parts []string
		for e := c.Spans[i].Start; e < c.Spans[i].End; e++ {
			parts = append(parts, show(c.Elems, int(e)))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
}

// scan is the oracle: every aggregate by its definition over all events, with
// exact arithmetic and no code of the package.
func scan(s *Spec, c *feature.Column, at []Position) (string, float64) {
	order := make([]int, len(at))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(i, j int) bool {
		a, b := at[order[i]], at[order[j]]
		return cmp.Or(cmp.Compare(a.EventMicros, b.EventMicros), cmp.Compare(a.RecordMillis, b.RecordMillis), cmp.Compare(a.Offset, b.Offset)) < 0
	})
	var values []int
	for _, i := range order {
		if !c.IsNull(i) {
			values = append(values, i)
		}
	}
	texts := func(rows []int) []string {
		var out []string
		for _, i := range rows {
			out = append(out, show(c, i))
		}
		return out
	}
	switch s.Kind {
	case KindCount:
		if s.Of.Kind == feature.KindInvalid {
			return fmt.Sprint(len(at)), 0
		}
		return fmt.Sprint(len(values)), 0
	case KindCountDistinct:
		all := texts(values)
		slices.Sort(all)
		return fmt.Sprint(len(slices.Compact(all))), 0
	case KindLastN:
		slices.Reverse(order)
		all := texts(order)
		if s.Distinct {
			all = unique(all)
		}
		if len(all) == 0 {
			return "null", 0
		}
		return "[" + strings.Join(all[:min(s.N, len(all))], ", ") + "]", 0
	case KindFirst, KindLast:
		if len(order) == 0 {
			return "null", 0
		}
		if s.Kind == KindFirst {
			return show(c, order[0]), 0
		}
		return show(c, order[len(order)-1]), 0
	}
	if len(values) == 0 {
		return "null", 0
	}
	if s.Kind == KindTopK {
		return scanTop(s, c, values, texts(values)), 0
	}
	if s.Kind == KindMin || s.Kind == KindMax {
		slices.SortFunc(values, func(a, b int) int { return less(c, a, b) })
		if s.Kind == KindMin {
			return show(c, values[0]), 0
		}
		return show(c, values[len(values)-1]), 0
	}
	return scanNumbers(s, c, values)
}

func unique(all []string) []string {
	var out []string
	for _, v := range all {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func less(c *feature.Column, a, b int) int {
	switch c.Type.Layout() {
	case feature.LayoutBool:
		return strings.Compare(fmt.Sprint(c.Bools[a]), fmt.Sprint(c.Bools[b]))
	case feature.LayoutInt:
		return cmp.Compare(c.Ints[a], c.Ints[b])
	case feature.LayoutFloat:
		return cmp.Compare(c.Floats[a], c.Floats[b])
	default:
		return strings.Compare(c.Strings[a], c.Strings[b])
	}
}

func scanTop(s *Spec, c *feature.Column, values []int, texts []string) string {
	counts := map[string]int{}
	for _, v := range texts {
		counts[v]++
	}
	slices.SortStableFunc(values, func(a, b int) int {
		return cmp.Or(cmp.Compare(counts[show(c, b)], counts[show(c, a)]), less(c, a, b))
	})
	var all []string
	for _, i := range values {
		all = append(all, show(c, i))
	}
	all = unique(all)
	return "[" + strings.Join(all[:min(s.K, len(all))], ", ") + "]"
}

func scanNumbers(s *Spec, c *feature.Column, values []int) (string, float64) {
	const precision = 2000
	num := func(i int) *big.Float {
		if c.Type.Layout() == feature.LayoutInt {
			return new(big.Float).SetPrec(precision).SetInt64(c.Ints[i])
		}
		return new(big.Float).SetPrec(precision).SetFloat64(c.Floats[i])
	}
	n := new(big.Float).SetPrec(precision).SetInt64(int64(len(values)))
	sum := new(big.Float).SetPrec(precision)
	for _, i := range values {
		sum.Add(sum, num(i))
	}
	mean := new(big.Float).SetPrec(precision).Quo(sum, n)
	squares := new(big.Float).SetPrec(precision)
	for _, i := range values {
		d := new(big.Float).SetPrec(precision).Sub(num(i), mean)
		squares.Add(squares, d.Mul(d, d))
	}
	var out *big.Float
	switch s.Kind {
	case KindSum:
		if s.Of == int64s {
			whole, _ := sum.Int(nil)
			if !whole.IsInt64() {
				return "error", 0
			}
			return whole.String(), 0
		}
		out = sum
	case KindAvg:
		out = mean
	case KindVarPop:
		out = squares.Quo(squares, n)
	case KindStddevPop:
		out = squares.Sqrt(squares.Quo(squares, n))
	case KindQuantile:
		slices.SortFunc(values, func(a, b int) int { return less(c, a, b) })
		out = num(values[int(s.Q*float64(len(values)-1))])
	}
	x, _ := out.Float64()
	return fmt.Sprint(x), x
}

// agrees compares answers: exactly, but floats to 1e-12 and quantiles to 1 %.
func agrees(s *Spec, got, want string, gotX, wantX float64) bool {
	bound := 1e-12
	switch s.Kind {
	case KindQuantile:
		bound = 0.01
	case KindAvg, KindVarPop, KindStddevPop, KindSum:
	default:
		return got == want
	}
	tiny := 0.0
	switch s.Kind {
	case KindQuantile:
		tiny = 1e-19 // thirty-five orders of magnitude below the greatest value
	case KindVarPop:
		tiny = 1e-320 // squares of what is smaller than 1e-160 have few bits, or none
	case KindStddevPop:
		tiny = 1e-160
	}
	return got == want || math.Abs(gotX-wantX) <= bound*math.Abs(wantX)+tiny
}

// Any split of the events over tiles and partitions, in any order of counting,
// storing and merging, gives what a plain scan gives.
func TestAnySplitGivesTheAnswerOfAPlainScan(t *testing.T) {
	for i := range specs {
		s := &specs[i]
		t.Run(name(s), rapid.MakeCheck(func(t *rapid.T) {
			c, at := events(t, s.Of)
			parts := make([]State, rapid.IntRange(1, 5).Draw(t, "parts"))
			for p := range parts {
				parts[p] = NewState(s)
			}
			for _, row := range rapid.Permutation(rows(len(at))).Draw(t, "order") {
				p := rapid.IntRange(0, len(parts)-1).Draw(t, "part")
				update(parts[p], c, row, &at[row])
				if rapid.IntRange(0, 9).Draw(t, "evict") == 0 {
					parts[p] = reloaded(t, parts[p])
				}
			}
			for len(parts) > 1 { // a random tree of merges
				i := rapid.IntRange(0, len(parts)-2).Draw(t, "left")
				parts[i].Merge(parts[i+1])
				parts = slices.Delete(parts, i+1, i+2)
			}
			got, gotX := answer(t, reloaded(t, parts[0]))
			want, wantX := scan(s, c, at)
			if !agrees(s, got, want, gotX, wantX) {
				t.Fatalf("got %s, a scan gives %s", got, want)
			}
		}))
	}
}

func rows(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// reloaded is s through its bytes, which must be within their bound and come
// back the same.
func reloaded(t rapid.TB, s State) State {
	b := s.AppendState(nil)
	if len(b) > s.spec.maxStateBytes() {
		t.Fatalf("%d bytes, bound %d", len(b), s.spec.maxStateBytes())
	}
	back := NewState(s.spec)
	if err := back.Decode(b); err != nil {
		t.Fatalf("decode: %v", err)
	}
	if again := back.AppendState(nil); !bytes.Equal(again, b) {
		t.Fatalf("bytes changed:\n%x\n%x", b, again)
	}
	return back
}

func TestMergeIsAssociativeAndCommutativeAndEmptyIsItsIdentity(t *testing.T) {
	for i := range specs {
		s := &specs[i]
		t.Run(name(s), rapid.MakeCheck(func(t *rapid.T) {
			c, at := events(t, s.Of)
			cut := rapid.IntRange(0, len(at)).Draw(t, "cut")
			cut2 := rapid.IntRange(cut, len(at)).Draw(t, "cut2")
			part := func(from, to int) State {
				x := NewState(s)
				for row := from; row < to; row++ {
					update(x, c, row, &at[row])
				}
				return x
			}
			a, b, d := func() State { return part(0, cut) }, func() State { return part(cut, cut2) }, func() State { return part(cut2, len(at)) }
			merge := func(x, y State) State { x.Merge(y); return x }
			same := func(law string, x, y State) {
				gx, fx := answer(t, x)
				gy, fy := answer(t, y)
				if !agrees(s, gx, gy, fx, fy) {
					t.Fatalf("%s: %s and %s", law, gx, gy)
				}
			}
			same("associative", merge(merge(a(), b()), d()), merge(a(), merge(b(), d())))
			same("commutative", merge(a(), b()), merge(b(), a()))
			before := a().AppendState(nil)
			if !bytes.Equal(merge(a(), NewState(s)).AppendState(nil), before) || !bytes.Equal(merge(NewState(s), a()).AppendState(nil), before) {
				t.Fatal("empty is not the identity")
			}
			used := b()
			before = used.AppendState(nil)
			merge(a(), used)
			if !bytes.Equal(used.AppendState(nil), before) {
				t.Fatal("merge changed what it was given")
			}
		}))
	}
}
