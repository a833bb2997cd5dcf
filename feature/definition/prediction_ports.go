package definition

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"millrace/feature"
	"millrace/transforms"
)

// inputs resolves what a model takes.
func (b *builder) inputs(f loadedFile, d *modelDef, m *feature.Model, e *feature.Entity, path string) {
	if len(d.Inputs) == 0 && m.Endpoint != "" {
		f.at(path+".inputs", -1, fmt.Sprintf("model %s has no inputs", d.Name), "list features: [driver_trips:last_fare, quote:expected_fare]")
	}
	var stacked transforms.Tensor
	tensors := make(map[string]string) // name -> input
	for i, text := range d.Inputs {
		at := fmt.Sprintf("%s.inputs[%d]", path, i)
		if slices.Contains(d.Inputs[:i], text) {
			f.at(at, 0, fmt.Sprintf("model %s takes %s twice", d.Name, text), "remove one of the two")
			continue
		}
		ref, x := b.input(f, text, e, at)
		if x == nil {
			continue
		}
		m.Inputs = append(m.Inputs, ref)
		if !f.bad[path+".cache"] {
			b.requestData(f, m, ref, at)
		}
		t, ok := b.tensor(f, "input "+text, x.Type, at)
		switch {
		case !ok:
		case m.Tensors == feature.TensorsStacked:
			b.stack(f, text, t, &stacked, at)
		case tensors[ref.Feature] != "":
			f.at(at, 0, fmt.Sprintf("inputs %s and %s both make a tensor named %s", tensors[ref.Feature], text, ref.Feature),
				"write tensors: stacked, or give one another name in an on-demand view")
		default:
			tensors[ref.Feature] = text
		}
	}
}

// stack checks that an input fits those before it.
func (b *builder) stack(f loadedFile, text string, t transforms.Tensor, first *transforms.Tensor, at string) {
	switch {
	case len(t.Dims) != 1 || t.Dims[0] != 1:
		f.at(at, 0, fmt.Sprintf("input %s is a list, and a stacked tensor has one column per input", text), "write tensors: named")
	case first.Datatype == "":
		*first = t
	case first.Datatype != t.Datatype:
		f.at(at, 0, fmt.Sprintf("input %s makes a tensor of %s, and those before it are stacked as %s", text, t.Datatype, first.Datatype),
			"cast it in a view, or write tensors: named")
	}
}

// tensor is the layout of values of a type; false where there is none, or the
// type is not known.
func (b *builder) tensor(f loadedFile, what string, t feature.Type, at string) (transforms.Tensor, bool) {
	if t.Kind == feature.KindInvalid {
		return transforms.Tensor{}, false
	}
	layout, err := transforms.TensorOf(t)
	if err != nil {
		message, hint, _ := strings.Cut(err.Error(), ": ")
		f.at(at, 0, what+": "+message, hint)
	}
	return layout, err == nil
}

var errInput = errors.New("not view:feature")

func splitRef(text string) (view, name string, err error) {
	view, name, found := strings.Cut(text, ":")
	if !found || !identifier.MatchString(view) || !identifier.MatchString(name) {
		return "", "", errInput
	}
	return view, name, nil
}

// input finds the feature that an input names; nil if there is none. Of what is
// in doubt the type is not known.
func (b *builder) input(f loadedFile, text string, e *feature.Entity, at string) (feature.FeatureRef, *feature.Feature) {
	ref := feature.FeatureRef{}
	view, name, err := splitRef(text)
	if err != nil {
		f.at(at, 0, fmt.Sprintf("input %q is not of the form view:feature", text), "write driver_trips:last_fare; a model takes its inputs in the order in which they are listed")
		return ref, nil
	}
	v := b.served(view)
	if v == nil {
		b.unknownInput(f, view, at)
		return ref, nil
	}
	ref = feature.FeatureRef{View: view, Feature: name}
	all := featureNames(v)
	i := slices.Index(all, name)
	switch {
	case i < 0 && b.also[text] != "":
		f.at(at, 0, fmt.Sprintf("input %s is the output %s, and models do not take outputs of models", text, b.also[text]), "name features of views")
		return ref, nil
	case i < 0 && (slices.Contains(all, "") || b.viewDoubts[view].covers("") && b.viewDoubts[view] != nil):
		return ref, nil // which there are is not known, and was said
	case i < 0:
		f.at(at, len(view)+1, fmt.Sprintf("view %s has no feature %s", view, name), didYouMean(name, all))
		return ref, nil
	}
	b.inputEntity(f, text, v, e, at)
	x := v.Features[i]
	if doubt := b.viewDoubts[view]; doubt != nil && doubt.covers(name) {
		x.Type = feature.Type{}
	}
	return ref, &x
}

