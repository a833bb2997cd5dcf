package definition_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"millrace/feature"
	"millrace/feature/definition"
)

// TestMistakesInFormats makes each mistake in a source or view of its own.
func TestMistakesInFormats(t *testing.T) {
	const field = "fields: [{name: a, type: int64}]"
	for _, c := range []struct{ name, source, says string }{
		{"schema of json", "kafka: {topic: t}, schema: {file: a}, " + field, "a schema is for formats"},
		{"no schema", "kafka: {topic: t}, format: avro, " + field, "format avro needs a schema"},
		{"two schemas", "kafka: {topic: t}, format: avro, schema: {file: a, subject: b}, " + field, "one of subject, file and descriptors"},
		{"descriptors of avro", "kafka: {topic: t}, format: avro, schema: {descriptors: a}, " + field, "descriptors are of Protobuf"},
		{"message of avro", "kafka: {topic: t}, format: avro, schema: {file: a, message: b}, " + field, "message is of Protobuf"},
		{"file of protobuf", "kafka: {topic: t}, format: protobuf, schema: {file: a}, " + field, "file is an Avro schema"},
		{"no message", "kafka: {topic: t}, format: protobuf, schema: {descriptors: a}, " + field, "need the message"},
		{"outside", "kafka: {topic: t}, format: avro, schema: {file: ../a}, " + field, "outside of the folder"},
		{"envelope of a push", "push: {}, envelope: debezium, " + field, "envelope is for kafka sources"},
		{"unknown policy", "kafka: {topic: t}, on_tombstone: keep, " + field, "on_tombstone"},
		{"header and key", "kafka: {topic: t}, fields: [{name: a, type: int64, key: true, header: h}]", "from the key and from a header"},
		{"header and path", "kafka: {topic: t}, fields: [{name: a, type: int64, path: b, header: h}]", "path has no meaning"},
		{"key of a push", "push: {}, fields: [{name: a, type: int64, key: true}]", "key is for fields of kafka"},
		{"header of a request", "request: {}, fields: [{name: a, type: int64, header: h}]", "header is for fields of kafka"},
		{"quoted text", "kafka: {topic: t}, fields: [{name: a, type: string, quoted: true}]", "quoted is for numbers"},
		{"quoted texts", "kafka: {topic: t}, fields: [{name: a, type: list<string>, quoted: true}]", "quoted is for numbers"},
		{"quoted time without a unit", "kafka: {topic: t}, fields: [{name: a, type: timestamp, quoted: true}]", "quoted is for numbers"},
		{"quoted in avro", "kafka: {topic: t}, format: avro, schema: {file: a}, fields: [{name: a, type: int64, quoted: true}]", "quoted is for format json"},
		{"nested of", "kafka: {topic: t}, fields: [{name: a, of: [{name: b, type: int64, of: []}]}]", "within each other"},
		{"empty of", "kafka: {topic: t}, fields: [{name: a, of: []}]", "lists no fields"},
		{"of with a type", "kafka: {topic: t}, fields: [{name: a, type: string, of: [{name: b, type: int64}]}]", "is list<json>"},
		{"empty header", "kafka: {topic: t}, fields: [{name: a, type: int64, header: ''}]", "write the header's name"},
		{"path of a key with an empty step", "kafka: {topic: t}, fields: [{name: a, type: int64, key: true, path: a..b}]", "has an empty step"},
		{"elements of a key", "kafka: {topic: t}, fields: [{name: a, key: true, of: [{name: b, type: int64}]}]", "is read from the value"},
		{"elements of a request", "request: {}, fields: [{name: a, of: [{name: b, type: int64}]}]", "of is for sources that are stored"},
		{"an element's unit", "kafka: {topic: t}, fields: [{name: a, of: [{name: b, type: int64, unit: ms}]}]", "unit is for timestamps"},
		{"an element's text in quotes", "kafka: {topic: t}, fields: [{name: a, of: [{name: b, type: bool, quoted: true}]}]", "quoted is for numbers"},
		{"an element's empty step", "kafka: {topic: t}, fields: [{name: a, of: [{name: b, type: bool, path: .b}]}]", "has an empty step"},
		{"an element twice", "kafka: {topic: t}, fields: [{name: a, of: [{name: b, type: bool}, {name: b, type: bool}]}]", "has element field b twice"},
		{"an element's name", "kafka: {topic: t}, fields: [{name: a, of: [{name: b.c, type: bool}]}]", "cannot be a name"},
		{"an element without a type", "kafka: {topic: t}, fields: [{name: a, of: [{name: b}]}]", "type is missing"},
		{"an element's type", "kafka: {topic: t}, fields: [{name: a, of: [{name: b, type: int46}]}]", "did you mean int"},
		{"of a list of numbers", "kafka: {topic: t}, fields: [{name: a, type: list<int64>, of: [{name: b, type: int64}]}]", "is list<json>"},
		{"quoted header", "kafka: {topic: t}, fields: [{name: a, type: int64, header: h, quoted: true}]", "text already"},
		{"quoted key", "kafka: {topic: t}, fields: [{name: a, type: int64, key: true, quoted: true}]", "text already"},
		{"a list from a header", "kafka: {topic: t}, fields: [{name: a, type: list<int64>, header: h}]", "cannot be a list"},
		{"a list from the whole key", "kafka: {topic: t}, fields: [{name: a, type: list<int64>, key: true}]", "cannot be a list"},
		{
			"a key's part without its schema",
			"kafka: {topic: t}, format: avro, schema: {file: a}, fields: [{name: a, type: int64, key: true, path: b}]",
			"the schema of keys is not known",
		},
		{"unknown format", "kafka: {topic: t}, format: xml, " + field, "write json, avro or protobuf"},
		{"unknown envelope", "kafka: {topic: t}, envelope: soap, " + field, "envelope"},
		{"empty schema", "kafka: {topic: t}, format: avro, schema: {}, " + field, "one of subject, file and descriptors"},
		{"empty subject", "kafka: {topic: t}, format: avro, schema: {subject: ''}, " + field, "one of subject, file and descriptors"},
		{"an absolute file", "kafka: {topic: t}, format: protobuf, schema: {descriptors: /a, message: b}, " + field, "outside of the folder"},
		{"schema of a push", "push: {}, schema: {subject: a}, " + field, "schema is for kafka sources"},
		{"format of a request", "request: {}, format: avro, " + field, "format is for kafka sources"},
		{"tombstones of a push", "push: {}, on_tombstone: delete, " + field, "on_tombstone is for kafka sources"},
		{"unnest of a source", "kafka: {topic: t}, unnest: {field: a, as: b}, " + field, "unnest"},
		{"no type and no registry", "kafka: {topic: t}, format: avro, schema: {subject: s}, fields: [{name: a}]", "set schema_registry.urls"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load("project: p\nsources:\n  - {name: s, " + c.source + "}\n")
			var all definition.Errors
			if !errors.As(err, &all) || len(all) != 1 || !strings.Contains(all[0].Message+all[0].Hint, c.says) || all[0].Line != 3 || all[0].Hint == "" {
				t.Errorf("want one error with %q and a hint, on line 3, in\n%v", c.says, err)
			}
		})
	}
	for _, c := range []struct{ as, field, says string }{
		{"fare", "items", "is a field of source"},
		{"case", "items", "is a word of the expression language"},
		{"rate", "items", "is a feature of view driver_trips"},
		{"x", "fare", "what its elements hold"},
		{"x", "itms", "did you mean items"},
		{"a-b", "items", "cannot be a name"},
	} {
		text := strings.NewReplacer("    where: km", fmt.Sprintf("    unnest: {field: %s, as: %s}\n    where: km", c.field, c.as),
			"    event_time: at", "      - {name: items, of: [{name: sku, type: string}]}\n    event_time: at").Replace(base)
		if _, err := load(text); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("unnest %s as %s: %v", c.field, c.as, err)
		}
	}
}

