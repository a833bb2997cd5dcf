package definition

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"millrace/feature"
)

// service builds a service; a view alone means all of its features.
func (b *builder) service(f loadedFile, d *serviceDef, path string) {
	b.name(f, path, d.Name, "service", "service ")
	s := &feature.Service{Meta: d.meta(), Name: d.Name}
	served := make(map[string]bool)
	meant := make(map[string]feature.FeatureRef)
	for i := range d.Features {
		at := fmt.Sprintf("%s.features[%d]", path, i)
		refs := b.refs(f, &d.Features[i], at)
		if len(refs) == 0 || !b.sameMeaning(f, d, meant, refs[0], at) {
			continue
		}
		for _, ref := range refs {
			name := answerName(ref) + ":" + ref.Feature
			if served[name] {
				f.at(at, 0, fmt.Sprintf("service %s serves %s twice", d.Name, name), "remove one of the two")
			}
			served[name] = true
			s.Features = append(s.Features, ref)
		}
	}
	if len(d.Features) == 0 {
		f.at(path+".features", 0, fmt.Sprintf("service %s serves nothing", d.Name), "list views or view:feature")
	}
	b.project.Catalog.Services = append(b.project.Catalog.Services, s)
}

// answerName is how answers call the view of a feature.
func answerName(ref feature.FeatureRef) string {
	if ref.As != "" {
		return ref.As
	}
	return ref.View
}

// sameMeaning refuses one name, in one service, for two views or for one view
// under two keys: an answer could not say which.
func (b *builder) sameMeaning(f loadedFile, d *serviceDef, meant map[string]feature.FeatureRef, ref feature.FeatureRef, at string) bool {
	name := answerName(ref)
	other, known := meant[name]
	if !known {
		meant[name] = ref
	}
	if !known || other.View == ref.View && maps.Equal(renamed(other.Keys), renamed(ref.Keys)) {
		return true
	}
	what := "two views, " + other.View + " and " + ref.View
	if other.View == ref.View {
		what = b.kindOf(ref.View) + " " + ref.View + " under different keys"
	}
	f.at(at, 0, fmt.Sprintf("service %s uses the name %s for %s", d.Name, name, what), "give one of the two another name with as:")
	return false
}

func (b *builder) kindOf(view string) string {
	if b.project.Catalog.Model(view) != nil {
		return "model"
	}
	return "view"
}

// renamed is keys without those that have the name of their join key, which is
// what they have anyway.
func renamed(keys map[string]string) map[string]string {
	keys = maps.Clone(keys)
	maps.DeleteFunc(keys, func(key, column string) bool { return key == column })
	return keys
}

// refs lists the features that one entry of a service stands for.
func (b *builder) refs(f loadedFile, d *refDef, at string) []feature.FeatureRef {
	view, wanted, place := d.View, d.Features, at+".view"
	if d.Short != "" {
		name, one, single := strings.Cut(d.Short, ":")
		view, place = name, at
		if single {
			wanted = []string{one}
		}
	}
	if view == "" {
		if f.nodes[at] != nil && !f.doubtful(at) {
			f.at(at, -1, "the entry names no view", "write view, view:feature or {view: …, features: […]}")
		}
		return nil
	}
	v := b.asked(view)
	if v == nil {
		b.unknownView(f, view, place)
		return nil
	}
	b.refKeys(f, d, v, at)
	if d.As != "" && !identifier.MatchString(d.As) {
		f.at(at+".as", 0, fmt.Sprintf("%q cannot be a name", d.As), "use letters, digits and underscores, not starting with a digit")
	}
	return b.refFeatures(f, d, v, wanted, at)
}

// served is the view of that name; of an on-demand view, what services need to
// know. It is nil when there is neither.
func (b *builder) served(name string) *feature.View {
	k := b.project.Catalog
	if v := k.View(name); v != nil {
		return v
	}
	if v := k.OnDemandView(name); v != nil {
		return &feature.View{Name: v.Name, Entity: v.Entity, Features: v.Features}
	}
	return nil
}

