package draft

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"millrace/feature"
)

// flattener turns observed places into fields.
type flattener struct {
	s      *Source
	names  map[string]bool
	fields []Field
	notes  []string
	total  int // records that could have the fields
	ofKey  bool
	inList bool // fields are of a list's elements
}

// maxFields bounds a draft that a person is to read.
const maxFields = 300

// headers adds the attributes of CloudEvents, and tells of other headers.
func (f *flattener) headers(o *observation) {
	var others []string
	for _, h := range o.headers {
		switch {
		case o.envelope == feature.EnvelopeCloudEvents && strings.HasPrefix(h, "ce_") && h != "ce_specversion" && h != "ce_time":
			f.header(h)
		case !strings.HasPrefix(h, "ce_") && h != "content-type":
			others = append(others, h)
		}
	}
	if o.data != nil {
		for _, a := range []string{"ce_id", "ce_source", "ce_type"} {
			f.header(a)
		}
		if o.root.at("subject") != nil {
			f.header("ce_subject")
		}
	}
	if len(others) > 0 {
		f.notes = append(f.notes, fmt.Sprintf("Records have headers: %s. {name: x, type: string, header: NAME} reads one.", quoteAll(others)))
	}
}

func (f *flattener) header(name string) {
	x := Field{}
	x.Name, x.Type, x.Header = column(name, f.names), feature.Of(feature.KindString), name
	f.fields = append(f.fields, x)
}

func quoteAll(names []string) string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = strconv.Quote(n)
	}
	return strings.Join(all, ", ")
}

// members adds the fields that lie in objects seen at n.
func (f *flattener) members(n *node, path []string) {
	if n == nil {
		return
	}
	for _, name := range n.names {
		if len(f.fields) >= maxFields {
			f.notes = append(f.notes, fmt.Sprintf("There are more than %d fields; the rest was left out.", maxFields))
			return
		}
		if name == "" || strings.Contains(name, ".") {
			f.notes = append(f.notes, fmt.Sprintf("No path leads to %s, whose name has a dot or is empty; declare what surrounds it as json.", strconv.Quote(name)))
			continue
		}
		f.place(n.members[name], append(slices.Clip(path), name))
	}
}

// maxSteps bounds how deep paths lead.
const maxSteps = 16

// place adds the field at n, or the fields within it.
func (f *flattener) place(n *node, path []string) {
	switch {
	case n.present() == 0:
		f.notes = append(f.notes, "Always null, so of no known type: "+strconv.Quote(strings.Join(path, "."))+".")
	case n.objects == n.present() && !n.isMap() && len(path) < maxSteps:
		f.members(n, path)
	case !f.ofKey && f.s.Envelope == feature.EnvelopeDebezium && f.inKey(strings.Join(path, ".")):
		// the key says the same, of deletes too
	default:
		f.field(n, path)
	}
}

func (f *flattener) inKey(path string) bool {
	return slices.ContainsFunc(f.fields, func(x Field) bool { return x.Key && x.Path == path })
}

// isMap reports whether objects at n are used as maps: their members are many
// and each in few of them, or are named by numbers. Their names are data.
func (n *node) isMap() bool {
	if len(n.names) == 0 || n.wide {
		return true
	}
	for _, name := range n.names {
		if name == "" || name[0] >= '0' && name[0] <= '9' {
			return true
		}
	}
	return len(n.names) > 16 && n.size*8 < n.objects*len(n.names)
}

