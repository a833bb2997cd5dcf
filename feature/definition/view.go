package definition

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"millrace/feature"
	"millrace/transforms"
)

func (b *builder) view(f loadedFile, d *viewDef, path string) {
	if !b.name(f, path, d.Name, "view") {
		return
	}
	k := b.project.Catalog
	v := &feature.View{
		Meta: d.meta(), Name: d.Name, Entity: d.Entity, Source: d.Source, Where: d.Where,
		TTL: d.TTL, Expire: d.Expire, Revision: 1, Generation: 1,
	}
	if d.OnNullKey == "filter" {
		v.OnNullKey = feature.NullKeyFilter
	}
	v.TTLMode = map[string]feature.TTLMode{"report": feature.TTLReport, "ignore": feature.TTLIgnore}[d.TTLMode]
	before := len(b.errors)
	e, src := k.Entity(d.Entity), k.Source(d.Source)
	if e == nil && d.Entity != "" {
		f.at(path+".entity", 0, "unknown entity "+d.Entity, didYouMean(d.Entity, names(k.Entities, func(e *feature.Entity) string { return e.Name })))
	}
	if src == nil && d.Source != "" && b.names[d.Source] != "source" {
		f.at(path+".source", 0, "unknown source "+d.Source, didYouMean(d.Source, names(k.Sources, func(s *feature.Source) string { return s.Name })))
	}
	if src != nil && src.Kind == feature.SourceRequest {
		f.at(path+".source", 0, fmt.Sprintf("view %s cannot be fed by request source %s", d.Name, d.Source), "requests carry values for on-demand views only")
		src = nil
	}
	if d.Expire != 0 && d.TTL > d.Expire {
		f.at(path+".expire", 0, "expire is shorter than ttl: the store would delete what may still be served", "make expire at least ttl")
	}
	b.features(f, d, v, path)
	if e != nil && src != nil {
		b.keys(f, d, v, e, src, path)
		if len(b.errors) == before {
			b.compile(f, d, v, src, e, path)
		}
	}
	k.Views = append(k.Views, v)
}

func (b *builder) features(f loadedFile, d *viewDef, v *feature.View, path string) {
	seen := make(map[string]bool)
	for i := range d.Features {
		x, at := &d.Features[i], fmt.Sprintf("%s.features[%d]", path, i)
		b.name(f, at, x.Name, "")
		if seen[x.Name] {
			f.at(at+".name", 0, fmt.Sprintf("view %s has feature %s twice", d.Name, x.Name), "")
		}
		seen[x.Name] = true
		out := feature.Feature{Meta: x.meta(), Name: x.Name, Expr: x.Expr}
		if x.Expr == "" {
			out.Expr = x.Name
		}
		if x.Type != "" {
			out.Type = b.typ(f, at, x.Type, x.Length)
		}
		if x.At == "read" {
			out.At = feature.PhaseRead
		}
		v.Features = append(v.Features, out)
	}
	if len(d.Features) == 0 {
		f.at(path+".features", 0, fmt.Sprintf("view %s has no features", d.Name), "list at least one: {name: last_fare, expr: fare}")
	}
}

// keys fills in, for each join key of the entity, the field of its name.
func (b *builder) keys(f loadedFile, d *viewDef, v *feature.View, e *feature.Entity, src *feature.Source, path string) {
	all := make([]string, 0, len(e.JoinKeys))
	for _, j := range e.JoinKeys {
		all = append(all, j.Name)
		text, written := d.Keys[j.Name]
		if !written {
			if _, ok := src.Field(j.Name); !ok {
				f.at(path+".keys", 0, fmt.Sprintf("source %s has no field %s for the join key of entity %s", src.Name, j.Name, e.Name),
					fmt.Sprintf("write keys: {%s: FIELD}", j.Name))
			}
			text = j.Name
		}
		v.Keys = append(v.Keys, feature.JoinKeyExpr{JoinKey: j.Name, Expr: text})
	}
	for key := range d.Keys {
		if !contains(all, key) {
			f.at(path+".keys."+key, 0, fmt.Sprintf("entity %s has no join key %s", e.Name, key), didYouMean(key, all))
		}
	}
}

// compile type-checks the view and places every problem in the YAML.
func (b *builder) compile(f loadedFile, d *viewDef, v *feature.View, src *feature.Source, e *feature.Entity, path string) {
	plan, problems := transforms.Compile(v, src, e)
	sure := typed(e, src)
	for _, p := range problems {
		if !sure && !strings.HasPrefix(p.Message, "unknown ") {
			continue // it may follow from a type that was not understood
		}
		at := path + "." + p.Part
		if _, written := f.nodes[at]; !written && strings.HasSuffix(at, ".expr") {
			at = strings.TrimSuffix(at, ".expr") + ".name" // {name: fare} means {name: fare, expr: fare}
		}
		f.at(at, p.Offset, p.Message, p.Hint)
	}
	if len(problems) > 0 || !sure {
		return
	}
	for i := range d.Features {
		b.featureDefault(f, &d.Features[i], &v.Features[i], fmt.Sprintf("%s.features[%d].default", path, i))
	}
	b.project.Plans[v.Name] = plan
}

// featureDefault reads a default as a value of the feature's type.
func (b *builder) featureDefault(f loadedFile, d *featureDef, x *feature.Feature, path string) {
	if d.Default == nil {
		return
	}
	var text string
	switch n := d.Default.(type) {
	case *ast.NullNode:
		return // served for null: the same as none
	case *ast.SequenceNode:
		text = strings.TrimSpace(n.String())
	default:
		if !isScalar(n) {
			f.at(path, 0, "a default is a single value or a list", "")
			return
		}
		text = scalarText(n)
	}
	c, err := transforms.ParseLiteral(text, x.Type)
	if err != nil {
		f.at(path, 0, fmt.Sprintf("default of feature %s: %v", x.Name, err), fmt.Sprintf("write a %s", x.Type))
		return
	}
	x.Default = c
}

// typed reports whether every type that a view can use was understood; errors
// that follow from one that was not would only confuse.
func typed(e *feature.Entity, src *feature.Source) bool {
	for _, j := range e.JoinKeys {
		if j.Type.Kind == feature.KindInvalid {
			return false
		}
	}
	for _, x := range src.Fields {
		if x.Type.Kind == feature.KindInvalid {
			return false
		}
	}
	return true
}
