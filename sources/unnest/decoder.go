// Package unnest makes a row of each element of a list of records, of two
// decoders of any one format: one reads the record with the elements as they
// stand, the other reads each element as a record of its own.
//
// Invariant: an element has one end, a row or a reject that carries its number;
// a record that cannot be read has one for all its elements. Rows are in the
// order of records, then of elements.
package unnest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"millrace/feature"
	"millrace/sources"
)

// Part is what one decoder is to read: a format's New takes Source and Fields
// as they are, and the other two as settings where the format has such.
type Part struct {
	Source *feature.Source
	Fields []feature.Field
	// Raw is the field of Source, a list<json>, whose elements are to be bytes
	// that the decoder of the part with At takes for a record; "" for none.
	Raw string
	// At is the path, in a record of the topic, of the list whose elements are
	// this part's records; "" when they are the topic's.
	At string
}

// Decoder implements sources.Decoder. It belongs to one goroutine.
type Decoder struct {
	field    string // the list
	layout   []feature.Field
	columns  []column // parallel to layout
	records  half
	elements half

	list int              // column of records that has the elements
	raw  []sources.Record // elements that are not null; Offset is the place in what follows
	// The rows to be, in order: a row of records, the element's number, and a
	// row of elements, or one of the constants.
	parents, numbers, rows []int32
}

// column says where a column comes from.
type column struct {
	element bool
	at      int
}

// half is a decoder with the batch that it fills.
type half struct {
	decoder sources.Decoder
	fields  []feature.Field
	batch   feature.Batch
}

const (
	rowNull    = -1 // an element without fields: null, or of a deleted record
	rowRefused = -2
)

var _ sources.Decoder = (*Decoder)(nil)

// New returns a decoder of src's records that makes a row of each element of
// u.Field and fills batches of fields: some of src's, and As.name for those of
// an element. decoder makes the decoder of a part; it is called twice.
func New(src *feature.Source, u feature.Unnest, fields []feature.Field, decoder func(Part) (sources.Decoder, error)) (*Decoder, error) {
	list, ok := src.Field(u.Field)
	if !ok || len(list.Of) == 0 {
		return nil, fmt.Errorf("unnest %s of source %s: it is not declared as a list of records", u.Field, src.Name)
	}
	d := &Decoder{field: u.Field, layout: slices.Clone(fields)}
	if list.Path == "" {
		list.Path = list.Name
	}
	// The elements have a column of their own: the list may be a field that is
	// used as well.
	list.Name += "[]"
	list.Type = feature.ListOf(feature.Of(feature.KindJSON))
	record := *src
	record.Fields = append(slices.Clone(src.Fields), list)
	parts := [2]Part{
		{Source: &record, Raw: list.Name},
		{Source: &feature.Source{Name: src.Name, Format: src.Format, Fields: list.Of}, At: list.Path},
	}
	if err := d.split(src, u, parts[:]); err != nil {
		return nil, err
	}
	d.list = len(parts[0].Fields)
	parts[0].Fields = append(parts[0].Fields, list.Field)
	for i, h := range []*half{&d.records, &d.elements} {
		var err error
		if h.decoder, err = decoder(parts[i]); err != nil {
			return nil, fmt.Errorf("unnest %s: %w", u.Field, err)
		}
		h.fields = parts[i].Fields
	}
	return d, nil
}

// split gives each field of the layout to the part that has it.
func (d *Decoder) split(src *feature.Source, u feature.Unnest, parts []Part) error {
	for _, f := range d.layout {
		if _, ok := src.Field(f.Name); ok {
			d.columns = append(d.columns, column{at: len(parts[0].Fields)})
			parts[0].Fields = append(parts[0].Fields, f)
			continue
		}
		name, ok := strings.CutPrefix(f.Name, u.As+".")
		if !ok {
			return fmt.Errorf("unnest %s of source %s: there is no field %s", u.Field, src.Name, f.Name)
		}
		d.columns = append(d.columns, column{element: true, at: len(parts[1].Fields)})
		parts[1].Fields = append(parts[1].Fields, feature.Field{Name: name, Type: f.Type})
	}
	return nil
}

