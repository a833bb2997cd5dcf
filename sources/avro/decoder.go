// Package avro decodes Avro records into columns: for each writer's schema a
// plan is compiled once, which reads the fields that definitions use and passes
// over the rest.
//
// Invariant: a record becomes a row only if the whole of it has the form that
// its writer's schema gives, to the last byte (the content of what no field
// looks at is not examined); every other record becomes a reject and leaves no
// trace in the columns. No length that a record claims is believed before the
// bytes are there. Nothing is allocated per record once the batch has grown,
// decimals of more than 18 digits aside.
package avro

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"millrace/feature"
	"millrace/sources"
)

// Framing is what a record begins with, which tells the schema it was written
// with.
type Framing uint8

// The framings.
const (
	FramingConfluent    Framing = iota // 0, then the schema's id in a registry, 4 bytes big-endian
	FramingSingleObject                // C3 01, then the schema's fingerprint, 8 bytes little-endian
	FramingNone                        // nothing: all records have one schema; some may say so as single objects
)

// Limits bound what one record may cost.
type Limits struct {
	MaxDepth    int // arrays, maps and records that are not unrolled, within each other
	MaxBytes    int // of the record's value, and of the JSON text of a field
	MaxElements int // of all arrays and maps of the record
	MaxPlans    int // writer schemas whose plan is kept
}

// DefaultLimits returns the limits that stand in for zeros.
func DefaultLimits() Limits {
	return Limits{MaxDepth: 64, MaxBytes: 16 << 20, MaxElements: 1 << 20, MaxPlans: 1000}
}

// Settings say how schemas are found.
type Settings struct {
	Framing Framing
	Schemas sources.Schemas  // FramingConfluent
	Writers []sources.Schema // FramingSingleObject: those that may occur; FramingNone: exactly one
	// Reader is what records are read as: it gives the names that paths use,
	// earlier names of fields (aliases), and values of fields that a writer does
	// not have. Without one the writer's names count and what is not there is null.
	Reader *sources.Schema
	// Raw names a field of type list<json> that is to hold the elements of an
	// array as bytes, each behind the frame of its record, and At is the path of
	// an array whose elements are the records: what one decoder keeps another one
	// reads. Schemas are those of the whole records for both. See package unnest.
	Raw, At string
	Limits  Limits
}

// Decoder implements sources.Decoder. It belongs to one goroutine.
type Decoder struct {
	source   string
	framing  Framing
	schemas  sources.Schemas
	limits   Limits
	layout   []feature.Field
	targets  []target // parallel to layout; the event time may follow
	want     *want
	reader   *typ
	eventAt  int // column of the event time among the targets, or -1
	elements elements
	plans    map[int32]plan
	prints   map[uint64]plan
	only     plan
	last     struct {
		id   int32
		plan plan
	}
	hidden feature.Column // the event time, when no column of the batch has it
	run    machine
}

// plan is how records of one writer's schema are read.
type plan struct {
	*program        // nil when the schema is of no use
	fault    string // then why
}

var _ sources.Decoder = (*Decoder)(nil)

// New returns a decoder of src's records that fills batches of fields, some of
// src's. It fails when a field, or the event time, is not one that src declares,
// or not one that the reader's schema has, and when a schema given is of no use.
func New(src *feature.Source, fields []feature.Field, s Settings) (*Decoder, error) {
	d, err := newDecoder(src, fields, s)
	if err != nil {
		return nil, fmt.Errorf("decode source %s: %w", src.Name, err)
	}
	return d, nil
}

func newDecoder(src *feature.Source, fields []feature.Field, s Settings) (*Decoder, error) {
	d := &Decoder{
		source: src.Name, framing: s.Framing, schemas: s.Schemas, limits: s.Limits.withDefaults(), layout: slices.Clone(fields),
		eventAt: -1, plans: make(map[int32]plan), prints: make(map[uint64]plan),
	}
	wanted := slices.Clone(fields)
	if src.EventTime != "" {
		d.eventAt = slices.IndexFunc(fields, func(f feature.Field) bool { return f.Name == src.EventTime })
		if d.eventAt < 0 {
			d.eventAt = len(wanted)
			wanted = append(wanted, feature.Field{Name: src.EventTime, Type: feature.Of(feature.KindTimestamp)})
		}
	}
	if s.Reader != nil {
		var err error
		if d.reader, _, err = parse(*s.Reader, true); err != nil {
			return nil, fmt.Errorf("the reader's schema: %w", err)
		}
	}
	if s.At != "" {
		d.elements.at = strings.Split(s.At, ".")
	}
	seen, err := d.seen()
	if err != nil {
		return nil, fmt.Errorf("the reader's schema: elements at %s: %w", s.At, err)
	}
	paths := make([][]string, len(wanted))
	for i, w := range wanted {
		f, path, err := sources.Declared(src, w)
		if err == nil && seen != nil {
			err = seen.reaches(path)
		}
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", w.Name, err)
		}
		d.targets, paths[i] = append(d.targets, target{name: f.Name, typ: f.Type, unit: f.Unit}), path
	}
	if d.eventAt >= 0 && d.targets[d.eventAt].typ != feature.Of(feature.KindTimestamp) {
		return nil, fmt.Errorf("event time %s: is %s, not timestamp", src.EventTime, d.targets[d.eventAt].typ)
	}
	if s.Raw != "" {
		if err := d.keep(s.Raw, paths); err != nil {
			return nil, err
		}
	}
	d.want = newWant(paths)
	d.run.maxText = d.limits.MaxBytes
	return d, d.writers(s)
}

