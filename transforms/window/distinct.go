package window

import (
	"encoding/binary"
	"slices"

	"github.com/axiomhq/hyperloglog"

	"millrace/feature"
)

// exactDistinct is up to how many different values a count is exact.
const exactDistinct = 256

// hllPrecision gives 2^14 registers: a standard error of 0.8 %, so that 2 % is
// two and a half of them. 2^12 would miss it one time in five.
const hllPrecision = 14

// maxHLLBytes bounds the library's bytes: 2^14 registers, or its sparse form,
// which turns into them at that size, and its header and unsorted part.
const maxHLLBytes = 20 << 10

// distinct counts different values: the hashes themselves to exactDistinct of
// them, then HyperLogLog. The estimate is a function of the set of hashes,
// since the sparse form turns dense at a size that depends on the set alone.
type distinct struct {
	of     feature.Type
	exact  []uint64 // ascending; unused once sketch is there
	sketch *hyperloglog.Sketch
}

func (a *distinct) update(c *feature.Column, row int, _ *Position) {
	if !c.IsNull(row) {
		a.add(read(c, row).plain(a.of).hash(a.of))
	}
}

func (a *distinct) add(hash uint64) {
	if a.sketch != nil {
		a.sketch.InsertHash(hash)
		return
	}
	i, found := slices.BinarySearch(a.exact, hash)
	switch {
	case found:
	case len(a.exact) < exactDistinct:
		a.exact = slices.Insert(a.exact, i, hash)
	default:
		a.spill()
		a.sketch.InsertHash(hash)
	}
}

func (a *distinct) spill() {
	a.sketch = newHLL()
	for _, h := range a.exact {
		a.sketch.InsertHash(h)
	}
	a.exact = a.exact[:0]
}

func newHLL() *hyperloglog.Sketch {
	s, _ := hyperloglog.NewSketch(hllPrecision, true) // fails for other precisions alone
	return s
}

func (a *distinct) merge(from aggregate) {
	b, ok := from.(*distinct)
	if !ok {
		return
	}
	if b.sketch != nil {
		if a.sketch == nil {
			a.spill()
		}
		_ = a.sketch.Merge(b.sketch) // fails for different precisions alone
		return
	}
	if a.sketch == nil && len(a.exact)+len(b.exact) <= exactDistinct {
		a.mergeExact(b.exact)
		return
	}
	for _, h := range b.exact {
		a.add(h)
	}
}

// mergeExact merges two ascending lists from behind, in the place of the first.
func (a *distinct) mergeExact(b []uint64) {
	i, j := len(a.exact)-1, len(b)-1
	a.exact = append(a.exact, b...)
	for k := len(a.exact) - 1; j >= 0; k-- {
		if i >= 0 && a.exact[i] > b[j] {
			a.exact[k] = a.exact[i]
			i--
			continue
		}
		a.exact[k] = b[j]
		j--
	}
	a.exact = slices.Compact(a.exact)
}

func (a *distinct) finalize(_ *Spec, dst *feature.Column, row int) Outcome {
	n := len(a.exact)
	if a.sketch != nil {
		n = max(exactDistinct+1, int(a.sketch.Estimate()))
	}
	dst.SetInt(row, int64(n))
	return OutcomeValue
}

func (a *distinct) append(b []byte) []byte {
	if a.sketch != nil {
		_ = a.sketch.Estimate() // sorts: equal sets have equal bytes
		// It fails for an unknown precision alone, and leaves b then.
		b, _ = a.sketch.AppendBinary(append(b, 1))
		return b
	}
	b = binary.AppendUvarint(append(b, 0), uint64(len(a.exact)))
	for _, h := range a.exact {
		b = binary.LittleEndian.AppendUint64(b, h)
	}
	return b
}

func (a *distinct) decode(r *reader) {
	if r.some() {
		data := r.take(r.left())
		s := newHLL()
		// The library checks every length before it allocates.
		if len(data) < 2 || len(data) > maxHLLBytes || data[1] != hllPrecision || s.UnmarshalBinary(data) != nil {
			r.take(-1)
			return
		}
		a.sketch = s
		return
	}
	n := r.count(8, exactDistinct)
	a.exact = slices.Grow(a.exact[:0], n)
	for i := range n {
		a.exact = append(a.exact, r.u64())
		r.bad = r.bad || i > 0 && a.exact[i] <= a.exact[i-1]
	}
}

func (a *distinct) reset() { a.exact, a.sketch = a.exact[:0], nil }

func (a *distinct) memory() int {
	if a.sketch != nil {
		return 48 + maxHLLBytes
	}
	return 48 + 8*cap(a.exact)
}