func (b *builder) unknownInput(f loadedFile, name, at string) {
	k := b.project.Catalog
	all := k.ViewNames()
	s := k.Source(name)
	switch {
	case s != nil && s.Kind == feature.SourceRequest:
		f.at(at, 0, name+" is a source of request data, not a view", "make an on-demand view of its fields, and write cache: none")
	case s != nil:
		f.at(at, 0, name+" is a source, not a view", "name a view of it")
	case b.isModel(name):
		f.at(at, 0, name+" is a model, and models do not take outputs of models", "name features of views")
	case b.sure("views", all) && b.sure("on_demand_views", all):
		f.at(at, 0, "unknown view "+name, didYouMean(name, all))
	}
}

func (b *builder) isModel(name string) bool {
	return slices.ContainsFunc(b.files, func(f loadedFile) bool {
		return slices.ContainsFunc(f.def.Models, func(d modelDef) bool { return d.Name == name })
	})
}

// inputEntity: the keys of a model's entity must say which row of an input is
// meant, because a prediction is stored under them alone.
func (b *builder) inputEntity(f loadedFile, text string, v *feature.View, e *feature.Entity, at string) {
	of := b.project.Catalog.Entity(v.Entity)
	if e == nil || of == nil || of == e {
		return
	}
	for _, key := range of.JoinKeys {
		known := slices.ContainsFunc(e.JoinKeys, func(j feature.Field) bool {
			unsure := j.Name == "" || j.Type.Kind == feature.KindInvalid || key.Type.Kind == feature.KindInvalid
			return j == key || unsure && (j.Name == "" || j.Name == key.Name)
		})
		if key.Name != "" && !known {
			f.at(at, 0, fmt.Sprintf("input %s is of entity %s, whose join key %s entity %s does not have", text, of.Name, key.Name, e.Name),
				"make an entity with the join keys of both, and the model one of it: a prediction is stored by the keys of its entity alone")
			return
		}
	}
}

// requestData refuses to store what is made of a request.
func (b *builder) requestData(f loadedFile, m *feature.Model, ref feature.FeatureRef, at string) {
	plan := b.project.OnDemand[ref.View]
	if !m.Cache || plan == nil {
		return
	}
	for _, in := range plan.InputsOf(ref.Feature) {
		if in.Kind == transforms.InputRequest {
			f.at(at, 0, fmt.Sprintf("input %s:%s is made of request data (%s), and a stored prediction would be served to other requests", ref.View, ref.Feature, in),
				"write cache: none, or leave the input out")
			return
		}
	}
}

// hiddenOutputs are the names of what is stored beside outputs.
var hiddenOutputs = []string{transforms.PredictionVersion, transforms.PredictionFingerprint, transforms.PredictionCatalog, transforms.PredictionBy}

