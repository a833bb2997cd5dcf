package sinktest

import (
	"testing"

	"millrace/feature"
	"millrace/sinks"
)

func mark(t *testing.T, s Store, marks ...sinks.LetterMark) {
	t.Helper()
	if err := s.MarkLetters(t.Context(), marks); err != nil {
		t.Fatalf("MarkLetters of %d: %v", len(marks), err)
	}
}

func drop(t *testing.T, s Store, ids ...sinks.LetterID) {
	t.Helper()
	if err := s.DropLetters(t.Context(), ids); err != nil {
		t.Fatalf("DropLetters of %d: %v", len(ids), err)
	}
}

// only returns the one letter of a source.
func only(t *testing.T, s Store, source string) sinks.Letter {
	t.Helper()
	all := letters(t, s, sinks.LetterFilter{Source: source})
	if len(all) != 1 {
		t.Fatalf("%d letters, want 1", len(all))
	}
	return all[0]
}

// markKept: a lane that reads a record again writes its letter again; how
// often it was replayed is not forgotten, or a letter might loop for ever.
func markKept(t *testing.T, s Store) {
	source := fresh("source")
	l := letter(source, 1)
	l.RecordValue = []byte("value")
	put(t, s, l)
	m := sinks.LetterMark{
		LetterID: l.LetterID, Attempts: 2, ReplayNumber: 1 << 40,
		Stage: feature.StageEncode, Reason: feature.ReasonRowTooLarge, Message: "the row is too large",
	}
	mark(t, s, m)
	mark(t, s, m)
	got := only(t, s, source)
	if got.Attempts != 2 || got.ReplayNumber != 1<<40 || string(got.RecordValue) != "value" {
		t.Errorf("marked letter is %+v", got)
	}
	if got.Stage != m.Stage || got.Reason != m.Reason || got.Message != m.Message {
		t.Errorf("refused at %s for %s (%s), want the latest refusal", got.Stage, got.Reason, got.Message)
	}
	put(t, s, l)
	if got = only(t, s, source); got.Attempts != 2 || got.ReplayNumber != 1<<40 {
		t.Errorf("written again, the letter has %d attempts, number %d", got.Attempts, got.ReplayNumber)
	}
}

func doneStays(t *testing.T, s Store) {
	source := fresh("source")
	l := letter(source, 1)
	put(t, s, l, letter(source, 2))
	for range 2 {
		mark(t, s, sinks.LetterMark{LetterID: l.LetterID, ReplayNumber: 7, Done: true})
		if got := only(t, s, source); got.Position != 2 {
			t.Errorf("letter %d is left, want 2", got.Position)
		}
		put(t, s, l) // a lane reads its record again
		if got := only(t, s, source); got.Position != 2 {
			t.Errorf("letter %d came back", got.Position)
		}
	}
	err := s.GetLetters(t.Context(), []sinks.LetterID{l.LetterID}, func(*sinks.Letter) bool {
		t.Error("a letter that is done is found by its id")
		return true
	})
	if err != nil {
		t.Errorf("GetLetters: %v", err)
	}
}

func dropped(t *testing.T, s Store) {
	source := fresh("source")
	l := letter(source, 1)
	put(t, s, l, letter(source, 2))
	mark(t, s, sinks.LetterMark{LetterID: l.LetterID, Attempts: 3, ReplayNumber: 9})
	drop(t, s, l.LetterID)
	drop(t, s, l.LetterID, letter(source, 5).LetterID)
	if got := only(t, s, source); got.Position != 2 {
		t.Errorf("letter %d is left, want 2", got.Position)
	}
	put(t, s, l)
	if all := letters(t, s, sinks.LetterFilter{Source: source}); len(all) != 2 || all[0].Attempts != 0 {
		t.Errorf("written again: %+v", all)
	}
}

func lettersByID(t *testing.T, s Store) {
	source := fresh("source")
	var ids []sinks.LetterID
	for i := range 5 {
		l := letter(source, int64(i))
		l.RecordValue = []byte{byte(i)}
		if i != 2 {
			put(t, s, l)
		}
		ids = append([]sinks.LetterID{l.LetterID}, ids...)
	}
	mark(t, s, sinks.LetterMark{LetterID: ids[0], Attempts: 1, ReplayNumber: 3})
	var got []byte
	stopAt := 10
	get := func() {
		t.Helper()
		got = nil
		err := s.GetLetters(t.Context(), ids, func(l *sinks.Letter) bool {
			got = append(got, l.RecordValue[0])
			if want := int64(3); l.Position == 4 && l.ReplayNumber != want {
				t.Errorf("number %d, want %d", l.ReplayNumber, want)
			}
			return len(got) < stopAt
		})
		if err != nil {
			t.Fatalf("GetLetters: %v", err)
		}
	}
	get()
	expect(t, "letters by id", got, "\x04\x03\x01\x00")
	stopAt = 2
	get()
	expect(t, "letters until told to stop", got, "\x04\x03")
}
