package avro_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/avro"
)

// fuzzSchemas have every type between them.
func fuzzSchemas() []string {
	return []string{
		record(field("a", `"int"`), field("b", `["null","string",{"type":"array","items":"Trip"}]`), field("c", `"boolean"`)),
		record(field("a", `{"type":"array","items":["null","long",{"type":"map","values":"double"}]}`), field("b", `{"type":"fixed","name":"F","size":3}`),
			field("c", `{"type":"enum","name":"E","symbols":["X","Y"]}`)),
		record(field("c", `{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`), field("a", `{"type":"map","values":{"type":"array","items":"null"}}`),
			field("b", `{"type":"record","name":"B","fields":[`+field("a", `{"type":"long","logicalType":"timestamp-nanos"}`)+`,`+field("b", `"float"`)+`]}`)),
		`{"type":"map","values":["null","int","string","bytes",{"type":"array","items":{"type":"array","items":"int"}}]}`,
	}
}

// FuzzDecode: whatever bytes come, nothing panics, and each record is a row or
// a reject.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 2, 2, 2, 'x', 1})
	f.Add([]byte{0, 0, 0, 0, 1, 4, 0, 2, 6, 0, 'a', 'b', 'c', 2})
	f.Add([]byte{0, 0, 0, 0, 2, 2, 100, 2, 2, 'k', 4, 0, 0, 8, 0, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 0, 3, 4, 2, 'a', 2, 6, 2, 'b', 8, 2, 2, 6, 0, 0, 0})
	r := &registry{schemas: make(map[int32]sources.Schema)}
	for i, s := range fuzzSchemas() {
		r.schemas[int32(i)] = schemaOf(s)
	}
	src := sourceOf(declared("ai", feature.KindInt64), declared("af", feature.KindFloat64), declared("aj", feature.KindJSON),
		declared("bs", feature.KindString), declared("bj", feature.KindJSON), declared("bat", feature.KindTimestamp),
		declared("cs", feature.KindString), declared("cb", feature.KindBool), declared("ca", feature.KindJSON))
	for i, path := range []string{"a", "a", "a", "b", "b", "b.a", "c", "c", "c.a"} {
		src.Fields[i].Path = path
	}
	src.Fields = append(src.Fields, feature.SourceField{
		Field: feature.Field{Name: "al", Type: feature.ListOf(feature.Of(feature.KindInt64))}, Path: "a",
	})
	// All at once most schemas refuse every record; one at a time some rows come.
	decoders := []*avro.Decoder{newDecoder(f, src, avro.Settings{Schemas: r})}
	sets := [][]feature.Field{fieldsOf(src)}
	for _, one := range fieldsOf(src) {
		d, err := avro.New(src, []feature.Field{one}, avro.Settings{Schemas: r, Limits: avro.Limits{MaxElements: 10_000, MaxBytes: 1 << 16}})
		if err != nil {
			f.Fatal(err)
		}
		decoders, sets = append(decoders, d), append(sets, []feature.Field{one})
	}
	var b feature.Batch
	f.Fuzz(func(t *testing.T, value []byte) {
		for i, d := range decoders {
			b.Reset(sets[i], 0)
			if err := d.Decode(t.Context(), &b, []sources.Record{{Value: value}, {Value: framed(3, []byte{0})}}); err != nil {
				t.Fatal(err)
			}
			if b.Rows()+len(b.Rejects) != 2 {
				t.Fatalf("%d rows and %d rejects of two records", b.Rows(), len(b.Rejects))
			}
			for c := range b.Columns {
				for row := range b.Rows() {
					if s := rendering.Show(&b.Columns[c], row); sets[i][c].Type.Kind == feature.KindJSON && s != "null" && !json.Valid([]byte(b.Columns[c].Strings[row])) {
						t.Fatalf("%s is no JSON", s)
					}
				}
			}
		}
	})
}

// FuzzSchema: whatever a schema looks like, nothing panics, and a decoder made
// from it takes whatever bytes.
func FuzzSchema(f *testing.F) {
	for _, s := range fuzzSchemas() {
		f.Add(s, []byte{2, 2, 2, 'x', 0})
	}
	f.Add(record(field("a", `"Trip"`)), []byte{0})
	f.Add(`{"type":"array","items":{"type":"record","name":"N","fields":[]}}`, []byte{0xfe, 0xff, 0x7f, 0})
	src := sourceOf(declared("a", feature.KindJSON), declared("b", feature.KindString), declared("n", feature.KindInt64))
	src.Fields[1].Path, src.Fields[2].Path = "b.a", "a.a.a"
	f.Fuzz(func(t *testing.T, schema string, value []byte) {
		if len(schema) > 10_000 {
			return
		}
		s := plain(schema)
		s.Limits = avro.Limits{MaxElements: 10_000, MaxBytes: 1 << 16}
		for _, reader := range []bool{false, true} {
			if reader {
				r := schemaOf(schema)
				s.Reader = &r
			}
			d, err := avro.New(src, fieldsOf(src)[:1], s)
			if err != nil {
				continue
			}
			var b feature.Batch
			b.Reset(fieldsOf(src)[:1], 0)
			if err := d.Decode(t.Context(), &b, recordsOf(value, append([]byte{}, value...))); err != nil || b.Rows()+len(b.Rejects) != 2 {
				t.Fatal(err, b.Rows(), b.Rejects)
			}
		}
		_, _ = avro.Fields(schemaOf(schema))
	})
}

