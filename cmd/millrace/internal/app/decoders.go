package app

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"

	"millrace/cmd/millrace/internal/config"
	"millrace/feature"
	"millrace/sources"
	"millrace/sources/avro"
	"millrace/sources/envelope"
	"millrace/sources/jsonrec"
	"millrace/sources/protorec"
	"millrace/sources/schemaregistry"
	"millrace/sources/unnest"
	"millrace/transforms"
)

// OpenRegistry returns the configured schema registry, or nil when there is
// none. Nothing is asked of it yet.
func OpenRegistry(c *config.Config) (*schemaregistry.Registry, error) {
	s := &c.SchemaRegistry
	if len(s.URLs) == 0 {
		return nil, nil //nolint:nilnil // a project need not have one
	}
	r, err := schemaregistry.New(schemaregistry.Settings{
		URLs: s.URLs, User: s.User, Password: s.Password.Reveal(), Token: s.Token.Reveal(), Timeout: s.Timeout.Std(),
		TLS: schemaregistry.TLS{CAFile: s.TLS.CA, CertFile: s.TLS.Cert, KeyFile: s.TLS.Key, Insecure: s.TLS.InsecureSkipVerify},
	})
	if err != nil {
		return nil, fmt.Errorf("configure the schema registry: %w", err)
	}
	return r, nil
}

// OpenSubjects returns what finds the newest schemas of subjects, or nil when
// no registry is configured.
func OpenSubjects(c *config.Config) (Subjects, error) {
	r, err := OpenRegistry(c)
	if r == nil || err != nil {
		return nil, err
	}
	return subjects{r}, nil
}

type subjects struct{ *schemaregistry.Registry }

func (s subjects) Latest(ctx context.Context, subject string) (sources.Schema, error) {
	found, _, err := s.Registry.Latest(ctx, subject)
	return found, err //nolint:wrapcheck // says already what
}

// decoders makes the decoders of a project's sources: the format's in the
// middle, around it what reads envelopes, keys and headers, and around that
// what makes a row per element.
type decoders struct {
	schemas sources.Schemas // of the registry; nil without one
	plain   bool            // records are JSON of the source's paths, whatever its format
}

func newDecoders(c *config.Config) (*decoders, error) {
	r, err := OpenRegistry(c)
	if r == nil || err != nil {
		return &decoders{}, err
	}
	return &decoders{schemas: r}, nil
}

// shape makes a decoder of src's records into one shape.
func (d *decoders) shape(src *feature.Source, s transforms.Shape) (sources.Decoder, error) {
	f, err := d.format(src)
	if err != nil {
		return nil, err
	}
	if s.Unnest == nil {
		return f.records(unnest.Part{Source: f.src, Fields: s.Fields})
	}
	return unnest.New(f.src, *s.Unnest, s.Fields, f.part) //nolint:wrapcheck // names the source
}

// fields makes a decoder of src's rows as they come through the API, into one
// shape: JSON of the fields' names, whatever the source's format. It reads
// nothing but the value.
func (d *decoders) fields(src *feature.Source, s transforms.Shape) (sources.Decoder, error) {
	return d.shape(src.Flat(), s)
}

// finished makes a decoder of finished rows of a view.
func (d *decoders) finished(p *transforms.Plan) (sources.Decoder, error) {
	f, err := d.format(p.Source)
	if err != nil {
		return nil, err
	}
	keys := p.Entity.JoinKeys
	inner, err := jsonrec.NewFinished(keys, p.FinishedColumns())
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says of which view
	}
	return envelope.NewFinished(f.src, p.FinishedFields(), len(keys), inner, f.formats(unnest.Part{})) //nolint:wrapcheck // names the source
}

// format is how the values of one source are written.
type format struct {
	src     *feature.Source
	schemas sources.Schemas
	message protoreflect.MessageDescriptor // of Protobuf with a descriptor set
}

