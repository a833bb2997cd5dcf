package envelope_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/envelope"
	"millrace/sources/sourcetest"
)

func sourceOf(kind feature.Envelope, fields ...feature.SourceField) *feature.Source {
	return &feature.Source{Name: "trips", Format: feature.FormatJSON, Envelope: kind, Fields: fields}
}

func field(name string, kind feature.Kind) feature.SourceField {
	return feature.SourceField{Field: feature.Field{Name: name, Type: feature.Of(kind)}}
}

var (
	fare  = field("fare", feature.KindFloat64)
	trace = func() feature.SourceField { f := field("trace", feature.KindString); f.Header = "trace"; return f }()
	id    = func() feature.SourceField { f := field("id", feature.KindInt64); f.Key, f.Path = true, "id"; return f }()
)

// opened makes a decoder of src, and a batch of all its fields.
func opened(t testing.TB, src *feature.Source) (*envelope.Decoder, *feature.Batch) {
	t.Helper()
	var fields []feature.Field
	for i := range src.Fields {
		fields = append(fields, src.Fields[i].Field)
	}
	d, err := envelope.New(src, fields, envelope.Formats{Value: json, Key: json, JSON: json})
	if err != nil {
		t.Fatal(err)
	}
	b := new(feature.Batch)
	b.Reset(fields, 0)
	return d, b
}

// FuzzEnvelope: nothing panics; a record has one end, as itself, whatever
// stands before and behind it, and in a second batch as in the first.
func FuzzEnvelope(f *testing.F) {
	for _, seed := range []struct{ value, key, header string }{
		{`{"fare":1}`, `{"id":7}`, "x"},
		{`{"op":"d","source":{"ts_ms":5}}`, `{"schema":{},"payload":{"id":7}}`, "application/cloudevents+json"},
		{`{"schema":{},"payload":{"op":"c","after":{"fare":1}}}`, "", ""},
		{`{"payload":null}`, `{"payload":{`, "application/cloudevents-batch+json"},
		{`{"specversion":"1.0","id":"\u0031","source":"a","type":"t","time":"2023-11-14T22:13:20Z","trace":[1],"data":{"fare":2}}`, `7`, "APPLICATION/cloudevents+JSON ;x"},
		{`{"specversion":"1.0","id":"1","source":"a","type":"t","data_base64":""}`, `{"id":null}`, "\xff"},
		{`{"op":"m"}`, "\x00", "1.0"},
	} {
		f.Add([]byte(seed.value), []byte(seed.key), []byte(seed.header))
	}
	ceTrace := trace
	ceTrace.Header = "ce_trace"
	f.Fuzz(func(t *testing.T, value, key, header []byte) {
		rec := sources.Record{Key: key, Value: append([]byte{}, value...), TimeMillis: 1, Headers: []sources.Header{
			{Key: "trace", Value: header}, {Key: "content-type", Value: header}, {Key: "ce_specversion", Value: header}, {Key: "ce_trace", Value: header},
		}}
		gone := sources.Record{Key: key, TimeMillis: 1}
		bare := rec
		bare.Headers = nil
		recs := []sources.Record{rec, gone, rec, bare, gone, gone, bare}
		for i := range recs {
			recs[i].Offset = int64(100 + i)
		}
		before := fmt.Sprintf("%x", recs)
		for _, src := range []*feature.Source{
			sourceOf(feature.EnvelopeNone, fare, trace, id), sourceOf(feature.EnvelopeDebezium, id, trace, fare),
			sourceOf(feature.EnvelopeCloudEvents, ceTrace, fare, id), sourceOf(feature.EnvelopeNone, fare),
		} {
			d, b := opened(t, src)
			var first []string
			for range 2 {
				b.Reset(b.Fields, 0)
				if err := d.Decode(t.Context(), b, recs); err != nil {
					t.Fatal(err)
				}
				ends := endsOf(t, b, recs)
				if ends[0] != ends[2] || ends[3] != ends[6] || first != nil && src.Envelope != feature.EnvelopeDebezium && !slices.Equal(first, ends) {
					t.Fatalf("%s: at first %q, then %q", src.Envelope, first, ends)
				}
				first = ends
			}
		}
		if after := fmt.Sprintf("%x", recs); after != before {
			t.Fatalf("the records were written to: %s, before %s", after, before)
		}
	})
}

