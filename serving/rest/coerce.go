package rest

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"

	"github.com/valyala/fastjson"

	"millrace/feature"
)

// maxExactFloat is the magnitude up to which every integer is a float64; a
// larger float does not say which integer was meant.
const maxExactFloat = 1 << 53

// setValue sets a row of a column of join keys or request data to a JSON value,
// being lenient where only one meaning is possible: numbers as text, integers
// as 1001.0, times as text, or as seconds if Feast's clients send them. It
// reports false for a value that does not fit. Strings alias v.
func (c *call) setValue(dst *feature.Column, row int, v *fastjson.Value) bool {
	if v.Type() == fastjson.TypeNull {
		dst.SetNull(row)
		return true
	}
	if dst.Type.IsList() {
		return c.setList(dst, row, v)
	}
	if dst.Type.Kind == feature.KindJSON {
		return c.setJSON(dst, row, v)
	}
	switch v.Type() {
	case fastjson.TypeNull:
	case fastjson.TypeString:
		text, err := v.StringBytes()
		return err == nil && c.setText(dst, row, asString(text))
	case fastjson.TypeNumber:
		return setNumber(dst, row, v, c.enc.feast)
	case fastjson.TypeTrue, fastjson.TypeFalse:
		if dst.Type.Kind != feature.KindBool {
			return false
		}
		dst.SetBool(row, v.Type() == fastjson.TypeTrue)
		return true
	case fastjson.TypeObject, fastjson.TypeArray:
	}
	return false
}

func (c *call) setList(dst *feature.Column, row int, v *fastjson.Value) bool {
	if v.Type() != fastjson.TypeArray {
		return false
	}
	list := v.GetArray()
	if n := dst.Type.Length; n > 0 && len(list) != int(n) {
		return false
	}
	start := dst.Elems.Len()
	for _, x := range list {
		if !c.setValue(dst.Elems, dst.Elems.AppendNull(), x) {
			return false
		}
	}
	dst.SetList(row, start)
	return true
}

// setJSON keeps the text of any JSON; Feast's clients send it as a string.
func (c *call) setJSON(dst *feature.Column, row int, v *fastjson.Value) bool {
	if c.enc.feast && v.Type() == fastjson.TypeString {
		text := v.GetStringBytes()
		dst.SetString(row, asString(text))
		return fastjson.ValidateBytes(text) == nil
	}
	c.scratch = v.MarshalTo(c.scratch[:0])
	dst.SetString(row, c.arena.Copy(c.scratch))
	return true
}

func setFloat(dst *feature.Column, row int, f float64) bool {
	if dst.Type.Kind == feature.KindFloat32 {
		f = float64(float32(f))
	}
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return false // too great, or a word that is no JSON number
	}
	dst.SetFloat(row, f)
	return true
}

func setNumber(dst *feature.Column, row int, v *fastjson.Value, feast bool) bool {
	if dst.Type.Layout() == feature.LayoutFloat {
		f, err := v.Float64()
		return err == nil && setFloat(dst, row, f)
	}
	n, err := v.Int64()
	if err != nil {
		f, err := v.Float64()
		if err != nil || f != math.Trunc(f) || math.Abs(f) > maxExactFloat {
			return false
		}
		n = int64(f)
	}
	if dst.Type.Kind == feature.KindTimestamp {
		if !feast || n > math.MaxInt64/microsPerSecond || n < math.MinInt64/microsPerSecond {
			return false
		}
		dst.SetInt(row, n*microsPerSecond)
		return true
	}
	return setInt(dst, row, n)
}

func setInt(dst *feature.Column, row int, n int64) bool {
	switch {
	case dst.Type.Kind == feature.KindInt64:
	case dst.Type.Kind == feature.KindInt32 && n >= math.MinInt32 && n <= math.MaxInt32:
	default:
		return false
	}
	dst.SetInt(row, n)
	return true
}

// setText sets a row from text. dst keeps text when it is a string.
func (c *call) setText(dst *feature.Column, row int, text string) bool {
	switch dst.Type.Kind {
	case feature.KindString:
		dst.SetString(row, text)
		return true
	case feature.KindInt32, feature.KindInt64:
		n, err := strconv.ParseInt(text, 10, 64)
		return err == nil && setInt(dst, row, n)
	case feature.KindBool:
		if text != "true" && text != "false" {
			return false
		}
		dst.SetBool(row, text == "true")
		return true
	case feature.KindTimestamp:
		return setTime(dst, row, text)
	case feature.KindBytes:
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return false
		}
		dst.SetString(row, c.arena.Copy(b))
		return true
	case feature.KindFloat32, feature.KindFloat64:
		f, err := strconv.ParseFloat(text, 64)
		return err == nil && setFloat(dst, row, f)
	case feature.KindInvalid, feature.KindJSON:
	}
	return false
}

// setTime reads RFC 3339, with or without a zone; without one it is UTC, which
// is what Feast's clients mean.
func setTime(dst *feature.Column, row int, text string) bool {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05.999999999", text)
	}
	if err != nil {
		return false
	}
	dst.SetInt(row, t.UnixMicro())
	return true
}
