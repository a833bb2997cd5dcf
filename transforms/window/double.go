package window

import (
	"encoding/binary"
	"math"
)

// double is a number of twice a float64's precision: hi + lo, hi rounded.
// Algorithms and bounds: Joldes, Muller, Popescu, "Tight and rigorous error
// bounds for basic building blocks of double-word arithmetic" (2017).
type double struct{ hi, lo float64 }

func twoSum(a, b float64) (sum, rest float64) {
	sum = a + b
	t := sum - a
	return sum, (a - (sum - t)) + (b - t)
}

// fastSum is twoSum for |a| ≥ |b|.
func fastSum(a, b float64) double {
	sum := a + b
	return double{sum, b - (sum - a)}
}

func intDouble(v int64) double {
	// Both halves are exact.
	return fastSum(float64(v>>32)*(1<<32), float64(uint32(v)))
}

func (d double) negative() double { return double{-d.hi, -d.lo} }

func (d double) addFloat(x float64) double {
	sum, rest := twoSum(d.hi, x)
	return fastSum(sum, rest+d.lo)
}

func (d double) add(e double) double {
	sum, rest := twoSum(d.hi, e.hi)
	low, lower := twoSum(d.lo, e.lo)
	v := fastSum(sum, rest+low)
	return fastSum(v.hi, lower+v.lo)
}

func (d double) times(e double) double {
	p := d.hi * e.hi
	rest := math.FMA(d.hi, e.hi, -p)
	return fastSum(p, rest+(d.hi*e.lo+d.lo*e.hi))
}

func (d double) over(x float64) double {
	q := d.hi / x
	p := q * x
	rest := math.FMA(q, x, -p)
	return fastSum(q, ((d.hi-p)-rest+d.lo)/x)
}

func (d double) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(d.hi))
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(d.lo))
}

func (r *reader) double() double { return double{r.float(), r.float()} }
