package definition

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// reader decodes one document into the model. A library's strict decoder stops
// at its first error; this one goes on, so that all are reported at once, and
// remembers the node of every value for later errors.
type reader struct {
	file   string
	lines  []string
	nodes  map[string]ast.Node // by path
	bad    map[string]bool     // paths whose values were refused, or stand under a wrong key
	errors *Errors
}

func newReader(file string, lines []string, errors *Errors) *reader {
	return &reader{file: file, lines: lines, nodes: make(map[string]ast.Node), bad: make(map[string]bool), errors: errors}
}

func (r *reader) line(n int) string {
	if n < 1 || n > len(r.lines) {
		return ""
	}
	return r.lines[n-1]
}

// fault records an error at a node. What is said later about the same path
// would only follow from it, and is dropped by at.
func (r *reader) fault(n ast.Node, path, message, hint string) {
	r.bad[path] = true
	line, column := start(n)
	r.faultAt(line, column, path, message, hint)
}

func (r *reader) faultAt(line, column int, path, message, hint string) {
	*r.errors = append(*r.errors, &Error{
		File: r.file, Line: line, Column: column, Path: path, Message: message, Hint: hint, Source: r.line(line),
	})
}

// at records an error at a byte offset of the value at a path, or at the
// nearest path above it that was written.
func (r *reader) at(path string, offset int, message, hint string) {
	if r.bad[path] {
		return
	}
	for p := path; ; p = parent(p) {
		if n, ok := r.nodes[p]; ok {
			if p != path {
				offset = -1
			}
			line, column := r.place(n, offset)
			r.faultAt(line, column, path, message, hint)
			return
		}
		if p == "" {
			r.faultAt(1, 1, path, message, hint)
			return
		}
	}
}

// refuse is at for a value of which no more is to be said.
func (r *reader) refuse(path string, offset int, message, hint string) {
	r.at(path, offset, message, hint)
	r.bad[path] = true
}

// atKey records an error at a key of the mapping at a path.
func (r *reader) atKey(path, key, message, hint string) {
	pairs, _ := pairsOf(r.nodes[path])
	for _, p := range pairs {
		if keyText(p) == key && !r.bad[join(path, key)] {
			r.fault(p.Key, join(path, key), message, hint)
			return
		}
	}
	r.at(join(path, key), -1, message, hint)
}

func keyText(p *ast.MappingValueNode) string {
	if p.Key == nil || p.Key.GetToken() == nil {
		return ""
	}
	return p.Key.GetToken().Value
}

