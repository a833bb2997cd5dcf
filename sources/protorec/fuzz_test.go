package protorec_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"millrace/feature"
	"millrace/sources/protorec"
)

const (
	maxFuzzSchema = 10_000
	recursive     = `syntax = "proto2"; message A { optional A a = 1; repeated A n = 2; optional group G = 3 { map<string, A> a = 1; }
oneof o { string b = 4; int64 c = 536870911; } }`
)

// FuzzSchema: whatever a registered schema looks like, nothing panics, and a
// decoder made for it takes whatever bytes.
func FuzzSchema(f *testing.F) {
	wire := []byte{10, 2, 10, 0, 18, 1, 'x', 24, 7, 0x0b, 0x0c}
	for _, schema := range []string{
		tiny, oracleProto3, oracleProto2, recursive, "",
		`syntax = "proto3"; import "google/protobuf/timestamp.proto"; message A { google.protobuf.Timestamp a = 1; map<int32, string> b = 2; }`,
		`syntax = "proto3"; import "confluent/meta.proto"; message A { option (confluent.message_meta) = {doc: "x"}; int64 a = 1; }`,
		`edition = "2023"; message A { repeated int32 a = 1 [features.repeated_field_encoding = EXPANDED]; }`,
		`message A { optional B a = 1; } enum B { X = 0; X = 0; }`, `syntax = "proto3"; import "millrace.registered.proto"; message A {}`,
	} {
		f.Add(schema, wire)
	}
	f.Fuzz(func(t *testing.T, schema string, value []byte) {
		if len(schema) > maxFuzzSchema {
			return
		}
		if md, err := protorec.Compile(t.Context(), protobufSchema(schema), ""); err == nil {
			takes(t, md, value)
		}
	})
}

// FuzzDescriptors is FuzzSchema for descriptor sets, which need not be what a
// compiler writes.
func FuzzDescriptors(f *testing.F) {
	for _, schema := range []string{tiny, oracleProto3, oracleProto2, recursive} {
		file := messageOf(f, schema, "").ParentFile()
		set := new(descriptorpb.FileDescriptorSet)
		for i := range file.Imports().Len() {
			set.File = append(set.File, protodesc.ToFileDescriptorProto(file.Imports().Get(i).FileDescriptor))
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
		b, err := proto.Marshal(set)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, "A", []byte{8, 1})
		f.Add(b, "", []byte{10, 2, 10, 0})
	}
	f.Fuzz(func(t *testing.T, set []byte, name string, value []byte) {
		if len(set) > maxFuzzSchema {
			return
		}
		if md, err := protorec.Load(set, name); err == nil {
			takes(t, md, value)
		}
	})
}

// takes decodes value as an md into the fields that md has, each alone so that
// one that fits no plan spoils no other, into JSON, and along a path.
func takes(t *testing.T, md protoreflect.MessageDescriptor, value []byte) {
	t.Helper()
	fields := protorec.Fields(md)
	for _, f := range fields[:min(len(fields), 20)] {
		asJSON, inside := f, f
		asJSON.Type, asJSON.Path = feature.Of(feature.KindJSON), f.Name
		inside.Name, inside.Path = "inside", f.Name+".a.a"
		for _, field := range []feature.SourceField{f, asJSON, inside} {
			src := sourceOf(field)
			d, err := protorec.New(src, fieldsOf(src), protorec.Settings{
				Message: md, Limits: protorec.Limits{MaxBytes: 1 << 16, MaxJSONBytes: 1 << 12, MaxDepth: 16},
			})
			if err != nil {
				continue
			}
			value = append([]byte{}, value...)
			b, err := decodeWith(t, d, src, value, []byte{}, value)
			if err != nil || b.Rows()+len(b.Rejects) != 3 {
				t.Fatalf("%v, %d rows, %+v", err, b.Rows(), b.Rejects)
			}
			if results := rendering.Outcomes(b, 3); results[0] != results[2] {
				t.Fatalf("%x: %s at first, then %s", value, results[0], results[2])
			}
		}
	}
}
