package feature

import "slices"

// Span is the half-open range of a list's elements in Column.Elems.
type Span struct{ Start, End uint32 }

// Column holds one value per row of one type: a typed slice, chosen by
// Type.Layout, and a validity bitmap. Only that slice is in use, and it is as
// long as the column. The value under an invalid bit is unspecified.
//
// Strings are headers; whoever fills the column decides what memory they
// point into (a Batch's Arena, a record) and for how long it lives. A Column
// is not safe for concurrent writes. Storage is reused by Reset.
type Column struct {
	Type    Type
	Valid   Bitmap
	Bools   []bool
	Ints    []int64
	Floats  []float64
	Strings []string
	Spans   []Span
	Elems   *Column // elements of all lists, in any order; nil unless Type.IsList

	rows int
}

// Len returns the number of rows.
func (c *Column) Len() int { return c.rows }

// Reset makes c an empty column of type t, keeping storage.
func (c *Column) Reset(t Type) {
	c.Type = t
	c.Truncate(0)
	if !t.IsList() {
		return
	}
	if c.Elems == nil {
		c.Elems = new(Column)
	}
	c.Elems.Reset(t.Elem())
}

// Truncate keeps the first n rows. Elements of the lists it drops stay in
// Elems until Reset.
func (c *Column) Truncate(n int) {
	c.Valid = c.Valid.Resize(n)
	c.rows = n
	switch c.Type.Layout() {
	case LayoutBool:
		c.Bools = c.Bools[:min(n, len(c.Bools))]
	case LayoutInt:
		c.Ints = c.Ints[:min(n, len(c.Ints))]
	case LayoutFloat:
		c.Floats = c.Floats[:min(n, len(c.Floats))]
	case LayoutString:
		c.Strings = c.Strings[:min(n, len(c.Strings))]
	case LayoutList:
		c.Spans = c.Spans[:min(n, len(c.Spans))]
	case LayoutNone:
	}
}

// Resize sets the length to n rows; rows added are null.
func (c *Column) Resize(n int) {
	if n <= c.rows {
		c.Truncate(n)
		return
	}
	c.Valid = c.Valid.Resize(n)
	c.rows = n
	switch c.Type.Layout() {
	case LayoutBool:
		c.Bools = grow(c.Bools, n)
	case LayoutInt:
		c.Ints = grow(c.Ints, n)
	case LayoutFloat:
		c.Floats = grow(c.Floats, n)
	case LayoutString:
		c.Strings = grow(c.Strings, n)
	case LayoutList:
		c.Spans = grow(c.Spans, n)
	case LayoutNone:
	}
}

func grow[T any](s []T, n int) []T {
	return slices.Grow(s[:min(len(s), n)], n-min(len(s), n))[:n]
}

// AppendNull adds a null row and returns its index.
func (c *Column) AppendNull() int {
	i := c.rows
	c.Resize(i + 1)
	return i
}

// IsNull reports whether row i is null.
func (c *Column) IsNull(i int) bool { return !c.Valid.Get(i) }

// SetNull makes row i null.
func (c *Column) SetNull(i int) { c.Valid.Clear(i) }

// SetBool sets row i of a bool column.
func (c *Column) SetBool(i int, v bool) { c.Bools[i] = v; c.Valid.Set(i) }

// SetInt sets row i of an int32, int64 or timestamp column; the caller has
// checked that an int32 fits.
func (c *Column) SetInt(i int, v int64) { c.Ints[i] = v; c.Valid.Set(i) }

// SetFloat sets row i of a float column; the caller has rounded a float32.
func (c *Column) SetFloat(i int, v float64) { c.Floats[i] = v; c.Valid.Set(i) }

// SetString sets row i of a string, bytes or json column. v is kept, not copied.
func (c *Column) SetString(i int, v string) { c.Strings[i] = v; c.Valid.Set(i) }

// SetList makes row i the list of the elements appended to c.Elems since it
// had start rows.
func (c *Column) SetList(i, start int) {
	c.Spans[i] = Span{Start: uint32(start), End: uint32(c.Elems.Len())}
	c.Valid.Set(i)
}

// AppendFrom adds row i of src, which has the same layout, and returns the new
// row's index. Strings are shared, lists are copied.
func (c *Column) AppendFrom(src *Column, i int) int {
	n := c.AppendNull()
	c.CopyRow(n, src, i)
	return n
}

// CopyRow sets row dst of c to row i of src, which has the same layout.
// Strings are shared, lists are copied.
func (c *Column) CopyRow(dst int, src *Column, i int) {
	if src.IsNull(i) {
		c.SetNull(dst)
		return
	}
	switch c.Type.Layout() {
	case LayoutBool:
		c.SetBool(dst, src.Bools[i])
	case LayoutInt:
		c.SetInt(dst, src.Ints[i])
	case LayoutFloat:
		c.SetFloat(dst, src.Floats[i])
	case LayoutString:
		c.SetString(dst, src.Strings[i])
	case LayoutList:
		start := c.Elems.Len()
		for e := src.Spans[i].Start; e < src.Spans[i].End; e++ {
			c.Elems.AppendFrom(src.Elems, int(e))
		}
		c.SetList(dst, start)
	case LayoutNone:
	}
}
