package sinktest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"millrace/sinks"
)

func metaContracts() []contract {
	return []contract{
		{"EntryIsAddedReplacedAndRemoved", entryLife},
		{"TablesAreApart", tablesApart},
		{"EntriesAreListedInOrder", entriesOrdered},
		{"OneOfManySwapsWins", oneWinner},
		{"SwapsCountWithoutLoss", noLostSwap},
		{"MetaValuesAreCopies", metaCopies},
	}
}

func swap(t *testing.T, s Store, id string, old, value []byte, want bool) {
	t.Helper()
	got, err := s.Swap(t.Context(), sinks.MetaRoles, id, old, value)
	if err != nil || got != want {
		t.Fatalf("Swap(%q -> %q) = %v, %v, want %v", old, value, got, err, want)
	}
}

func entry(t *testing.T, s Store, id, want string) {
	t.Helper()
	got, err := s.Get(t.Context(), sinks.MetaRoles, id)
	if want == "" && !errors.Is(err, sinks.ErrNoEntry) {
		t.Fatalf("Get = %q, %v, want ErrNoEntry", got, err)
	}
	if want != "" && (err != nil || string(got) != want) {
		t.Fatalf("Get = %q, %v, want %q", got, err, want)
	}
}

func entryLife(t *testing.T, s Store) {
	id := fresh("id")
	entry(t, s, id, "")
	swap(t, s, id, []byte("one"), []byte("two"), false)
	swap(t, s, id, []byte("one"), nil, false)
	entry(t, s, id, "")
	swap(t, s, id, nil, []byte("one"), true)
	swap(t, s, id, nil, []byte("other"), false)
	swap(t, s, id, []byte("on"), []byte("other"), false)
	entry(t, s, id, "one")
	swap(t, s, id, []byte("one"), []byte("two ünïcödé"), true)
	entry(t, s, id, "two ünïcödé")
	swap(t, s, id, []byte("one"), nil, false)
	swap(t, s, id, []byte("two ünïcödé"), nil, true)
	entry(t, s, id, "")
	swap(t, s, id, nil, []byte("again"), true)
	entry(t, s, id, "again")
}

func tablesApart(t *testing.T, s Store) {
	id := fresh("id")
	for _, table := range sinks.MetaTables() {
		if ok, err := s.Swap(t.Context(), table, id, nil, []byte(table)); err != nil || !ok {
			t.Fatalf("Swap in %s = %v, %v", table, ok, err)
		}
	}
	for _, table := range sinks.MetaTables() {
		got, err := s.Get(t.Context(), table, id)
		if err != nil || string(got) != string(table) {
			t.Errorf("%s holds %q, %v", table, got, err)
		}
		if ok, err := s.Swap(t.Context(), table, id, []byte(table), nil); err != nil || !ok { // others read the whole table
			t.Errorf("Swap in %s = %v, %v", table, ok, err)
		}
	}
}

func entriesOrdered(t *testing.T, s Store) {
	prefix := fresh("id")
	ids := []string{"", "/", "10", "2", "Z", "a", "a/b", "ä", "\uffff", "\U0001f511"}
	for _, i := range []int{3, 9, 1, 0, 7, 8, 2, 6, 5, 4} {
		swap(t, s, prefix+ids[i], nil, []byte("value of "+ids[i]), true)
	}
	all, err := s.List(t.Context(), sinks.MetaRoles)
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	if !slices.IsSortedFunc(all, func(a, b sinks.MetaEntry) int { return strings.Compare(a.ID, b.ID) }) {
		t.Error("entries are not ordered by id")
	}
	all = slices.DeleteFunc(all, func(e sinks.MetaEntry) bool { return !strings.HasPrefix(e.ID, prefix) })
	if len(all) != len(ids) {
		t.Fatalf("%d entries, want %d", len(all), len(ids))
	}
	for i, e := range all {
		if e.ID != prefix+ids[i] || string(e.Value) != "value of "+ids[i] {
			t.Errorf("entry %d is %q: %q", i, e.ID, e.Value)
		}
	}
}

func oneWinner(t *testing.T, s Store) {
	id := fresh("id")
	var old []byte
	for round := range 3 {
		const racers = 6
		var winner atomic.Int32
		var wg sync.WaitGroup
		for i := range racers {
			wg.Go(func() {
				ok, err := s.Swap(t.Context(), sinks.MetaEpochs, id, old, fmt.Appendf(nil, "round %d racer %d", round, i))
				if err != nil {
					t.Errorf("Swap: %v", err)
				}
				if ok && !winner.CompareAndSwap(0, int32(i+1)) {
					t.Errorf("round %d has a second winner", round)
				}
			})
		}
		wg.Wait()
		now, err := s.Get(t.Context(), sinks.MetaEpochs, id)
		if want := fmt.Sprintf("round %d racer %d", round, winner.Load()-1); err != nil || string(now) != want {
			t.Fatalf("the entry is %q, %v, want %q", now, err, want)
		}
		old = now
	}
}

// noLostSwap counts up from several goroutines, each repeating its swap until
// it wins: a lost or doubled swap shows in the sum.
func noLostSwap(t *testing.T, s Store) {
	const counters, each = 4, 5
	id := fresh("id")
	swap(t, s, id, nil, []byte("0"), true)
	var wg sync.WaitGroup
	for range counters {
		wg.Go(func() {
			for won := 0; won < each; {
				ok, err := increment(t, s, id)
				if err != nil {
					t.Errorf("increment: %v", err)
					return
				}
				if ok {
					won++
				}
			}
		})
	}
	wg.Wait()
	entry(t, s, id, strconv.Itoa(counters*each))
}

func increment(t *testing.T, s Store, id string) (bool, error) {
	now, err := s.Get(t.Context(), sinks.MetaRoles, id)
	if err != nil {
		return false, err
	}
	n, err := strconv.Atoi(string(now))
	if err != nil {
		return false, err
	}
	return s.Swap(t.Context(), sinks.MetaRoles, id, now, strconv.AppendInt(nil, int64(n+1), 10))
}

func metaCopies(t *testing.T, s Store) {
	id := fresh("id")
	var l lent
	if ok, err := s.Swap(t.Context(), sinks.MetaRoles, id, nil, l.bytes([]byte("value"))); err != nil || !ok {
		t.Fatalf("Swap = %v, %v", ok, err)
	}
	l.take()
	got, err := s.Get(t.Context(), sinks.MetaRoles, id)
	if err != nil || !bytes.Equal(got, []byte("value")) {
		t.Fatalf("Get = %q, %v", got, err)
	}
	clear(got)
	entry(t, s, id, "value")
}
