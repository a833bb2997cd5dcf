//go:build !real

package e2e_test

import (
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
