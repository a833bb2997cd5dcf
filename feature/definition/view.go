package definition

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"millrace/feature"
	"millrace/transforms"
)

func (b *builder) view(f loadedFile, d *viewDef, path string) {
	b.name(f, path, d.Name, "view", "")
	k := b.project.Catalog
	v := &feature.View{
		Meta: d.meta(), Name: d.Name, Entity: d.Entity, Source: d.Source, Where: d.Where,
		TTL: d.TTL, Expire: d.Expire, Revision: 1, Generation: 1,
	}
	if d.OnNullKey == "filter" {
		v.OnNullKey = feature.NullKeyFilter
	}
	v.TTLMode = map[string]feature.TTLMode{"report": feature.TTLReport, "ignore": feature.TTLIgnore}[d.TTLMode]
	b.viewTimes(f, d, path)
	e, src := b.viewEntity(f, d, path), b.viewSource(f, d, path)
	from := b.features(f, d, v, e, path)
	b.windowKeys(f, d, v, path)
	b.keys(f, d, v, e, src, path)
	b.unnest(f, d, v, src, path)
	b.rekey(f, d, src, path)
	k.Views = append(k.Views, v)
	if d.Where == "" && f.nodes[path+".where"] != nil {
		f.at(path+".where", -1, "where is empty", "remove it to keep every row")
	}
	c := b.newCompilation(f, d, v, e, src, path, from)
	if plan := c.run(); plan != nil {
		b.windowsOnly(f, plan, path)
		b.project.Plans[v.Name] = plan
	}
	unsure := &doubt{all: slices.Contains(featureNames(v), "") || f.bad[path+".features"], names: make(map[string]bool)}
	for i, written := range from {
		unsure.all = unsure.all || f.doubtful(fmt.Sprintf("%s.features[%d].windows", path, written)) // they make names
		if c.certain(i) {
			b.compiled(f, &d.Features[written], &v.Features[i], fmt.Sprintf("%s.features[%d]", path, written))
		} else {
			unsure.names[v.Features[i].Name] = true
		}
	}
	b.viewDoubts[v.Name] = unsure
	b.remember(f, place{"view", d.Name}, path)
}

func (b *builder) viewTimes(f loadedFile, d *viewDef, path string) {
	if d.Expire != 0 && d.TTL > d.Expire {
		f.at(path+".expire", 0, "expire is shorter than ttl: the store would delete what may still be served", "make expire at least ttl")
	}
	if d.TTLMode != "" && d.TTL == 0 && !f.doubtful(path+".ttl") {
		f.at(path+".ttl_mode", 0, "ttl_mode is set but there is no ttl", "add ttl: 7d, or remove ttl_mode")
	}
}

func (b *builder) viewEntity(f loadedFile, d *viewDef, path string) *feature.Entity {
	if d.Entity == "" {
		return nil // the reader has said that it is missing
	}
	e := b.project.Catalog.Entity(d.Entity)
	all := namesOf(b.project.Catalog.Entities, func(e *feature.Entity) string { return e.Name })
	if e == nil && b.sure("entities", all) {
		f.at(path+".entity", 0, "unknown entity "+d.Entity, didYouMean(d.Entity, all))
	}
	return e
}

func (b *builder) viewSource(f loadedFile, d *viewDef, path string) *feature.Source {
	if d.Source == "" {
		return nil
	}
	src := b.project.Catalog.Source(d.Source)
	all := namesOf(b.project.Catalog.Sources, func(s *feature.Source) string { return s.Name })
	switch {
	case src == nil && b.sure("sources", all):
		f.at(path+".source", 0, "unknown source "+d.Source, didYouMean(d.Source, all))
	case src != nil && src.Kind == feature.SourceRequest:
		f.at(path+".source", 0, fmt.Sprintf("view %s cannot be fed by request source %s", d.Name, d.Source), "name a kafka or push source; requests carry values for on-demand views")
		return nil // another is meant
	}
	return src
}

// features adds the features of a view, and returns for each which of those
// that are written it comes from: `windows` makes several of one.
func (b *builder) features(f loadedFile, d *viewDef, v *feature.View, e *feature.Entity, path string) (from []int) {
	seen := make(map[string]bool)
	for i := range d.Features {
		x, at := &d.Features[i], fmt.Sprintf("%s.features[%d]", path, i)
		out := feature.Feature{Meta: x.meta(), Name: x.Name, Expr: x.Expr}
		windows := b.windows(f, x, at)
		if len(windows) == 0 || f.nodes[at+".windows"] == nil {
			b.featureName(f, x.Name, v, e, seen, at)
		}
		switch {
		case len(windows) > 0:
		case x.Expr == "" && f.nodes[at+".expr"] == nil:
			out.Expr = x.Name
		case x.Expr == "":
			f.at(at+".expr", -1, "expr is empty", "write an expression, or leave expr out to serve the field "+x.Name)
		}
		out.Type = b.typ(f, at, x.Type, x.Length)
		if x.Type == "" && f.nodes[at+".length"] != nil {
			f.at(at+".length", 0, "length says nothing without a type", "add type: list<float64>, or what the elements are")
		}
		if x.At == "read" {
			out.At = feature.PhaseRead
		}
		for _, w := range windows {
			one := out
			one.Aggregate, one.At = &w.aggregate, feature.PhaseRead
			if w.suffix != "" && x.Name != "" {
				one.Name = x.Name + "_" + w.suffix
			}
			if one.Name != x.Name && suffix.MatchString(w.suffix) {
				b.featureName(f, one.Name, v, e, seen, at)
			}
			v.Features, from = append(v.Features, one), append(from, i)
		}
		if len(windows) == 0 {
			v.Features, from = append(v.Features, out), append(from, i)
		}
	}
	if len(d.Features) == 0 {
		f.at(path+".features", 0, fmt.Sprintf("view %s has no features", d.Name), "list at least one: {name: last_fare, expr: fare}")
	}
	return from
}