// Decode appends the rows of recs to dst, whose fields are those that New was
// given. It blocks where its decoders do.
func (d *Decoder) Decode(ctx context.Context, dst *feature.Batch, recs []sources.Record) error {
	if !slices.Equal(dst.Fields, d.layout) {
		return fmt.Errorf("decode %d records: the batch has other fields than the decoder", len(recs))
	}
	defer func() { clear(d.raw) }() // the records are not ours to keep
	if err := d.records.decode(ctx, dst, recs); err != nil {
		return err
	}
	dst.Rejects = append(dst.Rejects, d.records.batch.Rejects...)
	d.number(dst)
	if err := d.elements.decode(ctx, dst, d.raw); err != nil {
		return fmt.Errorf("decode elements of %s: %w", d.field, err)
	}
	d.join(dst)
	d.append(dst)
	return nil
}

// decode fills h's batch with strings that live as long as those of dst.
func (h *half) decode(ctx context.Context, dst *feature.Batch, recs []sources.Record) error {
	h.batch.Reset(h.fields, dst.Partition)
	h.batch.Arena, dst.Arena = dst.Arena, h.batch.Arena
	err := h.decoder.Decode(ctx, &h.batch, recs)
	h.batch.Arena, dst.Arena = dst.Arena, h.batch.Arena
	return err //nolint:wrapcheck // says which record
}

// number lists the elements of all records.
func (d *Decoder) number(dst *feature.Batch) {
	d.raw, d.parents, d.numbers, d.rows = d.raw[:0], d.parents[:0], d.numbers[:0], d.rows[:0]
	batch := &d.records.batch
	list := &batch.Columns[d.list]
	for row, o := range batch.Origins {
		if o.Deleted { // it has no elements, and its end is that of its entity
			d.element(row, 0, rowNull)
			continue
		}
		if list.IsNull(row) {
			continue
		}
		span := list.Spans[row]
		if n := span.End - span.Start; n > feature.MaxElement+1 {
			dst.Rejects = append(dst.Rejects, feature.Reject{
				Origin: o, Stage: feature.StageDecode, Reason: feature.ReasonTooLarge,
				Message: "field " + d.field + ": has " + strconv.Itoa(int(n)) + " elements, more than " + strconv.Itoa(feature.MaxElement+1),
			})
			continue
		}
		for e := span.Start; e < span.End; e++ {
			if !list.Elems.IsNull(int(e)) {
				d.raw = append(d.raw, sources.Record{Offset: int64(len(d.rows)), Value: bytesOf(list.Elems.Strings[e])})
			}
			d.element(row, int32(e-span.Start), rowNull)
		}
	}
}

func (d *Decoder) element(parent int, number, row int32) {
	d.parents, d.numbers, d.rows = append(d.parents, int32(parent)), append(d.numbers, number), append(d.rows, row)
}

// join finds the row of each element, or makes its reject one of the record.
func (d *Decoder) join(dst *feature.Batch) {
	batch := &d.elements.batch
	for row, o := range batch.Origins {
		d.rows[o.Offset] = int32(row)
	}
	for _, r := range batch.Rejects {
		at := r.Origin.Offset
		d.rows[at] = rowRefused
		r.Origin = d.records.batch.Origins[d.parents[at]]
		r.Origin.Element = d.numbers[at]
		r.Message = "an element of " + d.field + ": " + r.Message
		dst.Rejects = append(dst.Rejects, r)
	}
}

// append adds the rows to dst.
func (d *Decoder) append(dst *feature.Batch) {
	kept := 0
	for i, row := range d.rows {
		if row == rowRefused {
			continue
		}
		d.parents[kept], d.rows[kept] = d.parents[i], row
		kept++
		o := d.records.batch.Origins[d.parents[i]]
		o.Element = d.numbers[i]
		dst.Origins = append(dst.Origins, o)
	}
	for i, c := range d.columns {
		if c.element {
			dst.Columns[i].Spread(&d.elements.batch.Columns[c.at], d.rows[:kept])
		} else {
			dst.Columns[i].Spread(&d.records.batch.Columns[c.at], d.parents[:kept])
		}
	}
}
