package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"syscall"
	"testing"
	"time"

	"millrace/serving/predict/predicttest"
)

const versionDefinitions = `
project: PROJECT
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources:
  - {name: trips, push: {}, fields: [{name: driver_id, type: int64}, {name: fare, type: float64}]}
  - {name: users, kafka: {topic: TOPIC, start: earliest}, format: json, fields: [{name: driver_id, type: int64}, {name: age, type: int64}]}
views:
  - {name: trip, entity: driver, source: trips, features: [{name: fare}]}
  - {name: user, entity: driver, source: users, features: [{name: age}]} # for ingest to have something to do
models:
  - name: fraud
    version: "VERSION"
    endpoint: MODEL
    entity: driver
    inputs: ["trip:fare"]
    outputs: [{name: score, type: float64}]
    serve_previous_version: true
    timeout: 10s
    max_batch: 100
`

const (
	versionDrivers = 4000 // the store tells of keys in pages, of up to 1,000
	versionBatch   = 100
	versionCalls   = 14   // that are answered before an interruption
	versionAdds    = 5000 // what the second version adds to the first one's score
)

// versioned is a project whose model has two versions.
type versioned struct {
	*stack

	later *predicttest.Server // of the second
}

// define writes the definitions with a version of the model.
func (s *versioned) define(version string, server *predicttest.Server) {
	s.t.Helper()
	s.write(strings.NewReplacer("VERSION", version, "MODEL", server.Listen(s.t)).Replace(versionDefinitions))
}

// origins counts drivers, from the first on, by the origin of their score, which
// is their fare by the first version, and more by the second.
func (s *versioned) origins(drivers int) map[string]int {
	s.t.Helper()
	counts := make(map[string]int)
	for from := 1; from <= drivers; from += lookupChunk {
		ids := make([]int, min(lookupChunk, drivers))
		for i := range ids {
			ids[i] = from + i
		}
		_, text, err := s.post("/v1/lookup", map[string]any{"features": []string{"fraud:score"}, "entities": map[string]any{"driver_id": ids}, "include": []string{"origin"}})
		if err != nil {
			s.t.Fatal(err)
		}
		s.count(ids, text, counts)
	}
	return counts
}

func (s *versioned) count(ids []int, answer []byte, counts map[string]int) {
	s.t.Helper()
	var a struct {
		Rows []struct {
			Values []float64
			Origin []string
		}
	}
	if err := json.Unmarshal(answer, &a); err != nil || len(a.Rows) != len(ids) {
		s.t.Fatalf("answered %s %v", answer, err)
	}
	for i, r := range a.Rows {
		counts[r.Origin[0]]++
		want := float64(ids[i])
		if s.later != nil && r.Origin[0] != "prediction_stale:version" {
			want += versionAdds
		}
		if r.Values[0] != want {
			s.t.Errorf("driver %d: score %v of origin %s, not %v", ids[i], r.Values[0], r.Origin[0], want)
		}
	}
}

func (s *versioned) wantOrigins(drivers int, want map[string]int) {
	s.t.Helper()
	s.eventually(10*time.Second, "origins", func() error {
		if got := s.origins(drivers); !maps.Equal(got, want) {
			return fmt.Errorf("scores are %v, not %v", got, want)
		}
		return nil
	})
}

// interrupt begins to refresh all, and ends it with a signal while the model is
// at work, after some calls.
func (s *versioned) interrupt(sig syscall.Signal) {
	s.t.Helper()
	before, hang := len(s.later.Calls()), make(chan struct{})
	s.later.Script(func(call int) predicttest.Behaviour {
		if call < before+versionCalls {
			return predicttest.Behaviour{}
		}
		return predicttest.Behaviour{Hang: hang}
	})
	p := s.start(freePort(s.t), "refresh", "--model", "fraud", "--all")
	s.eventually(20*time.Second, "calls of the model", func() error {
		if n := len(s.later.Calls()) - before; n <= versionCalls {
			return fmt.Errorf("%d calls\n%s", n, p.log)
		}
		return nil
	})
	p.stop(sig)
	close(hang)
	s.later.Behave(predicttest.Behaviour{})
}

// TestANewVersion: predictions of another version are served until there are
// new ones. A read makes that of its key, and `refresh --all` those of every
// key, however often it is interrupted; it asks for again only what was under way.
func TestANewVersion(t *testing.T) {
	s := &versioned{stack: newStack(t, "version")}
	s.define("7", predicttest.New(predicttest.Sum("fraud", "7", "score")))
	ingest := s.up(1)
	var rows []string
	for i := range versionDrivers {
		rows = append(rows, fmt.Sprintf(`{"driver_id": %d, "fare": %d}`, i+1, i+1))
	}
	s.pushOK("/v1/push/trips", jsonBody, `{"rows": [`+strings.Join(rows, ",")+`]}`)
	s.mustRun("refresh", "--model", "fraud", "--all")
	s.wantOrigins(versionDrivers, map[string]int{"prediction_fresh:refresh": versionDrivers})

	s.later = predicttest.New(laterVersion())
	s.define("8", s.later)
	ingest.stop(syscall.SIGTERM)
	s.goOn()
	s.later.Kill()
	s.wantOrigins(1, map[string]int{"prediction_stale:version": 1})
	s.later.Revive()
	s.wantOrigins(1, map[string]int{"prediction_fresh:on_read": 1})

	s.interrupt(syscall.SIGKILL)
	s.interrupt(syscall.SIGTERM)
	out := s.mustRun("refresh", "--model", "fraud", "--all")
	var summary struct {
		Keys    int `json:"keys"`
		Earlier int `json:"earlier_keys"`
	}
	said := out[max(0, strings.LastIndex(out, `{"model":`)):] // behind logs
	if err := json.Unmarshal([]byte(said), &summary); err != nil || summary.Earlier == 0 || summary.Keys+summary.Earlier != versionDrivers {
		t.Errorf("refreshed %+v %v: %s", summary, err, out)
	}
	s.wantOrigins(versionDrivers, map[string]int{"prediction_fresh:refresh": versionDrivers - 1, "prediction_fresh:on_read": 1})
	asked := 0
	for _, c := range s.later.Calls() {
		asked += c.Rows
	}
	if again := asked - versionDrivers; again > 2*4*versionBatch {
		t.Errorf("%d keys were asked for again, more than the batches that were under way twice, four at a time", again)
	}
}

// laterVersion is the model's second version, whose scores are not the first's.
func laterVersion() predicttest.Model {
	m := predicttest.Sum("fraud", "8", "score")
	sum := m.Infer
	m.Infer = func(in map[string]predicttest.Tensor, rows int) ([]predicttest.Tensor, error) {
		out, err := sum(in, rows)
		for i, v := range out[0].Data {
			out[0].Data[i] = v.(float64) + versionAdds
		}
		return out, err
	}
	return m
}
