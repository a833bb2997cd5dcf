// Package push is writing through the API: a request becomes rows, a row
// becomes a record, and records are stored at once or put on their source's
// topic, where the lane takes the very same records in. It knows no transport,
// no store and no broker.
//
// Invariant: nothing is dropped after a success: what was answered as stored is
// durable and readable, what has a receipt is on the log. A row is refused
// before anything of its request is stored or published, or alone where the
// caller asked for that.
package push

import (
	"context"
	"errors"

	"millrace/feature"
	"millrace/serving"
)

// Names and values of the headers that records of pushed rows carry; they are
// those of package sources.
const (
	HeaderTransformOnWrite = "transform_on_write"
	HeaderView             = "millrace-view"
	HeaderFormat           = "millrace-format"
	HeaderTo               = "millrace-to"
	HeaderWait             = "millrace-wait"
	FormatFields           = "fields"
)

// Header is one header of a Row.
type Header struct {
	Key   string
	Value []byte
}

// Row is one pushed row as a record: its value is a flat JSON object of the
// source's fields by name, or a finished row, as its headers say.
type Row struct {
	Key, Value []byte // entity key; nil until it is known
	Headers    []Header
	Millis     int64 // record time
}

// Applier makes of rows what a lane would, and stores them.
type Applier interface {
	// Apply takes rows of a source in, for one of its views or, with view "", for
	// all. Nothing is stored yet. It keeps rows and what they point to until the
	// Applied is closed. It returns soon after ctx ends and is safe for
	// concurrent use.
	Apply(ctx context.Context, source, view string, rows []Row) (Applied, error)
}

// Applied is rows that were taken in. It belongs to one goroutine, which closes
// it.
type Applied interface {
	// Verdict says what becomes of the rows; it holds until Close.
	Verdict() *Verdict
	// Store stores the rows and returns when they are durable and readable by
	// every process. An error means that some may be missing; to store them
	// again is harmless.
	Store(ctx context.Context) error
	Close()
}

// Verdict is what becomes of rows.
type Verdict struct {
	Ends   []End              // parallel to the rows
	Keys   []string           // entity keys, parallel to the rows; "" without one
	Faults []serving.RowFault // by row; several of one row, maybe
	Views  []serving.PushEnds
}

// End is what becomes of a row: it is stored if any view stores it, else
// rejected if any rejects it, else filtered. A Late row counts as rejected,
// for its windows pass it over and say so; what its view stores of it by itself
// is stored all the same.
type End uint8

// The ends.
const (
	Filtered End = iota
	Stored
	Rejected
	Late
)

// Topic is a source's log, and how far the group that ingests it has come. Its
// methods block until they are done or ctx ends, and are safe for concurrent
// use.
type Topic interface {
	// Publish appends rows, keyed by entity key, acknowledged by all in-sync
	// replicas, and returns where each of them is, parallel to rows. On error
	// some may have been appended.
	Publish(ctx context.Context, source string, rows []Row) ([]Position, error)
	// Await returns once the group has committed beyond every position, or when
	// ctx ends with its error.
	Await(ctx context.Context, source string, at []Position) error
	// Passed reports how many of the positions the group has committed beyond
	// now. An error that wraps ErrOtherTopic says that they are of a topic that
	// is no more.
	Passed(ctx context.Context, source string, at []Position) (int, error)
	// Letters returns the dead letters of these positions.
	Letters(ctx context.Context, source string, at []Position) ([]Refusal, error)
}

// Position is where a row is on its topic.
type Position struct {
	TopicID   [16]byte
	Partition int32
	Offset    int64
	Millis    int64 // record time, whose day its dead letter is filed under
}

// Refusal is a dead letter of one of several positions.
type Refusal struct {
	At      int // index among the positions
	Element int32
	View    string
	Reason  feature.Reason
	Message string
}

// ErrOverloaded is wrapped by errors of Publish that appended nothing because
// too much is on its way to the brokers.
var ErrOverloaded = errors.New("try again soon")

// ErrOtherTopic is wrapped by errors about positions of a topic that was deleted,
// be it that another one has its name.
var ErrOtherTopic = errors.New("the topic was deleted since")
