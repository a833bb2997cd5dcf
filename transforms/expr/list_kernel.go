package expr

import (
	"math"
	"math/bits"
	"unicode/utf8"

	"millrace/feature"
)

func (c *call) spans(arg int) []feature.Span { return c.args[arg].col.Spans[:c.n] }

// elements is the column of the elements of a list operand.
func (c *call) elements(arg int) *feature.Column { return c.args[arg].col.Elems }

// dropElements empties the lists of an output whose validity is set already.
func (c *call) dropElements() {
	if out := c.out.col; out.Type.IsList() {
		out.Elems.Reset(out.Type.Elem())
	}
}

var (
	kernelListLength = &kernel{name: "list length", run: func(c *call) {
		out := c.out.col.Ints[:c.n]
		for i, s := range c.spans(0) {
			out[i] = int64(s.End) - int64(s.Start)
		}
	}}
	kernelListExtract  = &kernel{name: "list element", run: runListExtract}
	kernelListSlice    = &kernel{name: "list slice", run: runListSlice}
	kernelTextSlice    = &kernel{name: "text slice", run: runTextSlice}
	kernelListContains = &kernel{name: "list contains", run: func(c *call) {
		for i, s := range c.spans(0) {
			if c.valid(i) {
				c.out.col.Bools[i] = find(c.elements(0), s, c.args[1].col, i) >= 0
			}
		}
	}}
	kernelListPosition = &kernel{name: "list position", nulls: nullsOwn, run: runListPosition}
	kernelListJoin     = &kernel{name: "list ||", why: []string{listTooLong}, run: runListConcat}
	kernelListConcat   = &kernel{name: "list concat", nulls: nullsOwn, why: []string{listTooLong}, run: func(c *call) {
		c.out.col.Valid.Fill(c.n)
		c.spreadFailures()
		runListConcat(c)
	}}
	kernelListSumInts   = &kernel{name: "list sum", why: []string{overflow}, run: runListSumInts}
	kernelListSumFloats = &kernel{name: "list sum", run: func(c *call) { foldFloats(c, false) }}
	kernelListAvgInts   = &kernel{name: "list avg", run: runListAvgInts}
	kernelListAvgFloats = &kernel{name: "list avg", run: func(c *call) { foldFloats(c, true) }}
	kernelListMin       = &kernel{name: "list min", run: func(c *call) { runListExtreme(c, -1) }}
	kernelListMax       = &kernel{name: "list max", run: func(c *call) { runListExtreme(c, 1) }}
)

// runListExtract counts from 1, and from the end below 0.
func runListExtract(c *call) {
	c.dropElements()
	out, in := c.out.col, c.elements(0)
	at := c.ints(1)
	for i, s := range c.spans(0) {
		if !c.valid(i) {
			continue
		}
		n, k := int64(s.End-s.Start), at[i]-1
		if at[i] < 0 {
			k = at[i] + n
		}
		if k < 0 || k >= n {
			out.SetNull(i)
			continue
		}
		out.CopyRow(i, in, int(int64(s.Start)+k))
	}
}

// sliceBounds turns first and last, which count from 1 and from the end below 0,
// into the half-open range of a sequence of n.
func sliceBounds(first, last, n int64) (start, end int64) {
	start, end = max(first, 1)-1, last
	if first < 0 {
		start = max(first+n, 0)
	}
	if last < 0 {
		end = last + n + 1
	}
	end = min(max(end, 0), n)
	return min(start, end), end
}

func runListSlice(c *call) {
	c.dropElements()
	out, in, first, last := c.out.col, c.elements(0), c.ints(1), c.ints(2)
	for i, s := range c.spans(0) {
		if !c.valid(i) {
			continue
		}
		begin := out.Elems.Len()
		start, end := sliceBounds(first[i], last[i], int64(s.End-s.Start))
		appendElements(out.Elems, in, int(s.Start)+int(start), int(s.Start)+int(end))
		out.SetList(i, begin)
	}
}

