package sinktest

import (
	"fmt"
	"slices"
	"testing"

	"millrace/sinks"
)

func refusalContracts() []contract {
	return []contract{
		{"RefusalsAreFoundFromAPositionOn", refusalsFound},
		{"ALetterThatIsDoneIsARefusal", refusalsDone},
		{"AReplayOutranksAKeptLetter", keptAndReplayed},
		{"TheGreaterVersionKeeps", keptVersions},
		{"RefusalReaderMayStop", refusalStop},
	}
}

// refusals returns everything from a position on as text.
func refusals(t *testing.T, s Store, source string, partition int32, position int64) []string {
	t.Helper()
	days, err := s.RefusalDays(t.Context(), source, partition)
	if err != nil || !slices.IsSorted(days) {
		t.Fatalf("RefusalDays gives %v, %v", days, err)
	}
	var all []string
	for _, day := range days {
		err := s.EachRefusal(t.Context(), source, partition, day, position, func(r *sinks.Refusal) bool {
			if r.Source != source || r.Partition != partition || r.Day != day {
				t.Errorf("another one's refusal: %+v", r)
			}
			text := fmt.Sprintf("%d:%d#%d%s v%d", r.Day, r.Position, r.Element, r.View, r.CatalogVersion)
			if r.Done {
				text = fmt.Sprintf("%d:%d#%d%s done", r.Day, r.Position, r.Element, r.View)
			}
			if r.ReplayNumber != 0 {
				text += fmt.Sprintf(" n%d", r.ReplayNumber)
			}
			all = append(all, text)
			return true
		})
		if err != nil {
			t.Fatalf("EachRefusal: %v", err)
		}
	}
	return all
}

func wantRefusals(t *testing.T, s Store, source string, position int64, want ...string) {
	t.Helper()
	if got := refusals(t, s, source, 3, position); !slices.Equal(got, want) {
		t.Errorf("refusals from %d on are %q, want %q", position, got, want)
	}
}

func refused(source string, day int32, position int64, element int32, view string) sinks.Letter {
	l := letter(source, position)
	l.Partition, l.Day, l.Element, l.View, l.CatalogVersion = 3, day, element, view, 7
	l.RecordValue = []byte("value")
	return l
}

func keep(t *testing.T, s Store, version int64, ids ...sinks.LetterID) {
	t.Helper()
	if err := s.KeepLetters(t.Context(), ids, version); err != nil {
		t.Fatalf("KeepLetters of %d: %v", len(ids), err)
	}
}

// refusalsFound covers days whose bytes end in the greatest one, neighbours in
// every part of the name, and positions of a later topic.
func refusalsFound(t *testing.T, s Store) {
	source := fresh("source")
	wantRefusals(t, s, source, -1<<62)
	later := sinks.Position(1, 4)
	put(t, s,
		refused(source, 255, 5, -1, ""), refused(source, 255, 5, 2, "v"), refused(source, 255, 9, 0, "v"), refused(source, 256, 4, 0, "v"),
		refused(source, -1, later, 0, "v"), refused(source+"b", 255, 6, 0, "v"), refused(source[:len(source)-1], 255, 6, 0, "v"))
	for _, partition := range []int32{2, 4, 1<<31 - 1} {
		l := refused(source, 255, 6, 0, "v")
		l.Partition = partition
		put(t, s, l)
	}
	last := fmt.Sprintf("-1:%d#0v v7", later)
	wantRefusals(t, s, source, -1<<62, last, "255:5#-1 v7", "255:5#2v v7", "255:9#0v v7", "256:4#0v v7")
	wantRefusals(t, s, source, 5, last, "255:5#-1 v7", "255:5#2v v7", "255:9#0v v7")
	wantRefusals(t, s, source, 6, last, "255:9#0v v7")
	wantRefusals(t, s, source, later+1)
	if got := refusals(t, s, source, 1<<31-1, 0); len(got) != 1 {
		t.Errorf("the last partition has %q", got)
	}
}

func refusalsDone(t *testing.T, s Store) {
	source := fresh("source")
	a, b, c := refused(source, 1, 1, 0, "v"), refused(source, 1, 2, 0, "v"), refused(source, 1, 3, 0, "v")
	put(t, s, a, b, c)
	mark(t, s, sinks.LetterMark{LetterID: b.LetterID, ReplayNumber: 40, Done: true}, sinks.LetterMark{LetterID: c.LetterID, ReplayNumber: 41, Attempts: 1})
	wantRefusals(t, s, source, 0, "1:1#0v v7", "1:2#0v done n40", "1:3#0v v7 n41")
	drop(t, s, b.LetterID, c.LetterID)
	wantRefusals(t, s, source, 0, "1:1#0v v7")
	keep(t, s, 8, b.LetterID) // dropped meanwhile
	wantRefusals(t, s, source, 0, "1:1#0v v7")
	if got := only(t, s, source); got.Position != 1 {
		t.Errorf("letter %+v is left", got)
	}
}

// keptAndReplayed: whichever comes first, what a replay says of a letter stays.
func keptAndReplayed(t *testing.T, s Store) {
	source := fresh("source")
	a, b := refused(source, 1, 1, 0, "v"), refused(source, 1, 2, 0, "v")
	put(t, s, a, b)
	marks := []sinks.LetterMark{{LetterID: a.LetterID, ReplayNumber: 40, Attempts: 2, Reason: "null_key"}, {LetterID: b.LetterID, ReplayNumber: 41, Done: true}}
	keep(t, s, 8, a.LetterID)
	wantRefusals(t, s, source, 0, "1:1#0v v7 n-8", "1:2#0v v7")
	if got := letters(t, s, sinks.LetterFilter{Source: source}); len(got) != 2 || got[0].ReplayNumber != sinks.KeptNumber(8) || got[0].Attempts != 0 ||
		string(got[0].RecordValue) != "value" {
		t.Errorf("kept letter: %+v", got)
	}
	mark(t, s, marks...)
	keep(t, s, 9, a.LetterID, b.LetterID)
	put(t, s, a, b) // a lane reads the records again
	wantRefusals(t, s, source, 0, "1:1#0v v7 n40", "1:2#0v done n41")
	if got := only(t, s, source); got.Position != 1 || got.Attempts != 2 {
		t.Errorf("letter %+v is left", got)
	}
}

func keptVersions(t *testing.T, s Store) {
	source := fresh("source")
	l := refused(source, 1, 1, 0, "v")
	put(t, s, l)
	for _, version := range []int64{8, 10, 9, 10} {
		keep(t, s, version, l.LetterID)
	}
	put(t, s, l)
	wantRefusals(t, s, source, 0, "1:1#0v v7 n-10")
}

func refusalStop(t *testing.T, s Store) {
	source := fresh("source")
	for i := range 5 {
		put(t, s, refused(source, 1, int64(i), 0, "v"))
	}
	n := 0
	err := s.EachRefusal(t.Context(), source, 3, 1, 1, func(*sinks.Refusal) bool {
		n++
		return n < 2
	})
	if err != nil || n != 2 {
		t.Errorf("stopped after %d refusals, %v, want 2", n, err)
	}
}
