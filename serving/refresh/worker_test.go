package refresh

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace/internal/synctest"
	"millrace/serving"
	"millrace/transforms"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// called is one call of the fake.
type called struct {
	at   time.Time
	keys []string
}

// fake is a Refresher that takes its time, and fails when it is told to. It
// counts how many refreshes a key is in.
type fake struct {
	takes time.Duration
	deaf  bool // to the end of its context
	end   func(call int, key string) (serving.RefreshEnd, error)

	mu     sync.Mutex
	calls  []called
	active map[string]int
	most   int // calls at a time
	now    int
	double []string // keys that were in two
}

func (f *fake) Refresh(ctx context.Context, model string, keys []string, by string, dst []serving.RefreshEnd) ([]serving.RefreshEnd, error) {
	n := f.enter(model, keys, by)
	defer f.leave(keys)
	if f.deaf {
		ctx = context.WithoutCancel(ctx)
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(f.takes):
	}
	for _, k := range keys {
		end := serving.RefreshStored
		if f.end != nil {
			var err error
			if end, err = f.end(n, k); err != nil {
				return nil, err
			}
		}
		dst = append(dst, end)
	}
	return dst, nil
}

func (f *fake) enter(model string, keys []string, by string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if model != "fraud" || by != transforms.ByWrite {
		panic(model + by)
	}
	if f.active == nil {
		f.active = make(map[string]int)
	}
	f.calls = append(f.calls, called{time.Now(), slices.Clone(keys)})
	f.now++
	f.most = max(f.most, f.now)
	for _, k := range keys {
		if f.active[k]++; f.active[k] > 1 {
			f.double = append(f.double, k)
		}
	}
	return len(f.calls) - 1
}

func (f *fake) leave(keys []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now--
	for _, k := range keys {
		f.active[k]--
	}
}

func (f *fake) seen() []called {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// bench is a worker in a bubble, with what it told.
type bench struct {
	*Worker
	*fake

	next  int64
	stop  context.CancelFunc
	ended chan struct{}

	heard struct {
		sync.Mutex
		heard
	}
}

// heard is what a worker told.
type heard struct {
	resumed []int32
	told    []string
	delays  []time.Duration
	retried int
}

// hear returns what was told so far.
func (b *bench) hear() heard {
	b.heard.Lock()
	defer b.heard.Unlock()
	h := b.heard.heard
	h.resumed, h.told, h.delays = slices.Clone(h.resumed), slices.Clone(h.told), slices.Clone(h.delays)
	return h
}

// note adds to it.
func (b *bench) note(add func(h *heard)) {
	b.heard.Lock()
	defer b.heard.Unlock()
	add(&b.heard.heard)
}

// bubble runs a test with a clock of its own, and a worker of partition 0.
func bubble(t *testing.T, f *fake, change func(*Settings), do func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{fake: f, ended: make(chan struct{})}
		s := Settings{
			Model: "fraud", Refresher: f, Clock: time.Now, Resume: func(p int32) { b.note(func(h *heard) { h.resumed = append(h.resumed, p) }) },
			Events: Events{
				Delayed:   func(d time.Duration) { b.note(func(h *heard) { h.delays = append(h.delays, d) }) },
				Retried:   func(keys int) { b.note(func(h *heard) { h.retried += keys }) },
				Failing:   func(err error) { b.note(func(h *heard) { h.told = append(h.told, err.Error()) }) },
				Recovered: func() { b.note(func(h *heard) { h.told = append(h.told, "recovered") }) },
			},
		}
		if change != nil {
			change(&s)
		}
		var err error
		if b.Worker, err = New(s); err != nil {
			t.Fatal(err)
		}
		b.Begin(0, 0)
		var ctx context.Context
		ctx, b.stop = context.WithCancel(t.Context())
		go func() { defer close(b.ended); b.Run(ctx) }()
		defer func() {
			b.stop()
			<-b.ended
			if len(f.double) > 0 {
				t.Errorf("keys %v were in two refreshes at a time", f.double)
			}
		}()
		do(t, b)
	})
}

// change delivers a change of each key to partition 0.
func (b *bench) change(keys ...string) (full bool) {
	cs := make([]Change, len(keys))
	for i, k := range keys {
		cs[i] = Change{Offset: b.next, Key: k, Millis: time.Now().UnixMilli()}
		b.next++
	}
	return b.Take(0, cs, b.next)
}

func (b *bench) mark(partition int32) int64 {
	for _, m := range b.Marks(nil) {
		if m.Partition == partition {
			return m.Offset
		}
	}
	return -1
}

