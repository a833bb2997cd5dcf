package fingerprint

import (
	"bytes"
	"errors"
	"fmt"
)

// Rule is the closed set of reasons for which a stored prediction is not that
// of the inputs just read.
type Rule uint8

// The rules, in the order in which they are looked for.
const (
	Fresh        Rule = iota
	ChangedModel      // how the model takes its inputs, or what its fingerprints are of
	ChangedViews      // another view is read, or one no longer
	ChangedGeneration
	ChangedRead // defaults, expressions at read or on demand, ttl
	ChangedRow
	NewEvents // a tile is there that was not, or was another
	ChangedValues
)

var ruleNames = [...]string{"fresh", "model", "views", "generation", "read", "row", "events", "values"}

// String is the rule as metrics and answers name it.
func (r Rule) String() string {
	if int(r) < len(ruleNames) {
		return ruleNames[r]
	}
	return fmt.Sprintf("rule(%d)", uint8(r))
}

// Verdict says whether a prediction is stale, and why.
type Verdict struct {
	Rule Rule
	View string // of the input that changed; "" where none is to blame
}

// Stale reports whether the inputs are others than those of the prediction.
func (v Verdict) Stale() bool { return v.Rule != Fresh }

// ErrFormat is wrapped by errors about bytes that no Builder of this version
// wrote. A prediction with such a fingerprint is not to be served as fresh.
var ErrFormat = errors.New("fingerprint")

// Compare says whether a prediction that was stored with one fingerprint is
// that of inputs with another. Of tiles only one that was not there, or that was
// another, is a change: those that are gone have slid out of the windows. Both are wholly looked at before
// anything is said about them, and nothing is kept of either. It allocates
// nothing but for errors and verdicts that name a view.
func Compare(stored, current []byte) (Verdict, error) {
	for _, b := range [...][]byte{stored, current} {
		if err := Check(b); err != nil {
			return Verdict{}, err
		}
	}
	switch {
	case bytes.Equal(stored, current):
		return Verdict{}, nil
	case !bytes.Equal(stored[:headBytes], current[:headBytes]):
		return Verdict{Rule: ChangedModel}, nil
	case Mode(stored[1]) == Values:
		return Verdict{Rule: ChangedValues}, nil
	}
	s, c := reader{b: stored, at: headBytes}, reader{b: current, at: headBytes}
	if v := compareViews(&s, &c); v.Stale() {
		return v, nil
	}
	return compareGroups(&s, &c), nil
}

// compareViews reads all views of both, and finds the first that differs.
func compareViews(s, c *reader) Verdict {
	var found Verdict
	inS, inC := s.uvarint(), c.uvarint()
	for range min(inS, inC) {
		x, y := s.view(), c.view()
		if !bytes.Equal(x.name, y.name) {
			name := x.name // the one that only one of the two has
			if bytes.Compare(y.name, name) < 0 {
				name = y.name
			}
			return Verdict{ChangedViews, string(name)}
		}
		if rule := x.differs(&y); rule != Fresh && (found.Rule == Fresh || rule < found.Rule) {
			found = Verdict{rule, string(x.name)}
		}
	}
	switch {
	case inS > inC:
		v := s.view()
		return Verdict{ChangedViews, string(v.name)}
	case inC > inS:
		v := c.view()
		return Verdict{ChangedViews, string(v.name)}
	}
	return found
}

func (x *readView) differs(y *readView) Rule {
	switch {
	case x.generation != y.generation:
		return ChangedGeneration
	case x.read != y.read, (x.kind == NoRow) != (y.kind == NoRow):
		return ChangedRead
	case x.kind != y.kind || !bytes.Equal(x.row, y.row):
		return ChangedRow
	}
	return Fresh
}

// compareGroups looks for a tile that the prediction was not made of. Both are
// ordered, so one pass is enough.
func compareGroups(s, c *reader) Verdict {
	left := s.uvarint()
	var before readGroup
	have := false
	for range c.uvarint() {
		now := c.group()
		for {
			if !have && left > 0 {
				before, have, left = s.group(), true, left-1
			}
			if !have || before.compare(&now) >= 0 {
				break
			}
			have = false // a group that slid out as a whole
		}
		var tiles []byte
		if have && before.compare(&now) == 0 {
			tiles = before.tiles
		}
		if !within(now.tiles, tiles) {
			return Verdict{NewEvents, string(now.view)}
		}
	}
	return Verdict{}
}

// within reports whether all tiles are among others.
func within(tiles, others []byte) bool {
	t, o := reader{b: tiles}, reader{b: others}
	for t.left() > 0 {
		want := t.u64()
		found := false
		for !found && o.left() > 0 {
			other := o.u64()
			if other > want {
				return false
			}
			found = other == want
		}
		if !found {
			return false
		}
	}
	return true
}
