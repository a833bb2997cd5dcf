// Package sources is the contract of where records come from.
//
// Invariant: a source delivers the records of a partition in offset order,
// and never commits a partition after it told the handler that it was revoked.
package sources

import (
	"context"
	"encoding/hex"

	"millrace/feature"
)

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Headers of records that say what is in them.
const (
	// HeaderTransformOnWrite says "true" for a raw record and "false" for a
	// finished row; without it the source decides.
	HeaderTransformOnWrite = "transform_on_write"
	// HeaderView names the view that a record is for. A finished row needs it
	// where the source feeds several; a raw record without it is for all.
	HeaderView = "millrace-view"
	// HeaderFormat says FormatFields of a record whose value is one JSON object
	// of the source's fields by their names, whatever the source's format. It
	// counts for sources that can be pushed to.
	HeaderFormat = "millrace-format"
	// HeaderTo says ToOffline of a record that is on the log for others and is
	// not to be stored; ToOnline and ToBoth change nothing.
	HeaderTo = "millrace-to"
	// HeaderWait, whatever its value, says that somebody waits for the record:
	// its lane's mark is committed soon after it has its end.
	HeaderWait = "millrace-wait"
)

// Values of HeaderFormat and HeaderTo.
const (
	FormatFields = "fields"
	ToOnline     = "online"
	ToOffline    = "offline"
	ToBoth       = "online_and_offline"
)

// Record is one message as received. Its bytes belong to the source's client
// and are never written to; they live as long as somebody holds the Record.
type Record struct {
	Key, Value []byte // nil Value is a tombstone
	Headers    []Header
	Offset     int64
	TimeMillis int64 // the log's time of the record
}

// recordOverheadBytes is what a Record costs beside its key, value and headers.
const recordOverheadBytes = 96

// Bytes returns roughly how much memory r holds; budgets count with it.
func (r *Record) Bytes() int {
	n := recordOverheadBytes + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value) + 40
	}
	return n
}

// Partition names one partition of a topic.
type Partition struct {
	Topic  string
	Number int32
}

// TopicID is the broker's identity of a topic: a topic deleted and created
// again has another one. Zero when the broker tells none.
type TopicID [16]byte

// Hex is the id in hexadecimal digits, as it is recorded.
func (id TopicID) Hex() string { return hex.EncodeToString(id[:]) }

// Assignment is what is known of a partition when it is given to us.
type Assignment struct {
	Partition
	TopicID   TopicID
	Committed int64  // next offset to read as the group committed it; -1 without one
	Metadata  string // what the commit carried
	LogStart  int64  // first offset the log still holds
	LogEnd    int64  // offset that the next record will get
	Begin     int64  // where the source's `start:` puts a group without offsets

	Partitions int32 // of the topic; 0 when nobody knows
}

// Start is the handler's answer to an Assignment.
type Start struct {
	Partition
	Offset int64
	Hold   bool // deliver nothing until Resume names the partition
}

// Fetch is records of one partition, in offset order.
type Fetch struct {
	Partition
	Records []Record // handed over: the source does not touch the slice again
	LogEnd  int64    // high watermark as of this fetch; lag is counted from it
	Expired int64    // offsets before Records that the log dropped undelivered
	// Err is set, with no records, when the log lost records that the group was
	// to read: what would follow must not be used. Nothing more of the
	// partition is delivered until Resume.
	Err error
}

// Mark says that every record of a partition below Offset has reached its end.
type Mark struct {
	Partition
	Offset   int64
	Metadata string
}

// KeepPosition is the offset for Resume that means "where delivery stopped".
const KeepPosition = -1

// Source delivers records of partitions that a group shares out.
type Source interface {
	// Run delivers until ctx ends or the source fails for good, then gives all
	// partitions back (h.Revoked is called for them) and returns; nil when ctx
	// ended it. It is called once.
	Run(ctx context.Context, h Handler) error
	// Resume reopens a partition that Deliver reported full or Assigned held,
	// at offset `at` or at KeepPosition. It never blocks, may be called from
	// any goroutine, and ignores partitions that are not assigned.
	Resume(p Partition, at int64)
	// Commit stores marks for the group and returns when the broker has them.
	// It blocks until then or until ctx ends. The caller guarantees that no
	// mark names a partition for which Revoked returned or Lost was called.
	Commit(ctx context.Context, marks []Mark) error
}

// Handler takes what a Source delivers. Its calls are serial.
type Handler interface {
	// Assigned announces new partitions and answers where each begins. It may
	// block, for a load from the store; ctx ends when the source stops. An
	// error makes the source give up with it.
	Assigned(ctx context.Context, as []Assignment) ([]Start, error)
	// Deliver hands records over and never blocks. True asks the source to
	// deliver no more of this partition until Resume.
	Deliver(f Fetch) (full bool)
	// Revoked asks to finish or drop what was delivered of ps, and to commit.
	// When it returns, no later Commit may name ps. ctx carries the deadline.
	Revoked(ctx context.Context, ps []Partition)
	// Lost says that ps are owned by somebody else already: drop them, do not
	// commit.
	Lost(ps []Partition)
}

// Decoder turns records into rows of a source. It belongs to one goroutine.
type Decoder interface {
	// Decode appends the rows of recs to dst, in order; Origin.Record is the
	// index in recs. A record about which something definite is wrong becomes
	// a reject in dst and does not disturb its neighbours. An error means that
	// nothing can be said now (a schema registry is away); dst is then to be
	// reset and the call repeated later. dst may alias the records' bytes.
	Decode(ctx context.Context, dst *feature.Batch, recs []Record) error
}
