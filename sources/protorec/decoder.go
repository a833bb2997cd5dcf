// Package protorec decodes Protobuf records into columns: a plan compiled from
// the message's descriptor walks the bytes once, fills the fields that
// definitions use and passes over the rest.
//
// Invariant: a record becomes a row only if the wire format is sound wherever
// the plan reads, and what it holds is then what a Protobuf library reads from
// the same bytes: the last occurrence of a field counts, messages that occur
// twice are merged. Every other record becomes a reject and leaves no trace in
// the columns. No length that a record states is believed before its bytes are
// there, and nothing is allocated per record once the batch has grown, except
// for fields of kind json.
package protorec

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"

	"millrace/feature"
	"millrace/sources"
)

// Limits bound what one record may cost.
type Limits struct {
	MaxBytes     int // of the record's value
	MaxJSONBytes int // of one field of kind json, on the wire and as text
	MaxDepth     int // of messages within each other in a field of kind json
}

// DefaultLimits returns the limits that hold where Settings gives none.
func DefaultLimits() Limits { return Limits{MaxBytes: 16 << 20, MaxJSONBytes: 1 << 20, MaxDepth: 64} }

// Settings say what the records are.
type Settings struct {
	// Message is the type of every record: Load finds it in a descriptor set.
	// Nil means that each record names its schema.
	Message protoreflect.MessageDescriptor
	// Framed says that records begin with Confluent's header. With a Message
	// the header is passed over; without one Framed is implied.
	Framed bool
	// Schemas answers for the ids in headers; needed without Message. It is
	// asked once for an id, again after an error.
	Schemas sources.Schemas
	// Name is the full name of the message to read from the schemas; "" leaves
	// it to the message indexes in the header.
	Name string
	// Raw names a field of type list<json> that is to hold the elements of a list
	// of messages as bytes, each behind the header of its record, and At is the
	// path of a list whose elements are the records: what one decoder keeps
	// another one reads. Message, Schemas and Name are those of the whole records
	// for both. See package unnest.
	Raw, At string
	Limits  Limits // DefaultLimits where zero
}

// Decoder implements sources.Decoder. It belongs to one goroutine.
type Decoder struct {
	settings Settings
	source   string
	layout   []feature.Field
	wanted   []want
	eventAt  int // event time's place in wanted, or -1
	plan     *plan
	registry registry

	columns []*feature.Column // parallel to wanted
	hidden  feature.Column    // the event time where the batch has no column for it
	arena   *feature.Arena
	row     int
	round   uint64 // marks what belongs to this record
	data    []byte // the record's value
	frame   []byte // its header
	bad     bool   // some leaf may hold a fault
	fault   fault
}

// fault says why a record is refused; without a reason it is not.
type fault struct {
	reason  feature.Reason
	message string
}

var _ sources.Decoder = (*Decoder)(nil)

// New returns a decoder of src's records that fills batches of fields, some of
// src's. It fails when a field, or the event time, is not one that src declares
// or, given a Message, not one that the message has in a fitting type.
func New(src *feature.Source, fields []feature.Field, s Settings) (*Decoder, error) {
	limits := DefaultLimits()
	for _, l := range []struct{ given, value *int }{
		{&s.Limits.MaxBytes, &limits.MaxBytes}, {&s.Limits.MaxJSONBytes, &limits.MaxJSONBytes}, {&s.Limits.MaxDepth, &limits.MaxDepth},
	} {
		if *l.given == 0 {
			*l.given = *l.value
		}
	}
	d := &Decoder{settings: s, source: src.Name, layout: slices.Clone(fields)}
	if s.Message == nil && s.Schemas == nil {
		return nil, fmt.Errorf("decode source %s: neither a message nor schemas are given", src.Name)
	}
	var err error
	if d.wanted, d.eventAt, err = wants(src, fields); err != nil {
		return nil, fmt.Errorf("decode source %s: %w", src.Name, err)
	}
	if s.Raw != "" {
		i := slices.IndexFunc(d.wanted, func(w want) bool { return w.Name == s.Raw })
		if i < 0 {
			return nil, fmt.Errorf("decode source %s: field %s: is not one to decode, so its elements cannot be kept", src.Name, s.Raw)
		}
		d.wanted[i].raw = true
	}
	d.columns = make([]*feature.Column, len(d.wanted))
	if s.Message == nil {
		return d, nil
	}
	if d.plan, err = d.compile(s.Message, false); err != nil {
		return nil, fmt.Errorf("decode source %s: %w", src.Name, err)
	}
	return d, nil
}

// Decode appends the rows of recs to dst, whose fields are those that New was
// given. Text in dst aliases the records. It blocks only while Schemas does.
func (d *Decoder) Decode(ctx context.Context, dst *feature.Batch, recs []sources.Record) error {
	if !slices.Equal(dst.Fields, d.layout) {
		return fmt.Errorf("decode %d records: the batch has other fields than the decoder", len(recs))
	}
	d.registry.begin()
	d.bind(dst)
	d.resize(d.row + len(recs))
	var failure error
	for i := range recs {
		origin := feature.Origin{Offset: recs[i].Offset, RecordMillis: recs[i].TimeMillis, Record: int32(i)}
		d.fault = fault{}
		if err := d.decode(ctx, &recs[i]); err != nil {
			failure = fmt.Errorf("decode source %s: %w", d.source, err)
			break
		}
		if d.fault.reason == "" {
			origin.EventMicros = d.eventTime(&recs[i])
		}
		if d.fault.reason == "" {
			dst.Origins = append(dst.Origins, origin)
			d.row++
			continue
		}
		for _, c := range d.columns {
			c.SetNull(d.row)
		}
		dst.Rejects = append(dst.Rejects, feature.Reject{
			Origin: origin, Stage: feature.StageDecode, Reason: d.fault.reason, Message: d.fault.message,
		})
	}
	d.resize(d.row)
	d.data, d.frame = nil, nil // the records are not ours to keep
	return failure
}