// doubtful reports whether anything at or below a path was refused, so that
// errors about what is made of it may not be errors.
func (r *reader) doubtful(path string) bool {
	for p := range r.bad {
		if rest, below := strings.CutPrefix(p, path); below && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

func parent(path string) string {
	if i := strings.LastIndexAny(path, ".["); i > 0 {
		return path[:i]
	}
	return ""
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// refusedNode names the parts of YAML that definitions do without.
func refusedNode(n ast.Node) string {
	switch n.(type) {
	case *ast.AnchorNode:
		return "an anchor"
	case *ast.AliasNode:
		return "an alias"
	case *ast.TagNode:
		return "a tag"
	default:
		return ""
	}
}

var (
	nodeType     = reflect.TypeFor[ast.Node]()
	durationType = reflect.TypeFor[time.Duration]()
	orNullType   = reflect.TypeFor[orNull]()
)

// decode fills v, which a node at path describes.
func (r *reader) decode(n ast.Node, v reflect.Value, path string) {
	r.nodes[path] = n
	if what := refusedNode(n); what != "" {
		r.fault(n, path, fmt.Sprintf("%s has %s, which definitions do without", last(path), what), "write the value itself")
		return
	}
	switch {
	case v.Type() == nodeType:
		v.Set(reflect.ValueOf(n))
	case v.Type() == durationType:
		r.decodeDuration(n, v, path)
	case v.Type() == orNullType && n.Type() == ast.NullType:
		v.SetString("null")
	case v.Type() == reflect.TypeFor[refDef]() && isScalar(n):
		v.FieldByName("Short").SetString(scalarText(n))
	case v.Type() == reflect.TypeFor[pushDef]() && isScalar(n):
		flag := new(bool)
		v.FieldByName("Flag").Set(reflect.ValueOf(flag))
		r.decodeScalar(n, reflect.ValueOf(flag).Elem(), path)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.decode(n, v.Elem(), path)
	case v.Kind() == reflect.Struct:
		r.decodeStruct(n, v, path)
	case v.Kind() == reflect.Slice:
		r.decodeSlice(n, v, path)
	case v.Kind() == reflect.Map:
		r.decodeMap(n, v, path)
	default:
		r.decodeScalar(n, v, path)
	}
}

func isScalar(n ast.Node) bool {
	switch n.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.LiteralNode, *ast.InfinityNode, *ast.NanNode:
		return true
	default:
		return false
	}
}

// literalText returns a scalar's text; false when n is no scalar.
func literalText(n ast.Node) (string, bool) {
	if _, null := n.(*ast.NullNode); null {
		return "null", true
	}
	if !isScalar(n) {
		return "", false
	}
	return scalarText(n), true
}

// scalarText returns a scalar as it was written.
func scalarText(n ast.Node) string {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value
	case *ast.LiteralNode:
		return s.Value.Value
	default:
		return n.GetToken().Value
	}
}

func (r *reader) decodeScalar(n ast.Node, v reflect.Value, path string) {
	if !isScalar(n) {
		r.fault(n, path, fmt.Sprintf("%s must be a single value, not %s", last(path), shape(n)), "write one value after the colon, in quotes if it holds : # { } [ ] or ,")
		return
	}
	text := scalarText(n)
	switch v.Kind() {
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			r.fault(n, path, fmt.Sprintf("%s must be true or false, not %q", last(path), text), "write true or false")
		}
		v.SetBool(b)
	case reflect.Int:
		i, err := strconv.Atoi(text)
		if err != nil {
			r.fault(n, path, fmt.Sprintf("%s must be a whole number, not %q", last(path), text), "write digits only")
		}
		v.SetInt(int64(i))
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil {
			r.fault(n, path, fmt.Sprintf("%s must be a number, not %q", last(path), text), "write it like 0.95")
		}
		v.SetFloat(x)
	default:
		v.SetString(text)
	}
}

