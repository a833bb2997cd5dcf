// Package rekey makes the copies that go to a topic keyed by entity: one for
// each entity key that a record has rows of.
//
// Invariant: every record that is for the view has exactly one first copy, and
// at most one copy for a key. Nothing is refused or left out here: the lane
// that reads the copies gives every row its end.
package rekey

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"millrace/feature"
	"millrace/pipeline"
	"millrace/sources"
)

// Maker makes copies for one view. It belongs to one goroutine.
type Maker struct {
	route *pipeline.Route
	sides [3]side // raw records, those that are JSON of the fields' names, finished rows
	found []found
	seen  map[occurrence]struct{}
}

// Places in Maker.sides.
const (
	raw = iota
	fields
	finished
)

// side decodes one kind of records.
type side struct {
	decoder sources.Decoder
	keyer   pipeline.Keyer
	fields  []feature.Field
	batch   feature.Batch
	records []sources.Record
	index   []int32 // of each among all
}

// found is what is known of one record.
type found struct {
	elsewhere bool // it is for another view alone
	keys      []string
}

// occurrence is a key of a record.
type occurrence struct {
	record int32
	key    string
}

// New returns a Maker for the view of a route of copies.
func New(r *pipeline.Route) *Maker {
	v, shape := &r.Views[0], &r.Shapes[r.Views[0].Shape]
	m := &Maker{route: r, seen: make(map[occurrence]struct{})}
	m.sides[raw] = side{decoder: shape.NewDecoder(), keyer: r.Copies.NewKeyer(), fields: shape.Fields}
	m.sides[finished] = side{decoder: v.Finished.NewDecoder(), keyer: r.Copies.NewFinishedKeyer(), fields: v.Finished.Fields}
	if r.Pushed {
		m.sides[fields] = side{decoder: shape.NewFields(), keyer: r.Copies.NewKeyer(), fields: shape.Fields}
	}
	return m
}

// Copies appends to dst the copies of records of a partition, in their order;
// their keys are entity keys. Of a record none of whose rows has a key there is
// one copy, keyed by where the record was. Values and headers are shared with
// recs. An error means that nothing can be said now (a schema registry is
// away): dst is unchanged then, and the call is to be repeated.
func (m *Maker) Copies(ctx context.Context, from sources.Partition, recs []sources.Record, dst []sources.Record) ([]sources.Record, error) {
	m.sort(recs)
	for i := range m.sides {
		if err := m.look(ctx, &m.sides[i], from.Number); err != nil {
			return dst, err
		}
	}
	for i := range recs {
		if !m.found[i].elsewhere {
			dst = appendCopies(dst, from, &recs[i], m.found[i].keys)
		}
	}
	return dst, nil
}

// sort divides recs by what decodes them. Those that are refused by their
// headers, or filtered, are not asked for keys.
func (m *Maker) sort(recs []sources.Record) {
	m.found = append(m.found[:0], make([]found, len(recs))...)
	clear(m.seen)
	for i := range m.sides {
		m.sides[i].reset()
	}
	for i := range recs {
		course, refused := m.route.Course(&recs[i])
		switch {
		case refused != nil:
		case course.View == pipeline.Elsewhere:
			m.found[i].elsewhere = true
		case course.Offline:
		case course.Finished:
			m.sides[finished].add(recs[i], i)
		case course.Fields:
			m.sides[fields].add(recs[i], i)
		default:
			m.sides[raw].add(recs[i], i)
		}
	}
}

func (s *side) reset() {
	clear(s.records) // lets go of the client's memory
	s.records, s.index = s.records[:0], s.index[:0]
}

func (s *side) add(r sources.Record, i int) {
	s.records, s.index = append(s.records, r), append(s.index, int32(i))
}

// look finds the different keys of the records of one side.
func (m *Maker) look(ctx context.Context, s *side, partition int32) error {
	if len(s.records) == 0 {
		return nil
	}
	s.batch.Reset(s.fields, partition)
	if err := s.decoder.Decode(ctx, &s.batch, s.records); err != nil {
		return fmt.Errorf("decode records to find their entity keys: %w", err)
	}
	for row, key := range s.keyer.Keys(&s.batch) {
		o := occurrence{s.index[s.batch.Origins[row].Record], key}
		if _, again := m.seen[o]; again || key == "" {
			continue
		}
		m.seen[o] = struct{}{}
		f := &m.found[o.record]
		f.keys = append(f.keys, key)
	}
	return nil
}

func appendCopies(dst []sources.Record, from sources.Partition, r *sources.Record, keys []string) []sources.Record {
	c := sources.Copy{Partition: from, Offset: r.Offset, TimeMillis: r.TimeMillis, Key: r.Key, First: true}
	if len(keys) == 0 {
		place := from.Topic + "/" + strconv.Itoa(int(from.Number)) + "/" + strconv.FormatInt(r.Offset, 10)
		return append(dst, sources.Record{Key: []byte(place), Value: r.Value, Headers: c.Pack(r.Headers)})
	}
	c.Others = slices.Sorted(slices.Values(keys[1:]))
	dst = append(dst, sources.Record{Key: []byte(keys[0]), Value: r.Value, Headers: c.Pack(r.Headers)})
	c.First, c.Others = false, nil
	rest := c.Pack(r.Headers)
	for _, key := range keys[1:] {
		dst = append(dst, sources.Record{Key: []byte(key), Value: r.Value, Headers: rest})
	}
	return dst
}
