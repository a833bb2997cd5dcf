package unnest_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/unnest"
)

var formats = []string{"json", "avro", "protobuf", "plain avro", "plain protobuf"}

const (
	orderAvro = `{"type":"record","name":"Order","fields":[{"name":"id","type":"long"},` +
		`{"name":"lines","type":["null",{"type":"array","items":["null",{"type":"record","name":"Line","fields":[` +
		`{"name":"sku","type":["null","string"]},{"name":"qty","type":["null","long"]}]}]}]}]}`
	orderProto = `syntax = "proto3";
message Order { int64 id = 1; repeated Line lines = 2; }
message Line { optional string sku = 1; optional int64 qty = 2; }
`
)

// order is a record of the model. A nil line is a null element.
type order struct {
	ID    int64   `json:"id"`
	Lines []*line `json:"lines"`
}

type line struct {
	SKU *string `json:"sku"`
	Qty *int64  `json:"qty"`
}

func orders() *feature.Source {
	field := func(name string, kind feature.Kind) feature.SourceField {
		return feature.SourceField{Field: feature.Field{Name: name, Type: feature.Of(kind)}}
	}
	list := field("lines", feature.KindJSON)
	list.Type = feature.ListOf(list.Type)
	list.Of = []feature.SourceField{field("sku", feature.KindString), field("qty", feature.KindInt32)}
	return &feature.Source{Name: "orders", Fields: []feature.SourceField{field("id", feature.KindInt64), list}}
}

var (
	ofLines     = feature.Unnest{Field: "lines", As: "item"}
	orderFields = []feature.Field{
		{Name: "item.qty", Type: feature.Of(feature.KindInt32)},
		{Name: "id", Type: feature.Of(feature.KindInt64)},
		{Name: "item.sku", Type: feature.Of(feature.KindString)},
	}
)