// endsOf checks that every record has at most one end, its own, and shows them.
func endsOf(t *testing.T, b *feature.Batch, recs []sources.Record) []string {
	t.Helper()
	count := make([]int, len(recs))
	last := int32(-1)
	for i := range b.Origins {
		o := &b.Origins[i]
		count[o.Record]++
		if o.Offset != recs[o.Record].Offset || o.Record <= last {
			t.Fatalf("row %d has origin %+v behind record %d", i, *o, last)
		}
		last = o.Record
	}
	for i := range b.Rejects {
		o := &b.Rejects[i].Origin
		count[o.Record]++
		if o.Offset != recs[o.Record].Offset {
			t.Fatalf("reject %d has origin %+v", i, *o)
		}
	}
	ends := sourcetest.Rendering{}.Outcomes(b, len(recs))
	for i, n := range count {
		if n > 1 || n == 0 && ends[i] != "" {
			t.Fatalf("record %d has %d ends: %s", i, n, ends[i])
		}
	}
	for i := range b.Columns {
		if b.Columns[i].Len() != b.Rows() {
			t.Fatalf("column %d has %d rows, the batch %d", i, b.Columns[i].Len(), b.Rows())
		}
	}
	return ends
}

// TestBrokenDecoderIsAskedAgain shows that an error says nothing of the
// records and leaves the decoder as good as new.
func TestBrokenDecoderIsAskedAgain(t *testing.T) {
	down := errors.New("the registry is away")
	var failing error
	flaky := func(src *feature.Source, fields []feature.Field) (sources.Decoder, error) {
		inner, err := json(src, fields)
		return decoderFunc(func(ctx context.Context, dst *feature.Batch, recs []sources.Record) error {
			if failing != nil {
				return failing
			}
			return inner.Decode(ctx, dst, recs)
		}), err
	}
	src := sourceOf(feature.EnvelopeDebezium, fare, id)
	fields := []feature.Field{fare.Field, id.Field}
	recs := []sources.Record{{Key: []byte(`{"id":1}`), Value: []byte(`{"op":"c","after":{"fare":2}}`)}, {Key: []byte(`{"id":2}`)}}
	for _, f := range []envelope.Formats{{Value: flaky, Key: json, JSON: json}, {Value: json, Key: flaky, JSON: json}} {
		d, err := envelope.New(src, fields, f)
		if err != nil {
			t.Fatal(err)
		}
		var b feature.Batch
		for _, failing = range []error{down, nil, down, nil} {
			b.Reset(fields, 0)
			if err := d.Decode(t.Context(), &b, recs); !errors.Is(err, failing) {
				t.Fatalf("error %v, want %v", err, failing)
			}
			if failing == nil && (b.Rows() != 2 || b.Columns[0].Floats[0] != 2 || b.Columns[1].Ints[1] != 2) {
				t.Errorf("rows %+v", b.Origins)
			}
		}
	}
}

type decoderFunc func(context.Context, *feature.Batch, []sources.Record) error

func (f decoderFunc) Decode(ctx context.Context, dst *feature.Batch, recs []sources.Record) error {
	return f(ctx, dst, recs)
}

