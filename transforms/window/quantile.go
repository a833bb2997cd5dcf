package window

import (
	"encoding/binary"
	"math"
	"slices"

	"millrace/feature"
)

// The sketch's base: bin i holds magnitudes in (gamma^(i-1), gamma^i]. The
// accuracy lies a little below 1 %, so that rounding at a bin's edge stays
// within it. Stored; never changed.
const quantileAccuracy = 0.0099

var (
	gamma    = (1 + quantileAccuracy) / (1 - quantileAccuracy)
	logGamma = math.Log(gamma)
)

// maxBins covers thirty-five orders of magnitude; beyond, the smallest magnitudes
// share a bin and lose the bound.
const maxBins = 4096

// maxIndex is beyond every bin of a float64.
const maxIndex = 40_000

// quantile is a DDSketch (Masson, Rim, Lee, VLDB 2019): the value of rank
// q·(n-1), rounded down, to 1 % of itself. Own code, because its bytes are
// stored for ever: counts are integers here, bytes are canonical, and no bytes
// make it allocate more than maxBins.
type quantile struct {
	positive, negative   bins
	zeros, infs, negInfs uint64
	nans                 uint64
	low, high            float64 // of the finite values; exact ends
}

// bins counts per index; what lies maxBins below the greatest is in the lowest.
type bins struct {
	base   int32 // index of counts[0]
	counts []uint64
	total  uint64
}

func (b *bins) add(index int32, n uint64) {
	b.reserve(index, index)
	b.counts[max(index-b.base, 0)] += n
	b.total += n
}

// reserve makes room for indexes from low to high, as far as maxBins allow.
func (b *bins) reserve(low, high int32) {
	if len(b.counts) == 0 {
		b.base = max(low, high-maxBins+1)
		b.counts = b.extend(int(high-b.base) + 1)
		return
	}
	last := b.base + int32(len(b.counts)) - 1
	high = max(high, last)
	low = max(min(low, b.base), high-maxBins+1)
	if low > b.base { // the lowest bins become one
		drop := min(int(low-b.base), len(b.counts))
		var sum uint64
		for _, n := range b.counts[:drop] {
			sum += n
		}
		kept := copy(b.counts, b.counts[drop:])
		clear(b.counts[kept:])
		b.counts = b.counts[:kept]
		b.base = low
		b.counts = b.extend(int(high-low) + 1)
		b.counts[0] += sum
		return
	}
	if low < b.base {
		shift := int(b.base - low)
		n := len(b.counts)
		b.counts = b.extend(n + shift)
		copy(b.counts[shift:], b.counts[:n])
		clear(b.counts[:shift])
		b.base = low
	}
	b.counts = b.extend(int(high-low) + 1)
}

// extend returns counts with n entries, new ones zero.
func (b *bins) extend(n int) []uint64 {
	old := len(b.counts)
	if n <= old {
		return b.counts
	}
	c := slices.Grow(b.counts, n-old)[:n]
	clear(c[old:])
	return c
}

func (b *bins) merge(from *bins) {
	if from.total == 0 {
		return
	}
	b.reserve(from.base, from.base+int32(len(from.counts))-1)
	for i, n := range from.counts {
		b.counts[max(from.base+int32(i)-b.base, 0)] += n
	}
	b.total += from.total
}

// at returns the index of the value of a rank, counted from the smallest
// magnitude.
func (b *bins) at(rank uint64) int32 {
	var sum uint64
	for i, n := range b.counts {
		if sum += n; rank < sum {
			return b.base + int32(i)
		}
	}
	return b.base + int32(len(b.counts)) - 1
}

func (b *bins) append(out []byte) []byte {
	first, end := 0, len(b.counts)
	for first < end && b.counts[first] == 0 {
		first++
	}
	for end > first && b.counts[end-1] == 0 {
		end--
	}
	out = binary.AppendUvarint(out, uint64(end-first))
	if first == end {
		return out
	}
	out = binary.LittleEndian.AppendUint32(out, uint32(b.base+int32(first)))
	for _, n := range b.counts[first:end] {
		out = binary.AppendUvarint(out, n)
	}
	return out
}

