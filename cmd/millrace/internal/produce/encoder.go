// Package produce writes rows as the records that a source reads: in its
// format, with its key, headers and envelope. It is the other end of the
// decoders, made of other people's encoders, so that each proves the other.
//
// Invariant: a row is written whole or refused with the field that does not
// fit; nothing in it is left out or changed silently.
package produce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/feature"
	"millrace/sources"
)

// Settings say what a source leaves open.
type Settings struct {
	Key   string           // field whose text is the record's key; "" where the source reads fields from keys, or none is wanted
	Clock func() time.Time // of envelopes
}

// Encoder writes rows of one source. It belongs to one goroutine.
type Encoder struct {
	src    *feature.Source
	clock  func() time.Time
	format format
	frame  []byte                // in front of every value
	value  []feature.SourceField // in the value, outer ones first
	key    []feature.SourceField // in the key
	header []feature.SourceField
}

// format is how values are written: trees of maps and lists, by paths.
type format interface {
	// leaf turns v, which canonical has made of f's value, into what stands at
	// path in the tree. v may be nil.
	leaf(path []string, f *feature.SourceField, v any) (any, error)
	// element is the format of the elements of the list at path.
	element(path []string) (format, error)
	marshal(tree map[string]any) ([]byte, error)
}

// New returns an encoder for a source whose schema has been read.
func New(ctx context.Context, src *feature.Source, s Settings) (*Encoder, error) {
	e, err := newEncoder(ctx, src, s)
	if err != nil {
		return nil, fmt.Errorf("write records of source %s: %w", src.Name, err)
	}
	return e, nil
}

func newEncoder(ctx context.Context, src *feature.Source, s Settings) (*Encoder, error) {
	if src.Topic == "" {
		return nil, errors.New("it has no topic")
	}
	e := &Encoder{src: src, clock: s.Clock}
	for _, f := range src.Fields {
		switch {
		case f.Key:
			e.key = append(e.key, f)
		case f.Header != "":
			e.header = append(e.header, f)
		default:
			e.value = append(e.value, f)
		}
	}
	outerFirst(e.value)
	if err := e.keyOf(s.Key); err != nil {
		return nil, err
	}
	var err error
	e.format, e.frame, err = openFormat(ctx, src)
	return e, err
}

// keyOf checks how the key is to be written.
func (e *Encoder) keyOf(name string) error {
	for _, f := range e.key {
		if f.Path != "" && e.src.Format != feature.FormatJSON {
			return fmt.Errorf("field %s stands in a key in %s, which cannot be written yet", f.Name, e.src.Format)
		}
	}
	if name == "" {
		return nil
	}
	f, ok := e.src.Field(name)
	switch {
	case !ok:
		return unknown(name, e.src.Fields)
	case len(e.key) > 0:
		return fmt.Errorf("it reads field %s from the record's key, so that is what the key holds: leave --key out", e.key[0].Name)
	case f.Type.IsList():
		return fmt.Errorf("field %s is %s, which is no text for a key", name, f.Type)
	}
	f.Path = "" // all of the key
	e.key = append(e.key, f)
	return nil
}

func openFormat(ctx context.Context, src *feature.Source) (format, []byte, error) {
	switch src.Format {
	case feature.FormatAvro:
		return openAvro(src.Schema)
	case feature.FormatProtobuf:
		return openProtobuf(ctx, src.Schema)
	default:
		return jsonFormat{}, nil, nil
	}
}

// Encode writes one row: field names and their values as encoding/json reads
// them, with numbers as json.Number. It takes row over.
func (e *Encoder) Encode(row map[string]any) (*kgo.Record, error) {
	if err := known(row, e.src.Fields); err != nil {
		return nil, err
	}
	rec := &kgo.Record{Topic: e.src.Topic}
	var err error
	if rec.Key, err = e.encodeKey(row); err != nil {
		return nil, err
	}
	if rec.Headers, err = e.headers(row); err != nil {
		return nil, err
	}
	tree, err := e.tree(row)
	if err != nil {
		return nil, err
	}
	text, err := e.format.marshal(tree)
	if err != nil {
		return nil, err
	}
	rec.Value = append(slices.Clip(e.frame), text...)
	return rec, nil
}

// tree is the value before it becomes bytes.
func (e *Encoder) tree(row map[string]any) (map[string]any, error) {
	if e.src.Envelope != feature.EnvelopeDebezium {
		return fill(e.format, e.value, row, nil)
	}
	tree, err := fill(e.format, e.value, row, []string{"after"})
	if err != nil {
		return nil, err
	}
	return tree, e.change(tree)
}

func (e *Encoder) encodeKey(row map[string]any) ([]byte, error) {
	var parts []feature.SourceField
	for i := range e.key {
		f := &e.key[i]
		if f.Path != "" {
			parts = append(parts, *f)
			continue
		}
		return text(f, row[f.Name])
	}
	if len(parts) == 0 {
		return nil, nil
	}
	outerFirst(parts)
	tree, err := fill(jsonFormat{}, parts, row, nil)
	if err != nil || len(tree) == 0 {
		return nil, err
	}
	return jsonFormat{}.marshal(tree)
}

func (e *Encoder) headers(row map[string]any) ([]kgo.RecordHeader, error) {
	var all []kgo.RecordHeader
	if !e.src.TransformOnWrite {
		all = append(all, kgo.RecordHeader{Key: sources.HeaderTransformOnWrite, Value: []byte("true")}) // else it would be a finished row
	}
	if e.src.Envelope == feature.EnvelopeCloudEvents {
		all = append(all, e.event()...)
	}
	for i := range e.header {
		f := &e.header[i]
		v, err := text(f, row[f.Name])
		if err != nil {
			return nil, err
		}
		if v != nil {
			all = append(all, kgo.RecordHeader{Key: f.Header, Value: v}) // the last of a name counts
		}
	}
	return all, nil
}

// fieldError says which field does not fit.
type fieldError struct {
	field string
	err   error
}

func (e *fieldError) Error() string { return "field " + e.field + ": " + e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// known refuses names that are not fields.
func known(row map[string]any, fields []feature.SourceField) error {
	for _, name := range slices.Sorted(maps.Keys(row)) {
		if !slices.ContainsFunc(fields, func(f feature.SourceField) bool { return f.Name == name }) {
			return unknown(name, fields)
		}
	}
	return nil
}

func unknown(name string, fields []feature.SourceField) error {
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	return &fieldError{name, fmt.Errorf("is not declared; there are: %s", strings.Join(names, ", "))}
}

// outerFirst puts what holds other fields before these.
func outerFirst(fields []feature.SourceField) {
	slices.SortStableFunc(fields, func(a, b feature.SourceField) int { return cmp.Compare(len(pathOf(&a)), len(pathOf(&b))) })
}

func pathOf(f *feature.SourceField) []string {
	if f.Path == "" {
		return []string{f.Name}
	}
	return strings.Split(f.Path, ".")
}

// Value writes a row given as JSON text, and returns the record's value alone.
func (e *Encoder) Value(row []byte) ([]byte, error) {
	r := parse(row)
	if r.Fault != nil {
		return nil, r.Fault
	}
	rec, err := e.Encode(r.Fields)
	if err != nil {
		return nil, err
	}
	return rec.Value, nil
}
