package sourcetest

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/sources"
)

// ScriptFormat is what scripts of one format have beyond what all have: how
// records are written, what schemas they follow, and the decoder.
type ScriptFormat interface {
	// Begin forgets what was said about a source.
	Begin()
	// Line takes a line if it is one of the format's; it is asked first. It adds
	// records with s.Record.
	Line(s *Script, verb, rest string) (taken bool)
	// Decoder returns the decoder of s.Source's records into s.Fields.
	Decoder(s *Script) (sources.Decoder, error)
}

// Script is a source of a script: its declaration, then records each followed
// by the rows or rejects that it becomes. All records of a source go through
// one decoder in one batch, so neighbours can disturb each other if they do.
// These lines are understood in every format:
//
//	source                          begins another source
//	envelope NAME
//	on_tombstone delete|ignore|dead_letter
//	field NAME TYPE [path=] [unit=] [length=] [header=] [key] [quoted]
//	hidden …                        declared, but not decoded
//	event_time NAME
//	time MILLIS                     of the records that follow
//	header NAME VALUE               of the next record; there may be several
//	keyed TEXT                      the key of the next record
//	tombstone                       a record without a value
//	refused MESSAGE                 the decoder is not to be had
//	row NAME=VALUE … @EVENT_MICROS [element N] [absent N]
//	deleted NAME=VALUE … @EVENT_MICROS
//	reject REASON MESSAGE [element N]
//	nothing                         becomes of the record
type Script struct {
	T      *testing.T
	Source feature.Source
	Fields []feature.Field // to decode

	format    ScriptFormat
	rendering Rendering
	line      int    // where the script is read
	text      string // what stands there behind the verb
	millis    int64
	key       []byte // of the next record, as headers are
	headers   []sources.Header
	records   []sources.Record
	shown     []string // parallel to records, as lines is
	lines     []int
	want      []string
	absent    int // how often "absent" stands behind a row
	refused   string
}

// RunScripts runs testdata/*.txt, each with what format returns.
func RunScripts(t *testing.T, r Rendering, format func() ScriptFormat) {
	t.Helper()
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
			runScript(&Script{T: t, format: format(), rendering: r}, string(text))
		})
	}
}

func runScript(s *Script, text string) {
	s.reset()
	for i, line := range strings.Split(text, "\n") {
		verb, rest, _ := strings.Cut(line, " ")
		s.line, s.text = i+1, rest
		if s.format.Line(s, verb, rest) {
			continue
		}
		switch verb {
		case "", "#":
		case "source":
			s.Begin()
		case "field", "hidden":
			s.Declare(strings.Fields(rest), verb == "field")
		case "event_time":
			s.Source.EventTime = rest
		case "envelope":
			s.Source.Envelope = feature.Envelope(rest)
		case "on_tombstone":
			s.Source.OnTombstone = feature.TombstonePolicy(slices.Index([]string{"delete", "ignore", "dead_letter"}, rest))
		case "header":
			name, value, _ := strings.Cut(rest, " ")
			s.headers = append(s.headers, sources.Header{Key: name, Value: []byte(value)})
		case "keyed":
			s.Key([]byte(rest))
		case "tombstone":
			s.Record(nil)
		case "time":
			s.millis, _ = strconv.ParseInt(rest, 10, 64)
		case "refused":
			s.refused = rest
		case "row", "reject", "deleted":
			row, absent, _ := strings.Cut(line, " absent ")
			n, _ := strconv.Atoi(absent)
			s.absent += n
			s.becomes(row)
		case "nothing":
			s.becomes("")
		default:
			s.T.Fatalf("line %d: unknown verb %q", s.line, verb)
		}
	}
	s.check()
}

// Begin checks what was said so far and begins another source.
func (s *Script) Begin() {
	s.check()
	s.reset()
}

func (s *Script) reset() {
	*s = Script{
		T: s.T, format: s.format, rendering: s.rendering, line: s.line, text: s.text,
		Source: feature.Source{Name: "trips"}, millis: 1_700_000_000_000,
	}
	s.format.Begin()
}

// Record adds a record, which the line says.
func (s *Script) Record(value []byte) {
	s.records = append(s.records, sources.Record{
		Key: s.key, Value: value, Headers: s.headers, Offset: int64(s.line), TimeMillis: s.millis,
	})
	s.key, s.headers = nil, nil
	s.lines, s.shown = append(s.lines, s.line), append(s.shown, s.text)
}

// Key is the key of the next record.
func (s *Script) Key(key []byte) { s.key = key }

