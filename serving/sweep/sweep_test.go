package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/internal/synctest"
	"millrace/serving"
	"millrace/serving/sweep"
	"millrace/sinks"
	"millrace/sinks/memory"
)

// model refreshes by a rule of the test and remembers which keys it has brought
// to a good end.
type model struct {
	mu    sync.Mutex
	ends  map[string]int
	calls int
	keys  int                                                      // asked for
	most  int                                                      // keys of a call
	rule  func(call int, key string) (serving.RefreshEnd, error)   // nil stores all
	enter func(ctx context.Context, call int, keys []string) error // nil takes no time
}

func (m *model) Refresh(ctx context.Context, name string, keys []string, by string, dst []serving.RefreshEnd) ([]serving.RefreshEnd, error) {
	m.mu.Lock()
	m.calls++
	call := m.calls
	m.keys, m.most = m.keys+len(keys), max(m.most, len(keys))
	m.mu.Unlock()
	if name != "fraud" || by != "refresh" {
		return nil, fmt.Errorf("asked for model %s by %s", name, by)
	}
	if m.enter != nil {
		if err := m.enter(ctx, call, keys); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		end, err := serving.RefreshStored, error(nil)
		if m.rule != nil {
			end, err = m.rule(call, k)
		}
		if err != nil {
			return nil, err
		}
		if end != serving.RefreshFailed {
			if m.ends == nil {
				m.ends = make(map[string]int)
			}
			m.ends[k]++
		}
		dst = append(dst, end)
	}
	return dst, nil
}

func filled(t testing.TB, n int) *memory.Store {
	t.Helper()
	s := &memory.Store{}
	rows := make([]sinks.Row, n)
	for i := range rows {
		rows[i] = sinks.Row{Entity: "driver", Key: fmt.Sprintf("%06d", i), View: "trips@1", Value: []byte("value")}
	}
	if err := s.Write(context.Background(), rows); err != nil {
		t.Fatal(err)
	}
	return s
}

func settings(s sweep.Store, m *model) sweep.Settings {
	return sweep.Settings{Store: s, Refresher: m, Model: "fraud", Entity: "driver", By: "refresh", Work: "fraud 1", MaxBatch: 64}
}

// place returns what is saved; "" is nothing.
func place(t testing.TB, s *memory.Store) string {
	t.Helper()
	text, err := s.Get(context.Background(), sinks.MetaRefreshes, "fraud")
	if err != nil && !errors.Is(err, sinks.ErrNoEntry) {
		t.Fatal(err)
	}
	return string(text)
}

func all(t testing.TB, m *model, n int) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.ends) != n {
		t.Fatalf("%d of %d keys are refreshed", len(m.ends), n)
	}
}

func TestEveryKeyIsRefreshedInFullBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 2500
		s, m := filled(t, n), &model{}
		set := settings(s, m)
		var last sweep.Status
		set.Progress = func(p sweep.Status) {
			if p.Progress < last.Progress || p.Counts.Keys() < last.Counts.Keys() {
				t.Errorf("after %+v comes %+v", last, p)
			}
			last = p
		}
		r, err := sweep.Run(t.Context(), set)
		if err != nil {
			t.Fatal(err)
		}
		all(t, m, n)
		if r.Counts[serving.RefreshStored] != n || r.Counts.Keys() != n || r.Resumed || r.Begun.IsZero() {
			t.Errorf("result %+v", r)
		}
		if last.Progress != 1 || last.Counts.Keys() != n {
			t.Errorf("the last that was told is %+v", last)
		}
		if m.keys != n || m.most > 64 || m.calls > n/64+4 {
			t.Errorf("%d keys in %d calls of at most %d", m.keys, m.calls, m.most)
		}
		if p := place(t, s); p != "" {
			t.Errorf("at the end %s is saved", p)
		}
	})
}

func TestEntityWithoutKeysIsAtItsEnd(t *testing.T) {
	s, m := filled(t, 0), &model{}
	if r, err := sweep.Run(t.Context(), settings(s, m)); err != nil || m.calls != 0 || r.Counts.Keys() != 0 {
		t.Errorf("%d calls, %+v, %v", m.calls, r, err)
	}
}

var errDead = errors.New("the process is killed")

// killed is a store in which nothing is saved any more once the process is dead.
type killed struct {
	*memory.Store
	dead *bool
	mu   *sync.Mutex
}

