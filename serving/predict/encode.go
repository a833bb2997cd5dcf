package predict

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"millrace/feature"
)

// wire is how the server wants tensors, as far as it has said so.
type wire struct {
	known  bool   // it has said so
	binary bool   // it speaks the binary tensor extension
	flat   []bool // per tensor: its rows are scalars, shape [n] instead of [n, 1]
}

// tensor is one input tensor that rows are appended to.
type tensor struct {
	name     string
	datatype string
	kind     feature.Kind
	width    int // values of a row
	flat     bool
	data     []byte // values so far: JSON with a comma after each, or binary
}

// encoder turns rows into the tensors of one request. Values are copied at
// once, so that columns are the caller's again after append. It is reused.
type encoder struct {
	model   *Model
	binary  bool
	tensors []tensor
	rows    int
}

// reset begins a request.
func (e *encoder) reset(m *Model, w *wire) {
	e.model, e.binary, e.rows = m, w.binary, 0
	n := len(m.Inputs)
	if m.Layout == Stacked {
		n = 1
	}
	if cap(e.tensors) < n {
		e.tensors = make([]tensor, n)
	}
	e.tensors = e.tensors[:n]
	for i := range e.tensors {
		t := &e.tensors[i]
		t.data = t.data[:0]
		if m.Layout == Stacked {
			t.name, t.kind, t.width = m.Tensor, m.TensorKind, m.stackWidth()
		} else {
			p := &m.Inputs[i]
			t.name, t.kind, t.width = p.Name, p.As, p.width()
		}
		t.datatype = datatypes[t.kind]
		t.flat = i < len(w.flat) && w.flat[i] && t.width == 1
	}
}

// size is how many bytes of values there are.
func (e *encoder) size() int {
	n := 0
	for i := range e.tensors {
		n += len(e.tensors[i].data)
	}
	return n
}

// unsendable says why a row cannot be sent, or nil.
//
// A null has no place in a tensor: it is NaN where the input is declared to
// allow that, and otherwise the row is not inferred, because whatever stood in
// for it would be a guess of ours. Defaults belong to the feature.
func unsendable(m *Model, inputs []*feature.Column, row int, isBinary bool) error {
	for i := range m.Inputs {
		p, c := &m.Inputs[i], inputs[i]
		first, last := row, row+1
		if p.Type.IsList() {
			if c.IsNull(row) {
				return fmt.Errorf("input %q is null", p.Name)
			}
			s := c.Spans[row]
			if s.End-s.Start != p.Type.Length {
				return fmt.Errorf("input %q is a list of %d, want %d", p.Name, s.End-s.Start, p.Type.Length)
			}
			c, first, last = c.Elems, int(s.Start), int(s.End)
		}
		for j := first; j < last; j++ {
			if err := unsendableValue(p, c, j, isBinary); err != nil {
				return err
			}
		}
	}
	return nil
}

func unsendableValue(p *Port, c *feature.Column, i int, isBinary bool) error {
	if c.IsNull(i) {
		if p.AllowNaN {
			return nil
		}
		return fmt.Errorf("input %q is null", p.Name)
	}
	switch c.Type.Layout() {
	case feature.LayoutFloat:
		v := c.Floats[i]
		switch {
		case math.IsNaN(v) && !p.AllowNaN:
			return fmt.Errorf("input %q is NaN and is not declared to allow it", p.Name)
		case math.IsInf(v, 0) && (!p.AllowNaN || !isBinary):
			return fmt.Errorf("input %q is infinite, which is not sent", p.Name)
		case p.As == feature.KindFloat32 && math.IsInf(float64(float32(v)), 0) && !math.IsInf(v, 0):
			return fmt.Errorf("input %q is beyond float32", p.Name)
		}
	case feature.LayoutString:
		if !isBinary && !utf8.ValidString(c.Strings[i]) {
			return fmt.Errorf("input %q is not UTF-8, which JSON cannot hold", p.Name)
		}
	default:
	}
	return nil
}

// append adds a row that unsendable has let through.
func (e *encoder) append(inputs []*feature.Column, row int) {
	for i := range e.model.Inputs {
		t := &e.tensors[0]
		if e.model.Layout == Named {
			t = &e.tensors[i]
		}
		c, first, last := inputs[i], row, row+1
		if e.model.Inputs[i].Type.IsList() {
			s := c.Spans[row]
			c, first, last = c.Elems, int(s.Start), int(s.End)
		}
		for j := first; j < last; j++ {
			if e.binary {
				t.data = appendBinary(t.data, t.kind, c, j)
			} else {
				t.data = append(appendJSON(t.data, t.kind, c, j), ',')
			}
		}
	}
	e.rows++
}