// rest lets d pass, and what happens at its end happen.
func rest(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestHotKeyIsRefreshedOncePerDebounce(t *testing.T) {
	const debounce, lasts = 500 * time.Millisecond, time.Minute
	for name, takes := range map[string]time.Duration{"a fast model": 5 * time.Millisecond, "one slower than the debounce": 700 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			bubble(t, &fake{takes: takes}, func(s *Settings) { s.Debounce = debounce }, func(t *testing.T, b *bench) {
				for begun := time.Now(); time.Since(begun) < lasts; time.Sleep(time.Millisecond) {
					b.change("hot") // a thousand in a second
				}
				calls := b.seen()
				for i := 1; i < len(calls); i++ {
					if gap := calls[i].at.Sub(calls[i-1].at); gap < debounce || gap > max(debounce, takes)+2*time.Millisecond {
						t.Fatalf("refresh %d came %v after the one before", i, gap)
					}
				}
				if want := int(lasts / max(debounce, takes)); len(calls) < want-1 || len(calls) > want+1 {
					t.Errorf("%d refreshes, want %d", len(calls), want)
				}
				rest(3 * time.Second)
				if got := b.mark(0); got != b.next || b.Pending() != 0 {
					t.Errorf("at rest the mark is %d of %d, %d keys wait", got, b.next, b.Pending())
				}
				if d := slices.Max(b.hear().delays); d > 2*max(debounce, takes)+5*time.Millisecond {
					t.Errorf("a change waited for %v", d)
				}
			})
		})
	}
}

func TestBatchesAndSlots(t *testing.T) {
	f := &fake{takes: 10 * time.Millisecond}
	bubble(t, f, func(s *Settings) { s.MaxBatch, s.Calls = 8, 3 }, func(t *testing.T, b *bench) {
		keys := make([]string, 100)
		for i := range keys {
			keys[i] = fmt.Sprint("k", i)
		}
		b.change(keys...)
		rest(time.Second)
		got := make(map[string]bool)
		calls := b.seen()
		for _, c := range calls {
			if len(c.keys) > 8 {
				t.Errorf("a call has %d keys", len(c.keys))
			}
			for _, k := range c.keys {
				got[k] = true
			}
		}
		if len(calls) != 13 || len(got) != 100 || f.most != 3 || b.mark(0) != 100 {
			t.Errorf("%d calls, %d at a time, of %d keys; the mark is %d", len(calls), f.most, len(got), b.mark(0))
		}
	})
}

func TestChangeDuringARefreshIsRefreshedAgain(t *testing.T) {
	bubble(t, &fake{takes: 100 * time.Millisecond}, nil, func(t *testing.T, b *bench) {
		b.change("a")
		rest(50 * time.Millisecond)
		b.change("a", "a")
		rest(60 * time.Millisecond)
		if n := len(b.seen()); n != 2 || b.mark(0) != 1 {
			t.Fatalf("%d calls; the mark is %d", n, b.mark(0))
		}
		rest(time.Second)
		if n := len(b.seen()); n != 2 || b.mark(0) != 3 {
			t.Fatalf("%d calls; the mark is %d", n, b.mark(0))
		}
	})
}

func TestEveryEndButFailedAndNewerIsOne(t *testing.T) {
	ends := map[string]serving.RefreshEnd{
		"a": serving.RefreshFresh, "b": serving.RefreshStored, "c": serving.RefreshMoving, "d": serving.RefreshRefused,
	}
	f := &fake{end: func(_ int, key string) (serving.RefreshEnd, error) { return ends[key], nil }}
	bubble(t, f, nil, func(t *testing.T, b *bench) {
		b.change(slices.Sorted(maps.Keys(ends))...)
		rest(time.Minute)
		if n := len(b.seen()); n != 1 || b.mark(0) != 4 || len(b.hear().told) > 0 {
			t.Errorf("%d calls, the mark is %d, told %q", n, b.mark(0), b.hear().told)
		}
	})
}

