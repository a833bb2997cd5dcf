package e2e_test

import (
	"strings"
	"testing"
	"time"
)

// TestCommands walks through what a person types beside a running project.
func TestCommands(t *testing.T) {
	s := newStack(t, "commands")
	s.write(tripDefinitions)
	p := s.up(1)
	s.produce(0, "7", trip(7, 1, time.Now()))
	s.waitValue(10*time.Second, 7, "driver_trips:serial", "1")
	for _, c := range []struct {
		args []string
		says []string
	}{
		{[]string{"version"}, []string{"millrace", "linux/"}},
		{[]string{"check", "--definitions", "definitions"}, []string{"no errors"}},
		{[]string{"plan", "--definitions", "definitions"}, []string{"nothing would change", "read, describe topic " + s.topic, "read group"}},
		{[]string{"apply", "--definitions", "definitions"}, []string{"nothing changed; catalog version 1 stays"}},
		{[]string{"history", "--definitions", "definitions"}, []string{"1\t", "2 views"}},
		{[]string{"explain", "driver_trips", "--definitions", "definitions"}, []string{"computed at write", "fare_per_km", "stored"}},
		{[]string{"explain", "driver_trips", "--json", "--definitions", "definitions"}, []string{`"stored": [`}},
		{[]string{"get", "eta_v1", "driver_id=7", "--server", s.http}, []string{`"driver_trips:serial":1`, "PRESENT"}},
		{[]string{"get", "driver_trips:serial", "driver_last:last_status", "driver_id=7", "--server", s.http}, []string{`"completed"`}},
		{[]string{"status", "--admin", p.admin}, []string{`"state":"waiting"`, `"lag":0`, `"view":"driver_trips"`}},
		{[]string{"deadletter", "list", "--definitions", "definitions"}, nil},
		{[]string{"schema"}, []string{"json-schema.org", "features"}},
	} {
		out := s.mustRun(c.args...)
		for _, want := range c.says {
			if !strings.Contains(out, want) {
				t.Errorf("millrace %s lacks %q:\n%s", strings.Join(c.args, " "), want, tail(out, 800))
			}
		}
	}
	s.write(strings.Replace(tripDefinitions, "status is distinct from 'cancelled'", "status = 'done'", 1))
	for _, command := range []string{"plan", "apply"} {
		out, err := s.run(command, "--definitions", "definitions")
		if err == nil || !strings.Contains(out, "changing where needs a new generation") {
			t.Errorf("%s of another where: %v\n%s", command, err, out)
		}
	}
	s.write(strings.Replace(tripDefinitions, "expr: upper(status)", "expr: lower(status)", 1))
	if out := s.mustRun("plan", "--definitions", "definitions"); !strings.Contains(out, "revision 2: tier changes") {
		t.Errorf("plan of a changed expression:\n%s", out)
	}
	if out, err := s.run("recover", "trips", "--partition", "9", "--definitions", "definitions"); err == nil || strings.Contains(out, "goroutine") {
		t.Errorf("recover of an unknown partition: %v\n%s", err, out)
	}
	out, err := s.run("get", "eta_v2", "driver_id=7", "--server", s.http)
	if err == nil || !strings.Contains(out, "eta_v1") {
		t.Errorf("get of an unknown service: %v\n%s", err, out)
	}
}
