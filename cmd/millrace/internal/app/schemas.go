package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/feature/history"
	"millrace/sources"
	"millrace/sources/avro"
	"millrace/sources/envelope"
	"millrace/sources/protorec"
)

// Subjects finds the newest schema of a subject of a registry.
type Subjects interface {
	Latest(ctx context.Context, subject string) (sources.Schema, error)
}

// ReadSchemas returns what reads the schemas of the definitions in folder dir.
// Without a registry, subjects is nil.
func ReadSchemas(ctx context.Context, dir string, subjects Subjects) *SchemaReader {
	return &SchemaReader{ctx: ctx, dir: dir, subjects: subjects, messages: make(map[string]protoreflect.MessageDescriptor)}
}

// SchemaReader implements definition.Schemas for one load of definitions.
type SchemaReader struct {
	ctx      context.Context //nolint:containedctx // lives as long as one load of the definitions
	dir      string
	subjects Subjects
	messages map[string]protoreflect.MessageDescriptor // by source

	applied  *history.Applied
	findLast func() (*history.Applied, error) // nil once it was called
	notes    []string
}

var _ definition.Schemas = (*SchemaReader)(nil)

// Prefer makes the schemas of subjects those that were applied, whatever the
// registry has by now: a role runs what was applied.
func (r *SchemaReader) Prefer(a *history.Applied) { r.applied = a }

// FallBack makes the schemas that were applied last stand in for a registry
// that cannot be asked. last is called when one is needed, once at most.
func (r *SchemaReader) FallBack(last func() (*history.Applied, error)) { r.findLast = last }

// Notes says of which sources the schema is not the registry's newest.
func (r *SchemaReader) Notes() []string { return r.notes }

// Read implements definition.Schemas.
func (r *SchemaReader) Read(src *feature.Source) (*feature.SourceSchema, []feature.SourceField, error) {
	found, err := r.find(src)
	if err != nil {
		return nil, nil, err
	}
	if src.Format == feature.FormatAvro {
		fields, err := avro.FieldsWithin(schemaOf(src.Format, found), rowPath(src)...)
		return found, fields, err //nolint:wrapcheck // says already what
	}
	var md protoreflect.MessageDescriptor
	if found.Descriptors != "" {
		md, err = protorec.Load(found.Text, found.Message)
	} else {
		md, err = protorec.Compile(r.ctx, schemaOf(src.Format, found), found.Message)
	}
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // says already what
	}
	for _, name := range rowPath(src) {
		within := md.Fields().ByName(protoreflect.Name(name))
		if within == nil || within.Message() == nil {
			return nil, nil, fmt.Errorf("message %s has no message %s", md.FullName(), name)
		}
		md = within.Message()
	}
	r.messages[src.Name] = md
	return found, protorec.Fields(md), nil
}

// rowPath is where the fields of a source stand in its records.
func rowPath(src *feature.Source) []string {
	if src.Envelope == feature.EnvelopeDebezium {
		return []string{strings.TrimSuffix(envelope.DebeziumRow, ".")}
	}
	return nil
}

// find reads the text of a schema.
func (r *SchemaReader) find(src *feature.Source) (*feature.SourceSchema, error) {
	found := *src.Schema
	if found.Subject != "" {
		return r.ask(src)
	}
	root, err := os.OpenRoot(r.dir) // links do not lead out of it either
	if err != nil {
		return nil, fmt.Errorf("open the folder of definitions: %w", err)
	}
	defer root.Close() //nolint:errcheck // nothing was written
	found.Text, err = root.ReadFile(filepath.Clean(found.File + found.Descriptors))
	if err != nil {
		return nil, fmt.Errorf("read the file: %w", err)
	}
	return &found, nil
}

