//go:build !real

package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestExamples pastes the commands of the examples' READMEs against a running
// demo, in Go and in Python, and looks at what is served afterwards.
func TestExamples(t *testing.T) {
	root, packages := pythonPackages(t, "python")
	s := newStack(t, "examples")
	s.ready(s.start(s.admin, "dev", "--demo", "--kafka", s.brokers[0], "--http", s.http, "--admin", s.admin, "--data-dir", "data"))
	s.eventually(10*time.Second, "a driver is served", func() error {
		a, err := s.lookup([]string{"driver_trips:last_fare"}, 1001)
		if err == nil && a.Rows[0].Status[0] != "PRESENT" {
			err = fmt.Errorf("it is %s", a.Rows[0].Status[0])
		}
		return err
	})
	fits := strings.NewReplacer("127.0.0.1:6566", s.http, "127.0.0.1:9092", s.brokers[0])
	paste := func(block string) string {
		cmd := exec.Command("bash", "-euc", fits.Replace(block))
		cmd.Dir, cmd.Env = root, append(os.Environ(), "PYTHONPATH="+packages, "PYTHONDONTWRITEBYTECODE=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s\n%v\n%s", block, err, out)
		}
		t.Logf("%s\n%s", block, out)
		return string(out)
	}
	for _, block := range shellBlocks(t, filepath.Join(root, "examples/producers/README.md"), 5) {
		paste(block)
	}
	s.producersWrote()
	for _, block := range shellBlocks(t, filepath.Join(root, "examples/lookup/README.md"), 2) {
		// Of a driver of the demo values change; one of a producer's is known.
		out := paste(strings.ReplaceAll(block, "1001", "2001"))
		expect(t, out, "driver_trips:last_fare           PRESENT          12.5")
		expect(t, out, "the last fare is 12.5, ")
		expect(t, paste(strings.ReplaceAll(block, "1001", "999999")), "no trip is known of this driver")
	}
	s.pasteAPIPage(filepath.Join(root, "docs/api.md"))
	for _, command := range []string{
		"go run ./examples/lookup -server http://127.0.0.1:1", "python3 examples/lookup/python/lookup.py --server http://127.0.0.1:1",
		"go run ./examples/producers/http -server http://127.0.0.1:1", "python3 examples/producers/python/http_producer.py --server http://127.0.0.1:1",
	} {
		cmd := exec.Command("bash", "-euc", command)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err == nil {
			t.Errorf("without a server, %s said\n%s", command, out)
		}
	}
}

// producersWrote looks at what the producers' rows have become: the raw ones
// were transformed and counted, the computed ones are what they were.
func (s *stack) producersWrote() {
	s.t.Helper()
	for _, first := range []int64{2001, 2011, 3001, 5001} {
		s.waitValue(20*time.Second, first, "driver_activity:trips_24h", "1")
		s.waitValue(20*time.Second, first, "driver_trips:fare_per_km", "2.5")
		s.waitValue(20*time.Second, first+1, "driver_trips:tier", `"PLATINUM"`)
		s.waitValue(20*time.Second, first+1, "driver_trips:fare_per_km", "9.95")
		s.waitValue(20*time.Second, first+1, "driver_activity:trips_24h", "0")
	}
	for _, first := range []int64{3001, 5001} { // over HTTP, and synchronously: there is nothing to wait for
		for driver, want := range map[int64]string{first: "4.75", first + 1: "null", first + 2: "4.5", first + 1001: "4.5", first + 1002: "null"} {
			a, err := s.lookup([]string{"driver_profile:rating"}, driver)
			if err != nil || string(a.Rows[0].Values[0]) != want {
				s.t.Errorf("rating of driver %d: %v, %v, want %s", driver, a, err, want)
			}
		}
	}
}

// apiCommands are the commands of the page: indented, and over several lines.
var apiCommands = regexp.MustCompile(`(?m)^    (?:curl|printf) .*\n(?: {4,}.*\n)*`)

// pasteAPIPage types what the page says, in order.
func (s *stack) pasteAPIPage(page string) {
	s.t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		s.t.Fatal(err)
	}
	commands := apiCommands.FindAllString(string(text), -1)
	if len(commands) < 8 {
		s.t.Errorf("the page has only %d commands to paste", len(commands))
	}
	for _, command := range commands {
		out, err := s.shell(strings.ReplaceAll(command, "localhost:6566", s.http))
		if err != nil || strings.Contains(out, `"error"`) || strings.Contains(out, "message") {
			s.t.Errorf("%s\n%v\n%s", command, err, out)
		}
		s.t.Logf("%s\n%s", command, tail(out, 200))
	}
}

// shellBlocks returns what a README says to type.
func shellBlocks(t *testing.T, readme string, want int) []string {
	t.Helper()
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) != want {
		t.Fatalf("%s has %d blocks to paste, want %d", readme, len(blocks), want)
	}
	return blocks
}
