package definition

import (
	"fmt"
	"regexp"
	"slices"

	"millrace/feature"
	"millrace/transforms"
)

// Project is a folder of definitions, checked and compiled. It is immutable.
type Project struct {
	Catalog  *feature.Catalog
	Plans    map[string]*transforms.Plan         // by view
	OnDemand map[string]*transforms.OnDemandPlan // by on-demand view
	Models   map[string]*transforms.ModelPlan    // by model
	Files    []File

	places map[place]map[string]Error // by source or view, and key
}

// Load checks and compiles files, which are read together; their order does
// not matter. The error is Errors, with everything that is wrong.
//
// Views get revision 1 and generation 1, the numbers of a project that was
// never applied; package history knows the real ones.
func Load(files []File) (*Project, error) { return LoadWith(files, Options{}) }

// LoadWith is Load with what the files alone do not say.
func LoadWith(files []File, o Options) (*Project, error) {
	b := &builder{
		schemas: o.Schemas,
		project: &Project{
			Catalog: &feature.Catalog{}, Plans: make(map[string]*transforms.Plan),
			OnDemand: make(map[string]*transforms.OnDemandPlan), Models: make(map[string]*transforms.ModelPlan), Files: files,
		},
		names: make(map[string]owner), topics: make(map[string]string),
		doubts: make(map[string]*doubt), viewDoubts: make(map[string]*doubt), also: make(map[string]string),
	}
	for _, f := range files {
		docs, readable := read(f, &b.errors)
		b.files = append(b.files, docs...)
		b.partial = b.partial || !readable
	}
	b.build()
	if len(b.errors) > 0 {
		return nil, b.errors.sorted()
	}
	return b.project, nil
}

// NameOf returns the name that files give their project, "" when none does or
// it cannot be read. Nothing else in them is looked at, so it needs no schemas.
func NameOf(files []File) string {
	var ignored Errors // Load reports them
	for _, f := range files {
		docs, _ := read(f, &ignored)
		for _, d := range docs {
			if d.def.Project != "" {
				return d.def.Project
			}
		}
	}
	return ""
}

// loadedFile is one document of a file.
type loadedFile struct {
	*reader
	def *fileDef
}

// builder turns the model into a catalog, in the order in which definitions
// refer to each other: entities, sources, views, on-demand views, models, services. What has errors is
// still added, so that names do not become unknown by being wrong elsewhere.
type builder struct {
	files   []loadedFile
	partial bool // a file could not be read, so what it defines is not known
	errors  Errors
	project *Project
	schemas Schemas
	names   map[string]owner  // of sources, all views and models; entities, services, each with a prefix of its own
	topics  map[string]string // topic -> source
	doubts  map[string]*doubt // by source

	viewDoubts map[string]*doubt // by view: features of which the type is not known
	also       map[string]string // "view:name" of outputs that views lend a name -> "model:output"
}

// owner is what has a name, and where it is defined.
type owner struct {
	what, file string
	line       int
}

func (b *builder) build() {
	b.buildProject()
	for _, f := range b.files {
		for i := range f.def.Entities {
			b.entity(f, &f.def.Entities[i], fmt.Sprintf("entities[%d]", i))
		}
	}
	for _, f := range b.files {
		for i := range f.def.Sources {
			b.source(f, &f.def.Sources[i], fmt.Sprintf("sources[%d]", i))
		}
	}
	for _, f := range b.files {
		for i := range f.def.Views {
			b.view(f, &f.def.Views[i], fmt.Sprintf("views[%d]", i))
		}
	}
	for _, f := range b.files {
		for i := range f.def.OnDemandViews {
			b.onDemandView(f, &f.def.OnDemandViews[i], fmt.Sprintf("on_demand_views[%d]", i))
		}
	}
	for _, f := range b.files {
		for i := range f.def.Models {
			b.model(f, &f.def.Models[i], fmt.Sprintf("models[%d]", i))
		}
	}
	for _, f := range b.files {
		for i := range f.def.Services {
			b.service(f, &f.def.Services[i], fmt.Sprintf("services[%d]", i))
		}
	}
}

