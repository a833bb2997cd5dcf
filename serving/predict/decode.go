package predict

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/valyala/fastjson"

	"millrace/feature"
)

// decoder reads answers of one model. It is reused, by one goroutine at a time.
type decoder struct {
	parser fastjson.Parser
	leaves []*fastjson.Value
	number []byte
}

// answer is what a server has sent: the JSON, and binary tensors behind it.
type answer struct{ header, tail []byte }

// fault is why an answer, or a row of it, is not used.
type fault struct {
	reason Reason
	err    error
}

func faultf(r Reason, format string, args ...any) *fault {
	return &fault{r, fmt.Errorf(format, args...)}
}

// decode checks the answer to so many rows and returns columns parallel to
// m.Outputs, which do not point into the answer. Rows that are not finite where
// that is not declared are null and listed in bad; any other fault is one of the
// whole answer.
func (d *decoder) decode(m *Model, rows int, a answer) (out []feature.Column, bad map[int]*fault, err *fault) {
	doc := d.parse(a.header)
	if doc == nil {
		doc = d.parse(replaceLiterals(a.header))
	}
	if doc == nil || doc.Type() != fastjson.TypeObject {
		return nil, nil, faultf(ReasonMalformed, "the answer is no JSON object")
	}
	if f := checkModel(m, doc); f != nil {
		return nil, nil, f
	}
	found, f := sortOutputs(m, doc, a.tail)
	if f != nil {
		return nil, nil, f
	}
	out = make([]feature.Column, len(m.Outputs))
	for i := range out {
		p := &m.Outputs[i]
		if f := d.output(p, rows, &found[i], &out[i]); f != nil {
			return nil, nil, &fault{f.reason, fmt.Errorf("output %q: %w", p.Name, f.err)}
		}
		bad = withholdNonFinite(p, &out[i], bad)
	}
	for row := range bad {
		for i := range out {
			out[i].SetNull(row)
		}
	}
	return out, bad, nil
}

// parse returns nil for what is no JSON. The parser takes more than that, and
// bounds the depth, which the validator does not: so it comes first.
func (d *decoder) parse(text []byte) *fastjson.Value {
	doc, err := d.parser.ParseBytes(text)
	if err != nil || fastjson.ValidateBytes(text) != nil {
		return nil
	}
	return doc
}

// literals are what some servers (Python's json among them) write for floats
// that JSON does not have, and JSON that is read as the same.
var literals = []struct{ from, to string }{{"NaN", "null"}, {"Infinity", "1e999"}}

// replaceLiterals writes the literals outside of strings as JSON; "-Infinity"
// keeps its sign.
func replaceLiterals(text []byte) []byte {
	out := make([]byte, 0, len(text))
	inString := false
next:
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case inString && b == '\\' && i+1 < len(text):
			out = append(out, b)
			i++
		case b == '"':
			inString = !inString
		case !inString:
			for _, l := range literals {
				if bytes.HasPrefix(text[i:], []byte(l.from)) {
					out = append(out, l.to...)
					i += len(l.from) - 1
					continue next
				}
			}
		}
		out = append(out, text[i])
	}
	return out
}

// checkModel refuses answers of another model. A server may leave its version
// out; the path has asked for the one that is wanted.
func checkModel(m *Model, doc *fastjson.Value) *fault {
	if name := doc.GetStringBytes("model_name"); string(name) != m.Name {
		return faultf(ReasonModel, "the answer is of another model, or does not name one")
	}
	version := doc.Get("model_version")
	if m.Version == "" || version == nil || version.Type() == fastjson.TypeNull {
		return nil
	}
	if version.Type() != fastjson.TypeString || string(version.GetStringBytes()) != m.Version {
		return faultf(ReasonModel, "the answer is of another version")
	}
	return nil
}

// found is an output of an answer: its JSON and, of a binary one, its data.
type found struct {
	value  *fastjson.Value
	binary bool
	data   []byte
}

// sortOutputs finds the outputs of m in an answer, and their parts of the tail,
// which must be made of exactly what the answer says.
func sortOutputs(m *Model, doc *fastjson.Value, tail []byte) ([]found, *fault) {
	list := doc.Get("outputs")
	if list == nil || list.Type() != fastjson.TypeArray {
		return nil, faultf(ReasonMalformed, "the answer has no list of outputs")
	}
	all := make([]found, len(m.Outputs))
	for _, o := range list.GetArray() {
		f := found{value: o}
		if size := o.Get("parameters", "binary_data_size"); size != nil {
			n, err := size.Int64()
			switch {
			case err != nil || n < 0:
				return nil, faultf(ReasonMalformed, "a size of binary data is no number of bytes")
			case n > int64(len(tail)):
				return nil, faultf(ReasonTruncated, "binary data of %d bytes has %d", n, len(tail))
			}
			f.binary, f.data, tail = true, tail[:n], tail[n:]
		}
		name := o.GetStringBytes("name")
		for i := range m.Outputs {
			if m.Outputs[i].Name != string(name) {
				continue
			}
			if all[i].value != nil {
				return nil, faultf(ReasonMalformed, "output %q stands twice", m.Outputs[i].Name)
			}
			all[i] = f
		}
	}
	for i := range all {
		if all[i].value == nil {
			return nil, faultf(ReasonMissingOutput, "the answer lacks output %q", m.Outputs[i].Name)
		}
	}
	if len(tail) > 0 {
		return nil, faultf(ReasonMalformed, "%d bytes follow the binary data", len(tail))
	}
	return all, nil
}

