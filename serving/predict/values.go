package predict

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/valyala/fastjson"

	"millrace/feature"
)

var (
	errNoNumber  = errors.New("a value is no number")
	errNoInteger = errors.New("a value is no integer of its type")
	errNoBool    = errors.New("a value is neither true nor false")
	errNoText    = errors.New("a value is no text")
	errNoUTF8    = errors.New("a value is not UTF-8")
)

// value reads one value into cell i.
func (d *decoder) value(cells *feature.Column, i int, v *fastjson.Value) error {
	switch k := cells.Type.Kind; cells.Type.Layout() {
	case feature.LayoutBool:
		if v.Type() != fastjson.TypeTrue && v.Type() != fastjson.TypeFalse {
			return errNoBool
		}
		cells.SetBool(i, v.Type() == fastjson.TypeTrue)
	case feature.LayoutInt:
		n, err := strconv.ParseInt(string(d.text(v)), 10, 64)
		if err != nil || v.Type() != fastjson.TypeNumber || k == feature.KindInt32 && n != int64(int32(n)) {
			return errNoInteger
		}
		cells.SetInt(i, n)
	case feature.LayoutFloat:
		return d.float(cells, i, v)
	default:
		b, err := v.StringBytes()
		if err != nil {
			return errNoText
		}
		return setText(cells, i, b)
	}
	return nil
}

// float reads a number, or the null that servers write for NaN (orjson does).
func (d *decoder) float(cells *feature.Column, i int, v *fastjson.Value) error {
	if v.Type() == fastjson.TypeNull {
		cells.SetFloat(i, math.NaN())
		return nil
	}
	bits := 64
	if cells.Type.Kind == feature.KindFloat32 {
		bits = 32
	}
	if v.Type() != fastjson.TypeNumber {
		return errNoNumber
	}
	x, err := strconv.ParseFloat(string(d.text(v)), bits)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // beyond the range is infinite
		return errNoNumber
	}
	cells.SetFloat(i, x)
	return nil
}

// text is a number as it was written; the parser's own conversion rounds.
func (d *decoder) text(v *fastjson.Value) []byte {
	if v.Type() != fastjson.TypeNumber {
		return nil
	}
	d.number = v.MarshalTo(d.number[:0])
	return d.number
}

func setText(cells *feature.Column, i int, b []byte) error {
	if cells.Type.Kind == feature.KindString && !utf8.Valid(b) {
		return errNoUTF8
	}
	cells.SetString(i, string(b))
	return nil
}

// widths are bytes of a value by datatype; text has none.
var widths = map[string]int{
	"BOOL": 1, "INT8": 1, "UINT8": 1, "INT16": 2, "UINT16": 2, "FP16": 2,
	"INT32": 4, "UINT32": 4, "FP32": 4, "INT64": 8, "FP64": 8,
}

// decodeBinary fills all cells from the binary data of a datatype that their
// kind holds.
func decodeBinary(cells *feature.Column, datatype string, data []byte) *fault {
	if datatype == "BYTES" {
		return decodeTexts(cells, data)
	}
	width := widths[datatype]
	if len(data) != width*cells.Len() {
		return faultf(ReasonShape, "it has %d bytes, want %d values of %d", len(data), cells.Len(), width)
	}
	for i := range cells.Len() {
		raw := data[i*width : (i+1)*width]
		switch cells.Type.Layout() {
		case feature.LayoutBool:
			if raw[0] > 1 {
				return &fault{ReasonType, errNoBool}
			}
			cells.SetBool(i, raw[0] == 1)
		case feature.LayoutInt:
			cells.SetInt(i, rawInt(raw, datatype))
		default:
			cells.SetFloat(i, rawFloat(raw, datatype))
		}
	}
	return nil
}

func rawInt(raw []byte, datatype string) int64 {
	switch datatype {
	case "INT8":
		return int64(int8(raw[0]))
	case "UINT8":
		return int64(raw[0])
	case "INT16":
		return int64(int16(binary.LittleEndian.Uint16(raw)))
	case "UINT16":
		return int64(binary.LittleEndian.Uint16(raw))
	case "INT32":
		return int64(int32(binary.LittleEndian.Uint32(raw)))
	case "UINT32":
		return int64(binary.LittleEndian.Uint32(raw))
	default:
		return int64(binary.LittleEndian.Uint64(raw))
	}
}

func rawFloat(raw []byte, datatype string) float64 {
	switch datatype {
	case "FP64":
		return math.Float64frombits(binary.LittleEndian.Uint64(raw))
	case "FP32":
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(raw)))
	case "FP16":
		return half(binary.LittleEndian.Uint16(raw))
	default:
		return float64(rawInt(raw, datatype))
	}
}

// half reads an IEEE 754 binary16.
func half(b uint16) float64 {
	exponent, fraction := int(b>>10)&31, float64(b&1023)
	var v float64
	switch {
	case exponent == 31 && fraction != 0:
		return math.NaN()
	case exponent == 31:
		v = math.Inf(1)
	case exponent == 0:
		v = math.Ldexp(fraction, -24)
	default:
		v = math.Ldexp(1024+fraction, exponent-25)
	}
	if b>>15 == 1 {
		return -v
	}
	return v
}

// decodeTexts reads texts that stand behind their lengths.
func decodeTexts(cells *feature.Column, data []byte) *fault {
	for i := range cells.Len() {
		if len(data) < 4 {
			return faultf(ReasonShape, "its data end after %d of %d texts", i, cells.Len())
		}
		n := uint64(binary.LittleEndian.Uint32(data))
		if data = data[4:]; n > uint64(len(data)) {
			return faultf(ReasonShape, "its data end within text %d of %d", i+1, cells.Len())
		}
		if err := setText(cells, i, data[:n]); err != nil {
			return &fault{ReasonType, err}
		}
		data = data[n:]
	}
	if len(data) > 0 {
		return faultf(ReasonShape, "%d bytes follow its texts", len(data))
	}
	return nil
}
