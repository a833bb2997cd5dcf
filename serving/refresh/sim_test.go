package refresh_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/internal/synctest"
)

const (
	simKeys       = 4
	simRefreshers = 3
	simServing    = 2
	simLanes      = 2
)

// simulation plays random steps against processes that serve and refresh, and
// lanes. Invariant 12 of DESIGN section 17 holds all the time, and when all has
// come to rest; and it does come to rest.
type simulation struct {
	*world

	lanes      []*lane
	serving    []*process
	refreshers []*refresher
	versionOf  [simServing]int // a serving process may be of an old version, or early of the new one
	skews      [simServing]time.Duration

	// When, last: a key was written of its own entity; one of another entity was;
	// all who refresh had the newest definitions.
	own, other [simKeys]time.Time
	applied    time.Time
}

// simulate plays a seed and returns what it broke.
func simulate(t *testing.T, seed uint64, broken string) (faults []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour) // no clock of ours is before midnight, when windows slide
		s := &simulation{world: newWorld(seed, broken)}
		var err error
		if s.kind, err = drawKind(s.rng); err != nil {
			t.Fatal(err)
		}
		s.model.random, s.slow = s.rng.IntN(3) == 0, s.rng.IntN(3) == 0
		s.start()
		for range 20 + s.n(30) {
			s.step()
		}
		s.apply()
		for range 10 + s.n(20) {
			s.step()
		}
		s.finish()
		s.end()
		faults = s.faults
	})
	return faults
}

func (s *simulation) start() {
	s.changes.version, s.applied = 1, time.Now()
	for n := range int32(simLanes) {
		s.lanes = append(s.lanes, s.newLane(n))
	}
	for i := range simServing {
		s.versionOf[i] = 1
		s.skews[i] = s.skew()
		s.serving = append(s.serving, s.serve(i))
	}
	for range simRefreshers {
		s.refreshers = append(s.refreshers, s.startRefresher(1, s.skew()))
	}
	for p := range int32(parts) {
		s.refreshers[p].assign(p)
	}
}

// serve starts the i-th process that serves.
func (s *simulation) serve(i int) *process {
	p := s.world.start(s.versionOf[i], s.skews[i])
	p.serves = true
	return p
}

// skew is how far a clock is from the time.
func (s *simulation) skew() time.Duration { return time.Duration(s.n(int(2*skewMost))) - skewMost }

// step does something, and lets time pass.
func (s *simulation) step() {
	switch n := s.n(28); {
	case n < 9:
		s.write()
	case n < 17:
		s.read()
	case n == 17:
		if i := s.n(simServing); !s.slow {
			s.serving[i].crash()
			if s.oneIn(4) {
				s.versionOf[i] = s.newest()
			}
		}
	case n == 18:
		s.lanes[s.n(simLanes)].crash()
	case n == 19:
		s.refreshers[s.n(simRefreshers)].crash()
	case n == 20:
		s.move(int32(s.n(parts)), s.refreshers[s.n(simRefreshers)])
	case n == 21:
		s.steal(int32(s.n(parts)), s.refreshers[s.n(simRefreshers)])
	case n == 22:
		s.set(&s.down, s.oneIn(2))
	case n == 23:
		s.set(&s.model.down, s.oneIn(2))
	case n > 23: // of one key, at nearly the same time
		s.race()
	}
	time.Sleep(s.span(60 * time.Millisecond))
	s.restart()
}

func (s *simulation) set(what *bool, to bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*what = to
}

// write writes an event of a key, or some of one that is hot.
func (s *simulation) write() {
	key, times := s.n(simKeys), 1
	if s.oneIn(5) {
		times = 5
	}
	for range times {
		s.writeTo(key)
	}
}

// writeTo writes an event of a key for one of its views.
func (s *simulation) writeTo(key int) {
	views := []string{"a", "b", "w", "up"}
	if s.kind.entity == "driver" {
		views = views[:3]
	}
	s.writeOf(views[s.n(len(views))], key)
}

func (s *simulation) writeOf(view string, key int) {
	if view == "up" {
		for k := range s.other {
			if s.kind.keyOf(k, "driver_id") == s.kind.keyOf(key, "driver_id") {
				s.other[k] = time.Now()
			}
		}
	} else {
		s.own[key] = time.Now()
	}
	s.lanes[s.n(simLanes)].write(view, key, int64(s.n(30)))
}

