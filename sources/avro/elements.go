package avro

import (
	"errors"
	"fmt"
	"strconv"

	"millrace/feature"
)

// What it takes to read each element of a list of records as a record of its
// own: one decoder passes over the elements and keeps their bytes (Settings.Raw),
// each behind the frame of its record; another one reads those (Settings.At)
// by a plan of the elements' type in the writer's schema that the frame names.

var (
	errNoList    = errors.New("there is no list")
	errManyLists = errors.New("branches of a union have lists of several types there")
)

// elementsAt returns the type of the elements of the list at path in t, and
// what a reader, who sees t as r, sees them as; r may be nil.
func elementsAt(t, r *typ, path []string) (items, seen *typ, err error) {
	r = match(t, r)
	switch {
	case t.kind == kindUnion:
		return elementsOfBranch(t, r, path)
	case len(path) == 0 && t.kind == kindArray:
		if r != nil && r.kind == kindArray {
			seen = r.items
		}
		return t.items, seen, nil
	case len(path) == 0:
		return nil, nil, fmt.Errorf("%w: it is %s, not an array", errNoList, t.kind)
	case t.kind == kindMap:
		if r != nil && r.kind == kindMap {
			seen = r.items
		}
		return elementsAt(t.items, seen, path[1:])
	case t.kind == kindRecord:
		var declared *member
		if r != nil && r.kind == kindRecord {
			if declared = r.field(path[0]); declared != nil {
				seen = declared.typ
			}
		}
		at := t.find(path[0], declared)
		if at < 0 {
			return nil, nil, fmt.Errorf("%w: record %s has no field %s", errNoList, t.name, path[0])
		}
		return elementsAt(t.fields[at].typ, seen, path[1:])
	default:
		return nil, nil, fmt.Errorf("%w: its path leads through %s, not a record or map", errNoList, t.kind)
	}
}

// elementsOfBranch is elementsAt of a union, of which one branch may have the
// list.
func elementsOfBranch(t, r *typ, path []string) (items, seen *typ, err error) {
	err = fmt.Errorf("%w: it is null", errNoList)
	for _, b := range t.branches {
		if b.kind == kindNull {
			continue
		}
		of, as, problem := elementsAt(b, r, path)
		switch {
		case errors.Is(problem, errManyLists) || problem == nil && items != nil && of != items:
			return nil, nil, errManyLists
		case problem == nil:
			items, seen = of, as
		case items == nil:
			err = problem
		}
	}
	if items == nil {
		return nil, nil, err
	}
	return items, seen, nil
}

// elements are the settings of a decoder about lists of records.
type elements struct {
	raw []string // path of the list whose elements are kept as bytes
	at  []string // path of the list whose elements are the records
}

// keep makes the elements of the field of that name kept as bytes.
func (d *Decoder) keep(name string, paths [][]string) error {
	for i := range d.targets {
		if t := &d.targets[i]; t.name == name && t.typ == feature.ListOf(feature.Of(feature.KindJSON)) {
			t.raw, d.elements.raw = true, paths[i]
			return nil
		}
	}
	return fmt.Errorf("field %s: is not one to decode as list<json>, so its elements cannot be kept", name)
}

// seen returns what the reader sees records as.
func (d *Decoder) seen() (*typ, error) {
	if d.reader == nil || d.elements.at == nil {
		return d.reader, nil
	}
	items, _, err := elementsAt(d.reader, nil, d.elements.at)
	return items, err
}

// planOf returns the plan of the writer's schema t.
func (d *Decoder) planOf(t *typ) plan {
	r := d.reader
	if d.elements.raw != nil {
		if _, _, err := elementsAt(t, r, d.elements.raw); errors.Is(err, errManyLists) {
			return plan{fault: err.Error()}
		}
	}
	if d.elements.at != nil {
		items, seen, err := elementsAt(t, r, d.elements.at)
		if errors.Is(err, errNoList) && r != nil { // what comes is the reader's default
			items, seen, err = elementsAt(r, r, d.elements.at)
		}
		if err != nil {
			return plan{fault: err.Error()}
		}
		t, r = items, seen
	}
	return plan{program: compile(t, r, d.want, d.targets)}
}

// raw returns the op that keeps the elements of a value of t as bytes.
func (c *compiler) raw(t *typ, at int) op {
	o := op{field: int32(at), more: &more{name: c.targets[at].name, typ: t, to: c.targets[at].typ}}
	switch {
	case t.kind == kindNull:
		o.code = codeNull
	case t.kind == kindUnion:
		o.code, o.n = codeChoice, len(t.branches)
		for _, b := range t.branches {
			o.values = append(o.values, c.raw(b, at))
		}
	case t.kind != kindArray:
		return c.fault(t, at, o.to, "is "+t.kind.String()+", not an array")
	case t.items.empty:
		// Any number of them would fit a few bytes.
		return c.fault(t, at, o.to, "has elements that take no bytes")
	default:
		o.code, o.programs = codeRaw, []*program{c.skipped(t.items)}
	}
	return o
}

// rawList keeps the elements of an array, each behind the frame of the record.
func (m *machine) rawList(o *op, c *feature.Column, i int) bool {
	if !m.enter() {
		return false
	}
	start := c.Elems.Len()
	for {
		n, _, ok := m.block(false)
		if !ok {
			return false
		}
		if n == 0 {
			break
		}
		next := c.Elems.Len()
		if next+n-start > feature.MaxElement+1 {
			return m.tooLarge("has more than " + strconv.Itoa(feature.MaxElement+1) + " elements in field " + o.name)
		}
		c.Elems.Resize(next + n)
		for e := next; e < next+n; e++ {
			at := m.at
			if !m.run(o.programs[0]) {
				return false
			}
			c.Elems.SetString(e, m.framed(m.data[at:m.at]))
		}
	}
	m.depth++
	c.SetList(i, start)
	return true
}

// framed returns an element as a record.
func (m *machine) framed(element []byte) string {
	if len(m.frame) == 0 {
		return text(element)
	}
	tail := m.arena.Tail(len(m.frame) + len(element))
	return m.arena.Keep(append(append(tail, m.frame...), element...))
}