func (r *reader) decodeSlice(n ast.Node, v reflect.Value, path string) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		if _, null := n.(*ast.NullNode); !null {
			r.fault(n, path, fmt.Sprintf("%s must be a list, not %s", last(path), shape(n)), "start each entry with a dash")
		}
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values)))
	for i, e := range list.Values {
		r.decode(e, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
}

func (r *reader) decodeMap(n ast.Node, v reflect.Value, path string) {
	pairs, ok := pairsOf(n)
	if !ok {
		r.fault(n, path, fmt.Sprintf("%s must be a mapping of names to values, not %s", last(path), shape(n)), "write {name: value}, or a line name: value for each")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, p := range pairs {
		key := keyText(p)
		if v.MapIndex(reflect.ValueOf(key)).IsValid() {
			r.fault(p.Key, join(path, key), key+" is written twice", "remove one of the two")
			continue
		}
		value := reflect.New(v.Type().Elem()).Elem()
		r.decode(p.Value, value, join(path, key))
		v.SetMapIndex(reflect.ValueOf(key), value)
	}
}

func pairsOf(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	case *ast.NullNode:
		return nil, true
	default:
		return nil, false
	}
}

func (r *reader) decodeStruct(n ast.Node, v reflect.Value, path string) {
	pairs, ok := pairsOf(n)
	if !ok {
		r.fault(n, path, fmt.Sprintf("%s must be a mapping, not %s", last(path), shape(n)), "its keys are: "+strings.Join(keysOf(fieldsOf(v.Type())), ", "))
		return
	}
	fields := fieldsOf(v.Type())
	seen := make(map[string]bool)
	for _, p := range pairs {
		key := keyText(p)
		f, known := fields[key]
		switch {
		case !known:
			r.fault(p.Key, join(path, key), "unknown key "+key, unknownKeyHint(p, keysOf(fields)))
			if meant := nearest(key, keysOf(fields)); meant != "" {
				r.bad[join(path, meant)] = true // it is not missing
			}
		case seen[key]:
			r.fault(p.Key, join(path, key), key+" is written twice", "remove one of the two")
		case f.Tag.Get("later") != "":
			r.fault(p.Key, join(path, key), fmt.Sprintf("%s: %s are not available in this version", key, strings.TrimSuffix(f.Tag.Get("later"), ",")),
				cmp.Or(f.Tag.Get("instead"), "leave it out; the changelog says when they come"))
		default:
			r.decode(p.Value, v.FieldByIndex(f.Index), join(path, key))
			r.checkEnum(f, p.Value, v.FieldByIndex(f.Index), join(path, key))
		}
		seen[key] = true
	}
	for _, key := range keysOf(fields) {
		if fields[key].Tag.Get("need") != "" {
			r.need(n, v.FieldByIndex(fields[key].Index), join(path, key), seen[key])
		}
	}
}

// need refuses a struct, written at n, that lacks the value of a path.
func (r *reader) need(n ast.Node, v reflect.Value, path string, seen bool) {
	switch key := last(path); {
	case r.bad[path] || seen && !v.IsZero():
	case seen:
		r.fault(r.nodes[path], path, key+" is empty", "write a value after it")
	default:
		r.fault(n, path, fmt.Sprintf("%s is missing in %s", key, last(parent(path))), "add "+key+": to it")
	}
}

// unknownKeyHint recognises a text with a comma inside { }, which YAML takes
// for the end of a value: {expr: nullif(km, 0)}.
func unknownKeyHint(p *ast.MappingValueNode, known []string) string {
	key := keyText(p)
	if _, empty := p.Value.(*ast.NullNode); empty && nearest(key, known) == "" {
		return "inside { } a comma ends a value: put the text before it in quotes"
	}
	return didYouMean(key, known)
}

func (r *reader) checkEnum(f reflect.StructField, n ast.Node, v reflect.Value, path string) {
	allowed := f.Tag.Get("enum")
	if v.Kind() == reflect.Slice && !r.bad[path] {
		for i := range v.Len() {
			at := fmt.Sprintf("%s[%d]", path, i)
			r.checkEnum(f, r.nodes[at], v.Index(i), at)
		}
		return
	}
	if allowed == "" || r.bad[path] || slices.Contains(strings.Split(allowed, ","), v.String()) {
		return
	}
	all := strings.Split(allowed, ",")
	r.fault(n, path, fmt.Sprintf("%s %q is not one of %s", last(path), v.String(), strings.Join(all, ", ")), didYouMean(v.String(), all))
}

// fieldsOf maps keys to fields, embedded structs included.
func fieldsOf(t reflect.Type) map[string]reflect.StructField {
	fields := make(map[string]reflect.StructField)
	for _, f := range reflect.VisibleFields(t) {
		if key := f.Tag.Get("yaml"); key != "" && key != "-" {
			fields[key] = f
		}
	}
	return fields
}

func keysOf(fields map[string]reflect.StructField) []string {
	var keys []string
	for k, f := range fields {
		if f.Tag.Get("later") == "" {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// last names the end of a path for messages.
func last(path string) string {
	if path == "" {
		return "the file"
	}
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		return path[i+1:]
	}
	return path
}

func shape(n ast.Node) string {
	switch n.(type) {
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.NullNode:
		return "nothing"
	default:
		return "a single value"
	}
}
