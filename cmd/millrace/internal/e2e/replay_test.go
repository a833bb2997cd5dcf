package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCorrectedExpressionReplayed applies a corrected expression and replays
// the topic from its start: every old value is replaced, greater and smaller
// ones, except where the new logic refuses the row.
func TestCorrectedExpressionReplayed(t *testing.T) {
	s := newStack(t, "replay")
	s.write(tripDefinitions)
	p := s.up(2)
	const drivers = 50
	at := time.Now().Add(-time.Minute)
	for d := range int64(drivers) {
		s.produce(int32(d%2), fmt.Sprint(d), fmt.Sprintf(`{"driver_id":%d,"n":%d,"fare":%d,"km":10,"status":"s","at":%d}`, d, d, 100*(d-25), at.UnixMicro()))
	}
	s.waitValue(10*time.Second, drivers-1, "driver_trips:fare_per_km", "240")
	s.waitCaughtUp(10 * time.Second)

	s.endIngest(p)
	// The corrected logic gives greater values for some and smaller for others,
	// and refuses driver 25, whose fare is 0.
	corrected := strings.Replace(tripDefinitions, `expr: "fare / nullif(km, 0)"`,
		"expr: 50 - fare / km + ln(abs(fare)) * 0", 1)
	s.write(corrected)
	s.resetGroup()
	s.applyAndRestart()

	s.waitValue(20*time.Second, drivers-1, "driver_trips:fare_per_km", "-190")
	s.waitCaughtUp(20 * time.Second)
	all := make([]int64, drivers)
	for i := range all {
		all[i] = int64(i)
	}
	a, err := s.lookup([]string{"driver_trips:fare_per_km"}, all...)
	if err != nil {
		t.Fatal(err)
	}
	for d := range int64(drivers) {
		want := fmt.Sprint(50 - 10*(d-25))
		if d == 25 {
			want = "0" // ln(0) fails: the old value stays
		}
		if got := string(a.Rows[d].Values[0]); got != want {
			t.Errorf("driver %d: %s, want %s", d, got, want)
		}
	}
}

// resetGroup puts the group back to the start of the topic.
func (s *stack) resetGroup() {
	s.t.Helper()
	if !s.real {
		return // the embedded broker is inside the process: see applyAndRestart
	}
	_, adm := s.kafka()
	s.eventually(60*time.Second, "reset the group", func() error {
		resp, err := adm.DeleteGroup(context.Background(), "millrace-"+s.project)
		if err != nil {
			return err
		}
		return resp.Err
	})
}

// applyAndRestart records the definitions and starts ingestion and serving
// under them, at the topic's start.
func (s *stack) applyAndRestart() {
	s.t.Helper()
	if !s.real {
		s.env = append(s.env, "MILLRACE_KAFKA_GROUP=replayed") // another group starts there
	}
	s.goOn()
}

// goOn records the definitions and starts ingestion and serving under them.
func (s *stack) goOn() *process {
	s.t.Helper()
	if !s.real {
		return s.startIngest()
	}
	s.mustRun("apply", "--definitions", "definitions")
	for _, p := range s.running() {
		p.stop(syscall.SIGTERM)
	}
	s.ready(s.start(s.admin, "serve"))
	return s.startIngest()
}

func (s *stack) endIngest(p *process) {
	s.t.Helper()
	p.stop(syscall.SIGTERM)
	if p.err != nil {
		s.t.Errorf("ended with %v", p.err)
	}
}
