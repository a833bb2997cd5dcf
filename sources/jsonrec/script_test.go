package jsonrec_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/jsonrec"
)

// script runs testdata/*.txt: a source, then records each followed by the row
// or the reject that it becomes. All records of a source go through one
// decoder in one batch, so neighbours can disturb each other if they do.
//
//	source                          begins another source
//	field NAME TYPE [path=] [unit=] [length=]
//	hidden …                        declared, but not decoded
//	key NAME TYPE                   of finished rows, instead of fields
//	column NAME TYPE [length=] [optional]
//	event_time NAME
//	time MILLIS                     of the records
//	record JSON
//	row NAME=VALUE … @EVENT_MICROS [absent N]
//	reject REASON MESSAGE
type script struct {
	src     feature.Source
	fields  []feature.Field
	keys    []feature.Field // of finished rows; fields are keys and columns
	absent  int             // how often "absent" stands behind a row
	millis  int64
	records []sources.Record
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
		case "key", "column":
			s.declareFinished(t, strings.Fields(rest), verb)
		case "event_time":
			s.src.EventTime = rest
		case "time":
			s.millis, _ = strconv.ParseInt(rest, 10, 64)
		case "record":
			s.records = append(s.records, sources.Record{
				Value: append([]byte{}, rest...), Offset: int64(i), TimeMillis: s.millis,
			})
			s.lines = append(s.lines, i+1)
		case "row", "reject":
			row, absent, _ := strings.Cut(line, " absent ")
			n, _ := strconv.Atoi(absent)
			s.want, s.absent = append(s.want, row), s.absent+n
		default:
			t.Fatalf("line %d: unknown verb %q", i+1, verb)
		}
	}
	s.check(t)
}

func newScript() *script {
	return &script{millis: 1_700_000_000_000, src: feature.Source{Name: "trips"}}
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

// declareFinished declares a join key or a column of finished rows.
func (s *script) declareFinished(t *testing.T, words []string, verb string) {
	t.Helper()
	if words[len(words)-1] == "optional" {
		s.declare(t, words[:len(words)-1], true)
		s.src.Fields[len(s.src.Fields)-1].Optional = true
		return
	}
	s.declare(t, words, true)
	if verb == "key" {
		s.keys = append(s.keys, s.fields[len(s.fields)-1])
	}
}

func (s *script) decoder() (*jsonrec.Decoder, error) {
	if len(s.keys) > 0 {
		return jsonrec.NewFinished(s.keys, s.src.Fields[len(s.keys):])
	}
	return jsonrec.New(&s.src, s.fields)
}

func (s *script) check(t *testing.T) {
	t.Helper()
	if len(s.records) != len(s.want) {
		t.Fatalf("%d records, %d results", len(s.records), len(s.want))
	}
	d, err := s.decoder()
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
			t.Errorf("line %d: %s\n got %s\nwant %s", s.lines[i], s.records[i].Value, got, s.want[i])
		}
	}
	if b.Absent != s.absent {
		t.Errorf("%d columns are counted as absent, want %d", b.Absent, s.absent)
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
