package sinktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sinks/rowcodec"
)

func cellContracts() []contract {
	return []contract{
		{"CellKeepsTheGreatestRowInEveryOrder", greatestInEveryOrder},
		{"ReplaysChangeNothing", replaysChangeNothing},
		{"DeletesAreOrderedLikeRows", deletesInEveryOrder},
		{"ExtremeStampsAreOrdered", extremeStamps},
		{"ViewsOfOneEntityAreApart", viewsApart},
		{"NeighbouringNamesAreApart", namesApart},
		{"EmptyAndUnusualKeys", unusualKeys},
		{"LargestValue", largestValue},
		{"ManyRowsInOneWrite", manyRows},
		{"EmptyCalls", emptyCalls},
		{"MissingCellsAreNil", missingCells},
		{"RepeatedKeysAreAnswered", repeatedKeys},
		{"SetIsReused", setIsReused},
		{"EqualRowsHaveEqualHashes", equalHashes},
		{"CallersBuffersAreFreeAfterWrite", borrowedRows},
		{"RowsThatExpireAreReadBefore", expiringRows},
		{"EndedContextIsAnError", endedContext},
	}
}

// greatestInEveryOrder writes four rows to one cell in all 24 orders: two
// stamps, equal stamps decided by bytes, one value a prefix of another.
func greatestInEveryOrder(t *testing.T, s Store) {
	entity := fresh("entity")
	rows := []sinks.Row{
		row(entity, "", "v@1", -5, "zzz"),
		row(entity, "", "v@1", 7, "b"),
		row(entity, "", "v@1", 7, "ba"),
		row(entity, "", "v@1", 7, "b\xff"),
	}
	n := 0
	permute(rows, func(order []sinks.Row) {
		key := fmt.Sprintf("order%d", n)
		n++
		for i := range order {
			r := order[i]
			r.Key = key
			write(t, s, r)
		}
		expect(t, key, read(t, s, entity, key, "v@1"), "b\xff")
	})
}

// permute calls fn with every order of rows; fn must not keep them.
func permute[T any](rows []T, fn func([]T)) {
	var step func(k int)
	step = func(k int) {
		if k == len(rows) {
			fn(rows)
			return
		}
		for i := k; i < len(rows); i++ {
			rows[k], rows[i] = rows[i], rows[k]
			step(k + 1)
			rows[k], rows[i] = rows[i], rows[k]
		}
	}
	step(0)
}

func replaysChangeNothing(t *testing.T, s Store) {
	entity := fresh("entity")
	history := []sinks.Row{
		row(entity, "k", "v@1", 1, "first"), row(entity, "k", "v@1", 3, "third"), row(entity, "k", "v@1", 2, "second"),
	}
	for range 3 {
		for _, r := range history {
			write(t, s, r)
		}
		expect(t, "after the history", read(t, s, entity, "k", "v@1"), "third")
	}
}

// deletesInEveryOrder writes rows and deletes of one entity, encoded as they
// are in production, in all orders: the later event counts, and of one
// millisecond the later record, whichever of the two is the delete.
func deletesInEveryOrder(t *testing.T, s Store) {
	entity := fresh("entity")
	at := func(offset, micros int64, deleted bool) sinks.Row {
		o := feature.Origin{Offset: offset, EventMicros: micros, RecordMillis: micros / 1000, Deleted: deleted}
		rows := feature.Rows{View: &feature.View{Revision: 1}, Stored: new(feature.Stored), Origins: []feature.Origin{o}}
		return row(entity, "", "v@1", micros, string(rowcodec.AppendRow(nil, &rows, 0)))
	}
	const ms = 1000
	for name, history := range map[string][]sinks.Row{ // the last row counts
		"re-insert in the same millisecond": {at(1, ms, false), at(2, ms, true), at(3, ms, false)},
		"delete in the same millisecond":    {at(1, ms, false), at(2, ms, false), at(3, ms, true)},
		"a delete that is older":            {at(7, ms, true), at(2, 2*ms, false)},
		"a delete that is older, late":      {at(2, ms, true), at(1, 2*ms, false)},
		"re-insert":                         {at(1, ms, false), at(2, 2*ms, true), at(3, 3*ms, false)},
		"delete":                            {at(1, ms, false), at(2, 2*ms, true)},
		"equal":                             {at(1, ms, true), at(1, ms, true)},
	} {
		want, n := history[len(history)-1].Value, 0
		permute(slices.Clone(history), func(order []sinks.Row) {
			key := fmt.Sprintf("%s %d", name, n)
			n++
			for _, r := range order {
				r.Key = key
				write(t, s, r)
			}
			if got := read(t, s, entity, key, "v@1"); !bytes.Equal(got, want) {
				t.Errorf("%s: cell is %x, want %x", key, got, want)
			}
		})
	}
}

