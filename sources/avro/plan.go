package avro

import (
	"slices"
	"time"

	"millrace/feature"
)

// target is a column to fill.
type target struct {
	name string
	typ  feature.Type
	unit time.Duration // of a number without a logical type that becomes a timestamp
	raw  bool          // elements are kept as bytes
}

// want is what is wanted of one value: the value itself for some targets, and
// values within it by name.
type want struct {
	name     string
	targets  []int
	children []*want
}

// newWant returns the tree of paths; target i lies at paths[i].
func newWant(paths [][]string) *want {
	root := new(want)
	for i, path := range paths {
		w := root
		for _, name := range path {
			w = w.child(name)
		}
		w.targets = append(w.targets, i)
	}
	return root
}

func (w *want) child(name string) *want {
	for _, c := range w.children {
		if c.name == name {
			return c
		}
	}
	c := &want{name: name}
	w.children = append(w.children, c)
	return c
}

// all appends every target in w to ts.
func (w *want) all(ts []int) []int {
	ts = append(ts, w.targets...)
	for _, c := range w.children {
		ts = c.all(ts)
	}
	return ts
}

// code is what an op does. Those from codeFault on read one value into one row
// of one column; the others move on in the record.
type code uint8

const (
	codeSkipBytes   code = iota // n bytes
	codeSkipNumbers             // n numbers of variable length
	codeSkipText                // a length and that many bytes
	codeSkipBlocks              // an array or map
	codeUnion                   // a branch number, then programs[branch]
	codeCall                    // programs[0]
	codePeek                    // programs[0], and back to where it began
	codePreset                  // programs[0] over data, the reader's default
	codeMap                     // pairs; keys says what is read of which
	codeClear                   // a value seen before is forgotten

	codeFault // the writer's type does not fit
	codeNull
	codeBool
	codeInt
	codeLong
	codeLongTo32
	codeToFloat // of an int or long
	codeFloat
	codeDouble
	codeDoubleTo32
	codeTime
	codeTimeText
	codeText
	codeBytes
	codeBytesToText
	codeFixed
	codeEnum
	codeUUID
	codeDecimal
	codeJSON
	codeChoice // a branch number, then values[branch]
	codeList   // values[0] for each element
	codeRaw    // programs[0] passes over each element, whose bytes are kept
)

// op is one step of reading a record.
type op struct {
	code  code
	field int32 // column
	n     int   // count, size
	*more
}

// more is what few ops need.
type more struct {
	name     string       // the target's, for messages
	typ      *typ         // the writer's
	to       feature.Type // what becomes of it
	part     bool         // of an element of a list
	unit     time.Duration
	values   []op
	programs []*program
	keys     map[string]*program
	data     []byte
	symbols  []string
	text     string // of a fault
}

// program reads one value of the writer's.
type program struct{ ops []op }

// inlineOps is how long a program may be to be copied instead of called.
const inlineOps = 48

// compiler makes the program of one writer's schema.
type compiler struct {
	targets []target
	skips   map[*typ]*program
	records map[visit]*program
}

// visit is a record as a program sees it.
type visit struct {
	writer, reader *typ
	want           *want
}

// compile returns the program that reads what w wants of a value of t, which a
// reader sees as r; r may be nil.
func compile(t, r *typ, w *want, targets []target) *program {
	c := compiler{targets: targets, skips: make(map[*typ]*program), records: make(map[visit]*program)}
	p := new(program)
	c.value(p, t, r, w)
	return p
}

// value appends ops that read one value of t.
func (c *compiler) value(p *program, t, r *typ, w *want) {
	readers := len(w.targets)
	if len(w.children) > 0 {
		readers++
	}
	if readers == 0 {
		c.skip(p, t)
		return
	}
	// A value that several read is read by all but the last without moving on.
	for i, at := range w.targets {
		o := c.leaf(t, r, at, c.targets[at].typ)
		if i+1 < readers {
			o = op{code: codePeek, more: &more{programs: []*program{{ops: []op{o}}}}}
		}
		p.ops = append(p.ops, o)
	}
	if len(w.children) > 0 {
		c.inside(p, t, r, w)
	}
}

// inside appends ops that read what is wanted within one value of t.
func (c *compiler) inside(p *program, t, r *typ, w *want) {
	r = match(t, r)
	switch t.kind {
	case kindNull:
	case kindRecord:
		c.join(p, c.record(t, r, w))
	case kindMap:
		keys := make(map[string]*program, len(w.children))
		for _, child := range w.children {
			q := &program{ops: []op{{code: codeClear, more: &more{}}}}
			for _, at := range child.all(nil) {
				q.ops[0].values = append(q.ops[0].values, op{field: int32(at)})
			}
			var values *typ
			if r != nil && r.kind == kindMap {
				values = r.items
			}
			c.value(q, t.items, values, child)
			keys[child.name] = q
		}
		p.ops = append(p.ops, op{code: codeMap, more: &more{keys: keys, programs: []*program{c.skipped(t.items)}}})
	case kindUnion:
		o := op{code: codeUnion, more: &more{}}
		for _, b := range t.branches {
			q := new(program)
			c.inside(q, b, r, w)
			o.programs = append(o.programs, q)
		}
		p.ops = append(p.ops, o)
	default:
		at := w.all(nil)[0]
		p.ops = append(p.ops, c.fault(t, at, c.targets[at].typ, "its path leads through "+t.kind.String()+", not a record or map"))
	}
}