var (
	identifier  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	projectName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

const (
	// maxProject leaves room for "millrace_" and "_meta" in a keyspace's 48
	// characters.
	maxProject = 48 - len("millrace_") - len("_meta")
	// maxName keeps names readable in tables, metrics and answers.
	maxName = 128
)

func (b *builder) buildProject() {
	k := b.project.Catalog
	named := b.partial
	for _, f := range b.files {
		name := f.def.Project
		named = named || f.nodes["project"] != nil
		switch {
		case name == "":
		case !projectName.MatchString(name) || len(name) > maxProject:
			f.at("project", 0, fmt.Sprintf("%q cannot name a project", name),
				fmt.Sprintf("use lower-case letters, digits and underscores, at most %d, a letter first: it names the keyspace", maxProject))
		case k.Project != "" && k.Project != name:
			f.at("project", 0, fmt.Sprintf("project %s is called %s in another file", name, k.Project), "a folder is one project: use one name, or two folders")
		default:
			k.Project = name
		}
	}
	if !named {
		b.errors = append(b.errors, &Error{Message: "no file names the project", Hint: "write project: NAME at the top of one"})
	}
}

// name checks a name and, with what set, that nothing else of its space has it.
func (b *builder) name(f loadedFile, path, name, what, space string) {
	at := path + ".name"
	switch {
	case name == "":
		return // the reader has said that it is missing
	case !identifier.MatchString(name) || len(name) > maxName:
		f.at(at, 0, fmt.Sprintf("%q cannot be a name", name), fmt.Sprintf("use letters, digits and underscores, not starting with a digit, at most %d", maxName))
		return
	case what == "":
		return
	}
	if other, taken := b.names[space+name]; taken {
		f.at(at, 0, fmt.Sprintf("%s %s has the name of the %s at %s:%d", what, name, other.what, other.file, other.line), "rename one of the two")
		return
	}
	line, _ := start(f.nodes[at])
	b.names[space+name] = owner{what, f.file, line}
}

// column checks the name of a field or feature, which expressions use.
func (b *builder) column(f loadedFile, path, name, instead string) {
	b.name(f, path, name, "", "")
	if identifier.MatchString(name) && !slices.Equal(transforms.Names(name), []string{name}) {
		f.at(path+".name", 0, fmt.Sprintf("%q is a word of the expression language", name), instead)
	}
}

func (m *metaDef) meta() feature.Meta {
	return feature.Meta{Description: m.Description, Owner: m.Owner, Tags: m.Tags}
}

// typ reads a type; the zero type stands for one that is missing or wrong.
func (b *builder) typ(f loadedFile, path, text string, length int) feature.Type {
	if text == "" {
		return feature.Type{}
	}
	t, err := feature.ParseType(text)
	if err != nil {
		f.at(path+".type", 0, err.Error(), didYouMean(text, append(feature.KindNames(), "list<float64>")))
		return feature.Type{}
	}
	if f.nodes[path+".length"] == nil {
		return t
	}
	switch {
	case !t.IsList():
		f.at(path+".length", 0, fmt.Sprintf("length fixes the number of elements of a list, and the type is %s", t), "remove it, or make the type a list")
	case length < 1 || length > maxLength:
		f.at(path+".length", 0, fmt.Sprintf("length %d is not between 1 and %d", length, maxLength), "write the number of elements")
	default:
		t.Length = uint32(length)
	}
	return t
}

// maxLength of a list keeps a row under its limit of 1 MiB.
const maxLength = 1 << 17

func (b *builder) entity(f loadedFile, d *entityDef, path string) {
	b.name(f, path, d.Name, "entity", "entity ")
	e := &feature.Entity{Meta: d.meta(), Name: d.Name}
	for i, k := range d.JoinKeys {
		at := fmt.Sprintf("%s.join_keys[%d]", path, i)
		b.name(f, at, k.Name, "", "")
		if k.Name != "" && slices.ContainsFunc(e.JoinKeys, func(j feature.Field) bool { return j.Name == k.Name }) {
			f.at(at+".name", 0, fmt.Sprintf("entity %s has join key %s twice", d.Name, k.Name), "remove one of the two")
		}
		t := b.typ(f, at, k.Type, 0)
		if t.Kind != feature.KindInvalid && !feature.CanBeKey(t) {
			f.at(at+".type", 0, fmt.Sprintf("a join key cannot be %s", t), "use int32, int64, string, bool, timestamp or bytes")
			t = feature.Type{}
		}
		e.JoinKeys = append(e.JoinKeys, feature.Field{Name: k.Name, Type: t})
	}
	if len(d.JoinKeys) == 0 {
		f.at(path+".join_keys", 0, fmt.Sprintf("entity %s has no join keys", d.Name), "write join_keys: [{name: driver_id, type: int64}]")
	}
	b.project.Catalog.Entities = append(b.project.Catalog.Entities, e)
}

// sure reports whether names are all that a list holds, over all files: errors
// in it hide some, and what is said to be unknown may be one of those.
func (b *builder) sure(list string, names []string) bool {
	return !b.partial && !slices.Contains(names, "") && !slices.ContainsFunc(b.files, func(f loadedFile) bool { return f.bad[list] })
}

func namesOf[T any](all []*T, name func(*T) string) []string {
	out := make([]string, len(all))
	for i, x := range all {
		out[i] = name(x)
	}
	return out
}

func fieldNames(src *feature.Source) []string {
	out := make([]string, len(src.Fields))
	for i, x := range src.Fields {
		out[i] = x.Name
	}
	return out
}

func featureNames(v *feature.View) []string {
	out := make([]string, len(v.Features))
	for i := range v.Features {
		out[i] = v.Features[i].Name
	}
	return out
}