func (k killed) Swap(ctx context.Context, t sinks.MetaTable, id string, old, value []byte) (bool, error) {
	k.mu.Lock()
	dead := *k.dead
	k.mu.Unlock()
	if dead {
		return false, errDead
	}
	return k.Store.Swap(ctx, t, id, old, value)
}

// Processes are killed at random calls, without a last word; calls, scans and
// saves fail at random, and take random times. At the end of it every key must
// have had a good end, and the runs together must have ended.
func TestKilledAnywhereNoKeyIsLeftOut(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 3000).Draw(rt, "keys")
		kills := rapid.SliceOfN(rapid.IntRange(1, 40), 0, 4).Draw(rt, "kills")
		failing := rapid.IntRange(2, 30).Draw(rt, "failing")
		seed := rapid.Uint64().Draw(rt, "seed")
		fault := ""
		synctest.Test(t, func(t *testing.T) { fault = killAnywhere(t, n, kills, failing, seed) })
		if fault != "" {
			rt.Fatal(fault)
		}
	})
}

// killAnywhere returns what is wrong in the end.
func killAnywhere(t *testing.T, n int, kills []int, failing int, seed uint64) string {
	s, m := filled(t, n), &model{}
	fate := &fate{random: rand.New(rand.NewPCG(seed, 0))}
	s.Fail(func(string) error {
		if fate.fails(failing) {
			return sinks.ErrUnavailable
		}
		return nil
	})
	m.rule = func(int, string) (serving.RefreshEnd, error) {
		switch {
		case fate.fails(failing * 50):
			return 0, errors.New("the call fails")
		case fate.fails(failing):
			return serving.RefreshFailed, nil
		}
		return serving.RefreshStored, nil
	}
	passedOver := 0
	for run := 0; ; run++ {
		if run > 200 {
			return "200 runs are not enough"
		}
		ctx, kill := context.WithCancel(t.Context())
		var dead bool
		var mu sync.Mutex
		calls := 0
		m.enter = func(ctx context.Context, call int, _ []string) error {
			mu.Lock()
			calls++
			if run < len(kills) && calls == kills[run] {
				dead = true
				kill()
			}
			mu.Unlock()
			select {
			case <-time.After(time.Duration(call%7) * 300 * time.Millisecond):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		set := settings(killed{s, &dead, &mu}, m)
		set.SaveEvery = time.Second
		r, err := sweep.Run(ctx, set)
		kill()
		if r != nil {
			passedOver += int(r.Counts[serving.RefreshFailed])
		}
		if err == nil {
			break
		}
	}
	s.Fail(nil)
	if left := n - len(m.ends); left > passedOver {
		return fmt.Sprintf("%d of %d keys are left out, %d were said to have failed", left, n, passedOver)
	}
	if p := place(t, s); p != "" {
		return "at the end there is saved: " + p
	}
	return ""
}

// fate decides what fails. It is safe for concurrent use.
type fate struct {
	mu     sync.Mutex
	random *rand.Rand
}

// fails is true once in n times.
func (f *fate) fails(n int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.random.IntN(n) == 0
}

func TestInterruptedItGoesOnWhereItStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 5000
		s, m := filled(t, n), &model{}
		ctx, interrupt := context.WithCancel(t.Context())
		m.enter = func(ctx context.Context, call int, _ []string) error {
			if call == 40 {
				interrupt()
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(100 * time.Millisecond):
				return nil
			}
		}
		r, err := sweep.Run(ctx, settings(s, m))
		if !errors.Is(err, context.Canceled) || place(t, s) == "" {
			t.Fatalf("%v; saved is %q", err, place(t, s))
		}
		first := r.Counts.Keys()
		m.enter = nil
		if r, err = sweep.Run(t.Context(), settings(s, m)); err != nil {
			t.Fatal(err)
		}
		all(t, m, n)
		if !r.Resumed || r.From <= 0 || r.From >= 1 || r.Earlier.Keys() == 0 || r.Earlier.Keys() > first || r.Counts.Keys()+r.Earlier.Keys() != n {
			t.Errorf("after a run of %d keys: %+v", first, r)
		}
	})
}

func TestOtherWorkAndRestartBeginAnew(t *testing.T) {
	for name, change := range map[string]func(*sweep.Settings){
		"another version": func(s *sweep.Settings) { s.Work = "fraud 2" },
		"restart":         func(s *sweep.Settings) { s.Restart = true },
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { beginAnew(t, change) }) })
	}
}

