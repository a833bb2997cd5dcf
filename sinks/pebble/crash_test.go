package pebble

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"millrace/sinks"
)

const crashSeeds = 12

// acked counts per key what a store has acknowledged before a Sync that
// succeeded: after any crash at least that must be there.
type acked struct {
	mu     sync.Mutex
	synced map[string]int64
}

// TestWhatWasAcknowledgedBeforeSyncSurvivesACrash crashes the file system at
// random moments, with any part of what was not synced lost, and looks for
// every row that Sync promised.
func TestWhatWasAcknowledgedBeforeSyncSurvivesACrash(t *testing.T) {
	for seed := range uint64(crashSeeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			files := vfs.NewCrashableMem()
			s := open(t, "store", Settings{files: files, MemTableBytes: 128 << 10})
			want := acked{synced: make(map[string]int64)}
			crashed := crashDuring(t, s, &want, files, rng)
			again := open(t, "store", Settings{files: crashed.files})
			for key, stamp := range crashed.promised {
				var got int64
				if _, err := fmt.Sscanf(read(t, again, key), "at %d", &got); err != nil || got < stamp {
					t.Errorf("key %s is at %d (%v), %d was synced", key, got, err, stamp)
				}
			}
		})
	}
}

type crash struct {
	files    *vfs.MemFS
	promised map[string]int64
}

// crashDuring writes from two goroutines and takes the crashed copy of the
// files in between, together with what had been promised just before.
func crashDuring(t *testing.T, s *Store, want *acked, files *vfs.MemFS, rng *rand.Rand) crash {
	t.Helper()
	const writers, rounds = 2, 60
	at, lost := rng.IntN(rounds), rng.IntN(100)
	var taken crash
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range rounds {
				want.round(t, s, w, int64(i))
				if w == 0 && i == at {
					taken.promised = want.copy()
					taken.files = files.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: lost, RNG: rng})
				}
			}
		})
	}
	wg.Wait()
	return taken
}

// round writes a few hundred rows, then syncs and records the promise.
func (a *acked) round(t *testing.T, s *Store, writer int, stamp int64) {
	rows := make([]sinks.Row, 200)
	for i := range rows {
		rows[i] = cellRow(fmt.Sprintf("w%d-%d", writer, i), stamp, fmt.Sprintf("at %d", stamp), 0)
	}
	write(t, s, rows[:100]...)
	write(t, s, rows[100:]...)
	if stamp%3 != 0 {
		return // acknowledged only: may be lost
	}
	if err := s.Sync(t.Context()); err != nil {
		t.Errorf("Sync: %v", err)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range rows {
		a.synced[rows[i].Key] = stamp
	}
}

func (a *acked) copy() map[string]int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := make(map[string]int64, len(a.synced))
	maps.Copy(c, a.synced)
	return c
}

func TestSwapAndLettersBeforeSyncSurviveACrash(t *testing.T) {
	files := vfs.NewCrashableMem()
	s := open(t, "store", Settings{files: files})
	if err := s.Put(t.Context(), []sinks.Letter{{LetterID: sinks.LetterID{Source: "s"}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.Swap(t.Context(), sinks.MetaEpochs, "id", nil, []byte("1")); err != nil || !ok {
		t.Fatalf("Swap = %v, %v", ok, err)
	}
	again := open(t, "store", Settings{files: files.CrashClone(vfs.CrashCloneCfg{})})
	if got, err := again.Get(t.Context(), sinks.MetaEpochs, "id"); err != nil || string(got) != "1" {
		t.Errorf("entry is %q, %v", got, err)
	}
	if n := countLetters(t, again); n != 1 {
		t.Errorf("%d letters", n)
	}
}
