package unnest_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	library "github.com/twmb/avro"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/avro"
	"millrace/sources/jsonrec"
	"millrace/sources/protorec"
	"millrace/sources/sourcetest"
	"millrace/sources/unnest"
)

// script is what scripts have beyond sourcetest.Script; "format" comes first:
//
//	format json|avro|protobuf
//	reader SCHEMA                   what Avro is read as
//	writer SCHEMA                   in Avro, of the records that follow
//	proto … end                     the same in Protobuf
//	list NAME [path=]               the list of records
//	element NAME TYPE [path=] [unit=] of it; decoded, as item.NAME
//	record JSON|PROTOTEXT
//	hex BYTES                       without a frame
type script struct {
	format  string
	reader  *sources.Schema
	schemas registry
	text    string // of a .proto file
	within  bool   // it
	md      protoreflect.MessageDescriptor
	list    int
}

var rendering = sourcetest.Rendering{PlainJSON: true}

func TestScripts(t *testing.T) {
	sourcetest.RunScripts(t, rendering, func() sourcetest.ScriptFormat { return new(script) })
}

func (f *script) Begin() {
	*f = script{format: f.format}
}

func (f *script) Line(s *sourcetest.Script, verb, rest string) bool {
	switch {
	case f.within && verb == "end":
		f.within = false
		f.schemas = append(f.schemas, sources.Schema{Type: sources.SchemaProtobuf, Text: f.text})
		f.md = messageOf(s.T, f.text)
	case f.within:
		f.text += verb + " " + rest + "\n"
	case verb == "format":
		f.format = rest
	case verb == "proto":
		f.within, f.text = true, ""
	case verb == "reader":
		f.reader = &sources.Schema{Type: sources.SchemaAvro, Text: rest}
	case verb == "writer":
		f.schemas = append(f.schemas, sources.Schema{Type: sources.SchemaAvro, Text: rest})
	case verb == "list":
		f.list = len(s.Source.Fields)
		name, path, _ := strings.Cut(rest, " path=")
		s.Source.Fields = append(s.Source.Fields, feature.SourceField{
			Field: feature.Field{Name: name, Type: feature.ListOf(feature.Of(feature.KindJSON))}, Path: path,
		})
	case verb == "element":
		f.element(s, strings.Fields(rest))
	case verb == "record":
		s.Record(f.record(s.T, rest))
	case verb == "hex":
		s.Record(f.frame(sourcetest.Hex(s.T, rest)))
	default:
		return false
	}
	return true
}

// element makes a declaration one of a field of the list's elements.
func (f *script) element(s *sourcetest.Script, words []string) {
	s.Declare(words, true)
	last := len(s.Source.Fields) - 1
	list := &s.Source.Fields[f.list]
	list.Of = append(list.Of, s.Source.Fields[last])
	s.Source.Fields = s.Source.Fields[:last]
	s.Fields[len(s.Fields)-1].Name = "item." + words[0]
}

func (f *script) record(t testing.TB, text string) []byte {
	switch f.format {
	case "avro":
		return f.frame(encodeAvro(t, f.schemas[len(f.schemas)-1].Text, text))
	case "protobuf":
		return f.frame(encodeProto(t, f.md, text))
	default:
		return []byte(text)
	}
}

func (f *script) frame(value []byte) []byte {
	return frame(f.format, len(f.schemas)-1, value)
}

// frame puts Confluent's header before a value.
func frame(format string, id int, value []byte) []byte {
	if format == "json" || strings.HasPrefix(format, "plain ") {
		return value
	}
	head := binary.BigEndian.AppendUint32([]byte{0}, uint32(id))
	if format == "protobuf" {
		head = append(head, 0) // the first message
	}
	return append(head, value...)
}

func (f *script) Decoder(s *sourcetest.Script) (sources.Decoder, error) {
	u := feature.Unnest{Field: s.Source.Fields[f.list].Name, As: "item"}
	return unnest.New(&s.Source, u, s.Fields, decoders(f.format, f.schemas, f.reader))
}

// decoders returns what makes the decoders of a format.
func decoders(format string, schemas registry, reader *sources.Schema) func(unnest.Part) (sources.Decoder, error) {
	return decodersOf(format, schemas, reader)
}

func decodersOf(format string, schemas sources.Schemas, reader *sources.Schema) func(unnest.Part) (sources.Decoder, error) {
	return func(p unnest.Part) (sources.Decoder, error) {
		switch format {
		case "avro":
			return avro.New(p.Source, p.Fields, avro.Settings{Schemas: schemas, Reader: reader, Raw: p.Raw, At: p.At})
		case "protobuf":
			return protorec.New(p.Source, p.Fields, protorec.Settings{Schemas: schemas, Raw: p.Raw, At: p.At})
		case "plain avro":
			plain := []sources.Schema{schemas.(registry)[0]}
			return avro.New(p.Source, p.Fields, avro.Settings{Framing: avro.FramingNone, Writers: plain, Raw: p.Raw, At: p.At})
		case "plain protobuf":
			md, err := protorec.Compile(context.Background(), schemas.(registry)[0], "")
			if err != nil {
				return nil, err
			}
			return protorec.New(p.Source, p.Fields, protorec.Settings{Message: md, Raw: p.Raw, At: p.At})
		default:
			return jsonrec.New(p.Source, p.Fields)
		}
	}
}

// registry is a sources.Schemas of this process.
type registry []sources.Schema

func (r registry) Schema(_ context.Context, id int32) (sources.Schema, error) {
	if int(id) >= len(r) {
		return sources.Schema{}, fmt.Errorf("schema %d: %w", id, sources.ErrUnknownSchema)
	}
	s := r[id]
	s.ID = id
	return s, nil
}

func encodeAvro(t testing.TB, schema, text string) []byte {
	t.Helper()
	c, err := library.Parse(schema)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := c.DecodeJSON([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	value, err := c.Encode(v)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return value
}

func messageOf(t testing.TB, text string) protoreflect.MessageDescriptor {
	t.Helper()
	md, err := protorec.Compile(t.Context(), sources.Schema{Type: sources.SchemaProtobuf, Text: text}, "")
	if err != nil {
		t.Fatal(err)
	}
	return md
}

func encodeProto(t testing.TB, md protoreflect.MessageDescriptor, text string) []byte {
	t.Helper()
	m := dynamicpb.NewMessage(md)
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	value, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clip(value)
}
