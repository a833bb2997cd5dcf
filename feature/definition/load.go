package definition

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"millrace/feature"
	"millrace/transforms"
)

// Project is a folder of definitions, checked and compiled. It is immutable.
type Project struct {
	Catalog *feature.Catalog
	Plans   map[string]*transforms.Plan // by view
	Files   []File
}

// Load checks and compiles files, which are read together; their order does
// not matter. The error is Errors, with everything that is wrong.
//
// Views get revision 1 and generation 1, the numbers of a project that was
// never applied; package history knows the real ones.
func Load(files []File) (*Project, error) {
	b := &builder{project: &Project{Catalog: &feature.Catalog{}, Plans: make(map[string]*transforms.Plan), Files: files}}
	b.names = make(map[string]string)
	for _, f := range files {
		r, def := read(f, &b.errors)
		b.files = append(b.files, loadedFile{r, def})
	}
	b.build()
	if len(b.errors) > 0 {
		return nil, b.errors.sorted()
	}
	return b.project, nil
}

type loadedFile struct {
	*reader
	def *fileDef
}

// builder turns the model into a catalog, in the order in which definitions
// refer to each other: entities, sources, views, services.
type builder struct {
	files   []loadedFile
	errors  Errors
	project *Project
	names   map[string]string // of sources and views -> what has it
	topics  map[string]string // of sources
}

func (b *builder) build() {
	b.topics = make(map[string]string)
	b.buildProject()
	b.each(func(f loadedFile) {
		for i := range f.def.Entities {
			b.entity(f, &f.def.Entities[i], fmt.Sprintf("entities[%d]", i))
		}
	})
	b.each(func(f loadedFile) {
		for i := range f.def.Sources {
			b.source(f, &f.def.Sources[i], fmt.Sprintf("sources[%d]", i))
		}
	})
	b.each(func(f loadedFile) {
		for i := range f.def.Views {
			b.view(f, &f.def.Views[i], fmt.Sprintf("views[%d]", i))
		}
	})
	b.each(func(f loadedFile) {
		for i := range f.def.Services {
			b.service(f, &f.def.Services[i], fmt.Sprintf("services[%d]", i))
		}
	})
}

func (b *builder) each(do func(loadedFile)) {
	for _, f := range b.files {
		do(f)
	}
}