func beginAnew(t *testing.T, change func(*sweep.Settings)) {
	const n = 3000
	s, m := filled(t, n), &model{}
	ctx, interrupt := context.WithCancel(t.Context())
	m.enter = func(_ context.Context, call int, _ []string) error {
		time.Sleep(time.Second)
		if call == 30 {
			interrupt()
		}
		return nil
	}
	if _, err := sweep.Run(ctx, settings(s, m)); err == nil || place(t, s) == "" {
		t.Fatalf("%v; saved is %q", err, place(t, s))
	}
	m.ends, m.enter = nil, nil
	set := settings(s, m)
	change(&set)
	if r, err := sweep.Run(t.Context(), set); err != nil || r.Resumed {
		t.Errorf("%+v, %v", r, err)
	}
	all(t, m, n)
}

// Whoever begins anew and is interrupted at once must not go on later from the
// place before.
func TestPlaceIsForgottenWhenItBeginsAnew(t *testing.T) {
	s, m := filled(t, 10), &model{}
	old := `{"work":"fraud 1","cursor":"memory1:MDAwMDA4","progress":0.9}`
	if ok, err := s.Swap(t.Context(), sinks.MetaRefreshes, "fraud", nil, []byte(old)); err != nil || !ok {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	m.enter = func(context.Context, int, []string) error { interrupt(); return nil }
	set := settings(s, m)
	set.Restart = true
	if _, err := sweep.Run(ctx, set); !errors.Is(err, context.Canceled) || place(t, s) != "" {
		t.Errorf("%v; saved is %q", err, place(t, s))
	}
}

func TestDeadModelEndsTheSweepWithItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 3000
		s, m := filled(t, n), &model{}
		dead := errors.New("connection refused")
		m.rule = func(call int, _ string) (serving.RefreshEnd, error) {
			if call > 30 {
				return 0, dead
			}
			return serving.RefreshFresh, nil
		}
		m.enter = func(context.Context, int, []string) error { time.Sleep(100 * time.Millisecond); return nil }
		set := settings(s, m)
		failing := false
		set.Progress = func(p sweep.Status) { failing = failing || !p.Failing.IsZero() && errors.Is(p.Err, dead) }
		begun := time.Now()
		r, err := sweep.Run(t.Context(), set)
		if took := time.Since(begun); !errors.Is(err, sweep.ErrGaveUp) || !errors.Is(err, dead) || took < 30*time.Second || took > 40*time.Second {
			t.Fatalf("after %v: %v", took, err)
		}
		if place(t, s) == "" || !failing || r.Counts[serving.RefreshFailed] != 0 || r.Counts.Keys() == 0 || r.Left != 0 {
			t.Errorf("saved is %q, told of failures: %v, %+v", place(t, s), failing, r)
		}
		m.rule = nil
		if _, err = sweep.Run(t.Context(), settings(s, m)); err != nil {
			t.Fatal(err)
		}
		all(t, m, n)
	})
}

func TestModelThatComesBackIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		s, m := filled(t, n), &model{}
		begun := time.Now()
		m.rule = func(int, string) (serving.RefreshEnd, error) {
			if up := time.Since(begun); up > time.Second && up < 25*time.Second {
				return serving.RefreshFailed, nil
			}
			return serving.RefreshStored, nil
		}
		m.enter = func(context.Context, int, []string) error { time.Sleep(100 * time.Millisecond); return nil }
		set := settings(s, m)
		set.MaxBatch = 4
		r, err := sweep.Run(t.Context(), set)
		if err != nil || r.Counts[serving.RefreshStored] != n {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestKeysThatFailAloneArePassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 3000
		s, m := filled(t, n), &model{}
		m.rule = func(_ int, key string) (serving.RefreshEnd, error) {
			if key[len(key)-3:] == "007" {
				return serving.RefreshFailed, nil
			}
			return serving.RefreshStored, nil
		}
		m.enter = func(context.Context, int, []string) error { time.Sleep(time.Second); return nil }
		set := settings(s, m)
		set.MaxBatch, set.Parallel = 10, 8
		r, err := sweep.Run(t.Context(), set)
		if err != nil || r.Counts[serving.RefreshFailed] != 3 || r.Counts.Keys() != n || place(t, s) != "" {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// TestLastKeysThatFailAreToldFromADeadModel: when all others are done, nothing
// tells a key at fault from a model that went away, and a person is to look.
func TestLastKeysThatFailAreToldFromADeadModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 200
		s, m := filled(t, n), &model{}
		m.rule = func(_ int, key string) (serving.RefreshEnd, error) {
			if key == "000007" {
				return serving.RefreshFailed, nil
			}
			return serving.RefreshStored, nil
		}
		r, err := sweep.Run(t.Context(), settings(s, m))
		if !errors.Is(err, sweep.ErrGaveUp) || r.Left != 1 || r.Counts[serving.RefreshStored] != n-1 || r.Counts.Keys() != n-1 {
			t.Fatalf("%+v, %v", r, err)
		}
		m.rule = nil
		if r, err = sweep.Run(t.Context(), settings(s, m)); err != nil || r.Left != 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		all(t, m, n)
	})
}

func TestRateIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := filled(t, 2000), &model{}
		set := settings(s, m)
		set.Rate = 100
		begun := time.Now()
		if _, err := sweep.Run(t.Context(), set); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun).Seconds(); math.Abs(took-20) > 1 {
			t.Errorf("2000 keys at 100 a second took %.1f s", took)
		}
	})
}

func TestInterruptIsHeededAtOnce(t *testing.T) {
	for name, change := range map[string]func(*sweep.Settings, *model){
		"in a call": func(_ *sweep.Settings, m *model) {
			m.enter = func(ctx context.Context, _ int, _ []string) error { <-ctx.Done(); return ctx.Err() }
		},
		"in a pause": func(_ *sweep.Settings, m *model) {
			m.rule = func(int, string) (serving.RefreshEnd, error) { return 0, errDead }
		},
		"at a rate": func(s *sweep.Settings, _ *model) { s.Rate = 0.1 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, m := filled(t, 1000), &model{}
				set := settings(s, m)
				change(&set, m)
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				begun := time.Now()
				if _, err := sweep.Run(ctx, set); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 21*time.Second {
					t.Errorf("after %v: %v", time.Since(begun), err)
				}
			})
		})
	}
}

func TestTwoSweepsAtOnceAreHarmless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 3000
		s, m := filled(t, n), &model{}
		m.enter = func(_ context.Context, call int, _ []string) error {
			time.Sleep(time.Duration(call%5) * time.Second)
			return nil
		}
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if r, err := sweep.Run(t.Context(), settings(s, m)); err != nil || r.Counts.Keys() != n {
					t.Errorf("%+v, %v", r, err)
				}
			})
		}
		both.Wait()
		all(t, m, n)
	})
}

// choking is a model that fails a call with a bad key in it for all its keys, which
// its client sends in halves the next time, but not within two seconds.
type choking struct {
	bad   string
	mu    sync.Mutex
	limit map[string]int
	until map[string]time.Time
	fails map[int]map[string]bool // by call
}

func (c *choking) enter(_ context.Context, call int, keys []string) error {
	time.Sleep(10 * time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	fails, now := make(map[string]bool), time.Now()
	var one []string
	send := func() {
		for _, k := range one {
			if slices.Contains(one, c.bad) {
				fails[k], c.limit[k], c.until[k] = true, max(1, len(one)/2), now.Add(2*time.Second)
			}
		}
		one = nil
	}
	for _, k := range keys {
		limit := c.limit[k]
		if now.Before(c.until[k]) {
			fails[k] = true
			continue
		}
		if one = append(one, k); limit > 0 && len(one) >= limit {
			send()
		}
	}
	send()
	c.fails[call] = fails
	return nil
}

func (c *choking) rule(call int, key string) (serving.RefreshEnd, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fails[call][key] {
		return serving.RefreshFailed, nil
	}
	return serving.RefreshStored, nil
}

// A key that the model chokes on is passed over, and none of those beside it.
func TestOneBadKeyIsPassedOverAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 400_000
		s := filled(t, n)
		c := &choking{bad: "000100", limit: make(map[string]int), until: make(map[string]time.Time), fails: make(map[int]map[string]bool)}
		m := &model{enter: c.enter, rule: c.rule}
		set := settings(s, m)
		set.MaxBatch = 256
		r, err := sweep.Run(t.Context(), set)
		if err != nil {
			t.Fatal(err)
		}
		if failed := r.Counts[serving.RefreshFailed]; failed != 1 || m.ends[c.bad] != 0 {
			t.Errorf("%d keys are passed over", failed)
		}
	})
}
