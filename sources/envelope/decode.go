package envelope

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"

	"millrace/feature"
	"millrace/sources"
)

// Decode implements sources.Decoder. Rows may point into the records.
func (d *Decoder) Decode(ctx context.Context, dst *feature.Batch, recs []sources.Record) error {
	if d.plain && !hasTombstone(recs) {
		return d.inner.Decode(ctx, dst, recs) //nolint:wrapcheck // says what it could not do
	}
	if !slices.Equal(dst.Fields, d.layout) {
		return fmt.Errorf("decode %d records: the batch has other fields than the decoder", len(recs))
	}
	if d.keys != nil {
		if err := d.keys.decode(ctx, &dst.Arena, recs, d.plain); err != nil {
			return err
		}
	}
	d.beside.Reset(d.beside.Fields, 0)
	for i := range d.beside.Columns {
		d.beside.Columns[i].Resize(len(recs))
	}
	if d.events != nil || d.change != nil {
		d.own = append(d.own[:0], recs...)
		recs = d.own
		defer clear(recs) // lets go of the client's memory
	}
	return d.decode(ctx, dst, recs)
}

func hasTombstone(recs []sources.Record) bool {
	for i := range recs { // by index: a record is a hundred bytes
		if recs[i].Value == nil {
			return true
		}
	}
	return false
}

// decode hands records to the inner decoder in runs between those that it
// should not see.
func (d *Decoder) decode(ctx context.Context, dst *feature.Batch, recs []sources.Record) error {
	start := 0
	for i := range recs {
		d.fault = fault{}
		if err := d.prepare(ctx, dst, recs, i); err != nil {
			return err
		}
		if d.fault.reason == "" && recs[i].Value != nil {
			continue
		}
		if err := d.run(ctx, dst, recs, start, i); err != nil {
			return err
		}
		start = i + 1
		d.without(dst, recs, i)
	}
	return d.run(ctx, dst, recs, start, len(recs))
}

// prepare takes a value out of its envelope, and reads what is beside it.
func (d *Decoder) prepare(ctx context.Context, dst *feature.Batch, recs []sources.Record, i int) (err error) {
	rec := &recs[i]
	if d.plain && rec.Value != nil {
		return nil
	}
	switch {
	case d.events != nil:
		d.fault, err = d.events.open(ctx, &dst.Arena, rec)
	case d.change != nil:
		d.fault, err = d.change.open(ctx, &dst.Arena, rec)
	}
	if err != nil || d.fault.reason != "" {
		return err
	}
	if d.keys != nil && d.keys.faults[i].reason != "" {
		d.fault = d.keys.faults[i]
		return nil
	}
	for at := range d.sides {
		s := &d.sides[at]
		if s.key >= 0 {
			continue
		}
		text, found := rec.Key, rec.Key != nil
		if s.Header != "" {
			if text, found = d.header(rec, s.Header); !found {
				continue
			}
		}
		if !found {
			continue
		}
		if why := setText(&d.beside.Columns[at], i, text, s.Unit); why != "" {
			d.fault = fault{feature.ReasonWrongType, s.where() + why}
			return nil
		}
	}
	return nil
}

func (s *side) where() string {
	if s.Key {
		return "field " + s.Name + ": the record's key "
	}
	return "field " + s.Name + ": the header " + s.Header + " "
}

func (d *Decoder) header(rec *sources.Record, name string) ([]byte, bool) {
	if d.events != nil {
		if text, found, known := d.events.attribute(name); known {
			return text, found
		}
	}
	return lastHeader(rec, name)
}

// lastHeader finds a header; the last of several of one name counts.
func lastHeader(rec *sources.Record, name string) ([]byte, bool) {
	for i := len(rec.Headers) - 1; i >= 0; i-- {
		if h := &rec.Headers[i]; h.Key == name {
			return h.Value, h.Value != nil
		}
	}
	return nil, false
}

