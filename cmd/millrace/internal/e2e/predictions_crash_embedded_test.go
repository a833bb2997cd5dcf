//go:build !real

package e2e_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"millrace/serving/predict/predicttest"
)

// The size of TestPredictionsCrash in make test.
const (
	predictionDrivers = 400
	predictionRead    = 50 // of them are read
	predictionChaos   = 6 * time.Second
	predictionPause   = 2 * time.Second // between kills, on average
)

// sumModel serves what deploy/local/mlserver does, as far as sumDefinitions ask.
func sumModel(t *testing.T) string {
	t.Helper()
	m := predicttest.Sum("sum", "7", "score")
	sum := m.Infer
	m.Infer = func(in map[string]predicttest.Tensor, rows int) ([]predicttest.Tensor, error) {
		time.Sleep(2 * time.Millisecond) // as a model takes some time, in which inputs change
		out, err := sum(in, rows)
		city, ok := in["city"]
		if !ok {
			err = errors.Join(err, errors.New("no input city"))
		}
		return append(out, predicttest.Tensor{Name: "label", Datatype: "BYTES", Shape: []int{rows, 1}, Data: city.Data}), err
	}
	return predicttest.New(m).Listen(t)
}

// upPredicting starts `dev`, which does everything, and returns the APIs.
func (s *stack) upPredicting() []string {
	s.t.Helper()
	s.ready(s.start(s.admin, "dev", "--kafka", s.brokers[0], "--http", s.http, "--admin", s.admin,
		"--data-dir", filepath.Join(s.dir, "data"), "--definitions", "definitions"))
	return []string{s.http}
}
