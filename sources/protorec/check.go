package protorec

import (
	"cmp"

	"google.golang.org/protobuf/reflect/protoreflect"

	"millrace/feature"
)

// Check says why f cannot be read from messages of type md: its path leads
// nowhere, or what lies there does not become its type. f with Of is held to be
// a list of messages.
func Check(md protoreflect.MessageDescriptor, f feature.SourceField) error { return check(md, f, "") }

// CheckElement is Check of a field of the elements of list.
func CheckElement(md protoreflect.MessageDescriptor, list, f feature.SourceField) error {
	return check(md, f, cmp.Or(list.Path, list.Name))
}

func check(md protoreflect.MessageDescriptor, f feature.SourceField, at string) error {
	wanted, _, err := wants(&feature.Source{Fields: []feature.SourceField{f}}, []feature.Field{f.Field})
	if err != nil {
		return err
	}
	wanted[0].raw = len(f.Of) > 0
	d := &Decoder{settings: Settings{At: at, Limits: DefaultLimits()}, wanted: wanted}
	_, err = d.compile(md, false)
	return err
}
