package expr

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"millrace/feature"
)

type comparison uint8

const (
	compareEqual comparison = iota
	compareUnequal
	compareLess
	compareLessEqual
)

var comparisonNames = [...]string{"=", "<>", "<", "<="}

// compareKernel returns the kernel that compares columns of one layout, nil for
// layouts without an order. `a > b` is compared as `b < a`.
func compareKernel(how comparison, layout feature.Layout) *kernel {
	k := &kernel{name: comparisonNames[how]}
	switch layout {
	case feature.LayoutBool:
		k.run = func(c *call) { compareBools(c, how) }
	case feature.LayoutInt:
		k.run = func(c *call) { compareInts(c, how) }
	case feature.LayoutFloat:
		k.run = func(c *call) { compareFloats(c, how) }
	case feature.LayoutString:
		k.run = func(c *call) { compareStrings(c, how) }
	case feature.LayoutList:
		k.run = func(c *call) { compareLists(c, how) }
	case feature.LayoutNone:
		return nil
	}
	return k
}

func compareInts(c *call, how comparison) {
	out, a, b := c.out.col.Bools[:c.n], c.ints(0), c.ints(1)
	switch how {
	case compareEqual:
		for i := range out {
			out[i] = a[i] == b[i]
		}
	case compareUnequal:
		for i := range out {
			out[i] = a[i] != b[i]
		}
	case compareLess:
		for i := range out {
			out[i] = a[i] < b[i]
		}
	case compareLessEqual:
		for i := range out {
			out[i] = a[i] <= b[i]
		}
	}
}

// compareFloats orders NaN after everything and equal to itself. It compares as
// the processor does, without branches, and again where it met a NaN.
func compareFloats(c *call, how comparison) {
	out, a, b := c.out.col.Bools[:c.n], c.floats(0), c.floats(1)
	nan := false
	switch how {
	case compareEqual:
		for i := range out {
			out[i] = a[i] == b[i]
			nan = nan || a[i] != a[i] // only NaN = NaN differs
		}
	case compareUnequal:
		for i := range out {
			out[i] = a[i] != b[i]
			nan = nan || a[i] != a[i]
		}
	case compareLess:
		for i := range out {
			out[i] = a[i] < b[i]
			nan = nan || b[i] != b[i]
		}
	case compareLessEqual:
		for i := range out {
			out[i] = a[i] <= b[i]
			nan = nan || b[i] != b[i]
		}
	}
	if nan {
		compareWithNaN(out, a, b, how)
	}
}

func compareWithNaN(out []bool, a, b []float64, how comparison) {
	for i := range out {
		switch how {
		case compareEqual:
			out[i] = floatsEqual(a[i], b[i])
		case compareUnequal:
			out[i] = !floatsEqual(a[i], b[i])
		case compareLess:
			out[i] = floatLess(a[i], b[i])
		case compareLessEqual:
			out[i] = !floatLess(b[i], a[i])
		}
	}
}

func floatsEqual(a, b float64) bool { return a == b || a != a && b != b }
func floatLess(a, b float64) bool   { return a < b || b != b && a == a }

func compareBools(c *call, how comparison) {
	out, a, b := c.out.col.Bools[:c.n], c.bools(0), c.bools(1)
	for i := range out {
		switch how {
		case compareEqual:
			out[i] = a[i] == b[i]
		case compareUnequal:
			out[i] = a[i] != b[i]
		case compareLess:
			out[i] = !a[i] && b[i]
		case compareLessEqual:
			out[i] = !a[i] || b[i]
		}
	}
}

func compareStrings(c *call, how comparison) {
	out, a, b := c.out.col.Bools[:c.n], c.strings(0), c.strings(1)
	for i := range out {
		if !c.valid(i) {
			continue
		}
		switch how {
		case compareEqual:
			out[i] = a[i] == b[i]
		case compareUnequal:
			out[i] = a[i] != b[i]
		case compareLess:
			out[i] = a[i] < b[i]
		case compareLessEqual:
			out[i] = a[i] <= b[i]
		}
	}
}

// constSet is what an `in` with constants looks for. Small sets are searched in
// order, large ones by halves; both beat a map up to hundreds of values.
type constSet struct {
	key     string // equal for equal sets
	ints    []int64
	floats  []float64
	strings []string
	hasNull bool
}

