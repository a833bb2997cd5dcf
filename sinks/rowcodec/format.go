// Package rowcodec is the byte format of a finished row: what writers put into
// a cell of the online store and what readers take out of it
// (docs/format/row.md draws it byte by byte).
//
// Invariant: a value begins with its feature.Sequence, so at equal event times
// comparing values as bytes compares sequences; and whatever bytes a reader is
// given, it answers the values that were written or an error, never a panic
// and never an invented value.
package rowcodec

import (
	"errors"

	"millrace/feature"
)

// Format is the version of the layout that AppendRow writes.
const Format = 1

// Where the parts of the header begin. The body follows it: null bitmap,
// fixed-width section, ends and bytes of the variable-width values.
const (
	atFormat    = feature.SequenceBytes
	atFlags     = atFormat + 1
	atPartition = atFlags + 1
	atSchema    = atPartition + 4
	atEventTime = atSchema + 4
	headerBytes = atEventTime + 8
)

// endBytes is the size of one end offset and of a list's element count.
const endBytes = 4

// originKindMask covers the flags that say how a row came in: 0 is a record of
// a log, the rest is reserved for other ways.
const originKindMask = feature.RowFlags(0b110)

// knownFlags are the flags that this version understands.
const knownFlags = feature.RowDeleted | originKindMask

// ErrCorrupt is wrapped by errors about stored bytes that no encoder wrote.
var ErrCorrupt = errors.New("corrupt row")

// ErrFormat is wrapped by errors about rows that a later version wrote.
var ErrFormat = errors.New("unknown row format")

// width returns how many bytes a value of t takes in a fixed-width section; 0
// means that it is of variable width.
func width(t feature.Type) int {
	if t.IsList() {
		return 0
	}
	switch t.Kind {
	case feature.KindBool:
		return 1
	case feature.KindInt32, feature.KindFloat32:
		return 4
	case feature.KindInt64, feature.KindTimestamp, feature.KindFloat64:
		return 8
	case feature.KindString, feature.KindBytes, feature.KindJSON, feature.KindInvalid:
	}
	return 0
}

// bitmapBytes returns how many bytes hold n bits.
func bitmapBytes(n int) int { return (n + 7) >> 3 }
