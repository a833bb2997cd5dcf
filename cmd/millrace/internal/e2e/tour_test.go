//go:build !real

package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTour pastes the README's commands, as a stranger would, against a
// running demo.
func TestTour(t *testing.T) {
	s := newStack(t, "tour")
	p := s.start(s.admin, "dev", "--demo", "--kafka", s.brokers[0], "--http", s.http, "--admin", s.admin, "--data-dir", ".millrace")
	s.ready(p)
	s.eventually(10*time.Second, "a driver is served", func() error {
		_, err := s.lookup([]string{"driver_trips:last_fare"}, 1001)
		return err
	})
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	// A malformed demo event is the thousandth; the tour lists what there is.
	fits := strings.NewReplacer("127.0.0.1:6566", s.http, "bin/millrace", binary, "examples/rides", filepath.Join(root, "examples/rides"),
		"/tmp/broken", filepath.Join(s.dir, "broken"))
	for _, block := range tourBlocks(t, filepath.Join(root, "README.md")) {
		out, err := s.shell(fits.Replace(block))
		wantsFault := strings.Contains(block, "broken")
		if (err != nil) != wantsFault {
			t.Errorf("%s\n%v\n%s", block, err, out)
		}
		t.Logf("%s\n%s", block, tail(out, 300))
		switch {
		case strings.Contains(block, "driver_activity?"):
			s.movesOn(out)
			expect(t, out, `"hop_s":900,"complete":`)
		case strings.Contains(block, "/v1/lookup"):
			expect(t, out, `"driver_trips:last_fare":`)
			expect(t, out, `"quote:expected_fare":`)
		case strings.Contains(block, "get-online-features"):
			expect(t, out, `"PRESENT"`)
			expect(t, out, `"quote__expected_fare"`)
		case strings.Contains(block, "explain"):
			expect(t, out, "computed at read")
			expect(t, out, "arrives with the request")
			expect(t, out, "counted at write and merged at read")
		case wantsFault:
			expect(t, out, "did you mean nullif?")
			expect(t, out, `unknown type "flot64"`)
		}
	}
	p.stop(syscall.SIGINT)
	if p.err != nil {
		t.Errorf("Ctrl-C ended it with %v", p.err)
	}
}

var tripsOfADay = regexp.MustCompile(`"driver_activity:trips_24h":([0-9]+)`)

// movesOn waits until a window holds more than the tour has shown.
func (s *stack) movesOn(shown string) {
	s.t.Helper()
	count := func(text string) int {
		n := -1
		for _, m := range tripsOfADay.FindAllStringSubmatch(text, -1) {
			n, _ = strconv.Atoi(m[1])
		}
		return n
	}
	if count(shown) < 0 {
		s.t.Errorf("the tour shows no window:\n%s", tail(shown, 600))
	}
	s.eventually(10*time.Second, "a window moves", func() error {
		now, err := s.shell("curl -s 'http://" + s.http + "/v1/lookup/driver_activity?driver_id=1001'")
		if err == nil && count(now) <= count(shown) {
			err = fmt.Errorf("it is %d", count(now))
		}
		return err
	})
}

func expect(t *testing.T, out, want string) {
	t.Helper()
	if !strings.Contains(out, want) {
		t.Errorf("the output lacks %q:\n%s", want, tail(out, 600))
	}
}

// shell runs a pasted block in the stack's folder.
func (s *stack) shell(block string) (string, error) {
	cmd := exec.Command("bash", "-euc", block)
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// tourBlocks returns the shell blocks of the README's tour.
func tourBlocks(t *testing.T, readme string) []string {
	t.Helper()
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	_, tour, ok := strings.Cut(string(text), "## A tour")
	tour, _, ok2 := strings.Cut(tour, "\n## ")
	if !ok || !ok2 {
		t.Fatal("the README has no tour")
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(tour, -1) {
		if !strings.Contains(m[1], "make run") {
			blocks = append(blocks, m[1])
		}
	}
	if len(blocks) < 4 {
		t.Fatalf("the tour has only %d blocks to paste", len(blocks))
	}
	return blocks
}
