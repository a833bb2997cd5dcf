package sample

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"time"

	"millrace/feature"
)

// Value is a join key or a feature of a row.
type Value struct {
	Name string
	JSON json.RawMessage
	Why  string // why computing it failed; the value is null then
}

// Values are printed as one object, in their order.
type Values []Value

// MarshalJSON implements json.Marshaler.
func (vs Values) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, v := range vs {
		if i > 0 {
			out = append(out, ',')
		}
		name, err := json.Marshal(v.Name)
		if err != nil {
			return nil, err //nolint:wrapcheck // names always are text
		}
		out = append(append(append(out, name...), ':'), v.JSON...)
	}
	return append(out, '}'), nil
}

// String prints the values for people.
func (vs Values) String() string {
	var b bytes.Buffer
	for i, v := range vs {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(v.Name)
		b.WriteByte('=')
		b.Write(v.JSON)
		if v.Why != "" {
			b.WriteString(" (" + v.Why + ")")
		}
	}
	return b.String()
}

var null = json.RawMessage("null")

func jsonOf(c *feature.Column, row int) json.RawMessage {
	text, err := json.Marshal(valueOf(c, row))
	if err != nil { // a json value that is none
		return null
	}
	return text
}

// valueOf takes a value out of a column, for encoding/json.
func valueOf(c *feature.Column, row int) any {
	if c.IsNull(row) {
		return nil
	}
	switch c.Type.Layout() {
	case feature.LayoutBool:
		return c.Bools[row]
	case feature.LayoutInt:
		if c.Type.Kind == feature.KindTimestamp {
			return time.UnixMicro(c.Ints[row]).UTC().Format(time.RFC3339Nano)
		}
		return c.Ints[row]
	case feature.LayoutFloat:
		f := c.Floats[row]
		switch {
		case math.IsNaN(f):
			return "NaN"
		case math.IsInf(f, 0):
			return map[bool]string{true: "Infinity", false: "-Infinity"}[f > 0]
		case c.Type.Kind == feature.KindFloat32:
			return float32(f)
		}
		return f
	case feature.LayoutString:
		return stringOf(c, row)
	case feature.LayoutList:
		s := c.Spans[row]
		list := make([]any, 0, s.End-s.Start)
		for i := s.Start; i < s.End; i++ {
			list = append(list, valueOf(c.Elems, int(i)))
		}
		return list
	case feature.LayoutNone:
	}
	return nil
}

func stringOf(c *feature.Column, row int) any {
	text := c.Strings[row]
	switch c.Type.Kind {
	case feature.KindJSON:
		return json.RawMessage(text)
	case feature.KindBytes:
		return base64.StdEncoding.EncodeToString([]byte(text))
	default:
		return text
	}
}