// TestWhatNewerDefinitionsHaveIsLeftToThem: a change whose prediction a process
// with newer definitions has stored waits for one to take the partition over,
// and holds up nothing else.
func TestWhatNewerDefinitionsHaveIsLeftToThem(t *testing.T) {
	f := &fake{end: func(_ int, key string) (serving.RefreshEnd, error) {
		if key == "newer" {
			return serving.RefreshNewer, nil
		}
		return serving.RefreshStored, nil
	}}
	bubble(t, f, nil, func(t *testing.T, b *bench) {
		b.change("a", "newer", "b")
		rest(5 * time.Minute)
		if n := len(b.seen()); b.mark(0) != 1 || b.Pending() != 1 || n < 10 || n > 30 {
			t.Errorf("the mark is %d, %d keys wait, after %d calls", b.mark(0), b.Pending(), n)
		}
		if told := b.hear().told; len(told) != 1 || told[0] != errNewer.Error() {
			t.Errorf("told %q", told)
		}
		b.Stop(t.Context(), []int32{0})
		if b.mark(0) != 1 {
			t.Errorf("the next owner begins at %d", b.mark(0))
		}
	})
}

func TestFailuresAreTriedAgainEverLater(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(call int, key string) (serving.RefreshEnd, error)
		told string
	}{
		"of a key":  {func(call int, key string) (serving.RefreshEnd, error) { return failUntil(call, key), nil }, errFailed.Error()},
		"of a call": {func(call int, _ string) (serving.RefreshEnd, error) { return 0, errUntil(call) }, "no store"},
		"ends that lack": {func(call int, _ string) (serving.RefreshEnd, error) {
			return serving.RefreshEnd(200 * min(1, max(0, 16-call))), nil
		}, errFailed.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{end: c.end}
			bubble(t, f, nil, func(t *testing.T, b *bench) {
				b.change("bad", "other")
				rest(0)
				if b.mark(0) != 0 {
					t.Errorf("the mark is %d", b.mark(0))
				}
				b.change("good")
				rest(5 * time.Minute)
				checkBackoff(t, b.seen(), "bad")
				if b.mark(0) != b.next || b.Pending() != 0 || b.hear().retried < 7 {
					t.Errorf("the mark is %d, %d keys wait, %d retries", b.mark(0), b.Pending(), b.hear().retried)
				}
				if !slices.Equal(b.hear().told, []string{c.told, "recovered"}) {
					t.Errorf("told %q", b.hear().told)
				}
			})
		})
	}
}

// failUntil fails key bad in the first calls.
func failUntil(call int, key string) serving.RefreshEnd {
	if call < 16 && key == "bad" {
		return serving.RefreshFailed
	}
	return serving.RefreshFresh
}

func errUntil(call int) error {
	if call < 16 {
		return errors.New("no store")
	}
	return nil
}

// checkBackoff: the waits double, but for jitter, up to the greatest.
func checkBackoff(t *testing.T, calls []called, key string) {
	t.Helper()
	calls = slices.DeleteFunc(calls, func(c called) bool { return !slices.Contains(c.keys, key) })
	wait := 100 * time.Millisecond
	for i := 1; i < len(calls); i++ {
		if gap := calls[i].at.Sub(calls[i-1].at); gap < wait/2 || gap > wait {
			t.Errorf("retry %d came after %v, not %v to %v", i, gap, wait/2, wait)
		}
		wait = min(2*wait, 30*time.Second)
	}
	if len(calls) < 7 {
		t.Errorf("%d calls", len(calls))
	}
}

func TestHotKeyThatFailsKeepsItsBackoff(t *testing.T) {
	f := &fake{end: func(int, string) (serving.RefreshEnd, error) { return serving.RefreshFailed, nil }}
	bubble(t, f, func(s *Settings) { s.Debounce = 10 * time.Millisecond }, func(t *testing.T, b *bench) {
		for range 60_000 {
			b.change("bad")
			time.Sleep(time.Millisecond)
		}
		if n := len(b.seen()); n < 8 || n > 12 || b.mark(0) != 0 {
			t.Errorf("%d calls in a minute; the mark is %d", n, b.mark(0))
		}
	})
}

func TestFullWorkerStopsDeliveries(t *testing.T) {
	for name, bound := range map[string]func(*Settings){
		"keys":  func(s *Settings) { s.MaxKeys = 100 },
		"bytes": func(s *Settings) { s.MaxKeyBytes = 100 * len("k100") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, &fake{takes: time.Second}, func(s *Settings) { s.MaxBatch, s.Calls = 10, 1; bound(s) }, func(t *testing.T, b *bench) {
				b.Begin(1, 0)
				keys := make([]string, 99)
				for i := range keys {
					keys[i] = fmt.Sprint("k", i+100)
				}
				if b.change(keys...) {
					t.Fatal("full too early")
				}
				if !b.change("last") || !b.Take(1, nil, 7) {
					t.Fatal("not full")
				}
				rest(4100 * time.Millisecond)
				if len(b.hear().resumed) > 0 {
					t.Fatalf("resumed with %d keys", b.Pending())
				}
				rest(time.Second)
				if got := slices.Sorted(slices.Values(b.hear().resumed)); !slices.Equal(got, []int32{0, 1}) {
					t.Fatalf("resumed %v with %d keys", got, b.Pending())
				}
				rest(time.Minute)
				if len(b.hear().resumed) != 2 || b.mark(0) != 100 || b.mark(1) != 7 {
					t.Errorf("resumed %v, marks %v", b.hear().resumed, b.Marks(nil))
				}
			})
		})
	}
}

