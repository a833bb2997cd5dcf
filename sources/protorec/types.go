package protorec

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"millrace/feature"
)

const (
	timestampName = "google.protobuf.Timestamp"
	durationName  = "google.protobuf.Duration"
)

// errMisfit is wrapped when a field is of a type that its declared kind does
// not take.
var errMisfit = errors.New("does not become")

// isWrapper reports whether fd is one of the messages that make a scalar
// nullable.
func isWrapper(fd protoreflect.FieldDescriptor) bool {
	if fd.Message() == nil {
		return false
	}
	name, ok := strings.CutPrefix(string(fd.Message().FullName()), "google.protobuf.")
	return ok && strings.HasSuffix(name, "Value") && fd.Message().Fields().Len() == 1 &&
		fd.Message().Fields().ByName("value") != nil && name != "ListValue"
}

// take makes l read fd, a field of the message of owner, or says why it cannot.
func (l *leaf) take(fd protoreflect.FieldDescriptor, owner *node) error {
	l.kind, l.owner = fd.Kind(), owner
	want := l.typ
	if l.raw {
		return l.takeRaw(fd)
	}
	if want == feature.Of(feature.KindJSON) {
		var err error
		l.json, err = newJSONField(fd)
		return err
	}
	if fd.IsMap() || want.IsList() != fd.IsList() || !fits(fd, want.Kind, l.unit) {
		return fmt.Errorf("%s is %s, which %w %s", fd.FullName(), describe(fd), errMisfit, shown(want, l.unit))
	}
	if fd.Enum() != nil {
		l.enum = fd.Enum().Values()
		for i := range l.enum.Len() {
			if n := l.enum.Get(i).Number(); n >= 0 && n <= maxDense {
				for len(l.names) <= int(n) {
					l.names = append(l.names, "")
				}
			}
		}
		for i := range l.names {
			if v := l.enum.ByNumber(protoreflect.EnumNumber(i)); v != nil {
				l.names[i] = string(v.Name())
			}
		}
	}
	l.blank = !fd.HasPresence()
	l.duration = fd.Message() != nil && fd.Message().FullName() == durationName
	if hasDefault(fd) {
		l.setAbsent(fd)
	}
	return nil
}

// hasDefault reports whether fd holds something where it is absent: its
// declared default, or zero if it has no presence. The value in the entry of a
// map has none, whatever descriptors of proto2 say.
func hasDefault(fd protoreflect.FieldDescriptor) bool {
	oneof := fd.ContainingOneof()
	return !fd.HasPresence() || fd.Message() == nil && fd.ContainingMessage().IsMapEntry() ||
		fd.HasDefault() && (oneof == nil || oneof.IsSynthetic())
}

// setAbsent takes over fd's default, which is zero unless declared otherwise.
func (l *leaf) setAbsent(fd protoreflect.FieldDescriptor) {
	a := &l.absent
	if a.layout = l.typ.Layout(); a.layout == feature.LayoutList {
		return
	}
	switch v := fd.Default(); fd.Kind() {
	case protoreflect.BoolKind:
		a.truth = v.Bool()
	case protoreflect.EnumKind:
		a.integer = int64(v.Enum())
		if named := fd.Enum().Values().ByNumber(v.Enum()); named != nil {
			a.text = string(named.Name())
		}
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		a.float = v.Float()
	case protoreflect.StringKind:
		a.text = v.String()
	case protoreflect.BytesKind:
		a.text = string(v.Bytes())
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		a.integer, a.float = int64(v.Uint()), float64(v.Uint())
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return
	default:
		a.integer, a.float = v.Int(), float64(v.Int())
	}
	ok := true // a default that the kind cannot hold is none
	switch l.typ.Kind {
	case feature.KindTimestamp:
		if ok = fd.Kind() != protoreflect.StringKind; ok {
			a.integer, ok = epochMicros(a.integer, l.unit)
		}
	case feature.KindInt64:
		ok = a.float < math.MaxInt64
	case feature.KindInt32:
		ok = a.integer == int64(int32(a.integer)) && a.float < math.MaxInt64
	case feature.KindFloat32:
		a.float = float64(float32(a.float))
	default:
	}
	if !ok {
		a.layout = feature.LayoutNone
	}
}