// output checks one output and fills c.
func (d *decoder) output(p *Port, rows int, f *found, c *feature.Column) *fault {
	datatype := string(f.value.GetStringBytes("datatype"))
	if !slices.Contains(holds[p.Type.Kind], datatype) {
		return faultf(ReasonType, "it is %s, which %s cannot hold: declare another type", shown(datatype), p.Type)
	}
	if bad := checkShape(p, rows, f.value.Get("shape")); bad != nil {
		return bad
	}
	c.Reset(p.Type)
	c.Resize(rows)
	cells := c
	if p.Type.IsList() {
		cells = c.Elems
	}
	cells.Resize(rows * p.width())
	var bad *fault
	if f.binary {
		bad = decodeBinary(cells, datatype, f.data)
	} else {
		bad = d.values(p, rows, f.value, cells)
	}
	if bad == nil && p.Type.IsList() {
		for row := range rows {
			c.Spans[row] = feature.Span{Start: uint32(row * p.width()), End: uint32((row + 1) * p.width())}
		}
		c.Valid.Fill(rows)
	}
	return bad
}

// shown is a word of a server, fit for a message.
func shown(word string) string {
	if word == "" || len(word) > 16 || strings.ContainsFunc(word, func(r rune) bool { return r < '0' || r > 'Z' }) {
		return "an unknown datatype"
	}
	return word
}

// checkShape wants [n] or [n, 1] for scalars and [n, k] for lists.
func checkShape(p *Port, rows int, shape *fastjson.Value) *fault {
	if shape == nil || shape.Type() != fastjson.TypeArray {
		return faultf(ReasonMalformed, "it has no shape")
	}
	dims := shape.GetArray()
	var got [2]int64
	for i, dim := range dims {
		n, err := dim.Int64()
		if err != nil || n < 0 {
			return faultf(ReasonMalformed, "a dimension is no number")
		}
		if i < len(got) {
			got[i] = n
		}
	}
	isFlat := len(dims) == 1 && !p.Type.IsList()
	switch {
	case !isFlat && (len(dims) != 2 || got[1] != int64(p.width())):
		return faultf(ReasonShape, "it has %d dimensions, the second of %d; want [%d, %d]", len(dims), got[1], rows, p.width())
	case got[0] != int64(rows):
		return faultf(ReasonRows, "it has %d rows, want %d", got[0], rows)
	}
	return nil
}

// values reads the JSON data of an output, flat or nested like its shape.
func (d *decoder) values(p *Port, rows int, output *fastjson.Value, cells *feature.Column) *fault {
	data := output.Get("data")
	if data == nil || data.Type() != fastjson.TypeArray {
		return faultf(ReasonMalformed, "it has no data")
	}
	items := data.GetArray()
	if len(items) > 0 && items[0].Type() == fastjson.TypeArray {
		if items = d.unnest(items, p.width()); items == nil {
			return faultf(ReasonShape, "its data are not nested like its shape")
		}
	}
	if want := rows * p.width(); len(items) != want {
		return faultf(ReasonShape, "it has %d values, want %d", len(items), want)
	}
	for i, v := range items {
		if err := d.value(cells, i, v); err != nil {
			return &fault{ReasonType, err}
		}
	}
	return nil
}

// unnest joins arrays of width values each; nil if they are anything else.
func (d *decoder) unnest(items []*fastjson.Value, width int) []*fastjson.Value {
	d.leaves = d.leaves[:0]
	for _, item := range items {
		inner, err := item.Array()
		if err != nil || len(inner) != width {
			return nil
		}
		d.leaves = append(d.leaves, inner...)
	}
	return d.leaves
}

// withholdNonFinite adds the rows of c that p forbids to bad.
func withholdNonFinite(p *Port, c *feature.Column, bad map[int]*fault) map[int]*fault {
	cells := c
	if p.Type.IsList() {
		cells = c.Elems
	}
	if p.AllowNaN || cells.Type.Layout() != feature.LayoutFloat {
		return bad
	}
	for i, v := range cells.Floats {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			continue
		}
		if bad == nil {
			bad = make(map[int]*fault)
		}
		if row := i / p.width(); bad[row] == nil {
			bad[row] = faultf(ReasonNonFinite, "output %q is NaN or infinite and is not declared to allow it", p.Name)
		}
	}
	return bad
}
