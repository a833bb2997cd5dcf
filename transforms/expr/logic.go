package expr

import (
	"iter"
	"math/bits"
	"slices"

	"millrace/feature"
)

type nullRule uint8

const (
	nullsSpread nullRule = iota // null where any operand is null, failed where any failed; run before the kernel
	nullsOwn                    // the kernel decides
)

// kernel computes one node over a column.
//
// With nullsSpread, run finds validity and failures in place and may clear
// rows or fail them. What it stores under an invalid bit does not matter, so
// loops over numbers do not look at validity; loops over strings must, because
// a string under an invalid bit may point to memory that someone else reuses.
type kernel struct {
	name  string // equal for kernels that do the same to operands of the same types
	nulls nullRule
	run   func(c *call)
	why   []string  // messages that fail can name
	path  *jsonPath // of a kernel that takes JSON out of JSON
}

func (c *call) valid(row int) bool { return c.out.col.Valid.Get(row) }

func (c *call) ints(arg int) []int64        { return c.args[arg].col.Ints[:c.n] }
func (c *call) floats(arg int) []float64    { return c.args[arg].col.Floats[:c.n] }
func (c *call) strings(arg int) []string    { return c.args[arg].col.Strings[:c.n] }
func (c *call) bools(arg int) []bool        { return c.args[arg].col.Bools[:c.n] }
func (c *call) bits(arg int) feature.Bitmap { return c.args[arg].col.Valid }

// eachBit yields the rows whose bit is set in word w of a bitmap.
func eachBit(word uint64, w int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for ; word != 0; word &= word - 1 {
			if !yield(w<<6 + bits.TrailingZeros64(word)) {
				return
			}
		}
	}
}

// pack makes a word of the bools of rows 64w and on.
func pack(values []bool, w int) uint64 {
	values = values[w<<6 : min(len(values), (w+1)<<6)]
	var word uint64
	for i, v := range values {
		var bit uint64
		if v {
			bit = 1
		}
		word |= bit << (uint(i) & 63)
	}
	return word
}

// unpack is the inverse of pack.
func unpack(values []bool, w int, word uint64) {
	values = values[w<<6 : min(len(values), (w+1)<<6)]
	for i := range values {
		values[i] = word>>(uint(i)&63)&1 != 0
	}
}

// scratch returns a bitmap as long as the batch, of any content.
func (c *call) scratch() feature.Bitmap {
	c.mask = c.mask.Resize(c.n)
	return c.mask
}

var (
	kernelNot      = &kernel{name: "not", run: runNot}
	kernelAnd      = &kernel{name: "and", nulls: nullsOwn, run: func(c *call) { connect(c, 0) }}
	kernelOr       = &kernel{name: "or", nulls: nullsOwn, run: func(c *call) { connect(c, ^uint64(0)) }}
	kernelIsNull   = &kernel{name: "is null", nulls: nullsOwn, run: runIsNull}
	kernelDistinct = &kernel{name: "is distinct", nulls: nullsOwn, run: runDistinct}
	kernelCase     = &kernel{name: "case", nulls: nullsOwn, run: runCase}
	kernelCoalesce = &kernel{name: "coalesce", nulls: nullsOwn, run: runCoalesce}
	kernelNullif   = &kernel{name: "nullif", nulls: nullsOwn, run: runNullif}
)

func runNot(c *call) {
	out, in := c.out.col.Bools, c.bools(0)
	for i := range in {
		out[i] = !in[i]
	}
}

// connect is `and`, and `or` with every truth inverted. An operand that decides
// alone (false for and) decides whatever the other is, null or failed.
func connect(c *call, invert uint64) {
	a, b, out := c.args[0], c.args[1], c.out
	failing := a.failing || b.failing
	if failing {
		c.spreadFailures()
	}
	for w := range out.col.Valid {
		x, y := pack(a.col.Bools, w)^invert, pack(b.col.Bools, w)^invert
		va, vb := a.col.Valid[w], b.col.Valid[w]
		no := va&^x | vb&^y
		yes := x & va & y & vb
		out.col.Valid[w] = no | yes
		unpack(out.col.Bools, w, yes&^invert|no&invert)
		if failing {
			out.failed[w] &^= no
			out.col.Valid[w] &^= out.failed[w]
		}
	}
}

func runIsNull(c *call) {
	in, out := c.args[0], c.out.col
	out.Valid.Fill(c.n)
	for w := range out.Valid {
		unpack(out.Bools, w, ^in.col.Valid[w])
	}
	c.spreadFailures()
}

// runDistinct has the operands and their `=`.
func runDistinct(c *call) {
	out := c.out.col
	out.Valid.Fill(c.n)
	for w := range out.Valid {
		va, vb := c.bits(0)[w], c.bits(1)[w]
		unpack(out.Bools, w, va^vb|va&vb&^pack(c.bools(2), w))
	}
	c.spreadFailures()
}

// runCase has condition, value, …, value. Each word of rows is shared out among
// the branches, the first that holds taking its rows; what remains takes the
// last value.
func runCase(c *call) {
	if c.out.col.Type.IsList() || slices.ContainsFunc(c.args, (*register).isFailing) {
		runCaseFailing(c)
		return
	}
	out, last := c.out.col, len(c.args)-1
	for w := range out.Valid {
		rest, valid := wordMask(c.n, w), uint64(0)
		for k := 0; k < last && rest != 0; k += 2 {
			when, then := c.args[k].col, c.args[k+1].col
			m := pack(when.Bools[:c.n], w) & when.Valid[w] & rest
			rest &^= m
			valid |= then.Valid[w] & m
			takeWord(out, then, w, m)
		}
		other := c.args[last].col
		out.Valid[w] = valid | other.Valid[w]&rest
		takeWord(out, other, w, rest)
	}
}

