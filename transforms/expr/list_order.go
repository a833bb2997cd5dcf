package expr

import (
	"cmp"
	"strings"

	"millrace/feature"
)

// compareRows orders row i of a and row j of b, which have one layout: NaN after
// the other numbers, null after all, a list by its first element that differs
// and then by its length. Nulls inside lists are values like others and equal.
func compareRows(a *feature.Column, i int, b *feature.Column, j int) int {
	if a.IsNull(i) || b.IsNull(j) {
		return int(boolInt(a.IsNull(i)) - boolInt(b.IsNull(j)))
	}
	switch a.Type.Layout() {
	case feature.LayoutBool:
		return int(boolInt(a.Bools[i]) - boolInt(b.Bools[j]))
	case feature.LayoutInt:
		return cmp.Compare(a.Ints[i], b.Ints[j])
	case feature.LayoutFloat:
		return int(boolInt(floatLess(b.Floats[j], a.Floats[i])) - boolInt(floatLess(a.Floats[i], b.Floats[j])))
	case feature.LayoutString:
		return strings.Compare(a.Strings[i], b.Strings[j])
	case feature.LayoutList:
		return compareSpans(a.Elems, a.Spans[i], b.Elems, b.Spans[j])
	case feature.LayoutNone:
	}
	return 0
}

func compareSpans(a *feature.Column, s feature.Span, b *feature.Column, t feature.Span) int {
	for k := range min(s.End-s.Start, t.End-t.Start) {
		if order := compareRows(a, int(s.Start+k), b, int(t.Start+k)); order != 0 {
			return order
		}
	}
	return cmp.Compare(s.End-s.Start, t.End-t.Start)
}

func compareLists(c *call, how comparison) {
	out, a, b := c.out.col.Bools[:c.n], c.args[0].col, c.args[1].col
	for i := range out {
		if !c.valid(i) {
			continue
		}
		order := compareSpans(a.Elems, a.Spans[i], b.Elems, b.Spans[i])
		switch how {
		case compareEqual:
			out[i] = order == 0
		case compareUnequal:
			out[i] = order != 0
		case compareLess:
			out[i] = order < 0
		case compareLessEqual:
			out[i] = order <= 0
		}
	}
}
