package predicttest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// Tensor is a tensor of a request or an answer. Data is flat: bool, int64,
// float64, string, nil, or a Literal.
type Tensor struct {
	Name, Datatype string
	Shape          []int
	Data           []any
}

// Literal is written into an answer as it is, whether it is JSON or not.
type Literal string

// Answer is what a model answers.
type Answer struct {
	ModelName, ModelVersion string
	Outputs                 []Tensor
}

// Sum is a model whose output is, for each row, the sum of all numbers of all
// its inputs, as FP64 of shape [n, 1].
func Sum(name, version, output string) Model {
	return Model{Name: name, Version: version, Infer: func(in map[string]Tensor, rows int) ([]Tensor, error) {
		sums := make([]float64, rows)
		for _, t := range in {
			for i, v := range t.Data {
				sums[i*rows/len(t.Data)] += number(v)
			}
		}
		out := Tensor{Name: output, Datatype: "FP64", Shape: []int{rows, 1}}
		for _, s := range sums {
			out.Data = append(out.Data, s)
		}
		return []Tensor{out}, nil
	}}
}

func number(v any) float64 {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	case bool:
		if v {
			return 1
		}
	case nil:
		return math.NaN()
	}
	return 0
}

func integer(v any) int64 {
	n, _ := v.(int64) // anything else is zero
	return n
}

type sent struct {
	Inputs []struct {
		Name       string `json:"name"`
		Datatype   string `json:"datatype"`
		Shape      []int  `json:"shape"`
		Data       []any  `json:"data"`
		Parameters struct {
			Size *int `json:"binary_data_size"`
		} `json:"parameters"`
	} `json:"inputs"`
	Outputs []struct {
		Name string `json:"name"`
	} `json:"outputs"`
}

const headerLength = "Inference-Header-Content-Length"

// readCall reads a request, strictly.
func readCall(head http.Header, body []byte) (Call, error) {
	call := Call{Inputs: make(map[string]Tensor)}
	text, tail := body, []byte(nil)
	if h := head.Get(headerLength); h != "" {
		n, err := strconv.Atoi(h)
		if err != nil || n < 0 || n > len(body) {
			return call, errors.New("bad length of the header")
		}
		call.Binary = true
		text, tail = body[:n], body[n:]
	}
	var q sent
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&q); err != nil {
		return call, fmt.Errorf("no JSON: %w", err)
	}
	for i := range q.Inputs {
		in := &q.Inputs[i]
		t := Tensor{Name: in.Name, Datatype: in.Datatype, Shape: in.Shape}
		var err error
		if size := in.Parameters.Size; size != nil {
			if *size > len(tail) {
				return call, errors.New("binary data end early")
			}
			t.Data, err = fromBinary(t.Datatype, tail[:*size])
			tail = tail[*size:]
		} else {
			t.Data, err = fromJSON(t.Datatype, in.Data)
		}
		if err != nil {
			return call, err
		}
		if err := t.check(); err != nil {
			return call, err
		}
		if i > 0 && t.Shape[0] != call.Rows {
			return call, errors.New("inputs differ in rows")
		}
		call.Rows = t.Shape[0]
		call.Inputs[t.Name] = t
	}
	if len(tail) > 0 {
		return call, errors.New("bytes follow the binary data")
	}
	for _, o := range q.Outputs {
		call.Outputs = append(call.Outputs, o.Name)
	}
	return call, nil
}

func (t *Tensor) check() error {
	if len(t.Shape) == 0 {
		return errors.New("a tensor has no shape")
	}
	n := 1
	for _, dim := range t.Shape {
		n *= dim
	}
	if n != len(t.Data) {
		return fmt.Errorf("tensor %q has %d values for a shape of %d", t.Name, len(t.Data), n)
	}
	return nil
}

