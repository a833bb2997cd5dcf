package expr

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"millrace/feature"
)

// SQLValue writes row i of c as a DuckDB expression of the same type and value.
func SQLValue(c *feature.Column, i int) string {
	text := "null"
	if !c.IsNull(i) {
		text = sqlValue(c, i)
	}
	return "cast(" + text + " as " + SQLType(c.Type) + ")"
}

func sqlValue(c *feature.Column, i int) string {
	switch c.Type.Layout() {
	case feature.LayoutBool:
		return strconv.FormatBool(c.Bools[i])
	case feature.LayoutInt:
		if c.Type.Kind == feature.KindTimestamp {
			return quoteText(time.UnixMicro(c.Ints[i]).UTC().Format("2006-01-02 15:04:05.999999"))
		}
		return strconv.FormatInt(c.Ints[i], 10)
	case feature.LayoutFloat:
		return quoteText(strconv.FormatFloat(c.Floats[i], 'g', -1, 64)) // NaN and inf have no other form
	case feature.LayoutString:
		if c.Type.Kind == feature.KindBytes {
			return "unhex('" + hex.EncodeToString([]byte(c.Strings[i])) + "')"
		}
		return quoteText(c.Strings[i])
	case feature.LayoutList:
		elements := make([]string, 0, c.Spans[i].End-c.Spans[i].Start)
		for e := c.Spans[i].Start; e < c.Spans[i].End; e++ {
			elements = append(elements, SQLValue(c.Elems, int(e)))
		}
		return "[" + strings.Join(elements, ", ") + "]"
	case feature.LayoutNone:
	}
	return "null"
}
