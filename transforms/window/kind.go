package window

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"

	"millrace/feature"
)

// Kind is the closed set of aggregates.
type Kind uint8

// The kinds. Tiles hold these numbers; never renumber them.
const (
	KindInvalid Kind = iota
	KindCount
	KindCountDistinct
	KindSum
	KindAvg
	KindMin
	KindMax
	KindVarPop
	KindStddevPop
	KindFirst
	KindLast
	KindLastN
	KindTopK
	KindQuantile
)

var kindNames = [...]string{
	"invalid", "count", "count_distinct", "sum", "avg", "min", "max", "var_pop", "stddev_pop",
	"first", "last", "last_n", "top_k", "quantile",
}

// String returns the name that definitions use.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("aggregate(%d)", uint8(k))
}

// KindNames lists the aggregates that a definition may write.
func KindNames() []string { return slices.Clone(kindNames[1:]) }

// ParseKind reads the name that definitions use.
func ParseKind(name string) (Kind, bool) {
	i := slices.Index(kindNames[1:], name)
	return Kind(i + 1), i >= 0
}

// Limits of parameters.
const (
	MaxN = 1000 // of last_n
	MaxK = 100  // of top_k
)

// Spec says what is computed of the values of one column.
type Spec struct {
	Kind     Kind
	Of       feature.Type // the zero Type: count of rows
	N        int          // last_n
	K        int          // top_k
	Q        float64      // quantile
	Distinct bool         // last_n: each value once, at its newest place
}

// Result returns the type of the feature, or why there is none and what to
// write instead.
func (s *Spec) Result() (feature.Type, error) {
	if err := s.checkParameters(); err != nil {
		return feature.Type{}, err
	}
	if s.Kind != KindInvalid && s.Kind != KindCount && s.Of.Kind == feature.KindInvalid {
		return feature.Type{}, fmt.Errorf("%s needs a value: write `of:`", s.Kind)
	}
	switch s.Kind {
	case KindCount:
		return feature.Of(feature.KindInt64), nil
	case KindCountDistinct:
		return feature.Of(feature.KindInt64), s.wantScalar("take one element, as in `of: tags[1]`")
	case KindSum:
		if s.IsInteger() {
			return feature.Of(feature.KindInt64), nil
		}
		return feature.Of(feature.KindFloat64), s.wantNumber()
	case KindAvg, KindVarPop, KindStddevPop, KindQuantile:
		return feature.Of(feature.KindFloat64), s.wantNumber()
	case KindMin, KindMax:
		if s.Of.Kind == feature.KindJSON {
			return feature.Type{}, s.refuse("take a value out of it, as in `of: cast(doc->>'$.price' as double)`")
		}
		return s.Of, s.wantScalar("use first, last or last_n, or take one element, as in `of: tags[1]`")
	case KindFirst, KindLast:
		return s.Of, nil
	case KindLastN:
		if s.Of.Depth >= maxListDepth {
			return feature.Type{}, s.refuse("lists nest at most four deep; use last")
		}
		return feature.ListOf(s.Of), nil
	case KindTopK:
		return feature.ListOf(s.Of), s.wantScalar("take one element, as in `of: tags[1]`")
	case KindInvalid:
	}
	return feature.Type{}, fmt.Errorf("unknown aggregate %s; there are %v", s.Kind, KindNames())
}

const maxListDepth = 4

func (s *Spec) checkParameters() error {
	switch {
	case s.Kind == KindLastN && (s.N < 1 || s.N > MaxN):
		return fmt.Errorf("last_n keeps between 1 and %d values, not %d: write `n: 20`", MaxN, s.N)
	case s.Kind != KindLastN && s.N != 0:
		return fmt.Errorf("%s takes no `n`; last_n does", s.Kind)
	case s.Kind != KindLastN && s.Distinct:
		return fmt.Errorf("%s takes no `distinct`; last_n does, and count_distinct counts different values", s.Kind)
	case s.Kind == KindTopK && (s.K < 1 || s.K > MaxK):
		return fmt.Errorf("top_k gives between 1 and %d values, not %d: write `k: 10`", MaxK, s.K)
	case s.Kind != KindTopK && s.K != 0:
		return fmt.Errorf("%s takes no `k`; top_k does", s.Kind)
	case s.Kind == KindQuantile && !(s.Q >= 0 && s.Q <= 1): // NaN, too
		return fmt.Errorf("quantile takes a `q` from 0 to 1, not %v: the 95th percentile is `q: 0.95`", s.Q)
	case s.Kind != KindQuantile && s.Q != 0:
		return fmt.Errorf("%s takes no `q`; quantile does", s.Kind)
	}
	return nil
}

// IsInteger reports whether whole numbers are aggregated.
func (s *Spec) IsInteger() bool {
	return s.Of.Depth == 0 && (s.Of.Kind == feature.KindInt32 || s.Of.Kind == feature.KindInt64)
}

func (s *Spec) wantScalar(instead string) error {
	if s.Of.IsList() {
		return s.refuse(instead)
	}
	return nil
}

func (s *Spec) wantNumber() error {
	switch {
	case s.IsInteger(), s.Of.Layout() == feature.LayoutFloat:
		return nil
	case s.Of.IsList():
		return s.refuse("reduce the list first, as in `of: list_sum(fares)`")
	}
	switch s.Of.Kind {
	case feature.KindBool:
		return s.refuse("use count with a `filter:`")
	case feature.KindTimestamp:
		return s.refuse("use min or max, or seconds, as in `of: epoch(completed_at)`")
	default:
		return s.refuse("convert it, as in `of: cast(fare as double)`")
	}
}

func (s *Spec) refuse(instead string) error {
	return fmt.Errorf("%s of %s is not defined: %s", s.Kind, s.Of, instead)
}

// Hash identifies an aggregate's state: what is aggregated, of which
// expression, over which rows. Windows are no part of it, since windows of one
// hop share a state; k and q are not either, unless they decide what is kept.
// It is stored, so its input never changes meaning.
func (s *Spec) Hash(of, filter string) uint64 {
	b := []byte{1, byte(s.Kind), byte(s.Of.Kind), s.Of.Depth, 0}
	if s.Distinct {
		b[4] = 1
	}
	b = binary.LittleEndian.AppendUint32(b, s.Of.Length)
	b = binary.LittleEndian.AppendUint32(b, uint32(s.N))
	b = binary.LittleEndian.AppendUint32(b, uint32(s.topCounters()))
	b = binary.AppendUvarint(b, uint64(len(of)))
	b = append(b, of...)
	b = append(b, filter...)
	return xxhash.Sum64(b)
}
