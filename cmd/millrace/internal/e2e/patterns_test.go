package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"millrace/client"
)

// repository is the root, seen from this package.
const repository = "../../../.."

// patternsPage explains what patternsExample defines.
const (
	patternsPage    = repository + "/docs/write-patterns.md"
	patternsExample = repository + "/examples/write-patterns/features.yaml"
)

// newPatterns runs the example with topics of its own.
func newPatterns(t *testing.T, name string) *stack {
	t.Helper()
	text, err := os.ReadFile(patternsExample)
	if err != nil {
		t.Fatal(err)
	}
	s := newStack(t, name)
	s.suffixes = []string{"_trips", "_scores"}
	s.write(strings.NewReplacer("project: patterns", "project: PROJECT", "topic: patterns.", "topic: TOPIC_").Replace(string(text)))
	s.up(crashPartitions)
	return s
}

// pattern is a chapter of the page, and what is to be read of a driver after it.
type pattern struct {
	chapter string
	waits   bool // the writer is answered before the row can be read
	want    map[string]string
	blocks  []block
}

// block is something to paste.
type block struct{ language, text string }

func patterns(t *testing.T) []*pattern {
	t.Helper()
	all := []*pattern{
		{chapter: "1 Asynchronous, computed here", waits: true, want: map[string]string{
			"driver_trips:last_fare": "12.5", "driver_trips:fare_per_km": "2.5", "driver_activity:trips_24h": "2", "driver_activity:fares_24h": "25",
		}},
		{chapter: "2 Asynchronous, precomputed", waits: true, want: map[string]string{"driver_score:score": "0.25", "driver_score:band": `"B"`}},
		{chapter: "3 Synchronous, computed here", want: map[string]string{"driver_state:blocked": "true", "driver_state:why": `"fraud"`}},
		{chapter: "4 Synchronous, precomputed", want: map[string]string{"driver_quota:trips_left": "3", "driver_quota:tier": `"gold"`}},
		{chapter: "5 Synchronous, hybrid", want: map[string]string{
			"driver_profile:rating": "4.5", "driver_profile:band": `"top"`, "driver_profile:is_new": "false", "offer:rank": "3",
		}},
	}
	page, err := os.ReadFile(patternsPage)
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(patternsExample)
	if err != nil {
		t.Fatal(err)
	}
	fenced := regexp.MustCompile("(?s)```(\\w+)\n(.*?)```")
	for _, p := range all {
		_, text, ok := strings.Cut(string(page), "\n## "+p.chapter+"\n")
		text, _, ok2 := strings.Cut(text, "\n## ")
		if !ok || !ok2 {
			t.Fatalf("the page has no chapter %q", p.chapter)
		}
		for _, m := range fenced.FindAllStringSubmatch(text, -1) {
			switch m[1] {
			case "yaml":
				for part := range strings.SplitSeq(m[2], "\n\n") {
					if !strings.Contains(string(example), strings.TrimSpace(part)) {
						t.Errorf("%s: the example does not have\n%s", p.chapter, part)
					}
				}
			case "sh", "python":
				p.blocks = append(p.blocks, block{m[1], m[2]})
			}
		}
		if len(p.blocks) == 0 {
			t.Fatalf("%s: nothing to paste", p.chapter)
		}
	}
	return all
}

