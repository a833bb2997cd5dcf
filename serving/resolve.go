package serving

import (
	"fmt"
	"slices"
	"strings"

	"millrace/feature"
	"millrace/transforms"
)

// maxDetails bounds how many faults of a request are listed.
const maxDetails = 10

// resolve turns names of features into references, or lists the unknown ones.
// References carry the catalog's strings: those of names are the caller's.
func (s *snapshot) resolve(names []string) ([]feature.FeatureRef, *Error) {
	refs := make([]feature.FeatureRef, 0, len(names))
	var fault *Error
	for i, name := range names {
		view, feat, one := strings.Cut(name, ":")
		v, ok := s.served(view)
		if !ok {
			fault = fault.with(CodeUnknownView, s.unknownView(i, view))
			continue
		}
		if one {
			at := indexOf(v.features, feat)
			if model, output := s.Catalog.Output(feature.FeatureRef{View: view, Feature: feat}); at < 0 && model != nil {
				as := model.Outputs[output].As
				refs = append(refs, feature.FeatureRef{View: as.View, Feature: as.Feature})
				continue
			}
			if at < 0 {
				fault = fault.with(CodeUnknownFeature, s.unknownFeature(i, v, feat))
				continue
			}
			refs = append(refs, feature.FeatureRef{View: v.name, Feature: v.features[at].Name})
			continue
		}
		for k := range v.features {
			refs = append(refs, feature.FeatureRef{View: v.name, Feature: v.features[k].Name})
		}
	}
	if fault != nil {
		return nil, fault
	}
	return refs, nil
}

// served is what features are asked of: a view, an on-demand view, or a model.
type served struct {
	name, entity string
	features     []feature.Feature
	view         *feature.View            // nil unless it is one
	onDemand     *transforms.OnDemandPlan // nil unless it is one
}

func (s *snapshot) served(name string) (served, bool) {
	if v := s.Catalog.View(name); v != nil {
		return served{name: v.Name, entity: v.Entity, features: v.Features, view: v}, true
	}
	if v := s.Catalog.OnDemandView(name); v != nil {
		return served{name: v.Name, entity: v.Entity, features: v.Features, onDemand: s.OnDemand[v.Name]}, true
	}
	if m := s.Models[name]; m != nil {
		return served{name: m.Model.Name, entity: m.Model.Entity, features: m.View.Features}, true
	}
	return served{}, false
}

// with adds a fault; the first one decides the code and message.
func (e *Error) with(code Code, d Detail) *Error {
	if e == nil {
		e = &Error{Code: code, Message: d.Message}
	}
	if len(e.Details) < maxDetails {
		e.Details = append(e.Details, d)
	}
	return e
}

func (s *snapshot) unknownView(i int, name string) Detail {
	return Detail{
		Field: fmt.Sprintf("features[%d]", i), Name: strings.Clone(name),
		Message: "there is no view " + Shown(name), Suggestion: Nearest(name, s.Catalog.AskedNames()),
	}
}

func (s *snapshot) unknownFeature(i int, v served, name string) Detail {
	known := make([]string, 0, len(v.features))
	for k := range v.features {
		known = append(known, v.features[k].Name)
	}
	known = append(known, s.Catalog.LentTo(v.name)...)
	d := Detail{
		Field: fmt.Sprintf("features[%d]", i), Name: strings.Clone(name),
		Message: fmt.Sprintf("view %s has no feature %s", v.name, Shown(name)),
	}
	if near := Nearest(name, known); near != "" {
		d.Suggestion = v.name + ":" + near
	}
	return d
}

func featureIndex(v *feature.View, name string) int { return indexOf(v.Features, name) }

func indexOf(features []feature.Feature, name string) int {
	return slices.IndexFunc(features, func(f feature.Feature) bool { return f.Name == name })
}
