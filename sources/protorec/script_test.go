package protorec_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/protorec"
)

// script runs testdata/*.txt: a message type and a source, then records each
// followed by the row or the reject that it becomes. All records of a source
// go through one decoder in one batch, so neighbours can disturb each other if
// they do.
//
//	proto … end                     a .proto file; its first message counts
//	message NAME                    unless another one is named
//	source                          begins another source of that message
//	field NAME TYPE [path=] [unit=] [length=]
//	hidden …                        declared, but not decoded
//	event_time NAME
//	time MILLIS                     of the records
//	refused MESSAGE                 the decoder is not to be had
//	record TEXT                     in prototext; encodings joined by | follow each other
//	hex BYTES
//	row NAME=VALUE … @EVENT_MICROS
//	reject REASON MESSAGE
type script struct {
	md      protoreflect.MessageDescriptor
	src     feature.Source
	fields  []feature.Field
	millis  int64
	records []sources.Record
	want    []string
	lines   []int
	refused string
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
	s, schema, within := newScript(nil), "", false
	for i, line := range strings.Split(text, "\n") {
		if within {
			if within = line != "end"; within {
				schema += line + "\n"
			} else {
				s.md = messageOf(t, schema, "")
			}
			continue
		}
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "", "#":
		case "proto":
			s.check(t)
			s, schema, within = newScript(nil), "", true
		case "message":
			s.md = messageOf(t, schema, rest)
		case "source":
			s.check(t)
			s = newScript(s.md)
		case "field", "hidden":
			s.declare(t, strings.Fields(rest), verb == "field")
		case "event_time":
			s.src.EventTime = rest
		case "time":
			s.millis, _ = strconv.ParseInt(rest, 10, 64)
		case "refused":
			s.refused = rest
		case "record", "hex":
			value := unhex
			if verb == "record" {
				value = func(t testing.TB, text string) []byte { return encode(t, s.md, text) }
			}
			s.records = append(s.records, sources.Record{Value: value(t, rest), Offset: int64(i), TimeMillis: s.millis})
			s.lines = append(s.lines, i+1)
		case "row", "reject":
			s.want = append(s.want, line)
		default:
			t.Fatalf("line %d: unknown verb %q", i+1, verb)
		}
	}
	s.check(t)
}

func newScript(md protoreflect.MessageDescriptor) *script {
	return &script{md: md, millis: 1_700_000_000_000, src: feature.Source{Name: "trips"}}
}

// messageOf compiles a .proto file.
func messageOf(t testing.TB, text, name string) protoreflect.MessageDescriptor {
	t.Helper()
	md, err := protorec.Compile(t.Context(), sources.Schema{Type: sources.SchemaProtobuf, Text: text}, name)
	if err != nil {
		t.Fatal(err)
	}
	return md
}

// encode writes messages one after the other.
func encode(t testing.TB, md protoreflect.MessageDescriptor, text string) []byte {
	t.Helper()
	out := []byte{}
	for part := range strings.SplitSeq(text, "|") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		m := dynamicpb.NewMessage(md)
		if strings.HasPrefix(part, "0x") {
			out = append(out, unhex(t, part[2:])...)
			continue
		}
		if err := (prototext.UnmarshalOptions{AllowPartial: true}).Unmarshal([]byte(part), m); err != nil {
			t.Fatalf("%s: %v", part, err)
		}
		var err error
		if out, err = (proto.MarshalOptions{AllowPartial: true, Deterministic: true}).MarshalAppend(out, m); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{}, b...)
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
	if s.md == nil {
		return
	}
	d, err := protorec.New(&s.src, s.fields, protorec.Settings{Message: s.md})
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
	b.Reset(s.fields, 0)
	if err := d.Decode(t.Context(), &b, s.records); err != nil {
		t.Fatal(err)
	}
	for i, got := range outcomes(&b, len(s.records)) {
		if got != s.want[i] {
			t.Errorf("line %d: %x\n got %s\nwant %s", s.lines[i], s.records[i].Value, got, s.want[i])
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
		switch c.Type.Kind {
		case feature.KindBytes:
			return hex.EncodeToString([]byte(c.Strings[i]))
		case feature.KindJSON:
			return c.Strings[i]
		default:
			return strconv.Quote(c.Strings[i])
		}
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