// appendElements adds the rows of in from start up to end. Strings are shared,
// lists are copied.
func appendElements(out, in *feature.Column, start, end int) {
	n := out.Len()
	out.Resize(n + end - start)
	switch out.Type.Layout() {
	case feature.LayoutBool:
		copy(out.Bools[n:], in.Bools[start:end])
	case feature.LayoutInt:
		copy(out.Ints[n:], in.Ints[start:end])
	case feature.LayoutFloat:
		copy(out.Floats[n:], in.Floats[start:end])
	case feature.LayoutString:
		copy(out.Strings[n:], in.Strings[start:end])
	case feature.LayoutList:
		for e := start; e < end; e++ {
			out.CopyRow(n+e-start, in, e)
		}
		return
	case feature.LayoutNone:
	}
	for e := start; e < end; e++ {
		if !in.IsNull(e) {
			out.Valid.Set(n + e - start)
		}
	}
}

func runTextSlice(c *call) {
	first, last := c.ints(1), c.ints(2)
	for i, s := range c.strings(0) {
		if !c.valid(i) {
			continue
		}
		start, end := sliceBounds(first[i], last[i], int64(utf8.RuneCountInString(s)))
		s = s[runeOffset(s, start):]
		c.out.col.Strings[i] = s[:runeOffset(s, end-start)]
	}
}

// find returns the element of the list s that equals row of x, -1 without one.
// Nulls equal nothing.
func find(elems *feature.Column, s feature.Span, x *feature.Column, row int) int {
	switch elems.Type.Layout() { //nolint:exhaustive // the loop below does the rest
	case feature.LayoutInt:
		return findWhere(elems, s, func(e int) bool { return elems.Ints[e] == x.Ints[row] })
	case feature.LayoutFloat:
		return findWhere(elems, s, func(e int) bool { return floatsEqual(elems.Floats[e], x.Floats[row]) })
	case feature.LayoutString:
		return findWhere(elems, s, func(e int) bool { return !elems.IsNull(e) && elems.Strings[e] == x.Strings[row] })
	}
	return findWhere(elems, s, func(e int) bool { return !elems.IsNull(e) && compareRows(elems, e, x, row) == 0 })
}

func findWhere(elems *feature.Column, s feature.Span, holds func(e int) bool) int {
	for e := int(s.Start); e < int(s.End); e++ {
		if holds(e) && !elems.IsNull(e) {
			return e
		}
	}
	return -1
}

// runListPosition finds null, unlike list_contains.
func runListPosition(c *call) {
	out, elems, x := c.out.col, c.elements(0), c.args[1].col
	copy(out.Valid, c.bits(0))
	for i, s := range c.spans(0) {
		if !c.valid(i) {
			continue
		}
		var at int
		if x.IsNull(i) {
			at = firstNull(elems, s)
		} else {
			at = find(elems, s, x, i)
		}
		if at < 0 {
			out.SetNull(i)
			continue
		}
		out.Ints[i] = int64(at) - int64(s.Start) + 1
	}
	c.spreadFailures()
}

func firstNull(elems *feature.Column, s feature.Span) int {
	for e := int(s.Start); e < int(s.End); e++ {
		if elems.IsNull(e) {
			return e
		}
	}
	return -1
}

// maxMadeElements bounds the lists that are joined, as maxMadeBytes does texts.
const (
	maxMadeElements = 1 << 20
	listTooLong     = "list longer than 1048576 elements"
)

// runListConcat joins the lists of every valid row; operands that are null count
// as empty.
func runListConcat(c *call) {
	c.dropElements()
	out := c.out.col
	for i := range c.n {
		if !c.valid(i) {
			continue
		}
		if c.joinedLength(i) > maxMadeElements {
			c.fail(i, 0)
			continue
		}
		begin := out.Elems.Len()
		for _, a := range c.args {
			if a.col.IsNull(i) {
				continue
			}
			appendElements(out.Elems, a.col.Elems, int(a.col.Spans[i].Start), int(a.col.Spans[i].End))
		}
		out.SetList(i, begin)
	}
}

