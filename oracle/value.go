package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"millrace/feature"
)

// cell is what one expression gives on one row in one engine: a failure, or a
// value, whose forms are nil for null, bool, int64 (times in microseconds),
// float64 (float32 too), string (bytes and json too) and []any.
type cell struct {
	failed bool
	value  any
}

// same reports whether two engines gave one result. NaNs are one value; zeros
// of different sign are two.
func (c cell) same(d cell) bool {
	return c.failed == d.failed && (c.failed || sameValue(c.value, d.value))
}

func sameValue(a, b any) bool {
	switch x := a.(type) {
	case float64:
		y, ok := b.(float64)
		return ok && (math.Float64bits(x) == math.Float64bits(y) || x != x && y != y)
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !sameValue(x[i], y[i]) {
				return false
			}
		}
		return true
	}
	return a == b
}

// show writes a cell of a column of type t.
func (c cell) show(t feature.Type) string {
	if c.failed {
		return "fails"
	}
	return showValue(c.value, t)
}

func showValue(v any, t feature.Type) string {
	switch x := v.(type) {
	case nil:
		return "null"
	case int64:
		if t.Kind == feature.KindTimestamp {
			return time.UnixMicro(x).UTC().Format("2006-01-02T15:04:05.999999Z") + " (" + strconv.FormatInt(x, 10) + " µs)"
		}
		return strconv.FormatInt(x, 10)
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	case string:
		return strconv.Quote(x)
	case []any:
		parts := make([]string, len(x))
		for i, e := range x {
			parts[i] = showValue(e, t.Elem())
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return fmt.Sprint(v)
}

// columnCell reads one row of a column of ours.
func columnCell(c *feature.Column, row int) any {
	if c.IsNull(row) {
		return nil
	}
	switch c.Type.Layout() {
	case feature.LayoutBool:
		return c.Bools[row]
	case feature.LayoutInt:
		return c.Ints[row]
	case feature.LayoutFloat:
		return c.Floats[row]
	case feature.LayoutString:
		return strings.Clone(c.Strings[row])
	case feature.LayoutList:
		all := []any{}
		for e := c.Spans[row].Start; e < c.Spans[row].End; e++ {
			all = append(all, columnCell(c.Elems, int(e)))
		}
		return all
	case feature.LayoutNone:
	}
	return nil
}

// setCell stores v in a row of a column of ours.
func setCell(c *feature.Column, row int, v any) {
	switch x := v.(type) {
	case bool:
		c.SetBool(row, x)
	case int64:
		c.SetInt(row, x)
	case float64:
		c.SetFloat(row, x)
	case string:
		c.SetString(row, x)
	case []any:
		start := c.Elems.Len()
		rows := make([]int, len(x))
		for i := range x {
			rows[i] = c.Elems.AppendNull()
		}
		for i, e := range x {
			setCell(c.Elems, rows[i], e)
		}
		c.SetList(row, start)
	}
}
