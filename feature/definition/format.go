package definition

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"millrace/feature"
	"millrace/transforms"
)

// Options are what the files of a project do not say themselves.
type Options struct {
	Schemas Schemas // nil: no schema can be read, so fields are those declared
}

// Schemas reads the schemas that Avro and Protobuf sources name.
type Schemas interface {
	// Read finds the schema of src and the fields that it gives. An error that
	// wraps ErrNoSchema means that it cannot be asked for here.
	Read(src *feature.Source) (*feature.SourceSchema, []feature.SourceField, error)
	// Check says why a declared field does not fit the schema that was read; f
	// is a field of the elements of list, or with nil of records.
	Check(src *feature.Source, list *feature.SourceField, f feature.SourceField) error
}

// ErrNoSchema is wrapped when a schema cannot be asked for: no registry is
// configured, or it does not answer.
var ErrNoSchema = errors.New("the schema is not at hand")

func (b *builder) sourceFormat(f loadedFile, d *sourceDef, s *feature.Source, path string) {
	at := path + ".format"
	switch d.Format {
	case "", "json", "avro", "protobuf":
		if d.Format != "" {
			s.Format = feature.Format(d.Format)
		}
	default:
		f.fault(f.nodes[at], at, "unknown format "+d.Format, "write json, avro or protobuf")
	}
	s.Envelope = feature.Envelope(d.Envelope)
	s.OnTombstone = map[string]feature.TombstonePolicy{"ignore": feature.TombstoneIgnore, "dead_letter": feature.TombstoneDeadLetter}[d.OnTombstone]
	if d.Kafka == nil {
		for _, key := range []string{"format", "schema", "envelope", "on_tombstone"} {
			if f.nodes[path+"."+key] != nil {
				f.at(path+"."+key, 0, key+" is for kafka sources", "remove it: pushes and requests are JSON without an envelope")
			}
		}
		s.Format, s.Envelope, s.OnTombstone = feature.FormatJSON, feature.EnvelopeNone, feature.TombstoneDelete
		return
	}
	b.schemaKeys(f, d, s, path)
}

// schemaKeys checks what a schema names against the format.
func (b *builder) schemaKeys(f loadedFile, d *sourceDef, s *feature.Source, path string) {
	at := path + ".schema"
	switch {
	case f.bad[path+".format"]:
		return
	case s.Format == feature.FormatJSON:
		if d.Schema != nil {
			f.at(at, 0, "a schema is for formats avro and protobuf", "write format: avro or format: protobuf, or remove it")
		}
		return
	case d.Schema == nil:
		if f.nodes[at] == nil {
			f.fault(f.nodes[path+".format"], at, fmt.Sprintf("format %s needs a schema", s.Format), "write schema: {subject: NAME}, or a file of the folder")
		}
		return
	}
	x := d.Schema
	s.Schema = &feature.SourceSchema{Subject: x.Subject, File: x.File, Descriptors: x.Descriptors, Message: x.Message}
	given := 0
	for _, text := range []string{x.Subject, x.File, x.Descriptors} {
		if text != "" {
			given++
		}
	}
	if given != 1 && !f.doubtful(at) {
		f.fault(f.nodes[at], at, "a schema names one of subject, file and descriptors", "write schema: {subject: NAME}, or remove all but one")
		return
	}
	wrong := func(key, message, hint string) {
		if f.nodes[at+"."+key] != nil && !f.bad[at+"."+key] {
			f.fault(f.nodes[at+"."+key], at+"."+key, message, hint)
		}
	}
	if s.Format == feature.FormatAvro {
		wrong("descriptors", "descriptors are of Protobuf, and the format is avro", "write file: with an Avro schema")
		wrong("message", "message is of Protobuf, and the format is avro", "remove it: an Avro schema is one record")
	} else {
		wrong("file", "file is an Avro schema, and the format is protobuf", "write descriptors: with a file that buf build -o or protoc --include_imports -o made")
		if x.Descriptors != "" && x.Message == "" {
			f.fault(f.nodes[at], at, "descriptors need the message of the records", "add message: with its full name, rides.Trip")
		}
	}
	for key, name := range map[string]string{"file": x.File, "descriptors": x.Descriptors} {
		if name != "" && !filepath.IsLocal(name) {
			wrong(key, fmt.Sprintf("%q is outside of the folder of definitions", name), "put the file into the folder and write its path from there")
		}
	}
}

