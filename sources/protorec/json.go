package protorec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"millrace/feature"
)

// jsonField is a field that becomes JSON text, a message mostly. Its occurrences
// are kept until the record was read, because later ones replace or extend
// earlier ones; then the Protobuf library reads and writes them. This is the
// one path that allocates per record.
type jsonField struct {
	field  protoreflect.FieldDescriptor
	types  *dynamicpb.Types // of the messages that an Any may hold
	sizes  map[protoreflect.FullName]int
	limits Limits

	// The state of the record.
	wire  []byte // the occurrences, tags included
	round uint64 // of the record that they are of
}

func newJSONField(fd protoreflect.FieldDescriptor) (*jsonField, error) {
	switch name := fd.ContainingMessage().FullName(); name {
	case timestampName, durationName, "google.protobuf.Any", "google.protobuf.Struct", "google.protobuf.Value",
		"google.protobuf.ListValue", "google.protobuf.FieldMask":
		if inMembers(fd) {
			return nil, fmt.Errorf("%s has a JSON form of its own; take the whole of it", name)
		}
	default:
	}
	files := new(protoregistry.Files)
	gather(files, fd.ParentFile())
	return &jsonField{field: fd, types: dynamicpb.NewTypes(files), sizes: make(map[protoreflect.FullName]int)}, nil
}

// inMembers reports whether fd's text is cut out of that of the message around
// it: the library writes whole messages only.
func inMembers(fd protoreflect.FieldDescriptor) bool {
	return fd.IsList() || fd.IsMap() || fd.Message() == nil
}

// gather adds a file and what it imports.
func gather(files *protoregistry.Files, f protoreflect.FileDescriptor) {
	if files.RegisterFile(f) != nil {
		return // it is there already
	}
	for i := range f.Imports().Len() {
		gather(files, f.Imports().Get(i).FileDescriptor)
	}
}

// collect keeps an occurrence of l's field.
func (d *Decoder) collect(l *leaf, start, end int) {
	j := l.json
	if j.round != d.round {
		j.round, j.wire = d.round, j.wire[:0]
	}
	if len(j.wire)+end-start > j.limits.MaxJSONBytes {
		l.bad, l.badRound, d.bad = j.tooLarge(l), d.round, true
		return
	}
	j.wire = append(j.wire, d.data[start:end]...)
}

func (j *jsonField) tooLarge(l *leaf) fault {
	return fault{feature.ReasonTooLarge, "field " + l.name + ": has more than " + strconv.Itoa(j.limits.MaxJSONBytes) + " bytes"}
}

func (j *jsonField) tooDeep(l *leaf) fault {
	return fault{feature.ReasonTooLarge, "field " + l.name + ": nests deeper than " + strconv.Itoa(j.limits.MaxDepth) + " messages"}
}

// render sets l to the text of what was collected. The library panics on some
// records that are not sound, an entry of a map whose key is no string for one.
func (d *Decoder) render(l *leaf) {
	defer func() {
		if recover() != nil {
			d.fault = unsound(l)
		}
	}()
	j, c := l.json, d.columns[l.column]
	whole, ok := d.assemble(l)
	switch {
	case !ok:
		return
	case whole != nil:
	case j.field.IsMap():
		c.SetString(d.row, "{}")
		return
	case j.field.IsList():
		c.SetString(d.row, "[]")
		return
	case hasDefault(j.field):
		whole = dynamicpb.NewMessage(j.field.ContainingMessage())
		if j.field.HasPresence() {
			whole.Set(j.field, j.field.Default())
		}
	default:
		return
	}
	switch size := j.sizeOf(whole, 0); {
	case size == unbounded:
		d.fault = j.tooDeep(l)
		return
	case size > j.limits.MaxJSONBytes:
		d.fault = j.tooLarge(l)
		return
	}
	text, err := j.text(whole)
	switch {
	case err != nil:
		d.fault = fault{feature.ReasonWrongType, "field " + l.name + ": has no JSON form"}
	case len(text) > j.limits.MaxJSONBytes:
		d.fault = j.tooLarge(l)
	default:
		c.SetString(d.row, d.arena.Copy(text))
	}
}

