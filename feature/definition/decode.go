package definition

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// reader decodes one file into the model. A library's strict decoder stops at
// its first error; this one goes on, so that all are reported at once, and
// remembers the node of every value for later errors.
type reader struct {
	file   string
	lines  []string
	nodes  map[string]ast.Node // by path
	errors *Errors
}

// read decodes a file; what is wrong is added to errors.
func read(f File, errors *Errors) (*reader, *fileDef) {
	r := &reader{file: f.Name, lines: strings.Split(string(f.Data), "\n"), nodes: make(map[string]ast.Node), errors: errors}
	def := new(fileDef)
	tree, err := parser.ParseBytes(f.Data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntaxError(err)
		return r, def
	}
	for _, doc := range tree.Docs {
		if doc.Body != nil {
			r.decode(doc.Body, reflect.ValueOf(def).Elem(), "")
		}
	}
	return r, def
}

// syntaxError takes line and column out of the parser's message.
func (r *reader) syntaxError(err error) {
	e := &Error{File: r.file, Line: 1, Column: 1, Message: "not YAML: " + strings.SplitN(err.Error(), "\n", 2)[0]}
	text := err.Error()
	if _, scanErr := fmt.Sscanf(text, "[%d:%d]", &e.Line, &e.Column); scanErr == nil {
		_, rest, _ := strings.Cut(strings.SplitN(text, "\n", 2)[0], "] ")
		e.Message = "not YAML: " + rest
	}
	e.Source = r.line(e.Line)
	*r.errors = append(*r.errors, e)
}

func (r *reader) line(n int) string {
	if n < 1 || n > len(r.lines) {
		return ""
	}
	return strings.TrimRight(r.lines[n-1], "\r")
}

// fault records an error at a node, shifted right by offset characters.
func (r *reader) fault(n ast.Node, offset int, path, message, hint string) {
	e := &Error{File: r.file, Path: path, Message: message, Hint: hint}
	if n != nil && n.GetToken() != nil {
		p := n.GetToken().Position
		e.Line, e.Column = p.Line, p.Column+offset
		e.Source = r.line(e.Line)
	}
	*r.errors = append(*r.errors, e)
}

// at records an error at a path, or at the nearest path above it that was
// written.
func (r *reader) at(path string, offset int, message, hint string) {
	for p := path; ; p = parent(p) {
		if n, ok := r.nodes[p]; ok {
			if p != path {
				offset = 0
			}
			r.fault(n, r.shift(n, offset), path, message, hint)
			return
		}
		if p == "" {
			r.fault(nil, 0, path, message, hint)
			return
		}
	}
}

// shift turns an offset in a scalar's text into columns: quotes take one.
func (r *reader) shift(n ast.Node, offset int) int {
	s, ok := n.(*ast.StringNode)
	if !ok || offset < 0 {
		return 0
	}
	if origin := strings.TrimLeft(s.Token.Origin, " \n\t"); strings.HasPrefix(origin, `"`) || strings.HasPrefix(origin, "'") {
		offset++
	}
	return offset
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

// resolve follows anchors, aliases and tags are not part of definitions.
func resolve(n ast.Node) ast.Node {
	if a, ok := n.(*ast.AnchorNode); ok {
		return a.Value
	}
	return n
}

var (
	nodeType     = reflect.TypeFor[ast.Node]()
	durationType = reflect.TypeFor[time.Duration]()
)

// decode fills v, which a node at path describes.
func (r *reader) decode(n ast.Node, v reflect.Value, path string) {
	n = resolve(n)
	r.nodes[path] = n
	switch {
	case v.Type() == nodeType:
		v.Set(reflect.ValueOf(n))
	case v.Type() == durationType:
		r.decodeDuration(n, v, path)
	case v.Type() == reflect.TypeFor[refDef]() && isScalar(n):
		v.FieldByName("Short").SetString(scalarText(n))
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
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.LiteralNode:
		return true
	default:
		return false
	}
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
		r.fault(n, 0, path, fmt.Sprintf("%s must be a single value, not %s", last(path), shape(n)), "")
		return
	}
	text := scalarText(n)
	switch v.Kind() {
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			r.fault(n, 0, path, fmt.Sprintf("%s must be true or false, not %q", last(path), text), "")
		}
		v.SetBool(b)
	case reflect.Int:
		i, err := strconv.Atoi(text)
		if err != nil {
			r.fault(n, 0, path, fmt.Sprintf("%s must be a whole number, not %q", last(path), text), "")
		}
		v.SetInt(int64(i))
	default:
		v.SetString(text)
	}
}