var (
	identifier  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	projectName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// maxProject leaves room for "millrace_" and "_meta" in a keyspace's 48
// characters.
const maxProject = 48 - len("millrace_") - len("_meta")

func (b *builder) buildProject() {
	b.each(func(f loadedFile) {
		switch k := b.project.Catalog; {
		case f.def.Project == "":
		case k.Project != "" && k.Project != f.def.Project:
			f.at("project", 0, fmt.Sprintf("project %s is called %s in another file", f.def.Project, k.Project), "a folder is one project")
		case !projectName.MatchString(f.def.Project) || len(f.def.Project) > maxProject:
			f.at("project", 0, fmt.Sprintf("%q cannot name a project", f.def.Project),
				fmt.Sprintf("use lower-case letters, digits and underscores, at most %d", maxProject))
		default:
			k.Project = f.def.Project
		}
	})
	if b.project.Catalog.Project == "" && len(b.errors) == 0 {
		b.errors = append(b.errors, &Error{Message: "no file names the project", Hint: "write project: NAME at the top of one"})
	}
}

// name checks a name and, with what set, that nothing else has it.
func (b *builder) name(f loadedFile, path, name, what string) bool {
	if name == "" {
		return false // the reader has said that it is missing
	}
	if !identifier.MatchString(name) {
		f.at(path+".name", 0, fmt.Sprintf("%q cannot be a name", name), "use letters, digits and underscores, not starting with a digit")
		return false
	}
	if what == "" {
		return true
	}
	if other, taken := b.names[name]; taken {
		f.at(path+".name", 0, fmt.Sprintf("%s %s has the name of a %s", what, name, other), "names are unique across sources and views")
		return false
	}
	b.names[name] = what
	return true
}

func (m *metaDef) meta() feature.Meta {
	return feature.Meta{Description: m.Description, Owner: m.Owner, Tags: m.Tags}
}

func (b *builder) typ(f loadedFile, path, text string, length int) feature.Type {
	t, err := feature.ParseType(text)
	if err != nil {
		f.at(path+".type", 0, err.Error(), didYouMean(text, append(feature.KindNames(), "list<float64>")))
		return feature.Type{}
	}
	if length != 0 && (!t.IsList() || length < 0) {
		f.at(path+".length", 0, "length fixes the number of elements of a list", "remove it, or make the type a list")
		return t
	}
	t.Length = uint32(length)
	return t
}

func (b *builder) entity(f loadedFile, d *entityDef, path string) {
	if b.project.Catalog.Entity(d.Name) != nil {
		f.at(path+".name", 0, fmt.Sprintf("entity %s is defined twice", d.Name), "")
	}
	b.name(f, path, d.Name, "")
	e := &feature.Entity{Meta: d.meta(), Name: d.Name}
	for i, k := range d.JoinKeys {
		at := fmt.Sprintf("%s.join_keys[%d]", path, i)
		b.name(f, at, k.Name, "")
		t := feature.Type{}
		if k.Type != "" {
			t = b.typ(f, at, k.Type, 0)
		}
		if t.Kind != feature.KindInvalid && !feature.CanBeKey(t) {
			f.at(at+".type", 0, fmt.Sprintf("a join key cannot be %s", t), "use int32, int64, string, bool, timestamp or bytes")
		}
		e.JoinKeys = append(e.JoinKeys, feature.Field{Name: k.Name, Type: t})
	}
	if len(d.JoinKeys) == 0 {
		f.at(path+".join_keys", 0, fmt.Sprintf("entity %s has no join keys", d.Name), "write join_keys: [{name: driver_id, type: int64}]")
	}
	b.project.Catalog.Entities = append(b.project.Catalog.Entities, e)
}

func names[T any](all []*T, name func(*T) string) []string {
	out := make([]string, len(all))
	for i, x := range all {
		out[i] = name(x)
	}
	return out
}

// service builds a service; a view alone means all of its features.
func (b *builder) service(f loadedFile, d *serviceDef, path string) {
	k := b.project.Catalog
	if k.Service(d.Name) != nil {
		f.at(path+".name", 0, fmt.Sprintf("service %s is defined twice", d.Name), "")
	}
	b.name(f, path, d.Name, "")
	s := &feature.Service{Meta: d.meta(), Name: d.Name}
	seen := make(map[string]bool)
	for i := range d.Features {
		at := fmt.Sprintf("%s.features[%d]", path, i)
		for _, ref := range b.refs(f, &d.Features[i], at) {
			as := ref.As
			if as == "" {
				as = ref.View
			}
			if name := as + ":" + ref.Feature; seen[name] {
				f.at(at, 0, fmt.Sprintf("service %s serves %s twice", d.Name, name), "remove one, or give one another name with as:")
			} else {
				seen[name] = true
			}
			s.Features = append(s.Features, ref)
		}
	}
	if len(d.Features) == 0 {
		f.at(path+".features", 0, fmt.Sprintf("service %s serves nothing", d.Name), "list views or view:feature")
	}
	k.Services = append(k.Services, s)
}

func (b *builder) refs(f loadedFile, d *refDef, at string) []feature.FeatureRef {
	view, wanted := d.View, d.Features
	if d.Short != "" {
		name, one, single := strings.Cut(d.Short, ":")
		view = name
		if single {
			wanted = []string{one}
		}
	}
	if view == "" {
		return nil
	}
	k := b.project.Catalog
	v := k.View(view)
	if v == nil {
		if _, broken := b.names[view]; !broken { // a view with errors of its own is not unknown
			f.at(at, 0, "unknown view "+view, didYouMean(view, names(k.Views, func(v *feature.View) string { return v.Name })))
		}
		return nil
	}
	b.checkRefKeys(f, d, v, at)
	var all []string
	for i := range v.Features {
		all = append(all, v.Features[i].Name)
	}
	if len(wanted) == 0 {
		wanted = all
	}
	var refs []feature.FeatureRef
	for _, name := range wanted {
		if !contains(all, name) {
			f.at(at, 0, fmt.Sprintf("view %s has no feature %s", view, name), didYouMean(name, all))
			continue
		}
		refs = append(refs, feature.FeatureRef{View: view, Feature: name, As: d.As, Keys: d.Keys})
	}
	return refs
}

func (b *builder) checkRefKeys(f loadedFile, d *refDef, v *feature.View, at string) {
	e := b.project.Catalog.Entity(v.Entity)
	if d.As != "" && !identifier.MatchString(d.As) {
		f.at(at+".as", 0, fmt.Sprintf("%q cannot be a name", d.As), "use letters, digits and underscores")
	}
	for key := range d.Keys {
		known := false
		var all []string
		if e != nil {
			for _, j := range e.JoinKeys {
				all = append(all, j.Name)
				known = known || j.Name == key
			}
		}
		if !known {
			f.at(at+".keys."+key, 0, fmt.Sprintf("entity %s has no join key %s", v.Entity, key), didYouMean(key, all))
		}
	}
}

func contains(all []string, one string) bool {
	return slices.Contains(all, one)
}
