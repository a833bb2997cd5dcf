// Package envelope reads what surrounds a record's value: CloudEvents and
// Debezium's change events, headers, the key, and the absence of a value. It is
// a decoder around the decoder of the source's format.
//
// Invariant: every record that is handed in becomes, in its place, what its
// value becomes in the inner decoder, one row marked deleted, one reject, or
// nothing where the source says so; whichever it is, its origin names the
// record as handed in. A source with nothing around its values costs one
// comparison per record.
package envelope

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"millrace/feature"
	"millrace/sources"
)

// Format makes the decoder of a format for some fields of a source.
type Format func(src *feature.Source, fields []feature.Field) (sources.Decoder, error)

// Formats are the decoders that an envelope is made of.
type Formats struct {
	Value Format // of values, in the source's format
	Key   Format // of keys that have fields, in the source's format; nil where there are none
	JSON  Format // of JSON: of envelopes that are written in it whatever the format
}

// Decoder implements sources.Decoder. It belongs to one goroutine.
type Decoder struct {
	source    string
	layout    []feature.Field
	tombstone feature.TombstonePolicy
	plain     bool // inner fills the layout by itself

	inner   sources.Decoder
	fields  []feature.Field // that inner fills
	columns []int           // parallel to fields: place in layout, or -1 where only we look
	in      feature.Batch   // of inner; its columns are borrowed

	sides  []side // fields that are not in the value
	event  int    // which of sides is the event time, or -1
	beside feature.Batch
	keys   *keys
	events *events
	change *changes

	own   []sources.Record // with values that were taken out of their envelopes
	keep  []int32
	spare feature.Column
	fault fault
}

// fault says why a record is refused; without a reason it is not.
type fault struct {
	reason  feature.Reason
	message string
}

// side is a field that is read from a header or the key.
type side struct {
	feature.SourceField
	at  int // place in the layout, or -1
	key int // column of keys, or -1: the text of the header or key counts
}

var _ sources.Decoder = (*Decoder)(nil)

// New returns a decoder of src's records that fills batches of fields, some of
// src's. It fails when a field, or the event time, is not one that src declares
// or that can be had.
func New(src *feature.Source, fields []feature.Field, f Formats) (*Decoder, error) {
	d := &Decoder{source: src.Name, layout: slices.Clone(fields), tombstone: src.OnTombstone, event: -1}
	if err := d.build(src, f); err != nil {
		return nil, fmt.Errorf("decode source %s: %w", src.Name, err)
	}
	return d, nil
}

// NewFinished returns a decoder of finished rows of src, which inner decodes,
// in batches of keys and then other columns. A record without a value deletes
// the row of the entity that its key tells: each join key is the field of that
// name and type that src reads from the key.
func NewFinished(src *feature.Source, layout []feature.Field, keys int, inner sources.Decoder, f Formats) (*Decoder, error) {
	d := &Decoder{source: src.Name, layout: slices.Clone(layout), tombstone: src.OnTombstone, event: -1, plain: true, inner: inner}
	for at, k := range layout[:keys] {
		if declared, ok := src.Field(k.Name); ok && declared.Key && declared.Type == k.Type {
			d.sides = append(d.sides, side{declared, at, -1})
		}
	}
	if err := d.buildSides(src, f); err != nil {
		return nil, fmt.Errorf("decode finished rows of source %s: %w", src.Name, err)
	}
	return d, nil
}

func beside(f *feature.SourceField) bool { return f.Key || f.Header != "" }

func (d *Decoder) build(src *feature.Source, f Formats) error {
	for at, want := range d.layout {
		declared, ok := src.Field(want.Name)
		if !ok || !beside(&declared) {
			d.fields, d.columns = append(d.fields, want), append(d.columns, at)
			continue
		}
		if declared.Type != want.Type {
			return fmt.Errorf("field %s: is declared %s, not %s", want.Name, declared.Type, want.Type)
		}
		d.sides = append(d.sides, side{declared, at, -1})
	}
	value := *src // what inner is told
	if err := d.eventTime(src, &value); err != nil {
		return err
	}
	if err := d.open(src, &value, f); err != nil {
		return err
	}
	if err := d.buildSides(src, f); err != nil {
		return err
	}
	d.plain = len(d.sides) == 0 && d.events == nil && d.change == nil
	var err error
	if d.inner, err = f.Value(&value, d.fields); err != nil {
		return err //nolint:wrapcheck // says what it could not do
	}
	d.in.Reset(d.fields, 0)
	return nil
}

// eventTime finds the event time where it is not in the value.
func (d *Decoder) eventTime(src, value *feature.Source) error {
	declared, ok := src.Field(src.EventTime)
	if src.EventTime == "" && src.Envelope == feature.EnvelopeCloudEvents {
		declared, ok = feature.SourceField{Header: "ce_time"}, true
		declared.Name, declared.Type = "the event's time", feature.Of(feature.KindTimestamp)
	}
	if !ok || !beside(&declared) {
		return nil // inner's business
	}
	if declared.Type != feature.Of(feature.KindTimestamp) {
		return fmt.Errorf("event time %s: is %s, not timestamp", declared.Name, declared.Type)
	}
	value.EventTime = ""
	d.event = slices.IndexFunc(d.sides, func(s side) bool { return s.Name == declared.Name })
	if d.event < 0 {
		d.event = len(d.sides)
		d.sides = append(d.sides, side{declared, -1, -1})
	}
	return nil
}

// open prepares for the source's envelope.
func (d *Decoder) open(src, value *feature.Source, f Formats) (err error) {
	switch src.Envelope {
	case "", feature.EnvelopeNone:
	case feature.EnvelopeCloudEvents:
		d.events, err = newEvents(src, d.sides, f)
	case feature.EnvelopeDebezium:
		if d.change, err = newChanges(src, f); err == nil {
			d.fields, d.columns = d.change.hide(value, d.fields), append(d.columns, -1, -1)
		}
	default:
		err = fmt.Errorf("unknown envelope %q", src.Envelope)
	}
	return err
}

// buildSides checks the fields that are not in the value.
func (d *Decoder) buildSides(src *feature.Source, f Formats) error {
	var fields []feature.Field
	var inKey []feature.SourceField
	for i := range d.sides {
		s := &d.sides[i]
		switch {
		case s.Key && s.Header != "":
			return fmt.Errorf("field %s: cannot be read from both a header and the key", s.Name)
		case s.Key && s.Path != "":
			s.key = len(inKey)
			inner := s.SourceField
			inner.Key = false
			inKey = append(inKey, inner)
		case s.Type.IsList() || s.Type.Layout() == feature.LayoutNone:
			return fmt.Errorf("field %s: text of a header or key does not become %s", s.Name, s.Type)
		}
		switch s.Unit {
		case 0, time.Second, time.Millisecond, time.Microsecond, time.Nanosecond:
		default:
			return fmt.Errorf("field %s: a timestamp cannot count units of %s", s.Name, s.Unit)
		}
		fields = append(fields, s.Field)
	}
	d.beside.Reset(fields, 0)
	if len(inKey) == 0 {
		return nil
	}
	if f.Key == nil {
		return errors.New("the record's key has fields, and no format for it is given")
	}
	var err error
	d.keys, err = newKeys(src, inKey, f)
	return err
}