// known is a schema with three fields.
type known struct{}

func (known) Read(src *feature.Source) (*feature.SourceSchema, []feature.SourceField, error) {
	s := *src.Schema
	s.ID, s.Text = 7, []byte("text")
	of := func(name string, k feature.Kind) feature.SourceField {
		return feature.SourceField{Field: feature.Field{Name: name, Type: feature.Of(k)}}
	}
	return &s, []feature.SourceField{of("a", feature.KindInt64), of("b", feature.KindString), of("c", feature.KindBool)}, nil
}

func (known) Check(_ *feature.Source, list *feature.SourceField, f feature.SourceField) error {
	if list != nil && f.Name == "sku" && f.Type.Kind == feature.KindInt64 {
		return errors.New("element of " + list.Name + " is a string")
	}
	if f.Name == "b" && f.Type.Kind == feature.KindInt64 {
		return errors.New("field b is a string")
	}
	return nil
}

func TestFieldsOfASchema(t *testing.T) {
	for _, c := range []struct{ fields, want string }{
		{"", "a int64, b string, c bool"},
		{", fields: [{name: a, type: float64}]", "a float64, b string, c bool"},
		{", fields: [{name: x, path: b}]", "x string, a int64, c bool"},
		{", fields: [{name: k, type: int64, key: true}]", "k int64, a int64, b string, c bool"},
		{", fields: [{name: b, type: int64}]", "a.yaml:3:95: field b is a string"},
		{", fields: [{name: b, type: string}, {name: l, of: [{name: n, type: int64}, {name: sku, type: int64}]}]", "a.yaml:3:161: element of l is a string"},
		{", fields: [{name: a, type: int64}, {name: a, type: int64}, {name: b, type: int64}]", "a.yaml:3:143: field b is a string"},
		{", fields: [{name: z}]", "the schema has no field z"},
	} {
		text := "project: p\nsources:\n  - {name: s, kafka: {topic: t}, format: avro, schema: {subject: s}" + c.fields + "}\n"
		p, err := definition.LoadWith([]definition.File{{Name: "a.yaml", Data: []byte(text)}}, definition.Options{Schemas: known{}})
		got := fmt.Sprint(err)
		if err == nil {
			var all []string
			for f := range slices.Values(p.Catalog.Source("s").Fields) {
				all = append(all, f.Name+" "+f.Type.String())
			}
			got = strings.Join(all, ", ")
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", c.fields, got, c.want)
		}
	}
}

