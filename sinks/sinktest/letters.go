package sinktest

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"millrace/feature"
	"millrace/sinks"
)

func letterContracts() []contract {
	return []contract{
		{"LetterComesBackAsItWas", letterFidelity},
		{"LetterWrittenTwiceIsOneLetter", letterOnce},
		{"LettersComeInOrder", lettersOrdered},
		{"LettersAreFiltered", lettersFiltered},
		{"LetterReaderMayStop", letterStop},
		{"CallersBuffersAreFreeAfterPut", borrowedLetters},
		{"MarkSurvivesWritingTheLetterAgain", markKept},
		{"LetterThatIsDoneStaysDone", doneStays},
		{"DroppedLetterIsGoneAndMayComeBack", dropped},
		{"LettersAreFoundByID", lettersByID},
		{"LettersAreFoundByPosition", lettersAt},
	}
}

func letter(source string, position int64) sinks.Letter {
	const recordMillis = 1_790_000_000_123
	return sinks.Letter{
		LetterID:     sinks.LetterID{Source: source, Day: sinks.DayOf(recordMillis), Position: position, View: "trips@1"},
		Topic:        "trips",
		RecordMillis: recordMillis,
		Stage:        feature.StageTransform,
		Reason:       feature.ReasonNullKey,
		Message:      "join key is null",
	}
}

func put(t *testing.T, s Store, letters ...sinks.Letter) {
	t.Helper()
	if err := s.Put(t.Context(), letters); err != nil {
		t.Fatalf("Put of %d letters: %v", len(letters), err)
	}
}

// letters returns clones of the letters that f selects.
func letters(t *testing.T, s Store, f sinks.LetterFilter) []sinks.Letter {
	t.Helper()
	var all []sinks.Letter
	err := s.EachLetter(t.Context(), f, func(l *sinks.Letter) bool {
		all = append(all, cloneLetter(l))
		return true
	})
	if err != nil {
		t.Fatalf("EachLetter: %v", err)
	}
	return all
}

func cloneLetter(l *sinks.Letter) sinks.Letter {
	c := *l
	c.RecordKey, c.RecordValue, c.Headers = bytes.Clone(l.RecordKey), bytes.Clone(l.RecordValue), nil
	for _, h := range l.Headers {
		c.Headers = append(c.Headers, sinks.LetterHeader{Key: h.Key, Value: bytes.Clone(h.Value)})
	}
	return c
}

// letterFidelity covers what a replay depends on: bytes of any kind, null
// apart from empty, the largest payload, positions beyond 2^53.
func letterFidelity(t *testing.T, s Store) {
	source := fresh("source")
	full := letter(source, sinks.Position(1<<20, 1<<39))
	full.Partition, full.Element, full.Offset = 1<<31-1, 70_000, 1<<39
	full.Revision, full.CatalogVersion, full.ValueBytes, full.Truncated = 65535, 1<<60, sinks.MaxLetterBytes+1, true
	full.RecordKey, full.RecordValue = []byte{0, 0xff, '\''}, bytes.Repeat([]byte{0xc3, 0x28, 0}, sinks.MaxLetterBytes/3)
	full.Headers = []sinks.LetterHeader{{Key: "trace", Value: []byte{0xff}}, {Key: "", Value: []byte{}}, {Key: "trace"}}
	full.Message = "column “fare”: not a number"
	null, empty := letter(source, -1), letter(source, 2)
	null.View = ""
	empty.RecordKey, empty.RecordValue = []byte{}, []byte{}
	put(t, s, full, null, empty)
	got := letters(t, s, sinks.LetterFilter{Source: source})
	want := []sinks.Letter{null, empty, full}
	if len(got) != len(want) {
		t.Fatalf("%d letters, want %d", len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			got[i].RecordValue, want[i].RecordValue = clip(got[i].RecordValue), clip(want[i].RecordValue)
			t.Errorf("letter %d is\n%+v, want\n%+v", i, got[i], want[i])
		}
	}
}