func (d *decoders) format(src *feature.Source) (*format, error) {
	f := &format{src: src, schemas: d.schemas}
	if d.plain || src.Format == feature.FormatJSON {
		plain := *src
		plain.Format, plain.Schema = feature.FormatJSON, nil
		f.src = &plain
		return f, nil
	}
	s := src.Schema
	switch {
	case s == nil:
		return nil, fmt.Errorf("decode source %s: format %s needs a schema", src.Name, src.Format)
	case s.Subject != "" && d.schemas == nil:
		return nil, fmt.Errorf("decode source %s: its schemas are in a registry, and none is configured; set schema_registry.urls in %s", src.Name, config.FileName)
	case s.Descriptors != "":
		var err error
		if f.message, err = protorec.Load(s.Text, s.Message); err != nil {
			return nil, fmt.Errorf("decode source %s: %w", src.Name, err)
		}
	}
	return f, nil
}

// part makes the decoder of records, or of elements, which have nothing around
// them.
func (f *format) part(p unnest.Part) (sources.Decoder, error) {
	if p.At == "" {
		return f.records(p)
	}
	if f.src.Envelope == feature.EnvelopeDebezium {
		p.At = envelope.DebeziumRow + p.At
	}
	return f.value(p)
}

func (f *format) records(p unnest.Part) (sources.Decoder, error) {
	return envelope.New(p.Source, p.Fields, f.formats(p)) //nolint:wrapcheck // names the source
}

func (f *format) formats(p unnest.Part) envelope.Formats {
	return envelope.Formats{
		JSON: newJSON,
		Key:  f.key,
		Value: func(src *feature.Source, fields []feature.Field) (sources.Decoder, error) {
			return f.value(unnest.Part{Source: src, Fields: fields, Raw: p.Raw})
		},
	}
}

func newJSON(src *feature.Source, fields []feature.Field) (sources.Decoder, error) {
	return jsonrec.New(src, fields) //nolint:wrapcheck // names the source
}

// value makes the decoder of the format itself.
func (f *format) value(p unnest.Part) (sources.Decoder, error) {
	switch f.src.Format {
	case feature.FormatAvro:
		return avro.New(p.Source, p.Fields, f.avro(p)) //nolint:wrapcheck // names the source
	case feature.FormatProtobuf:
		return protorec.New(p.Source, p.Fields, protorec.Settings{ //nolint:wrapcheck // names the source
			Message: f.message, Schemas: f.schemas, Name: f.src.Schema.Message, Raw: p.Raw, At: p.At,
		})
	default:
		return newJSON(p.Source, p.Fields)
	}
}

// avro reads records as what was pinned; without that (all fields are declared
// and no registry answered) as what their writers called things.
func (f *format) avro(p unnest.Part) avro.Settings {
	s := avro.Settings{Framing: avro.FramingConfluent, Schemas: f.schemas, Raw: p.Raw, At: p.At}
	if len(f.src.Schema.Text) > 0 {
		reader := schemaOf(f.src.Format, f.src.Schema)
		s.Reader = &reader
	}
	if f.src.Schema.Subject == "" {
		s.Framing, s.Schemas, s.Writers = avro.FramingNone, nil, []sources.Schema{*s.Reader}
	}
	return s
}

// key makes the decoder of keys that have fields: each names its schema, as
// values do, but what was pinned is the schema of values.
func (f *format) key(src *feature.Source, fields []feature.Field) (sources.Decoder, error) {
	switch {
	case f.src.Format == feature.FormatJSON:
		return newJSON(src, fields)
	case f.src.Schema.Subject == "":
		return nil, errors.New("the schema of keys is not known: read the whole key, without path, or name schemas by subject")
	case f.src.Format == feature.FormatAvro:
		return avro.New(src, fields, avro.Settings{Framing: avro.FramingConfluent, Schemas: f.schemas}) //nolint:wrapcheck // names the source
	default:
		return protorec.New(src, fields, protorec.Settings{Schemas: f.schemas}) //nolint:wrapcheck // names the source
	}
}
