//go:build real

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestStoreDown freezes the way to the store for 30 s under load: memory stays
// flat, lanes pause, and ingestion goes on by itself without loss.
func TestStoreDown(t *testing.T) {
	outage := 30 * time.Second
	s := newStack(t, "down")
	gate := newGate(t, os.Getenv("MILLRACE_TEST_CQL"))
	s.write(tripDefinitions)
	s.env = append(s.env, "MILLRACE_STORE_PORT="+portOf(gate.addr()))
	p := s.up(2)
	load, stop := context.WithCancel(context.Background())
	defer stop()
	sent := make(chan int64)
	go func() { sent <- s.load(load) }()
	time.Sleep(3 * time.Second) // ordinary load before the outage is part of the scenario
	gate.shut()
	before := rssKiB(t, p)
	var most int64
	for end := time.Now().Add(outage); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		most = max(most, rssKiB(t, p))
		if !p.running() {
			t.Fatalf("ingest ended: %v", p.err)
		}
	}
	t.Logf("memory before %d MiB, most during the outage %d MiB", before>>10, most>>10)
	if most > 150<<10 {
		t.Errorf("%d MiB with the store down, more than 150", most>>10)
	}
	if m, err := s.metrics(p); err != nil || !hasPositive(m, "millrace_lane_paused_total") {
		t.Errorf("no lane paused (%v)", err)
	}
	gate.open()
	stop()
	last := <-sent
	s.waitCaughtUp(3 * time.Minute) // a third of a million records wait, and this machine has the load, the broker and the store
	s.waitValue(5*time.Second, last%1000, "driver_trips:serial", strconv.FormatInt(last, 10))
	s.checkEnds("driver_trips", "driver_last")
}

func hasPositive(m map[string]float64, name string) bool {
	for k, v := range m {
		if strings.HasPrefix(k, name) && v > 0 {
			return true
		}
	}
	return false
}

// load produces about 10,000 events a second until ctx ends and returns the
// serial number of the last one.
func (s *stack) load(ctx context.Context) int64 {
	client, _ := s.kafka()
	n := int64(0)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	padding := strings.Repeat("p", 300)
	for {
		for range 100 {
			n++
			value := fmt.Sprintf(`{"driver_id":%d,"n":%d,"fare":1,"km":1,"status":%q,"at":%d}`, n%1000, n, padding, time.Now().UnixMicro())
			client.Produce(context.Background(), &kgo.Record{Topic: s.topic, Partition: int32(n % 2), Value: []byte(value)}, nil)
		}
		select {
		case <-ctx.Done():
			_ = client.Flush(context.Background())
			return n
		case <-tick.C:
		}
	}
}

func rssKiB(t *testing.T, p *process) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib
		}
	}
	t.Fatal("the process has no VmRSS")
	return 0
}