func (b *bins) decode(r *reader) {
	n := r.count(1, maxBins)
	if n == 0 {
		return
	}
	base := int32(r.u32())
	if base < -maxIndex || base > maxIndex-int32(n) {
		r.take(-1)
		return
	}
	b.reserve(base, base+int32(n)-1)
	for i := range n {
		b.counts[i] = r.uvarint()
		b.total += b.counts[i]
	}
}

func (b *bins) reset() { *b = bins{counts: b.counts[:0]} }

func (a *quantile) update(c *feature.Column, row int, _ *Position) {
	if c.IsNull(row) {
		return
	}
	if c.Type.Layout() == feature.LayoutInt {
		a.add(float64(c.Ints[row]))
		return
	}
	a.add(c.Floats[row])
}

func (a *quantile) add(x float64) {
	switch saw(x) {
	case sawNaN:
		a.nans++
		return
	case sawPositive:
		a.infs++
		return
	case sawNegative:
		a.negInfs++
		return
	}
	if a.finite() == 0 {
		a.low, a.high = x, x
	}
	a.low, a.high = min(a.low, x), max(a.high, x)
	switch {
	case x > 0:
		a.positive.add(index(x), 1)
	case x < 0:
		a.negative.add(index(-x), 1)
	default:
		a.zeros++
	}
}

func (a *quantile) finite() uint64 { return a.positive.total + a.negative.total + a.zeros }

func index(x float64) int32 { return int32(math.Ceil(math.Log(x) / logGamma)) }

// middle is the value within 1 % of every value of a bin. It is computed so
// that the greatest bin does not overflow.
func middle(i int32) float64 { return math.Exp(float64(i)*logGamma - math.Log((gamma+1)/2)) }

func (a *quantile) merge(from aggregate) {
	b, ok := from.(*quantile)
	if !ok {
		return
	}
	switch {
	case b.finite() == 0:
	case a.finite() == 0:
		a.low, a.high = b.low, b.high
	default:
		a.low, a.high = min(a.low, b.low), max(a.high, b.high)
	}
	a.positive.merge(&b.positive)
	a.negative.merge(&b.negative)
	a.zeros += b.zeros
	a.infs += b.infs
	a.negInfs += b.negInfs
	a.nans += b.nans
}

func (a *quantile) finalize(s *Spec, dst *feature.Column, row int) Outcome {
	n := a.finite() + a.infs + a.negInfs + a.nans
	if n == 0 {
		return OutcomeNull
	}
	dst.SetFloat(row, a.rank(min(uint64(s.Q*float64(n-1)), n-1)))
	return OutcomeValue
}

func (a *quantile) rank(k uint64) float64 {
	if k < a.negInfs {
		return math.Inf(-1)
	}
	k -= a.negInfs
	switch n := a.finite(); {
	case k >= n+a.infs:
		return math.NaN()
	case k >= n:
		return math.Inf(1)
	case k == 0:
		return a.low
	case k == n-1:
		return a.high
	}
	return min(max(a.inner(k), a.low), a.high)
}

func (a *quantile) inner(k uint64) float64 {
	if k < a.negative.total {
		return -middle(a.negative.at(a.negative.total - 1 - k))
	}
	k -= a.negative.total
	if k < a.zeros {
		return 0
	}
	return middle(a.positive.at(k - a.zeros))
}

func (a *quantile) append(b []byte) []byte {
	for _, n := range [...]uint64{a.zeros, a.infs, a.negInfs, a.nans} {
		b = binary.AppendUvarint(b, n)
	}
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(a.low+0)) // -0.0 and 0.0 are one
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(a.high+0))
	return a.negative.append(a.positive.append(b))
}

func (a *quantile) decode(r *reader) {
	a.zeros, a.infs, a.negInfs, a.nans = r.uvarint(), r.uvarint(), r.uvarint(), r.uvarint()
	a.low, a.high = r.float(), r.float()
	a.positive.decode(r)
	a.negative.decode(r)
	r.bad = r.bad || !(a.low <= a.high)
}

func (a *quantile) reset() {
	a.positive.reset()
	a.negative.reset()
	*a = quantile{positive: a.positive, negative: a.negative}
}

func (a *quantile) memory() int { return 128 + 8*(cap(a.positive.counts)+cap(a.negative.counts)) }
