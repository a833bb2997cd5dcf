package definition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"millrace/feature"
	"millrace/transforms"
)

func (b *builder) onDemandView(f loadedFile, d *onDemandDef, path string) {
	b.name(f, path, d.Name, "on-demand view", "")
	k := b.project.Catalog
	v := &feature.OnDemandView{Meta: d.meta(), Name: d.Name, Sources: d.Sources}
	from := b.onDemandSources(f, d, path)
	e := b.onDemandEntity(f, d, from, path)
	if e != nil {
		v.Entity = e.Name
	}
	features := d.asFeatures()
	shape := &feature.View{Name: d.Name}
	b.features(f, &viewDef{Name: d.Name, Features: features}, shape, e, path)
	v.Features = shape.Features
	k.OnDemandViews = append(k.OnDemandViews, v)
	b.compileOnDemand(f, v, from, path)
	for i := range features {
		if at := fmt.Sprintf("%s.features[%d]", path, i); v.Features[i].Type.Kind != feature.KindInvalid && !f.doubtful(at) {
			b.featureDefault(f, &features[i], &v.Features[i], at+".default")
		}
	}
}

// asFeatures is the features as those of a view are written.
func (d *onDemandDef) asFeatures() []featureDef {
	all := make([]featureDef, len(d.Features))
	for i, x := range d.Features {
		all[i] = featureDef{metaDef: x.metaDef, Name: x.Name, Expr: x.Expr, Type: x.Type, Length: x.Length, At: x.At, Default: x.Default}
	}
	return all
}

// onDemandFrom is what an on-demand view is computed from.
type onDemandFrom struct {
	views    []*feature.View
	at       []string // parallel to views: where each is named
	requests []*feature.Source
	unsure   bool // some source was refused, so that names of it are not known
}

func (b *builder) onDemandSources(f loadedFile, d *onDemandDef, path string) *onDemandFrom {
	from := &onDemandFrom{unsure: f.doubtful(path + ".sources")}
	for i, name := range d.Sources {
		at := fmt.Sprintf("%s.sources[%d]", path, i)
		if slices.Contains(d.Sources[:i], name) {
			f.at(at, 0, fmt.Sprintf("on-demand view %s names source %s twice", d.Name, name), "remove one of the two")
			continue
		}
		if v := b.project.Catalog.View(name); v != nil && name != "" {
			from.views, from.at = append(from.views, v), append(from.at, at)
			continue
		}
		s := b.project.Catalog.Source(name)
		if s != nil && s.Kind == feature.SourceRequest {
			from.requests = append(from.requests, s)
			continue
		}
		from.unsure = true
		b.refuseSource(f, s, name, at)
	}
	if len(d.Sources) == 0 && !from.unsure {
		f.at(path+".sources", -1, fmt.Sprintf("on-demand view %s has no sources", d.Name), "list views and request sources: [driver_trips, quote_request]")
	}
	return from
}

// refuseSource says why a name is not a source of an on-demand view.
func (b *builder) refuseSource(f loadedFile, s *feature.Source, name, at string) {
	k := b.project.Catalog
	switch {
	case name == "":
	case s != nil:
		fed := namesOf(k.ViewsOf(name), func(v *feature.View) string { return v.Name })
		hint := "name a view or a request source"
		if len(fed) > 0 {
			hint = "name a view that it feeds: " + strings.Join(fed, ", ")
		}
		f.at(at, 0, name+" is a source of records, which do not arrive with a read", hint)
	case b.isOnDemand(name):
		f.at(at, 0, name+" is an on-demand view, which cannot be a source of another", "put the features of both into one on-demand view: they may name each other")
	default:
		all := namesOf(k.Views, func(v *feature.View) string { return v.Name })
		for _, s := range k.Sources {
			if s.Kind == feature.SourceRequest {
				all = append(all, s.Name)
			}
		}
		if b.sure("views", all) && b.sure("sources", all) {
			f.at(at, 0, "unknown view or request source "+name, didYouMean(name, all))
		}
	}
}

func (b *builder) isOnDemand(name string) bool {
	return slices.ContainsFunc(b.files, func(f loadedFile) bool {
		return slices.ContainsFunc(f.def.OnDemandViews, func(d onDemandDef) bool { return d.Name == name })
	})
}

