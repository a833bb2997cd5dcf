package envelope_test

import (
	"context"
	"testing"

	library "github.com/twmb/avro"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/avro"
	"millrace/sources/envelope"
	"millrace/sources/jsonrec"
	"millrace/sources/protorec"
	"millrace/sources/sourcetest"
)

// script is what scripts of envelopes have beyond sourcetest.Script. The format
// is JSON until a schema is given, which holds for the sources that follow:
//
//	avro VALUE_SCHEMA               then records are Avro's JSON
//	avro_key SCHEMA
//	proto … end                     messages Value and Key; then records are prototext
//	record TEXT
//	encoded_key TEXT                in the format
//	finished N                      the first N fields are the keys of finished rows
type script struct {
	value, key   string // Avro
	proto        string
	within       bool
	values, keys protoreflect.MessageDescriptor
	finished     int
}

func TestScripts(t *testing.T) {
	sourcetest.RunScripts(t, sourcetest.Rendering{PlainJSON: true}, func() sourcetest.ScriptFormat { return new(script) })
}

func (f *script) Begin() { f.finished = 0 }

func (f *script) Line(s *sourcetest.Script, verb, rest string) bool {
	switch {
	case f.within && verb == "end":
		f.within = false
		f.values, f.keys = message(s.T, f.proto, "Value"), message(s.T, f.proto, "Key")
	case f.within:
		f.proto += verb + " " + rest + "\n"
	case verb == "proto":
		s.Begin()
		*f = script{within: true}
	case verb == "avro":
		s.Begin()
		*f = script{value: rest}
	case verb == "avro_key":
		f.key = rest
	case verb == "record":
		s.Record(f.encode(s.T, rest, f.value, f.values))
	case verb == "plain": // the value's bytes as they stand
		s.Record([]byte(rest))
	case verb == "encoded_key":
		s.Key(f.encode(s.T, rest, f.key, f.keys))
	case verb == "finished":
		f.finished = len(rest)
	default:
		return false
	}
	return true
}

func (f *script) encode(t testing.TB, text, schema string, md protoreflect.MessageDescriptor) []byte {
	t.Helper()
	var b []byte
	var err error
	switch {
	case md != nil:
		m := dynamicpb.NewMessage(md)
		if err = prototext.Unmarshal([]byte(text), m); err == nil {
			b, err = proto.MarshalOptions{Deterministic: true}.MarshalAppend([]byte{}, m)
		}
	case schema != "":
		var v any
		c, parseErr := library.Parse(schema)
		if parseErr != nil {
			t.Fatal(parseErr)
		}
		if err = c.DecodeJSON([]byte(text), &v); err == nil {
			b, err = c.Encode(v)
		}
	default:
		b = []byte(text)
	}
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return b
}

func (f *script) Decoder(s *sourcetest.Script) (sources.Decoder, error) {
	formats := envelope.Formats{Value: json, Key: json, JSON: json}
	s.Source.Format = feature.FormatJSON
	switch {
	case f.values != nil:
		s.Source.Format = feature.FormatProtobuf
		formats.Value, formats.Key = protobuf(f.values), protobuf(f.keys)
	case f.value != "":
		s.Source.Format = feature.FormatAvro
		formats.Value, formats.Key = binary(f.value), binary(f.key)
	}
	if f.finished > 0 {
		inner, err := jsonrec.NewFinished(s.Fields[:f.finished], s.Source.Fields[f.finished:])
		if err != nil {
			return nil, err
		}
		return decoder(envelope.NewFinished(&s.Source, s.Fields, f.finished, inner, formats))
	}
	return decoder(envelope.New(&s.Source, s.Fields, formats))
}

func decoder(d *envelope.Decoder, err error) (sources.Decoder, error) { return d, err }

func json(src *feature.Source, fields []feature.Field) (sources.Decoder, error) {
	return jsonrec.New(src, fields)
}

func binary(schema string) envelope.Format {
	return func(src *feature.Source, fields []feature.Field) (sources.Decoder, error) {
		s := sources.Schema{Type: sources.SchemaAvro, Text: schema}
		return avro.New(src, fields, avro.Settings{Framing: avro.FramingNone, Writers: []sources.Schema{s}})
	}
}

func protobuf(md protoreflect.MessageDescriptor) envelope.Format {
	return func(src *feature.Source, fields []feature.Field) (sources.Decoder, error) {
		return protorec.New(src, fields, protorec.Settings{Message: md})
	}
}

func message(t testing.TB, text, name string) protoreflect.MessageDescriptor {
	t.Helper()
	md, err := protorec.Compile(context.Background(), sources.Schema{Type: sources.SchemaProtobuf, Text: text}, name)
	if err != nil {
		t.Fatal(err)
	}
	return md
}