// newConstSet makes the set of one-row columns of one type.
func newConstSet(values []*feature.Column) *constSet {
	s := new(constSet)
	for _, v := range values {
		switch {
		case v.IsNull(0):
			s.hasNull = true
		case v.Type.Layout() == feature.LayoutBool:
			s.ints = append(s.ints, boolInt(v.Bools[0]))
		case v.Type.Layout() == feature.LayoutInt:
			s.ints = append(s.ints, v.Ints[0])
		case v.Type.Layout() == feature.LayoutFloat:
			s.floats = append(s.floats, v.Floats[0])
		case v.Type.Layout() == feature.LayoutString:
			s.strings = append(s.strings, v.Strings[0])
		}
	}
	slices.Sort(s.ints)
	slices.Sort(s.floats) // NaN first, which is an order as good as any
	slices.Sort(s.strings)
	s.ints, s.strings = slices.Compact(s.ints), slices.Compact(s.strings)
	s.key = s.text()
	return s
}

func (s *constSet) text() string {
	var b strings.Builder
	b.WriteString(strconv.FormatBool(s.hasNull))
	for _, v := range s.ints {
		b.WriteString(" " + strconv.FormatInt(v, 10))
	}
	for _, v := range s.floats {
		b.WriteString(" " + strconv.FormatUint(math.Float64bits(v), 16))
	}
	for _, v := range s.strings {
		b.WriteString(" " + strconv.Quote(v))
	}
	return b.String()
}

const smallSet = 8

func member[T int64 | float64 | string](sorted []T, v T) bool {
	if len(sorted) <= smallSet {
		if slices.Contains(sorted, v) {
			return true
		}
		return v != v && len(sorted) > 0 && sorted[0] != sorted[0] //nolint:gocritic // NaN is a member like any other
	}
	_, found := slices.BinarySearch(sorted, v)
	return found
}

var kernelIn = &kernel{name: "in", run: runIn}

func runIn(c *call) {
	out := c.out.col.Bools[:c.n]
	switch c.args[0].col.Type.Layout() {
	case feature.LayoutBool:
		for i, v := range c.bools(0) {
			out[i] = member(c.set.ints, boolInt(v))
		}
	case feature.LayoutInt:
		for i, v := range c.ints(0) {
			out[i] = member(c.set.ints, v)
		}
	case feature.LayoutFloat:
		for i, v := range c.floats(0) {
			out[i] = member(c.set.floats, v)
		}
	case feature.LayoutString:
		in := c.strings(0)
		for i := range in {
			out[i] = c.valid(i) && member(c.set.strings, in[i])
		}
	case feature.LayoutNone, feature.LayoutList:
	}
	if c.set.hasNull { // what is not found might be the null
		for w := range c.out.col.Valid {
			c.out.col.Valid[w] &= pack(out, w)
		}
	}
}

func boolInt(v bool) int64 {
	if v {
		return 1
	}
	return 0
}

// extremeKernel is greatest or, with least set, least. Nulls are skipped.
func extremeKernel(least bool) *kernel {
	name := "greatest"
	if least {
		name = "least"
	}
	return &kernel{name: name, nulls: nullsOwn, run: func(c *call) {
		c.blendAll(c.args[0])
		mask := c.scratch()
		for _, a := range c.args[1:] {
			for w := range mask {
				mask[w] = a.col.Valid[w] &^ c.out.col.Valid[w]
				for row := range eachBit(a.col.Valid[w]&c.out.col.Valid[w], w) {
					if better(c.out.col, a.col, row, least) {
						mask[w] |= 1 << (uint(row) & 63)
					}
				}
			}
			c.blend(a, mask)
		}
		c.spreadFailures()
	}}
}

// better reports whether row of next beats row of best.
func better(best, next *feature.Column, row int, least bool) bool {
	if least {
		best, next = next, best
	}
	switch best.Type.Layout() {
	case feature.LayoutBool:
		return !best.Bools[row] && next.Bools[row]
	case feature.LayoutInt:
		return best.Ints[row] < next.Ints[row]
	case feature.LayoutFloat:
		return floatLess(best.Floats[row], next.Floats[row])
	case feature.LayoutString:
		return best.Strings[row] < next.Strings[row]
	case feature.LayoutList:
		return compareRows(best, row, next, row) < 0
	case feature.LayoutNone:
	}
	return false
}
