package pipeline

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/internal/synctest"
	"millrace/sources"
)

// A simulation plays a script against several pipelines that share partitions,
// a log, a group and a store, in virtual time. Whatever the script does, the
// invariants of DESIGN section 17 hold: 1 (no commit before the ends), 2 (none
// after a revoke), 3 (the newest row stays), 8 (every row has one end), 9
// (bounded memory); and when all is healed, everything is committed.
type simulation struct {
	w         *world
	processes []*process
	replayer  *simReplayer // nil while no replay runs
}

// step is one thing that happens; rapid draws and shrinks lists of them.
type step struct {
	what      string
	partition int32
	process   int
	n         int
}

func (s step) String() string {
	return fmt.Sprintf("%s p%d m%d %d", s.what, s.partition, s.process, s.n)
}

const (
	simPartitions = 3
	simMembers    = 3
)

var simSteps = []string{
	"publish", "publish", "publish", "wait", "wait", "move", "move", "steal", "crash", "restart",
	"store", "broker", "decoder", "heal", "apply", "recreate", "replay", "replay", "interrupt",
}

func drawScript(t *rapid.T) []step {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{
			what:      rapid.SampledFrom(simSteps).Draw(t, "what"),
			partition: int32(rapid.IntRange(0, simPartitions-1).Draw(t, "partition")),
			process:   rapid.IntRange(0, simMembers-1).Draw(t, "process"),
			n:         rapid.IntRange(1, 40).Draw(t, "n"),
		}
	}), 1, 40).Draw(t, "script")
}

func TestSimulatedGroupKeepsTheInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed, volatile := rapid.Uint64().Draw(rt, "seed"), rapid.Bool().Draw(rt, "volatile")
		if faults := simulate(t, seed, volatile, "", drawScript(rt)); len(faults) > 0 {
			rt.Fatalf("%v", faults)
		}
	})
}

// simulate plays a script and returns what it broke.
func simulate(t *testing.T, seed uint64, volatile bool, broken string, script []step) (faults []string) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		s := &simulation{w: newWorld(seed, volatile)}
		s.w.broken = broken
		for range simMembers {
			s.start(len(s.processes))
		}
		for n := range int32(simPartitions) {
			p := sources.Partition{Topic: "trips", Number: n}
			s.w.publish(p, 5)
			s.processes[int(n)%simMembers].assign(p)
		}
		for _, st := range script {
			s.play(st)
			s.restartEnded()
		}
		s.finish()
		faults = s.w.faults
	})
	return faults
}

func (s *simulation) start(i int) {
	m, err := s.w.join()
	if err != nil {
		s.w.reportf("join: %v", err)
		return
	}
	if i == len(s.processes) {
		s.processes = append(s.processes, nil)
	}
	s.processes[i] = m
}

func (s *simulation) play(st step) {
	p := sources.Partition{Topic: "trips", Number: st.partition}
	m := s.processes[st.process]
	switch st.what {
	case "publish":
		s.w.publish(p, st.n)
	case "wait":
		time.Sleep(time.Duration(st.n) * 20 * time.Millisecond)
	case "move":
		s.move(p, m)
	case "steal":
		s.steal(p, m, time.Duration(st.n)*10*time.Millisecond)
	case "crash":
		s.replace(st.process, m.crash)
	case "restart":
		s.replace(st.process, m.leave)
	case "store":
		s.set(&s.w.storeDown, true)
	case "broker":
		s.set(&s.w.brokerDown, true)
	case "decoder":
		s.set(&s.w.decoderDown, true)
	case "heal":
		s.heal()
	case "apply":
		s.w.apply(st.n)
	case "recreate":
		s.recreate(p, st.process, time.Duration(st.n)*10*time.Millisecond)
	case "replay":
		s.replay()
	case "interrupt":
		if s.replayer != nil {
			s.replayer.crash()
			s.replayer = nil
		}
	}
}

// restartEnded starts processes again that ended by themselves, because a
// partition needed newer definitions; they load the newest.
func (s *simulation) restartEnded() {
	for again := true; again; {
		again = false
		for i, m := range s.processes {
			select {
			case <-m.ended:
				again = true
				s.replace(i, m.leave)
			default:
			}
		}
	}
}

// replay starts a replay, where none runs.
func (s *simulation) replay() {
	if s.replayer != nil {
		select {
		case <-s.replayer.ended:
		default:
			return
		}
	}
	s.replayer = s.w.replay()
}

