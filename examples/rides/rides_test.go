package rides_test

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	"millrace/examples/rides"
	"millrace/feature/definition"
)

var rewrite = flag.Bool("rewrite", false, "compile trip.proto into trip.binpb")

func TestDefinitionsCompile(t *testing.T) {
	p, err := definition.Load(rides.Files())
	if err != nil {
		t.Fatal(err)
	}
	if got := len(p.Catalog.Service("eta_v1").Features); got != 10 {
		t.Errorf("eta_v1 serves %d features, want 10", got)
	}
}

// TestDescriptorsAreThoseOfTheProto compiles trip.proto.
func TestDescriptorsAreThoseOfTheProto(t *testing.T) {
	c := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{})}
	files, err := c.Compile(t.Context(), "trip.proto")
	if err != nil {
		t.Fatal(err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	imports := files[0].Imports()
	for i := range imports.Len() {
		set.File = append(set.File, protodesc.ToFileDescriptorProto(imports.Get(i).FileDescriptor))
	}
	set.File = append(set.File, protodesc.ToFileDescriptorProto(files[0]))
	want, err := proto.MarshalOptions{Deterministic: true}.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		if err := os.WriteFile("trip.binpb", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("trip.binpb")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("trip.binpb is not trip.proto compiled: go test ./examples/rides -rewrite")
	}
}
