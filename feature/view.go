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

// Unnest makes one row per element of a list of records.
type Unnest struct {
	Field string // of the source; declared with Of
	As    string // the name by which expressions mean an element: As.sku
}

// View is a feature view: features of one entity from one source.
type View struct {
	Meta
	Name      string
	Entity    string
	Source    string
	Keys      []JoinKeyExpr // one per join key, in the entity's order
	Unnest    *Unnest       // nil: one row per record
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
