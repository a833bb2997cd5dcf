package feature

import (
	"slices"
	"time"
)

// SourceKind says where a source's rows come from.
type SourceKind uint8

// The source kinds.
const (
	SourceKafka SourceKind = iota
	SourcePush
	SourceRequest
)

// StartAt says where a group without offsets begins on a topic.
type StartAt struct {
	Latest bool          // at the end; otherwise, with Back zero, at the start
	Back   time.Duration // this far back from now
}

// Format is what the values of a source's records are written in.
type Format string

// The formats.
const (
	FormatJSON     Format = "json"
	FormatAvro     Format = "avro"
	FormatProtobuf Format = "protobuf"
)

// Envelope is what surrounds an event in the values of a source's records.
type Envelope string

// The envelopes.
const (
	EnvelopeNone        Envelope = "none"
	EnvelopeCloudEvents Envelope = "cloudevents" // version 1.0, binary or structured mode
	EnvelopeDebezium    Envelope = "debezium"    // a change event: its row after, or a delete
)

// TombstonePolicy says what a record without a value does.
type TombstonePolicy uint8

// The policies.
const (
	TombstoneDelete TombstonePolicy = iota // it is a row marked deleted
	TombstoneIgnore
	TombstoneDeadLetter
)

// SourceSchema is the schema that a source was declared with: where it is
// found, and what was found there. Records may be written with others.
type SourceSchema struct {
	// One of Subject, in the schema registry; File, an Avro schema; and
	// Descriptors, a Protobuf descriptor set: files of the definitions folder.
	Subject, File, Descriptors string
	Message                    string // of Protobuf: its full name; "" takes the one that records name

	// What was found. `apply` pins it, so every process reads the same.
	ID         int32  // in the registry; 0 for files
	Text       []byte // Avro or .proto text, or the bytes of a descriptor set
	References []SchemaReference
}

// SchemaReference is a schema that another one refers to.
type SchemaReference struct {
	Name string // as it is referred to: a type's full name, or an imported file
	Text string
}

// SourceField is a field that a source declares.
type SourceField struct {
	Field
	Path     string        // dotted path in the record's value; defaults to the name
	Unit     time.Duration // of an integer timestamp; 0 means RFC 3339 text
	Optional bool          // a request may leave it out
	Quoted   bool          // a number that JSON may write as a string
	Header   string        // the record's header that it is read from, instead of the value
	Key      bool          // it is read from the record's key; all of it, or what Path names in it
	Of       []SourceField // of a list of records, for Unnest: the fields of an element; the type is list<json>
}

// EventTimestamp is the member of a finished row that carries its event time,
// whatever the source calls it.
const EventTimestamp = "event_timestamp"

// Source is where records come from.
type Source struct {
	Meta
	Name             string
	Kind             SourceKind
	Topic            string // of a kafka source, or of a push source that has one
	Start            StartAt
	Format           Format
	Schema           *SourceSchema // of Avro and Protobuf; nil for JSON
	Envelope         Envelope
	OnTombstone      TombstonePolicy
	Fields           []SourceField
	EventTime        string // field that carries the event time; "" is the record's own time
	EventID          string // field with the producer's id of the event, which windows count once; "" when there is none
	TransformOnWrite bool   // of records that do not say: raw, or else finished rows
	Pushed           bool   // rows may come through the API: a push source, or a kafka source that says so
}

// Flat returns s as rows look that come through the API: JSON objects of all
// fields by their names, with nothing around them. Elements of a list of
// records are by their names, too.
func (s *Source) Flat() *Source {
	flat := *s
	flat.Format, flat.Schema, flat.Envelope = FormatJSON, nil, EnvelopeNone
	flat.Fields = flatFields(s.Fields)
	return &flat
}

func flatFields(fields []SourceField) []SourceField {
	flat := slices.Clone(fields)
	for i := range flat {
		f := &flat[i]
		f.Path, f.Header, f.Key = "", "", false
		f.Of = flatFields(f.Of)
	}
	return flat
}

// Field returns the declared field of that name.
func (s *Source) Field(name string) (SourceField, bool) {
	for _, f := range s.Fields {
		if f.Name == name {
			return f, true
		}
	}
	return SourceField{}, false
}

// FeatureRef names one feature that a service serves, or an output of a model.
type FeatureRef struct {
	View    string            // a view, an on-demand view or a model
	Feature string            // of it, its output, or the name that an output of a model has in the view
	As      string            // alias of the view in answers; "" is the view's name
	Keys    map[string]string // join key -> request column, when it differs
}

// Service is a named set of features served together, in order.
type Service struct {
	Meta
	Name     string
	Features []FeatureRef
}