// asked is served, and models, whose outputs are asked for like features.
func (b *builder) asked(name string) *feature.View {
	m := b.project.Catalog.Model(name)
	if m == nil {
		return b.served(name)
	}
	v := &feature.View{Name: m.Name, Entity: m.Entity, Features: make([]feature.Feature, len(m.Outputs))}
	for i := range m.Outputs {
		v.Features[i].Name = m.Outputs[i].Name
	}
	return v
}

func (b *builder) unknownView(f loadedFile, view, at string) {
	k := b.project.Catalog
	all := k.AskedNames()
	switch {
	case k.Source(view) != nil:
		f.at(at, 0, view+" is a source, not a view", "services serve views")
	case b.sure("views", all) && b.sure("on_demand_views", all) && b.sure("models", all):
		f.at(at, 0, "unknown view "+view, didYouMean(view, all))
	}
}

// refFeatures are the features that are wanted of a view, all of its own when
// none is named. Outputs that have another name in the view are asked for by it.
func (b *builder) refFeatures(f loadedFile, d *refDef, v *feature.View, wanted []string, at string) []feature.FeatureRef {
	own := featureNames(v)
	if len(wanted) == 0 {
		wanted = own
	}
	if len(own) == 0 || slices.Contains(own, "") || anyTwice(own) {
		return nil // which there are is not known, and was said
	}
	all := slices.Concat(own, b.project.Catalog.LentTo(v.Name))
	var refs []feature.FeatureRef
	for i, name := range wanted {
		if slices.Contains(all, name) {
			refs = append(refs, feature.FeatureRef{View: v.Name, Feature: name, As: d.As, Keys: d.Keys})
			continue
		}
		place, offset := fmt.Sprintf("%s.features[%d]", at, i), 0
		if d.Short != "" {
			place, offset = at, len(v.Name)+1
		}
		switch {
		case b.project.Catalog.Model(v.Name) != nil:
			f.at(place, offset, fmt.Sprintf("model %s has no output %s", v.Name, name), didYouMean(name, all))
		case !b.lentInDoubt():
			f.at(place, offset, fmt.Sprintf("view %s has no feature %s", v.Name, name), didYouMean(name, all))
		}
	}
	return refs
}

// lentInDoubt reports whether errors in models hide names that outputs have in
// views.
func (b *builder) lentInDoubt() bool {
	return b.partial || slices.ContainsFunc(b.files, func(f loadedFile) bool {
		for i := range f.def.Models {
			if f.doubtful(fmt.Sprintf("models[%d].outputs", i)) {
				return true
			}
		}
		return f.bad["models"]
	})
}

func (b *builder) refKeys(f loadedFile, d *refDef, v *feature.View, at string) {
	e := b.project.Catalog.Entity(v.Entity)
	if e == nil {
		return
	}
	all, sure := joinKeys(e)
	for _, key := range sortedKeys(d.Keys) {
		if known := slices.Contains(all, key); !known && sure {
			f.atKey(at+".keys", key, fmt.Sprintf("entity %s has no join key %s", v.Entity, key), didYouMean(key, all))
		} else if column := d.Keys[key]; !identifier.MatchString(column) {
			f.at(at+".keys."+key, 0, fmt.Sprintf("%q cannot be the name of a request's column", column), "use letters, digits and underscores, not starting with a digit")
		}
	}
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// joinKeys lists an entity's join keys, and reports whether these are all:
// errors in its definition hide some.
func joinKeys(e *feature.Entity) (all []string, sure bool) {
	for _, j := range e.JoinKeys {
		all = append(all, j.Name)
	}
	return all, len(all) > 0 && !slices.Contains(all, "")
}

func anyTwice(names []string) bool {
	return len(slices.Compact(slices.Sorted(slices.Values(names)))) < len(names)
}