// sourceSchema reads the schema and adds what it says: types that were left
// out, and the fields that no declared one replaces by its name or path.
func (b *builder) sourceSchema(f loadedFile, d *sourceDef, s *feature.Source, path string) {
	if s.Schema == nil || f.doubtful(path+".schema") || f.bad[path+".format"] {
		return
	}
	at := path + ".schema"
	var inferred []feature.SourceField
	err := ErrNoSchema
	if b.schemas != nil {
		var found *feature.SourceSchema
		if found, inferred, err = b.schemas.Read(s); err == nil {
			s.Schema = found
		}
	}
	typed := len(s.Fields) > 0 && !slices.ContainsFunc(s.Fields, func(x feature.SourceField) bool { return x.Type.Kind == feature.KindInvalid })
	switch {
	case errors.Is(err, ErrNoSchema) && (typed || f.doubtful(path+".fields")):
		return
	case errors.Is(err, ErrNoSchema):
		f.fault(f.nodes[at], at, fmt.Sprintf("read the schema of source %s: %v", s.Name, err), "set schema_registry.urls, or declare every field with its type")
		return
	case err != nil:
		f.fault(f.nodes[at], at, fmt.Sprintf("read the schema of source %s: %v", s.Name, err), "correct the schema, or what names it")
		return
	}
	for i := range s.Fields {
		at := slices.IndexFunc(d.Fields, func(x fieldDef) bool { return x.Name == s.Fields[i].Name })
		b.fitField(f, s, i, inferred, fmt.Sprintf("%s.fields[%d]", path, at))
	}
	declared := s.Fields
	for _, x := range inferred {
		if !slices.ContainsFunc(declared, func(y feature.SourceField) bool { return replaces(y, x) }) {
			s.Fields = append(s.Fields, x)
		}
	}
}

// replaces reports whether declared field y stands for x of the schema.
func replaces(y, x feature.SourceField) bool {
	return y.Name == x.Name || y.Path == pathOf(x) && !y.Key && y.Header == ""
}

func pathOf(x feature.SourceField) string {
	if x.Path == "" {
		return x.Name
	}
	return x.Path
}

// fitField gives a declared field its type from the schema, or holds the
// declared one against it.
func (b *builder) fitField(f loadedFile, s *feature.Source, i int, inferred []feature.SourceField, at string) {
	x := &s.Fields[i]
	if f.doubtful(at) || x.Name == "" {
		return
	}
	if x.Type.Kind == feature.KindInvalid {
		j := slices.IndexFunc(inferred, func(y feature.SourceField) bool {
			return y.Name == x.Name && y.Key == x.Key && y.Header == x.Header && pathOf(y) == x.Path || pathOf(y) == x.Path && !x.Key && x.Header == ""
		})
		if j < 0 {
			f.fault(f.nodes[at], at+".type", fmt.Sprintf("field %s has no type, and the schema has no field %s of its own", x.Name, x.Path), "write type:, or a path that the schema has")
			return
		}
		x.Type = inferred[j].Type
		if x.Unit == 0 {
			x.Unit = inferred[j].Unit
		}
	}
	if x.Key || x.Header != "" {
		return // not of the schema
	}
	if err := b.schemas.Check(s, nil, *x); err != nil {
		f.at(at+".type", 0, err.Error(), "compare the field with the schema")
		return
	}
	for j := range x.Of {
		if err := b.schemas.Check(s, x, x.Of[j]); err != nil {
			f.at(fmt.Sprintf("%s.of[%d].type", at, j), 0, err.Error(), "compare the field with the schema")
		}
	}
}

// place checks where a field is read from.
func (b *builder) place(f loadedFile, s *feature.Source, d *fieldDef, x *feature.SourceField, path string) {
	if s.Kind != feature.SourceKafka {
		for _, key := range []string{"key", "header"} {
			if f.nodes[path+"."+key] != nil {
				f.at(path+"."+key, 0, key+" is for fields of kafka sources", "remove it: pushes and requests carry fields by their names")
			}
		}
	} else if f.nodes[path+".header"] != nil {
		switch {
		case d.Header == "":
			f.at(path+".header", -1, "header is empty", "write the header's name")
		case d.Key:
			f.at(path+".header", 0, fmt.Sprintf("field %s is read from the key and from a header", d.Name), "remove one of the two")
		case d.Path != "":
			f.at(path+".path", 0, "path has no meaning in a header", "remove it: the whole header is the value")
		}
		x.Path = ""
	}
	if d.Key && d.Path == "" {
		x.Path = "" // all of the key
	}
	b.fromText(f, s, d, x.Type, path)
	b.quoted(f, s, x, path)
	if f.nodes[path+".of"] != nil {
		b.listOfRecords(f, s, d, x.Type, path)
	}
}

// fromText checks a field that is a header or the key, or a part of the key.
func (b *builder) fromText(f loadedFile, s *feature.Source, d *fieldDef, t feature.Type, path string) {
	switch {
	case s.Kind != feature.SourceKafka || !d.Key && d.Header == "":
	case d.Path != "" && d.Key && s.Schema != nil && s.Schema.Subject == "":
		f.at(path+".path", 0, "the schema of keys is not known", "read the whole key, without path, or name schemas by subject")
	case d.Path != "":
	case t.IsList() && f.nodes[path+".of"] == nil:
		f.at(path+".type", 0, fmt.Sprintf("text cannot be a list, and field %s is a header or a whole key", d.Name), "make the type string or json, or name a part of the key in path:")
	case d.Quoted && s.Format == feature.FormatJSON:
		f.fault(f.nodes[path+".quoted"], path+".quoted", "headers and whole keys are text already", "remove quoted")
	}
}

