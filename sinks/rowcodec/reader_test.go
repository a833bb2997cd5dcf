package rowcodec_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sinks/rowcodec"
)

// oneRow is a stored row with one column of each shape, and its schema.
func oneRow(t testing.TB) ([]byte, *feature.Stored) {
	t.Helper()
	st := &feature.Stored{ID: 9, Columns: []feature.StoredColumn{
		{Name: "trips", Type: feature.Of(feature.KindInt64), Since: 1},
		{Name: "ok", Type: feature.Of(feature.KindBool), Since: 1},
		{Name: "tier", Type: feature.Of(feature.KindString), Since: 1},
		{Name: "tags", Type: feature.ListOf(feature.Of(feature.KindString)), Since: 1},
		{Name: "pair", Type: feature.Type{Kind: feature.KindBool, Depth: 1, Length: 2}, Since: 1},
	}}
	rows := newRows(st, 1)
	rows.Columns[0].SetInt(0, 42)
	rows.Columns[1].SetBool(0, true)
	rows.Columns[2].SetString(0, "gold")
	tags := rows.Columns[3].Elems
	for _, tag := range []string{"a", "bc"} {
		tags.SetString(tags.AppendNull(), tag)
	}
	rows.Columns[3].SetList(0, 0)
	pair := rows.Columns[4].Elems
	pair.SetBool(pair.AppendNull(), true)
	pair.AppendNull()
	rows.Columns[4].SetList(0, 0)
	return slices.Clone(encodeAll(t, rows).Rows[0].Value), st
}

