package e2e_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

const (
	crashDrivers = 2000
	lookupChunk  = 500
)

// eachCrashSeed runs seeds from the first on: few in CI, many in make soak.
func eachCrashSeed(t *testing.T, inCI int, first uint64, run func(t *testing.T, seed uint64)) {
	t.Helper()
	n := inCI
	if asked, err := strconv.Atoi(os.Getenv("MILLRACE_CRASH_SEEDS")); err == nil {
		n = asked
	}
	for i := range n {
		seed := first + uint64(i)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { run(t, seed) })
	}
}

func crashEvents(inCI int) int {
	if n, err := strconv.Atoi(os.Getenv("MILLRACE_CRASH_EVENTS")); err == nil {
		return n
	}
	return inCI
}

// TestCrash kills, stops and starts ingesting processes while events arrive
// out of order, late, and with equal times over several partitions. At the end
// the store equals the oracle for every key.
func TestCrash(t *testing.T) {
	eachCrashSeed(t, inCI.seeds, 1, func(t *testing.T, seed uint64) { crashRun(t, seed, false) })
}

// TestCrashWithEventIDs is TestCrash with a producer that sends events twice
// and a source that knows them by their id: windows count each once.
func TestCrashWithEventIDs(t *testing.T) {
	eachCrashSeed(t, inCI.idSeeds, 101, func(t *testing.T, seed uint64) { crashRun(t, seed, true) })
}

func crashRun(t *testing.T, seed uint64, eventIDs bool) {
	s := newStack(t, fmt.Sprintf("crash%d", seed))
	s.write(crashDefinitions(eventIDs))
	s.up(crashPartitions)
	for range ingesters - 1 {
		s.startIngest()
	}
	stop := make(chan struct{})
	ended := make(chan int)
	go func() { ended <- s.chaos(rand.New(rand.NewPCG(seed, 2)), stop, false) }()
	want := s.produceCrashEvents(rand.New(rand.NewPCG(seed, 1)), crashEvents(inCI.events), 40, eventIDs)
	close(stop)
	t.Logf("seed %d: %d events for %d drivers, %d processes ended and started", seed, crashEvents(inCI.events), len(want), <-ended)
	s.waitCaughtUp(120 * time.Second)
	s.compare("driver_trips", want)
	s.compareWindows("driver_windows", eventIDs)
}

// chaos ends a process at random, hard (unless politely) or politely, and starts
// another, until stop; then it leaves all of them running.
func (s *stack) chaos(rng *rand.Rand, stop <-chan struct{}, politely bool) int {
	count := 0
	for {
		select {
		case <-stop:
			return count
		case <-time.After(time.Duration(300+rng.IntN(1500)) * time.Millisecond):
		}
		running := slices.DeleteFunc(s.running(), func(p *process) bool { return p.cmd.Args[1] == "serve" })
		victim := running[rng.IntN(len(running))]
		if rng.IntN(3) == 0 || politely {
			victim.stop(syscall.SIGTERM)
		} else {
			victim.stop(syscall.SIGKILL)
		}
		count++
		s.restartIngest()
	}
}

// compare reads every driver's latest event in a view back and holds it against
// the oracle.
func (s *stack) compare(view string, want map[int64][]event) {
	s.t.Helper()
	drivers := make([]int64, 0, len(want))
	for d := range want {
		drivers = append(drivers, d)
	}
	wrong := 0
	for len(drivers) > 0 {
		chunk := drivers[:min(lookupChunk, len(drivers))]
		drivers = drivers[len(chunk):]
		a, err := s.lookup([]string{view + ":serial"}, chunk...)
		if err != nil {
			s.t.Fatal(err)
		}
		for i, d := range chunk {
			var got int64 = -1
			_ = json.Unmarshal(a.Rows[i].Values[0], &got)
			if e := newest(want[d]); got != e.serial {
				if wrong++; wrong <= 5 {
					s.t.Errorf("driver %d: has event %d (%s), want %+v", d, got, a.Rows[i].Status[0], *e)
				}
			}
		}
	}
	if wrong > 0 {
		s.t.Errorf("%d of %d drivers are wrong", wrong, len(want))
	}
}
