package push

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/valyala/fastjson"

	"millrace/feature"
	"millrace/serving"
	"millrace/transforms"
)

// PredictionStore keeps predictions that clients write. It is safe for
// concurrent use.
type PredictionStore interface {
	serving.PredictionWriter
	// Check appends rows that WriteRows would refuse to rows.Rejects, with their
	// origins. It does not block.
	Check(rows *feature.Rows)
}

// RowDecoder reads finished rows into columns. It belongs to one goroutine.
type RowDecoder interface {
	// Decode appends rows to dst, or why one is none to dst.Rejects. An origin's
	// Record is the index among rows, its event time the member
	// feature.EventTimestamp or else the row's Millis.
	Decode(ctx context.Context, dst *feature.Batch, rows []Row) error
}

// NewDecoder makes a decoder for batches of keys and then columns, which are
// members of a row's object by name.
type NewDecoder func(keys []feature.Field, columns []feature.SourceField) (RowDecoder, error)

// predictionForm is a way to write predictions of one model: on its name, or on
// a view in which outputs have `as` names.
type predictionForm struct {
	plan    *transforms.ModelPlan
	view    string   // "" on the model's name
	columns []string // parallel to the outputs: what each is called in rows; "" where the view has no name for it
	form    form
	layout  []feature.Field // of decoded rows: join keys, then outputs
	calls   sync.Pool       // *predictionCall
}

// created is the column that Feast's clients send beside the event time.
const created = "created"

// takePredictions prepares the ways in which predictions are written.
func (s *Service) takePredictions(with *Settings) error {
	if len(with.Models) == 0 {
		return nil
	}
	if with.Predictions == nil || with.NewDecoder == nil {
		return errors.New("take predictions: a part is missing in the settings")
	}
	s.store = with.Predictions
	s.models, s.also = make(map[string]*predictionForm), make(map[string][]*predictionForm)
	for _, m := range s.catalog.Models {
		plan := with.Models[m.Name]
		if plan == nil {
			continue
		}
		f, err := newPredictionForm(plan, "", nil, with.NewDecoder)
		if err != nil {
			return err
		}
		s.models[m.Name] = f
		for _, v := range s.catalog.Views {
			if !slices.ContainsFunc(m.Outputs, func(o feature.ModelOutput) bool { return o.As.View == v.Name }) {
				continue
			}
			f, err := newPredictionForm(plan, v.Name, s.catalog.Source(v.Source), with.NewDecoder)
			if err != nil {
				return err
			}
			s.also[v.Name] = append(s.also[v.Name], f)
			s.also[v.Source] = append(s.also[v.Source], f)
		}
	}
	return nil
}

func newPredictionForm(p *transforms.ModelPlan, view string, src *feature.Source, decoder NewDecoder) (*predictionForm, error) {
	f := &predictionForm{plan: p, view: view, layout: slices.Clone(p.Entity.JoinKeys)}
	f.form = form{time: feature.EventTimestamp, fields: make(map[string]field), stores: true}
	for _, k := range p.Entity.JoinKeys {
		f.form.fields[k.Name] = field{k.Type, 0}
		f.form.needs = append(f.form.needs, k.Name)
	}
	columns := make([]feature.SourceField, len(p.Model.Outputs))
	for i, out := range p.Model.Outputs {
		name := out.Name
		if view != "" {
			name = ""
			if out.As.View == view {
				name = out.As.Feature
			}
		}
		f.columns = append(f.columns, name)
		columns[i].Name, columns[i].Type = name, out.Type
		if name != "" {
			f.form.fields[name] = field{out.Type, 0}
			f.form.needs = append(f.form.needs, name)
		}
	}
	if src != nil {
		if _, taken := f.form.fields[src.EventTime]; !taken && src.EventTime != f.form.time {
			f.form.alias = src.EventTime
		}
	}
	f.form.fields[f.form.time] = field{feature.Of(feature.KindTimestamp), 0}
	for _, c := range columns {
		f.layout = append(f.layout, c.Field)
	}
	if !f.whole() {
		return f, nil // it takes no rows
	}
	first, err := decoder(p.Entity.JoinKeys, columns)
	if err != nil {
		return nil, err //nolint:wrapcheck // says already what
	}
	f.calls.Put(&predictionCall{decoder: first})
	f.calls.New = func() any {
		d, _ := decoder(p.Entity.JoinKeys, columns) // the first one was made
		return &predictionCall{decoder: d}
	}
	return f, nil
}

func (s *Service) modelNames() []string { return slices.Sorted(maps.Keys(s.models)) }

// predictionForm finds whether a request writes predictions, and how: it names
// a model, or rows of it name `as` columns of one; nil if it does not. Of an
// empty request to a view that takes nothing else it is the first there is.
func (s *Service) predictionForm(req *serving.PushRequest) *predictionForm {
	if f := s.models[req.Source]; f != nil && (req.View == "" || req.View == req.Source) {
		return f
	}
	name := req.Source
	if req.View != "" {
		if f := s.models[req.View]; f != nil && req.Source == "" {
			return f
		}
		v := s.catalog.View(req.View)
		if v == nil || req.Source != "" && req.Source != v.Source {
			return nil
		}
		name = req.View
	}
	forms := s.also[name]
	if len(forms) == 0 {
		return nil
	}
	if len(req.Rows) == 0 {
		if src := s.sourceOf(forms[0].view); src == nil || !src.Pushed {
			return forms[0]
		}
		return nil
	}
	return firstNamed(forms, req.Rows)
}

func (s *Service) sourceOf(view string) *feature.Source {
	return s.catalog.Source(s.catalog.View(view).Source)
}

// firstNamed is the first of forms of which a row, the first that does, names an
// output; nil if none does.
func firstNamed(forms []*predictionForm, rows [][]byte) *predictionForm {
	parser, _ := parsers.Get().(*fastjson.Parser)
	defer parsers.Put(parser)
	for _, text := range rows {
		if !mayName(forms, text) {
			continue
		}
		v, err := parser.ParseBytes(text)
		if err != nil || v.Type() != fastjson.TypeObject {
			continue
		}
		if i := slices.IndexFunc(forms, func(f *predictionForm) bool { return f.namedBy(v.GetObject()) }); i >= 0 {
			return forms[i]
		}
	}
	return nil
}

// mayName spares rows without an output's name from being parsed for it. With a
// backslash a name may be written in another way.
func mayName(forms []*predictionForm, text []byte) bool {
	return bytes.IndexByte(text, '\\') >= 0 || slices.ContainsFunc(forms, func(f *predictionForm) bool {
		return slices.ContainsFunc(f.columns, func(name string) bool { return name != "" && bytes.Contains(text, []byte(name)) })
	})
}

// namedBy reports whether o has an output of the form.
func (f *predictionForm) namedBy(o *fastjson.Object) bool {
	return slices.ContainsFunc(f.columns, func(name string) bool { return name != "" && o.Get(name) != nil })
}

// whole reports whether every output has a name here.
func (f *predictionForm) whole() bool { return !slices.Contains(f.columns, "") }

// names lists the outputs' names here.
func (f *predictionForm) names() []string {
	return slices.DeleteFunc(slices.Clone(f.columns), func(name string) bool { return name == "" })
}
