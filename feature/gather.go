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

func gather[T any](dst, src []T, keep []int32) {
	if len(keep) == len(src) {
		copy(dst, src)
		return
	}
	for i, row := range keep {
		dst[i] = src[row]
	}
}
