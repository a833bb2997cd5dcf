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

// sumModel serves what deploy/local/mlserver does, as far as sumDefinitions ask,
// and one call in eight wrongly, or late, until calm.
func sumModel(t *testing.T) (url string, calm func()) {
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
	server := predicttest.New(m)
	bad := []predicttest.Behaviour{
		{Status: 500},
		{Cut: 30},
		{Drop: true},
		{Delay: 200 * time.Millisecond},
		{Text: "{}"},
		{Change: func(a *predicttest.Answer) { a.ModelVersion = "6" }},
		{Change: func(a *predicttest.Answer) { a.Outputs[0].Datatype = "INT64" }},
		{Change: func(a *predicttest.Answer) { a.Outputs[1].Data = a.Outputs[1].Data[1:] }},
	}
	server.Script(func(call int) predicttest.Behaviour {
		if call%8 > 0 {
			return predicttest.Behaviour{}
		}
		return bad[call/8%len(bad)]
	})
	return server.Listen(t), func() { server.Behave(predicttest.Behaviour{}) }
}

// upPredicting starts `dev`, which does everything, and returns the APIs.
func (s *stack) upPredicting() []string {
	s.t.Helper()
	s.ready(s.start(s.admin, "dev", "--kafka", s.brokers[0], "--http", s.http, "--admin", s.admin,
		"--data-dir", filepath.Join(s.dir, "data"), "--definitions", "definitions"))
	return []string{s.http}
}
