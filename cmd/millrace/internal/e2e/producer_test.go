package e2e_test

import (
	"context"
	bin "encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Producers of the three formats, made of other people's libraries. All take
// the same structs: what encoding/json makes of one is what it says.

func asJSON(t *testing.T, event any) []byte {
	t.Helper()
	text, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// avroWriter writes records of one schema.
type avroWriter struct {
	t     *testing.T
	codec *goavro.Codec
	id    int // in the registry; 0 for none
}

func newAvroWriter(t *testing.T, schema string) *avroWriter {
	t.Helper()
	codec, err := goavro.NewCodecForStandardJSONFull(schema)
	if err != nil {
		t.Fatal(err)
	}
	return &avroWriter{t: t, codec: codec}
}

func (w *avroWriter) native(event any) any {
	w.t.Helper()
	native, rest, err := w.codec.NativeFromTextual(asJSON(w.t, event))
	if err != nil || len(rest) > 0 {
		w.t.Fatalf("%v, %q is left", err, rest)
	}
	return native
}

// plain is the event alone.
func (w *avroWriter) plain(event any) []byte {
	w.t.Helper()
	b, err := w.codec.BinaryFromNative(nil, w.native(event))
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// single is the event in single-object encoding.
func (w *avroWriter) single(event any) []byte {
	w.t.Helper()
	b, err := w.codec.SingleFromNative(nil, w.native(event))
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// framed is the event behind the id of its schema.
func (w *avroWriter) framed(event any) []byte {
	w.t.Helper()
	return append(confluentHeader(w.id), w.plain(event)...)
}

func confluentHeader(id int) []byte { return bin.BigEndian.AppendUint32([]byte{0}, uint32(id)) }

// protoWriter writes messages of one type.
type protoWriter struct {
	t    *testing.T
	file protoreflect.FileDescriptor
	id   int
}

func newProtoWriter(t *testing.T, schema string) *protoWriter {
	t.Helper()
	c := protocompile.Compiler{Resolver: &protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"ride.proto": schema}),
	}}
	files, err := c.Compile(context.Background(), "ride.proto")
	if err != nil {
		t.Fatal(err)
	}
	return &protoWriter{t: t, file: files[0]}
}

// plain is the event as a message, the index'th of the file.
func (w *protoWriter) plain(event any, index int) []byte {
	w.t.Helper()
	m := dynamicpb.NewMessage(w.file.Messages().Get(index))
	if err := protojson.Unmarshal(asJSON(w.t, event), m); err != nil {
		w.t.Fatal(err)
	}
	b, err := proto.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// framed is the event behind the id of its schema and the index of its message.
func (w *protoWriter) framed(event any, index int) []byte {
	w.t.Helper()
	header := append(confluentHeader(w.id), 0) // the first message
	if index > 0 {
		header = bin.AppendVarint(bin.AppendVarint(confluentHeader(w.id), 1), int64(index))
	}
	return append(header, w.plain(event, index)...)
}

// descriptors is what protoc --include_imports -o writes.
func (w *protoWriter) descriptors() []byte {
	w.t.Helper()
	b, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{protodesc.ToFileDescriptorProto(w.file)}})
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// registry is a schema registry and the way that Millrace takes to it.
type registry struct {
	s      *stack
	client *sr.Client
	gate   *gate
}

// startRegistry connects the stack's processes with the registry at base,
// through a gate.
func (s *stack) startRegistry(base string) *registry {
	s.t.Helper()
	client, err := sr.NewClient(sr.URLs(base))
	if err != nil {
		s.t.Fatal(err)
	}
	scheme, rest, _ := strings.Cut(base, "://")
	host, path, _ := strings.Cut(rest, "/")
	g := newGate(s.t, host)
	s.env = append(s.env, fmt.Sprintf("MILLRACE_SCHEMA_REGISTRY_URLS=%s://%s/%s", scheme, g.addr(), path))
	return &registry{s, client, g}
}

// subject names what belongs to one of the stack's topics.
func (r *registry) subject(suffix, part string) string { return r.s.topic + suffix + "-" + part }

// avro registers a schema as the newest of a subject, past the gate, and
// returns what writes with it.
func (r *registry) avro(subject, schema string) *avroWriter {
	r.s.t.Helper()
	w := newAvroWriter(r.s.t, schema)
	w.id = r.register(subject, sr.Schema{Schema: schema, Type: sr.TypeAvro})
	return w
}

func (r *registry) protobuf(subject, schema string) *protoWriter {
	r.s.t.Helper()
	w := newProtoWriter(r.s.t, schema)
	w.id = r.register(subject, sr.Schema{Schema: schema, Type: sr.TypeProtobuf})
	return w
}

func (r *registry) register(subject string, schema sr.Schema) int {
	r.s.t.Helper()
	made, err := r.client.CreateSchema(context.Background(), subject, schema)
	if err != nil {
		r.s.t.Fatal(err)
	}
	return made.ID
}
