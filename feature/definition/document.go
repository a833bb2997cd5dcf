package definition

import "github.com/goccy/go-yaml/ast"

// Document is a YAML file that is no definition but is read as strictly: every
// error at once, each with its place and a next step.
type Document struct {
	r      *reader
	errors Errors
}

// Decode reads f, one YAML document, into v, a pointer to a struct whose
// fields carry the tags of this package: yaml is the key, need is "yes" for
// keys that must be there, enum lists what a text may be. A field of type
// ast.Node takes what it finds.
func Decode(f File, v any) *Document {
	d := new(Document)
	d.r = newReader(f.Name, nil, &d.errors)
	bodies, _ := parse(f, &d.errors) // what is not YAML is among the errors
	for i, b := range bodies {
		if i == 0 {
			d.r = b.reader
			b.into(v)
			continue
		}
		b.fault(b.node, "", "the file has more than one document", "remove the line --- or begin another file")
	}
	return d
}

// At records an error at a path such as "tests[0].name", or at the nearest
// path above it that was written.
func (d *Document) At(path, message, hint string) { d.r.at(path, -1, message, hint) }

// AtNode records an error at a node of the file.
func (d *Document) AtNode(n ast.Node, path, message, hint string) { d.r.fault(n, path, message, hint) }

// Line returns the line on which the value at a path stands; 0 if there is none.
func (d *Document) Line(path string) int {
	line, _ := start(d.r.nodes[path])
	return line
}

// Errors lists what is wrong so far, ordered by place.
func (d *Document) Errors() Errors { return d.errors.sorted() }
