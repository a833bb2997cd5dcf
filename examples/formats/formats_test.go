package formats_test

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
)

var rewrite = flag.Bool("rewrite", false, "write the descriptor set anew")

// TestTheDescriptorsAreThoseOfTheFile does what `buf build -o clicks.binpb` or
// `protoc --include_imports -o clicks.binpb clicks.proto` do.
func TestTheDescriptorsAreThoseOfTheFile(t *testing.T) {
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{})}
	files, err := compiler.Compile(t.Context(), "clicks.proto")
	if err != nil {
		t.Fatal(err)
	}
	var set descriptorpb.FileDescriptorSet
	imports := files[0].Imports()
	for i := range imports.Len() {
		set.File = append(set.File, protodesc.ToFileDescriptorProto(imports.Get(i)))
	}
	set.File = append(set.File, protodesc.ToFileDescriptorProto(files[0]))
	want, err := proto.MarshalOptions{Deterministic: true}.Marshal(&set)
	if err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		if err := os.WriteFile("clicks.binpb", want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile("clicks.binpb"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("clicks.binpb is not what clicks.proto compiles to (%v); run go generate ./examples/formats", err)
	}
}
