package avro_test

import (
	"testing"

	library "github.com/twmb/avro"

	"millrace/sources"
	"millrace/sources/avro"
	"millrace/sources/sourcetest"
)

// script is what scripts of Avro have beyond sourcetest.Script:
//
//	reader SCHEMA                   what records are read as
//	writer SCHEMA                   of the records that follow
//	record JSON                     a value of the writer's schema in Avro's JSON
//	bytes HEX                       what follows the frame, which has 5 bytes
type script struct {
	reader  *sources.Schema
	writers registry
}

var rendering sourcetest.Rendering

func TestScripts(t *testing.T) {
	sourcetest.RunScripts(t, rendering, func() sourcetest.ScriptFormat { return new(script) })
}

func (f *script) Begin() {
	*f = script{writers: registry{schemas: make(map[int32]sources.Schema)}}
}

func (f *script) Line(s *sourcetest.Script, verb, rest string) bool {
	last := int32(len(f.writers.schemas) - 1)
	switch verb {
	case "reader":
		r := schemaOf(rest)
		f.reader = &r
	case "writer":
		f.writers.schemas[last+1] = schemaOf(rest)
	case "record":
		value, err := fromJSON(f.writers.schemas[last].Text, rest)
		if err != nil {
			s.T.Fatalf("%s: %v", rest, err)
		}
		s.Record(framed(last, value))
	case "bytes":
		s.Record(framed(last, sourcetest.Hex(s.T, rest)))
	default:
		return false
	}
	return true
}

func (f *script) Decoder(s *sourcetest.Script) (sources.Decoder, error) {
	return avro.New(&s.Source, s.Fields, avro.Settings{Schemas: &f.writers, Reader: f.reader})
}

// fromJSON turns Avro's JSON into its binary form.
func fromJSON(schema, text string) ([]byte, error) {
	c, err := library.Parse(schema)
	if err != nil {
		return nil, err
	}
	var v any
	if err := c.DecodeJSON([]byte(text), &v); err != nil {
		return nil, err
	}
	return c.Encode(v)
}