// ask finds the schema of a subject: what is preferred, otherwise the
// registry's newest, otherwise what was applied last.
func (r *SchemaReader) ask(src *feature.Source) (*feature.SourceSchema, error) {
	if kept := keptSchema(r.applied, src); kept != nil {
		return kept, nil
	}
	found, err := r.newest(src)
	if !errors.Is(err, definition.ErrNoSchema) {
		return found, err
	}
	if r.findLast != nil {
		last := r.findLast
		r.findLast = nil
		if a, lastErr := last(); lastErr == nil {
			r.applied = a
		}
	}
	if kept := keptSchema(r.applied, src); kept != nil {
		r.notes = append(r.notes, fmt.Sprintf("source %s keeps the schema of subject %s that was applied with catalog version %d (id %d): %v",
			src.Name, kept.Subject, r.applied.Version, kept.ID, err))
		return kept, nil
	}
	if r.subjects != nil {
		r.notes = append(r.notes, fmt.Sprintf("source %s is not held against its schema: %v", src.Name, err))
	}
	return nil, err
}

// newest asks the registry.
func (r *SchemaReader) newest(src *feature.Source) (*feature.SourceSchema, error) {
	found := *src.Schema
	if r.subjects == nil {
		return nil, fmt.Errorf("no schema registry is configured: %w", definition.ErrNoSchema)
	}
	s, err := r.subjects.Latest(r.ctx, found.Subject)
	switch want := schemaType(src.Format); {
	case errors.Is(err, sources.ErrUnknownSchema):
		return nil, err //nolint:wrapcheck // names the subject
	case err != nil:
		return nil, fmt.Errorf("%w: %w", definition.ErrNoSchema, err)
	case s.Type != want:
		return nil, fmt.Errorf("subject %s holds a schema of type %s, and the format is %s", found.Subject, s.Type, src.Format)
	}
	found.ID, found.Text, found.References = s.ID, []byte(s.Text), s.References
	return &found, nil
}

// keptSchema is what was applied of the subject of src; nil when that is not
// known.
func keptSchema(a *history.Applied, src *feature.Source) *feature.SourceSchema {
	if a == nil {
		return nil
	}
	s := a.Sources[src.Name].Schema
	if s == nil || s.Subject != src.Schema.Subject || len(s.Text) == 0 {
		return nil
	}
	kept := *s
	kept.Message = src.Schema.Message
	return &kept
}

// RequireSchemas refuses to apply a source of which the schema could not be
// found: its records would be read by whatever the registry has later.
func RequireSchemas(c *feature.Catalog) error {
	for _, s := range c.Sources {
		if s.Schema != nil && len(s.Schema.Text) == 0 {
			return fmt.Errorf("find the schema of source %s, subject %s: no schema registry answers and none was applied before; set schema_registry.urls, or try again when it answers",
				s.Name, s.Schema.Subject)
		}
	}
	return nil
}

func schemaType(f feature.Format) sources.SchemaType {
	if f == feature.FormatProtobuf {
		return sources.SchemaProtobuf
	}
	return sources.SchemaAvro
}

func schemaOf(f feature.Format, s *feature.SourceSchema) sources.Schema {
	return sources.Schema{ID: s.ID, Type: schemaType(f), Text: string(s.Text), References: s.References}
}

// Check implements definition.Schemas.
func (r *SchemaReader) Check(src *feature.Source, list *feature.SourceField, f feature.SourceField) error {
	if src.Format == feature.FormatProtobuf {
		md := r.messages[src.Name]
		if list != nil {
			return protorec.CheckElement(md, *list, f) //nolint:wrapcheck // says already what and where
		}
		return protorec.Check(md, f) //nolint:wrapcheck // says already what and where
	}
	s := schemaOf(src.Format, src.Schema)
	if list != nil {
		return avro.CheckElement(s, placed(src, *list), f) //nolint:wrapcheck // says already what and where
	}
	return avro.Check(s, placed(src, f)) //nolint:wrapcheck // says already what and where
}

// placed is f with the path that it has in a whole record.
func placed(src *feature.Source, f feature.SourceField) feature.SourceField {
	if f.Path == "" {
		f.Path = f.Name
	}
	for _, name := range rowPath(src) {
		f.Path = name + "." + f.Path
	}
	return f
}