func (c *call) joinedLength(row int) int {
	n := 0
	for _, a := range c.args {
		if !a.col.IsNull(row) {
			n += int(a.col.Spans[row].End - a.col.Spans[row].Start)
		}
	}
	return n
}

// sumInts adds the elements of s that are not null, n of them, in 128 bits.
func sumInts(elems *feature.Column, s feature.Span) (high int64, low uint64, n int) {
	for e := int(s.Start); e < int(s.End); e++ {
		if elems.IsNull(e) {
			continue
		}
		v := elems.Ints[e]
		var carry uint64
		low, carry = bits.Add64(low, uint64(v), 0)
		high += v>>63 + int64(carry)
		n++
	}
	return high, low, n
}

func runListSumInts(c *call) {
	out := c.out.col
	for i, s := range c.spans(0) {
		if !c.valid(i) {
			continue
		}
		high, low, n := sumInts(c.elements(0), s)
		switch {
		case n == 0:
			out.SetNull(i)
		case high != int64(low)>>63:
			c.fail(i, 0)
		default:
			out.Ints[i] = int64(low)
		}
	}
}

func runListAvgInts(c *call) {
	out := c.out.col
	for i, s := range c.spans(0) {
		if !c.valid(i) {
			continue
		}
		high, low, n := sumInts(c.elements(0), s)
		if n == 0 {
			out.SetNull(i)
			continue
		}
		out.Floats[i] = quotient(high, low, n)
	}
}

// quotient divides a sum in 128 bits by n, which is above 0. DuckDB divides in
// 80-bit floats, so the result is rounded to 64 bits and then to 53.
func quotient(high int64, low uint64, n int) float64 {
	if whole := int64(low); high == whole>>63 && whole>>53 == whole>>63 {
		return float64(whole) / float64(n)
	}
	sign := 1.0
	if high < 0 {
		sign = -1
		var borrow uint64
		low, borrow = bits.Sub64(0, low, 0)
		high = -high - int64(borrow)
	}
	// The sum is at most n * 2^63, so high is below n and the division does not
	// overflow; more bits of the quotient come from the remainder.
	q, rest := bits.Div64(uint64(high), low, uint64(n))
	exponent := 0
	for q>>63 == 0 && rest != 0 {
		rest <<= 1
		q <<= 1
		if rest >= uint64(n) {
			rest -= uint64(n)
			q |= 1
		}
		exponent--
	}
	if twice := rest << 1; twice > uint64(n) || twice == uint64(n) && q&1 != 0 {
		if q++; q == 0 {
			q, exponent = 1<<63, exponent+1
		}
	}
	return sign * math.Ldexp(float64(q), exponent)
}

func foldFloats(c *call, average bool) {
	out, elems := c.out.col, c.elements(0)
	for i, s := range c.spans(0) {
		if !c.valid(i) {
			continue
		}
		sum, n := 0.0, 0
		for e := int(s.Start); e < int(s.End); e++ {
			if !elems.IsNull(e) {
				sum += elems.Floats[e]
				n++
			}
		}
		switch {
		case n == 0:
			out.SetNull(i)
			continue
		case average:
			sum /= float64(n)
		}
		out.Floats[i] = sum
	}
}

// runListExtreme takes the least element for -1 and the greatest for 1.
func runListExtreme(c *call, sign int) {
	c.dropElements()
	out, elems := c.out.col, c.elements(0)
	for i, s := range c.spans(0) {
		if !c.valid(i) {
			continue
		}
		best := -1
		for e := int(s.Start); e < int(s.End); e++ {
			if !elems.IsNull(e) && (best < 0 || compareRows(elems, e, elems, best)*sign > 0) {
				best = e
			}
		}
		if best < 0 {
			out.SetNull(i)
			continue
		}
		out.CopyRow(i, elems, best)
	}
}
