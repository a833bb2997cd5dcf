package predict

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"millrace/feature"
)

// Layout says how inputs become tensors.
type Layout uint8

// The layouts.
const (
	Named   Layout = iota // one tensor per input, under its name
	Stacked               // one [n, k] tensor, inputs in order, lists spread out
)

// Port is an input or an output of a model: a column of rows.
type Port struct {
	Name string
	// Type is a bool, int32, int64, float32, float64, string, bytes or timestamp
	// (sent as INT64 microseconds), or a list of them with a fixed Length.
	Type feature.Type
	// AllowNaN, of floats: an input that is null or NaN is sent as NaN (null in
	// JSON, which has no NaN), an output may be NaN or infinite.
	AllowNaN bool
	// As, of inputs of Named, is the kind of the tensor where it is not Type's:
	// float32 for a float64 whose model wants FP32. Floats are rounded to it.
	As feature.Kind
}

// width is how many values a row has.
func (p *Port) width() int {
	if p.Type.IsList() {
		return int(p.Type.Length)
	}
	return 1
}

// Model is what a client needs to know of a model. Zero values of what has a
// default take it.
type Model struct {
	Name     string
	Version  string // "" asks for whatever version the server has
	Endpoint string // http://host:port, or a URL that /v2 is appended to
	Layout   Layout
	Tensor   string // the name of the tensor of Stacked
	// TensorKind is the kind of the tensor of Stacked; by default the smallest
	// one that holds all inputs (float32 only if all of them are).
	TensorKind feature.Kind
	Inputs     []Port
	Outputs    []Port

	MaxBatch    int           // rows of one call; default 256
	Concurrency int           // calls at a time; default 8
	Timeout     time.Duration // of one call, its retry included; default 1 s
}

// names of the protocol by kind; json has none.
var datatypes = map[feature.Kind]string{
	feature.KindBool:      "BOOL",
	feature.KindInt32:     "INT32",
	feature.KindInt64:     "INT64",
	feature.KindFloat32:   "FP32",
	feature.KindFloat64:   "FP64",
	feature.KindString:    "BYTES",
	feature.KindBytes:     "BYTES",
	feature.KindTimestamp: "INT64",
}

// holds lists the datatypes whose every value a kind holds.
var holds = map[feature.Kind][]string{
	feature.KindBool:      {"BOOL"},
	feature.KindInt32:     {"INT32", "INT16", "INT8", "UINT16", "UINT8"},
	feature.KindInt64:     {"INT64", "INT32", "INT16", "INT8", "UINT32", "UINT16", "UINT8"},
	feature.KindFloat32:   {"FP32", "FP16", "INT16", "INT8", "UINT16", "UINT8"},
	feature.KindFloat64:   {"FP64", "FP32", "FP16", "INT32", "INT16", "INT8", "UINT32", "UINT16", "UINT8"},
	feature.KindString:    {"BYTES"},
	feature.KindBytes:     {"BYTES"},
	feature.KindTimestamp: {"INT64"},
}

// prepare checks m, fills in defaults, and returns the URL of its server.
func (m *Model) prepare() (*url.URL, error) {
	m.MaxBatch = cmp.Or(m.MaxBatch, 256)
	m.Concurrency = cmp.Or(m.Concurrency, 8)
	m.Timeout = cmp.Or(m.Timeout, time.Second)
	m.Inputs, m.Outputs = slices.Clone(m.Inputs), slices.Clone(m.Outputs)
	base, err := parseEndpoint(m.Endpoint)
	faults := []error{err}
	for _, bad := range []struct {
		is   bool
		what string
	}{
		{m.Name == "", "it has no name"},
		{len(m.Inputs) == 0, "it has no inputs"},
		{len(m.Outputs) == 0, "it has no outputs"},
		{m.MaxBatch < 0, "max batch is negative"},
		{m.Concurrency < 0, "concurrency is negative"},
		{m.Timeout < 0, "the timeout is negative"},
		{m.Layout == Stacked && m.Tensor == "", "stacked inputs need the name of their tensor"},
		{m.Layout > Stacked, "the layout is unknown"},
	} {
		if bad.is {
			faults = append(faults, errors.New(bad.what))
		}
	}
	faults = append(faults, checkPorts("input", m.Inputs), checkPorts("output", m.Outputs))
	faults = append(faults, m.settleKinds())
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("model %q: %w", m.Name, err)
	}
	return base, nil
}