// featureName refuses names that an answer or a finished row has for something
// else: a row is a flat object of join keys, event time and stored columns.
func (b *builder) featureName(f loadedFile, name string, v *feature.View, e *feature.Entity, seen map[string]bool, at string) {
	b.column(f, at, name, "give the feature another name")
	switch {
	case name == "":
	case seen[name]:
		f.at(at+".name", 0, fmt.Sprintf("view %s has feature %s twice", v.Name, name), "remove one of the two, or rename it")
	case name == pushedEventTime:
		f.at(at+".name", 0, fmt.Sprintf("feature %s has the name of the time that rows carry", name), "give the feature another name")
	case e != nil && slices.ContainsFunc(e.JoinKeys, func(j feature.Field) bool { return j.Name == name }):
		f.at(at+".name", 0, fmt.Sprintf("feature %s has the name of a join key of entity %s", name, e.Name), "answers carry the join keys anyway; remove it, or give it another name")
	}
	seen[name] = true
}

// keys fills in, for each join key of the entity, the field of its name.
func (b *builder) keys(f loadedFile, d *viewDef, v *feature.View, e *feature.Entity, src *feature.Source, path string) {
	if e == nil {
		for _, key := range sortedKeys(d.Keys) {
			v.Keys = append(v.Keys, feature.JoinKeyExpr{JoinKey: key, Expr: d.Keys[key]})
		}
		return
	}
	all, sure := joinKeys(e)
	for _, j := range e.JoinKeys {
		text, written := d.Keys[j.Name]
		if !written {
			b.defaultKey(f, j.Name, e, src, path)
			text = j.Name
		} else if text == "" {
			f.at(path+".keys."+j.Name, -1, fmt.Sprintf("join key %s has no expression", j.Name), "write a field of the source, or an expression")
		}
		v.Keys = append(v.Keys, feature.JoinKeyExpr{JoinKey: j.Name, Expr: text})
	}
	for _, key := range sortedKeys(d.Keys) {
		if sure && !slices.Contains(all, key) {
			f.atKey(path+".keys", key, fmt.Sprintf("entity %s has no join key %s", e.Name, key), didYouMean(key, all))
		}
	}
}

func (b *builder) defaultKey(f loadedFile, key string, e *feature.Entity, src *feature.Source, path string) {
	if src == nil || key == "" || b.doubts[src.Name].covers(key) {
		return
	}
	if _, ok := src.Field(key); !ok {
		f.at(path+".keys", -1, fmt.Sprintf("source %s has no field %s for the join key of entity %s", src.Name, key, e.Name),
			fmt.Sprintf("write keys: {%s: FIELD}; %s", key, didYouMean(key, fieldNames(src))))
	}
}

// compiled takes what only the compiler knows: phases and types.
func (b *builder) compiled(f loadedFile, d *featureDef, x *feature.Feature, path string) {
	if d.At == "write" && x.At == feature.PhaseRead {
		f.at(path+".at", 0, fmt.Sprintf("feature %s cannot be computed at write: it names a feature that is computed at read", x.Name), "write at: read, or leave at out")
	}
	b.featureDefault(f, d, x, path+".default")
}

// featureDefault reads a default as a value of the feature's type.
func (b *builder) featureDefault(f loadedFile, d *featureDef, x *feature.Feature, path string) {
	text, ok := defaultText(d.Default)
	switch {
	case d.Default == nil:
		return
	case !ok:
		f.at(path, -1, fmt.Sprintf("default of feature %s is not %s", x.Name, aType(x.Type)), "write one value, or a list of them")
		return
	}
	c, err := transforms.ParseLiteral(text, x.Type)
	if err != nil {
		f.at(path, 0, fmt.Sprintf("default of feature %s: %v", x.Name, err), "write "+aType(x.Type)+", the feature's type")
		return
	}
	if c.Valid.Get(0) { // null is what is served without a default
		x.Default = c
	}
}

func aType(t feature.Type) string {
	if strings.HasPrefix(t.String(), "int") {
		return "an " + t.String()
	}
	return "a " + t.String()
}

// defaultText writes a default as the text of a literal; false when it is
// nothing that could be one. Null is what is served anyway.
func defaultText(n ast.Node) (string, bool) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		return literalText(n)
	}
	parts := make([]string, len(list.Values))
	for i, e := range list.Values {
		if parts[i], ok = defaultText(e); !ok {
			return "", false
		}
		if _, quoted := e.(*ast.StringNode); quoted {
			parts[i] = strconv.Quote(parts[i])
		}
	}
	return "[" + strings.Join(parts, ", ") + "]", true
}