// recreate deletes the topic of a partition and makes it again, once all of it
// was read; two processes notice at the same time.
func (s *simulation) recreate(p sources.Partition, member int, unaware time.Duration) {
	s.heal()
	if !s.wait(func() bool { return s.w.settledAt(p) && s.w.owner[p] != nil }) {
		s.w.reportf("partition %d does not settle", p.Number)
		return
	}
	lose := func(m *process) {
		m.order(func(h sources.Handler) {
			h.Lost([]sources.Partition{p})
			m.forget(p)
		})
	}
	old, m := s.ownerOf(p), s.processes[member] // some may have been started again
	lose(old)
	s.w.mu.Lock()
	s.w.past[p] = append(s.w.past[p], s.w.logs[p])
	s.w.logs[p], s.w.verified[p] = nil, 0
	s.w.mu.Unlock()
	s.w.publish(p, 5)
	if m == old {
		m.assign(p)
		return
	}
	var both sync.WaitGroup
	both.Go(func() { m.assign(p) })
	both.Go(func() { old.assign(p) })
	both.Wait()
	time.Sleep(unaware)
	for _, one := range []*process{m, old} {
		if s.ownerOf(p) != one {
			lose(one)
		}
	}
}

// wait waits, for a long time, until something holds; processes that end
// meanwhile are started again.
func (s *simulation) wait(until func() bool) bool {
	locked := func() bool {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		return until()
	}
	for patience := time.Now().Add(10 * time.Minute); !locked(); time.Sleep(100 * time.Millisecond) {
		if s.restartEnded(); time.Now().After(patience) {
			return false
		}
	}
	return true
}

func (s *simulation) set(what *bool, to bool) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	*what = to
}

func (s *simulation) heal() {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.storeDown, s.w.brokerDown, s.w.decoderDown = false, false, false
}

func (s *simulation) ownerOf(p sources.Partition) *process {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.w.owner[p]
}

// move gives p to m in good order.
func (s *simulation) move(p sources.Partition, m *process) {
	old := s.ownerOf(p)
	if old == m {
		return
	}
	if old != nil {
		old.order(func(h sources.Handler) { old.revoke(h, p) })
	}
	m.assign(p)
}

// steal gives p to m while its owner works on and hears of it later.
func (s *simulation) steal(p sources.Partition, m *process, unaware time.Duration) {
	old := s.ownerOf(p)
	if old == m || old == nil {
		return
	}
	m.assign(p)
	time.Sleep(unaware)
	old.order(func(h sources.Handler) {
		h.Lost([]sources.Partition{p})
		old.forget(p)
	})
}

// replace ends a process and starts another in its place, which gets what the
// former one had.
func (s *simulation) replace(i int, end func() error) {
	had := s.processes[i].owned()
	if err := end(); err != nil {
		s.w.reportf("%v", err)
	}
	s.start(i)
	for n := range int32(simPartitions) {
		p := sources.Partition{Topic: "trips", Number: n}
		if s.ownerOf(p) == nil || slices.Contains(had, p) {
			s.processes[i].assign(p)
		}
	}
}

// finish heals everything, waits until all is committed, and compares.
func (s *simulation) finish() {
	s.heal()
	for i := range s.processes { // what a version was adopted for by somebody who was no owner any more, is adopted
		s.replace(i, s.processes[i].leave)
	}
	if !s.wait(s.w.settled) {
		s.w.reportf("not everything is committed: %v of %v", s.w.commits, s.lanes())
	}
	s.replayAll()
	for _, m := range s.processes {
		if err := m.leave(); err != nil {
			s.w.reportf("%v", err)
		}
	}
	time.Sleep(time.Minute) // what living processes do behind a lane's back, they do
	s.w.compare()
}

// replayAll takes every letter in again, under the newest definitions.
func (s *simulation) replayAll() {
	for range 30 { // the store fails now and then
		if s.replayer != nil {
			<-s.replayer.ended
		}
		s.replayer = s.w.replay()
		if <-s.replayer.ended; s.replayer.err == nil {
			s.replayer.m.store.settleNow()
			return
		}
		s.replayer = nil
	}
	s.w.reportf("letters cannot be replayed")
}

func (s *simulation) lanes() []LaneStatus {
	var all []LaneStatus
	for _, m := range s.processes {
		all = append(all, m.p.Snapshot()...)
	}
	return all
}