func letterOnce(t *testing.T, s Store) {
	source := fresh("source")
	l := letter(source, 5)
	put(t, s, l)
	put(t, s, l, letter(source, 6))
	l.Message = "said again after an upgrade"
	put(t, s, l)
	got := letters(t, s, sinks.LetterFilter{Source: source})
	if len(got) != 2 || got[0].Position != 5 || got[1].Position != 6 {
		t.Errorf("%d letters, want those at 5 and 6", len(got))
	}
}

func compareIDs(a, b *sinks.LetterID) int {
	return cmp.Or(
		cmp.Compare(a.Source, b.Source), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Day, b.Day),
		cmp.Compare(a.Position, b.Position), cmp.Compare(a.Element, b.Element), cmp.Compare(a.View, b.View))
}

func lettersOrdered(t *testing.T, s Store) {
	source := fresh("source")
	var all []sinks.Letter
	for i := range 64 {
		l := letter(source, int64(i>>4&1)*300)
		l.Source += []string{"", "b"}[i&1]
		l.Partition, l.Day = int32(i>>1&1)-1, int32(i>>2&1)*400-1
		l.Element, l.View = int32(i>>3&1), []string{"", "v@1"}[i>>5&1]
		all = append(all, l)
	}
	slices.Reverse(all)
	put(t, s, all...)
	slices.SortFunc(all, func(a, b sinks.Letter) int { return compareIDs(&a.LetterID, &b.LetterID) })
	i := 0
	err := s.EachLetter(t.Context(), sinks.LetterFilter{}, func(l *sinks.Letter) bool {
		if l.Source != source && l.Source != source+"b" {
			return true // of an earlier test
		}
		if i < len(all) && l.LetterID != all[i].LetterID {
			t.Errorf("letter %d is %+v, want %+v", i, l.LetterID, all[i].LetterID)
		}
		i++
		return true
	})
	if err != nil || i != len(all) {
		t.Errorf("EachLetter gave %d of %d letters, %v", i, len(all), err)
	}
}

func lettersFiltered(t *testing.T, s Store) {
	source := fresh("source")
	for i := range 8 {
		l := letter(source, int64(i))
		l.RecordMillis += int64(i)
		if i%2 == 1 {
			l.View = "rides@1"
		}
		if i >= 4 {
			l.Reason = feature.ReasonWrongType
		}
		put(t, s, l)
	}
	since := letter(source, 0).RecordMillis + 3
	third := letter(source, 3).LetterID
	third.View = "rides@1"
	for _, c := range []struct {
		filter sinks.LetterFilter
		want   []int64
	}{
		{sinks.LetterFilter{}, []int64{0, 1, 2, 3, 4, 5, 6, 7}},
		{sinks.LetterFilter{View: "rides@1"}, []int64{1, 3, 5, 7}},
		{sinks.LetterFilter{Reason: feature.ReasonNullKey}, []int64{0, 1, 2, 3}},
		{sinks.LetterFilter{SinceMillis: since}, []int64{3, 4, 5, 6, 7}},
		{sinks.LetterFilter{Limit: 3}, []int64{0, 1, 2}},
		{sinks.LetterFilter{Limit: 1, View: "rides@1", Reason: feature.ReasonWrongType, SinceMillis: since}, []int64{5}},
		{sinks.LetterFilter{View: "none"}, nil},
		{sinks.LetterFilter{After: &third}, []int64{4, 5, 6, 7}},
		{sinks.LetterFilter{After: &third, View: "rides@1", Limit: 1}, []int64{5}},
	} {
		c.filter.Source = source
		var got []int64
		for _, l := range letters(t, s, c.filter) {
			got = append(got, l.Position)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v selects %v, want %v", c.filter, got, c.want)
		}
	}
	if got := letters(t, s, sinks.LetterFilter{Source: source[:len(source)-1]}); len(got) != 0 {
		t.Errorf("a source that is a prefix selects %d letters", len(got))
	}
}

func letterStop(t *testing.T, s Store) {
	source := fresh("source")
	for i := range 5 {
		put(t, s, letter(source, int64(i)))
	}
	n := 0
	err := s.EachLetter(t.Context(), sinks.LetterFilter{Source: source}, func(*sinks.Letter) bool {
		n++
		return n < 2
	})
	if err != nil || n != 2 {
		t.Errorf("stopped after %d letters, %v, want 2", n, err)
	}
}

