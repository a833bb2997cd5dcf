package protorec_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"millrace/sources"
	"millrace/sources/protorec"
	"millrace/sources/sourcetest"
)

// script is what scripts of Protobuf have beyond sourcetest.Script:
//
//	proto … end                     a .proto file; its first message counts
//	message NAME                    unless another one is named
//	record TEXT                     in prototext; encodings joined by | follow each other
//	hex BYTES
//
// The message holds for all sources up to the next one.
type script struct {
	md     protoreflect.MessageDescriptor
	schema string
	within bool // the .proto file
}

var rendering = sourcetest.Rendering{PlainJSON: true}

func TestScripts(t *testing.T) {
	sourcetest.RunScripts(t, rendering, func() sourcetest.ScriptFormat { return new(script) })
}

func (*script) Begin() {}

func (f *script) Line(s *sourcetest.Script, verb, rest string) bool {
	switch {
	case f.within && verb == "end" && rest == "":
		f.md, f.within = messageOf(s.T, f.schema, ""), false
	case f.within:
		f.schema += strings.TrimSuffix(verb+" "+rest, " ") + "\n"
	case verb == "proto":
		s.Begin()
		*f = script{within: true}
	case verb == "message":
		f.md = messageOf(s.T, f.schema, rest)
	case verb == "record":
		s.Record(encode(s.T, f.md, rest))
	case verb == "hex":
		s.Record(sourcetest.Hex(s.T, rest))
	default:
		return false
	}
	return true
}

func (f *script) Decoder(s *sourcetest.Script) (sources.Decoder, error) {
	return protorec.New(&s.Source, s.Fields, protorec.Settings{Message: f.md})
}

// messageOf compiles a .proto file.
func messageOf(t testing.TB, text, name string) protoreflect.MessageDescriptor {
	t.Helper()
	md, err := protorec.Compile(t.Context(), sources.Schema{Type: sources.SchemaProtobuf, Text: text}, name)
	if err != nil {
		t.Fatal(err)
	}
	return md
}

// encode writes messages one after the other.
func encode(t testing.TB, md protoreflect.MessageDescriptor, text string) []byte {
	t.Helper()
	out := []byte{}
	for part := range strings.SplitSeq(text, "|") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		m := dynamicpb.NewMessage(md)
		if strings.HasPrefix(part, "0x") {
			out = append(out, sourcetest.Hex(t, part[2:])...)
			continue
		}
		if err := (prototext.UnmarshalOptions{AllowPartial: true}).Unmarshal([]byte(part), m); err != nil {
			t.Fatalf("%s: %v", part, err)
		}
		var err error
		if out, err = (proto.MarshalOptions{AllowPartial: true, Deterministic: true}).MarshalAppend(out, m); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
