package window

import (
	"encoding/binary"
	"math"
	"math/bits"

	"millrace/feature"
)

// count counts rows, or the values that are not null.
type count struct{ n uint64 }

func (a *count) update(c *feature.Column, row int, _ *Position) {
	if c == nil || !c.IsNull(row) {
		a.n++
	}
}

func (a *count) merge(from aggregate) {
	if b, ok := from.(*count); ok {
		a.n += b.n
	}
}

func (a *count) finalize(_ *Spec, dst *feature.Column, row int) Outcome {
	dst.SetInt(row, int64(a.n))
	return OutcomeValue
}

func (a *count) append(b []byte) []byte { return binary.LittleEndian.AppendUint64(b, a.n) }
func (a *count) decode(r *reader)       { a.n = r.u64() }
func (a *count) reset()                 { *a = count{} }
func (a *count) memory() int            { return 8 }

// intSum sums integers in 128 bits, so that only the final answer can
// overflow and order never matters.
type intSum struct {
	n  uint64
	hi int64
	lo uint64
}

func (a *intSum) update(c *feature.Column, row int, _ *Position) {
	if c.IsNull(row) {
		return
	}
	a.n++
	a.add(c.Ints[row]>>63, uint64(c.Ints[row]))
}

func (a *intSum) add(hi int64, lo uint64) {
	sum, carry := bits.Add64(a.lo, lo, 0)
	high, _ := bits.Add64(uint64(a.hi), uint64(hi), carry)
	a.lo, a.hi = sum, int64(high)
}

func (a *intSum) merge(from aggregate) {
	if b, ok := from.(*intSum); ok {
		a.n += b.n
		a.add(b.hi, b.lo)
	}
}

func (a *intSum) finalize(s *Spec, dst *feature.Column, row int) Outcome {
	switch {
	case a.n == 0:
		return OutcomeNull
	case s.Kind == KindAvg:
		dst.SetFloat(row, a.float()/float64(a.n))
		return OutcomeValue
	case a.hi != int64(a.lo)>>63:
		return OutcomeError
	}
	dst.SetInt(row, int64(a.lo))
	return OutcomeValue
}

func (a *intSum) float() float64 {
	hi, lo := uint64(a.hi), a.lo
	if a.hi >= 0 {
		return float64(hi)*(1<<64) + float64(lo)
	}
	lo, borrow := bits.Sub64(0, lo, 0)
	hi, _ = bits.Sub64(0, hi, borrow)
	return -(float64(hi)*(1<<64) + float64(lo))
}

func (a *intSum) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, a.n)
	b = binary.LittleEndian.AppendUint64(b, a.lo)
	return binary.LittleEndian.AppendUint64(b, uint64(a.hi))
}

func (a *intSum) decode(r *reader) { a.n, a.lo, a.hi = r.u64(), r.u64(), int64(r.u64()) }
func (a *intSum) reset()           { *a = intSum{} }
func (a *intSum) memory() int      { return 24 }

// Facts about the numbers that floatSum and variance keep beside the sum, so
// that no order of adding them matters.
const (
	sawNaN byte = 1 << iota
	sawPositive
	sawNegative
	sawAll = sawNaN | sawPositive | sawNegative
)

// saw returns the fact about x, 0 when it is finite.
func saw(x float64) byte {
	switch {
	case x-x == 0:
		return 0
	case math.IsNaN(x):
		return sawNaN
	case x > 0:
		return sawPositive
	}
	return sawNegative
}

// floatSum sums in double-double precision: an error of 2^-104 of the sum of
// magnitudes per addition, so that order changes a result by less than 1e-12
// unless all but 2^-60 of the magnitudes cancel. A partial sum beyond the range
// of float64 counts as infinite, as it does in SQL.
type floatSum struct {
	n   uint64
	sum double
	saw byte
}

func (a *floatSum) update(c *feature.Column, row int, _ *Position) {
	if c.IsNull(row) {
		return
	}
	a.n++
	x := c.Floats[row]
	if x-x != 0 {
		a.saw |= saw(x)
		return
	}
	a.take(a.sum.addFloat(x), a.sum.hi+x)
}

