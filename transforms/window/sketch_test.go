package window

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"millrace/feature"
)

// spread counts values over several states, merges them, and finishes.
func spread(t *testing.T, s Spec, values []float64) *feature.Column {
	t.Helper()
	var c feature.Column
	c.Reset(s.Of)
	c.Resize(1)
	parts := [...]State{NewState(&s), NewState(&s), NewState(&s)}
	for i, v := range values {
		if s.Of == float64s {
			c.SetFloat(0, v)
		} else {
			c.SetInt(0, int64(v))
		}
		parts[i%3].Update(&c, 0, &Position{})
	}
	for i := range parts {
		parts[i] = reloaded(t, parts[i])
	}
	parts[0].Merge(parts[1])
	parts[0].Merge(parts[2])
	typ, _ := s.Result()
	out := new(feature.Column)
	out.Reset(typ)
	reloaded(t, parts[0]).Finalize(out, out.AppendNull())
	return out
}

func TestCountDistinctIsExactTo256AndThenWithinTwoPercent(t *testing.T) {
	for _, n := range []int{0, 1, 255, 256, 257, 1000, 5000, 15_000, 20_000, 40_000, 100_000, 300_000} {
		for name, value := range map[string]func(i int) float64{
			"sequence":  func(i int) float64 { return float64(i) },
			"multiples": func(i int) float64 { return float64(i) * 1_000_003 },
			"fractions": func(i int) float64 { return 1 / float64(i+1) },
		} {
			var values []float64
			for i := range n {
				values = append(values, value(i), value(i/2))
			}
			got := spread(t, Spec{Kind: KindCountDistinct, Of: float64s}, values).Ints[0]
			off := math.Abs(float64(got) - float64(n))
			if n <= 256 && off != 0 || off > 0.02*float64(n) {
				t.Errorf("%s: %d different values counted as %d", name, n, got)
			}
		}
	}
}

func TestQuantileIsWithinOnePercent(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, draw := range map[string]func() float64{
		"uniform":     func() float64 { return r.Float64() * 1000 },
		"normal":      r.NormFloat64,
		"exponential": r.ExpFloat64,
		"log normal":  func() float64 { return math.Exp(3 * r.NormFloat64()) },
		"pareto":      func() float64 { return math.Pow(1-r.Float64(), -1/1.1) },
		"constant":    func() float64 { return 12.5 },
		"two modes":   func() float64 { return float64(r.IntN(2))*1e6 - 5e5 + r.NormFloat64() },
		"integers":    func() float64 { return float64(r.IntN(20) - 10) },
	} {
		for _, n := range []int{1, 2, 10, 1000, 50_000} {
			values := make([]float64, n)
			for i := range values {
				values[i] = draw()
			}
			sorted := slices.Sorted(slices.Values(values))
			for _, q := range []float64{0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1} {
				got := spread(t, Spec{Kind: KindQuantile, Of: float64s, Q: q}, values).Floats[0]
				want := sorted[int(q*float64(n-1))]
				if math.Abs(got-want) > 0.01*math.Abs(want) {
					t.Errorf("%s, n %d, q %v: %v, want %v", name, n, q, got, want)
				}
			}
		}
	}
}

func TestTopKFindsEveryFrequentValue(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	z := rand.NewZipf(r, 1.2, 1, 100_000)
	values := make([]float64, 200_000)
	counts := map[int64]int{}
	for i := range values {
		values[i] = float64(z.Uint64())
		counts[int64(values[i])]++
	}
	out := spread(t, Spec{Kind: KindTopK, Of: int64s, K: 10}, values)
	got := out.Elems.Ints[out.Spans[0].Start:out.Spans[0].End]
	for v, n := range counts {
		if n > 2*2*len(values)/256 && len(got) == 10 && !slices.Contains(got, v) && n > counts[got[9]] {
			t.Errorf("%d, seen %d times, is not among %v", v, n, got)
		}
	}
	if len(got) != 10 || got[0] != 0 {
		t.Errorf("got %v", got)
	}
}

// The bound on bytes holds when all text is long and different.
func TestTopKStaysWithinItsBytes(t *testing.T) {
	s := Spec{Kind: KindTopK, Of: strs, K: 10}
	a, b := NewState(&s), NewState(&s)
	var c feature.Column
	c.Reset(strs)
	c.Resize(1)
	for i := range 500 {
		c.SetString(0, fmt.Sprintf("%04d%0*d", i, MaxValueBytes-4, 0))
		a.Update(&c, 0, &Position{})
		c.SetString(0, fmt.Sprint(i))
		b.Update(&c, 0, &Position{})
	}
	a.Merge(b)
	reloaded(t, a)
	if a.agg.(*topK).lost == 0 {
		t.Error("nothing was forgotten")
	}
}

// A mean 10^15 times the spread leaves a double's variance nothing; ours keeps
// twelve digits.
func TestVarianceOfNumbersFarFromZero(t *testing.T) {
	s := Spec{Kind: KindVarPop, Of: float64s}
	if got := spread(t, s, []float64{1e15, 1e15 + 1, 1e15 + 2, 1e15 + 3}).Floats[0]; got != 1.25 {
		t.Errorf("got %v", got)
	}
	if got := spread(t, Spec{Kind: KindSum, Of: float64s}, []float64{1e16, 1, -1e16, 1e-3}).Floats[0]; math.Abs(got-1.001) > 1e-12 {
		t.Errorf("got %v", got)
	}
}

func TestNumbersThatAreNone(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		kind   Kind
		values []float64
		want   string
	}{
		{KindSum, []float64{1, inf}, "+Inf"},
		{KindSum, []float64{inf, -inf}, "NaN"},
		{KindAvg, []float64{1, -inf}, "-Inf"},
		{KindSum, []float64{1e308, 1e308, 1e308}, "+Inf"},
		{KindMax, []float64{inf, nan, 3}, "NaN"},
		{KindMin, []float64{nan, 3}, "3"},
		{KindVarPop, []float64{1, nan}, "null"},
		{KindVarPop, []float64{1e200, -1e200}, "null"},
		{KindQuantile, []float64{-inf, 1, inf}, "1"},
		{KindCountDistinct, []float64{nan, math.Float64frombits(0x7ff8000000000002), 0, math.Copysign(0, -1)}, "2"},
	} {
		s := Spec{Kind: c.kind, Of: float64s}
		if c.kind == KindQuantile {
			s.Q = 0.5
		}
		if got := show(spread(t, s, c.values), 0); got != c.want {
			t.Errorf("%s of %v: %s, want %s", c.kind, c.values, got, c.want)
		}
	}
}

func TestTopKRefusesAValueThatIsThereTwice(t *testing.T) {
	s := &Spec{Kind: KindTopK, Of: strs, K: 3}
	x := NewState(s)
	c := new(feature.Column)
	c.Reset(strs)
	c.SetString(c.AppendNull(), "a")
	update(x, c, 0, &Position{})
	b := x.AppendState(nil) // format, lost, number of counters, then the one
	counter := b[3:]
	b = append(slices.Clone(b), counter...)
	b[2]++
	if err := NewState(s).Decode(b); !errors.Is(err, ErrFormat) {
		t.Errorf("decoding gives %v", err)
	}
}
