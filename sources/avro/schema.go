package avro

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/avro"

	"millrace/sources"
)

// kind is what a type is on the wire.
type kind uint8

const (
	kindNull kind = iota + 1
	kindBoolean
	kindInt
	kindLong
	kindFloat
	kindDouble
	kindBytes
	kindString
	kindFixed
	kindEnum
	kindArray
	kindMap
	kindRecord
	kindUnion
)

// kinds are the names that schemas use, and articles for messages.
//
//nolint:gochecknoglobals // a table, never written to
var kinds = map[string]kind{
	"null": kindNull, "boolean": kindBoolean, "int": kindInt, "long": kindLong, "float": kindFloat, "double": kindDouble,
	"bytes": kindBytes, "string": kindString, "fixed": kindFixed, "enum": kindEnum, "array": kindArray, "map": kindMap,
	"record": kindRecord, "error": kindRecord, "union": kindUnion,
}

// String names the kind as messages do.
func (k kind) String() string {
	return [...]string{
		"nothing", "null", "a boolean", "an int", "a long", "a float", "a double", "bytes", "a string",
		"a fixed", "an enum", "an array", "a map", "a record", "a union",
	}[k]
}

// logical is what a type means beyond what it is on the wire.
type logical uint8

const (
	logicalNone logical = iota
	logicalTime         // a count of typ.unit since the epoch
	logicalDecimal
	logicalUUID
)

// typ is a type of a schema. Types that a schema names are one typ wherever
// they are used, so a recursive schema is a graph. Immutable once parsed.
type typ struct {
	kind     kind
	logical  logical
	unit     time.Duration // of logicalTime
	scale    int           // of logicalDecimal
	size     int           // fixed
	name     string        // record, enum and fixed, without namespace
	fields   []member      // record
	items    *typ          // array; map: its values
	branches []*typ        // union
	symbols  []string      // enum
	fallback string        // enum: what an unknown symbol is read as; "" is nothing
	empty    bool          // values take no bytes at all
}

// member is a field of a record.
type member struct {
	name       string
	aliases    []string
	typ        *typ
	hasDefault bool
	preset     []byte // the default as Avro binary; reader schemas only
}

// field returns the member of that name.
func (t *typ) field(name string) *member {
	for i := range t.fields {
		if t.fields[i].name == name {
			return &t.fields[i]
		}
	}
	return nil
}

// parse reads a schema with what it refers to, and its fingerprint
// (CRC-64-AVRO of the canonical form, as the specification has it). For a
// reader the defaults of fields are kept.
func parse(s sources.Schema, reader bool) (t *typ, fingerprint uint64, err error) {
	if s.Type != sources.SchemaAvro && s.Type != "" {
		return nil, 0, fmt.Errorf("the schema is %s, not AVRO", s.Type)
	}
	size := len(s.Text)
	for _, ref := range s.References {
		size += len(ref.Text)
	}
	if size > maxSchemaBytes {
		return nil, 0, fmt.Errorf("the schema has %d bytes, more than %d", size, maxSchemaBytes)
	}
	lax := avro.WithLaxNames(nil) // names are the producer's affair; we only compare them
	var cache avro.SchemaCache
	for _, ref := range s.References {
		if _, err := cache.Parse(ref.Text, lax); err != nil {
			return nil, 0, fmt.Errorf("the schema %s, which it refers to: %w", ref.Name, err)
		}
	}
	whole, err := cache.Parse(s.Text, lax)
	if err != nil {
		return nil, 0, err
	}
	h := avro.NewRabin()
	_, _ = h.Write(whole.Canonical())
	root := whole.Root()
	if len(s.References) > 0 { // put their definitions where they are used
		if whole, err = root.Schema(lax); err != nil {
			return nil, 0, err
		}
		root = whole.Root()
	}
	c := converter{named: make(map[string]*typ), reader: reader}
	t, err = c.convert(root, "")
	return t, h.Sum64(), err
}

// maxSchemaBytes bounds the text of a schema with all it refers to.
const maxSchemaBytes = 4 << 20

// converter turns the library's nodes into types.
type converter struct {
	named  map[string]*typ // by full name
	reader bool
}

