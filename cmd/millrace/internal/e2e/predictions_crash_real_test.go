//go:build real

package e2e_test

import (
	"os"
	"testing"
	"time"
)

// The size of TestPredictionsCrash in make test-real.
const (
	predictionDrivers = 800
	predictionRead    = 100 // of them are read
	predictionChaos   = 20 * time.Second
	predictionPause   = time.Second // between kills, on average
)

// sumModel is that of deploy/local/mlserver, which is calm.
func sumModel(t *testing.T) (url string, calm func()) {
	t.Helper()
	url = os.Getenv("MILLRACE_TEST_MLSERVER")
	if url == "" {
		t.Fatal("set MILLRACE_TEST_MLSERVER to the URL of an MLServer with the model of deploy/local/mlserver, or run make test-real")
	}
	return url, func() {}
}

// upPredicting starts two processes of each kind, and returns the two APIs.
func (s *stack) upPredicting() []string {
	s.t.Helper()
	s.createTopic(crashPartitions, nil)
	s.mustRun("apply", "--definitions", "definitions")
	apis := []string{s.http, freePort(s.t)}
	var all []*process
	for _, api := range apis {
		all = append(all, s.startWith([]string{"MILLRACE_SERVE_HTTP=" + api}, freePort(s.t), "serve"))
	}
	for _, role := range []string{"ingest", "ingest", "refresh", "refresh"} {
		all = append(all, s.start(freePort(s.t), role))
	}
	for _, p := range all {
		s.ready(p)
	}
	return apis
}
