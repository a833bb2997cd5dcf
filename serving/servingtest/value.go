package servingtest

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"millrace/feature"
)

// set sets a row of c to a JSON value: timestamps are RFC 3339, floats may be
// "NaN", "Infinity" and "-Infinity", bytes and json are text.
func set(c *feature.Column, row int, text json.RawMessage) error {
	if string(text) == "null" {
		c.SetNull(row)
		return nil
	}
	switch c.Type.Layout() {
	case feature.LayoutBool:
		return decode(text, func(v bool) error { c.SetBool(row, v); return nil })
	case feature.LayoutInt:
		return setInt(c, row, text)
	case feature.LayoutFloat:
		return setFloat(c, row, text)
	case feature.LayoutString:
		return decode(text, func(v string) error { c.SetString(row, v); return nil })
	case feature.LayoutList:
		return decode(text, func(list []json.RawMessage) error { return setList(c, row, list) })
	case feature.LayoutNone:
	}
	return fmt.Errorf("there are no values of type %s", c.Type)
}

func setInt(c *feature.Column, row int, text json.RawMessage) error {
	if c.Type.Kind == feature.KindTimestamp {
		return decode(text, func(v time.Time) error { c.SetInt(row, v.UnixMicro()); return nil })
	}
	return decode(text, func(v int64) error { c.SetInt(row, v); return nil })
}

func setFloat(c *feature.Column, row int, text json.RawMessage) error {
	special := map[string]float64{`"NaN"`: math.NaN(), `"Infinity"`: math.Inf(1), `"-Infinity"`: math.Inf(-1)}
	if v, ok := special[string(text)]; ok {
		c.SetFloat(row, v)
		return nil
	}
	return decode(text, func(v float64) error {
		if c.Type.Kind == feature.KindFloat32 {
			v = float64(float32(v))
		}
		c.SetFloat(row, v)
		return nil
	})
}

func setList(c *feature.Column, row int, list []json.RawMessage) error {
	start := c.Elems.Len()
	for range list {
		c.Elems.AppendNull()
	}
	for i, text := range list {
		if err := set(c.Elems, start+i, text); err != nil {
			return err
		}
	}
	c.SetList(row, start)
	return nil
}

func decode[T any](text json.RawMessage, use func(T) error) error {
	var v T
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("a stored value: %w", err)
	}
	return use(v)
}
