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

	Aggregate *Aggregate // nil, or what makes it a windowed feature: at read, without Expr
}

// Aggregate is what a windowed feature computes: of which values, of which rows,
// over which time.
type Aggregate struct {
	Kind      string        // count, sum, …: the names of transforms/window
	Of        string        // expression at write; "" counts rows
	Filter    string        // expression at write; "" keeps every row
	Window    time.Duration // how far back from the read; 0 with Unlimited
	Unlimited bool          // over everything, as one tile
	Hop       time.Duration // span of a tile; 0 takes the default of Window
	Offset    time.Duration // how long before the read the window ends
	N         int           // last_n
	K         int           // top_k
	Q         float64       // quantile
	Distinct  bool          // last_n
}

// LatePolicy says what becomes of a row that comes too late for windows. What a
// view stores of a row by itself is stored all the same.
type LatePolicy uint8

// The policies.
const (
	LateDrop LatePolicy = iota
	LateDeadLetter
)

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

	AllowedLateness time.Duration // how old a row may be at its record's time for windows to count it; 0 takes the default
	Late            LatePolicy
	Rekey           bool // rows go through a topic of their own, keyed by entity, before windows count them

	Revision   uint16 // of the view's logic; orders rows, see Sequence
	Generation uint32 // of the view's stored data
	Began      uint16 // revision with which the generation began; 0 is the first
	Changed    int64  // catalog version that brought the revision; given by apply, 0 before
}

// Feed names what the view's rows come from: its source, or, of a rekeyed view,
// the source of the copies that are made for it.
func (v *View) Feed() string {
	if v.Rekey {
		return v.Source + "/" + v.Name
	}
	return v.Source
}
