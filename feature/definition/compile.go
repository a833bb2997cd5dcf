package definition

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"millrace/feature"
	"millrace/transforms"
)

// doubt is what is not known of a source because its definition has errors.
type doubt struct {
	all   bool // which fields there are
	names map[string]bool
}

func (d *doubt) covers(name string) bool { return d == nil || d.all || d.names[name] }

// compilation type-checks one view and places every problem in the YAML.
//
// The compiler stops after the stage in which it finds something, and cannot
// know what a definition with errors was meant to say. So what has a problem
// is taken out and the rest is compiled again, until nothing new is found; and
// names that cannot be known stand for columns without a type, and problems of
// texts that mention them are dropped unless they are about other names.
type compilation struct {
	b      *builder
	file   loadedFile
	path   string
	view   *feature.View
	from   []int // per feature of the view, which of those that are written
	source *feature.Source
	entity *feature.Entity

	about  doubt           // names that are not known here
	failed map[string]bool // parts that have had their problems
	told   map[string]bool // what was reported; windows of one feature share their mistakes
	sure   bool            // nothing was in doubt from the start
}

func (b *builder) newCompilation(f loadedFile, d *viewDef, v *feature.View, e *feature.Entity, src *feature.Source, path string, from []int) *compilation {
	c := &compilation{b: b, file: f, path: path, view: v, from: from, source: src, entity: e, failed: make(map[string]bool), told: make(map[string]bool)}
	c.about.names = make(map[string]bool)
	if src == nil {
		c.source, c.about.all = &feature.Source{Name: d.Source}, true
	} else if of := b.doubts[src.Name]; of != nil {
		c.about.all = of.all
		maps.Copy(c.about.names, of.names)
	}
	if e == nil {
		c.entity = &feature.Entity{Name: d.Entity}
		for _, k := range v.Keys {
			c.entity.JoinKeys = append(c.entity.JoinKeys, feature.Field{Name: k.JoinKey})
		}
	}
	c.failWritten(d)
	c.sure = !f.doubtful(path) && !c.about.all && len(c.about.names) == 0 && len(c.failed) == 0 && src != nil && e != nil
	return c
}

// failWritten takes out what has had its problems before anything is compiled.
func (c *compilation) failWritten(d *viewDef) {
	bad := func(part string) bool { return c.file.doubtful(c.path + "." + part) }
	names := featureNames(c.view)
	// Where a name is missing or stands twice another is meant, and unnest would
	// bring more.
	c.about.all = c.about.all || slices.Contains(names, "") || anyTwice(names) || bad("unnest")
	for i, name := range names {
		x := &c.view.Features[i]
		c.about.all = c.about.all || bad(fmt.Sprintf("features[%d].windows", c.from[i])) // they make names
		if bad(fmt.Sprintf("features[%d]", c.from[i])) || name == "" || x.Expr == "" && x.Aggregate == nil {
			c.fail(fmt.Sprintf("features[%d]", i))
		}
	}
	for _, k := range c.view.Keys {
		_, isField := c.source.Field(k.JoinKey)
		if _, written := d.Keys[k.JoinKey]; k.JoinKey == "" || k.Expr == "" || !written && !isField {
			c.fail("keys." + k.JoinKey)
		}
	}
	if bad("where") {
		c.fail("where")
	}
}

// run returns the plan, or nil when the view has an error anywhere.
func (c *compilation) run() *transforms.Plan {
	if c.sure {
		plan, problems := transforms.Compile(c.view, c.source, c.entity)
		if len(problems) == 0 {
			return plan
		}
		c.report(problems, nil)
	}
	for range len(c.view.Features) + len(c.view.Keys) + 2 { // each round takes out a part at least
		v, parts := c.reduced()
		_, problems := transforms.Compile(v, c.known(), c.entity)
		if !c.report(problems, parts) {
			c.learn(v, parts)
			break
		}
	}
	return nil
}

// learn takes over what the compiler found about features of a reduced view.
func (c *compilation) learn(v *feature.View, parts map[string]string) {
	for i := range v.Features {
		if whole, ok := featureIndex(parts[fmt.Sprintf("features[%d]", i)]); ok {
			c.view.Features[whole].Type, c.view.Features[whole].At = v.Features[i].Type, v.Features[i].At
		}
	}
}

// certain reports whether what is known of a feature does not depend on
// anything in doubt.
func (c *compilation) certain(i int) bool {
	f := &c.view.Features[i]
	return !c.failed[fmt.Sprintf("features[%d]", i)] && f.Type.Kind != feature.KindInvalid && !c.mentionDoubt(texts(f), make(map[string]bool))
}

// report records what is new and certain, and reports whether any part failed
// that had not before. parts maps the parts of a reduced view to the whole's.
func (c *compilation) report(problems []transforms.Problem, parts map[string]string) bool {
	troubled := make(map[string]bool)
	for i := range problems {
		p := &problems[i]
		if whole, ok := parts[partOf(p.Part)]; ok {
			p.Part = whole + strings.TrimPrefix(p.Part, partOf(p.Part))
		}
		troubled[c.featureAt(p.Part)] = true
	}
	var now []string
	for _, p := range problems {
		name, unknown := strings.CutPrefix(p.Message, "unknown name ")
		follows := unknown && troubled[name] && name != c.featureAt(p.Part) // it is a feature with a problem here
		if follows || c.failed[partOf(p.Part)] {
			continue
		}
		now = append(now, p.Part)
		said := fmt.Sprintf("%s %d %s", c.written(p.Part), p.Offset, p.Message)
		if !c.mayFollow(p) && !c.told[said] {
			c.told[said] = true
			c.file.at(c.written(p.Part), p.Offset, p.Message, cmp.Or(p.Hint, "docs/expressions.md lists what can be written"))
		}
	}
	for _, part := range now {
		c.fail(part)
	}
	return len(now) > 0
}

