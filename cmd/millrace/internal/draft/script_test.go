package draft_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"millrace/cmd/millrace/internal/draft"
	"millrace/feature/definition"
	"millrace/sources"
)

var rewrite = flag.Bool("rewrite", false, "accept the drafts of the scripts in testdata")

// TestScripts reads testdata: records, and the draft that they become.
//
//	key TEXT         of the records that follow; - is none
//	header K=V       of the next record
//	at MILLIS        the time of the records that follow
//	record JSON      times N to repeat it
//	tombstone
//	draft            followed by the YAML, or by the error, up to the next blank line
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		said, _, _ := strings.Cut(block+"\n", "\ndraft\n")
		fmt.Fprintf(&out, "%s\ndraft\n%s\n", said, drafted(t, said))
	}
	got := strings.TrimSpace(out.String()) + "\n"
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != string(text) {
		t.Errorf("it drafts\n%s\nwant\n%s", got, text)
	}
}

// drafted drafts a source of what a script says, and checks the draft.
func drafted(t *testing.T, script string) string {
	t.Helper()
	s, err := draft.FromJSON("events", "events", scripted(t, script))
	if err != nil {
		return err.Error() + "\n"
	}
	load(t, s.YAML())
	return string(s.YAML())
}

func scripted(t *testing.T, script string) []sources.Record {
	t.Helper()
	var records []sources.Record
	var next sources.Record
	add := func(value []byte) {
		next.Value, next.Offset = value, int64(len(records))
		records = append(records, next)
		next.Headers = nil
	}
	for line := range strings.Lines(script) {
		verb, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch verb {
		case "key":
			next.Key = nil
			if rest != "-" {
				next.Key = []byte(rest)
			}
		case "header":
			k, v, _ := strings.Cut(rest, "=")
			next.Headers = append(next.Headers, sources.Header{Key: k, Value: []byte(v)})
		case "at":
			next.TimeMillis, _ = strconv.ParseInt(rest, 10, 64)
		case "record":
			add([]byte(rest))
		case "tombstone":
			add(nil)
		case "#":
		default:
			t.Fatalf("unknown line %q", line)
		}
	}
	return records
}

// load puts a draft into a project.
func load(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, yaml []byte,
) *definition.Project {
	t.Helper()
	p, err := definition.Load([]definition.File{{Name: "p.yaml", Data: []byte("project: p\n")}, {Name: "draft.yaml", Data: yaml}})
	if err != nil {
		t.Fatalf("the draft has errors:\n%v\n%s", err, yaml)
	}
	return p
}
