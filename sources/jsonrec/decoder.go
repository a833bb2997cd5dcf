// Package jsonrec decodes JSON records into columns: only the fields that
// definitions use, each found by its path in one pass over the record.
//
// Invariant: a record becomes a row only if the whole of it is strict JSON
// (RFC 8259, UTF-8) and one object, also where no field looks; every other
// record becomes a reject and leaves no trace in the columns. Nothing is
// allocated per record once the batch has grown.
package jsonrec

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"millrace/feature"
	"millrace/sources"
)

// Limits bound what one record may cost.
type Limits struct {
	MaxDepth int // objects and arrays within each other, the record's own included
	MaxBytes int // of the record's value
}

// DefaultLimits returns the limits that New uses.
func DefaultLimits() Limits { return Limits{MaxDepth: 64, MaxBytes: 16 << 20} }

// Decoder implements sources.Decoder. It belongs to one goroutine.
type Decoder struct {
	limits  Limits
	layout  []feature.Field
	fields  []field // parallel to layout
	event   *field  // nil when the record's time is the event time
	eventAt int     // event's place in fields, or -1
	scan    scanner
	scratch []byte // a string without its escapes
	absent  int    // optional columns that the record leaves out
}

// field is a field to decode.
type field struct {
	name string
	typ  feature.Type
	unit time.Duration // of integer timestamps; 0 means text
	node int           // in the tree

	absence absence
	quoted  bool // a number may stand in a string
}

// absence says what it means that a record does not have a field.
type absence uint8

const (
	absentNull    absence = iota
	absentCounted         // null, and counted
	absentRefused         // the record is refused
)

// fault says why a record is refused; without a reason it is not.
type fault struct {
	reason  feature.Reason
	message string
}

var _ sources.Decoder = (*Decoder)(nil)

// New returns a decoder of src's records that fills batches of fields, some of
// src's, with DefaultLimits. It fails when a field, or the event time, is not
// one that src declares.
func New(src *feature.Source, fields []feature.Field) (*Decoder, error) {
	return NewLimited(src, fields, DefaultLimits())
}

// NewLimited is New with other limits.
func NewLimited(src *feature.Source, fields []feature.Field, limits Limits) (*Decoder, error) {
	d := &Decoder{limits: limits, layout: slices.Clone(fields), eventAt: -1}
	wanted := slices.Clone(fields)
	if src.EventTime != "" {
		d.eventAt = slices.IndexFunc(fields, func(f feature.Field) bool { return f.Name == src.EventTime })
		if d.eventAt < 0 {
			wanted = append(wanted, feature.Field{Name: src.EventTime, Type: feature.Of(feature.KindTimestamp)})
		}
	}
	paths := make([][]string, len(wanted))
	all := make([]field, len(wanted))
	for i, w := range wanted {
		f, path, err := sources.Declared(src, w)
		if err != nil {
			return nil, fmt.Errorf("decode source %s: field %s: %w", src.Name, w.Name, err)
		}
		all[i], paths[i] = field{name: f.Name, typ: f.Type, unit: f.Unit, quoted: f.Quoted}, path
	}
	d.build(all, paths)
	if d.event != nil && d.event.typ != feature.Of(feature.KindTimestamp) {
		return nil, fmt.Errorf("decode source %s: event time %s: is %s, not timestamp", src.Name, src.EventTime, d.event.typ)
	}
	return d, nil
}

// NewFinished returns a decoder of finished rows that fills batches of keys and
// then columns: members of the record's object, by name and in the forms of
// New, with feature.EventTimestamp as the event time. A record that leaves out
// a column becomes a reject unless the column is optional. A key left out is
// null, and so are an optional column, which dst.Absent counts, and the event
// time, which is then the record's.
func NewFinished(keys []feature.Field, columns []feature.SourceField) (*Decoder, error) {
	d := &Decoder{limits: DefaultLimits(), eventAt: -1}
	var all []field
	for _, k := range keys {
		all = append(all, field{name: k.Name, typ: k.Type})
	}
	for _, c := range columns {
		absence := absentRefused
		if c.Optional {
			absence = absentCounted
		}
		all = append(all, field{name: c.Name, typ: c.Type, absence: absence})
	}
	for i := range all {
		if all[i].typ.Layout() == feature.LayoutNone {
			return nil, fmt.Errorf("decode finished rows: %s has no valid type", all[i].name)
		}
		d.layout = append(d.layout, feature.Field{Name: all[i].name, Type: all[i].typ})
	}
	all = append(all, field{name: feature.EventTimestamp, typ: feature.Of(feature.KindTimestamp)})
	paths := make([][]string, len(all))
	for i := range all {
		paths[i] = []string{all[i].name}
	}
	d.build(all, paths)
	return d, nil
}