func extremeStamps(t *testing.T, s Store) {
	entity := fresh("entity")
	stamps := []int64{sinks.MinStamp, -1_000_000, -1, 0, 1, 1_700_000_000_000_000, sinks.MaxStamp}
	for i, stamp := range stamps {
		value := fmt.Sprintf("at %d", stamp)
		write(t, s, row(entity, "up", "v@1", stamp, value))
		expect(t, "rising stamps", read(t, s, entity, "up", "v@1"), value)
		write(t, s, row(entity, "down", "v@1", stamps[len(stamps)-1-i], value))
	}
	expect(t, "falling stamps", read(t, s, entity, "down", "v@1"), fmt.Sprintf("at %d", int64(sinks.MinStamp)))
}

func viewsApart(t *testing.T, s Store) {
	entity := fresh("entity")
	write(t, s,
		row(entity, "k", "a@1", 5, "a1"), row(entity, "k", "b@1", -5, "b1"), row(entity, "k", "c@1", 5, "c1"),
		row(entity, "l", "a@1", 5, "la"))
	write(t, s, row(entity, "k", "a@1", 4, "older"), row(entity, "k", "b@1", 6, "b2"))
	got := readAll(t, s, entity, []string{"k", "l"}, []string{"c@1", "b@1", "a@1", "d@1"})
	for i, want := range []string{"c1", "b2", "a1", "", "", "", "la", ""} {
		expect(t, fmt.Sprintf("cell %d", i), got[i], want)
	}
}

// namesApart writes names that a careless concatenation would confuse.
func namesApart(t *testing.T, s Store) {
	base := fresh("e")
	cells := [][3]string{
		{base, "ab", "c"},
		{base, "a", "bc"},
		{base + "a", "b", "c"},
		{base, "abc", "v"},
		{base, "a\x00b", "c"},
		{base, "a", "b\x00c"},
		{base, "", "abc"},
		{base + "\x00", "a", "bc"},
		{base, "\x00a", "bc"},
		{base, "ab\xf4\x8f\xbf\xbf", "c"},
	}
	rows := make([]sinks.Row, len(cells))
	for i, c := range cells {
		rows[i] = row(c[0], c[1], c[2], int64(i), fmt.Sprintf("cell %d", i))
	}
	write(t, s, rows...)
	for i, c := range cells {
		expect(t, fmt.Sprintf("names %d", i), read(t, s, c[0], c[1], c[2]), fmt.Sprintf("cell %d", i))
	}
}

func unusualKeys(t *testing.T, s Store) {
	entity := fresh("entity")
	keys := []string{
		"", "|", `a\|b|c\\`, "Ünïcödé|鍵|🔑", "e\u0301", "\u00e9", "'; drop table latest; --", "\n\t ", "-9223372036854775808",
		strings.Repeat("k", 4096),
	}
	rows := make([]sinks.Row, len(keys))
	for i, k := range keys {
		rows[i] = row(entity, k, "v@1", 1, fmt.Sprintf("key %d", i))
	}
	write(t, s, rows...)
	for i, got := range readAll(t, s, entity, keys, []string{"v@1"}) {
		expect(t, fmt.Sprintf("key %d", i), got, fmt.Sprintf("key %d", i))
	}
}

func largestValue(t *testing.T, s Store) {
	entity := fresh("entity")
	value := bytes.Repeat([]byte{0, 1, 0xfe, 0xff}, sinks.MaxRowBytes/4)
	write(t, s, sinks.Row{Entity: entity, Key: "k", View: "v@1", Value: value})
	if got := read(t, s, entity, "k", "v@1"); !bytes.Equal(got, value) {
		t.Errorf("read %d bytes, wrote %d", len(got), len(value))
	}
}

func manyRows(t *testing.T, s Store) {
	const n = 5000
	entity := fresh("entity")
	rows, keys := make([]sinks.Row, n), make([]string, n/2)
	for i := range n {
		rows[i] = row(entity, strconv.Itoa(i/2), fmt.Sprintf("v%d@1", i%2), int64(i), fmt.Sprintf("row %d", i))
		keys[i/2] = rows[i].Key
	}
	write(t, s, rows...)
	for i, got := range readAll(t, s, entity, keys, []string{"v0@1", "v1@1"}) {
		if want := fmt.Sprintf("row %d", i); string(got) != want {
			t.Fatalf("cell %d is %q, want %q", i, got, want)
		}
	}
}