func (f *flattener) field(n *node, path []string) {
	x := n.field(path[len(path)-1])
	full := strings.Join(path, ".")
	x.Name = column(strings.Join(path, "_"), f.names)
	if x.Name != full || f.ofKey {
		x.Path = full
	}
	x.Key = f.ofKey
	if n.elem != nil && n.arrays == n.present() && n.elem.objects > 0 && n.elem.objects == n.elem.present() && !n.elem.isMap() && !f.inList && !f.ofKey {
		inner := &flattener{s: f.s, names: make(map[string]bool), total: n.elem.objects + n.elem.nulls, inList: true}
		inner.members(n.elem, nil)
		f.notes = append(f.notes, inner.notes...)
		for _, e := range inner.fields {
			x.Of = append(x.Of, e.SourceField)
		}
	}
	switch missing := f.total - n.present(); {
	case missing > 0 && x.Note == "":
		x.Note = fmt.Sprintf("absent or null in %d of %d", missing, f.total)
	case missing > 0:
		x.Note += fmt.Sprintf("; absent or null in %d of %d", missing, f.total)
	}
	x.steady = n.present() >= f.total
	f.fields = append(f.fields, x)
}

// field says of which type a place is, and how it is read.
func (n *node) field(name string) Field {
	var x Field
	all := n.present()
	numbers := n.integers + n.decimals
	json := func(note string) { x.Type, x.Note = feature.Of(feature.KindJSON), note }
	switch {
	case n.bools == all:
		x.Type = feature.Of(feature.KindBool)
	case n.integers == all && n.beyond == 0:
		x.Type = feature.Of(feature.KindInt64)
		if u := n.unit(name); u >= 0 {
			x.Type, x.Unit = feature.Of(feature.KindTimestamp), unitSteps[u]
		}
	case numbers == all:
		x.Type = feature.Of(feature.KindFloat64)
		if n.beyond > 0 {
			x.Note = "has integers beyond 64 bits, which are rounded"
		}
	case n.strings == all && n.times == all:
		x.Type = feature.Of(feature.KindTimestamp)
	case n.strings == all && n.qInts+n.qFloats == all && !endsIn(name, idWords):
		x.Quoted, x.Type = true, feature.Of(feature.KindInt64)
		if n.qFloats > 0 {
			x.Type = feature.Of(feature.KindFloat64)
		}
	case n.strings == all:
		x.Type = feature.Of(feature.KindString)
	case n.arrays == all:
		x.Type, x.Note = n.list()
	case n.objects == all && len(n.names) > 0:
		json("its members are taken for data, as of a map; a path leads to one: path: " + "…NAME")
	case n.objects == all:
		json("an object without members")
	default:
		json("of several kinds: " + n.kinds())
	}
	return x
}

// unit guesses in what an integer counts time, or -1.
func (n *node) unit(name string) int {
	for u, seen := range n.units {
		if seen == n.integers && (endsIn(name, timeWords) || n.near == n.integers && seen >= 3) {
			return u
		}
	}
	return -1
}

func (n *node) kinds() string {
	var all []string
	for _, k := range []struct {
		name string
		seen int
	}{{"true or false", n.bools}, {"number", n.integers + n.decimals}, {"string", n.strings}, {"object", n.objects}, {"array", n.arrays}} {
		if k.seen > 0 {
			all = append(all, fmt.Sprintf("%s (%d)", k.name, k.seen))
		}
	}
	return strings.Join(all, ", ")
}

// maxDepth is how deep lists nest.
const maxDepth = 4

// list says of which type arrays at n are.
func (n *node) list() (feature.Type, string) {
	e := n.elem
	if e.present() == 0 {
		return feature.Of(feature.KindJSON), "always an empty list"
	}
	if e.objects == e.present() {
		return feature.ListOf(feature.Of(feature.KindJSON)), ""
	}
	if e.arrays == e.present() {
		t, note := e.list()
		if t.IsList() && t.Depth < maxDepth {
			return feature.ListOf(t), note
		}
		return feature.Of(feature.KindJSON), note
	}
	x := e.field("") // without a name it is no time and no number in quotes
	switch {
	case x.Quoted:
		x.Type = feature.Of(feature.KindString)
	case x.Unit != 0:
		x.Type = feature.Of(feature.KindInt64)
	}
	return feature.ListOf(x.Type), x.Note
}