// featureAt is the name of the feature that a part belongs to, "" if none.
func (c *compilation) featureAt(part string) string {
	if i, ok := featureIndex(part); ok {
		return c.view.Features[i].Name
	}
	return ""
}

// partOf is a part without what it says of a feature: "features[3]".
func partOf(part string) string {
	if strings.HasPrefix(part, "features[") {
		part, _, _ = strings.Cut(part, "]")
		return part + "]"
	}
	return part
}

// featureIndex is the 3 of "features[3].expr".
func featureIndex(part string) (int, bool) {
	var i int
	_, err := fmt.Sscanf(part, "features[%d]", &i)
	return i, err == nil
}

// fail takes a part out of later rounds; a feature's name is in doubt from
// then on.
func (c *compilation) fail(part string) {
	part = partOf(part)
	c.failed[part] = true
	if name := c.featureAt(part); name != "" {
		if _, isField := c.source.Field(name); !isField {
			c.about.names[name] = true
		}
	}
}

// reduced is the view without what failed, and where its parts come from.
func (c *compilation) reduced() (*feature.View, map[string]string) {
	v, parts := *c.view, make(map[string]string)
	if c.failed["where"] {
		v.Where = ""
	}
	v.Keys = slices.Clone(v.Keys)
	for i, k := range v.Keys {
		if c.failed["keys."+k.JoinKey] {
			v.Keys[i].Expr = nullOf(c.entity.JoinKeys[i].Type)
		}
	}
	v.Features = nil
	for i := range c.view.Features {
		if whole := fmt.Sprintf("features[%d]", i); !c.failed[whole] {
			parts[fmt.Sprintf("features[%d]", len(v.Features))] = whole
			v.Features = append(v.Features, c.view.Features[i])
		}
	}
	return &v, parts
}

// nullOf is an expression of a type that has no problem of its own.
func nullOf(t feature.Type) string {
	if t.Kind == feature.KindInvalid {
		return "null"
	}
	return fmt.Sprintf("cast(null as %s)", t)
}

// known is the source with columns without a type for names in doubt.
func (c *compilation) known() *feature.Source {
	src := *c.source
	src.Fields = slices.Clone(src.Fields)
	for _, name := range slices.Sorted(maps.Keys(c.about.names)) {
		i := slices.IndexFunc(src.Fields, func(f feature.SourceField) bool { return f.Name == name })
		if i >= 0 {
			src.Fields[i].Type = feature.Type{}
			continue
		}
		src.Fields = append(src.Fields, feature.SourceField{Field: feature.Field{Name: name}, Path: name})
	}
	return &src
}

// mayFollow reports whether a problem may come from what is in doubt.
func (c *compilation) mayFollow(p transforms.Problem) bool {
	if strings.HasPrefix(p.Message, "unknown name ") {
		return c.about.all
	}
	key, isKey := strings.CutPrefix(p.Part, "keys.")
	if isKey && slices.ContainsFunc(c.entity.JoinKeys, func(j feature.Field) bool { return j.Name == key && j.Type.Kind == feature.KindInvalid }) {
		return !strings.HasPrefix(p.Message, "unknown ")
	}
	return !strings.HasPrefix(p.Message, "unknown ") && c.mentionDoubt(c.texts(p.Part), make(map[string]bool))
}

// texts are the expressions of a feature.
func texts(f *feature.Feature) []string {
	if a := f.Aggregate; a != nil {
		return []string{a.Of, a.Filter}
	}
	return []string{f.Expr}
}

func (c *compilation) mentionDoubt(texts []string, seen map[string]bool) bool {
	return slices.ContainsFunc(texts, func(text string) bool { return c.mentionsDoubt(text, seen) })
}

func (c *compilation) mentionsDoubt(text string, seen map[string]bool) bool {
	for _, name := range transforms.Names(text) {
		if c.about.names[name] {
			return true
		}
		if seen[name] {
			continue
		}
		seen[name] = true
		for i := range c.view.Features {
			if f := &c.view.Features[i]; f.Name == name && f.Expr != name && c.mentionDoubt(texts(f), seen) {
				return true
			}
		}
	}
	return false
}

// texts are what a part says.
func (c *compilation) texts(part string) []string {
	if i, ok := featureIndex(part); ok {
		return texts(&c.view.Features[i])
	}
	for _, k := range c.view.Keys {
		if part == "keys."+k.JoinKey {
			return []string{k.Expr}
		}
	}
	return []string{c.view.Where}
}

// written is the path of a part in the file: {name: fare} means {name: fare,
// expr: fare}, and `windows` makes several features of one.
func (c *compilation) written(part string) string {
	if i, ok := featureIndex(part); ok {
		part = fmt.Sprintf("features[%d]", c.from[i]) + strings.TrimPrefix(part, partOf(part))
	}
	at := c.path + "." + part
	if short, ok := strings.CutSuffix(at, ".expr"); ok && c.file.nodes[at] == nil {
		return short + ".name"
	}
	return at
}