func (r *register) isFailing() bool { return r.failing }

// wordMask has the bits of word w that stand for rows, of n.
func wordMask(n, w int) uint64 {
	if left := n - w<<6; left < 64 {
		return 1<<uint(left) - 1
	}
	return ^uint64(0)
}

// runCaseFailing is runCase where operands may have failed. It goes from the
// last branch to the first and lets each overwrite, so that the first that
// holds remains, with its failures.
func runCaseFailing(c *call) {
	c.blendAll(c.args[len(c.args)-1])
	mask := c.scratch()
	for k := len(c.args) - 3; k >= 0; k -= 2 {
		when := c.args[k]
		for w := range mask {
			mask[w] = pack(when.col.Bools[:c.n], w) & when.col.Valid[w]
		}
		c.blend(c.args[k+1], mask)
		if when.failing {
			c.takeFailures(when, when.failed, true)
		}
	}
}

// runCoalesce shares the rows out like runCase, to the first operand not null.
func runCoalesce(c *call) {
	if c.out.col.Type.IsList() || slices.ContainsFunc(c.args, (*register).isFailing) {
		runCoalesceFailing(c)
		return
	}
	out, last := c.out.col, len(c.args)-1
	for w := range out.Valid {
		rest, valid := wordMask(c.n, w), uint64(0)
		for k := 0; k <= last && rest != 0; k++ {
			m := c.args[k].col.Valid[w] & rest
			rest &^= m
			valid |= m
			takeWord(out, c.args[k].col, w, m)
		}
		out.Valid[w] = valid
	}
}

func runCoalesceFailing(c *call) {
	c.blendAll(c.args[len(c.args)-1])
	for k := len(c.args) - 2; k >= 0; k-- {
		a := c.args[k]
		c.blend(a, a.col.Valid)
		if a.failing {
			c.takeFailures(a, a.failed, true)
		}
	}
}

// runNullif has a value and the condition that makes it null.
func runNullif(c *call) {
	value, equal := c.args[0], c.args[1]
	if out := c.out.col; !out.Type.IsList() && !value.failing && !equal.failing {
		for w := range out.Valid {
			out.Valid[w] = value.col.Valid[w] &^ (pack(equal.col.Bools[:c.n], w) & equal.col.Valid[w])
			takeWord(out, value.col, w, wordMask(c.n, w))
		}
		return
	}
	c.blendAll(value)
	for w := range c.out.col.Valid {
		c.out.col.Valid[w] &^= pack(equal.col.Bools[:c.n], w) & equal.col.Valid[w]
	}
	if equal.failing {
		c.takeFailures(equal, equal.failed, false)
	}
}

// blendAll starts the output as a copy of r.
func (c *call) blendAll(r *register) {
	if c.out.col.Type.IsList() {
		c.startLists()
	}
	mask := c.scratch()
	mask.Fill(c.n)
	c.blend(r, mask)
}

// blend takes the rows of mask from r: values, nulls and failures.
func (c *call) blend(r *register, mask feature.Bitmap) {
	out := c.out.col
	for w, m := range mask {
		out.Valid[w] = out.Valid[w]&^m | r.col.Valid[w]&m
	}
	if c.out.failing {
		for w, m := range mask {
			c.out.failed[w] &^= m
		}
	}
	if r.failing {
		c.takeFailures(r, mask, true)
	}
	switch out.Type.Layout() {
	case feature.LayoutBool:
		takeRows(out.Bools, r.col.Bools, mask)
	case feature.LayoutInt:
		takeRows(out.Ints, r.col.Ints, mask)
	case feature.LayoutFloat:
		takeRows(out.Floats, r.col.Floats, mask)
	case feature.LayoutString:
		takeRows(out.Strings, r.col.Strings, mask)
	case feature.LayoutList:
		for w, m := range mask {
			for row := range eachBit(m&r.col.Valid[w], w) {
				out.CopyRow(row, r.col, row)
			}
		}
	case feature.LayoutNone:
	}
}

// takeWord takes the values of the rows whose bits are set in m, the mask of
// word w, from in.
func takeWord(out, in *feature.Column, w int, m uint64) {
	switch out.Type.Layout() {
	case feature.LayoutBool:
		takeBits(out.Bools, in.Bools, w, m)
	case feature.LayoutInt:
		takeBits(out.Ints, in.Ints, w, m)
	case feature.LayoutFloat:
		takeBits(out.Floats, in.Floats, w, m)
	case feature.LayoutString:
		takeBits(out.Strings, in.Strings, w, m)
	case feature.LayoutNone, feature.LayoutList:
	}
}

func takeRows[T any](out, in []T, mask feature.Bitmap) {
	for w, m := range mask {
		takeBits(out, in, w, m)
	}
}

func takeBits[T any](out, in []T, w int, m uint64) {
	if m == ^uint64(0) {
		copy(out[w<<6:(w+1)<<6], in[w<<6:(w+1)<<6])
		return
	}
	for ; m != 0; m &= m - 1 {
		row := w<<6 + bits.TrailingZeros64(m)
		out[row] = in[row]
	}
}
