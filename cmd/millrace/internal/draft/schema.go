package draft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/protorec"
)

// Schemas is a schema registry.
type Schemas interface {
	Schema(ctx context.Context, id int32) (sources.Schema, error)
	Latest(ctx context.Context, subject string) (s sources.Schema, version int, err error)
}

// FromRecords drafts a source of whatever records are. registry may be nil.
func FromRecords(ctx context.Context, name, topic string, records []sources.Record, registry Schemas) (*Source, error) {
	frames, total := framesOf(records)
	if len(frames)*2 <= total {
		return FromJSON(name, topic, records)
	}
	if registry == nil {
		return nil, fmt.Errorf("draft a source of topic %s: its records name schemas of a registry; set schema_registry.urls in millrace.yaml, or MILLRACE_SCHEMA_REGISTRY_URLS", topic)
	}
	written, err := registry.Schema(ctx, frames[len(frames)-1].id)
	if err != nil {
		return nil, fmt.Errorf("draft a source of topic %s: %w", topic, err)
	}
	d := drafter{ctx: ctx, registry: registry, s: &Source{Name: name, Topic: topic}}
	if err := d.find(written); err != nil {
		return nil, err
	}
	d.s.notef("Drafted from %d records of topic %s and the newest schema of their subject. Keep the fields that views use.", len(frames), topic)
	if n := schemasIn(frames); n > 1 {
		d.s.notef("They were written with %d schemas; each is read by its own.", n)
	}
	if slices.ContainsFunc(records, func(r sources.Record) bool {
		return slices.ContainsFunc(r.Headers, func(h sources.Header) bool { return h.Key == "ce_specversion" })
	}) {
		d.s.Envelope = feature.EnvelopeCloudEvents
	}
	d.indexes = frames[len(frames)-1].indexes
	return d.draft(records)
}

// FromSubject drafts a source of the newest schema of a subject.
func FromSubject(ctx context.Context, name, topic, subject string, registry Schemas) (*Source, error) {
	d := drafter{ctx: ctx, registry: registry, s: &Source{Name: name, Topic: topic, Subject: subject}}
	var err error
	if d.schema, _, err = registry.Latest(ctx, subject); err != nil {
		return nil, fmt.Errorf("draft a source of subject %s: %w", subject, err)
	}
	d.s.notef("Drafted from the newest schema of subject %s. Keep the fields that views use.", subject)
	return d.draft(nil)
}

// frame is what Confluent's header of a value says.
type frame struct {
	id      int32
	indexes []byte // of Protobuf: where the message stands in its file
}

// framesOf lists the headers of values that have one, and counts values.
func framesOf(records []sources.Record) (frames []frame, total int) {
	for i := range records {
		v := records[i].Value
		if v == nil {
			continue
		}
		total++
		if f, ok := frameOf(v); ok {
			frames = append(frames, f)
		}
	}
	return frames, total
}

const frameBytes = 5

func frameOf(v []byte) (frame, bool) {
	if len(v) < frameBytes || v[0] != 0 {
		return frame{}, false
	}
	return frame{int32(binary.BigEndian.Uint32(v[1:])), v[frameBytes:]}, true
}

func schemasIn(frames []frame) int {
	ids := make(map[int32]bool)
	for _, f := range frames {
		ids[f.id] = true
	}
	return len(ids)
}

// drafter drafts a source of a schema.
type drafter struct {
	ctx      context.Context //nolint:containedctx // lives as long as one draft
	registry Schemas
	s        *Source
	schema   sources.Schema
	indexes  []byte
}

// find looks for the subject that a schema is of, under the usual names.
func (d *drafter) find(written sources.Schema) error {
	names := []string{d.s.Topic + "-value"}
	if written.Type == sources.SchemaAvro {
		if r, err := parseAvro(written); err == nil {
			names = append(names, r.full, d.s.Topic+"-"+r.full)
		}
	}
	for _, subject := range names {
		latest, _, err := d.registry.Latest(d.ctx, subject)
		switch {
		case err == nil && latest.Type == written.Type:
			d.s.Subject, d.schema = subject, latest
			return nil
		case err != nil && !errors.Is(err, sources.ErrUnknownSchema):
			return fmt.Errorf("find the subject of schema %d: %w", written.ID, err)
		}
	}
	return fmt.Errorf("find the subject of schema %d, which records of topic %s are written with: there is no subject %s; name it with --subject",
		written.ID, d.s.Topic, strings.Join(names, ", nor "))
}

