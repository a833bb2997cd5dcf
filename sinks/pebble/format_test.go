package pebble

import (
	"bytes"
	"cmp"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/sinks"
)

func genID(t *rapid.T) sinks.LetterID {
	name := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 0xfe, 0xff}), 0, 4)
	number := rapid.SampledFrom([]int32{math.MinInt32, -1, 0, 1, 255, 256, math.MaxInt32})
	return sinks.LetterID{
		Source:    string(name.Draw(t, "source")),
		Partition: number.Draw(t, "partition"),
		Day:       number.Draw(t, "day"),
		Position:  rapid.Int64().Draw(t, "position"),
		Element:   number.Draw(t, "element"),
		View:      string(name.Draw(t, "view")),
	}
}

func compareIDs(a, b *sinks.LetterID) int {
	return cmp.Or(strings.Compare(a.Source, b.Source), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Day, b.Day),
		cmp.Compare(a.Position, b.Position), cmp.Compare(a.Element, b.Element), strings.Compare(a.View, b.View))
}

func TestLetterKeysSortAsTheirIDsAndComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genID(t), genID(t)
		ka, kb := appendLetterKey(nil, &a), appendLetterKey(nil, &b)
		if got, want := bytes.Compare(ka, kb), compareIDs(&a, &b); got != want {
			t.Fatalf("keys compare %d, ids %d", got, want)
		}
		if back, err := parseLetterKey(ka); err != nil || back != a {
			t.Fatalf("parsed %+v, %v, want %+v", back, err, a)
		}
		prefix := letterPrefix(a.Source)
		in := bytes.Compare(kb, prefix) >= 0 && bytes.Compare(kb, after(prefix)) < 0
		if want := a.Source == "" || a.Source == b.Source; in != want {
			t.Fatalf("in the range of the source: %v, want %v", in, want)
		}
	})
}

func FuzzParseLetter(f *testing.F) {
	id := sinks.LetterID{Source: "s\x00", View: "v@1", Position: 5}
	f.Add(appendLetterKey(nil, &id), []byte("\xff\xff\xff\xff\xff\xff\xff\xff{}"))
	f.Add([]byte{tableLetter, 0}, []byte{})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		l, err := parseLetter(key, value)
		if err == nil && !bytes.Equal(appendLetterKey(nil, &l.LetterID), key) {
			t.Errorf("key %x came back as %+v", key, l.LetterID)
		}
	})
}

func TestCellKeysAreDistinct(t *testing.T) {
	name := rapid.StringOfN(rapid.SampledFrom([]rune{0, 1, 2, 'a'}), 0, 3, -1)
	gen := rapid.Custom(func(t *rapid.T) [3]string {
		return [3]string{name.Draw(t, "entity"), name.Draw(t, "key"), name.Draw(t, "view")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		same := bytes.Equal(appendCellKey(nil, a[0], a[1], a[2]), appendCellKey(nil, b[0], b[1], b[2]))
		if same != (a == b) {
			t.Fatalf("%q and %q: same key %v", a, b, same)
		}
	})
}

func genCell(t *rapid.T) []byte {
	cell := make([]byte, headBytes)
	putHead(cell, rapid.SampledFrom([]int64{math.MinInt64, -1, 0, 1, math.MaxInt64}).Draw(t, "stamp"),
		rapid.SampledFrom([]uint64{0, 5, never}).Draw(t, "expiry"))
	return append(cell, rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0xff}), 0, 2).Draw(t, "row")...)
}

// mergeAll merges cells as the database might: newest or oldest first.
func mergeAll(t *rapid.T, cells [][]byte) []byte {
	m, err := merger().Merge(nil, cells[0])
	for _, c := range cells[1:] {
		step := m.MergeOlder
		if rapid.Bool().Draw(t, "newer") {
			step = m.MergeNewer
		}
		if err == nil {
			err = step(c)
		}
	}
	if err != nil {
		t.Fatalf("merge: %v", err)
	}
	out, _, err := m.Finish(true)
	if err != nil {
		t.Fatalf("Finish: %v", err)
	}
	return out
}

func TestMergeIsTheMaximumInAnyGrouping(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cells := rapid.SliceOfN(rapid.Custom(genCell), 1, 6).Draw(t, "cells")
		cut := rapid.IntRange(1, len(cells)).Draw(t, "cut")
		whole := mergeAll(t, rapid.Permutation(cells).Draw(t, "order"))
		pieces := [][]byte{mergeAll(t, cells[:cut])}
		if cut < len(cells) {
			pieces = append(pieces, mergeAll(t, cells[cut:]))
		}
		if got := mergeAll(t, pieces); !bytes.Equal(got, whole) {
			t.Fatalf("in pieces %x, whole %x", got, whole)
		}
		for _, c := range cells {
			if compareCells(c, whole) > 0 {
				t.Fatalf("%x is greater than the merge %x", c, whole)
			}
		}
	})
}

func TestMergeOrdersAsRowsDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genCell(t), genCell(t)
		ra := sinks.Row{Stamp: readInt64(a), Value: a[headBytes:]}
		rb := sinks.Row{Stamp: readInt64(b), Value: b[headBytes:]}
		if ra.Newer(&rb) && compareCells(a, b) <= 0 {
			t.Fatalf("%x is newer than %x and sorts before it", a, b)
		}
	})
}

func TestDamagedOperandIsAnError(t *testing.T) {
	if _, err := merger().Merge(nil, make([]byte, headBytes-1)); err == nil {
		t.Error("a short cell was merged")
	}
}

func TestExpiryIsNeverBeforeArrival(t *testing.T) {
	for _, at := range []time.Time{time.UnixMicro(0), time.UnixMicro(math.MaxInt64), time.Unix(1_790_000_000, 0)} {
		for _, d := range []time.Duration{1, time.Hour, math.MaxInt64} {
			if e := expiryOf(at, d); e < uint64(at.UnixMicro()) || e == never {
				t.Errorf("arrival %v, expire %v: %d", at, d, e)
			}
		}
	}
}