func newDecoder(t testing.TB, format string) *unnest.Decoder {
	t.Helper()
	schemas := registry{{Type: sources.SchemaAvro, Text: orderAvro}}
	if strings.HasSuffix(format, "protobuf") {
		schemas = registry{{Type: sources.SchemaProtobuf, Text: orderProto}}
	}
	d, err := unnest.New(orders(), ofLines, orderFields, decoders(format, schemas, nil))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// encoder returns what writes orders in a format.
func encoder(t testing.TB, format string) func(order) []byte {
	switch strings.TrimPrefix(format, "plain ") {
	case "json":
		return func(o order) []byte {
			text, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
	case "avro":
		return func(o order) []byte { return frame(format, 0, encodeAvro(t, orderAvro, o.avro())) }
	default:
		md := messageOf(t, orderProto)
		return func(o order) []byte { return frame(format, 0, encodeProto(t, md, o.prototext())) }
	}
}

// avro is Avro's JSON.
func (o order) avro() string {
	if o.Lines == nil {
		return fmt.Sprintf(`{"id": %d, "lines": null}`, o.ID)
	}
	var lines []string
	for _, l := range o.Lines {
		if l == nil {
			lines = append(lines, "null")
			continue
		}
		sku, qty := "null", "null"
		if l.SKU != nil {
			sku = fmt.Sprintf(`{"string": %q}`, *l.SKU)
		}
		if l.Qty != nil {
			qty = fmt.Sprintf(`{"long": %d}`, *l.Qty)
		}
		lines = append(lines, fmt.Sprintf(`{"Line": {"sku": %s, "qty": %s}}`, sku, qty))
	}
	return fmt.Sprintf(`{"id": %d, "lines": {"array": [%s]}}`, o.ID, strings.Join(lines, ","))
}

// prototext has an empty message for a null.
func (o order) prototext() string {
	var b strings.Builder
	fmt.Fprintf(&b, "id: %d", o.ID)
	for _, l := range o.Lines {
		b.WriteString(" lines {")
		if l != nil && l.SKU != nil {
			b.WriteString(" sku: " + strconv.QuoteToASCII(*l.SKU))
		}
		if l != nil && l.Qty != nil {
			fmt.Fprintf(&b, " qty: %d", *l.Qty)
		}
		b.WriteString(" }")
	}
	return b.String()
}

// want is the plain loop: what becomes of an order, element by element.
func (o order) want(record int) []string {
	var out []string
	for e, l := range o.Lines {
		sku, qty := "null", "null"
		if l != nil && l.SKU != nil {
			sku = strconv.Quote(*l.SKU)
		}
		if l != nil && l.Qty != nil {
			if qty = strconv.FormatInt(*l.Qty, 10); *l.Qty != int64(int32(*l.Qty)) {
				out = append(out, fmt.Sprintf("%d/%d wrong_type", record, e))
				continue
			}
		}
		out = append(out, fmt.Sprintf("%d/%d qty=%s id=%d sku=%s", record, e, qty, o.ID, sku))
	}
	return out
}

func drawOrder(t *rapid.T) order {
	drawn := rapid.Custom(func(t *rapid.T) *line {
		return &line{
			SKU: rapid.Ptr(rapid.StringMatching(`[a-zé"\\]{0,6}`), true).Draw(t, "sku"),
			Qty: rapid.Ptr(rapid.SampledFrom([]int64{0, 1, -5, 1 << 31, 1<<31 - 1}), true).Draw(t, "qty"),
		}
	})
	lines := rapid.SliceOfN(rapid.OneOf(drawn, drawn, rapid.Just((*line)(nil))), 0, 6)
	return order{
		ID:    rapid.Int64().Draw(t, "id"),
		Lines: rapid.OneOf(lines, rapid.Just([]*line(nil))).Draw(t, "lines"),
	}
}

// TestRowsAreThoseOfAPlainLoop: in every format, whatever the neighbours.
func TestRowsAreThoseOfAPlainLoop(t *testing.T) {
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			d, encode := newDecoder(t, format), encoder(t, format)
			var b feature.Batch
			rapid.Check(t, func(rt *rapid.T) {
				all := rapid.SliceOfN(rapid.Custom(drawOrder), 0, 5).Draw(rt, "orders")
				var recs []sources.Record
				var want []string
				for i, o := range all {
					recs = append(recs, sources.Record{Offset: int64(100 + i), TimeMillis: 5, Value: encode(o)})
					want = append(want, o.want(i)...)
				}
				b.Reset(orderFields, 3)
				if err := d.Decode(t.Context(), &b, recs); err != nil {
					rt.Fatal(err)
				}
				got := outcomes(rt, &b)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					rt.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			})
		})
	}
}

// outcomes checks the order of rows and lists what became of elements.
func outcomes(t *rapid.T, b *feature.Batch) []string {
	var out []string
	for _, r := range b.Rejects {
		if r.Origin.Offset != int64(100+r.Origin.Record) || r.Origin.EventMicros != 5000 {
			t.Fatalf("reject of %+v", r.Origin)
		}
		out = append(out, fmt.Sprintf("%d/%d %s", r.Origin.Record, r.Origin.Element, r.Reason))
	}
	for row, o := range b.Origins {
		if row > 0 && b.Origins[row-1].Record == o.Record && b.Origins[row-1].Element >= o.Element || row > 0 && b.Origins[row-1].Record > o.Record ||
			o.Offset != int64(100+o.Record) || o.RecordMillis != 5 || o.EventMicros != 5000 {
			t.Fatalf("row %d has origin %+v, after %+v", row, o, b.Origins[max(row, 1)-1])
		}
		show := func(c int) string { return rendering.Show(&b.Columns[c], row) }
		out = append(out, fmt.Sprintf("%d/%d qty=%s id=%s sku=%s", o.Record, o.Element, show(0), show(1), show(2)))
	}
	slices.Sort(out)
	return out
}
