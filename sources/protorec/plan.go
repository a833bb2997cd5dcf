package protorec

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"millrace/feature"
)

// plan is what to do with the bytes of one message type. It carries the state
// of the record that is being read, so it belongs to one decoder.
type plan struct {
	root   node
	leaves []*leaf
	filled []*leaf // that are not null where they are absent
	late   []*leaf // what is finished after the record was read
}

// node is a message on the way to fields: the record's own, one in it, or the
// entry of a map under one key.
type node struct {
	dense    []*op // by field number
	sparse   map[protowire.Number]*op
	leaves   []*leaf // of fields that stand directly in it
	children []*node
	round    uint64 // of the record that it last occurred in
}

// op is what to do with a field.
type op struct {
	number protowire.Number
	wire   protowire.Type // of a value, or of an element
	packs  bool           // elements may stand in one value
	leaves []*leaf
	node   *node            // the message that is walked into
	keys   map[string]*node // the entries of a map that are wanted
	rivals []*op            // the other members of its oneof
	fast   fast             // with column, instead of leaves
	column int
	field  protoreflect.FieldDescriptor
}

// fast is what a field alone does that fills one column and always fits it.
type fast uint8

const (
	slow fast = iota
	fastInt64
	fastInt32
	fastFloat64
	fastBool
	fastString
)

// leaf fills a column.
type leaf struct {
	name     string
	typ      feature.Type
	unit     time.Duration // of integer timestamps
	column   int
	kind     protoreflect.Kind
	owner    *node
	absent   value
	duration bool // of the two messages that are leaves
	raw      bool // elements are kept as bytes
	blank    bool // absent is written as no text
	enum     protoreflect.EnumValueDescriptors
	names    []string   // of small enum numbers
	json     *jsonField // nil unless it is rendered from all its occurrences

	// The state of the record.
	bad       fault
	badRound  uint64
	seconds   int64
	nanos     int32
	timeRound uint64
}

// value is what an absent field holds; nothing without a layout.
type value struct {
	layout  feature.Layout
	truth   bool
	integer int64
	float   float64
	text    string
}

// maxDense is the greatest field number that is found by index.
const maxDense = 255

func (n *node) find(number protowire.Number) *op {
	if int(number) < len(n.dense) {
		return n.dense[number]
	}
	if n.sparse == nil {
		return nil
	}
	return n.sparse[number]
}

// splitPath returns the names on the way to a declared field.
func splitPath(f feature.SourceField) ([]string, error) {
	switch f.Unit {
	case 0, time.Second, time.Millisecond, time.Microsecond, time.Nanosecond:
	default:
		return nil, fmt.Errorf("a timestamp cannot count units of %s", f.Unit)
	}
	path := []string{f.Name}
	if f.Path != "" {
		path = strings.Split(f.Path, ".")
	}
	if slices.Contains(path, "") {
		return nil, fmt.Errorf("path %q has an empty part", f.Path)
	}
	return path, nil
}

// errAbsent is wrapped when a message lacks a field.
var errAbsent = errors.New("has no field")

// compile plans the reading of wanted from messages of type md. Evolving, it
// takes a field that md lacks for one that is always null.
func compile(md protoreflect.MessageDescriptor, wanted []want, limits Limits, evolving bool) (*plan, error) {
	p := &plan{}
	for i := range wanted {
		w := &wanted[i]
		l := &leaf{name: w.Name, typ: w.Type, unit: w.Unit, column: i, raw: w.raw}
		err := p.root.add(md, w.path, l)
		switch {
		case err == nil:
			p.leaves = append(p.leaves, l)
			if l.absent.layout != feature.LayoutNone {
				p.filled = append(p.filled, l)
			}
			if l.json != nil {
				l.json.limits = limits
			}
			if l.json != nil || l.typ.Length > 0 {
				p.late = append(p.late, l)
			}
		case !evolving || !errors.Is(err, errAbsent):
			return nil, fmt.Errorf("field %s: %w", w.Name, err)
		}
	}
	p.root.link()
	return p, nil
}

