package feature

import "time"

// Tensors says how the inputs of a model are sent to its server.
type Tensors uint8

// The ways.
const (
	TensorsNamed   Tensors = iota // one tensor per input, of its feature's name
	TensorsStacked                // one tensor of a row per entity and a column per input
)

// ModelErrorPolicy says what is served when no prediction can be computed.
type ModelErrorPolicy uint8

// The policies.
const (
	ModelErrorNull      ModelErrorPolicy = iota // null, with status ERROR
	ModelErrorLastValue                         // the stored prediction, however old, if there is one
	ModelErrorFail                              // the request fails
)

// FingerprintMode says what a stored prediction remembers of its inputs.
type FingerprintMode uint8

// The modes.
const (
	FingerprintState  FingerprintMode = iota // the stored state that they were made of
	FingerprintValues                        // their values
)

// Model is a model server's function over features. Its outputs are served like
// features; a prediction is stored for each key of Entity, unless Cache is off.
type Model struct {
	Meta
	Name          string
	Version       string // "" without an endpoint
	Endpoint      string // base URL of the server, without a slash at its end; "" when clients write predictions
	Tensors       Tensors
	TensorName    string // of the one tensor that is stacked
	Entity        string
	Inputs        []FeatureRef // of views and on-demand views; As and Keys are empty
	Outputs       []ModelOutput
	Cache         bool          // predictions are stored
	MaxAge        time.Duration // how old a fresh prediction is at most; 0 any age
	ServeStaleFor time.Duration // for how long after that it is still served while a new one is computed
	Debounce      time.Duration // at most one refresh on write per key and interval; 0 is none
	Timeout       time.Duration // of one call of the server
	MaxBatch      int           // keys in one call at most
	OnError       ModelErrorPolicy
	Fingerprint   FingerprintMode

	RefreshOnRead        bool
	RefreshOnWrite       bool
	ServePreviousVersion bool // until one of Version is computed

	Revision uint16 // of what is stored of a prediction; given by apply, 1 before
}

// ModelOutput is one value that a model answers.
type ModelOutput struct {
	Name     string
	Type     Type
	AllowNaN bool       // NaN is a value that is stored; otherwise it is a bad answer
	As       FeatureRef // the zero one, or the name in a view under which it is also served
}

// Refreshes reports whether Millrace computes predictions of m by itself.
func (m *Model) Refreshes() bool { return m.RefreshOnRead || m.RefreshOnWrite }

// StoredName names the model's predictions in tables. Names of views and models
// are unique, over all versions of a catalog.
func (m *Model) StoredName() string { return StoredName(m.Name, 1) }

// Model returns the model of that name, or nil.
func (c *Catalog) Model(name string) *Model {
	return find(c.Models, func(m *Model) bool { return m.Name == name })
}

// Output returns the model and the index of the output that ref asks for: by the
// model's own name, fraud:score, or by the name that the output has in a view,
// driver_trips:fraud_score. Without one it returns nil and -1.
func (c *Catalog) Output(ref FeatureRef) (*Model, int) {
	if m := c.Model(ref.View); m != nil {
		for i := range m.Outputs {
			if m.Outputs[i].Name == ref.Feature {
				return m, i
			}
		}
		return nil, -1
	}
	for _, m := range c.Models {
		for i := range m.Outputs {
			if as := &m.Outputs[i].As; as.View != "" && as.View == ref.View && as.Feature == ref.Feature {
				return m, i
			}
		}
	}
	return nil, -1
}

// LentTo lists the names that outputs of models have in a view, in definition
// order. They are no features of it.
func (c *Catalog) LentTo(view string) []string {
	var names []string
	for _, m := range c.Models {
		for i := range m.Outputs {
			if as := &m.Outputs[i].As; view != "" && as.View == view {
				names = append(names, as.Feature)
			}
		}
	}
	return names
}

// AskedNames lists everything that a read may name: views and on-demand views,
// then models, in definition order.
func (c *Catalog) AskedNames() []string {
	names := c.ViewNames()
	for _, m := range c.Models {
		names = append(names, m.Name)
	}
	return names
}