// outputs reads what a model answers.
func (b *builder) outputs(f loadedFile, d *modelDef, m *feature.Model, e *feature.Entity, path string) {
	for i := range d.Outputs {
		x, at := &d.Outputs[i], fmt.Sprintf("%s.outputs[%d]", path, i)
		b.column(f, at, x.Name, "give the output another name")
		switch {
		case x.Name == "":
		case slices.ContainsFunc(m.Outputs, func(o feature.ModelOutput) bool { return o.Name == x.Name }):
			f.at(at+".name", 0, fmt.Sprintf("model %s has output %s twice", d.Name, x.Name), "remove one of the two, or rename it")
		case slices.Contains(hiddenOutputs, x.Name):
			f.at(at+".name", 0, fmt.Sprintf("output %s has the name of what is stored beside the outputs", x.Name), "give the output another name")
		case x.Name == pushedEventTime:
			f.at(at+".name", 0, fmt.Sprintf("output %s has the name of the time that rows carry", x.Name), "give the output another name")
		case e != nil && slices.ContainsFunc(e.JoinKeys, func(j feature.Field) bool { return j.Name == x.Name }):
			f.at(at+".name", 0, fmt.Sprintf("output %s has the name of a join key of entity %s", x.Name, e.Name), "give the output another name")
		}
		out := feature.ModelOutput{Name: x.Name, Type: b.typ(f, at, x.Type, x.Length), AllowNaN: x.AllowNaN}
		if f.nodes[at+".length"] == nil || out.Type.Length > 0 { // one that is wrong was said
			b.tensor(f, "output "+x.Name, out.Type, at+".type")
		}
		if k := out.Type.Kind; x.AllowNaN && k != feature.KindInvalid && k != feature.KindFloat32 && k != feature.KindFloat64 {
			f.at(at+".allow_nan", 0, fmt.Sprintf("allow_nan is for floats, and output %s is %s", x.Name, out.Type), "remove it")
		}
		if f.nodes[at+".as"] != nil {
			out.As = b.outputAs(f, d, x, e, at+".as")
		}
		m.Outputs = append(m.Outputs, out)
	}
	if len(d.Outputs) == 0 {
		f.at(path+".outputs", -1, fmt.Sprintf("model %s has no outputs", d.Name), "list at least one: {name: score, type: float64}")
	}
}

// outputAs is the name in a view under which an output is also served. Nothing
// else may have it there: an answer, a row and a write could not say which.
func (b *builder) outputAs(f loadedFile, d *modelDef, x *outputDef, e *feature.Entity, at string) feature.FeatureRef {
	view, name, err := splitRef(x.As)
	if err != nil {
		f.refuse(at, 0, fmt.Sprintf("%q is not of the form view:name", x.As), "write as: driver_trips:"+x.Name)
		return feature.FeatureRef{}
	}
	k := b.project.Catalog
	v := k.View(view)
	all := namesOf(k.Views, func(v *feature.View) string { return v.Name })
	switch {
	case v == nil && k.OnDemandView(view) != nil:
		f.refuse(at, 0, view+" is an on-demand view, of which nothing is stored", "name a view")
		return feature.FeatureRef{}
	case v == nil:
		if b.sure("views", all) {
			f.refuse(at, 0, "unknown view "+view, didYouMean(view, all))
		}
		return feature.FeatureRef{}
	case e != nil && k.Entity(v.Entity) != nil && v.Entity != e.Name:
		f.at(at, 0, fmt.Sprintf("view %s is of entity %s, and predictions of model %s are of %s", view, v.Entity, d.Name, e.Name), "name a view of "+e.Name)
	}
	b.freeName(f, d, x, v, name, at)
	b.also[x.As] = d.Name + ":" + x.Name
	return feature.FeatureRef{View: view, Feature: name}
}

// freeName refuses a name that something in a view has already.
func (b *builder) freeName(f loadedFile, d *modelDef, x *outputDef, v *feature.View, name, at string) {
	has := func(what string) {
		f.at(at, len(v.Name)+1, fmt.Sprintf("%s has the name of %s", x.As, what), "give it another name: as: "+v.Name+":"+d.Name+"_"+x.Name)
	}
	e, src := b.project.Catalog.Entity(v.Entity), b.project.Catalog.Source(v.Source)
	switch {
	case b.also[x.As] != "":
		has("output " + b.also[x.As])
	case slices.Contains(featureNames(v), name):
		has("a feature of the view")
	case name == pushedEventTime:
		has("the time that rows carry")
	case e != nil && slices.ContainsFunc(e.JoinKeys, func(j feature.Field) bool { return j.Name == name }):
		has("a join key of entity " + e.Name)
	case src != nil && slices.Contains(fieldNames(src), name):
		has("a field of source " + src.Name + ", so that a write of it could mean both")
	}
}
