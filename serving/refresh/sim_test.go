package refresh_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace/serving"
)

// The sabotages: one part of what makes invariant 12 hold is taken away.
const (
	noVerification = "who has written does not look again"
	noFingerprint  = "predictions are judged by version and age"
	noStampRule    = "a stamp is the time, whatever was stored before"
	publishFirst   = "changes are told before they are stored"
	commitEarly    = "what was taken is committed"
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
		s.model.random = s.rng.IntN(3) == 0
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
		s.skews[i] = time.Duration(s.rng.Int64N(int64(2*skewMost))) - skewMost
		s.serving = append(s.serving, s.world.start(1, s.skews[i]))
	}
	for range simRefreshers {
		s.refreshers = append(s.refreshers, s.startRefresher(1, 0))
	}
	for p := range int32(parts) {
		s.refreshers[p].assign(p)
	}
}

// step does something, and lets time pass.
func (s *simulation) step() {
	switch n := s.n(28); {
	case n < 9:
		s.write()
	case n < 17:
		s.read()
	case n == 17:
		i := s.n(simServing)
		s.serving[i].crash()
		if s.oneIn(4) {
			s.versionOf[i] = s.newest()
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
			s.serving[i] = s.world.start(s.versionOf[i], s.skews[i])
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
	old, r := s.refreshers[i], s.startRefresher(s.newest(), 0)
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
		time.Sleep(s.span(200 * time.Millisecond))
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
		switch s.n(3) {
		case 0: // goes first
			s.versionOf[i] = 2
			s.serving[i].crash()
		case 1: // when it crashes
			s.versionOf[i] = 2
		case 2: // stays as it is
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

// finish heals everything, lets it come to rest, and looks.
func (s *simulation) finish() {
	s.mu.Lock()
	s.healed = true
	s.mu.Unlock()
	s.restart()
	if !s.drained() {
		return
	}
	time.Sleep(15 * time.Second) // what goes on behind lookups
	s.audit()
	s.mu.Lock()
	kept, answers := s.kept, s.model.answers
	s.mu.Unlock()
	const rest = time.Minute
	for range rest / time.Second {
		s.read()
		s.read()
		time.Sleep(time.Second)
	}
	most := 3 * simKeys // of what nobody has read since it became stale
	if s.kind.maxAge > 0 {
		most += 3 * simKeys * int((rest+2*skewMost)/s.kind.maxAge)
	}
	s.mu.Lock()
	if kept, answers = s.kept-kept, s.model.answers-answers; kept > most || answers > most {
		s.faultf("at rest %d predictions were stored, and the model was asked %d times", kept, answers)
	}
	s.mu.Unlock()
	s.audit()
}

// drained waits until every event and every change has had its end.
func (s *simulation) drained() bool {
	done := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, l := range s.lanes {
			if l.committed < len(l.events) {
				return false
			}
		}
		for p, log := range s.changes.log {
			if s.changes.committed[p] < int64(len(log)) {
				return false
			}
		}
		return true
	}
	for range 6000 {
		s.restart()
		if done() {
			return true
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faultf("not everything is done: %v of %d and %d changes", s.changes.committed, len(s.changes.log[0]), len(s.changes.log[1]))
	for p, r := range s.changes.owner {
		s.faultf("owner of %d: ended %t, marks %v, %d wait, next %v", p, r.ended(), r.worker.Marks(nil), r.worker.Pending(), r.next)
	}
	return false
}

// audit holds that predictions that are to be refreshed are those of their inputs.
func (s *simulation) audit() {
	auditor := s.startOver(conn{w: s.world, life: newLife(), audits: true}, s.newest(), 0)
	defer auditor.crash()
	for key := range simKeys {
		if s.own[key].After(s.applied) && !s.other[key].After(s.own[key].Add(-5*time.Second)) {
			s.auditKey(auditor, key)
		}
	}
}

func (s *simulation) auditKey(auditor *process, key int) {
	s.mu.Lock()
	stamp := s.cells[cell{s.kind.entity, s.kind.textOf(key), "m@1"}].Stamp
	auditor.skew = time.UnixMicro(stamp).Sub(time.Now()) // no prediction is old
	s.mu.Unlock()
	resp := new(serving.Response)
	defer resp.Release()
	fault := auditor.ask([]int{key}, resp, "m:echo")
	if fault != nil && auditor.ask([]int{key}, resp) == nil && refusedInputs(auditor.wanted(resp, 0)) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if fault != nil {
		s.faultf("at rest key %d has no fresh prediction: %v", key, fault)
		s.faults = append(s.faults, s.trace[s.kind.textOf(key)]...)
		return
	}
	switch v, got, want := auditor.prediction(resp, 0); {
	case refusedInputs(want):
		if v.Origin == serving.OriginFresh {
			s.faultf("at rest key %d has prediction %q, which the model refuses to make", key, got)
		}
	case v.Origin != serving.OriginFresh || got != want:
		s.faultf("at rest key %d has prediction %q as %s:%s for %q", key, got, v.Origin, v.Detail, want)
		s.faults = append(s.faults, s.trace[s.kind.textOf(key)]...)
	}
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
	if one := os.Getenv("ONE"); one != "" {
		return 0
	}
	if n, err := strconv.ParseUint(os.Getenv("MILLRACE_SIM_SEEDS"), 10, 64); err == nil {
		return n
	}
	return 60
}

// TestSimulatedPredictionsAreOfTheirInputs runs many seeds; MILLRACE_SIM_SEEDS
// asks for more.
func TestSimulatedPredictionsAreOfTheirInputs(t *testing.T) {
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

// TestSabotagesOfPredictionsAreSeen: with one part of what makes invariant 12
// hold taken away, simulations go wrong.
func TestSabotagesOfPredictionsAreSeen(t *testing.T) {
	for _, broken := range []string{noVerification, noFingerprint, noStampRule, publishFirst, commitEarly} {
		t.Run(broken, func(t *testing.T) {
			t.Parallel()
			const enough, most = 3, 2000
			wrong, seeds, said := 0, uint64(0), ""
			for ; seeds < most && wrong < enough; seeds++ {
				if faults := simulate(t, seeds, broken); len(faults) > 0 {
					wrong, said = wrong+1, faults[0]
				}
			}
			t.Logf("%d of %d simulations went wrong: %s", wrong, seeds, said)
			if wrong < enough {
				t.Error("too little was seen")
			}
		})
	}
}

func TestOne(t *testing.T) {
	n, err := strconv.ParseUint(os.Getenv("ONE"), 10, 64)
	if err != nil {
		t.Skip()
	}
	for range 5 {
		t.Log(strings.Join(simulate(t, n, ""), "\n"))
	}
}