func (l Limits) withDefaults() Limits {
	def := DefaultLimits()
	for _, v := range []struct {
		to   *int
		from int
	}{{&l.MaxDepth, def.MaxDepth}, {&l.MaxBytes, def.MaxBytes}, {&l.MaxElements, def.MaxElements}, {&l.MaxPlans, def.MaxPlans}} {
		if *v.to == 0 {
			*v.to = v.from
		}
	}
	return l
}

// writers compiles the plans of the schemas that are known from the start.
func (d *Decoder) writers(s Settings) error {
	switch {
	case s.Framing == FramingConfluent && s.Schemas == nil:
		return errors.New("records name schemas of a registry, and there is none")
	case s.Framing == FramingSingleObject && len(s.Writers) == 0:
		return errors.New("records name schemas by fingerprint, and none is known")
	case s.Framing == FramingNone && len(s.Writers) != 1:
		return fmt.Errorf("records do not name their schema, so there must be one, not %d", len(s.Writers))
	case s.Framing > FramingNone:
		return fmt.Errorf("unknown framing %d", s.Framing)
	}
	for _, w := range s.Writers {
		t, fingerprint, err := parse(w, false)
		if err != nil {
			return fmt.Errorf("the writer's schema: %w", err)
		}
		if d.only = d.planOf(t); d.only.program == nil && s.Framing == FramingNone {
			return fmt.Errorf("the writer's schema: %s", d.only.fault)
		}
		d.prints[fingerprint] = d.only
	}
	return nil
}

// Fields returns the fields that a source has whose definition names none: those
// of the schema's record, each of the kind that docs/formats.md gives for its
// type.
func Fields(s sources.Schema) ([]feature.SourceField, error) {
	t, _, err := parse(s, false)
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	if t.kind != kindRecord {
		return nil, fmt.Errorf("read the schema: it is %s, not a record", t.kind)
	}
	return fieldsOf(t), nil
}

// Decode appends the rows of recs to dst, whose fields are those that New was
// given. Text in dst points into the records. It blocks while a schema that is
// not known yet is looked up, and fails when that cannot be done now.
func (d *Decoder) Decode(ctx context.Context, dst *feature.Batch, recs []sources.Record) error {
	if !slices.Equal(dst.Fields, d.layout) {
		return fmt.Errorf("decode %d records: the batch has other fields than the decoder", len(recs))
	}
	// All rows are made at once: row by row it takes as long as decoding them.
	row := dst.Rows()
	d.columns(dst, row+len(recs))
	var err error
	for i := range recs {
		origin := feature.Origin{Offset: recs[i].Offset, RecordMillis: recs[i].TimeMillis, Record: int32(i)}
		var f fault
		if f, err = d.decode(ctx, row, &recs[i]); err != nil {
			err = fmt.Errorf("decode the record at offset %d: %w", recs[i].Offset, err)
			break
		}
		if f.reason == "" {
			origin.EventMicros, f = d.eventTime(row, &recs[i])
		}
		if f.reason == "" {
			dst.Origins = append(dst.Origins, origin)
			row++
			continue
		}
		for _, c := range d.run.cols {
			c.SetNull(row)
		}
		dst.Rejects = append(dst.Rejects, feature.Reject{
			Origin: origin, Stage: feature.StageDecode, Reason: f.reason, Message: f.message,
		})
	}
	for i := range dst.Columns {
		dst.Columns[i].Resize(row)
	}
	d.run.data, d.run.frame = nil, nil
	if cap(d.run.scratch) > keptScratchBytes {
		d.run.scratch = nil
	}
	return err
}

// keptScratchBytes is how much a decoder keeps for the next batch beside plans.
const keptScratchBytes = 1 << 20

// columns makes room for rows and lists the columns for the programs.
func (d *Decoder) columns(dst *feature.Batch, rows int) {
	d.run.cols, d.run.arena = d.run.cols[:0], &dst.Arena
	for i := range dst.Columns {
		d.run.cols = append(d.run.cols, &dst.Columns[i])
	}
	if len(d.targets) > len(d.layout) {
		d.hidden.Reset(d.targets[d.eventAt].typ)
		d.run.cols = append(d.run.cols, &d.hidden)
	}
	for _, c := range d.run.cols {
		c.Resize(rows)
	}
}