// read has one of the serving processes look keys up.
func (s *simulation) read() {
	p, keys := s.serving[s.n(simServing)], s.order(simKeys)[:1+s.n(simKeys)]
	if s.oneIn(2) {
		keys = []int{0} // the hot one
	}
	s.behind.Go(func() { p.lookup(keys) })
}

// race has everybody be at one key.
func (s *simulation) race() {
	key := s.n(simKeys)
	for range 4 {
		for _, p := range s.serving {
			s.behind.Go(func() {
				time.Sleep(s.span(20 * time.Millisecond))
				p.lookup([]int{key})
			})
		}
		s.writeTo(key)
		time.Sleep(s.span(10 * time.Millisecond))
	}
}

// restart starts processes in the place of those that have crashed.
func (s *simulation) restart() {
	for i, p := range s.serving {
		if p.ended() {
			s.serving[i] = s.serve(i)
		}
	}
	for i, r := range s.refreshers {
		if r.ended() {
			s.replace(i, 3*time.Second)
		}
	}
}

// replace starts a refresher in the place of one that is dead, whose partitions
// others get when the group has noticed.
func (s *simulation) replace(i int, unaware time.Duration) {
	old, r := s.refreshers[i], s.startRefresher(s.newest(), s.skew())
	s.mu.Lock()
	s.refreshers[i] = r
	s.mu.Unlock()
	for p := range int32(parts) {
		if s.ownerOf(p) == old {
			s.behind.Go(func() { s.rescue(p, unaware) })
		}
	}
}

// rescue gives a partition to a refresher that lives.
func (s *simulation) rescue(p int32, unaware time.Duration) {
	for time.Sleep(unaware); s.ownerOf(p).ended(); time.Sleep(50 * time.Millisecond) {
		s.mu.Lock()
		to := s.refreshers[s.rng.IntN(simRefreshers)]
		s.mu.Unlock()
		if !to.ended() {
			to.assign(p)
		}
	}
}

func (s *simulation) ownerOf(p int32) *refresher {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changes.owner[p]
}

// move gives a partition to another refresher in good order.
func (s *simulation) move(p int32, to *refresher) {
	old := s.ownerOf(p)
	if old == to || old.ended() || to.ended() {
		return
	}
	old.leave(p)
	to.assign(p)
}

// steal gives a partition to another refresher, while its owner works on and
// hears of it later.
func (s *simulation) steal(p int32, to *refresher) {
	old := s.ownerOf(p)
	if old == to || old.ended() || to.ended() {
		return
	}
	to.assign(p)
	s.behind.Go(func() {
		time.Sleep(s.span(unawareOp))
		if s.ownerOf(p) != old {
			old.lose(p)
		}
	})
}

// apply has the second version of the definitions take effect, or not: first
// where somebody serves, or where somebody refreshes.
func (s *simulation) apply() {
	if s.oneIn(3) {
		return
	}
	s.mu.Lock()
	s.changes.version = 2
	s.mu.Unlock()
	for i := range s.serving {
		switch n := s.n(3); {
		case s.slow: // it does not end
		case n == 0: // goes first
			s.versionOf[i] = 2
			s.serving[i].crash()
		case n == 1: // when it crashes
			s.versionOf[i] = 2
		default: // stays as it is
		}
	}
	s.restart()
	for range s.n(6) {
		s.step()
	}
	for i, r := range s.refreshers {
		if r.version == 2 {
			continue
		}
		for p := range int32(parts) {
			if s.ownerOf(p) == r {
				r.leave(p)
			}
		}
		r.crash()
		s.replace(i, 0)
		time.Sleep(s.span(60 * time.Millisecond))
	}
	s.applied = time.Now()
}

// end ends all processes.
func (s *simulation) end() {
	for _, l := range s.lanes {
		l.end()
	}
	for _, p := range s.serving {
		p.crash()
	}
	for _, r := range s.refreshers {
		r.crash()
	}
	s.behind.Wait()
}

func simSeeds() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("MILLRACE_SIM_SEEDS"), 10, 64); err == nil {
		return n
	}
	return 60
}

// TestSimulatedPredictionsAreOfTheirInputs runs many seeds; MILLRACE_SIM_SEEDS
// asks for more.
func TestSimulatedPredictionsAreOfTheirInputs(t *testing.T) {
	t.Parallel()
	shards := uint64(runtime.GOMAXPROCS(0))
	for shard := range shards {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			for seed := shard; seed < simSeeds(); seed += shards {
				if faults := simulate(t, seed, ""); len(faults) > 0 {
					t.Errorf("seed %d: %s", seed, strings.Join(faults, "\n"))
				}
			}
		})
	}
}
