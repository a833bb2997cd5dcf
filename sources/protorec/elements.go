package protorec

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"millrace/feature"
)

// What it takes to read each element of a list of messages as a record of its
// own: one decoder keeps their bytes (Settings.Raw), each behind the header of
// its record; another one reads those (Settings.At) as the element's type in
// the message that the header names.

// elementsAt returns the type of the elements of the list at path in an md.
func elementsAt(md protoreflect.MessageDescriptor, path string) (protoreflect.MessageDescriptor, error) {
	for name := range strings.SplitSeq(path, ".") {
		if md == nil {
			return nil, fmt.Errorf("the path %s leads through a field that is no message", path)
		}
		var fd protoreflect.FieldDescriptor
		if fd = md.Fields().ByName(protoreflect.Name(name)); md.IsMapEntry() {
			fd = md.Fields().ByNumber(2) // name is a key
		}
		if fd == nil {
			return nil, fmt.Errorf("message %s %w %s", md.FullName(), errAbsent, name)
		}
		md = fd.Message()
	}
	if md == nil {
		return nil, fmt.Errorf("the field at %s is no list of messages", path)
	}
	return md, nil
}

// compile plans the reading of records whose message, or that of the records
// that they are elements of, is an md.
func (d *Decoder) compile(md protoreflect.MessageDescriptor, evolving bool) (*plan, error) {
	if d.settings.At != "" {
		var err error
		if md, err = elementsAt(md, d.settings.At); err != nil {
			return nil, err
		}
	}
	return compile(md, d.wanted, d.settings.Limits, evolving)
}

// takeRaw makes l keep the elements of fd as bytes, or says why it cannot.
func (l *leaf) takeRaw(fd protoreflect.FieldDescriptor) error {
	if l.typ != feature.ListOf(feature.Of(feature.KindJSON)) || !fd.IsList() || fd.Message() == nil {
		return fmt.Errorf("%s is %s, which %w a list of records", fd.FullName(), describe(fd), errMisfit)
	}
	return nil
}

// keep makes the message between from and to the next element of l.
func (d *Decoder) keep(l *leaf, from, to int) {
	c, i := d.place(l)
	if body := d.data[from:to]; len(d.frame) == 0 {
		c.SetString(i, alias(body))
	} else {
		tail := d.arena.Tail(len(d.frame) + len(body))
		c.SetString(i, d.arena.Keep(append(append(tail, d.frame...), body...)))
	}
}