// paste runs what the page says to type, for a driver, at a time, and returns
// what it printed.
func (s *stack) paste(b block, driver int, now time.Time) string {
	s.t.Helper()
	text := strings.NewReplacer(
		"http://127.0.0.1:6566", "http://"+s.http, "127.0.0.1:9092", s.brokers[0], "patterns.scores", s.topic+"_scores",
		"bin/millrace", binary, "examples/write-patterns", "definitions",
		`"driver_id": 7`, fmt.Sprintf(`"driver_id": %d`, driver), "driver_id=7", fmt.Sprintf("driver_id=%d", driver),
		`b"7"`, fmt.Sprintf(`b"%d"`, driver), "trip-7", fmt.Sprintf("trip-%d", driver),
	).Replace(b.text)
	cmd := exec.Command("bash", "-euc", text)
	if b.language == "python" {
		cmd = exec.Command("python3", "-c", text)
	}
	root, err := filepath.Abs(repository)
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.Dir = s.dir
	cmd.Env = append(append(os.Environ(), s.env...), "now="+now.UTC().Format(time.RFC3339), "PYTHONPATH="+filepath.Join(root, ".tools/python"), "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), `"error"`) {
		s.t.Fatalf("%s\n%v\n%s", text, err, out)
	}
	return string(out)
}

// TestWritePatterns pastes the page's commands: what is true once they are
// answered, when every process is killed, and when they are retried.
func TestWritePatterns(t *testing.T) {
	pythonPackages(t, "python")
	s := newPatterns(t, "patterns")
	other := s.otherServer()
	now := time.Now().Add(-time.Minute)
	all := patterns(t)
	const driver, killed = 7, 8
	for range 3 { // a retry changes nothing
		for _, p := range all {
			for _, b := range p.blocks {
				s.paste(b, driver, now)
			}
			if !p.waits {
				s.readable(p, other, driver, 0)
			}
		}
		s.waitCaughtUp(20 * time.Second)
		for _, p := range all {
			s.readable(p, other, driver, 0)
		}
	}
	for _, p := range all {
		for _, b := range p.blocks {
			s.paste(b, killed, now)
		}
	}
	s.killAll()
	for _, p := range all {
		if !p.waits {
			s.readable(p, s.http, killed, 0)
		}
	}
	for _, p := range all {
		s.readable(p, s.http, driver, 20*time.Second)
		s.readable(p, s.http, killed, 20*time.Second)
	}
	if letters := s.letters(); len(letters) > 0 {
		t.Errorf("letters %+v", letters)
	}
}

// readable looks a driver up at a server, at once or until it is as wanted.
func (s *stack) readable(p *pattern, server string, driver int64, within time.Duration) {
	s.t.Helper()
	c, err := client.New("http://" + server)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	var features []string
	for f := range p.want {
		features = append(features, f)
	}
	slices.Sort(features)
	check := func() error {
		a, err := c.Lookup(s.t.Context(), client.LookupRequest{
			Features: features, Entities: client.Rows{{"driver_id": driver}}, Context: map[string]any{"pickup_km": 0.5},
		})
		if err != nil {
			return err
		}
		for _, f := range features {
			if got := a.Rows[0].Get(f).String(); got != p.want[f] {
				return fmt.Errorf("%s is %s, want %s", f, got, p.want[f])
			}
		}
		return nil
	}
	if within > 0 {
		s.eventually(within, p.chapter, check)
	} else if err := check(); err != nil {
		s.t.Errorf("%s, at once, of driver %d: %v", p.chapter, driver, err)
	}
}

// killAll ends every process at once, in the middle of what it does, and starts
// them again.
func (s *stack) killAll() {
	s.t.Helper()
	for _, p := range s.procs {
		_ = p.cmd.Process.Signal(syscall.SIGKILL)
	}
	for _, p := range s.procs {
		<-p.done
	}
	if s.real {
		s.ready(s.start(s.admin, "serve"))
	}
	s.startIngest()
}

// otherServer is a serving process that nothing is written through, where there
// can be more than one.
func (s *stack) otherServer() string {
	s.t.Helper()
	if !s.real {
		return s.http
	}
	other, env := freePort(s.t), s.env
	s.env = append(slices.Clone(env), "MILLRACE_SERVE_HTTP="+other)
	defer func() { s.env = env }()
	s.ready(s.start(freePort(s.t), "serve"))
	resp, err := http.Get("http://" + other + "/health")
	if err != nil {
		s.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return other
}
