package unnest_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/jsonrec"
	"millrace/sources/unnest"
)

const benchElements = 10

// tenLines are orders of ten lines each.
func tenLines(t testing.TB, format string, n int) []sources.Record {
	t.Helper()
	sku, qty := "a-123456", int64(3)
	o := order{ID: 7}
	for range benchElements {
		o.Lines = append(o.Lines, &line{SKU: &sku, Qty: &qty})
	}
	recs, encode := make([]sources.Record, n), encoder(t, format)
	for i := range recs {
		recs[i] = sources.Record{Offset: int64(i), Value: encode(o)}
	}
	return recs
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	for _, format := range formats {
		d, recs := newDecoder(t, format), tenLines(t, format, 20)
		var b feature.Batch
		fill := func() {
			b.Reset(orderFields, 0)
			if err := d.Decode(t.Context(), &b, recs); err != nil || b.Rows() != 20*benchElements {
				t.Fatal(err, b.Rejects)
			}
		}
		for range 4 {
			fill()
		}
		if n := testing.AllocsPerRun(20, fill); n > 0 {
			t.Errorf("%s: %v allocations", format, n)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, format := range formats {
		b.Run(format, func(b *testing.B) {
			d, recs := newDecoder(b, format), tenLines(b, format, 100)
			var batch feature.Batch
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset(orderFields, 0)
				if err := d.Decode(b.Context(), &batch, recs); err != nil {
					b.Fatal(err)
				}
			}
			if batch.Rows() != len(recs)*benchElements {
				b.Fatal(batch.Rejects)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch.Rows()), "ns/element")
		})
	}
}

// TestMoreElementsThanAnOrderCanNumber costs the record, and one fewer does
// not.
func TestMoreElementsThanAnOrderCanNumber(t *testing.T) {
	for _, format := range formats {
		for _, n := range []int{feature.MaxElement + 1, feature.MaxElement + 2} {
			o := order{ID: 1, Lines: make([]*line, n)}
			d := newDecoder(t, format)
			var b feature.Batch
			b.Reset(orderFields, 0)
			if err := d.Decode(t.Context(), &b, []sources.Record{{Value: encoder(t, format)(o)}}); err != nil {
				t.Fatal(err)
			}
			if n == feature.MaxElement+1 {
				if b.Rows() != n || b.Origins[n-1].Element != feature.MaxElement {
					t.Errorf("%s: %d rows of %d elements, %+v", format, b.Rows(), n, b.Rejects)
				}
				continue
			}
			if b.Rows() != 0 || len(b.Rejects) != 1 || b.Rejects[0].Reason != feature.ReasonTooLarge || b.Rejects[0].Origin.Element != 0 ||
				!strings.Contains(b.Rejects[0].Message, "more than 65536") {
				t.Errorf("%s: %d rows, rejects %+v", format, b.Rows(), b.Rejects)
			}
		}
	}
}

// TestRowsAreAppended keeps what a batch has, and its strings.
func TestRowsAreAppended(t *testing.T) {
	for _, format := range formats {
		d, recs := newDecoder(t, format), tenLines(t, format, 1)
		var b feature.Batch
		b.Reset(orderFields, 0)
		for range 300 { // so that an arena that is taken back shows
			if err := d.Decode(t.Context(), &b, recs); err != nil {
				t.Fatal(err)
			}
		}
		for row := range b.Rows() {
			if b.Columns[2].Strings[row] != "a-123456" || b.Columns[0].Ints[row] != 3 {
				t.Fatalf("%s: row %d of %d is %q", format, row, b.Rows(), b.Columns[2].Strings[row])
			}
		}
		if b.Rows() != 300*benchElements {
			t.Errorf("%s: %d rows", format, b.Rows())
		}
	}
}

// deleting says of every record that it deletes, as the decoder of an envelope
// may.
type deleting struct{ sources.Decoder }

func (d deleting) Decode(ctx context.Context, dst *feature.Batch, recs []sources.Record) error {
	err := d.Decoder.Decode(ctx, dst, recs)
	for i := range dst.Origins {
		dst.Origins[i].Deleted = true
	}
	return err //nolint:wrapcheck // a test's
}

func TestADeleteIsOneRow(t *testing.T) {
	d, err := unnest.New(orders(), ofLines, orderFields, func(p unnest.Part) (sources.Decoder, error) {
		d, err := jsonrec.New(p.Source, p.Fields)
		if p.At == "" {
			return deleting{d}, err
		}
		return d, err
	})
	if err != nil {
		t.Fatal(err)
	}
	var b feature.Batch
	b.Reset(orderFields, 0)
	recs := []sources.Record{{Value: []byte(`{"id": 5}`)}, {Value: []byte(`{"id": 6, "lines": [{"sku": "a"}, {"sku": "b"}]}`)}}
	if err := d.Decode(t.Context(), &b, recs); err != nil {
		t.Fatal(err)
	}
	if b.Rows() != 2 || !b.Origins[0].Deleted || !b.Origins[1].Deleted || b.Columns[1].Ints[1] != 6 || !b.Columns[2].IsNull(1) {
		t.Errorf("rows %+v, rejects %+v", b.Origins, b.Rejects)
	}
}

// away is a registry that does not answer after the first schema was had.
type away struct {
	registry
	left int
}

var errAway = errors.New("away")

func (a *away) Schema(ctx context.Context, id int32) (sources.Schema, error) {
	if a.left--; a.left < 0 {
		return sources.Schema{}, errAway
	}
	return a.registry.Schema(ctx, id)
}

func TestARegistryThatIsAwayLeavesNothingBehind(t *testing.T) {
	schemas := &away{registry{{Type: sources.SchemaAvro, Text: orderAvro}}, 1} // for records, not for elements
	d, err := unnest.New(orders(), ofLines, orderFields, func(p unnest.Part) (sources.Decoder, error) {
		return decodersOf("avro", schemas, nil)(p)
	})
	if err != nil {
		t.Fatal(err)
	}
	recs := tenLines(t, "avro", 1)
	var b feature.Batch
	b.Reset(orderFields, 0)
	if err := d.Decode(t.Context(), &b, recs); !errors.Is(err, errAway) {
		t.Fatal(err)
	}
	schemas.left = 1
	b.Reset(orderFields, 0)
	if err := d.Decode(t.Context(), &b, recs); err != nil || b.Rows() != benchElements || b.Columns[2].Strings[9] != "a-123456" {
		t.Error(err, b.Rows(), b.Rejects)
	}
}

func TestWhatCannotBeUnnestedIsRefused(t *testing.T) {
	for _, c := range []struct {
		u      feature.Unnest
		field  string
		wanted string
	}{
		{feature.Unnest{Field: "id", As: "item"}, "id", "not declared as a list of records"},
		{feature.Unnest{Field: "nope", As: "item"}, "id", "not declared as a list of records"},
		{ofLines, "sku", "there is no field sku"},
		{ofLines, "item.nope", "nope"},
	} {
		fields := []feature.Field{{Name: c.field, Type: feature.Of(feature.KindInt64)}}
		if _, err := unnest.New(orders(), c.u, fields, decoders("json", nil, nil)); err == nil || !strings.Contains(err.Error(), c.wanted) {
			t.Errorf("%+v, %s: %v", c.u, c.field, err)
		}
	}
}
