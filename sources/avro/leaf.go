package avro

import (
	"time"

	"millrace/feature"
)

// leaf returns the op that makes one value of t one of type to, for target at.
func (c *compiler) leaf(t, r *typ, at int, to feature.Type) op {
	if c.targets[at].raw {
		return c.raw(t, at)
	}
	r = match(t, r)
	o := op{field: int32(at), more: &more{
		name: c.targets[at].name, typ: t, to: to, part: to != c.targets[at].typ, unit: c.targets[at].unit,
	}}
	switch {
	case t.kind == kindNull:
		o.code = codeNull
		return o
	case t.kind == kindUnion:
		o.code, o.n = codeChoice, len(t.branches)
		for _, b := range t.branches {
			o.values = append(o.values, c.leaf(b, r, at, to))
		}
		return o
	case to.IsList() && t.kind == kindArray:
		var items *typ
		if r != nil && r.kind == kindArray {
			items = r.items
		}
		o.code, o.values = codeList, []op{c.leaf(t.items, items, at, to.Elem())}
		return o
	case to.IsList():
		return c.fault(t, at, to, "is "+t.kind.String()+", not "+to.String())
	case to.Kind == feature.KindJSON:
		o.code = codeJSON
		return o
	}
	if o.code = c.scalar(&o, t, r); o.code == codeFault {
		return c.fault(t, at, to, "is "+t.kind.String()+", not "+to.String())
	}
	return o
}

// fault returns the op that refuses a value for a reason that the schemas give.
func (c *compiler) fault(t *typ, at int, to feature.Type, text string) op {
	return op{code: codeFault, field: int32(at), more: &more{
		name: c.targets[at].name, typ: t, to: to, part: to != c.targets[at].typ, text: text,
	}}
}

// scalar chooses how a value of t becomes a scalar; codeFault when it cannot.
func (c *compiler) scalar(o *op, t, r *typ) code {
	if t.logical == logicalDecimal && o.to.Kind != feature.KindBytes {
		return decimalCode(t, o.to.Kind)
	}
	switch t.kind {
	case kindBoolean:
		return pick(o.to.Kind == feature.KindBool, codeBool)
	case kindInt, kindLong:
		return integerCode(o, t, r)
	case kindFloat:
		return pick(o.to.Kind == feature.KindFloat32 || o.to.Kind == feature.KindFloat64, codeFloat)
	case kindDouble:
		if o.to.Kind == feature.KindFloat32 {
			return codeDoubleTo32
		}
		return pick(o.to.Kind == feature.KindFloat64, codeDouble)
	case kindString:
		switch o.to.Kind {
		case feature.KindString:
			return codeText
		case feature.KindBytes:
			return codeBytes
		case feature.KindTimestamp:
			return pick(o.unit == 0, codeTimeText)
		default:
		}
	case kindBytes:
		if o.to.Kind == feature.KindString {
			return codeBytesToText
		}
		return pick(o.to.Kind == feature.KindBytes, codeBytes)
	case kindFixed:
		o.n = t.size
		if t.logical == logicalUUID && o.to.Kind == feature.KindString {
			return codeUUID
		}
		return pick(o.to.Kind == feature.KindBytes, codeFixed)
	case kindEnum:
		o.symbols = symbols(t, r)
		return pick(o.to.Kind == feature.KindString, codeEnum)
	case kindNull, kindArray, kindMap, kindRecord, kindUnion:
	}
	return codeFault
}

func pick(fits bool, c code) code {
	if fits {
		return c
	}
	return codeFault
}

func decimalCode(t *typ, to feature.Kind) code {
	switch to {
	case feature.KindString, feature.KindFloat32, feature.KindFloat64:
		return codeDecimal
	case feature.KindInt32, feature.KindInt64:
		return pick(t.scale == 0, codeDecimal)
	default:
		return codeFault
	}
}

func integerCode(o *op, t, r *typ) code {
	long := t.kind == kindLong
	switch o.to.Kind {
	case feature.KindInt32:
		if long {
			return codeLongTo32
		}
		return codeInt
	case feature.KindInt64:
		if long {
			return codeLong
		}
		return codeInt
	case feature.KindFloat32, feature.KindFloat64:
		return codeToFloat
	case feature.KindTimestamp:
		// The writer knows best what it wrote, then the reader, then the definition.
		switch {
		case t.logical == logicalTime:
			o.unit = t.unit
		case r != nil && r.logical == logicalTime:
			o.unit = r.unit
		}
		return pick(o.unit != 0, codeTime)
	default:
		return codeFault
	}
}

// symbols returns what each of the writer's symbols is read as. One that the
// reader lacks is its default; without a default it stays what it is, because a
// string has room for it.
func symbols(t, r *typ) []string {
	if r == nil || r.kind != kindEnum || r.fallback == "" {
		return t.symbols
	}
	known := make(map[string]bool, len(r.symbols))
	for _, s := range r.symbols {
		known[s] = true
	}
	out := make([]string, len(t.symbols))
	for i, s := range t.symbols {
		out[i] = s
		if !known[s] {
			out[i] = r.fallback
		}
	}
	return out
}

// fieldsOf returns the fields of a record, each of its natural type.
func fieldsOf(t *typ) []feature.SourceField {
	fields := make([]feature.SourceField, 0, len(t.fields))
	for i := range t.fields {
		f := &t.fields[i]
		fields = append(fields, feature.SourceField{Field: feature.Field{Name: f.name, Type: natural(f.typ, 0)}})
	}
	return fields
}

// maxListDepth is how deep a feature's lists nest.
const maxListDepth = 4

// natural returns the type that t is without further word.
func natural(t *typ, depth int) feature.Type {
	switch t.kind {
	case kindBoolean:
		return feature.Of(feature.KindBool)
	case kindInt, kindLong:
		switch {
		case t.logical == logicalTime:
			return feature.Of(feature.KindTimestamp)
		case t.kind == kindInt:
			return feature.Of(feature.KindInt32)
		default:
			return feature.Of(feature.KindInt64)
		}
	case kindFloat:
		return feature.Of(feature.KindFloat32)
	case kindDouble:
		return feature.Of(feature.KindFloat64)
	case kindString, kindEnum:
		return feature.Of(feature.KindString)
	case kindBytes, kindFixed:
		switch t.logical {
		case logicalDecimal:
			return feature.Of(feature.KindFloat64)
		case logicalUUID:
			return feature.Of(feature.KindString)
		case logicalNone, logicalTime:
		}
		return feature.Of(feature.KindBytes)
	case kindArray:
		if e := natural(t.items, depth+1); depth < maxListDepth && e.Kind != feature.KindJSON {
			return feature.ListOf(e)
		}
	case kindUnion:
		if only := t.nullable(); only != nil {
			return natural(only, depth)
		}
	case kindNull, kindMap, kindRecord:
	}
	return feature.Of(feature.KindJSON)
}

// nullable returns the one type that a union holds beside null; nil for others.
func (t *typ) nullable() *typ {
	var only *typ
	for _, b := range t.branches {
		if b.kind == kindNull {
			continue
		}
		if only != nil {
			return nil
		}
		only = b
	}
	return only
}

// epochMicros turns a count of unit since the epoch into microseconds, rounding
// down; false when that overflows.
func epochMicros(v int64, unit time.Duration) (int64, bool) {
	if unit < time.Microsecond {
		per := int64(time.Microsecond / unit)
		micros := v / per
		if v%per < 0 {
			micros--
		}
		return micros, true
	}
	per := int64(unit / time.Microsecond)
	micros := v * per
	return micros, micros/per == v
}