// join appends q to p, or a call of it when it is long.
func (c *compiler) join(p, q *program) {
	if len(q.ops) > inlineOps {
		p.ops = append(p.ops, op{code: codeCall, more: &more{programs: []*program{q}}})
		return
	}
	for _, o := range q.ops {
		p.add(o)
	}
}

// add appends o, or makes the skip before it longer.
func (p *program) add(o op) {
	if n := len(p.ops); n > 0 && p.ops[n-1].code == o.code && (o.code == codeSkipBytes || o.code == codeSkipNumbers) {
		p.ops[n-1].n += o.n
		return
	}
	p.ops = append(p.ops, o)
}

// record returns the program that reads the fields of t that w's children name.
func (c *compiler) record(t, r *typ, w *want) *program {
	key := visit{t, r, w}
	if p, ok := c.records[key]; ok {
		return p
	}
	p := new(program)
	c.records[key] = p
	readers := make([][]*want, len(t.fields)) // who wants each of the writer's fields
	var presets []op
	for _, child := range w.children {
		var declared *member
		if r != nil && r.kind == kindRecord {
			declared = r.field(child.name)
		}
		if at := t.find(child.name, declared); at >= 0 {
			readers[at] = append(readers[at], child)
			continue
		}
		if declared != nil && declared.hasDefault {
			q := new(program)
			c.value(q, declared.typ, declared.typ, child)
			presets = append(presets, op{code: codePreset, more: &more{programs: []*program{q}, data: declared.preset}})
		}
	}
	for i := range t.fields {
		f := &t.fields[i]
		if len(readers[i]) == 0 {
			c.skip(p, f.typ)
			continue
		}
		for k, child := range readers[i] {
			var declared *typ
			if r != nil && r.kind == kindRecord {
				if m := r.field(child.name); m != nil {
					declared = m.typ
				}
			}
			if k+1 == len(readers[i]) {
				c.value(p, f.typ, declared, child)
				continue
			}
			q := new(program)
			c.value(q, f.typ, declared, child)
			p.ops = append(p.ops, op{code: codePeek, more: &more{programs: []*program{q}}})
		}
	}
	p.ops = append(p.ops, presets...)
	return p
}

// find returns the place of the field that a reader calls name: the one of that
// name, otherwise one of the names that the reader's field had before.
func (t *typ) find(name string, declared *member) int {
	named := func(name string) int {
		return slices.IndexFunc(t.fields, func(m member) bool { return m.name == name })
	}
	at := named(name)
	if declared != nil {
		for _, alias := range declared.aliases {
			if at < 0 {
				at = named(alias)
			}
		}
	}
	return at
}

// skip appends ops that pass over one value of t.
func (c *compiler) skip(p *program, t *typ) {
	switch t.kind {
	case kindNull:
	case kindBoolean:
		p.add(op{code: codeSkipBytes, n: 1})
	case kindInt, kindLong, kindEnum:
		p.add(op{code: codeSkipNumbers, n: 1})
	case kindFloat:
		p.add(op{code: codeSkipBytes, n: 4})
	case kindDouble:
		p.add(op{code: codeSkipBytes, n: 8})
	case kindFixed:
		p.add(op{code: codeSkipBytes, n: t.size})
	case kindBytes, kindString:
		p.add(op{code: codeSkipText})
	case kindArray, kindMap:
		o := op{code: codeSkipBlocks, more: &more{programs: []*program{c.skipped(t.items)}, typ: t}}
		if t.kind == kindMap {
			o.n = 1
		}
		p.add(o)
	case kindUnion:
		o := op{code: codeUnion, more: &more{}}
		for _, b := range t.branches {
			o.programs = append(o.programs, c.skipped(b))
		}
		p.add(o)
	case kindRecord:
		q, known := c.skips[t]
		if known { // perhaps this very one, not finished yet
			p.add(op{code: codeCall, more: &more{programs: []*program{q}}})
			return
		}
		q = new(program)
		c.skips[t] = q
		for i := range t.fields {
			c.skip(q, t.fields[i].typ)
		}
		c.join(p, q)
	}
}

// skipped returns a program that passes over one value of t.
func (c *compiler) skipped(t *typ) *program {
	p := new(program)
	c.skip(p, t)
	return p
}