func (r *reader) decodeDuration(n ast.Node, v reflect.Value, path string) {
	d, err := parseDuration(scalarTextOr(n))
	if err != nil {
		r.fault(n, 0, path, fmt.Sprintf("%s %q is not a duration", last(path), scalarTextOr(n)), "write 90s, 15m, 24h, 7d or 1d12h")
		return
	}
	v.SetInt(int64(d))
}

func scalarTextOr(n ast.Node) string {
	if isScalar(n) {
		return scalarText(n)
	}
	return shape(n)
}

func (r *reader) decodeSlice(n ast.Node, v reflect.Value, path string) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		if _, null := n.(*ast.NullNode); !null {
			r.fault(n, 0, path, fmt.Sprintf("%s must be a list, not %s", last(path), shape(n)), "start each entry with a dash")
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
		r.fault(n, 0, path, fmt.Sprintf("%s must be a mapping of names to values, not %s", last(path), shape(n)), "")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, p := range pairs {
		key := p.Key.GetToken().Value
		if v.MapIndex(reflect.ValueOf(key)).IsValid() {
			r.fault(p.Key, 0, join(path, key), key+" is written twice", "")
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
		r.fault(n, 0, path, fmt.Sprintf("%s must be a mapping, not %s", last(path), shape(n)), "")
		return
	}
	fields := fieldsOf(v.Type())
	seen := make(map[string]bool)
	for _, p := range pairs {
		key := p.Key.GetToken().Value
		f, known := fields[key]
		switch {
		case !known:
			r.fault(p.Key, 0, join(path, key), "unknown key "+key, unknownKeyHint(p, keysOf(fields)))
		case seen[key]:
			r.fault(p.Key, 0, join(path, key), key+" is written twice", "remove one of the two")
		case f.Tag.Get("later") != "":
			r.fault(p.Key, 0, join(path, key), fmt.Sprintf("%s: %s are not available in this version", key, strings.TrimSuffix(f.Tag.Get("later"), ",")),
				"leave it out; the changelog says when they come")
		default:
			r.decode(p.Value, v.FieldByIndex(f.Index), join(path, key))
			r.checkEnum(f, p.Value, v.FieldByIndex(f.Index), join(path, key))
		}
		seen[key] = true
	}
	for _, key := range keysOf(fields) {
		if fields[key].Tag.Get("need") != "" && !seen[key] {
			r.fault(n, 0, path, fmt.Sprintf("%s is missing in %s", key, last(path)), "")
		}
	}
}

// unknownKeyHint recognises a text with a comma inside { }, which YAML takes
// for the end of a value: {expr: nullif(km, 0)}.
func unknownKeyHint(p *ast.MappingValueNode, known []string) string {
	key := p.Key.GetToken().Value
	if _, empty := p.Value.(*ast.NullNode); empty && nearest(key, known) == "" {
		return "inside { } a comma ends a value: put the text before it in quotes"
	}
	return didYouMean(key, known)
}

func (r *reader) checkEnum(f reflect.StructField, n ast.Node, v reflect.Value, path string) {
	allowed := f.Tag.Get("enum")
	if allowed == "" || slices.Contains(strings.Split(allowed, ","), v.String()) {
		return
	}
	r.fault(n, 0, path, fmt.Sprintf("%s %q is not one of %s", last(path), v.String(), strings.ReplaceAll(allowed, ",", ", ")), "")
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

// parseDuration reads Go's durations with days and weeks before them.
func parseDuration(s string) (time.Duration, error) {
	total := time.Duration(0)
	for _, unit := range []struct {
		suffix string
		length time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		number, rest, ok := strings.Cut(s, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("read duration %q: %w", s, err)
		}
		total += time.Duration(n) * unit.length
		s = rest
	}
	if s == "" && total > 0 {
		return total, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("read duration %q: not a positive duration", s)
	}
	return total + d, nil
}
