package envelope

import (
	"context"
	"slices"
	"time"

	"millrace/feature"
	"millrace/sources"
)

// changes reads Debezium's change events. The row after a change is decoded
// where it stands, by longer paths, so every format that has paths will do.
type changes struct {
	connect *peeler // nil unless the format is JSON

	// The latest delete. A tombstone that follows it is one thing with it and
	// has its time: it may be written long after the change, and with a time of
	// its own it would beat a row that was inserted again in between.
	gone   bool
	key    []byte
	micros int64
}

// DebeziumRow is what paths in a row are prefixed with to lead there from its
// change event.
const DebeziumRow = "after."

// The members beside the row, which no field can be named like.
const (
	changeOp   = "debezium op"
	changeTime = "debezium source.ts_ms"
)

func newChanges(src *feature.Source, f Formats) (*changes, error) {
	connect, err := newConnect(src, f)
	return &changes{connect: connect}, err
}

// hide moves value's fields to where they stand in a change event, and adds
// the hidden ones to fields, as the last two.
func (c *changes) hide(value *feature.Source, fields []feature.Field) []feature.Field {
	op := feature.SourceField{Field: feature.Field{Name: changeOp, Type: feature.Of(feature.KindString)}, Path: "op"}
	when := feature.SourceField{
		Field: feature.Field{Name: changeTime, Type: feature.Of(feature.KindTimestamp)}, Path: "source.ts_ms", Unit: time.Millisecond,
	}
	value.Fields = slices.Clone(value.Fields)
	for i := range value.Fields {
		f := &value.Fields[i]
		if f.Path == "" {
			f.Path = f.Name
		}
		f.Path = DebeziumRow + f.Path
	}
	value.Fields = append(value.Fields, op, when)
	if value.EventTime == "" {
		value.EventTime = changeTime
	}
	return append(fields, op.Field, when.Field)
}

func (c *changes) open(ctx context.Context, arena *feature.Arena, rec *sources.Record) (fault, error) {
	if rec.Value == nil {
		return fault{}, nil
	}
	value, f, err := c.connect.connect(ctx, arena, rec.Value)
	rec.Value = value
	return f, err
}

// changed gives the rows from first on the end that their operation asks for.
func (d *Decoder) changed(dst *feature.Batch, recs []sources.Record, first int) {
	op, when := &d.in.Columns[len(d.fields)-2], &d.in.Columns[len(d.fields)-1]
	d.keep = d.keep[:0]
	for row := range first {
		d.keep = append(d.keep, int32(row))
	}
	for row := first; row < dst.Rows(); row++ {
		o := &dst.Origins[row]
		name := ""
		if !op.IsNull(row) {
			name = op.Strings[row]
		}
		switch name {
		case "c", "r", "u":
		case "d":
			d.deleted(dst, row, when)
		case "m": // a message that somebody wrote into the log, of no row
			continue
		case "t":
			d.refuse(dst, o, feature.ReasonNoKey, "all rows of a table were deleted at once (op t)")
			continue
		case "":
			d.refuse(dst, o, feature.ReasonMalformed, "the record is no change event: it has no op")
			continue
		default:
			d.refuse(dst, o, feature.ReasonMalformed, "the op of the change event is none of c, r, u, d, t, m")
			continue
		}
		d.keep = append(d.keep, int32(row))
		d.change.remember(o, recs[o.Record].Key)
	}
	if len(d.keep) < dst.Rows() {
		d.remove(dst)
	}
}

func (d *Decoder) refuse(dst *feature.Batch, o *feature.Origin, reason feature.Reason, message string) {
	dst.Rejects = append(dst.Rejects, feature.Reject{Origin: *o, Stage: feature.StageDecode, Reason: reason, Message: message})
}

// deleted marks a row: only what is beside the value stays.
func (d *Decoder) deleted(dst *feature.Batch, row int, when *feature.Column) {
	o := &dst.Origins[row]
	o.Deleted, o.EventMicros = true, o.RecordMillis*1000
	if !when.IsNull(row) {
		o.EventMicros = when.Ints[row]
	}
	for _, at := range d.columns {
		if at >= 0 {
			dst.Columns[at].SetNull(row)
		}
	}
}

// remember notes a delete until its key lives again.
func (c *changes) remember(o *feature.Origin, key []byte) {
	switch {
	case o.Deleted:
		c.gone, c.key, c.micros = true, append(c.key[:0], key...), o.EventMicros
	case string(c.key) == string(key):
		c.gone = false
	}
}