// run decodes recs[start:end], whose values the inner decoder is to see.
func (d *Decoder) run(ctx context.Context, dst *feature.Batch, recs []sources.Record, start, end int) error {
	if start == end {
		return nil
	}
	row, reject := dst.Rows(), len(dst.Rejects)
	var err error
	if d.plain {
		err = d.inner.Decode(ctx, dst, recs[start:end])
	} else {
		d.lend(dst)
		err = d.inner.Decode(ctx, &d.in, recs[start:end])
		d.takeBack(dst)
	}
	if err != nil {
		return err //nolint:wrapcheck // says what it could not do
	}
	for i := row; i < dst.Rows(); i++ {
		dst.Origins[i].Record += int32(start)
		if !d.plain {
			d.fill(dst, i)
		}
	}
	for i := reject; i < len(dst.Rejects); i++ {
		dst.Rejects[i].Origin.Record += int32(start)
	}
	if d.change != nil {
		d.changed(dst, recs, row)
	}
	return nil
}

// lend gives the inner decoder dst's columns, by its own layout.
func (d *Decoder) lend(dst *feature.Batch) {
	for i, at := range d.columns {
		if at >= 0 {
			d.in.Columns[i] = dst.Columns[at]
			continue
		}
		d.in.Columns[i].Reset(d.fields[i].Type)
		d.in.Columns[i].Resize(dst.Rows())
	}
	d.in.Partition, d.in.Absent = dst.Partition, dst.Absent
	d.in.Origins, d.in.Rejects, d.in.Arena = dst.Origins, dst.Rejects, dst.Arena
}

func (d *Decoder) takeBack(dst *feature.Batch) {
	for i, at := range d.columns {
		if at >= 0 {
			dst.Columns[at], d.in.Columns[i] = d.in.Columns[i], feature.Column{}
		}
	}
	dst.Origins, dst.Rejects, dst.Arena, dst.Absent = d.in.Origins, d.in.Rejects, d.in.Arena, d.in.Absent
	d.in.Origins, d.in.Rejects, d.in.Arena = nil, nil, feature.Arena{}
	for i := range d.sides {
		if at := d.sides[i].at; at >= 0 {
			dst.Columns[at].Resize(dst.Rows())
		}
	}
}

// fill sets what a row has from beside its record's value.
func (d *Decoder) fill(dst *feature.Batch, row int) {
	for i := range d.sides {
		s := &d.sides[i]
		from, rec := &d.beside.Columns[i], int(dst.Origins[row].Record)
		if s.key >= 0 {
			if from, rec = &d.keys.batch.Columns[s.key], d.keys.rows[rec]; rec < 0 {
				continue
			}
		}
		if from.IsNull(rec) {
			continue
		}
		if s.at >= 0 {
			dst.Columns[s.at].CopyRow(row, from, rec)
		}
		if i == d.event && !dst.Origins[row].Deleted {
			dst.Origins[row].EventMicros = from.Ints[rec]
		}
	}
}

// without gives a record its end that the inner decoder does not see.
func (d *Decoder) without(dst *feature.Batch, recs []sources.Record, i int) {
	rec := &recs[i]
	o := feature.Origin{Offset: rec.Offset, RecordMillis: rec.TimeMillis, Record: int32(i)}
	if d.fault.reason == "" {
		switch d.tombstone {
		case feature.TombstoneIgnore:
			return
		case feature.TombstoneDeadLetter:
			d.fault = fault{feature.ReasonTombstone, "the record has no value"}
		case feature.TombstoneDelete:
			const limit = math.MaxInt64 / 1000
			if rec.TimeMillis > limit || rec.TimeMillis < -limit {
				d.fault = fault{feature.ReasonTimeRange, "the record time is beyond what microseconds can count"}
			}
		}
	}
	if d.fault.reason != "" {
		dst.Rejects = append(dst.Rejects, feature.Reject{
			Origin: o, Stage: feature.StageDecode, Reason: d.fault.reason, Message: d.fault.message,
		})
		return
	}
	o.EventMicros, o.Deleted = rec.TimeMillis*1000, true
	if d.change != nil && d.change.gone && bytes.Equal(d.change.key, rec.Key) {
		o.EventMicros = d.change.micros
	}
	d.fill(dst, dst.AppendRow(o))
}

// remove takes the rows from first on that keep does not list out of dst.
func (d *Decoder) remove(dst *feature.Batch) {
	for i := range dst.Columns {
		c := &dst.Columns[i]
		d.spare.Reset(c.Type)
		d.spare.Gather(c, d.keep)
		*c, d.spare = d.spare, *c
	}
	for to, from := range d.keep {
		dst.Origins[to] = dst.Origins[from]
	}
	dst.Origins = dst.Origins[:len(d.keep)]
}
