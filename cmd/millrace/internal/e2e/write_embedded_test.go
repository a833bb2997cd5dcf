//go:build !real

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestOnlyTheAPI runs a project without any topic, and ends it: what was
// answered is there afterwards.
func TestOnlyTheAPI(t *testing.T) {
	s := newStack(t, "apionly")
	s.write(`
project: PROJECT
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources: [{name: profiles, push: {}, fields: [{name: driver_id, type: int64}, {name: rating, type: float64}]}]
views: [{name: driver_profile, entity: driver, source: profiles, features: [{name: rating}]}]
`)
	p := s.up(1)
	s.pushOK("/v1/push/profiles", jsonBody, `{"rows": [{"driver_id": 1, "rating": 4.5}]}`)
	p.stop(syscall.SIGKILL)
	p = s.startIngest()
	if got := s.now(1, "driver_profile:rating"); got != "4.5" {
		t.Errorf("after a kill the rating is %s", got)
	}
	s.pushOK("/v1/push/profiles", jsonBody, `{"rows": [{"driver_id": 1, "rating": 5}]}`)
	if got := s.now(1, "driver_profile:rating"); got != "5" {
		t.Errorf("rating %s", got)
	}
	p.stop(syscall.SIGTERM)
	if p.err != nil {
		t.Errorf("ended with %v", p.err)
	}
}

// TestPushCommand sends a file through the API of the running process.
func TestPushCommand(t *testing.T) {
	s := newStack(t, "pushcmd")
	s.write(writeDefinitions)
	s.up(1)
	var b strings.Builder
	for i := range 2500 {
		fmt.Fprintf(&b, "{\"driver_id\": %d, \"rating\": %d}\n", i, i)
		if i == 1200 {
			b.WriteString("no JSON\n{\"driver_id\": \"x\"}\n")
		}
	}
	if err := os.WriteFile(filepath.Join(s.dir, "rows.ndjson"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := s.run("push", "profiles", "rows.ndjson")
	if err == nil {
		t.Error("refused rows ended with 0")
	}
	expect(t, out, `"rows":2502,"stored":2500,"filtered":0,"refused":2`)
	expect(t, out, "line 1202: is not JSON")
	expect(t, out, "line 1203: wrong_type: field driver_id")
	if got := s.now(2499, "driver_profile:rating"); got != "2499" {
		t.Errorf("rating %s", got)
	}
	for args, says := range map[string]string{
		"push nope rows.ndjson":                            "there is no source nope",
		"push profiles rows.ndjson --key driver_id":        "add --to kafka",
		"push profiles rows.ndjson --to kafka --async":     "leave --to kafka out",
		"push profiles rows.ndjson --to nowhere":           "write api or kafka",
		"push profiles rows.ndjson --async":                "profiles has none",
		"push profiles rows.ndjson --server 127.0.0.1:1":   "--server chooses another",
		"push profiles rows.ndjson --transform-on-write x": "true or false",
	} {
		if out, err := s.run(strings.Fields(args)...); err == nil || !strings.Contains(out, says) {
			t.Errorf("%s: %v\n%s", args, err, out)
		}
	}
}
