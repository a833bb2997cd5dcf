// Package sinks is the contract of where rows go: the online store seen from
// the writing side, its dead letters, its raw cells and its conditional
// metadata.
//
// Invariant: of two rows written to one cell the one with the greater
// (Stamp, Value) stays, in whatever order and however often they are written,
// by whichever writer, in every implementation.
package sinks

import (
	"bytes"
	"context"
	"errors"
	"time"

	"millrace/feature"
)

// Row is one cell to be written: the finished row of one entity and view.
type Row struct {
	Entity string
	Key    string // entity key, as feature.AppendKey writes it
	View   string // stored name, view@generation
	Stamp  int64  // event time in microseconds: the store's write timestamp
	Value  []byte // encoded row; begins with its feature.Sequence
	Expire time.Duration
}

// Newer reports whether r replaces old in their common cell.
func (r *Row) Newer(old *Row) bool {
	if r.Stamp != old.Stamp {
		return r.Stamp > old.Stamp
	}
	return bytes.Compare(r.Value, old.Value) > 0
}

// Bounds of what a store accepts; rows beyond them are row faults and are
// found before a store sees them.
const (
	MaxRowBytes = 1 << 20
	// MinStamp and MaxStamp bound the event times a store can order by: a write
	// timestamp is a signed 64-bit count of microseconds and stores keep its
	// lowest value for "none".
	MinStamp = -(1 << 62)
	MaxStamp = 1<<62 - 1
)

// Sink is an online store seen by the pipeline.
type Sink interface {
	// Write makes every row durable to the extent that Sync then completes. It
	// blocks until all are acknowledged, until ctx ends, or until it gives up;
	// an error means that some rows may be missing and that the whole call is
	// to be repeated, which is harmless. rows and what they point to are the
	// caller's again on return. Rows name distinct cells. Concurrent calls are
	// allowed.
	Write(ctx context.Context, rows []Row) error
	// Sync returns when everything that Write acknowledged before the call
	// would survive a crash of this process and machine. Stores that are
	// durable at Write return at once.
	Sync(ctx context.Context) error
}

// Encoder turns finished rows into the bytes that stores keep. It belongs to
// one goroutine.
type Encoder interface {
	// Encode appends one Row per row of rows to dst and row faults to
	// rows.Rejects. What it appends points into dst.
	Encode(dst *Buffer, rows *feature.Rows)
}

// Buffer collects encoded rows of a micro-batch; it owns their bytes. It is
// reused between fills.
type Buffer struct {
	Rows    []Row
	Origins []feature.Origin // parallel to Rows
	Arena   feature.Arena
}

// Reset empties b.
func (b *Buffer) Reset() {
	b.Rows, b.Origins = b.Rows[:0], b.Origins[:0]
	b.Arena.Reset()
}

// DeadLetter keeps refused rows where people find them.
type DeadLetter interface {
	// Put stores letters; writing one twice is writing it once. It blocks like
	// Sink.Write and has its durability. letters and what they point to are
	// the caller's again on return.
	Put(ctx context.Context, letters []Letter) error
}

// Cells reads raw cells back.
type Cells interface {
	// ReadCells fills dst with the values of every (key, view). It reads each
	// key once. Missing cells are nil.
	ReadCells(ctx context.Context, entity string, keys, views []string, dst *CellSet) error
}

// CellSet is the answer of ReadCells, reused between reads.
type CellSet struct {
	Values [][]byte // len(keys) × len(views), row by row; nil where absent
}

// Reset empties s for n keys and m views.
func (s *CellSet) Reset(n, m int) {
	s.Values = append(s.Values[:0], make([][]byte, n*m)...)
}

// ErrUnavailable is wrapped by errors of a store that cannot answer now.
var ErrUnavailable = errors.New("store unavailable")