// listOfRecords checks a field of which the elements have fields.
func (b *builder) listOfRecords(f loadedFile, s *feature.Source, d *fieldDef, t feature.Type, path string) {
	switch {
	case s.Kind == feature.SourceRequest:
		f.at(path+".of", 0, "of is for sources that are stored", "remove it: on-demand views do not unnest")
	case d.Key || d.Header != "":
		f.at(path+".of", 0, "a list of records is read from the value", "remove key and header, or of")
	case len(d.Of) == 0:
		f.at(path+".of", 0, fmt.Sprintf("field %s lists no fields of its elements", d.Name), "write of: [{name: sku, type: string}]")
	case t.Kind != feature.KindInvalid && t != feature.ListOf(feature.Of(feature.KindJSON)):
		f.at(path+".type", 0, fmt.Sprintf("a list of records is list<json>, not %s", t), "leave type out")
	}
}

// quoted checks that a field in quotes is a number, also one that counts time,
// or a list of them.
func (b *builder) quoted(f loadedFile, s *feature.Source, x *feature.SourceField, path string) {
	kind := x.Type.Kind
	switch {
	case !x.Quoted:
	case s.Format != feature.FormatJSON:
		f.at(path+".quoted", 0, "quoted is for format json", "remove it")
	case x.Type == feature.Of(feature.KindTimestamp) && x.Unit == 0:
		f.at(path+".quoted", 0, fmt.Sprintf("quoted is for numbers, and field %s is time as text", x.Name), "remove it, or write the unit that the number counts")
	case kind != feature.KindInvalid && x.Unit == 0 && (kind < feature.KindInt32 || kind > feature.KindFloat64):
		f.at(path+".quoted", 0, fmt.Sprintf("quoted is for numbers, and field %s is %s", x.Name, x.Type), "remove it, or make the type a number")
	}
}

// element adds a field of the elements of a list of records.
func (b *builder) element(f loadedFile, s *feature.Source, d *ofDef, list *feature.SourceField, path string) {
	b.name(f, path, d.Name, "", "")
	if d.Name != "" && slices.ContainsFunc(list.Of, func(x feature.SourceField) bool { return x.Name == d.Name }) {
		f.at(path+".name", 0, fmt.Sprintf("field %s has element field %s twice", list.Name, d.Name), "remove one of the two")
		return
	}
	x := feature.SourceField{Path: d.Path, Unit: unitNames[d.Unit], Quoted: d.Quoted}
	x.Name, x.Type = d.Name, b.typ(f, path, d.Type, 0)
	if x.Path == "" {
		x.Path = d.Name
	}
	b.path(f, d.Path, path)
	b.unit(f, d.Unit, d.Name, x.Type, path)
	b.quoted(f, s, &x, path)
	list.Of = append(list.Of, x)
}

// unnest checks the list whose elements are a view's rows.
func (b *builder) unnest(f loadedFile, d *viewDef, v *feature.View, src *feature.Source, path string) {
	at := path + ".unnest"
	if d.Unnest == nil || f.doubtful(at) {
		return
	}
	v.Unnest = &feature.Unnest{Field: d.Unnest.Field, As: d.Unnest.As}
	b.unnestName(f, v, src, at+".as")
	if src == nil {
		return
	}
	x, ok := src.Field(v.Unnest.Field)
	switch {
	case b.doubts[src.Name].covers(v.Unnest.Field):
	case !ok:
		f.fault(f.nodes[at+".field"], at+".field", fmt.Sprintf("source %s has no field %s", src.Name, v.Unnest.Field), didYouMean(v.Unnest.Field, fieldNames(src)))
	case len(x.Of) == 0:
		f.fault(f.nodes[at+".field"], at+".field", fmt.Sprintf("field %s does not say what its elements hold", x.Name), "declare it with of: [{name: sku, type: string}]")
	}
}

// unnestName checks what a view calls an element: something that expressions
// can begin with, and that nobody takes for a field or feature.
func (b *builder) unnestName(f loadedFile, v *feature.View, src *feature.Source, at string) {
	as, clash := v.Unnest.As, false
	if src != nil {
		_, clash = src.Field(as)
	}
	switch {
	case !identifier.MatchString(as):
		f.fault(f.nodes[at], at, fmt.Sprintf("%q cannot be a name", as), "use letters, digits and underscores, not starting with a digit")
	case !slices.Equal(transforms.Names(as), []string{as}):
		f.fault(f.nodes[at], at, fmt.Sprintf("%q is a word of the expression language", as), "give the elements another name")
	case clash:
		f.fault(f.nodes[at], at, fmt.Sprintf("%s is a field of source %s", as, src.Name), "give the elements another name")
	case slices.Contains(featureNames(v), as):
		f.fault(f.nodes[at], at, fmt.Sprintf("%s is a feature of view %s", as, v.Name), "give the elements another name")
	}
}