// take keeps sum unless it left the range of float64, to about where.
func (a *floatSum) take(sum double, about float64) {
	if sum.hi-sum.hi != 0 {
		a.saw |= saw(about)
		return
	}
	a.sum = sum
}

func (a *floatSum) merge(from aggregate) {
	if b, ok := from.(*floatSum); ok {
		a.mergeSum(b)
	}
}

func (a *floatSum) mergeSum(b *floatSum) {
	a.n += b.n
	a.saw |= b.saw
	a.take(a.sum.add(b.sum), a.sum.hi+b.sum.hi)
}

func (a *floatSum) finalize(s *Spec, dst *feature.Column, row int) Outcome {
	if a.n == 0 {
		return OutcomeNull
	}
	x := a.sum.hi
	switch a.saw {
	case 0:
		if s.Kind == KindAvg {
			x = a.sum.over(float64(a.n)).hi
		}
	case sawPositive:
		x = math.Inf(1)
	case sawNegative:
		x = math.Inf(-1)
	default:
		x = math.NaN()
	}
	dst.SetFloat(row, x)
	return OutcomeValue
}

func (a *floatSum) append(b []byte) []byte {
	return append(a.sum.append(binary.LittleEndian.AppendUint64(b, a.n)), a.saw)
}

func (a *floatSum) decode(r *reader) {
	a.n, a.sum, a.saw = r.u64(), r.double(), r.u8()
	r.bad = r.bad || a.saw > sawAll
}
func (a *floatSum) reset()      { *a = floatSum{} }
func (a *floatSum) memory() int { return 32 }

// variance is Welford's recurrence, and Chan's for merging, in double-double
// precision: it holds for means far greater than the spread. Infinite or
// overflowing numbers have no variance; DuckDB refuses them, too.
type variance struct {
	n    uint64
	mean double
	m2   double // sum of squared distances from the mean
	saw  byte
}

func (a *variance) update(c *feature.Column, row int, _ *Position) {
	if c.IsNull(row) {
		return
	}
	var x float64
	if c.Type.Layout() == feature.LayoutInt {
		// Integers beyond 2^53 need both halves.
		a.step(intDouble(c.Ints[row]))
		return
	}
	x = c.Floats[row]
	if x-x != 0 {
		a.n++
		a.saw |= saw(x)
		return
	}
	a.step(double{hi: x})
}

func (a *variance) step(x double) {
	a.n++
	before := x.add(a.mean.negative())
	a.mean = a.mean.add(before.over(float64(a.n)))
	a.m2 = a.m2.add(before.times(x.add(a.mean.negative())))
}

func (a *variance) merge(from aggregate) {
	if b, ok := from.(*variance); ok {
		a.mergeVariance(b)
	}
}

func (a *variance) mergeVariance(b *variance) {
	if b.n == 0 {
		return
	}
	if a.n == 0 {
		*a = *b
		return
	}
	n := float64(a.n + b.n)
	apart := b.mean.add(a.mean.negative())
	part := apart.times(double{hi: float64(b.n)}).over(n)
	a.m2 = a.m2.add(b.m2).add(apart.times(part).times(double{hi: float64(a.n)}))
	a.mean = a.mean.add(part)
	a.n += b.n
	a.saw |= b.saw
}

func (a *variance) finalize(s *Spec, dst *feature.Column, row int) Outcome {
	if a.n == 0 {
		return OutcomeNull
	}
	v := max(a.m2.over(float64(a.n)).hi, 0)
	if a.saw != 0 || v-v != 0 {
		return OutcomeError
	}
	if s.Kind == KindStddevPop {
		v = math.Sqrt(v)
	}
	dst.SetFloat(row, v)
	return OutcomeValue
}

func (a *variance) append(b []byte) []byte {
	b = a.mean.append(binary.LittleEndian.AppendUint64(b, a.n))
	return append(a.m2.append(b), a.saw)
}

func (a *variance) decode(r *reader) {
	a.n, a.mean, a.m2, a.saw = r.u64(), r.double(), r.double(), r.u8()
	r.bad = r.bad || a.saw > sawAll
}
func (a *variance) reset()      { *a = variance{} }
func (a *variance) memory() int { return 48 }
