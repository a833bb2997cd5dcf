package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const ridesFolder = "../../examples/rides"

// command runs a command line and returns what it prints.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestTheExamplesTestsPass(t *testing.T) {
	out, err := command(t, "test", ridesFolder)
	if err != nil || !strings.HasSuffix(out, " passed, 0 failed\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A changed expectation fails, and a reader of the output knows where, what,
// and which event the value came from.
func TestAChangedExpectationFailsLegibly(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(ridesFolder)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "tests", "trips.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(text, []byte("driver_trips:fare_per_km: 2.5"), []byte("driver_trips:fare_per_km: 2.4"), 1)
	if err := os.WriteFile(file, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := command(t, "test", "--definitions", dir, "--run", "^a finished|expire", "-v")
	if !errors.Is(err, errSilent) {
		t.Errorf("it ended with %v", err)
	}
	const want = `FAIL  a finished trip becomes features (FILE:4)
  FILE:23: driver_trips:fare_per_km
    read at 2026-01-01T12:05:00Z of {"driver_id":1001}
    expected  2.4
    got       2.5
    because   at write: fare / nullif(km, 0); from the event on line 6

ok    features expire after seven days (FILE:72)
1 passed, 1 failed
`
	if got := strings.ReplaceAll(out, file, "FILE"); got != want {
		t.Errorf("it prints\n%s\nnot\n%s", got, want)
	}
}

// The examples of the document are tests that pass, and its failure is one
// that the command prints.
func TestTheDocumentsExamplesPass(t *testing.T) {
	text, err := os.ReadFile("../../docs/testing-definitions.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(examples) < 3 {
		t.Fatalf("the document has %d examples", len(examples))
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(ridesFolder)); err != nil {
		t.Fatal(err)
	}
	for i, m := range examples {
		if err := os.WriteFile(filepath.Join(dir, "tests", fmt.Sprintf("example%d.yaml", i)), m[1], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := command(t, "test", dir); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTestSaysWhatIsMissing(t *testing.T) {
	empty := t.TempDir()
	definitions, err := os.ReadFile(filepath.Join(ridesFolder, "sources.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(empty, "sources.yaml"), definitions, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{empty}, "docs/testing-definitions.md"},
		{[]string{ridesFolder, "--definitions", empty}, "name the folder once"},
		{[]string{ridesFolder, "--run", "zebra"}, "matches --run zebra"},
		{[]string{ridesFolder, "--run", "("}, "no regular expression"},
		{[]string{filepath.Join(empty, "nowhere")}, "--definitions DIR"},
	} {
		_, err := command(t, append([]string{"test"}, c.args...)...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, not %q", c.args, err, c.want)
		}
	}
}