func (d *drafter) draft(records []sources.Record) (*Source, error) {
	f := &flattener{s: d.s, names: make(map[string]bool)}
	f.schemaKeys(d, records)
	var err error
	switch d.schema.Type {
	case sources.SchemaAvro:
		d.s.Format = feature.FormatAvro
		err = f.avro(d)
	case sources.SchemaProtobuf:
		d.s.Format = feature.FormatProtobuf
		err = f.proto(d)
	case sources.SchemaJSON:
		err = errors.New("it is a JSON Schema, whose records Millrace does not read: write plain JSON, Avro or Protobuf")
	default:
		err = fmt.Errorf("it is of the unknown type %q", d.schema.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("draft a source of subject %s: %w", d.s.Subject, err)
	}
	d.s.Notes, d.s.Fields = append(d.s.Notes, f.notes...), f.fields
	if len(d.s.Fields) == 0 {
		return nil, fmt.Errorf("draft a source of subject %s: its schema has no fields", d.s.Subject)
	}
	d.s.pickEventTime()
	return d.s, nil
}

// schemaKeys adds the fields of keys: those of their schema, or the whole.
func (f *flattener) schemaKeys(d *drafter, records []sources.Record) {
	o := &observation{}
	framed := 0
	var last frame
	for i := range records {
		if k, ok := frameOf(records[i].Key); ok {
			framed, last = framed+1, k
		}
		o.total++
		o.keys.see(&records[i], nil)
	}
	if framed == 0 {
		f.keys(o)
		return
	}
	const unread = "Keys name a schema of the registry that has no fields to read; {name: x, type: bytes, key: true} is the whole key."
	schema, err := d.registry.Schema(d.ctx, last.id)
	if err != nil || schema.Type != sources.SchemaAvro || d.schema.Type != sources.SchemaAvro {
		f.notes = append(f.notes, unread)
		return
	}
	r, err := parseAvro(schema)
	if err != nil {
		f.notes = append(f.notes, unread)
		return
	}
	for _, x := range r.fields {
		x.Path, x.Key = x.Name, true
		x.Name = column(x.Name, f.names)
		f.fields = append(f.fields, Field{SourceField: x, steady: true})
	}
}

// add adds a field of a schema that stands at path.
func (f *flattener) add(x feature.SourceField, path []string) {
	full := strings.Join(path, ".")
	if f.s.Envelope == feature.EnvelopeDebezium && f.inKey(full) || len(f.fields) >= maxFields {
		return
	}
	x.Name, x.Path = column(strings.Join(path, "_"), f.names), ""
	if x.Name != full {
		x.Path = full
	}
	f.fields = append(f.fields, Field{SourceField: x, steady: x.Type == feature.Of(feature.KindTimestamp) && len(path) == 1 && timeRank(&Field{SourceField: x}) < len(timeNames)})
}

// proto adds the fields of a Protobuf message.
func (f *flattener) proto(d *drafter) error {
	md, err := protorec.Compile(d.ctx, d.schema, "")
	if err != nil {
		return err //nolint:wrapcheck // says already what
	}
	if named := messageAt(md.ParentFile(), d.indexes); named != nil && named != md {
		md, d.s.Message = named, string(named.FullName())
	}
	f.message(md, nil)
	return nil
}

// messageAt finds the message that the indexes in a record's header name.
func messageAt(file protoreflect.FileDescriptor, header []byte) protoreflect.MessageDescriptor {
	count, n := binary.Varint(header)
	if n <= 0 || count <= 0 {
		return nil // none, or the first
	}
	var md protoreflect.MessageDescriptor
	in := file.Messages()
	for range count {
		header = header[n:]
		var i int64
		if i, n = binary.Varint(header); n <= 0 || i < 0 || i >= int64(in.Len()) {
			return nil
		}
		md = in.Get(int(i))
		in = md.Messages()
	}
	return md
}

const maxMessages = 6 // within each other, in a draft

func (f *flattener) message(md protoreflect.MessageDescriptor, path []string) {
	for _, x := range protorec.Fields(md) {
		fd := md.Fields().ByName(protoreflect.Name(x.Name))
		at := append(slices.Clip(path), x.Name)
		switch plain := x.Type == feature.Of(feature.KindJSON) && fd.Message() != nil && !fd.IsMap() && fd.Message().ParentFile().Package() != "google.protobuf"; {
		case plain && !fd.IsList() && len(at) < maxMessages:
			f.message(fd.Message(), at)
			continue
		case plain && fd.IsList():
			x.Type = feature.ListOf(x.Type)
			x.Of = elements(protorec.Fields(fd.Message()))
		}
		f.add(x, at)
	}
}

// elements are the fields of a list's records.
func elements(fields []feature.SourceField) []feature.SourceField {
	names := make(map[string]bool)
	for i := range fields {
		path := fields[i].Name
		if fields[i].Name = column(path, names); fields[i].Name != path {
			fields[i].Path = path
		}
	}
	return fields
}
