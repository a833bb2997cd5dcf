package pebble

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"millrace/sinks"
)

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// open opens a store that is closed at the end, unless the test closes it.
func open(t testing.TB, dir string, set Settings) *Store {
	t.Helper()
	s, err := Open(dir, set)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func write(t testing.TB, s *Store, rows ...sinks.Row) {
	t.Helper()
	if err := s.Write(context.Background(), rows); err != nil {
		t.Fatalf("Write: %v", err)
	}
}

func read(t testing.TB, s *Store, key string) string {
	t.Helper()
	var set sinks.CellSet
	if err := s.ReadCells(context.Background(), "e", []string{key}, []string{"v@1"}, &set); err != nil {
		t.Fatalf("ReadCells: %v", err)
	}
	return string(set.Values[0])
}

func cellRow(key string, stamp int64, value string, expire time.Duration) sinks.Row {
	return sinks.Row{Entity: "e", Key: key, View: "v@1", Stamp: stamp, Value: []byte(value), Expire: expire}
}

func TestEverythingSurvivesClosingAndOpening(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Settings{})
	write(t, s, cellRow("k", 2, "kept", 0))
	if ok, err := s.Swap(t.Context(), sinks.MetaRoles, "id", nil, []byte("{}")); err != nil || !ok {
		t.Fatalf("Swap = %v, %v", ok, err)
	}
	if err := s.Put(t.Context(), []sinks.Letter{{LetterID: sinks.LetterID{Source: "s"}}}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	s = open(t, dir, Settings{})
	write(t, s, cellRow("k", 1, "older", 0))
	if got := read(t, s, "k"); got != "kept" {
		t.Errorf("cell is %q", got)
	}
	if got, err := s.Get(t.Context(), sinks.MetaRoles, "id"); err != nil || string(got) != "{}" {
		t.Errorf("entry is %q, %v", got, err)
	}
	if n := countLetters(t, s); n != 1 {
		t.Errorf("%d letters", n)
	}
}

func countLetters(t *testing.T, s *Store) int {
	t.Helper()
	n := 0
	err := s.EachLetter(t.Context(), sinks.LetterFilter{}, func(*sinks.Letter) bool {
		n++
		return true
	})
	if err != nil {
		t.Fatalf("EachLetter: %v", err)
	}
	return n
}

func TestClosedStoreRefusesCalls(t *testing.T) {
	s := open(t, t.TempDir(), Settings{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, set := t.Context(), sinks.CellSet{}
	_, get := s.Get(ctx, sinks.MetaRoles, "id")
	_, list := s.List(ctx, sinks.MetaRoles)
	_, swap := s.Swap(ctx, sinks.MetaRoles, "id", nil, nil)
	_, prune := s.Prune(ctx)
	for i, err := range []error{
		s.Write(ctx, nil), s.Sync(ctx), s.Put(ctx, nil), s.Ping(ctx), get, list, swap, prune,
		s.ReadCells(ctx, "e", nil, nil, &set), s.EachLetter(ctx, sinks.LetterFilter{}, nil),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call %d: %v, want ErrClosed", i, err)
		}
	}
}

func TestCloseWaitsForCallsUnderWay(t *testing.T) {
	s := open(t, t.TempDir(), Settings{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := int64(0); ; i++ {
				err := s.Write(context.Background(), []sinks.Row{cellRow("k", i, "value", 0)})
				if err != nil && !errors.Is(err, ErrClosed) {
					t.Errorf("Write: %v", err)
				}
				if err != nil {
					return
				}
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wg.Wait()
}

const holdEnv = "MILLRACE_TEST_PEBBLE_DIR"

// TestHoldFolder is the other process of the next test.
func TestHoldFolder(t *testing.T) {
	dir := os.Getenv(holdEnv)
	if dir == "" {
		return
	}
	_, err := Open(dir, Settings{})
	fmt.Fprintln(os.Stdout, "other process:", err)
}

func TestSecondProcessIsToldThatTheFolderIsInUse(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, Settings{})
	other := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestHoldFolder$")
	other.Env = append(os.Environ(), holdEnv+"="+dir)
	out, err := other.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "in use by another process; stop that process or name another folder") {
		t.Errorf("other process: %v, said %s", err, out)
	}
	if _, err := Open(dir, Settings{}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second Open in this process: %v", err)
	}
}

func TestFolderThatCannotBeMadeIsNamed(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file+"/store", Settings{}); err == nil || !strings.Contains(err.Error(), "create folder") {
		t.Errorf("Open = %v", err)
	}
}

func TestStoreOfALaterProgramIsRefused(t *testing.T) {
	files := vfs.NewMem()
	s := open(t, "store", Settings{files: files})
	if err := s.db.Set(formatKey(), []byte("2"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time shows that the refusal left the lock free
		_, err := Open("store", Settings{files: files})
		if err == nil || !strings.Contains(err.Error(), `its format is "2", this program knows "1"`) {
			t.Errorf("Open = %v", err)
		}
	}
}

func TestFlushedAndCompactedCellsKeepTheGreatest(t *testing.T) {
	s := open(t, "store", Settings{files: vfs.NewMem()})
	for _, stamp := range []int64{3, 9, 1, 9, 4} {
		write(t, s, cellRow("k", stamp, fmt.Sprint("at ", stamp), 0))
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.db.Compact(context.Background(), []byte{0}, []byte{0xff}, false); err != nil {
		t.Fatal(err)
	}
	write(t, s, cellRow("k", 8, "too late", 0))
	if got := read(t, s, "k"); got != "at 9" {
		t.Errorf("cell is %q", got)
	}
}
