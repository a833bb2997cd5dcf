package feature

import (
	"bytes"
	"encoding/binary"
	"math"
)

// SequenceBytes is the size of a Sequence; a stored row begins with one and
// that layout is frozen for ever (docs/format/row.md).
const SequenceBytes = 18

// MaxElement is the greatest element number a sequence can hold.
const MaxElement = math.MaxUint16

// maxSequenceMillis is the greatest record time that six bytes hold.
const maxSequenceMillis = 1<<48 - 1

// Sequence orders rows of one key that have equal event times: view revision
// (2 bytes), record time in ms (6), offset (8), element (2), big-endian and
// unsigned, so comparing bytes compares fields in that order. A record time
// before the epoch counts as 0, one beyond six bytes as the greatest of them.
type Sequence [SequenceBytes]byte

// NewSequence builds the sequence of a row. o.Element must not exceed
// MaxElement.
func NewSequence(revision uint16, o Origin) Sequence {
	var s Sequence
	// The record time takes the low six bytes of eight; the revision then
	// overwrites the two above them.
	binary.BigEndian.PutUint64(s[0:8], uint64(min(max(o.RecordMillis, 0), maxSequenceMillis)))
	binary.BigEndian.PutUint16(s[0:2], revision)
	binary.BigEndian.PutUint64(s[8:16], uint64(o.Offset))
	binary.BigEndian.PutUint16(s[16:18], uint16(o.Element))
	return s
}

// Revision returns the view revision under which the row was written.
func (s Sequence) Revision() uint16 { return binary.BigEndian.Uint16(s[0:2]) }

// RecordMillis returns the record time.
func (s Sequence) RecordMillis() int64 {
	return int64(binary.BigEndian.Uint64(s[0:8]) & maxSequenceMillis)
}

// Offset returns the record's position in its partition.
func (s Sequence) Offset() int64 { return int64(binary.BigEndian.Uint64(s[8:16])) }

// Element returns the element number within the record.
func (s Sequence) Element() int { return int(binary.BigEndian.Uint16(s[16:18])) }

// Compare orders sequences: negative when s is older than t.
func (s Sequence) Compare(t Sequence) int { return bytes.Compare(s[:], t[:]) }

// PushedPartition is the partition of rows that came through the API instead of
// a log. Their offset is a number that their process gave them.
const PushedPartition int32 = math.MinInt32
