package produce

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"

	"millrace/feature"
)

var errNoSchema = errors.New("its schema is not at hand; set schema_registry.urls in millrace.yaml")

// avroFormat writes Avro: a tree of what the library takes for each type.
type avroFormat struct {
	schema *avro.Schema
	at     *avro.SchemaNode            // what paths begin at
	named  map[string]*avro.SchemaNode // by full name
}

func openAvro(s *feature.SourceSchema) (format, []byte, error) {
	if s == nil || len(s.Text) == 0 {
		return nil, nil, errNoSchema
	}
	lax := avro.WithLaxNames(nil)
	var cache avro.SchemaCache
	for _, r := range s.References {
		if _, err := cache.Parse(r.Text, lax); err != nil {
			return nil, nil, fmt.Errorf("read schema %s: %w", r.Name, err)
		}
	}
	whole, err := cache.Parse(string(s.Text), lax)
	if err != nil {
		return nil, nil, fmt.Errorf("read the schema: %w", err)
	}
	root := whole.Root()
	if len(s.References) > 0 { // put their definitions where they are used
		if whole, err = root.Schema(lax); err != nil {
			return nil, nil, fmt.Errorf("read the schema: %w", err)
		}
		root = whole.Root()
	}
	a := &avroFormat{schema: whole, at: root, named: make(map[string]*avro.SchemaNode)}
	a.name(root)
	if s.Subject == "" {
		return a, nil, nil
	}
	frame, err := new(sr.ConfluentHeader).AppendEncode(nil, int(s.ID), nil)
	return a, frame, err //nolint:wrapcheck // it never fails
}

// name notes the definitions in n.
func (a *avroFormat) name(n *avro.SchemaNode) {
	if n == nil {
		return
	}
	if n.Name != "" {
		a.named[fullName(n)] = n
	}
	a.name(n.Items)
	a.name(n.Values)
	for i := range n.Branches {
		a.name(&n.Branches[i])
	}
	for i := range n.Fields {
		a.name(&n.Fields[i].Type)
	}
}

func fullName(n *avro.SchemaNode) string {
	if n.Namespace == "" || strings.Contains(n.Name, ".") {
		return n.Name
	}
	return n.Namespace + "." + n.Name
}

// follow returns what a reference refers to.
func (a *avroFormat) follow(n *avro.SchemaNode) *avro.SchemaNode {
	if def := a.named[n.Type]; def != nil {
		return def
	}
	for full, def := range a.named { // within a namespace it need not be said
		if strings.HasSuffix(full, "."+n.Type) {
			return def
		}
	}
	return n
}

// values are the branches of n that hold values: n itself, or those of a union
// that are not null.
func (a *avroFormat) values(n *avro.SchemaNode) (all []*avro.SchemaNode, nullable bool) {
	if n = a.follow(n); n.Type != "union" {
		return []*avro.SchemaNode{n}, n.Type == "null"
	}
	for i := range n.Branches {
		if b := a.follow(&n.Branches[i]); b.Type == "null" {
			nullable = true
		} else {
			all = append(all, b)
		}
	}
	return all, nullable
}

// find follows a path.
func (a *avroFormat) find(path []string) (*avro.SchemaNode, error) {
	n := a.at
	for i, part := range path {
		var next *avro.SchemaNode
		branches, _ := a.values(n)
		for _, b := range branches {
			if b.Type == "map" {
				next = b.Values
			}
			for j := range b.Fields {
				if b.Fields[j].Name == part {
					next = &b.Fields[j].Type
				}
			}
		}
		if next == nil {
			return nil, fmt.Errorf("the schema has no field %s", strings.Join(path[:i+1], "."))
		}
		n = next
	}
	return n, nil
}

func (a *avroFormat) element(path []string) (format, error) {
	n, err := a.find(path)
	if err != nil {
		return nil, err
	}
	branches, _ := a.values(n)
	for _, b := range branches {
		if b.Type == "array" {
			return &avroFormat{a.schema, b.Items, a.named}, nil
		}
	}
	return nil, fmt.Errorf("the schema has no list at %s", strings.Join(path, "."))
}

func (a *avroFormat) leaf(path []string, f *feature.SourceField, v any) (any, error) {
	n, err := a.find(path)
	if err != nil {
		return nil, err
	}
	w := avroWriter{a, f.Type.Kind == feature.KindJSON, f.Unit}
	return w.convert(n, v)
}

func (a *avroFormat) marshal(tree map[string]any) ([]byte, error) {
	b, err := a.schema.Encode(tree)
	var semantic *avro.SemanticError
	if errors.As(err, &semantic) && semantic.Field != "" {
		return nil, &fieldError{semantic.Field, fmt.Errorf("does not fit the schema: %w", semantic.Err)}
	}
	if err != nil {
		return nil, fmt.Errorf("write Avro: %w", err)
	}
	return b, nil
}

// avroWriter makes of one field's value what the library takes.
type avroWriter struct {
	*avroFormat
	json bool // the value is any JSON
	unit time.Duration
}

func (w avroWriter) convert(n *avro.SchemaNode, v any) (any, error) {
	branches, nullable := w.values(n)
	switch {
	case v == nil && nullable:
		return nil, nil //nolint:nilnil // null is a value
	case v == nil:
		return nil, errors.New("is null, which the schema does not allow")
	case len(branches) == 1:
		return w.plain(branches[0], v)
	}
	for _, b := range branches {
		if out, err := w.plain(b, v); err == nil {
			name := b.Type
			if b.Name != "" {
				name = fullName(b)
			}
			return map[string]any{name: out}, nil
		}
	}
	return nil, misfit(v, "one of the schema's types")
}

