//go:build !real

package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inferencePage explains what inferenceExample defines.
const (
	inferencePage    = repository + "/docs/inference-patterns.md"
	inferenceExample = repository + "/examples/inference/features.yaml"
)

// TestInferencePatterns pastes the page's commands in order, and compares what
// they print with what the page says.
func TestInferencePatterns(t *testing.T) {
	s := newStack(t, "inference")
	s.suffixes = []string{"_orders"}
	model, centric := freePort(t), freePort(t)
	example := readText(t, inferenceExample)
	s.write(strings.NewReplacer("project: inference", "project: PROJECT", "topic: inference.", "topic: TOPIC_", "127.0.0.1:8080", model).Replace(example))
	s.startIngest()
	server := s.startProgram("examples/inference/model", "http://"+model+"/v2/health/ready", "-listen", model)
	s.startProgram("examples/inference-centric", "http://"+centric+"/v2/health/ready", "-listen", centric, "-server", "http://"+s.http)

	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	addresses := []string{"127.0.0.1:6566", s.http, "127.0.0.1:8080", model, "127.0.0.1:8081", centric}
	fits := strings.NewReplacer(append(addresses,
		"examples/inference/client", "examples/inference/client -server http://"+s.http+" -model http://"+model,
		".py --user", ".py --server http://"+s.http+" --model http://"+model+" --user",
		"sleep 1", "sleep 4", // this machine does other work, too
	)...)
	printed, compared := "", 0
	for _, b := range pageBlocks(t, inferencePage) {
		switch b.language {
		case "yaml":
			if !strings.Contains(example, strings.TrimSpace(b.text)) {
				t.Errorf("the example does not have\n%s", b.text)
			}
		case "sh":
			cmd := exec.Command("bash", "-euo", "pipefail", "-c", fits.Replace(b.text))
			cmd.Dir, cmd.Env = root, append(os.Environ(), "now="+time.Now().UTC().Format(time.RFC3339), "PYTHONDONTWRITEBYTECODE=1")
			out, err := cmd.CombinedOutput()
			if err != nil || strings.Contains(string(out), `"error"`) {
				t.Fatalf("%s\n%v\n%s", b.text, err, out)
			}
			printed = string(out)
		case "text":
			compared++
			if got, want := lines(printed), lines(b.text); got != want {
				t.Errorf("the page says\n%s\nand printed was\n%s", want, got)
			}
		}
	}
	if compared < 9 {
		t.Errorf("the page says of %d commands only what they print", compared)
	}
	server.stop(syscall.SIGKILL)
	s.withoutModel()
	for _, program := range []string{"go run ./examples/inference/client -server http://127.0.0.1:1 7", "python3 examples/inference/python/cached.py --server http://127.0.0.1:1"} {
		cmd := exec.Command("bash", "-euc", program)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err == nil {
			t.Errorf("without a server, %s said\n%s", program, out)
		}
	}
}

// withoutModel looks at what the page says of a model that is away.
func (s *stack) withoutModel() {
	s.t.Helper()
	for user, want := range map[int]string{
		8:  `"values":[0.5],"origin":["prediction_fresh:`,
		99: `"values":[null],"origin":["prediction_failed:unreachable"]`,
	} {
		status, text, err := s.post("/v1/lookup", map[string]any{
			"features": []string{"fraud:score"}, "entities": []any{map[string]any{"user_id": user}}, "include": []string{"origin"},
		})
		if err != nil || status != http.StatusOK || !strings.Contains(string(text), want) {
			s.t.Errorf("without its model, user %d is answered %d %s, %v", user, status, text, err)
		}
	}
}

// lines is text with a line per answer: curl ends none.
func lines(text string) string {
	return strings.TrimSpace(strings.NewReplacer("}{", "}\n{", "}null", "}\nnull").Replace(text))
}

// pageBlocks are the fenced blocks of a page, in order.
func pageBlocks(t *testing.T, page string) []block {
	t.Helper()
	var all []block
	for _, m := range regexp.MustCompile("(?s)```(\\w+)\n(.*?)```").FindAllStringSubmatch(readText(t, page), -1) {
		all = append(all, block{m[1], m[2]})
	}
	return all
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// startProgram builds a program of the repository and runs it until the test
// ends; ready is a URL that answers 200 once it serves.
func (s *stack) startProgram(pkg, ready string, args ...string) *process {
	s.t.Helper()
	path := filepath.Join(s.dir, filepath.Base(pkg))
	if out, err := exec.Command("go", "build", "-o", path, "millrace/"+pkg).CombinedOutput(); err != nil {
		s.t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	p := &process{cmd: exec.Command(path, args...), log: new(logBuffer), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	s.t.Cleanup(func() { p.stop(syscall.SIGTERM) })
	s.eventually(10*time.Second, pkg+" serves", func() error {
		resp, err := http.Get(ready)
		if err != nil {
			return err
		}
		defer resp.Body.Close() //nolint:errcheck // only its status was wanted
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("it answered %s", resp.Status)
		}
		return nil
	})
	return p
}
