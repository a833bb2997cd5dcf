package feature

// Gather replaces c's rows by the rows of src, which has the same layout, that
// keep lists, ascending and each once. Strings are shared with src, lists are
// copied. c keeps its own Type, so a fixed list length stays.
func (c *Column) Gather(src *Column, keep []int32) {
	c.Reset(c.Type)
	c.Resize(len(keep))
	switch c.Type.Layout() {
	case LayoutBool:
		gather(c.Bools, src.Bools, keep)
	case LayoutInt:
		gather(c.Ints, src.Ints, keep)
	case LayoutFloat:
		gather(c.Floats, src.Floats, keep)
	case LayoutString:
		gather(c.Strings, src.Strings, keep)
	case LayoutList:
		for i, row := range keep {
			c.CopyRow(i, src, int(row))
		}
		return
	case LayoutNone:
		return
	}
	if len(keep) == src.Len() {
		copy(c.Valid, src.Valid)
		return
	}
	for i, row := range keep {
		if src.Valid.Get(int(row)) {
			c.Valid.Set(i)
		}
	}
}

// Gather replaces b by the rows of src that keep lists, ascending and each
// once, without its rejects. Strings are shared with src.
func (b *Batch) Gather(src *Batch, keep []int32) {
	b.Reset(src.Fields, src.Partition)
	for i := range b.Columns {
		b.Columns[i].Gather(&src.Columns[i], keep)
	}
	for _, row := range keep {
		b.Origins = append(b.Origins, src.Origins[row])
	}
}

func gather[T any](dst, src []T, keep []int32) {
	if len(keep) == len(src) {
		copy(dst, src)
		return
	}
	for i, row := range keep {
		dst[i] = src[row]
	}
}

// Spread appends rows of src, which has the same layout: those that from lists,
// in any order and as often as it does; a negative number is a null. Strings
// are shared with src. Lists are copied, but once where one stands several
// times in a row.
func (c *Column) Spread(src *Column, from []int32) {
	first := c.Len()
	c.Resize(first + len(from))
	switch c.Type.Layout() {
	case LayoutBool:
		spread(c.Bools[first:], src.Bools, from)
	case LayoutInt:
		spread(c.Ints[first:], src.Ints, from)
	case LayoutFloat:
		spread(c.Floats[first:], src.Floats, from)
	case LayoutString:
		spread(c.Strings[first:], src.Strings, from)
	case LayoutList:
		c.spreadLists(first, src, from)
		return
	case LayoutNone:
		return
	}
	for i, row := range from {
		if row >= 0 && src.Valid.Get(int(row)) {
			c.Valid.Set(first + i)
		}
	}
}

func spread[T any](dst, src []T, from []int32) {
	for i, row := range from {
		if row >= 0 {
			dst[i] = src[row]
		}
	}
}

func (c *Column) spreadLists(first int, src *Column, from []int32) {
	for i, row := range from {
		switch {
		case row < 0 || src.IsNull(int(row)):
		case i > 0 && from[i-1] == row:
			c.Spans[first+i] = c.Spans[first+i-1]
			c.Valid.Set(first + i)
		default:
			c.CopyRow(first+i, src, int(row))
		}
	}
}