func emptyCalls(t *testing.T, s Store) {
	write(t, s)
	if err := s.Put(t.Context(), nil); err != nil {
		t.Errorf("Put of no letters: %v", err)
	}
	if err := s.Sync(t.Context()); err != nil {
		t.Errorf("Sync of nothing: %v", err)
	}
	readAll(t, s, "entity", nil, []string{"v@1"})
	readAll(t, s, "entity", []string{"k"}, nil)
}

func missingCells(t *testing.T, s Store) {
	entity := fresh("entity")
	write(t, s, row(entity, "there", "v@1", 1, "value"))
	for i, got := range readAll(t, s, entity, []string{"", "there", "there", "there "}, []string{"v@1", "v@2"}) {
		want := ""
		if i == 2 || i == 4 { // "there" is asked for twice
			want = "value"
		}
		expect(t, fmt.Sprintf("cell %d", i), got, want)
	}
	expect(t, "another entity", read(t, s, entity+"x", "there", "v@1"), "")
}

func repeatedKeys(t *testing.T, s Store) {
	entity := fresh("entity")
	write(t, s, row(entity, "k", "v@1", 1, "value"))
	for _, got := range readAll(t, s, entity, []string{"k", "k", "k"}, []string{"v@1", "v@1"}) {
		expect(t, "repeated", got, "value")
	}
}

func setIsReused(t *testing.T, s Store) {
	entity := fresh("entity")
	write(t, s, row(entity, "k", "v@1", 1, "value"))
	var set sinks.CellSet
	for _, keys := range [][]string{{"k", "none", "k"}, {"none"}, {"none", "k"}} {
		if err := s.ReadCells(t.Context(), entity, keys, []string{"v@1"}, &set); err != nil {
			t.Fatalf("ReadCells: %v", err)
		}
		for i, k := range keys {
			if (set.Values[i] != nil) != (k == "k") {
				t.Errorf("keys %q: cell %d is %q", keys, i, set.Values[i])
			}
		}
	}
}

func borrowedRows(t *testing.T, s Store) {
	entity := fresh("entity")
	var l lent
	rows := []sinks.Row{
		{Entity: l.text(entity), Key: l.text("k"), View: l.text("v@1"), Stamp: 1, Value: l.bytes([]byte("value"))},
		{Entity: l.text(entity), Key: l.text("k"), View: l.text("w@1"), Stamp: 1, Value: l.bytes([]byte("other"))},
	}
	write(t, s, rows...)
	l.take()
	clear(rows)
	expect(t, "first view", read(t, s, entity, "k", "v@1"), "value")
	expect(t, "second view", read(t, s, entity, "k", "w@1"), "other")
}

func expiringRows(t *testing.T, s Store) {
	entity := fresh("entity")
	for stamp, value := range []string{"first", "second"} {
		r := row(entity, "k", "v@1", int64(stamp), value)
		r.Expire = time.Hour
		write(t, s, r)
	}
	long := row(entity, "long", "v@1", 1, "kept")
	long.Expire = math.MaxInt64
	write(t, s, long)
	expect(t, "the newer one", read(t, s, entity, "k", "v@1"), "second")
	expect(t, "the longest expiry", read(t, s, entity, "long", "v@1"), "kept")
}

func endedContext(t *testing.T, s Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var set sinks.CellSet
	calls := map[string]error{
		"Write":     s.Write(ctx, []sinks.Row{row(fresh("entity"), "k", "v@1", 1, "value")}),
		"Put":       s.Put(ctx, []sinks.Letter{letter(fresh("source"), 1)}),
		"ReadCells": s.ReadCells(ctx, "entity", []string{"k"}, []string{"v@1"}, &set),
		"EachLetter": s.EachLetter(ctx, sinks.LetterFilter{Source: fresh("source")}, func(*sinks.Letter) bool {
			return true
		}),
	}
	_, calls["Get"] = s.Get(ctx, sinks.MetaRoles, "id")
	_, calls["List"] = s.List(ctx, sinks.MetaRoles)
	_, calls["Swap"] = s.Swap(ctx, sinks.MetaRoles, fresh("id"), nil, []byte("{}"))
	for name, err := range calls {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s after its context ended: %v, want context.Canceled", name, err)
		}
	}
}
