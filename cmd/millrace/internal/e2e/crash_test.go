package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	crashDrivers = 2000
	lookupChunk  = 500
)

// crashSeeds is how many runs: few in CI, many in make soak.
func crashSeeds(inCI int) int {
	if n, err := strconv.Atoi(os.Getenv("MILLRACE_CRASH_SEEDS")); err == nil {
		return n
	}
	return inCI
}

func crashEvents(inCI int) int {
	if n, err := strconv.Atoi(os.Getenv("MILLRACE_CRASH_EVENTS")); err == nil {
		return n
	}
	return inCI
}

// event is what the oracle knows of one record.
type event struct {
	eventMicros, recordMillis, offset int64
	partition                         int32
	serial                            int64
}

// newer is the rule of docs/format/row.md, written a second time on purpose:
// greatest event time, then record time, offset, and last the bytes, which
// differ first in the partition.
func (e *event) newer(o *event) bool {
	switch {
	case e.eventMicros != o.eventMicros:
		return e.eventMicros > o.eventMicros
	case e.recordMillis != o.recordMillis:
		return e.recordMillis > o.recordMillis
	case e.offset != o.offset:
		return e.offset > o.offset
	default:
		return e.partition > o.partition
	}
}

// TestCrash kills, stops and starts ingesting processes while events arrive
// out of order, twice, and with equal times over several partitions. At the
// end the store equals the oracle for every key.
func TestCrash(t *testing.T) {
	for i := range crashSeeds(inCI.seeds) {
		seed := uint64(i + 1)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { crashRun(t, seed) })
	}
}

func crashRun(t *testing.T, seed uint64) {
	s := newStack(t, fmt.Sprintf("crash%d", seed))
	s.write(strings.Replace(tripDefinitions, "services:", windowDefinitions+"services:", 1))
	s.up(crashPartitions)
	for range ingesters - 1 {
		s.startIngest()
	}
	stop := make(chan struct{})
	ended := make(chan int)
	go func() { ended <- s.chaos(rand.New(rand.NewPCG(seed, 2)), stop, false) }()
	want := s.produceCrashEvents(rand.New(rand.NewPCG(seed, 1)), crashEvents(inCI.events), 40)
	close(stop)
	t.Logf("seed %d: %d events for %d drivers, %d processes ended and started", seed, crashEvents(inCI.events), len(want), <-ended)
	s.waitCaughtUp(120 * time.Second)
	s.compare("driver_trips", want)
	s.compareWindows("driver_windows", s.scanLog())
}

// produceCrashEvents sends n events with so many pauses in between, of ten
// seconds together, and returns them by driver.
func (s *stack) produceCrashEvents(rng *rand.Rand, n, pauses int) map[int64][]event {
	client, _ := s.kafka()
	base := time.Now().Add(-time.Hour)
	events := make([]event, n)
	drivers := make([]int64, n)
	failed := make(chan error, 1)
	for i := range n {
		e := &events[i]
		drivers[i] = rng.Int64N(crashDrivers)
		e.serial, e.partition = int64(i), rng.Int32N(crashPartitions)
		// Few distinct times, so that ties are common at every level.
		e.eventMicros = base.Add(time.Duration(rng.IntN(20_000)) * time.Millisecond).UnixMicro()
		e.recordMillis = base.Add(time.Hour - time.Duration(rng.IntN(50))*time.Second).UnixMilli()
		if i > 0 && rng.IntN(20) == 0 {
			again := rng.IntN(i)
			drivers[i], e.eventMicros, e.recordMillis = drivers[again], events[again].eventMicros, events[again].recordMillis
		}
		r := &kgo.Record{
			Topic: s.topic, Partition: e.partition, Timestamp: time.UnixMilli(e.recordMillis),
			Value: []byte(trip(drivers[i], e.serial, time.UnixMicro(e.eventMicros))),
		}
		client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
			e.offset = r.Offset
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
		if i%(n/pauses+1) == 0 {
			time.Sleep(time.Duration(rng.IntN(20_000/pauses)) * time.Millisecond) // load spread over the chaos
		}
	}
	if err := client.Flush(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	select {
	case err := <-failed:
		s.t.Fatal(err)
	default:
	}
	want := make(map[int64][]event)
	for i := range events {
		want[drivers[i]] = append(want[drivers[i]], events[i])
	}
	return want
}

func newest(events []event) *event {
	e := &events[0]
	for i := range events {
		if events[i].newer(e) {
			e = &events[i]
		}
	}
	return e
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
		var running []*process
		s.mu.Lock()
		for _, p := range s.procs {
			if p.running() && p.cmd.Args[1] != "serve" {
				running = append(running, p)
			}
		}
		s.mu.Unlock()
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