func TestStopDropsWhatWaitsAndWaitsForWhatFlies(t *testing.T) {
	bubble(t, &fake{takes: time.Second}, func(s *Settings) { s.Debounce = 100 * time.Millisecond }, func(t *testing.T, b *bench) {
		b.Begin(1, 0)
		b.change("a")
		rest(200 * time.Millisecond) // a flies
		b.change("a", "b")
		b.Take(1, []Change{{Key: "c"}}, 1)
		begun := time.Now()
		b.Stop(t.Context(), []int32{0, 9})
		if took := time.Since(begun); took != 900*time.Millisecond || b.mark(0) != 1 {
			t.Errorf("stopped after %v; the mark is %d", took, b.mark(0))
		}
		if b.change("d") || b.mark(0) != 1 {
			t.Error("something was taken after that")
		}
		b.Forget([]int32{0, 9})
		rest(time.Minute)
		if b.mark(0) != -1 || b.mark(1) != 1 || b.Pending() != 0 {
			t.Errorf("marks %v, %d keys wait", b.Marks(nil), b.Pending())
		}
		if n := len(b.seen()); n != 2 {
			t.Errorf("%d calls: %v", n, b.seen())
		}
	})
}

func TestStopEndsCallsThatTakeTooLong(t *testing.T) {
	bubble(t, &fake{takes: 10 * time.Second}, nil, func(t *testing.T, b *bench) {
		b.Begin(1, 0)
		b.change("a")
		b.Take(1, []Change{{Key: "c"}}, 1) // in one call with a
		rest(time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		b.Stop(ctx, []int32{0})
		if took := time.Since(begun); took > time.Second || b.mark(0) != 0 {
			t.Errorf("stopped after %v; the mark is %d", took, b.mark(0))
		}
		b.Forget([]int32{0})
		rest(time.Minute)
		if b.mark(1) != 1 {
			t.Errorf("the key of another partition was not tried again: %v", b.Marks(nil))
		}
	})
}

func TestStopDoesNotWaitForTheDeaf(t *testing.T) {
	bubble(t, &fake{takes: time.Minute, deaf: true}, nil, func(t *testing.T, b *bench) {
		b.change("a")
		rest(time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		b.Stop(ctx, []int32{0})
		b.Forget([]int32{0})
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("stopped after %v", took)
		}
		// Assigned again at once: the old call still runs, and a waits for it.
		b.Begin(0, 0)
		b.next = 0
		b.change("a")
		rest(3 * time.Minute)
		if b.mark(0) != 1 || len(b.seen()) != 2 {
			t.Errorf("the mark is %d after %d calls", b.mark(0), len(b.seen()))
		}
	})
}

func TestCallsHaveADeadline(t *testing.T) {
	bubble(t, &fake{takes: time.Hour}, func(s *Settings) { s.Timeout = time.Second }, func(t *testing.T, b *bench) {
		b.change("a")
		rest(1500 * time.Millisecond)
		if b.hear().retried != 1 || len(b.seen()) != 2 {
			t.Errorf("%d retries after %d calls", b.hear().retried, len(b.seen()))
		}
	})
}

func TestSettingsAreChecked(t *testing.T) {
	good := Settings{Model: "m", Refresher: &fake{}, Resume: func(int32) {}, Clock: time.Now}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Settings){
		"no model": func(s *Settings) { s.Model = "" }, "no refresher": func(s *Settings) { s.Refresher = nil },
		"no resume": func(s *Settings) { s.Resume = nil }, "no clock": func(s *Settings) { s.Clock = nil },
		"debounce": func(s *Settings) { s.Debounce = -1 }, "bound": func(s *Settings) { s.MaxBatch = -1 },
		"backoff": func(s *Settings) { s.BackoffMin = time.Hour },
	} {
		s := good
		if spoil(&s); true {
			if _, err := New(s); err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
	}
}