func parseEndpoint(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return nil, errors.New("the endpoint is no URL: write http://host:port")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, fmt.Errorf("endpoint %q is not an http or https URL: write http://host:port", u.Redacted())
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("endpoint of host %q has a user, a query or a fragment: leave them out", u.Host)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

func checkPorts(what string, ports []Port) error {
	var faults []error
	seen := make(map[string]bool)
	for i := range ports {
		p := &ports[i]
		_, known := datatypes[p.Type.Kind]
		isFloat := p.Type.Kind == feature.KindFloat32 || p.Type.Kind == feature.KindFloat64
		switch {
		case p.Name == "":
			faults = append(faults, fmt.Errorf("%s %d has no name", what, i+1))
		case seen[p.Name]:
			faults = append(faults, fmt.Errorf("%s %q stands twice", what, p.Name))
		case !known || p.Type.Depth > 1:
			faults = append(faults, fmt.Errorf("%s %q is %s, which is no tensor", what, p.Name, p.Type))
		case p.Type.IsList() && p.Type.Length == 0:
			faults = append(faults, fmt.Errorf("%s %q is a list without a fixed length: a tensor's rows are of one length", what, p.Name))
		case p.AllowNaN && !isFloat:
			faults = append(faults, fmt.Errorf("%s %q allows NaN and is %s: only floats can be NaN", what, p.Name, p.Type))
		}
		seen[p.Name] = true
	}
	return errors.Join(faults...)
}

// sendable reports whether a tensor of one kind holds values of another. Floats
// hold all numbers, rounded; integers hold smaller ones.
func sendable(from, as feature.Kind) bool {
	if from == as {
		return true
	}
	switch as {
	case feature.KindFloat32, feature.KindFloat64:
		return from != feature.KindString && from != feature.KindBytes
	case feature.KindInt64:
		return from == feature.KindInt32 || from == feature.KindBool || from == feature.KindTimestamp
	case feature.KindInt32:
		return from == feature.KindBool
	case feature.KindBytes:
		return from == feature.KindString
	default:
		return false
	}
}

// settleKinds chooses the kinds of tensors that were left open, and checks the
// others.
func (m *Model) settleKinds() error {
	var faults []error
	if m.Layout == Stacked && m.TensorKind == feature.KindInvalid {
		m.TensorKind = m.smallestKind()
	}
	for i := range m.Inputs {
		p := &m.Inputs[i]
		if m.Layout == Stacked {
			p.As = m.TensorKind
		}
		p.As = cmp.Or(p.As, p.Type.Kind)
		if _, known := datatypes[p.As]; !known || !sendable(p.Type.Kind, p.As) {
			faults = append(faults, fmt.Errorf("input %q is %s, which a tensor of %s cannot hold", p.Name, p.Type, p.As))
		}
	}
	return errors.Join(faults...)
}

// smallestKind is the first kind that holds all inputs; float32 only if they all
// are, because it rounds the others.
func (m *Model) smallestKind() feature.Kind {
	for _, k := range []feature.Kind{
		feature.KindBool, feature.KindInt32, feature.KindInt64, feature.KindString, feature.KindBytes,
	} {
		if !slices.ContainsFunc(m.Inputs, func(p Port) bool { return !sendable(p.Type.Kind, k) }) {
			return k
		}
	}
	if !slices.ContainsFunc(m.Inputs, func(p Port) bool { return p.Type.Kind != feature.KindFloat32 }) {
		return feature.KindFloat32
	}
	return feature.KindFloat64
}

// stackWidth is the number of values in a row of the stacked tensor.
func (m *Model) stackWidth() int {
	n := 0
	for i := range m.Inputs {
		n += m.Inputs[i].width()
	}
	return n
}