// convert converts n, which stands in the namespace space.
func (c *converter) convert(n *avro.SchemaNode, space string) (*typ, error) {
	k, ok := kinds[n.Type]
	if !ok {
		for _, name := range []string{space + "." + n.Type, n.Type} {
			if t, ok := c.named[name]; ok && (!strings.Contains(n.Type, ".") || name == n.Type) {
				return t, nil
			}
		}
		return nil, fmt.Errorf("type %s is not defined", n.Type)
	}
	t := &typ{kind: k, size: min(max(n.Size, 0), maxFixedBytes), symbols: n.Symbols}
	t.meaning(n)
	if k == kindRecord || k == kindEnum || k == kindFixed {
		full := n.Name
		if n.Namespace != "" && !strings.Contains(full, ".") {
			full = n.Namespace + "." + full
		}
		c.named[full] = t
		dot := strings.LastIndexByte(full, '.')
		space, t.name = full[:max(dot, 0)], full[dot+1:]
	}
	if n.HasEnumDefault {
		t.fallback = n.EnumDefault
	}
	t.empty = k == kindNull || k == kindRecord || k == kindFixed && t.size == 0
	return t, c.inner(t, n, space)
}

// inner converts the types in t.
func (c *converter) inner(t *typ, n *avro.SchemaNode, space string) (err error) {
	switch t.kind {
	case kindArray:
		t.items, err = c.convert(n.Items, space)
	case kindMap:
		t.items, err = c.convert(n.Values, space)
	case kindUnion:
		for i := range n.Branches {
			b, err := c.convert(&n.Branches[i], space)
			if err != nil {
				return err
			}
			t.branches = append(t.branches, b)
		}
	case kindRecord:
		for i := range n.Fields {
			f := &n.Fields[i]
			m := member{name: f.Name, aliases: f.Aliases, hasDefault: f.HasDefault}
			if m.typ, err = c.convert(&f.Type, space); err != nil {
				return err
			}
			if c.reader && f.HasDefault {
				if m.preset, err = preset(f); err != nil {
					return fmt.Errorf("default of field %s: %w", f.Name, err)
				}
			}
			t.fields = append(t.fields, m)
			t.empty = t.empty && m.typ.empty
		}
	default:
	}
	return err
}

// preset writes the default of f as Avro binary, to be read like any value.
func preset(f *avro.SchemaField) ([]byte, error) {
	s, err := f.Type.Schema(avro.WithLaxNames(nil))
	if err != nil {
		return nil, err
	}
	// AppendEncode onto something, so that a value of no bytes is not nil.
	b, err := s.AppendEncode([]byte{}, f.Default)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// meaning takes the logical type over where it fits what it is written on;
// anything else is ignored, as the specification asks.
func (t *typ) meaning(n *avro.SchemaNode) {
	switch {
	case t.kind == kindInt && n.LogicalType == "date":
		t.logical, t.unit = logicalTime, day
	case t.kind == kindLong:
		switch strings.TrimPrefix(n.LogicalType, "local-") {
		case "timestamp-millis":
			t.logical, t.unit = logicalTime, time.Millisecond
		case "timestamp-micros":
			t.logical, t.unit = logicalTime, time.Microsecond
		case "timestamp-nanos":
			t.logical, t.unit = logicalTime, time.Nanosecond
		}
	case (t.kind == kindBytes || t.kind == kindFixed) && n.LogicalType == "decimal":
		if n.Scale >= 0 && n.Scale <= maxScale && n.Precision > 0 {
			t.logical, t.scale = logicalDecimal, n.Scale
		}
	case n.LogicalType == "uuid" && t.kind == kindFixed && t.size == uuidBytes:
		t.logical = logicalUUID
	}
}

const (
	day           = 24 * time.Hour
	uuidBytes     = 16
	maxScale      = 1000
	maxFixedBytes = 1 << 40 // no record is that large, and sums of it do not overflow
)

// match returns what of the reader's type r a value of the writer's type t is
// read as; nil without one.
func match(t, r *typ) *typ {
	if r == nil || r.kind != kindUnion || t.kind == kindUnion {
		return r
	}
	var found *typ
	for _, b := range r.branches {
		if b.kind == t.kind {
			if b.name == t.name {
				return b
			}
			if found == nil {
				found = b
			}
		}
	}
	return found
}

// reaches reports why path does not lead to a value of t; nil when it does.
func (t *typ) reaches(path []string) error {
	if len(path) == 0 {
		return nil
	}
	switch t.kind {
	case kindRecord:
		m := t.field(path[0])
		if m == nil {
			return fmt.Errorf("record %s has no field %s", t.name, path[0])
		}
		return m.typ.reaches(path[1:])
	case kindMap:
		return t.items.reaches(path[1:])
	case kindUnion:
		err := errors.New("its path leads through null")
		for _, b := range t.branches {
			if b.kind == kindNull {
				continue
			}
			if err = b.reaches(path); err == nil {
				return nil
			}
		}
		return err
	default:
		return fmt.Errorf("its path leads through %s, not a record or map", t.kind)
	}
}