// build finishes d for all fields at paths: those of the layout, and behind
// them the event time if it is none of these.
func (d *Decoder) build(all []field, paths [][]string) {
	t, nodes := newTree(paths)
	for i := range all {
		all[i].node = nodes[i]
	}
	d.scan = scanner{tree: t, slots: make([]slot, len(t.nodes)), habits: make([][]habit, len(t.nodes))}
	d.fields = all[:len(d.layout)]
	switch {
	case d.eventAt >= 0:
		d.event = &all[d.eventAt]
	case len(all) > len(d.layout):
		d.event = &all[len(d.layout)]
	}
}

// Decode appends the rows of recs to dst, whose fields are those that New was
// given. It does not block and copies what it keeps of the records.
func (d *Decoder) Decode(_ context.Context, dst *feature.Batch, recs []sources.Record) error {
	if !slices.Equal(dst.Fields, d.layout) {
		return fmt.Errorf("decode %d records: the batch has other fields than the decoder", len(recs))
	}
	// All rows are made at once: row by row it takes as long as decoding them.
	row := dst.Rows()
	resize(dst, row+len(recs))
	for i := range recs {
		origin := feature.Origin{Offset: recs[i].Offset, RecordMillis: recs[i].TimeMillis, Record: int32(i)}
		f := d.decode(dst, row, &recs[i])
		if f.reason == "" {
			origin.EventMicros, f = d.eventTime(dst, row, &recs[i])
		}
		if f.reason == "" {
			dst.Origins = append(dst.Origins, origin)
			dst.Absent += d.absent
			row++
			continue
		}
		for c := range dst.Columns {
			dst.Columns[c].SetNull(row)
		}
		dst.Rejects = append(dst.Rejects, feature.Reject{
			Origin: origin, Stage: feature.StageDecode, Reason: f.reason, Message: f.message,
		})
	}
	resize(dst, row)
	return nil
}

func resize(dst *feature.Batch, rows int) {
	for i := range dst.Columns {
		dst.Columns[i].Resize(rows)
	}
}

// decode fills one row.
func (d *Decoder) decode(dst *feature.Batch, row int, rec *sources.Record) fault {
	switch {
	case rec.Value == nil:
		return fault{feature.ReasonMalformed, "tombstone"}
	case len(rec.Value) > d.limits.MaxBytes:
		return fault{feature.ReasonTooLarge, "the record has " + strconv.Itoa(len(rec.Value)) +
			" bytes, more than " + strconv.Itoa(d.limits.MaxBytes)}
	case !d.scan.scan(rec.Value, d.limits.MaxDepth):
		return d.scan.fault
	}
	d.absent = 0
	for i := range d.fields {
		f := &d.fields[i]
		v, reached := d.scan.find(f.node)
		if !reached {
			return unreachable(f, v)
		}
		if v.kind <= valueNull {
			if v.kind == valueNull || f.absence == absentNull {
				continue
			}
			if f.absence == absentRefused {
				return fault{feature.ReasonMissing, "column " + f.name + " is missing"}
			}
			d.absent++
			continue
		}
		if problem := d.set(&dst.Columns[i], row, v, f, &dst.Arena); problem.reason != "" {
			return problem
		}
	}
	return fault{}
}

// find returns the value of node n. Not reached, it is what lies on the way and
// is neither null nor absent nor an object, or an array whose element is meant.
func (s *scanner) find(n int) (v value, reached bool) {
	if s.slots[n].round == s.round {
		return s.slots[n].value, true
	}
	for n > 0 {
		child := n
		if n = s.tree.nodes[n].parent; n > 0 && s.slots[n].round == s.round {
			v = s.slots[n].value
			if v.kind == valueObject || v.kind == valueNull || v.kind == valueArray && s.tree.nodes[child].index != outside {
				return value{}, true
			}
			return v, false
		}
	}
	return value{}, true
}

// unreachable refuses a record for v, which lies on the way to f.
func unreachable(f *field, v value) fault {
	return f.refuse(feature.ReasonWrongType, v, "its path leads through "+v.kind.String()+", which is not an object")
}

// eventTime returns when the record in row happened: its event time field, or
// the record's time when there is none or it is null.
func (d *Decoder) eventTime(dst *feature.Batch, row int, rec *sources.Record) (int64, fault) {
	switch {
	case d.event == nil:
	case d.eventAt >= 0:
		if c := &dst.Columns[d.eventAt]; !c.IsNull(row) {
			return c.Ints[row], fault{}
		}
	default:
		v, reached := d.scan.find(d.event.node)
		if !reached {
			return 0, unreachable(d.event, v)
		}
		if v.kind > valueNull {
			return d.timestamp(v, d.event)
		}
	}
	const limit = math.MaxInt64 / 1000
	if rec.TimeMillis > limit || rec.TimeMillis < -limit {
		return 0, fault{feature.ReasonTimeRange, "the record time is beyond what microseconds can count"}
	}
	return rec.TimeMillis * 1000, fault{}
}