// becomes says what the latest record is to become, more than one thing in the
// order of elements.
func (s *Script) becomes(what string) {
	if n := len(s.records); n > 0 && n == len(s.want) {
		s.want[n-1] += "\n" + what
		return
	}
	s.want = append(s.want, what)
}

// Declare declares a field of the source: its name, its type and options. It
// is decoded if decode says so.
func (s *Script) Declare(words []string, decode bool) {
	s.T.Helper()
	typ, err := feature.ParseType(words[1])
	if err != nil {
		s.T.Fatalf("line %d: %v", s.line, err)
	}
	f := feature.SourceField{Field: feature.Field{Name: words[0], Type: typ}}
	for _, option := range words[2:] {
		name, v, _ := strings.Cut(option, "=")
		switch name {
		case "path":
			f.Path = v
		case "header":
			f.Header = v
		case "key":
			f.Key = true
		case "quoted":
			f.Quoted = true
		case "unit":
			f.Unit, err = time.ParseDuration("1" + v)
		case "length":
			var n int
			n, err = strconv.Atoi(v)
			f.Type.Length = uint32(n)
		}
		if err != nil {
			s.T.Fatalf("line %d: %v", s.line, err)
		}
	}
	s.Source.Fields = append(s.Source.Fields, f)
	if decode {
		s.Fields = append(s.Fields, f.Field)
	}
}

// check holds the decoder to what the script says of the source.
func (s *Script) check() {
	t := s.T
	t.Helper()
	if len(s.records) != len(s.want) {
		t.Fatalf("above line %d: %d records, %d results", s.line, len(s.records), len(s.want))
	}
	if len(s.Source.Fields)+len(s.records) == 0 && s.Source.EventTime+s.refused == "" {
		return // nothing was said
	}
	d, err := s.format.Decoder(s)
	if s.refused != "" {
		if err == nil || err.Error() != s.refused {
			t.Errorf("the decoder is refused with %v\nwant %s", err, s.refused)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var b feature.Batch
	b.Reset(s.Fields, 0)
	if err := d.Decode(t.Context(), &b, s.records); err != nil {
		t.Fatal(err)
	}
	for i, got := range s.rendering.Outcomes(&b, len(s.records)) {
		if got != s.want[i] {
			t.Errorf("line %d: %s (%x)\n got %s\nwant %s", s.lines[i], s.shown[i], s.records[i].Value, got, s.want[i])
		}
	}
	if b.Absent != s.absent {
		t.Errorf("%d columns are counted as absent, want %d", b.Absent, s.absent)
	}
}

// Hex reads bytes, which may have blanks between them.
func Hex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return b
}

// Rendering is how rows are written.
type Rendering struct {
	PlainJSON bool // JSON stands as it is, not in quotes
}

// Outcomes describes what became of each of n records: a line for each row or
// reject, in the order of elements.
func (r Rendering) Outcomes(b *feature.Batch, n int) []string {
	lines := make([][]outcome, n)
	add := func(o feature.Origin, text string) {
		if o.Element > 0 {
			text += fmt.Sprintf(" element %d", o.Element)
		}
		lines[o.Record] = append(lines[o.Record], outcome{o.Element, text})
	}
	for _, j := range b.Rejects {
		add(j.Origin, fmt.Sprintf("reject %s %s", j.Reason, j.Message))
	}
	for row, o := range b.Origins {
		words := []string{"row"}
		if o.Deleted {
			words[0] = "deleted"
		}
		for c := range b.Columns {
			words = append(words, b.Fields[c].Name+"="+r.Show(&b.Columns[c], row))
		}
		add(o, fmt.Sprintf("%s @%d", strings.Join(words, " "), o.EventMicros))
	}
	out := make([]string, n)
	for i, of := range lines {
		slices.SortStableFunc(of, func(a, b outcome) int { return int(a.element - b.element) })
		for k, o := range of {
			if k > 0 {
				out[i] += "\n"
			}
			out[i] += o.text
		}
	}
	return out
}

// outcome is what became of a record or an element of it.
type outcome struct {
	element int32
	text    string
}

// Show writes value i of a column.
func (r Rendering) Show(c *feature.Column, i int) string {
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
		switch {
		case c.Type.Kind == feature.KindBytes:
			return hex.EncodeToString([]byte(c.Strings[i]))
		case c.Type.Kind == feature.KindJSON && r.PlainJSON:
			return c.Strings[i]
		}
		return strconv.Quote(c.Strings[i])
	case feature.LayoutList:
		var elems []string
		for e := c.Spans[i].Start; e < c.Spans[i].End; e++ {
			elems = append(elems, r.Show(c.Elems, int(e)))
		}
		return "[" + strings.Join(elems, ",") + "]"
	case feature.LayoutNone:
	}
	return "?"
}