// bind makes dst what rows go to.
func (d *Decoder) bind(dst *feature.Batch) {
	d.arena, d.row = &dst.Arena, dst.Rows()
	for i := range dst.Columns {
		d.columns[i] = &dst.Columns[i]
	}
	if n := len(dst.Columns); n < len(d.columns) {
		d.hidden.Reset(feature.Of(feature.KindTimestamp))
		d.columns[n] = &d.hidden
	}
}

// resize makes room for rows; row by row it takes as long as decoding them.
func (d *Decoder) resize(rows int) {
	for _, c := range d.columns {
		c.Resize(rows)
	}
}

// decode fills one row, or sets fault. An error says that nothing is known of
// the record.
func (d *Decoder) decode(ctx context.Context, rec *sources.Record) error {
	switch {
	case rec.Value == nil:
		d.fault = fault{feature.ReasonMalformed, "tombstone"}
		return nil
	case len(rec.Value) > d.settings.Limits.MaxBytes:
		d.fault = fault{feature.ReasonTooLarge, "the record has " + strconv.Itoa(len(rec.Value)) +
			" bytes, more than " + strconv.Itoa(d.settings.Limits.MaxBytes)}
		return nil
	}
	d.data = rec.Value
	p, at, err := d.planOf(ctx)
	if err != nil || p == nil {
		return err
	}
	d.frame = d.data[:at]
	d.round++
	d.bad = false
	d.enter(&p.root)
	if d.walk(&p.root, at, len(d.data)) == failed {
		return nil
	}
	d.finish(p)
	return nil
}

// finish does what can be done only once the whole record was read.
func (d *Decoder) finish(p *plan) {
	if d.bad {
		for _, l := range p.leaves {
			if l.badRound == d.round {
				d.fault = l.bad
				return
			}
		}
	}
	d.complete(p)
	for _, l := range p.late {
		if l.owner.round != d.round {
			continue
		}
		if l.json != nil {
			d.render(l)
		} else {
			d.checkLength(l)
		}
		if d.fault.reason != "" {
			return
		}
	}
}

// checkLength holds a list to its fixed length. Protobuf cannot tell an empty
// list from an absent one, so an empty one is null.
func (d *Decoder) checkLength(l *leaf) {
	c := d.columns[l.column]
	if c.IsNull(d.row) {
		return
	}
	span := c.Spans[d.row]
	switch n := span.End - span.Start; n {
	case l.typ.Length:
	case 0:
		c.SetNull(d.row)
	default:
		d.fault = fault{feature.ReasonLength, "field " + l.name + ": has " + strconv.Itoa(int(n)) +
			" elements, not " + strconv.Itoa(int(l.typ.Length))}
	}
}

// eventTime returns when the record happened: its event time field, or the
// record's time when there is none or it is null.
func (d *Decoder) eventTime(rec *sources.Record) int64 {
	if d.eventAt >= 0 {
		if c := d.columns[d.eventAt]; !c.IsNull(d.row) {
			return c.Ints[d.row]
		}
	}
	const limit = math.MaxInt64 / 1000
	if rec.TimeMillis > limit || rec.TimeMillis < -limit {
		d.fault = fault{feature.ReasonTimeRange, "the record time is beyond what microseconds can count"}
		return 0
	}
	return rec.TimeMillis * 1000
}

// want is a field to decode.
type want struct {
	feature.SourceField
	path []string
	raw  bool // elements are kept as bytes
}

// wants finds the declarations of fields and of the event time, which comes
// last where fields lack it.
func wants(src *feature.Source, fields []feature.Field) (ws []want, eventAt int, err error) {
	timestamp := feature.Of(feature.KindTimestamp)
	fields, eventAt = slices.Clone(fields), -1
	if src.EventTime != "" {
		eventAt = slices.IndexFunc(fields, func(f feature.Field) bool { return f.Name == src.EventTime })
		if eventAt < 0 {
			eventAt = len(fields)
			fields = append(fields, feature.Field{Name: src.EventTime, Type: timestamp})
		}
		if t := fields[eventAt].Type; t != timestamp {
			return nil, 0, fmt.Errorf("event time %s: is %s, not timestamp", src.EventTime, t)
		}
	}
	for _, f := range fields {
		declared, ok := src.Field(f.Name)
		switch {
		case !ok:
			err = errors.New("is not declared")
		case declared.Type != f.Type:
			err = fmt.Errorf("is declared %s, not %s", declared.Type, f.Type)
		case f.Type.Layout() == feature.LayoutNone:
			err = errors.New("has no valid type")
		case f.Type.Depth > 1:
			err = errors.New("lists of lists do not exist in Protobuf")
		}
		w := want{SourceField: declared}
		if err == nil {
			w.path, err = splitPath(declared)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("field %s: %w", f.Name, err)
		}
		ws = append(ws, w)
	}
	return ws, eventAt, nil
}
