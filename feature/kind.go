package feature

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Kind is the closed set of scalar value kinds.
type Kind uint8

// The kinds, in the order that byte formats use; never renumber them.
const (
	KindInvalid Kind = iota
	KindBool
	KindInt32
	KindInt64
	KindFloat32
	KindFloat64
	KindString
	KindBytes
	KindTimestamp // microseconds since the Unix epoch, UTC
	KindJSON      // text that is valid JSON
)

var kindNames = [...]string{"invalid", "bool", "int32", "int64", "float32", "float64", "string", "bytes", "timestamp", "json"}

// String returns the name that definitions use.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// KindNames lists the kinds that a definition may write, in their fixed order.
func KindNames() []string { return append([]string(nil), kindNames[1:]...) }

// Layout says which slice of a Column holds the values of a type.
type Layout uint8

// The layouts.
const (
	LayoutNone   Layout = iota
	LayoutBool          // Column.Bools
	LayoutInt           // Column.Ints: int32, int64, timestamp
	LayoutFloat         // Column.Floats: float32 (rounded to it), float64
	LayoutString        // Column.Strings: string, bytes, json
	LayoutList          // Column.Spans into Column.Elems
)

// Type is a kind, possibly in lists. The zero Type is invalid. Types compare
// with ==.
type Type struct {
	Kind   Kind   // the innermost scalar
	Depth  uint8  // 0 scalar, 1 list, 2 list of lists …
	Length uint32 // fixed number of elements of the outermost list; 0 means any
}

// Of returns the scalar type of kind k.
func Of(k Kind) Type { return Type{Kind: k} }

// ListOf returns the type of lists of t.
func ListOf(t Type) Type { return Type{Kind: t.Kind, Depth: t.Depth + 1} }

// IsList reports whether values of t are lists.
func (t Type) IsList() bool { return t.Depth > 0 }

// Elem returns the element type of a list type.
func (t Type) Elem() Type { return Type{Kind: t.Kind, Depth: t.Depth - 1} }

// Layout says where a Column keeps values of t.
func (t Type) Layout() Layout {
	if t.Depth > 0 {
		return LayoutList
	}
	switch t.Kind {
	case KindBool:
		return LayoutBool
	case KindInt32, KindInt64, KindTimestamp:
		return LayoutInt
	case KindFloat32, KindFloat64:
		return LayoutFloat
	case KindString, KindBytes, KindJSON:
		return LayoutString
	case KindInvalid:
		return LayoutNone
	}
	return LayoutNone
}

// String returns the form that definitions use, "list<float64>" for example.
// A fixed length is not part of it.
func (t Type) String() string {
	return strings.Repeat("list<", int(t.Depth)) + t.Kind.String() + strings.Repeat(">", int(t.Depth))
}

// maxDepth bounds how deep lists nest.
const maxDepth = 4

// ErrUnknownType is wrapped by every error of ParseType.
var ErrUnknownType = errors.New("unknown type")

// ParseType reads the form that String writes.
func ParseType(s string) (Type, error) {
	text, depth := s, 0
	for strings.HasPrefix(text, "list<") && strings.HasSuffix(text, ">") {
		text = text[len("list<") : len(text)-1]
		depth++
	}
	if depth > maxDepth {
		return Type{}, fmt.Errorf("%w %q: lists nest at most %d deep", ErrUnknownType, s, maxDepth)
	}
	for i, name := range kindNames[1:] {
		if name == text {
			return Type{Kind: Kind(i + 1), Depth: uint8(depth)}, nil
		}
	}
	return Type{}, fmt.Errorf("%w %q", ErrUnknownType, s)
}
