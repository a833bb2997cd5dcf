package avro_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	library "github.com/twmb/avro"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/avro"
)

// script runs testdata/*.txt: a source, then records each followed by the row
// or the reject that it becomes. All records of a source go through one
// decoder in one batch, so neighbours can disturb each other if they do.
//
//	source                          begins another source
//	field NAME TYPE [path=] [unit=] [length=]
//	hidden …                        declared, but not decoded
//	event_time NAME
//	reader SCHEMA                   what records are read as
//	writer SCHEMA                   of the records that follow
//	time MILLIS                     of the records that follow
//	record JSON                     a value of the writer's schema in Avro's JSON
//	bytes HEX                       what follows the frame, which has 5 bytes
//	row NAME=VALUE … @EVENT_MICROS
//	reject REASON MESSAGE
type script struct {
	src     feature.Source
	fields  []feature.Field
	reader  *sources.Schema
	writers registry
	millis  int64
	records []sources.Record
	shown   []string
	want    []string
	lines   []int
}

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			runScript(t, string(text))
		})
	}
}

func runScript(t *testing.T, text string) {
	t.Helper()
	s := newScript()
	for i, line := range strings.Split(text, "\n") {
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "", "#":
		case "source":
			s.check(t)
			s = newScript()
		case "field", "hidden":
			s.declare(t, strings.Fields(rest), verb == "field")
		case "event_time":
			s.src.EventTime = rest
		case "reader":
			r := schemaOf(rest)
			s.reader = &r
		case "writer":
			s.writers.schemas[int32(len(s.writers.schemas))] = schemaOf(rest)
		case "time":
			s.millis, _ = strconv.ParseInt(rest, 10, 64)
		case "record", "bytes":
			s.record(t, i+1, rest, verb == "bytes")
		case "row", "reject":
			s.want = append(s.want, line)
		default:
			t.Fatalf("line %d: unknown verb %q", i+1, verb)
		}
	}
	s.check(t)
}

func newScript() *script {
	return &script{
		millis: 1_700_000_000_000, src: feature.Source{Name: "trips"},
		writers: registry{schemas: make(map[int32]sources.Schema)},
	}
}

func (s *script) record(t *testing.T, line int, text string, raw bool) {
	t.Helper()
	id := int32(len(s.writers.schemas) - 1)
	var value []byte
	var err error
	if raw {
		value, err = hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	} else {
		value, err = fromJSON(s.writers.schemas[id].Text, text)
	}
	if err != nil {
		t.Fatalf("line %d: %v", line, err)
	}
	s.records = append(s.records, sources.Record{Value: framed(id, value), Offset: int64(line), TimeMillis: s.millis})
	s.lines, s.shown = append(s.lines, line), append(s.shown, text)
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

func (s *script) declare(t *testing.T, words []string, decode bool) {
	t.Helper()
	typ, err := feature.ParseType(words[1])
	if err != nil {
		t.Fatal(err)
	}
	f := feature.SourceField{Field: feature.Field{Name: words[0], Type: typ}}
	for _, option := range words[2:] {
		name, v, _ := strings.Cut(option, "=")
		switch name {
		case "path":
			f.Path = v
		case "unit":
			f.Unit, err = time.ParseDuration("1" + v)
		case "length":
			var n int
			n, err = strconv.Atoi(v)
			f.Type.Length = uint32(n)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.src.Fields = append(s.src.Fields, f)
	if decode {
		s.fields = append(s.fields, f.Field)
	}
}

func (s *script) check(t *testing.T) {
	t.Helper()
	if len(s.records) != len(s.want) {
		t.Fatalf("%d records, %d results", len(s.records), len(s.want))
	}
	d, err := avro.New(&s.src, s.fields, avro.Settings{Schemas: &s.writers, Reader: s.reader})
	if err != nil {
		t.Fatal(err)
	}
	var b feature.Batch
	b.Reset(s.fields, 0)
	if err := d.Decode(t.Context(), &b, s.records); err != nil {
		t.Fatal(err)
	}
	for i, got := range outcomes(&b, len(s.records)) {
		if got != s.want[i] {
			t.Errorf("line %d: %s\n got %s\nwant %s", s.lines[i], s.shown[i], got, s.want[i])
		}
	}
}

// outcomes describes what became of each of n records.
func outcomes(b *feature.Batch, n int) []string {
	out := make([]string, n)
	for _, r := range b.Rejects {
		out[r.Origin.Record] += fmt.Sprintf("reject %s %s", r.Reason, r.Message)
	}
	for row, o := range b.Origins {
		out[o.Record] += "row"
		for c := range b.Columns {
			out[o.Record] += " " + b.Fields[c].Name + "=" + show(&b.Columns[c], row)
		}
		out[o.Record] += fmt.Sprintf(" @%d", o.EventMicros)
	}
	return out
}

func show(c *feature.Column, i int) string {
	if c.IsNull(i) {
		return "null"
	}
	switch c.Type.Layout() {
	case feature.LayoutBool:
		return strconv.FormatBool(c.Bools[i])
	case feature.LayoutInt:
		if c.Type.Kind == feature.KindTimestamp {
			return time.UnixMicro(c.Ints[i]).UTC().Format(time.RFC3339Nano)
		}
		return strconv.FormatInt(c.Ints[i], 10)
	case feature.LayoutFloat:
		return strconv.FormatFloat(c.Floats[i], 'g', -1, 64)
	case feature.LayoutString:
		if c.Type.Kind == feature.KindBytes {
			return hex.EncodeToString([]byte(c.Strings[i]))
		}
		return strconv.Quote(c.Strings[i])
	case feature.LayoutList:
		var elems []string
		for e := c.Spans[i].Start; e < c.Spans[i].End; e++ {
			elems = append(elems, show(c.Elems, int(e)))
		}
		return "[" + strings.Join(elems, ",") + "]"
	case feature.LayoutNone:
	}
	return "?"
}
