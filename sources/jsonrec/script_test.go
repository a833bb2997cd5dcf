package jsonrec_test

import (
	"strings"
	"testing"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/jsonrec"
	"millrace/sources/sourcetest"
)

// script is what scripts of JSON have beyond sourcetest.Script:
//
//	key NAME TYPE                   of finished rows, instead of fields
//	column NAME TYPE [length=] [optional]
//	record JSON
type script struct {
	keys []feature.Field // of finished rows; fields are keys and columns
}

var rendering sourcetest.Rendering

func TestScripts(t *testing.T) {
	sourcetest.RunScripts(t, rendering, func() sourcetest.ScriptFormat { return new(script) })
}

func (f *script) Begin() { f.keys = nil }

func (f *script) Line(s *sourcetest.Script, verb, rest string) bool {
	switch verb {
	case "key":
		s.Declare(strings.Fields(rest), true)
		f.keys = append(f.keys, s.Fields[len(s.Fields)-1])
	case "column":
		declaration, optional := strings.CutSuffix(rest, " optional")
		s.Declare(strings.Fields(declaration), true)
		s.Source.Fields[len(s.Source.Fields)-1].Optional = optional
	case "record":
		s.Record([]byte(rest))
	default:
		return false
	}
	return true
}

func (f *script) Decoder(s *sourcetest.Script) (sources.Decoder, error) {
	if len(f.keys) > 0 {
		return jsonrec.NewFinished(f.keys, s.Source.Fields[len(f.keys):])
	}
	return jsonrec.New(&s.Source, s.Fields)
}