func (w avroWriter) plain(n *avro.SchemaNode, v any) (any, error) {
	switch n.Type {
	case "boolean":
		if b, ok := v.(bool); ok {
			return b, nil
		}
	case "int", "long":
		return w.integer(n, v)
	case "float", "double":
		if f, ok := toFloat(v); ok && (n.Type == "double" || math.Abs(f) <= math.MaxFloat32) {
			return f, nil
		}
	case "string":
		return w.text(v)
	case "bytes", "fixed":
		return w.bytes(n, v)
	case "enum":
		if s, ok := v.(string); ok && slices.Contains(n.Symbols, s) {
			return s, nil
		}
		return nil, errors.New("is none of the symbols of " + n.Name)
	case "array":
		if list, ok := v.([]any); ok {
			return w.list(n, list)
		}
	case "map", "record", "error":
		if m, ok := v.(map[string]any); ok {
			return w.members(n, m)
		}
	}
	return nil, misfit(v, "Avro's "+n.Type)
}

func (w avroWriter) integer(n *avro.SchemaNode, v any) (any, error) {
	isTime := n.LogicalType == "date" && n.Type == "int" || strings.Contains(n.LogicalType, "timestamp-") && n.Type == "long"
	if s, ok := v.(string); ok && isTime && w.json {
		for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
			if t, err := time.Parse(layout, s); err == nil {
				return t.UTC(), nil
			}
		}
	}
	if t, ok := v.(time.Time); ok {
		if isTime {
			return t, nil
		}
		if w.unit == 0 {
			return nil, errors.New("is a timestamp, and the schema counts in a unit that the source does not name")
		}
		c, err := count(t, w.unit)
		if err != nil {
			return nil, err
		}
		v = c
	}
	i, ok := toInt(v)
	switch {
	case !ok:
		return nil, misfit(v, "a whole number")
	case n.Type == "int" && i != int64(int32(i)):
		return nil, errors.New("is a number beyond Avro's int")
	}
	return i, nil
}

func (w avroWriter) text(v any) (any, error) {
	switch x := v.(type) {
	case string:
		return x, nil
	case time.Time:
		if w.unit == 0 {
			return x.Format(time.RFC3339Nano), nil
		}
	case []byte:
		if utf8.Valid(x) {
			return string(x), nil
		}
		return nil, errors.New("is not UTF-8, which Avro's string must be")
	}
	return nil, misfit(v, "Avro's string")
}

func (w avroWriter) bytes(n *avro.SchemaNode, v any) (any, error) {
	s, isText := v.(string)
	switch {
	case n.LogicalType == "decimal":
		return decimal(n, v)
	case n.LogicalType == "uuid" && isText:
		return s, nil
	case isText && w.json:
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return nil, errors.New("is not base64")
		}
		v = b
	case isText:
		v = []byte(s)
	}
	b, ok := v.([]byte)
	switch {
	case !ok:
		return nil, misfit(v, "Avro's "+n.Type)
	case n.Type == "fixed" && len(b) != n.Size:
		return nil, fmt.Errorf("has %d bytes, not %d", len(b), n.Size)
	}
	return b, nil
}

// maxDecimal bounds the digits of a decimal as text.
const maxDecimal = 2000

func decimal(n *avro.SchemaNode, v any) (any, error) {
	var s string
	switch x := v.(type) {
	case []byte:
		return avro.RatFromBytes(x, n.Scale), nil
	case string:
		s = x
	case json.Number:
		s = x.String()
	case int64:
		s = strconv.FormatInt(x, 10)
	case float64:
		s = strconv.FormatFloat(x, 'f', -1, 64)
	case float32:
		s = strconv.FormatFloat(float64(x), 'f', -1, 32)
	}
	r, ok := new(big.Rat), false
	if len(s) <= maxDecimal && !strings.ContainsAny(s, "eEpPxX/_") { // an exponent could ask for any size
		_, ok = r.SetString(s)
	}
	if !ok {
		return nil, misfit(v, "a decimal number")
	}
	return r, nil
}

func (w avroWriter) list(n *avro.SchemaNode, list []any) (any, error) {
	out := make([]any, len(list))
	for i, x := range list {
		var err error
		if out[i], err = w.convert(n.Items, x); err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return out, nil
}

func (w avroWriter) members(n *avro.SchemaNode, m map[string]any) (any, error) {
	out := make(map[string]any, len(m))
	for name, x := range m {
		of := n.Values
		for i := range n.Fields {
			if n.Fields[i].Name == name {
				of = &n.Fields[i].Type
			}
		}
		if of == nil {
			return nil, fmt.Errorf("record %s has no field %s", n.Name, name)
		}
		var err error
		if out[name], err = w.convert(of, x); err != nil {
			return nil, &fieldError{name, err}
		}
	}
	return out, nil
}

// toInt takes whole numbers, whatever holds them.
func toInt(v any) (int64, bool) {
	switch x := v.(type) {
	case int64:
		return x, true
	case json.Number:
		n, err := integer(x.String(), feature.KindInt64)
		i, _ := n.(int64)
		return i, err == nil
	}
	f, ok := toFloat(v)
	return int64(f), ok && f == math.Trunc(f) && math.Abs(f) <= exact
}

func toFloat(v any) (float64, bool) {
	switch x := v.(type) {
	case float64:
		return x, true
	case float32:
		return float64(x), true
	case int64:
		return float64(x), true
	case json.Number:
		f, err := x.Float64()
		return f, err == nil
	}
	return 0, false
}