// assemble reads what was collected as the message that l's field is of, nil
// if there was nothing. False leaves the reason in fault.
func (d *Decoder) assemble(l *leaf) (*dynamicpb.Message, bool) {
	j := l.json
	if j.round != d.round {
		return nil, true
	}
	whole := dynamicpb.NewMessage(j.field.ContainingMessage())
	// The message around the field is one more.
	err := proto.UnmarshalOptions{AllowPartial: true, RecursionLimit: j.limits.MaxDepth + 1}.Unmarshal(j.wire, whole)
	switch {
	case err == nil && whole.Has(j.field):
		return whole, true
	case err == nil:
		return nil, true
	case strings.Contains(err.Error(), "recursion depth"):
		d.fault = j.tooDeep(l)
	default:
		d.fault = unsound(l)
	}
	return nil, false
}

func unsound(l *leaf) fault {
	return fault{feature.ReasonMalformed, "malformed Protobuf in field " + l.name + ": not sound, or not valid UTF-8"}
}

// text returns the JSON of j's field of whole, always the same for the same
// content: protojson varies its white space on purpose.
func (j *jsonField) text(whole *dynamicpb.Message) ([]byte, error) {
	options := protojson.MarshalOptions{AllowPartial: true, UseProtoNames: true, EmitDefaultValues: true, Resolver: j.types}
	var raw []byte
	var err error
	if inMembers(j.field) {
		raw, err = options.Marshal(whole)
		var members map[string]json.RawMessage
		if err == nil {
			err = json.Unmarshal(raw, &members)
			raw = members[j.field.TextName()]
		}
	} else {
		raw, err = options.Marshal(whole.Get(j.field).Message().Interface())
	}
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", j.field.FullName(), err)
	}
	var text bytes.Buffer
	if err := json.Compact(&text, raw); err != nil {
		return nil, fmt.Errorf("render %s: %w", j.field.FullName(), err)
	}
	return text.Bytes(), nil
}

// unbounded is the size of what nests too deep.
const unbounded = -1

// sizeOf returns about how many bytes of names and defaults the text of m has.
// They are no part of its wire form: two bytes can become thousands.
func (j *jsonField) sizeOf(m protoreflect.Message, depth int) int {
	if depth > j.limits.MaxDepth {
		return unbounded
	}
	total := j.emptySize(m.Descriptor())
	add := func(of protoreflect.Message) bool {
		size := j.sizeOf(of, depth+1)
		if size == unbounded {
			total = unbounded
			return false
		}
		total += size
		return total <= j.limits.MaxJSONBytes
	}
	if content := j.unpack(m); content != nil {
		add(content)
		return total
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		total += len(fd.Name())
		switch {
		case fd.IsMap():
			if fd.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool { return add(v.Message()) })
			}
		case fd.IsList():
			for i := 0; fd.Message() != nil && i < v.List().Len(); i++ {
				if !add(v.List().Get(i).Message()) {
					break
				}
			}
		case fd.Message() != nil:
			add(v.Message())
		}
		return total != unbounded && total <= j.limits.MaxJSONBytes
	})
	return total
}

// unpack returns what m holds if it is a google.protobuf.Any of a known type.
func (j *jsonField) unpack(m protoreflect.Message) protoreflect.Message {
	fields := m.Descriptor().Fields()
	if m.Descriptor().FullName() != "google.protobuf.Any" || fields.ByNumber(1) == nil || fields.ByNumber(2) == nil {
		return nil
	}
	typ, err := j.types.FindMessageByURL(m.Get(fields.ByNumber(1)).String())
	if err != nil {
		return nil
	}
	content := typ.New()
	options := proto.UnmarshalOptions{AllowPartial: true, RecursionLimit: j.limits.MaxDepth}
	if options.Unmarshal(m.Get(fields.ByNumber(2)).Bytes(), content.Interface()) != nil {
		return nil
	}
	return content
}

// emptySize returns how many bytes an md without any field set has as text.
func (j *jsonField) emptySize(md protoreflect.MessageDescriptor) int {
	size, ok := j.sizes[md.FullName()]
	if !ok {
		size = len("{},")
		for i := range md.Fields().Len() {
			if fd := md.Fields().Get(i); !fd.HasPresence() {
				size += len(`"":false,`) + len(fd.Name())
			}
		}
		j.sizes[md.FullName()] = size
	}
	return size
}
