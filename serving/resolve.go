package serving

import (
	"fmt"
	"slices"
	"strings"

	"millrace/feature"
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
		v := s.catalog.View(view)
		if v == nil {
			fault = fault.with(CodeUnknownView, s.unknownView(i, view))
			continue
		}
		if one {
			at := featureIndex(v, feat)
			if at < 0 {
				fault = fault.with(CodeUnknownFeature, unknownFeature(i, v, feat))
				continue
			}
			refs = append(refs, feature.FeatureRef{View: v.Name, Feature: v.Features[at].Name})
			continue
		}
		for k := range v.Features {
			refs = append(refs, feature.FeatureRef{View: v.Name, Feature: v.Features[k].Name})
		}
	}
	if fault != nil {
		return nil, fault
	}
	return refs, nil
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
	known := make([]string, len(s.catalog.Views))
	for k, v := range s.catalog.Views {
		known[k] = v.Name
	}
	return Detail{
		Field: fmt.Sprintf("features[%d]", i), Name: strings.Clone(name),
		Message: "there is no view " + Shown(name), Suggestion: Nearest(name, known),
	}
}

func unknownFeature(i int, v *feature.View, name string) Detail {
	known := make([]string, len(v.Features))
	for k := range v.Features {
		known[k] = v.Features[k].Name
	}
	d := Detail{
		Field: fmt.Sprintf("features[%d]", i), Name: strings.Clone(name),
		Message: fmt.Sprintf("view %s has no feature %s", v.Name, Shown(name)),
	}
	if near := Nearest(name, known); near != "" {
		d.Suggestion = v.Name + ":" + near
	}
	return d
}

func featureIndex(v *feature.View, name string) int {
	return slices.IndexFunc(v.Features, func(f feature.Feature) bool { return f.Name == name })
}
