package feature

import "time"

// Meta is what every named definition may carry for people.
type Meta struct {
	Description string
	Owner       string
	Tags        map[string]string
}

// Entity is the thing that features describe.
type Entity struct {
	Meta
	Name     string
	JoinKeys []Field
}

// Phase says which half of a view's plan computes a feature.
type Phase uint8

// The phases.
const (
	PhaseWrite Phase = iota
	PhaseRead
)

// String returns "write" or "read".
func (p Phase) String() string {
	if p == PhaseRead {
		return "read"
	}
	return "write"
}

// Feature is one named, typed value of a view.
type Feature struct {
	Meta
	Name    string
	Expr    string // SQL scalar expression over the source's fields and other features
	Type    Type   // inferred from Expr by the compiler
	At      Phase
	Default *Column // nil, or one row of Type that is served for null, missing and expired
}

// JoinKeyExpr computes one join key of a view's entity.
type JoinKeyExpr struct {
	JoinKey string
	Expr    string
}

// NullKeyPolicy says what becomes of a row without an entity key.
type NullKeyPolicy uint8

// The policies.
const (
	NullKeyDeadLetter NullKeyPolicy = iota
	NullKeyFilter
)

// TTLMode says what a read does with a value older than its view's TTL.
type TTLMode uint8

// The modes.
const (
	TTLEnforce TTLMode = iota // status OUTSIDE_MAX_AGE, value null
	TTLReport                 // status OUTSIDE_MAX_AGE, value served
	TTLIgnore                 // as if it had no TTL
)

// View is a feature view: features of one entity from one source.
type View struct {
	Meta
	Name      string
	Entity    string
	Source    string
	Keys      []JoinKeyExpr // one per join key, in the entity's order
	OnNullKey NullKeyPolicy
	Where     string        // "" keeps every row
	TTL       time.Duration // how long a stored value may be served; 0 for ever
	TTLMode   TTLMode
	Expire    time.Duration // after how long the store may delete a row, from arrival; 0 never
	Features  []Feature

	Revision   uint16 // of the view's logic; orders rows, see Sequence
	Generation uint32 // of the view's stored data
	Began      uint16 // revision with which the generation began; 0 is the first
}

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

// SourceField is a field that a source declares.
type SourceField struct {
	Field
	Path     string        // dotted path in the record; defaults to the name
	Unit     time.Duration // of an integer timestamp; 0 means RFC 3339 text
	Optional bool          // a request may leave it out
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
	Format           string // "json"
	Fields           []SourceField
	EventTime        string // field that carries the event time; "" is the record's own time
	TransformOnWrite bool   // of records that do not say: raw, or else finished rows
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

// FeatureRef names one feature that a service serves.
type FeatureRef struct {
	View    string // a view or an on-demand view
	Feature string
	As      string            // alias of the view in answers; "" is the view's name
	Keys    map[string]string // join key -> request column, when it differs
}

// Service is a named set of features served together, in order.
type Service struct {
	Meta
	Name     string
	Features []FeatureRef
}
