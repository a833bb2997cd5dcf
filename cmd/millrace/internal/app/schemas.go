package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/reflect/protoreflect"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/sources"
	"millrace/sources/avro"
	"millrace/sources/protorec"
)

// Subjects finds the newest schema of a subject of a registry.
type Subjects interface {
	Latest(ctx context.Context, subject string) (sources.Schema, error)
}

// ReadSchemas returns what reads the schemas of the definitions in folder dir.
// Without a registry, subjects is nil.
func ReadSchemas(ctx context.Context, dir string, subjects Subjects) definition.Schemas {
	return &schemaReader{ctx: ctx, dir: dir, subjects: subjects, messages: make(map[string]protoreflect.MessageDescriptor)}
}

type schemaReader struct {
	ctx      context.Context //nolint:containedctx // lives as long as one load of the definitions
	dir      string
	subjects Subjects
	messages map[string]protoreflect.MessageDescriptor // by source
}

func (r *schemaReader) Read(src *feature.Source) (*feature.SourceSchema, []feature.SourceField, error) {
	found, err := r.find(src)
	if err != nil {
		return nil, nil, err
	}
	if src.Format == feature.FormatAvro {
		fields, err := avro.Fields(schemaOf(src.Format, found))
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
	r.messages[src.Name] = md
	return found, protorec.Fields(md), nil
}

// find reads the text of a schema.
func (r *schemaReader) find(src *feature.Source) (*feature.SourceSchema, error) {
	found := *src.Schema
	if found.Subject == "" {
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
	if r.subjects == nil {
		return nil, fmt.Errorf("no schema registry is configured: %w", definition.ErrNoSchema)
	}
	s, err := r.subjects.Latest(r.ctx, found.Subject)
	if err != nil {
		return nil, fmt.Errorf("ask for subject %s: %w: %w", found.Subject, definition.ErrNoSchema, err)
	}
	want := sources.SchemaAvro
	if src.Format == feature.FormatProtobuf {
		want = sources.SchemaProtobuf
	}
	if s.Type != want {
		return nil, fmt.Errorf("subject %s holds a schema of type %s, and the format is %s", found.Subject, s.Type, src.Format)
	}
	found.ID, found.Text, found.References = s.ID, []byte(s.Text), s.References
	return &found, nil
}

func schemaOf(f feature.Format, s *feature.SourceSchema) sources.Schema {
	out := sources.Schema{ID: s.ID, Type: sources.SchemaAvro, Text: string(s.Text), References: s.References}
	if f == feature.FormatProtobuf {
		out.Type = sources.SchemaProtobuf
	}
	return out
}

// Check makes the decoder that would read the field alone, for what it says.
func (r *schemaReader) Check(src *feature.Source, f feature.Field) error {
	one := *src
	one.EventTime = ""
	var err error
	if src.Format == feature.FormatAvro {
		s := schemaOf(src.Format, src.Schema)
		_, err = avro.New(&one, []feature.Field{f}, avro.Settings{Framing: avro.FramingNone, Writers: []sources.Schema{s}, Reader: &s})
	} else {
		_, err = protorec.New(&one, []feature.Field{f}, protorec.Settings{Message: r.messages[src.Name]})
	}
	return err //nolint:wrapcheck // says already what and where
}
