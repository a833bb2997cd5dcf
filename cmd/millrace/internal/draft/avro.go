package draft

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/avro"
)

// avroRecord is a record of an Avro schema.
type avroRecord struct {
	full   string // name with its namespace
	fields []feature.SourceField
	types  map[string]any            // of its fields, by name
	known  map[string]map[string]any // records by full name, of the whole schema
	refs   []sources.SchemaReference
}

// parseAvro reads a schema whose outermost type is a record.
func parseAvro(s sources.Schema) (*avroRecord, error) {
	var doc any
	if err := json.Unmarshal([]byte(s.Text), &doc); err != nil {
		return nil, fmt.Errorf("read the Avro schema: %w", err)
	}
	root, ok := doc.(map[string]any)
	if !ok || root["type"] != "record" {
		return nil, errors.New("read the Avro schema: it is not a record")
	}
	known := make(map[string]map[string]any)
	collect(doc, "", known)
	return newAvroRecord(root, known, s.References)
}

// newAvroRecord reads one record of a schema. It stands alone when it refers to
// nothing outside of it.
func newAvroRecord(def map[string]any, known map[string]map[string]any, refs []sources.SchemaReference) (*avroRecord, error) {
	text, err := json.Marshal(def)
	if err != nil {
		return nil, fmt.Errorf("write the Avro schema: %w", err)
	}
	r := &avroRecord{full: fullName(def, ""), types: make(map[string]any), known: known, refs: refs}
	if r.fields, err = avro.Fields(sources.Schema{Type: sources.SchemaAvro, Text: string(text), References: refs}); err != nil {
		return nil, err //nolint:wrapcheck // says already what
	}
	list, _ := def["fields"].([]any)
	for _, x := range list {
		if m, ok := x.(map[string]any); ok {
			name, _ := m["name"].(string)
			r.types[name] = m["type"]
		}
	}
	return r, nil
}

func fullName(def map[string]any, namespace string) string {
	name, _ := def["name"].(string)
	if own, ok := def["namespace"].(string); ok {
		namespace = own
	}
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

// collect finds the records that a schema defines, and writes their namespaces
// into them, so that each can be read alone.
func collect(x any, namespace string, known map[string]map[string]any) {
	switch x := x.(type) {
	case []any:
		for _, y := range x {
			collect(y, namespace, known)
		}
	case map[string]any:
		if t, _ := x["type"].(string); t == "record" || t == "enum" || t == "fixed" {
			full := fullName(x, namespace)
			if i := strings.LastIndexByte(full, '.'); i > 0 {
				namespace = full[:i]
				x["namespace"] = namespace
			}
			if t == "record" {
				known[full] = x
			}
		}
		for _, key := range []string{"type", "fields", "items", "values"} {
			collect(x[key], namespace, known)
		}
	}
}

// record finds the record that a type is, alone or beside null.
func (r *avroRecord) record(t any) *avroRecord {
	if union, ok := t.([]any); ok {
		union = slices.DeleteFunc(slices.Clone(union), func(x any) bool { return x == "null" })
		if len(union) != 1 {
			return nil
		}
		t = union[0]
	}
	var def map[string]any
	switch t := t.(type) {
	case string:
		if def = r.known[t]; def == nil {
			if i := strings.LastIndexByte(r.full, '.'); i > 0 {
				def = r.known[r.full[:i+1]+t]
			}
		}
	case map[string]any:
		if inner, ok := t["type"].(map[string]any); ok {
			t = inner
		}
		if t["type"] == "record" {
			def = t
		}
	}
	if def == nil {
		return nil
	}
	found, err := newAvroRecord(def, r.known, r.refs)
	if err != nil {
		return nil // it does not stand alone: the whole is read as json
	}
	return found
}

// items returns the type of the elements of an array, alone or beside null.
func items(t any) any {
	if union, ok := t.([]any); ok {
		for _, x := range union {
			if found := items(x); found != nil {
				return found
			}
		}
	}
	if m, ok := t.(map[string]any); ok && m["type"] == "array" {
		return m["items"]
	}
	return nil
}

// avro adds the fields of an Avro record, of a change event those of the row.
func (f *flattener) avro(d *drafter) error {
	r, err := parseAvro(d.schema)
	if err != nil {
		return err
	}
	has := func(names ...string) bool {
		return !slices.ContainsFunc(names, func(n string) bool { return r.types[n] == nil })
	}
	if has("before", "after", "op", "source") {
		row := r.record(r.types["after"])
		if row == nil {
			row = r.record(r.types["before"])
		}
		if row == nil {
			return errors.New("it is a change event, and its row could not be read")
		}
		f.s.Envelope, r = feature.EnvelopeDebezium, row
	}
	f.record(r, nil)
	return nil
}

func (f *flattener) record(r *avroRecord, path []string) {
	for _, x := range r.fields {
		at := append(slices.Clip(path), x.Name)
		switch x.Type {
		case feature.Of(feature.KindJSON):
			if inner := r.record(r.types[x.Name]); inner != nil && len(at) < maxMessages {
				f.record(inner, at)
				continue
			}
			if inner := r.record(items(r.types[x.Name])); inner != nil {
				x.Type, x.Of = feature.ListOf(x.Type), elements(inner.fields)
			}
		case feature.ListOf(feature.Of(feature.KindJSON)):
			if inner := r.record(items(r.types[x.Name])); inner != nil {
				x.Of = elements(inner.fields)
			}
		}
		f.add(x, at)
	}
}