// add puts l where path leads from the message of n, which is an md.
func (n *node) add(md protoreflect.MessageDescriptor, path []string, l *leaf) error {
	fd := md.Fields().ByName(protoreflect.Name(path[0]))
	if fd == nil {
		return fmt.Errorf("message %s %w %s", md.FullName(), errAbsent, path[0])
	}
	rest := path[1:]
	switch {
	case len(rest) > 0 && fd.IsMap():
		return n.addEntry(fd, rest, l)
	case len(rest) > 0 && fd.IsList():
		return fmt.Errorf("the path leads through %s, which is repeated; a field of kind json takes it whole", fd.FullName())
	case len(rest) > 0 && fd.Message() == nil:
		return fmt.Errorf("the path leads through %s, which is no message", fd.FullName())
	case len(rest) > 0:
	case !fd.IsList() && isWrapper(fd) && l.typ.Kind != feature.KindJSON:
		rest = []string{"value"}
	default:
		if err := l.take(fd, n); err != nil {
			return err
		}
		o := n.op(fd)
		o.leaves = append(o.leaves, l)
		n.leaves = append(n.leaves, l)
		return nil
	}
	child := n.op(fd).node
	if child == nil {
		child = new(node)
	}
	if err := child.add(fd.Message(), rest, l); err != nil {
		return err
	}
	if o := n.op(fd); o.node == nil {
		o.node = child
		n.children = append(n.children, child)
	}
	return nil
}

// addEntry puts l below the entry of map fd that rest begins with.
func (n *node) addEntry(fd protoreflect.FieldDescriptor, rest []string, l *leaf) error {
	if fd.MapKey().Kind() != protoreflect.StringKind {
		return fmt.Errorf("the path leads through %s, a map whose keys are not strings; a field of kind json takes it whole", fd.FullName())
	}
	o := n.op(fd)
	entry := o.keys[rest[0]]
	if entry == nil {
		entry = new(node)
	}
	if err := entry.add(fd.Message(), append([]string{"value"}, rest[1:]...), l); err != nil {
		return err
	}
	if o.keys[rest[0]] == nil {
		if o.keys == nil {
			o.keys = make(map[string]*node)
		}
		o.keys[rest[0]] = entry
		n.children = append(n.children, entry)
	}
	return nil
}

// op returns what is done with fd, so far nothing if it is new. The other
// members of its oneof get one too: they take back what it set.
func (n *node) op(fd protoreflect.FieldDescriptor) *op {
	if o := n.find(fd.Number()); o != nil {
		return o
	}
	o := &op{number: fd.Number(), wire: wireType(fd.Kind()), field: fd}
	o.packs = fd.IsList() && o.wire != protowire.BytesType && o.wire != protowire.StartGroupType
	if o.number <= maxDense {
		for len(n.dense) <= int(o.number) {
			n.dense = append(n.dense, nil)
		}
		n.dense[o.number] = o
	} else {
		if n.sparse == nil {
			n.sparse = make(map[protowire.Number]*op)
		}
		n.sparse[o.number] = o
	}
	if oneof := fd.ContainingOneof(); oneof != nil && !oneof.IsSynthetic() {
		for i := range oneof.Fields().Len() {
			n.op(oneof.Fields().Get(i))
		}
	}
	return o
}

// link tells the members of every oneof of each other.
func (n *node) link() {
	ops := slices.Clone(n.dense)
	for _, o := range n.sparse {
		ops = append(ops, o)
	}
	for _, o := range ops {
		if o == nil {
			continue
		}
		o.quicken()
		if o.field.ContainingOneof() == nil {
			continue
		}
		members := o.field.ContainingOneof().Fields()
		for i := range members.Len() {
			rival := n.find(members.Get(i).Number())
			if rival != o && (len(rival.leaves) > 0 || rival.node != nil) {
				o.rivals = append(o.rivals, rival)
			}
		}
	}
	for _, child := range n.children {
		child.link()
	}
}

// quicken finds the fast way for o, if there is one.
func (o *op) quicken() {
	if len(o.leaves) != 1 || o.node != nil || o.keys != nil || o.field.IsList() {
		return
	}
	l := o.leaves[0]
	switch kind := l.typ.Kind; {
	case l.json != nil:
		return
	case l.kind == protoreflect.BoolKind:
		o.fast = fastBool
	case kind == feature.KindFloat64 && l.kind == protoreflect.DoubleKind:
		o.fast = fastFloat64
	case kind == feature.KindInt64 && (l.kind == protoreflect.Int64Kind || l.kind == protoreflect.Sfixed64Kind):
		o.fast = fastInt64
	case (kind == feature.KindInt64 || kind == feature.KindInt32) && (l.kind == protoreflect.Int32Kind || l.kind == protoreflect.Sfixed32Kind):
		o.fast = fastInt32
	case kind == feature.KindString && l.kind == protoreflect.StringKind:
		o.fast = fastString
	}
	o.column = l.column
}

func wireType(kind protoreflect.Kind) protowire.Type {
	switch kind {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.GroupKind:
		return protowire.StartGroupType
	case protoreflect.BoolKind, protoreflect.EnumKind, protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Uint32Kind,
		protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Uint64Kind:
	}
	return protowire.VarintType
}