func TestColumnThatTheRowWasStoredWithoutIsMissing(t *testing.T) {
	value, st := oneRow(t)
	got, err := read(schemas{9: st}, [][]byte{value}, []feature.StoredColumn{
		{Name: "trips", Type: feature.Of(feature.KindInt64), Since: 2},
		st.Columns[0],
		{Name: "trips", Type: feature.Of(feature.KindInt32), Since: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	for c, missing := range []bool{true, false, true} {
		if got.Missing[c].Get(0) != missing || got.Columns[c].IsNull(0) != missing {
			t.Errorf("column %d: missing %v, null %v", c, got.Missing[c].Get(0), got.Columns[c].IsNull(0))
		}
	}
}

func TestAbsentAndDeletedRowsAreNotFound(t *testing.T) {
	value, st := oneRow(t)
	deleted := slices.Clone(value[:36])
	deleted[19] = byte(feature.RowDeleted)
	got, err := read(schemas{9: st}, [][]byte{nil, deleted, value}, st.Columns)
	if err != nil {
		t.Fatal(err)
	}
	if got.Found.Get(0) || got.Found.Get(1) || !got.Found.Get(2) {
		t.Errorf("found %v %v %v", got.Found.Get(0), got.Found.Get(1), got.Found.Get(2))
	}
	if got.Origins[0] != (feature.StoredOrigin{}) || got.Origins[1].Flags != feature.RowDeleted {
		t.Errorf("origins %+v and %+v", got.Origins[0], got.Origins[1])
	}
	if !got.Columns[0].IsNull(1) || got.Columns[0].Ints[2] != 42 {
		t.Error("the deleted row has a value, or its neighbour lost its own")
	}
}

func TestRowsOfSeveralSchemasInOneRead(t *testing.T) {
	value, st := oneRow(t)
	older := &feature.Stored{ID: 10, Columns: []feature.StoredColumn{st.Columns[2]}}
	rows := newRows(older, 1)
	rows.Columns[0].SetString(0, "tin")
	old := encodeAll(t, rows).Rows[0].Value
	got, err := read(schemas{9: st, 10: older}, [][]byte{value, old, value}, st.Columns[:3])
	if err != nil {
		t.Fatal(err)
	}
	if s := got.Columns[2].Strings; s[0] != "gold" || s[1] != "tin" || s[2] != "gold" {
		t.Errorf("tiers %q", s)
	}
	if !got.Missing[0].Get(1) || got.Missing[0].Get(0) || got.Missing[0].Get(2) {
		t.Error("the column that only the newer schema has is missing in the wrong rows")
	}
}

func TestEachViewOfAQueryGetsItsOwnAnswer(t *testing.T) {
	value, st := oneRow(t)
	q := query(1, st.Columns[:1])
	q.Views = append(q.Views,
		feature.ViewQuery{View: "other@1", Columns: st.Columns[2:3]}, feature.ViewQuery{View: "none@1"})
	dst := make([]feature.Loaded, 3)
	r := rowcodec.NewReader(cells{[][]byte{value, value, nil}}, schemas{9: st})
	if err := r.Read(t.Context(), q, dst); err != nil {
		t.Fatal(err)
	}
	if dst[0].Columns[0].Ints[0] != 42 || dst[1].Columns[0].Strings[0] != "gold" || dst[2].Found.Get(0) {
		t.Errorf("answers %+v", dst)
	}
}

func TestAnswersOutliveTheStoresMemory(t *testing.T) {
	value, st := oneRow(t)
	got, err := read(schemas{9: st}, [][]byte{value}, st.Columns)
	if err != nil {
		t.Fatal(err)
	}
	clear(value)
	if got.Columns[2].Strings[0] != "gold" || got.Columns[3].Elems.Strings[1] != "bc" {
		t.Error("strings point into what the store returned")
	}
}

func TestDamagedRowsAreNamed(t *testing.T) {
	value, st := oneRow(t)
	const fixed = 36 + 1 + 9 // header, null bitmap, trips and ok
	at := func(i int, b byte) func([]byte) []byte {
		return func(v []byte) []byte { v[i] = b; return v }
	}
	for _, c := range []struct {
		name   string
		damage func([]byte) []byte
		want   error
		text   string
	}{
		{"empty", func([]byte) []byte { return []byte{} }, rowcodec.ErrCorrupt, "fewer than its header"},
		{"cut in the header", func(v []byte) []byte { return v[:35] }, rowcodec.ErrCorrupt, "fewer than its header"},
		{"of a later format", at(18, 2), rowcodec.ErrFormat, "format 2"},
		{"with unknown flags", at(19, 0x80), rowcodec.ErrCorrupt, "flags 0x80"},
		{"deleted, with a body", at(19, 1), rowcodec.ErrCorrupt, "deleted"},
		{"of an unknown schema", at(24, 8), sinks.ErrNoEntry, "stored schema 8"},
		{"cut in the fixed part", func(v []byte) []byte { return v[:fixed] }, rowcodec.ErrCorrupt, "fixed part"},
		{"cut at the end", func(v []byte) []byte { return v[:len(v)-1] }, rowcodec.ErrCorrupt, "last value ends"},
		{"with a byte too many", func(v []byte) []byte { return append(v, 0) }, rowcodec.ErrCorrupt, "last value ends"},
		{"with nulls beyond its columns", at(36, 0x20), rowcodec.ErrCorrupt, "nulls beyond"},
		{"with a bool of 2", at(36+1+8, 2), rowcodec.ErrCorrupt, "column ok"},
		{"with ends that go back", at(fixed+4, 3), rowcodec.ErrCorrupt, "column tags"},
		{"with an end outside", at(fixed, 0xff), rowcodec.ErrCorrupt, "column tier"},
		{"with a count that lies", at(fixed+12+4+3, 0xff), rowcodec.ErrCorrupt, "column tags"},
		{"with an element outside", at(fixed+12+4+5, 0xff), rowcodec.ErrCorrupt, "element 0"},
		{"with bytes behind a list's elements", at(fixed+12+4+9, 2), rowcodec.ErrCorrupt, "end at 2 of 3"},
		{"with a fixed list too short", at(len(value)-7, 1), rowcodec.ErrCorrupt, "column pair"},
	} {
		_, err := read(schemas{9: st}, [][]byte{c.damage(slices.Clone(value))}, st.Columns)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "driver_trips@1") {
			t.Errorf("a row %s: %v, want %v naming the view and %q", c.name, err, c.want, c.text)
		}
	}
}

func TestDamageOutsideTheWantedColumnsIsNotLookedAt(t *testing.T) {
	value, st := oneRow(t)
	value[36+1+8] = 2 // the bool
	got, err := read(schemas{9: st}, [][]byte{value}, st.Columns[:1])
	if err != nil || got.Columns[0].Ints[0] != 42 {
		t.Errorf("trips = %v, %v", got.Columns[0].Ints, err)
	}
}

func TestReaderTellsSetsOfColumnsApart(t *testing.T) {
	value, st := oneRow(t)
	r, dst := rowcodec.NewReader(cells{[][]byte{value}}, schemas{9: st}), make([]feature.Loaded, 1)
	want := []feature.StoredColumn{st.Columns[0], st.Columns[2]}
	for range 2 { // the second time in the same storage, turned round
		if err := r.Read(t.Context(), query(1, want), dst); err != nil {
			t.Fatal(err)
		}
		for c := range want {
			isTier := want[c].Name == "tier"
			if isTier && dst[0].Columns[c].Strings[0] != "gold" || !isTier && dst[0].Columns[c].Ints[0] != 42 {
				t.Fatalf("column %s holds another's value", want[c].Name)
			}
		}
		slices.Reverse(want)
	}
}

type brokenCells struct{ err error }

func (c brokenCells) ReadCells(context.Context, string, []string, []string, *sinks.CellSet) error {
	return c.err
}

func TestFailuresOfTheStorePass(t *testing.T) {
	_, st := oneRow(t)
	dst := make([]feature.Loaded, 1)
	err := rowcodec.NewReader(brokenCells{sinks.ErrUnavailable}, schemas{}).Read(t.Context(), query(1, st.Columns), dst)
	if !errors.Is(err, sinks.ErrUnavailable) {
		t.Errorf("store away: %v", err)
	}
	if err := rowcodec.NewReader(brokenCells{}, schemas{}).Read(t.Context(), query(1, st.Columns), dst); err == nil {
		t.Error("a store that answers too few cells passed")
	}
	if err := rowcodec.NewReader(cells{}, schemas{}).Read(t.Context(), query(1, st.Columns), nil); err == nil {
		t.Error("an answer without room for the views passed")
	}
}

func TestReaderServesManyQueriesAtOnce(t *testing.T) {
	value, st := oneRow(t)
	r := rowcodec.NewReader(cells{[][]byte{value}}, schemas{9: st})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			dst := make([]feature.Loaded, 1)
			for i := range 200 {
				// More sets of columns than are remembered.
				want := []feature.StoredColumn{st.Columns[2], {Name: "x", Type: feature.Of(feature.KindBool), Since: uint16(w*200 + i)}}
				if err := r.Read(context.Background(), query(1, want), dst); err != nil || dst[0].Columns[0].Strings[0] != "gold" {
					t.Errorf("read: %v", err)
				}
			}
		})
	}
	wg.Wait()
}