// decode fills one row.
func (d *Decoder) decode(ctx context.Context, row int, rec *sources.Record) (fault, error) {
	m := &d.run
	m.data, m.at, m.row = rec.Value, 0, row
	m.depth, m.elements = d.limits.MaxDepth, d.limits.MaxElements
	switch {
	case rec.Value == nil:
		return fault{feature.ReasonMalformed, "tombstone"}, nil
	case len(rec.Value) > d.limits.MaxBytes:
		return fault{feature.ReasonTooLarge, "the record has " + strconv.Itoa(len(rec.Value)) +
			" bytes, more than " + strconv.Itoa(d.limits.MaxBytes)}, nil
	}
	p, ok, err := d.plan(ctx)
	m.frame = m.data[:m.at]
	switch {
	case err != nil:
		return fault{}, err
	case !ok:
		return m.fault, nil
	case p.program == nil:
		return fault{feature.ReasonSchema, p.fault}, nil
	case !m.run(p.program):
		return m.fault, nil
	case m.at != len(m.data):
		m.malformed("something follows the record")
		return m.fault, nil
	}
	return fault{}, nil
}

// eventTime returns when the record in row happened: its event time field, or
// the record's time when there is none or it is null.
func (d *Decoder) eventTime(row int, rec *sources.Record) (int64, fault) {
	if d.eventAt >= 0 {
		if c := d.run.cols[d.eventAt]; !c.IsNull(row) {
			return c.Ints[row], fault{}
		}
	}
	const limit = math.MaxInt64 / 1000
	if rec.TimeMillis > limit || rec.TimeMillis < -limit {
		return 0, fault{feature.ReasonTimeRange, "the record time is beyond what microseconds can count"}
	}
	return rec.TimeMillis * 1000, fault{}
}

const (
	confluentBytes    = 5
	singleObjectBytes = 10
)

// plan reads the frame and finds the plan of the schema that it names.
func (d *Decoder) plan(ctx context.Context) (p plan, ok bool, err error) {
	m := &d.run
	switch d.framing {
	case FramingConfluent:
		if len(m.data) < confluentBytes || m.data[0] != 0 {
			return p, m.malformed("no 0 and id of a schema"), nil
		}
		m.at = confluentBytes
		p, err = d.registered(ctx, int32(binary.BigEndian.Uint32(m.data[1:])))
		return p, err == nil, err
	case FramingSingleObject:
		if len(m.data) < singleObjectBytes || m.data[0] != 0xC3 || m.data[1] != 0x01 {
			return p, m.malformed("no C3 01 and fingerprint of a schema"), nil
		}
		m.at = singleObjectBytes
		if p, ok = d.prints[binary.LittleEndian.Uint64(m.data[2:])]; !ok {
			return p, m.refuse(feature.ReasonSchema, "no schema of the record's fingerprint is known"), nil
		}
		return p, true, nil
	case FramingNone:
		// Ten bytes of a plain record that say this by chance are not to be feared.
		if len(m.data) >= singleObjectBytes && m.data[0] == 0xC3 && m.data[1] == 0x01 && d.prints[binary.LittleEndian.Uint64(m.data[2:])] != (plan{}) {
			m.at = singleObjectBytes
		}
	}
	return d.only, true, nil
}

// registered returns the plan of the schema that a registry has as id. That an
// id is unknown is for the registry to remember; all else is kept.
func (d *Decoder) registered(ctx context.Context, id int32) (plan, error) {
	if d.last.plan != (plan{}) && d.last.id == id {
		return d.last.plan, nil
	}
	p, ok := d.plans[id]
	if !ok {
		s, err := d.schemas.Schema(ctx, id)
		if errors.Is(err, sources.ErrUnknownSchema) {
			return plan{fault: err.Error()}, nil
		}
		if err != nil {
			return plan{}, err
		}
		p = d.learn(id, s)
	}
	d.last.id, d.last.plan = id, p
	return p, nil
}

// maxFaultText bounds what a reject tells of a schema that is of no use.
const maxFaultText = 500

// learn makes the plan of a schema and keeps it.
func (d *Decoder) learn(id int32, s sources.Schema) (p plan) {
	if t, _, err := parse(s, false); err != nil {
		p.fault = fmt.Sprintf("schema %d is of no use: %.*s", id, maxFaultText, err)
	} else if p = d.planOf(t); p.program == nil {
		p.fault = fmt.Sprintf("schema %d is of no use: %s", id, p.fault)
	}
	if len(d.plans) >= d.limits.MaxPlans {
		for other := range d.plans { // any one; it costs compiling it again
			delete(d.plans, other)
			break
		}
	}
	d.plans[id] = p
	return p
}