// float gives value i as a float, NaN for null.
func float(c *feature.Column, i int) float64 {
	switch {
	case c.IsNull(i):
		return math.NaN()
	case c.Type.Layout() == feature.LayoutFloat:
		return c.Floats[i]
	default:
		return float64(integer(c, i))
	}
}

func integer(c *feature.Column, i int) int64 {
	if c.Type.Layout() != feature.LayoutBool {
		return c.Ints[i]
	}
	if c.Bools[i] {
		return 1
	}
	return 0
}

// appendJSON writes value i of c as one of a tensor of kind k.
func appendJSON(dst []byte, k feature.Kind, c *feature.Column, i int) []byte {
	switch k {
	case feature.KindBool:
		return strconv.AppendBool(dst, c.Bools[i])
	case feature.KindInt32, feature.KindInt64, feature.KindTimestamp:
		return strconv.AppendInt(dst, integer(c, i), 10)
	case feature.KindFloat32:
		return appendFloat(dst, float(c, i), 32)
	case feature.KindFloat64:
		return appendFloat(dst, float(c, i), 64)
	default:
		return appendText(dst, c.Strings[i])
	}
}

func appendFloat(dst []byte, v float64, bits int) []byte {
	if math.IsNaN(v) {
		return append(dst, "null"...)
	}
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.AppendFloat(dst, v, 'e', -1, bits)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, bits)
}

const hex = "0123456789abcdef"

// appendText writes s, which is UTF-8, as a JSON string.
func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := range len(s) {
		b := s[i]
		if b >= ' ' && b != '"' && b != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		if b >= ' ' {
			dst = append(dst, '\\', b)
		} else {
			dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
		}
	}
	return append(append(dst, s[from:]...), '"')
}

// appendBinary writes value i of c as one of a tensor of kind k: little-endian,
// text with its length before it.
func appendBinary(dst []byte, k feature.Kind, c *feature.Column, i int) []byte {
	switch k {
	case feature.KindBool:
		return append(dst, byte(integer(c, i)))
	case feature.KindInt32:
		return binary.LittleEndian.AppendUint32(dst, uint32(integer(c, i)))
	case feature.KindInt64, feature.KindTimestamp:
		return binary.LittleEndian.AppendUint64(dst, uint64(integer(c, i)))
	case feature.KindFloat32:
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(float(c, i))))
	case feature.KindFloat64:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(float(c, i)))
	default:
		return append(binary.LittleEndian.AppendUint32(dst, uint32(len(c.Strings[i]))), c.Strings[i]...)
	}
}

// body writes the request: its JSON, whose length it returns, and behind it the
// binary tensors. It allocates once; the transport may read it after the call.
func (e *encoder) body() (body []byte, header int) {
	room := 64
	for i := range e.tensors {
		room += len(e.tensors[i].data) + len(e.tensors[i].name) + 128
	}
	for i := range e.model.Outputs {
		room += len(e.model.Outputs[i].Name) + 64
	}
	b := append(make([]byte, 0, room), `{"inputs":[`...)
	for i := range e.tensors {
		if i > 0 {
			b = append(b, ',')
		}
		b = e.tensors[i].appendHead(b, e.rows)
		if e.binary {
			b = append(b, `,"parameters":{"binary_data_size":`...)
			b = append(strconv.AppendInt(b, int64(len(e.tensors[i].data)), 10), "}}"...)
			continue
		}
		b = append(b, `,"data":[`...)
		b = append(b, e.tensors[i].data[:max(0, len(e.tensors[i].data)-1)]...) // without the last comma
		b = append(b, "]}"...)
	}
	b = append(b, `],"outputs":[`...)
	for i := range e.model.Outputs {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(append(b, `{"name":`...), e.model.Outputs[i].Name)
		if e.binary {
			b = append(b, `,"parameters":{"binary_data":true}`...)
		}
		b = append(b, '}')
	}
	b = append(b, "]}"...)
	header = len(b)
	if e.binary {
		for i := range e.tensors {
			b = append(b, e.tensors[i].data...)
		}
	}
	return b, header
}

func (t *tensor) appendHead(b []byte, rows int) []byte {
	b = appendText(append(b, `{"name":`...), t.name)
	b = strconv.AppendInt(append(b, `,"shape":[`...), int64(rows), 10)
	if !t.flat {
		b = strconv.AppendInt(append(b, ','), int64(t.width), 10)
	}
	b = append(b, `],"datatype":"`...)
	return append(append(b, t.datatype...), '"')
}
