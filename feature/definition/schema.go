package definition

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Schema returns the JSON Schema (draft 2020-12) of definition files, made
// from the structs that read them, so that editors and the reader agree. Keys
// of later versions are not part of it.
//
// Rejected: a reflection library, which would need a second set of tags for
// what these structs already say.
func Schema() ([]byte, error) {
	doc := schemaOf(reflect.TypeFor[fileDef](), "")
	doc["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	doc["title"] = "Millrace definitions"
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the JSON Schema: %w", err)
	}
	return text, nil
}

type schemaDoc = map[string]any

func schemaOf(t reflect.Type, enum string) schemaDoc {
	switch {
	case t == nodeType:
		return schemaDoc{}
	case t == durationType:
		return schemaDoc{"type": "string", "pattern": `^([0-9]+w)?([0-9]+d)?([0-9.]+(h|m|s|ms|us|ns))*$`}
	case t == orNullType:
		all := []any{nil}
		for text := range strings.SplitSeq(enum, ",") {
			all = append(all, text)
		}
		return schemaDoc{"enum": all}
	case t == reflect.TypeFor[refDef]():
		return schemaDoc{"oneOf": []any{schemaDoc{"type": "string"}, schemaOfStruct(t)}}
	case t == reflect.TypeFor[pushDef]():
		return schemaDoc{"oneOf": []any{schemaDoc{"type": "boolean"}, schemaOfStruct(t)}}
	}
	switch t.Kind() { //nolint:exhaustive // the kinds that the model has
	case reflect.Pointer:
		return schemaOf(t.Elem(), enum)
	case reflect.Struct:
		return schemaOfStruct(t)
	case reflect.Slice:
		return schemaDoc{"type": "array", "items": schemaOf(t.Elem(), enum)}
	case reflect.Map:
		return schemaDoc{"type": "object", "additionalProperties": schemaOf(t.Elem(), "")}
	case reflect.Bool:
		return schemaDoc{"type": "boolean"}
	case reflect.Int:
		return schemaDoc{"type": "integer"}
	case reflect.Float64:
		return schemaDoc{"type": "number"}
	}
	if enum != "" {
		return schemaDoc{"type": "string", "enum": strings.Split(enum, ",")}
	}
	return schemaDoc{"type": "string"}
}

func schemaOfStruct(t reflect.Type) schemaDoc {
	properties := schemaDoc{}
	var required []string
	for key, f := range fieldsOf(t) {
		if f.Tag.Get("later") != "" {
			continue
		}
		properties[key] = schemaOf(f.Type, f.Tag.Get("enum"))
		if f.Tag.Get("need") != "" {
			required = append(required, key)
		}
	}
	doc := schemaDoc{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		slices.Sort(required)
		doc["required"] = required
	}
	return doc
}
