package expr

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// steps counts the float64 between two of one sign.
func steps(a, b float64) int64 {
	d := int64(math.Float64bits(a)) - int64(math.Float64bits(b))
	return max(d, -d)
}

// TestPowIsPrecise compares with multiplying exactly.
func TestPowIsPrecise(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		x, y := 0.5+r.Float64(), 1+r.IntN(1000)
		exact := big.NewFloat(1).SetPrec(300)
		for range y {
			exact.Mul(exact, big.NewFloat(x))
		}
		want, _ := exact.Float64()
		if got := pow(x, float64(y)); steps(got, want) > 4 {
			t.Fatalf("pow(%v, %d) = %v, want %v", x, y, got, want)
		}
		if got := pow(-x, float64(y)); steps(math.Abs(got), want) > 4 || math.Signbit(got) != (y%2 == 1) {
			t.Fatalf("pow(%v, %d) = %v, want %v", -x, y, got, want)
		}
	}
}

func TestPowersAreExact(t *testing.T) {
	for n := -300; n <= 300; n++ {
		if got := log10(math.Pow(10, float64(n))); n >= 0 && n <= 22 && got != float64(n) {
			t.Errorf("log10(1e%d) = %v", n, got)
		}
		if got := log2(math.Ldexp(1, n)); got != float64(n) {
			t.Errorf("log2(2^%d) = %v", n, got)
		}
		if got := pow(2, float64(n)); got != math.Ldexp(1, n) {
			t.Errorf("pow(2, %d) = %v", n, got)
		}
	}
}

func TestPreciseNearOne(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"log2(1 + 1e-9)", log2(1 + 1e-9), math.Log1p(1e-9+8.274037096265818e-17) / math.Ln2},
		{"acos(1 - 2^-40)", acos(1 - 0x1p-40), math.Sqrt(0x1p-39) * (1 + 0x1p-40/12)},
		{"ln of the least", ln(5e-324), -744.4400719213812},
		{"atan2 of a quotient that is too small", atan2(-5e-209, -6e136), -math.Pi},
		{"pow(1, nan)", pow(1, math.NaN()), 1},
		{"acos(1)", acos(1), 0},
		{"acos(-1)", acos(-1), math.Pi},
	} {
		if steps(c.got, c.want) > 4 {
			t.Errorf("%s = %v, want %v", c.name, c.got, c.want)
		}
	}
}