func TestWhatMayBeQuoted(t *testing.T) {
	for _, field := range []string{"type: int32", "type: float64", "type: list<int64>", "type: timestamp, unit: ms", "of: [{name: b, type: float32, quoted: true}]"} {
		quoted := ", quoted: true"
		if strings.HasPrefix(field, "of") {
			quoted = ""
		}
		p, err := load("project: p\nsources:\n  - {name: s, kafka: {topic: t}, fields: [{name: a, " + field + quoted + "}]}\n")
		if err != nil {
			t.Error(field, err)
			continue
		}
		f := p.Catalog.Source("s").Fields[0]
		if !f.Quoted && !f.Of[0].Quoted {
			t.Errorf("%s: %+v", field, f)
		}
	}
}

// TestMistakesInFormatsAtOnce: none of them hides another.
func TestMistakesInFormatsAtOnce(t *testing.T) {
	text := `project: p
entities: [{name: e, join_keys: [{name: id, type: int64}]}]
sources:
  - name: a
    kafka: {topic: a}
    format: avro
    schema: {descriptors: x, message: y}
    envelope: soap
    on_tombstone: keep
    fields:
      - {name: id, type: int64, key: true, header: h}
      - {name: km, type: string, quoted: true}
      - {name: lines, type: bool, of: [{name: b, type: int64, unit: ms}, {name: c}]}
  - name: b
    push: {}
    format: json
    fields: [{name: id, type: int64, header: h}, {name: km, type: float64, key: true}]
views:
  - {name: v, entity: e, source: a, unnest: {field: line, as: case}, features: [{name: f, expr: km}]}
  - {name: w, entity: e, source: b, unnest: {field: km, as: id}, features: [{name: g, expr: km}]}
`
	want := "7:27 7:39 8:15 9:19 11:52 12:42 13:29 13:69 13:74 16:13 17:46 17:81 19:53 19:63 20:53 20:61"
	if got := places(t, text); got != want {
		_, err := load(text)
		t.Errorf("mistakes at %s, want %s\n%v", got, want, err)
	}
}

// TestAKafkaSourceThatIsPushedTo may have any format; a push source always is.
func TestAKafkaSourceThatIsPushedTo(t *testing.T) {
	for kind, want := range map[string]bool{
		"kafka: {topic: a}":              false,
		"kafka: {topic: a}, push: true":  true,
		"kafka: {topic: a}, push: false": false,
		"kafka: {topic: a}, push: true, format: avro, schema: {subject: a}": true,
		"kafka: {topic: a}, push: true, envelope: debezium":                 true,
		"push: {}":           true,
		"push: {topic: t.1}": true,
		"request: {}":        false,
	} {
		p, err := load("project: p\nsources:\n  - {name: s, " + kind + ", fields: [{name: a, type: int64}]}\n")
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if got := p.Catalog.Source("s").Pushed; got != want {
			t.Errorf("%s: pushed %v", kind, got)
		}
	}
}
