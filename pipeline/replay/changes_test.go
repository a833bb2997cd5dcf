package replay

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"millrace/sinks"
	"millrace/sinks/memory"
)

// teller is a changelog that looks, when it is told, whether the row is stored
// and its letters are not marked yet.
type teller struct {
	t     *testing.T
	store *memory.Store
	err   error
	calls int
	told  map[string]sinks.Change
}

func (l *teller) Publish(_ context.Context, changes []sinks.Change) error {
	l.calls++
	for _, c := range changes {
		for _, v := range c.Views {
			stored := func(r sinks.Row) bool { return r.Key == c.Key && r.View == v.View }
			if v.Row && !slices.ContainsFunc(l.store.Rows(), stored) {
				l.t.Errorf("%s of %s is told and not stored", c.Key, v.View)
			}
		}
		if l.told == nil {
			l.told = make(map[string]sinks.Change)
		}
		l.told[c.Key] = sinks.Change{Entity: c.Entity, Views: slices.Clone(c.Views)}
	}
	return l.err
}

// telling has a view of every version tell what changes.
func telling(t *testing.T, store *memory.Store, s Settings, view string, versions ...int64) (Settings, *teller) {
	t.Helper()
	for _, version := range versions {
		c, err := s.Catalog(t.Context(), version)
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.Routes[0].Views {
			v := &c.Routes[0].Views[i]
			v.Changes = v.View.Name == view
		}
	}
	l := &teller{t: t, store: store}
	s.Changes = l
	return s, l
}

func TestReplayedRowsAreTold(t *testing.T) {
	store, _, s := fill(t, 300) // of seven drivers, all of whose codes were refused
	s, l := telling(t, store, s, "codes", 2)
	l.err = errors.New("down")
	if _, err := Run(t.Context(), s, sinks.LetterFilter{Source: "trips"}); !errors.Is(err, l.err) {
		t.Fatalf("with a changelog that is down: %v", err)
	}
	if n := len(store.Letters()); n != 301 {
		t.Fatalf("%d letters are left of 301: some were marked before their rows were told", n)
	}
	l.err, l.told = nil, nil
	replay(t, s, sinks.LetterFilter{})
	if got := slices.Sorted(maps.Keys(l.told)); !slices.Equal(got, []string{"1", "2", "3", "4", "5", "6", "7"}) {
		t.Errorf("told of %q", got)
	}
	for key, c := range l.told {
		if len(c.Views) != 1 || c.Views[0].View != "codes@1" || !c.Views[0].Row || c.Entity != "driver" {
			t.Errorf("of %s was told %+v", key, c)
		}
	}
	if n := len(store.Letters()); n != 1 {
		t.Errorf("%d letters are left, want the one that nobody can use", n)
	}
}

func TestADryRunAndOtherViewsTellNothing(t *testing.T) {
	store, _, s := fill(t, 20)
	s, l := telling(t, store, s, "fares", 2) // which refused none
	dry := s
	dry.DryRun = true
	replay(t, dry, sinks.LetterFilter{})
	replay(t, s, sinks.LetterFilter{})
	if l.calls != 0 {
		t.Errorf("told of %v", l.told)
	}
}

// countedOnly is a view of windows alone, which stores no row: version 1 cannot
// say whether a code is to be counted that is no number.
const countedOnly = `
  - name: rides
    entity: driver
    source: trips
    features: [{name: n, agg: count, filter: cast(code as bigint) > 0, window: 1m}]
`

// A replay that was killed behind its tiles has not told anybody, and the next
// one counts nothing again: it tells all the same.
func TestWhatIsCountedAlreadyIsTold(t *testing.T) {
	store := new(memory.Store)
	v1 := catalog(t, 1, broken+countedOnly)
	v2 := catalog(t, 2, fixed+strings.ReplaceAll(countedOnly, "cast(code", "try_cast(code"))
	all := []trip{{driver: 3, fare: "5", code: "seven", event: base, record: base + 5}}
	ingest(t, store, v1, 0, records(all, 0))
	s, l := telling(t, store, settings(store, v1, v2), "rides", 2)
	l.err = errors.New("down")
	for range 2 {
		l.told = nil
		_, err := Run(t.Context(), s, sinks.LetterFilter{Source: "trips"})
		if !errors.Is(err, l.err) {
			t.Fatalf("with a changelog that is down: %v", err)
		}
		want := []sinks.ChangedView{{View: "rides@1", EventMicros: base * 1000}}
		if c := l.told["3"]; !slices.Equal(c.Views, want) {
			t.Errorf("told of %+v", l.told)
		}
	}
	for _, r := range store.Rows() {
		if r.View == "rides@1" {
			t.Error("a row of a view of windows alone is stored")
		}
	}
}