func fromJSON(datatype string, data []any) ([]any, error) {
	out := make([]any, len(data))
	for i, v := range data {
		var err error
		switch n, isNumber := v.(json.Number); {
		case v == nil && (datatype == "FP64" || datatype == "FP32"):
			out[i] = nil
		case isNumber && (datatype == "INT64" || datatype == "INT32"):
			out[i], err = n.Int64()
		case isNumber && (datatype == "FP64" || datatype == "FP32"):
			out[i], err = n.Float64()
		default:
			_, isBool := v.(bool)
			_, isText := v.(string)
			if (!isBool || datatype != "BOOL") && (!isText || datatype != "BYTES") {
				err = errors.New("a value is not of its datatype")
			}
			out[i] = v
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func fromBinary(datatype string, data []byte) ([]any, error) {
	var out []any
	for len(data) > 0 {
		n := map[string]int{"BOOL": 1, "INT32": 4, "FP32": 4, "INT64": 8, "FP64": 8, "BYTES": 4}[datatype]
		if n == 0 || len(data) < n {
			return nil, errors.New("binary data are not of their datatype")
		}
		raw := data[:n]
		data = data[n:]
		switch datatype {
		case "BOOL":
			out = append(out, raw[0] == 1)
		case "INT32":
			out = append(out, int64(int32(binary.LittleEndian.Uint32(raw))))
		case "INT64":
			out = append(out, int64(binary.LittleEndian.Uint64(raw)))
		case "FP32":
			out = append(out, float64(math.Float32frombits(binary.LittleEndian.Uint32(raw))))
		case "FP64":
			out = append(out, math.Float64frombits(binary.LittleEndian.Uint64(raw)))
		default:
			size := int(binary.LittleEndian.Uint32(raw))
			if size > len(data) {
				return nil, errors.New("a text ends early")
			}
			out = append(out, string(data[:size]))
			data = data[size:]
		}
	}
	return out, nil
}

// write gives the bytes of an answer and the length of its JSON.
func (a *Answer) write(isBinary bool) (body []byte, header int) {
	var b, tail bytes.Buffer
	fmt.Fprintf(&b, `{"model_name":%q,"model_version":%q,"outputs":[`, a.ModelName, a.ModelVersion)
	for i, o := range a.Outputs {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":%q,"shape":[%s],"datatype":%q,`, o.Name, dims(o.Shape), o.Datatype)
		if isBinary {
			n := tail.Len()
			toBinary(&tail, o)
			fmt.Fprintf(&b, `"parameters":{"binary_data_size":%d}}`, tail.Len()-n)
			continue
		}
		b.WriteString(`"data":[`)
		for j, v := range o.Data {
			if j > 0 {
				b.WriteByte(',')
			}
			toJSON(&b, v)
		}
		b.WriteString(`]}`)
	}
	b.WriteString("]}")
	return append(b.Bytes(), tail.Bytes()...), b.Len()
}

func dims(shape []int) string {
	words := make([]string, len(shape))
	for i, d := range shape {
		words[i] = strconv.Itoa(d)
	}
	return strings.Join(words, ",")
}

func toJSON(b *bytes.Buffer, v any) {
	if l, is := v.(Literal); is {
		b.WriteString(string(l))
		return
	}
	if f, is := v.(float64); is && (math.IsNaN(f) || math.IsInf(f, 0)) {
		b.WriteString("null")
		return
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // a mistake of the test's model
	}
	b.Write(text)
}

func toBinary(b *bytes.Buffer, t Tensor) {
	for _, v := range t.Data {
		var raw []byte
		switch t.Datatype {
		case "BOOL":
			raw = []byte{byte(number(v))}
		case "INT32":
			raw = binary.LittleEndian.AppendUint32(nil, uint32(integer(v)))
		case "INT64":
			raw = binary.LittleEndian.AppendUint64(nil, uint64(integer(v)))
		case "FP32":
			raw = binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(number(v))))
		case "FP64":
			raw = binary.LittleEndian.AppendUint64(nil, math.Float64bits(number(v)))
		default:
			text, _ := v.(string) // anything else is an empty one
			raw = append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...)
		}
		b.Write(raw)
	}
}
