package protorec

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"millrace/sources"
)

// Load finds a message in a descriptor set, as `buf build -o` and
// `protoc --include_imports -o` write it. name is its full name; "" stands for
// the only message of the set's last file.
func Load(set []byte, name string) (protoreflect.MessageDescriptor, error) {
	var files descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(set, &files); err != nil {
		return nil, fmt.Errorf("read descriptor set: %w; write one with `buf build -o` or `protoc --include_imports -o`", err)
	}
	if len(files.GetFile()) == 0 {
		return nil, errors.New("read descriptor set: it has no files; write one with `buf build -o` or `protoc --include_imports -o`")
	}
	known, err := protodesc.NewFiles(&files)
	if err != nil {
		return nil, fmt.Errorf("read descriptor set: %w; with protoc, --include_imports adds what is missing", err)
	}
	if name == "" {
		last := files.GetFile()[len(files.GetFile())-1]
		if len(last.GetMessageType()) != 1 {
			return nil, fmt.Errorf("find the message in a descriptor set: %s has %d; name one", last.GetName(), len(last.GetMessageType()))
		}
		name = strings.TrimPrefix(last.GetPackage()+"."+last.GetMessageType()[0].GetName(), ".")
	}
	found, err := known.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil, fmt.Errorf("find message %s in a descriptor set: it is not there", name)
	}
	md, ok := found.(protoreflect.MessageDescriptor)
	if !ok {
		return nil, fmt.Errorf("find message %s in a descriptor set: that is no message", name)
	}
	return md, nil
}

// Compile finds a message in a schema of a registry. name is its full name; ""
// stands for the first message.
func Compile(ctx context.Context, s sources.Schema, name string) (protoreflect.MessageDescriptor, error) {
	file, err := compileFile(ctx, s)
	if err != nil {
		return nil, err
	}
	find := func() (protoreflect.MessageDescriptor, error) { return byName(file, name) }
	if name == "" {
		find = func() (protoreflect.MessageDescriptor, error) { return byIndexes(file, []int{0}, false) }
	}
	md, err := find()
	if err != nil {
		return nil, fmt.Errorf("schema %d: %w", s.ID, err)
	}
	return md, nil
}

// schemaFile is what a registered schema, which has no name, is compiled as.
const schemaFile = "millrace.registered.proto"

// compileFile compiles a registered schema.
func compileFile(ctx context.Context, s sources.Schema) (protoreflect.FileDescriptor, error) {
	if s.Type != sources.SchemaProtobuf {
		return nil, fmt.Errorf("schema %d: is %s, not Protobuf", s.ID, s.Type)
	}
	texts := map[string]string{schemaFile: s.Text}
	for _, known := range confluentFiles() {
		texts[known.Name] = known.Text
	}
	for _, r := range s.References {
		texts[r.Name] = r.Text
	}
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(texts)}),
		MaxParallelism: 1,
	}
	files, err := compiler.Compile(ctx, schemaFile)
	if err != nil {
		return nil, fmt.Errorf("compile schema %d: %w", s.ID, err)
	}
	return files[0], nil
}

// confluentFiles are what Confluent's serialisers let schemas import without
// listing it among the references.
func confluentFiles() []sources.SchemaReference {
	return []sources.SchemaReference{
		{Name: "confluent/meta.proto", Text: `syntax = "proto3";
package confluent;
import "google/protobuf/descriptor.proto";
message Meta {
  string doc = 1;
  map<string, string> params = 2;
  repeated string tags = 3;
}
extend google.protobuf.FileOptions { Meta file_meta = 1088; }
extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }
`},
		{Name: "confluent/type/decimal.proto", Text: `syntax = "proto3";
package confluent.type;
message Decimal {
  bytes value = 1;
  uint32 precision = 2;
  int32 scale = 3;
}
`},
	}
}

// byIndexes finds the message that indexes lead to, from outside in. Java's
// serialiser does not count the entries of maps, which stand among a message's
// own messages; others do.
func byIndexes(file protoreflect.FileDescriptor, indexes []int, countEntries bool) (protoreflect.MessageDescriptor, error) {
	var md protoreflect.MessageDescriptor
	within := file.Messages()
	for _, index := range indexes {
		if md = nth(within, index, countEntries); md == nil {
			return nil, errors.New("it has no message of the indexes that the record names")
		}
		within = md.Messages()
	}
	return md, nil
}

func nth(mds protoreflect.MessageDescriptors, index int, countEntries bool) protoreflect.MessageDescriptor {
	for i := range mds.Len() {
		switch {
		case mds.Get(i).IsMapEntry() && !countEntries:
		case index == 0:
			return mds.Get(i)
		default:
			index--
		}
	}
	return nil
}

// byBoth finds the message of that full name, to which indexes have to lead.
func byBoth(file protoreflect.FileDescriptor, name string, indexes []int) (protoreflect.MessageDescriptor, error) {
	for _, countEntries := range []bool{false, true} {
		md, err := byIndexes(file, indexes, countEntries)
		if err == nil && md.FullName() == protoreflect.FullName(name) {
			return md, nil
		}
	}
	if _, err := byName(file, name); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("the record is another message than %s", name)
}

// byName finds the message of that full name.
func byName(file protoreflect.FileDescriptor, name string) (protoreflect.MessageDescriptor, error) {
	if md := within(file.Messages(), protoreflect.FullName(name)); md != nil {
		return md, nil
	}
	return nil, fmt.Errorf("it has no message %s", name)
}

func within(mds protoreflect.MessageDescriptors, full protoreflect.FullName) protoreflect.MessageDescriptor {
	for i := range mds.Len() {
		md := mds.Get(i)
		if md.FullName() == full {
			return md
		}
		if strings.HasPrefix(string(full), string(md.FullName())+".") {
			return within(md.Messages(), full)
		}
	}
	return nil
}