// onDemandEntity is the entity that is named, or that of the views, which must
// agree; nil when there is none or they do not.
func (b *builder) onDemandEntity(f loadedFile, d *onDemandDef, from *onDemandFrom, path string) *feature.Entity {
	k := b.project.Catalog
	e := b.viewEntity(f, &viewDef{Entity: d.Entity}, path)
	if d.Entity == "" && !f.doubtful(path+".entity") {
		for _, v := range from.views {
			if e = k.Entity(v.Entity); e != nil {
				break
			}
		}
		if len(from.views) == 0 && !from.unsure && len(d.Sources) > 0 {
			f.at(path, -1, fmt.Sprintf("on-demand view %s has only request sources, which say nothing of its entity", d.Name), "add entity: NAME")
		}
	}
	agreed := true
	for i, v := range from.views {
		if e != nil && v.Entity != e.Name && k.Entity(v.Entity) != nil {
			f.at(from.at[i], 0, fmt.Sprintf("view %s has features of entity %s, not of %s", v.Name, v.Entity, e.Name),
				"an on-demand view is computed from views of one entity; serve the other view beside it")
			agreed = false
		}
	}
	if !agreed {
		return nil // which one is meant is not known
	}
	return e
}

// compileOnDemand type-checks an on-demand view and places every problem in the
// YAML. What its sources do not tell for sure has no type; features that were
// refused before stand for null.
func (b *builder) compileOnDemand(f loadedFile, v *feature.OnDemandView, from *onDemandFrom, path string) {
	views, requests := b.knownViews(from.views), b.knownRequests(from.requests)
	checked, refused := v, make(map[string]bool)
	for i := range v.Features {
		if at := fmt.Sprintf("features[%d]", i); f.doubtful(path+"."+at) || v.Features[i].Name == "" || v.Features[i].Expr == "" {
			refused[at] = true
		}
	}
	if len(refused) > 0 {
		clone := *v
		clone.Features = slices.Clone(v.Features)
		for i := range clone.Features {
			if refused[fmt.Sprintf("features[%d]", i)] {
				clone.Features[i].Expr = "null"
			}
		}
		checked = &clone
	}
	plan, problems := transforms.CompileOnDemand(checked, views, requests)
	for _, p := range problems {
		if refused[partOf(p.Part)] || b.mayBeKnown(p, from) {
			continue
		}
		at := path + "." + p.Part
		if short, ok := strings.CutSuffix(at, ".expr"); ok && f.nodes[at] == nil {
			at = short + ".name"
		}
		f.at(at, p.Offset, p.Message, cmp.Or(p.Hint, "docs/expressions.md lists what can be written"))
	}
	for i := range v.Features {
		if !refused[fmt.Sprintf("features[%d]", i)] {
			v.Features[i].Type, v.Features[i].At = checked.Features[i].Type, checked.Features[i].At
		}
	}
	if plan != nil && checked == v {
		b.project.OnDemand[v.Name] = plan
	}
}

// mayBeKnown reports whether what a problem calls unknown may be known once
// other errors are corrected.
func (b *builder) mayBeKnown(p transforms.Problem, from *onDemandFrom) bool {
	name, unknown := strings.CutPrefix(p.Message, "unknown name ")
	if !unknown && !strings.HasPrefix(p.Message, "unknown view ") {
		return false
	}
	if from.unsure {
		return true
	}
	source, _, _ := strings.Cut(name, ".")
	for _, v := range from.views {
		if v.Name == source && b.viewDoubts[v.Name].covers("") {
			return true
		}
	}
	return slices.ContainsFunc(from.requests, func(s *feature.Source) bool { d := b.doubts[s.Name]; return d != nil && d.all })
}

// knownViews is views without the types that are in doubt.
func (b *builder) knownViews(views []*feature.View) []*feature.View {
	all := make([]*feature.View, len(views))
	for i, v := range views {
		clone := *v
		clone.Features = slices.Clone(v.Features)
		for n := range clone.Features {
			if b.viewDoubts[v.Name].covers(clone.Features[n].Name) {
				clone.Features[n].Type = feature.Type{}
			}
		}
		all[i] = &clone
	}
	return all
}

func (b *builder) knownRequests(requests []*feature.Source) []*feature.Source {
	all := make([]*feature.Source, len(requests))
	for i, s := range requests {
		clone := *s
		clone.Fields = slices.Clone(s.Fields)
		for n := range clone.Fields {
			if d := b.doubts[s.Name]; d != nil && d.covers(clone.Fields[n].Name) {
				clone.Fields[n].Type = feature.Type{}
			}
		}
		all[i] = &clone
	}
	return all
}
