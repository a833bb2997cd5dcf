package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"millrace/sinks/changelog"
)

// TestPredictionsCrash kills processes of every kind while inputs of a model
// change and are read: what is served as fresh or as just computed is the
// model's answer to the inputs beside it, always. At rest the stored
// predictions of all drivers are, without a read that would repair them: of
// most drivers there never was one, so that no change may be lost.
func TestPredictionsCrash(t *testing.T) {
	eachCrashSeed(t, inCI.predictionSeeds, 301, predictionsCrashRun)
}

func predictionsCrashRun(t *testing.T, seed uint64) {
	s := newStack(t, fmt.Sprintf("predcrash%d", seed))
	s.suffixes = []string{"", "_profiles"}
	model, calm := sumModel(t)
	s.write(strings.ReplaceAll(sumDefinitions, "MODEL", model))
	apis := s.upPredicting()
	stop := make(chan struct{})
	var ended sync.WaitGroup
	var readers []*sumReader
	for i := range 4 {
		r := &sumReader{apis: apis, rng: rand.New(rand.NewPCG(seed, uint64(10+i))), drivers: predictionRead, origins: make(map[string]int)}
		readers = append(readers, r)
		ended.Go(func() { r.run(stop) })
	}
	var killed map[string]int
	chaosOver := make(chan struct{})
	ended.Go(func() { killed = s.killAny(rand.New(rand.NewPCG(seed, 2)), chaosOver) })
	events := &sumEvents{rng: rand.New(rand.NewPCG(seed, 1)), want: make(map[int64]*sumWant)}
	events.produce(s, predictionDrivers, predictionChaos)
	close(chaosOver)
	close(stop)
	ended.Wait()
	calm()
	s.waitPredicted(60 * time.Second)
	s.checkPredicted(apis, events)
	s.checkLabels()
	origins, checked := make(map[string]int), 0
	for _, r := range readers {
		for o, n := range r.origins {
			origins[o] += n
			if now(o) {
				checked += n
			}
		}
		for _, problem := range r.problems {
			t.Error(problem)
		}
	}
	t.Logf("%d trips of %d drivers; killed %v; checked %d of what was served: %v", events.n, predictionDrivers, killed, checked, origins)
	if checked < 1000 || len(killed) == 0 {
		t.Errorf("%d predictions were checked, and %v killed: that proves nothing", checked, killed)
	}
}

// killAny kills processes of any kind, and starts others in their place, until
// over. It returns how many it killed of each.
func (s *stack) killAny(rng *rand.Rand, over <-chan struct{}) map[string]int {
	killed := make(map[string]int)
	for {
		select {
		case <-over:
			return killed
		case <-time.After(time.Duration(predictionPause.Milliseconds()/2+rng.Int64N(predictionPause.Milliseconds())) * time.Millisecond):
		}
		running := s.running()
		victim := running[rng.IntN(len(running))]
		victim.stop(syscall.SIGKILL)
		killed[victim.cmd.Args[1]]++
		s.startWith(victim.cmd.Env, victim.admin, victim.cmd.Args[1:]...)
	}
}

// waitPredicted waits until every event and every change has had its end.
func (s *stack) waitPredicted(limit time.Duration) {
	s.t.Helper()
	s.waitCaughtUp(limit)
	s.eventually(limit, "predictions refreshed", func() error {
		lag, err := s.lagOf(s.group()+".refresh.sum", changelog.Topic(s.project))
		if err == nil && lag != 0 {
			err = fmt.Errorf("lag is %d", lag)
		}
		return err
	})
}

// checkPredicted explains every driver's prediction once: an explanation tells
// how the stored one was found, before a read computes another.
func (s *stack) checkPredicted(apis []string, events *sumEvents) {
	s.t.Helper()
	wrong, by := 0, make(map[string]int)
	for i, driver := range slices.Sorted(maps.Keys(events.want)) {
		body := jsonText(map[string]any{"features": []string{"sum:score", "sum:label"}, "entities": []any{map[string]any{"driver_id": driver}}})
		resp, err := http.Post("http://"+apis[i%len(apis)]+"/v1/explain", jsonBody, bytes.NewReader([]byte(body)))
		if err != nil {
			s.t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		var e struct {
			Values []struct {
				Value  json.RawMessage
				Origin string
				Model  struct{ Stale, By string }
			}
		}
		if err == nil {
			err = json.Unmarshal(text, &e)
		}
		if err != nil || len(e.Values) != 2 {
			s.t.Fatalf("explain driver %d: %d %s %v", driver, resp.StatusCode, text, err)
		}
		score, label := events.want[driver].outputs()
		v := e.Values[0]
		by[v.Origin]++
		if !strings.HasPrefix(v.Origin, "prediction_fresh:") || v.Model.Stale != "" || string(v.Value) != score || string(e.Values[1].Value) != label {
			if wrong++; wrong <= 3 {
				s.t.Errorf("at rest driver %d has %s %s, want %s %s: %s", driver, v.Value, e.Values[1].Value, score, label, text)
			}
		}
	}
	s.t.Logf("at rest %v", by)
	if wrong > 0 {
		s.t.Errorf("at rest %d of %d predictions are wrong", wrong, len(events.want))
	}
}

// checkLabels: what processes count predictions by is the documented words.
func (s *stack) checkLabels() {
	s.t.Helper()
	words := regexp.MustCompile(`^millrace_prediction_reads_total\{detail="[a-z_]*",model="sum",origin="[a-z_]*"\}$`)
	series := 0
	for _, p := range s.running() {
		m, err := s.metrics(p)
		if err != nil {
			s.t.Fatal(err)
		}
		for name := range m {
			if strings.HasPrefix(name, "millrace_prediction_reads_total") {
				if series++; !words.MatchString(name) {
					s.t.Errorf("a metric %q", name)
				}
			}
		}
	}
	if series == 0 {
		s.t.Error("no process has counted predictions")
	}
}
