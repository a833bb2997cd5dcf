package window

import (
	"errors"

	"millrace/feature"
)

// Outcome says what became of a value.
type Outcome uint8

// The outcomes; with all but OutcomeValue the row is null.
const (
	OutcomeNull  Outcome = iota // nothing to aggregate, or the value is null
	OutcomeValue                // status PRESENT
	OutcomeError                // status ERROR: the result has no representation
)

// ErrFormat is wrapped by errors of bytes that no writer wrote.
var ErrFormat = errors.New("not a tile")

// aggregate is the state of one Spec. Merge is given one of the same Spec and
// leaves it as it is.
type aggregate interface {
	update(c *feature.Column, row int, at *Position)
	merge(from aggregate)
	finalize(s *Spec, dst *feature.Column, row int) Outcome
	append(b []byte) []byte
	decode(r *reader) // into an empty one
	reset()           // empty, keeping storage
	memory() int      // bytes, about
}

// State is one aggregate's state.
type State struct {
	spec *Spec
	agg  aggregate
}

// NewState returns the empty state of s, which Result accepts. s is kept.
func NewState(s *Spec) State {
	return State{spec: s, agg: newAggregate(s)}
}

func newAggregate(s *Spec) aggregate {
	switch s.Kind {
	case KindCount:
		return &count{}
	case KindCountDistinct:
		return &distinct{of: s.Of}
	case KindSum, KindAvg:
		if s.IsInteger() {
			return &intSum{}
		}
		return &floatSum{}
	case KindVarPop, KindStddevPop:
		return &variance{}
	case KindMin:
		return &extreme{of: s.Of, sign: -1}
	case KindMax:
		return &extreme{of: s.Of, sign: 1}
	case KindFirst:
		return &edge{of: s.Of, sign: -1}
	case KindLast:
		return &edge{of: s.Of, sign: 1}
	case KindLastN:
		return &lastN{of: s.Of, n: s.N, distinct: s.Distinct}
	case KindTopK:
		return &topK{of: s.Of, limit: s.topCounters()}
	case KindQuantile:
		return &quantile{}
	case KindInvalid:
	}
	return &count{}
}

// Update counts row of c, or the row itself when c is nil (count without of).
// c has the type Spec.Of, and Spec.Check accepted the row.
func (s State) Update(c *feature.Column, row int, at *Position) { s.agg.update(c, row, at) }

// UpdateRun counts the rows from, from+1, … until to; at is parallel to them.
func (s State) UpdateRun(c *feature.Column, from, to int, at []Position) {
	for row := from; row < to; row++ {
		s.agg.update(c, row, &at[row-from])
	}
}

// Merge adds what from counted, which has an equal Spec, and leaves from as it
// is.
func (s State) Merge(from State) { s.agg.merge(from.agg) }

// Finalize writes the aggregate into a row of dst, of type Spec.Result.
func (s State) Finalize(dst *feature.Column, row int) Outcome {
	dst.SetNull(row)
	return s.agg.finalize(s.spec, dst, row)
}

// Reset empties the state and keeps its storage.
func (s State) Reset() { s.agg.reset() }

// stateFormat is the version of every state's bytes.
const stateFormat = 1

// AppendState writes the state.
func (s State) AppendState(b []byte) []byte {
	return s.agg.append(append(b, stateFormat))
}

// Decode replaces the state by what AppendState wrote; b is not kept. After an
// error the state is empty.
func (s State) Decode(b []byte) error { return s.decode(new(reader), b) }

// decode is Decode with a reader of the caller's, which would escape.
func (s State) decode(r *reader, b []byte) error {
	s.agg.reset()
	if len(b) == 0 || b[0] != stateFormat {
		return s.formatError()
	}
	*r = reader{b: b, at: 1}
	s.agg.decode(r)
	if r.bad || r.left() > 0 {
		s.agg.reset()
		return s.damagedError()
	}
	return nil
}

// MemoryBytes is about how much memory the state holds.
func (s State) MemoryBytes() int { return s.agg.memory() }

// maxStateBytes bounds what AppendState writes.
func (s *Spec) maxStateBytes() int {
	switch s.Kind {
	case KindCount:
		return 1 + 8
	case KindCountDistinct:
		return 1 + 1 + maxHLLBytes
	case KindSum, KindAvg:
		return 1 + 8 + 16 + 1
	case KindVarPop, KindStddevPop:
		return 1 + 8 + 32 + 1
	case KindMin, KindMax:
		return 1 + 1 + maxValue(s.Of)
	case KindFirst, KindLast:
		return 1 + 1 + positionBytes + maxValue(s.Of)
	case KindLastN:
		return 1 + 2 + s.N*(positionBytes+maxValue(s.Of))
	case KindTopK:
		return 1 + 10 + 2 + s.topCounters()*(10+1+8+2) + maxTopText
	case KindQuantile:
		// A count takes six bytes to 2^42, more events than a tile's offsets are.
		return 1 + 4*10 + 2*8 + 2*(4+2+maxBins*6)
	case KindInvalid:
	}
	return 0
}