func lettersAt(t *testing.T, s Store) {
	source := fresh("source")
	of := func(partition, day int32, position int64, element int32, view string) sinks.Letter {
		l := letter(source, position)
		l.Partition, l.Day, l.Element, l.View = partition, day, element, view
		return l
	}
	const high = int64(3)<<40 + 7
	put(t, s, of(1, 2, 4, 0, ""), of(1, 2, 5, 0, ""), of(1, 2, 5, 0, "v"), of(1, 2, 5, 9, "u"), of(1, 2, 6, 0, "v"), of(1, 2, 7, 0, ""),
		of(0, 2, 5, 0, ""), of(1, 1, 5, 0, ""), of(1, 3, 5, 0, ""), of(1, -1, high, 2, "v"), of(1, 2, 8, 0, ""))
	other := of(1, 2, 5, 0, "")
	other.Source += "2"
	put(t, s, other)
	done := of(1, 2, 6, 0, "v")
	if err := s.MarkLetters(t.Context(), []sinks.LetterMark{{LetterID: done.LetterID, Attempts: 1, Done: true}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		r    sinks.LetterRange
		want string
	}{
		{sinks.LetterRange{Partition: 1, Day: 2, From: 5, To: 8}, "5/0/ 5/0/v 5/9/u 7/0/"},
		{sinks.LetterRange{Partition: 1, Day: 2, From: 5, To: 6}, "5/0/ 5/0/v 5/9/u"},
		{sinks.LetterRange{Partition: 1, Day: 2, From: 6, To: 6}, ""},
		{sinks.LetterRange{Partition: 1, Day: 2, From: 9, To: 1 << 60}, ""},
		{sinks.LetterRange{Partition: 1, Day: -1, From: high, To: high + 1}, fmt.Sprint(high) + "/2/v"},
	} {
		c.r.Source = source
		var got []string
		err := s.LettersAt(t.Context(), c.r, func(l *sinks.Letter) bool {
			got = append(got, fmt.Sprintf("%d/%d/%s", l.Position, l.Element, l.View))
			if l.Source != source || l.Partition != 1 || l.Day != c.r.Day || l.Message == "" {
				t.Errorf("letter %+v", l)
			}
			return true
		})
		if text := strings.Join(got, " "); err != nil || text != c.want {
			t.Errorf("%+v: %q, %v, want %q", c.r, text, err, c.want)
		}
	}
	n := 0
	if err := s.LettersAt(t.Context(), sinks.LetterRange{Source: source, Partition: 1, Day: 2, To: 100}, func(*sinks.Letter) bool { n++; return n < 2 }); err != nil || n != 2 {
		t.Errorf("stopped after %d letters, %v, want 2", n, err)
	}
}

func borrowedLetters(t *testing.T, s Store) {
	source := fresh("source")
	var l lent
	a := letter(l.text(source), 1)
	a.View, a.Topic, a.Message, a.Reason = l.text("v@1"), l.text("topic"), l.text("message"), feature.Reason(l.text("null_key"))
	a.RecordKey, a.RecordValue = l.bytes([]byte("key")), l.bytes([]byte("value"))
	a.Headers = []sinks.LetterHeader{{Key: l.text("header"), Value: l.bytes([]byte("content"))}}
	put(t, s, a)
	l.take()
	got := letters(t, s, sinks.LetterFilter{Source: source})
	if len(got) != 1 {
		t.Fatalf("%d letters, want 1", len(got))
	}
	b := got[0]
	text := fmt.Sprint(b.View, b.Topic, b.Message, b.Reason, string(b.RecordKey), string(b.RecordValue), b.Headers)
	want := fmt.Sprint("v@1", "topic", "message", feature.ReasonNullKey, "key", "value",
		[]sinks.LetterHeader{{Key: "header", Value: []byte("content")}})
	if text != want {
		t.Errorf("letter holds %s, want %s", text, want)
	}
}