// TestLyingLengthsAllocateNothing decodes records that claim to be huge.
func TestLyingLengthsAllocateNothing(t *testing.T) {
	src := sourceOf(declared("j", feature.KindJSON), declared("s", feature.KindString))
	src.Fields = append(src.Fields, feature.SourceField{Field: feature.Field{Name: "l", Type: feature.ListOf(feature.Of(feature.KindInt64))}})
	huge := []byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}
	for _, c := range []struct{ name, typ string }{
		{"s", `"string"`},
		{"j", `"bytes"`},
		{"l", `{"type":"array","items":"long"}`},
		{"j", `{"type":"array","items":"int"}`},
		{"j", `{"type":"map","values":"int"}`},
		{"x", `{"type":"map","values":"null"}`},
	} {
		d := newDecoder(t, src, plain(record(field(c.name, c.typ))))
		var b feature.Batch
		recs := recordsOf(append(huge, 1, 2, 3))
		const runs = 100
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			b.Reset(fieldsOf(src), 0)
			if err := d.Decode(t.Context(), &b, recs); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		n := (after.TotalAlloc - before.TotalAlloc) / runs
		if len(b.Rejects) != 1 || n > 4<<10 {
			t.Errorf("%s %s: %d bytes, %+v", c.name, c.typ, n, b.Rejects)
		}
	}
}

// TestHostileSchemas compiles schemas that are made to cost: each is refused or
// ready within moments, and takes a record.
func TestHostileSchemas(t *testing.T) {
	const many = 1000
	nest := func(open, inner, shut string, n int) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(shut, n)
	}
	union := func(n int, before, behind string, fields func(i int) string) string { // each record is defined in the one before
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `{"type":"record","name":"R%d","fields":[{"name":"a","type":%s`, i, before)
		}
		b.WriteString(`"int"`)
		for i := n - 1; i >= 0; i-- {
			b.WriteString(behind + `}` + fields(i) + `]}`)
		}
		return b.String()
	}
	chain := func(n int, fields func(i int) string) string { return union(n, "", "", fields) }
	alone := func(int) string { return "" }
	wide := make([]string, many)
	for i := range wide {
		wide[i] = fmt.Sprintf(`{"name":"f%d","type":["null","string"]}`, i)
	}
	for name, schema := range map[string]string{
		"arrays in arrays":     record(field("a", nest(`{"type":"array","items":`, `"int"`, `}`, 900))),
		"records in records":   chain(150, alone),
		"unions of records":    union(100, `["null",`, `]`, alone),
		"each record twice":    chain(60, func(i int) string { return fmt.Sprintf(`,{"name":"b","type":"R%d"}`, i+1) }),
		"each record below it": chain(80, func(i int) string { return fmt.Sprintf(`,{"name":"b","type":["null","R%d"]}`, i/2) }),
		"a wide record":        record(wide...),
		"a record of itself":   record(field("a", `"Trip"`)),
		"records of nothing": `{"type":"array","items":` + strings.ReplaceAll(
			chain(40, func(i int) string { return fmt.Sprintf(`,{"name":"b","type":"R%d"}`, i+1) }), `"int"`, `{"type":"record","name":"R40","fields":[]}`) + `}`,
	} {
		if name == "each record twice" {
			schema = strings.Replace(schema, `,{"name":"b","type":"R60"}`, "", 1)
		}
		start := time.Now()
		src := sourceOf(declared("a", feature.KindJSON), declared("b", feature.KindInt64))
		src.Fields[1].Path = "a.a.b.a.b"
		for i := range src.Fields {
			d, err := avro.New(src, fieldsOf(src)[i:i+1], plain(schema))
			if err != nil {
				t.Logf("%s: refused: …%s", name, err.Error()[max(0, len(err.Error())-100):])
				break
			}
			var b feature.Batch
			b.Reset(fieldsOf(src)[i:i+1], 0)
			if err := d.Decode(t.Context(), &b, recordsOf(make([]byte, 100), []byte{0x80, 0x80, 0x40, 0}, make([]byte, 1<<16))); err != nil {
				t.Error(name, err)
			}
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%s took %v", name, took)
		} else {
			t.Logf("%s took %v", name, took)
		}
	}
}
