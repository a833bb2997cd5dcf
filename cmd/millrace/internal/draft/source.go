// Package draft writes the definition of a source from what its topic holds.
//
// Invariant: a draft passes `millrace check`, and no value of a record is in
// it: only names of fields, of headers and of schemas.
package draft

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"millrace/feature"
	"millrace/sources"
)

// Source is a drafted source.
type Source struct {
	Name     string
	Topic    string
	Format   feature.Format
	Subject  string // of Avro and Protobuf
	Message  string // of Protobuf, when it is not the first of its file
	Envelope feature.Envelope
	Fields   []Field
	Notes    []string // for the person who reads it

	EventTime string
}

// Field is a drafted field. What embeds says is what a definition says.
type Field struct {
	feature.SourceField

	Note   string
	steady bool // every record has it, and it is not null
}

// errNothing is returned when there is nothing to draft from.
var errNothing = errors.New("there are no records to see fields in; produce some, or give --from earliest")

// FromJSON drafts a source of the JSON in records.
func FromJSON(name, topic string, records []sources.Record) (*Source, error) {
	s := &Source{Name: name, Topic: topic, Format: feature.FormatJSON}
	o := observe(records)
	if o.total == 0 {
		return nil, fmt.Errorf("draft a source of topic %s: %w", topic, errNothing)
	}
	if o.root.objects == 0 {
		return nil, fmt.Errorf("draft a source of topic %s: none of %d records is a JSON object, nor begins as a schema registry frames records; "+
			"for plain Avro or Protobuf write format: and schema: {file: …} or {descriptors: …}", topic, o.total)
	}
	s.notef("Drafted from %d records of topic %s. Keep the fields that views use; the rest of a record is skipped.", o.total, topic)
	if bad := o.total - o.root.objects; bad > 0 {
		s.notef("%d of them are not JSON objects and would be dead letters.", bad)
	}
	if o.tombstones > 0 {
		s.notef("%d more have no value: they delete, unless on_tombstone: says ignore or dead_letter.", o.tombstones)
	}
	s.Envelope = o.envelope
	f := &flattener{s: s, names: make(map[string]bool), total: o.root.objects}
	f.keys(o)
	f.headers(o)
	f.members(o.event(), nil)
	s.Notes = append(s.Notes, f.notes...)
	s.Fields = append(s.Fields, f.fields...)
	if len(s.Fields) == 0 {
		return nil, fmt.Errorf("draft a source of topic %s: its records have no members that a field could be", topic)
	}
	s.pickEventTime()
	return s, nil
}

func (s *Source) notef(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

// timeNames are names of event times, the likeliest first, as words without
// anything between them.
var timeNames = []string{
	"eventtime", "eventtimestamp", "eventts", "occurredat", "happenedat", "timestamp", "ts", "time", "at", "datetime",
	"completedat", "finishedat", "endedat", "createdat", "created", "updatedat", "updated", "modifiedat",
}

func timeRank(f *Field) int {
	name := f.Path
	if name == "" {
		name = f.Name
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	if i := slices.Index(timeNames, strings.Join(words(last), "")); i >= 0 {
		return i
	}
	return len(timeNames)
}

// pickEventTime chooses the likeliest field for the event time.
func (s *Source) pickEventTime() {
	var found []*Field
	for i := range s.Fields {
		if f := &s.Fields[i]; f.Type == feature.Of(feature.KindTimestamp) {
			found = append(found, f)
		}
	}
	slices.SortStableFunc(found, func(a, b *Field) int {
		if a.steady != b.steady {
			return map[bool]int{true: -1, false: 1}[a.steady]
		}
		return cmp.Compare(timeRank(a), timeRank(b))
	})
	own := map[feature.Envelope]string{
		feature.EnvelopeCloudEvents: "the event's own time", feature.EnvelopeDebezium: "the change's own time",
	}[s.Envelope]
	switch {
	case own != "":
		s.notef("Without event_time: it is %s.", own)
		return
	case len(found) == 0 || !found[0].steady:
		s.notef("No field is a time in every record, so the event time is the record's own; event_time: NAME makes it a field's.")
		return
	}
	s.EventTime = found[0].Name
	var others []string
	for _, f := range found[1:] {
		others = append(others, f.Name)
	}
	if len(others) > 0 {
		s.notef("The event time is a guess; other fields that are times: %s.", strings.Join(others, ", "))
	}
}

var unitNames = map[time.Duration]string{time.Second: "s", time.Millisecond: "ms", time.Microsecond: "us", time.Nanosecond: "ns"}