// fits reports whether values of fd, or its elements, become values of kind.
func fits(fd protoreflect.FieldDescriptor, kind feature.Kind, unit time.Duration) bool {
	switch {
	case fd.Message() == nil && kind == feature.KindTimestamp:
		return fd.Kind() == protoreflect.StringKind && unit == 0 || unit != 0 && slices.Contains(targets(fd.Kind()), feature.KindInt64) && fd.Enum() == nil
	case fd.Message() == nil:
		return slices.Contains(targets(fd.Kind()), kind)
	case fd.IsList():
		return false
	case fd.Message().FullName() == timestampName:
		return kind == feature.KindTimestamp && unit == 0
	default:
		return fd.Message().FullName() == durationName && (kind == feature.KindFloat64 || kind == feature.KindInt64)
	}
}

// targets lists what scalars of kind become, timestamps and json aside.
func targets(kind protoreflect.Kind) []feature.Kind {
	switch kind {
	case protoreflect.BoolKind:
		return []feature.Kind{feature.KindBool}
	case protoreflect.EnumKind:
		return []feature.Kind{feature.KindString, feature.KindInt32, feature.KindInt64}
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind, protoreflect.Uint32Kind, protoreflect.Fixed32Kind,
		protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return []feature.Kind{feature.KindInt32, feature.KindInt64, feature.KindFloat32, feature.KindFloat64}
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return []feature.Kind{feature.KindFloat32, feature.KindFloat64}
	case protoreflect.StringKind, protoreflect.BytesKind:
		return []feature.Kind{feature.KindString, feature.KindBytes}
	case protoreflect.MessageKind, protoreflect.GroupKind:
	}
	return nil
}

// describe names what fd is as .proto files do.
func describe(fd protoreflect.FieldDescriptor) string {
	if fd.IsMap() {
		return "map<" + describe(fd.MapKey()) + ", " + describe(fd.MapValue()) + ">"
	}
	what := fd.Kind().String()
	switch {
	case fd.Message() != nil:
		what = string(fd.Message().FullName())
	case fd.Enum() != nil:
		what = string(fd.Enum().FullName())
	}
	if fd.IsList() {
		what = "repeated " + what
	}
	return what
}

func shown(t feature.Type, unit time.Duration) string {
	if unit == 0 {
		return t.String()
	}
	return t.String() + " with a unit"
}

// Fields returns what a source of md's messages has when it declares nothing:
// a field for every field of the message, of the kind that holds all its
// values. Groups are left out.
func Fields(md protoreflect.MessageDescriptor) []feature.SourceField {
	var out []feature.SourceField
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		if typ := natural(fd); typ.Kind != feature.KindInvalid {
			out = append(out, feature.SourceField{Field: feature.Field{Name: string(fd.Name()), Type: typ}})
		}
	}
	return out
}

// natural returns the type that holds all values of fd.
func natural(fd protoreflect.FieldDescriptor) feature.Type {
	of := fd
	if !fd.IsList() && isWrapper(fd) {
		of = fd.Message().Fields().ByName("value")
	}
	typ := feature.Of(scalarKind(of))
	switch {
	case fd.IsMap():
		return feature.Of(feature.KindJSON)
	case !fd.IsList():
		return typ
	case fd.Message() != nil:
		return feature.Of(feature.KindJSON)
	default:
		return feature.ListOf(typ)
	}
}

func scalarKind(fd protoreflect.FieldDescriptor) feature.Kind {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return feature.KindBool
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return feature.KindInt32
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Int64Kind, protoreflect.Sint64Kind,
		protoreflect.Sfixed64Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return feature.KindInt64
	case protoreflect.FloatKind:
		return feature.KindFloat32
	case protoreflect.DoubleKind:
		return feature.KindFloat64
	case protoreflect.StringKind, protoreflect.EnumKind:
		return feature.KindString
	case protoreflect.BytesKind:
		return feature.KindBytes
	case protoreflect.MessageKind:
		switch fd.Message().FullName() {
		case timestampName:
			return feature.KindTimestamp
		case durationName:
			return feature.KindFloat64
		}
		return feature.KindJSON
	case protoreflect.GroupKind:
		return feature.KindJSON
	}
	return feature.KindInvalid
}
