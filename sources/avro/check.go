package avro

import (
	"cmp"
	"fmt"
	"strings"

	"millrace/feature"
	"millrace/sources"
)

// Check says why f can never be read from records of schema s: its path leads
// nowhere, or nothing that lies there becomes its type. One branch of a union
// that fits is enough, as values go each by its own. f with Of is held to be a
// list of records.
func Check(s sources.Schema, f feature.SourceField) error { return check(s, f, "") }

// CheckElement is Check of a field of the elements of list.
func CheckElement(s sources.Schema, list, f feature.SourceField) error {
	return check(s, f, cmp.Or(list.Path, list.Name))
}

func check(s sources.Schema, f feature.SourceField, at string) error {
	settings := Settings{Framing: FramingNone, Writers: []sources.Schema{s}, Reader: &s, At: at}
	if len(f.Of) > 0 {
		settings.Raw = f.Name
	}
	d, err := newDecoder(&feature.Source{Fields: []feature.SourceField{f}}, []feature.Field{f.Field}, settings)
	if err != nil {
		return err
	}
	v := verdict{seen: make(map[*program]bool)}
	v.program(d.only.program)
	if v.fits || v.fault == "" { // what is always null fits
		return nil
	}
	return fmt.Errorf("field %s: %s", f.Name, v.fault)
}

// verdict is what the ops of a plan say about the one field that it reads.
type verdict struct {
	seen  map[*program]bool // programs of recursive schemas call themselves
	fits  bool
	fault string // the first
}

func (v *verdict) program(p *program) {
	if !v.seen[p] {
		v.seen[p] = true
		v.ops(p.ops)
	}
}

func (v *verdict) ops(ops []op) {
	for i := range ops {
		o := &ops[i]
		switch {
		case o.code == codeClear || o.code == codeNull:
		case o.code == codeFault:
			v.fault = cmp.Or(v.fault, o.text)
		case o.code == codeChoice || o.code == codeList:
			v.ops(o.values)
		case o.code > codeFault:
			v.fits = true
		case o.more != nil:
			for _, p := range o.programs {
				v.program(p)
			}
			for _, p := range o.keys {
				v.program(p)
			}
		}
	}
}

// FieldsWithin is Fields of a record within the schema's: the one at path,
// which may be a branch beside null.
func FieldsWithin(s sources.Schema, path ...string) ([]feature.SourceField, error) {
	t, _, err := parse(s, false)
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	for _, name := range path {
		m := t.record().field(name)
		if m == nil {
			return nil, fmt.Errorf("read the schema: record %s has no field %s", t.name, name)
		}
		t = m.typ
	}
	if t = t.record(); t.kind != kindRecord {
		return nil, fmt.Errorf("read the schema: it has no record at %s", strings.Join(path, "."))
	}
	return fieldsOf(t), nil
}

// record returns the record that t is but for null, otherwise t itself.
func (t *typ) record() *typ {
	if only := t.nullable(); only != nil && only.kind == kindRecord {
		return only
	}
	return t
}
