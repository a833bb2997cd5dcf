package produce

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/protorec"
)

// protoFormat writes Protobuf: a tree in the JSON form of its message.
type protoFormat struct {
	message protoreflect.MessageDescriptor
}

func openProtobuf(ctx context.Context, s *feature.SourceSchema) (format, []byte, error) {
	if s == nil || len(s.Text) == 0 {
		return nil, nil, errNoSchema
	}
	if s.Descriptors != "" {
		md, err := protorec.Load(s.Text, s.Message)
		return protoFormat{md}, nil, err
	}
	md, err := protorec.Compile(ctx, sources.Schema{
		ID: s.ID, Type: sources.SchemaProtobuf, Text: string(s.Text), References: s.References,
	}, s.Message)
	if err != nil {
		return nil, nil, err
	}
	frame, err := new(sr.ConfluentHeader).AppendEncode(nil, int(s.ID), indexesOf(md))
	return protoFormat{md}, frame, err //nolint:wrapcheck // it never fails
}

// indexesOf lead to a message from outside in, as Java's serialiser counts:
// without the entries of maps.
func indexesOf(md protoreflect.MessageDescriptor) []int {
	var indexes []int
	for d := protoreflect.Descriptor(md); ; d = d.Parent() {
		m, ok := d.(protoreflect.MessageDescriptor)
		if !ok {
			return indexes
		}
		index, siblings := 0, siblingsOf(m)
		for i := range m.Index() {
			if !siblings.Get(i).IsMapEntry() {
				index++
			}
		}
		indexes = slices.Insert(indexes, 0, index)
	}
}

func siblingsOf(m protoreflect.MessageDescriptor) protoreflect.MessageDescriptors {
	if outer, ok := m.Parent().(protoreflect.MessageDescriptor); ok {
		return outer.Messages()
	}
	return m.ParentFile().Messages()
}

// find follows a path of fields, and of keys of maps.
func (p protoFormat) find(path []string) (protoreflect.FieldDescriptor, error) {
	md := p.message
	var fd protoreflect.FieldDescriptor
	for i, part := range path {
		switch {
		case fd != nil && fd.IsMap() && fd.MapKey().Kind() == protoreflect.StringKind:
			fd = fd.MapValue()
		case md == nil || fd != nil && (fd.IsList() || fd.IsMap()) || md.Fields().ByName(protoreflect.Name(part)) == nil:
			return nil, fmt.Errorf("the message has no field %s", strings.Join(path[:i+1], "."))
		default:
			fd = md.Fields().ByName(protoreflect.Name(part))
		}
		md = fd.Message()
	}
	return fd, nil
}

func (p protoFormat) element(path []string) (format, error) {
	fd, err := p.find(path)
	if err != nil {
		return nil, err
	}
	if !fd.IsList() || fd.Message() == nil {
		return nil, fmt.Errorf("the message has no repeated messages at %s", strings.Join(path, "."))
	}
	return protoFormat{fd.Message()}, nil
}

func (p protoFormat) leaf(path []string, f *feature.SourceField, v any) (any, error) {
	fd, err := p.find(path)
	if err == nil && v != nil && f.Type.Kind != feature.KindJSON {
		v, err = protoValue(fd, v, f.Unit)
	}
	if err != nil || v == nil {
		return nil, err
	}
	return v, alone(fd, v)
}

// alone tries a field by itself, so that it can be named if it does not fit.
func alone(fd protoreflect.FieldDescriptor, v any) error {
	text, err := json.Marshal(map[string]any{string(fd.Name()): v})
	if err != nil {
		return fmt.Errorf("write Protobuf: %w", err)
	}
	err = protojson.UnmarshalOptions{AllowPartial: true}.Unmarshal(text, dynamicpb.NewMessage(fd.ContainingMessage()))
	if err != nil { // the library's words hold the value
		return misfit(v, "Protobuf's "+typeName(fd))
	}
	return nil
}

func typeName(fd protoreflect.FieldDescriptor) string {
	name := fd.Kind().String()
	switch {
	case fd.IsMap():
		return "map"
	case fd.Message() != nil:
		name = string(fd.Message().FullName())
	case fd.Enum() != nil:
		name = string(fd.Enum().FullName())
	}
	if fd.IsList() {
		return "repeated " + name
	}
	return name
}

func protoValue(fd protoreflect.FieldDescriptor, v any, unit time.Duration) (any, error) {
	list, isList := v.([]any)
	if !isList {
		return protoScalar(fd, v, unit)
	}
	var err error
	out := make([]any, len(list))
	for i, x := range list {
		if x == nil {
			return nil, fmt.Errorf("element %d: is null, which Protobuf does not have", i)
		}
		if out[i], err = protoScalar(fd, x, unit); err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return out, nil
}

// protoScalar returns a value in Protobuf's JSON form.
func protoScalar(fd protoreflect.FieldDescriptor, v any, unit time.Duration) (any, error) {
	kind, name := fd.Kind(), protoreflect.FullName("")
	if fd.Message() != nil {
		name = fd.Message().FullName()
		if inner := fd.Message().Fields().ByName("value"); inner != nil && strings.HasPrefix(string(name), "google.protobuf.") {
			kind = inner.Kind() // one of the wrappers
		}
	}
	switch x := v.(type) {
	case time.Time:
		if unit != 0 {
			return count(x, unit)
		}
		return x.Format(time.RFC3339Nano), nil
	case string:
		number, err := strconv.ParseInt(x, 10, 32)
		switch {
		case kind == protoreflect.BytesKind:
			return base64.StdEncoding.EncodeToString([]byte(x)), nil
		case kind == protoreflect.EnumKind && err == nil && fd.Enum().Values().ByName(protoreflect.Name(x)) == nil:
			return number, nil // of an enum's value without a name
		}
	case []byte:
		switch {
		case kind == protoreflect.BytesKind:
			return base64.StdEncoding.EncodeToString(x), nil
		case !utf8.Valid(x):
			return nil, errors.New("is not UTF-8, which Protobuf's string must be")
		}
		return string(x), nil
	case float64, float32, int64:
		if name == "google.protobuf.Duration" {
			return duration(v)
		}
	}
	return v, nil
}

// duration writes seconds, or microseconds if they are whole by their kind.
func duration(v any) (any, error) {
	if micros, ok := v.(int64); ok {
		sign := ""
		if micros < 0 {
			sign, micros = "-", -micros
		}
		return fmt.Sprintf("%s%d.%06ds", sign, uint64(micros)/1e6, uint64(micros)%1e6), nil
	}
	seconds, _ := toFloat(v)
	if math.Abs(seconds) > 315_576_000_000 {
		return nil, errors.New("is beyond google.protobuf.Duration")
	}
	return strconv.FormatFloat(seconds, 'f', 9, 64) + "s", nil
}

func (p protoFormat) marshal(tree map[string]any) ([]byte, error) {
	text, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("write Protobuf: %w", err)
	}
	m := dynamicpb.NewMessage(p.message)
	if err := protojson.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("does not fit message %s", p.message.FullName()) // the library's words hold the value
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write Protobuf: %w", err)
	}
	return b, nil
}