// workloads are batches as they come.
func workloads(t testing.TB) map[string]func() {
	t.Helper()
	value := []byte(`{"trip":"t-1","driver":{"id":7},"fare":12.5,"km":3.25,"status":"completed"}`)
	wrap := func(before, after string) []byte { return []byte(before + string(value) + after) }
	headers := []sources.Header{{Key: "trace", Value: []byte("x")}}
	steps := make(map[string]func())
	for name, w := range map[string]struct {
		src *feature.Source
		rec sources.Record
	}{
		"plain":    {sourceOf(feature.EnvelopeNone, fare), sources.Record{Value: value}},
		"header":   {sourceOf(feature.EnvelopeNone, fare, trace), sources.Record{Value: value, Headers: headers}},
		"key":      {sourceOf(feature.EnvelopeNone, fare, id), sources.Record{Value: value, Key: []byte(`{"id":7}`)}},
		"debezium": {sourceOf(feature.EnvelopeDebezium, fare, id), sources.Record{Value: wrap(`{"op":"c","source":{"ts_ms":1},"after":`, `}`), Key: []byte(`{"id":7}`)}},
		"connect":  {sourceOf(feature.EnvelopeDebezium, fare), sources.Record{Value: wrap(`{"schema":{},"payload":{"op":"c","source":{"ts_ms":1},"after":`, `}}`)}},
		"structured": {sourceOf(feature.EnvelopeCloudEvents, fare), sources.Record{
			Value: wrap(`{"specversion":"1.0","id":"1","source":"a","type":"t","time":"2023-11-14T22:13:20Z","data":`, `}`),
		}},
		"tombstones": {sourceOf(feature.EnvelopeNone, fare, id), sources.Record{Key: []byte(`{"id":7}`)}},
	} {
		d, b := opened(t, w.src)
		recs := slices.Repeat([]sources.Record{w.rec}, 500)
		steps[name] = func() {
			b.Reset(b.Fields, 0)
			if err := d.Decode(t.Context(), b, recs); err != nil || b.Rows() != len(recs) {
				t.Fatal(name, err, b.Rejects)
			}
		}
	}
	bare, b := opened(t, sourceOf(feature.EnvelopeNone, fare))
	inner, err := json(sourceOf(feature.EnvelopeNone, fare), b.Fields)
	if err != nil {
		t.Fatal(bare, err)
	}
	recs := slices.Repeat([]sources.Record{{Value: value}}, 500)
	steps["inner alone"] = func() {
		b.Reset(b.Fields, 0)
		if err := inner.Decode(t.Context(), b, recs); err != nil {
			t.Fatal(err)
		}
	}
	return steps
}

func TestDecodeAllocatesNothing(t *testing.T) {
	for name, step := range workloads(t) {
		for range 10 {
			step()
		}
		if n := testing.AllocsPerRun(20, step); n > 0 {
			t.Errorf("%s: %v allocations per 500 records", name, n)
		}
	}
}

// BenchmarkDecode reports nanoseconds per record.
func BenchmarkDecode(b *testing.B) {
	for name, step := range workloads(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/record")
		})
	}
}

// TestRowsDoNotDependOnTheCut decodes one log in batches of any size.
func TestRowsDoNotDependOnTheCut(t *testing.T) {
	var recs []sources.Record
	for i := range 30 {
		rec := sources.Record{Offset: int64(i), TimeMillis: 1000, Key: fmt.Appendf(nil, `{"id":%d}`, i/3)}
		switch i % 3 {
		case 0:
			rec.Value = fmt.Appendf(nil, `{"op":"c","after":{"fare":%d},"source":{"ts_ms":%d}}`, i, i)
		case 1:
			rec.Value = fmt.Appendf(nil, `{"op":"%c","source":{"ts_ms":%d}}`, "dtm"[i/3%3], i)
		}
		recs = append(recs, rec)
	}
	var want []string
	for size := len(recs); size > 0; size-- {
		d, b := opened(t, sourceOf(feature.EnvelopeDebezium, fare, id))
		var got []string
		for part := range slices.Chunk(recs, size) {
			b.Reset(b.Fields, 0)
			if err := d.Decode(t.Context(), b, part); err != nil {
				t.Fatal(err)
			}
			got = append(got, endsOf(t, b, part)...)
		}
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Fatalf("in batches of %d:\n%q\nwant\n%q", size, got, want)
		}
	}
	if !strings.Contains(want[2], "@1000") {
		t.Errorf("the tombstone behind the delete at 1 ms is %s", want[2])
	}
}
