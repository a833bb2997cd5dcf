package pebble

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"millrace/sinks"
)

func TestRowsExpireAfterTheirArrival(t *testing.T) {
	c := newClock()
	s := open(t, "store", Settings{files: vfs.NewMem(), Now: c.Now})
	write(t, s, cellRow("short", 1, "value", time.Hour), cellRow("ever", 1, "value", 0), cellRow("long", 1, "value", math.MaxInt64))
	c.advance(time.Hour - time.Microsecond)
	if got := read(t, s, "short"); got != "value" {
		t.Errorf("just before: %q", got)
	}
	c.advance(time.Microsecond)
	if got := read(t, s, "short"); got != "" {
		t.Errorf("just after: %q", got)
	}
	c.advance(200 * 365 * 24 * time.Hour)
	if read(t, s, "ever") != "value" || read(t, s, "long") != "value" {
		t.Error("rows without an end are gone")
	}
}

func TestExpiredRowStillOutranksOlderOnes(t *testing.T) {
	c := newClock()
	s := open(t, "store", Settings{files: vfs.NewMem(), Now: c.Now})
	write(t, s, cellRow("k", 5, "gone", time.Hour))
	c.advance(2 * time.Hour)
	write(t, s, cellRow("k", 4, "older", time.Hour))
	if got := read(t, s, "k"); got != "" {
		t.Errorf("cell is %q: an older row came back", got)
	}
	write(t, s, cellRow("k", 5, "gone", time.Hour))
	if got := read(t, s, "k"); got != "gone" {
		t.Errorf("cell is %q after the row arrived again", got)
	}
}

func TestPruneRemovesWhatExpiredAndNothingElse(t *testing.T) {
	c := newClock()
	s := open(t, "store", Settings{files: vfs.NewMem(), Now: c.Now, LetterTTL: time.Hour})
	for i := range 2*pruneKeys + 3 {
		write(t, s, cellRow(fmt.Sprint("short", i), 1, "value", time.Minute), cellRow(fmt.Sprint("ever", i), 1, "value", 0))
	}
	letter := sinks.Letter{LetterID: sinks.LetterID{Source: "s", Position: 1}}
	if err := s.Put(t.Context(), []sinks.Letter{letter}); err != nil {
		t.Fatal(err)
	}
	prune(t, s, 0)
	c.advance(time.Minute)
	prune(t, s, 2*pruneKeys+3)
	if countLetters(t, s) != 1 {
		t.Error("the letter is gone before its time")
	}
	c.advance(time.Hour)
	if countLetters(t, s) != 0 {
		t.Error("the letter is still read")
	}
	prune(t, s, 1)
	prune(t, s, 0)
	for i := range 2*pruneKeys + 3 {
		if read(t, s, fmt.Sprint("ever", i)) != "value" {
			t.Fatalf("row %d without expiry is gone", i)
		}
	}
}

func prune(t *testing.T, s *Store, want int) {
	t.Helper()
	if n, err := s.Prune(t.Context()); err != nil || n != want {
		t.Errorf("Prune = %d, %v, want %d", n, err, want)
	}
}

// TestPruneNeverRemovesARowThatJustArrived lets fresh rows land on expired
// cells while they are pruned.
func TestPruneNeverRemovesARowThatJustArrived(t *testing.T) {
	c := newClock()
	s := open(t, "store", Settings{files: vfs.NewMem(), Now: c.Now})
	const keys = 300
	for round := range int64(5) {
		rows := make([]sinks.Row, keys)
		for i := range rows {
			rows[i] = cellRow(fmt.Sprint(i), round, fmt.Sprint("round ", round), time.Minute)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.Prune(t.Context()); err != nil {
				t.Errorf("Prune: %v", err)
			}
		})
		for i := range rows {
			write(t, s, rows[i])
		}
		wg.Wait()
		for i := range rows {
			if got := read(t, s, rows[i].Key); got != string(rows[i].Value) {
				t.Fatalf("round %d: cell %d is %q", round, i, got)
			}
		}
		c.advance(time.Minute)
	}
}
