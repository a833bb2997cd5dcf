package importrules

import (
	"slices"
	"strings"
	"testing"
)

// The rules are worth something only if they can fail: here they do, on
// imports that nobody wrote.

func TestForbiddenImportsAreFound(t *testing.T) {
	for _, c := range []struct{ pkg, imported string }{
		{"feature", "millrace/transforms"},
		{"feature", "github.com/goccy/go-yaml"},
		{"feature", "os"},
		{"feature", "log/slog"},
		{"feature/definition", "millrace/sinks"},
		{"feature/history", "millrace/sinks/pebble"},
		{"transforms", "millrace/sources"},
		{"transforms", "net/http"},
		{"transforms", "context"},
		{"transforms/expr", "millrace/transforms"},
		{"transforms/window", "os"},
		{"sources", "millrace/sinks"},
		{"sources/kafka", "millrace/pipeline"},
		{"sources/kafka", "millrace/sources/jsonrec"},
		{"sinks", "millrace/transforms"},
		{"sinks/pebble", "millrace/serving"},
		{"sinks/pebble", "millrace/sinks/memory"},
		{"pipeline", "millrace/sources/kafka"},
		{"pipeline", "millrace/internal/telemetry"},
		{"pipeline", "log/slog"},
		{"pipeline", "github.com/prometheus/client_golang/prometheus"},
		{"serving", "millrace/sinks"},
		{"serving/rest", "millrace/sinks/rowcodec"},
		{"client", "millrace/feature"},
		{"internal/telemetry", "millrace/pipeline"},
		{"internal/testkit", "millrace/sinks/pebble"},
	} {
		found := violations(c.pkg, []string{"fmt", c.imported})
		if len(found) != 1 {
			t.Errorf("%s importing %s: %d violations, want 1", c.pkg, c.imported, len(found))
			continue
		}
		if r, _ := ruleOf(c.pkg); !strings.Contains(found[0], c.pkg) || !strings.Contains(found[0], c.imported) || r.instead == "" || !strings.HasSuffix(found[0], r.instead) {
			t.Errorf("%q does not name both packages and what to do instead", found[0])
		}
	}
}

func TestAllowedImportsPass(t *testing.T) {
	for _, c := range []struct{ pkg, imported string }{
		{"feature", "strings"},
		{"feature/definition", "github.com/goccy/go-yaml"},
		{"feature/history", "millrace/sinks"},
		{"transforms", "millrace/transforms/expr"},
		{"sources/kafka", "net"},
		{"sinks/scylla", "millrace/sinks/rowcodec"},
		{"sinks/scylla", "millrace/sinks/scylla/internal/cql"},
		{"pipeline", "github.com/sourcegraph/conc"},
		{"serving/rest", "net/http"},
		{"internal/testkit", "millrace/sinks"},
		{"cmd/millrace", "millrace/internal/telemetry"},
		{"bench", "millrace/sinks/scylla"},
	} {
		if found := violations(c.pkg, []string{c.imported}); len(found) > 0 {
			t.Errorf("%s may import %s, but: %v", c.pkg, c.imported, found)
		}
	}
}

func TestPackageWithoutRuleIsFound(t *testing.T) {
	found := violations("helpers", nil)
	if len(found) != 1 || !strings.Contains(found[0], "helpers has no import rule") {
		t.Errorf("%v", found)
	}
}

func TestLongestChain(t *testing.T) {
	graph := map[string][]string{
		"cmd": {"rest", "feature"}, "rest": {"serving"}, "serving": {"transforms", "fmt"},
		"transforms": {"expr", "feature"}, "expr": {"feature"}, "feature": nil,
	}
	all := longest(graph, func(string) bool { return true })
	if want := []string{"cmd", "rest", "serving", "transforms", "expr", "feature"}; !slices.Equal(all, want) {
		t.Errorf("%v, want %v", all, want)
	}
	libraries := longest(graph, func(p string) bool { return p != "cmd" })
	if len(libraries) != 5 || libraries[0] != "rest" {
		t.Errorf("without cmd: %v", libraries)
	}
}

func TestClockUsesAreFound(t *testing.T) {
	const src = `package p
import clock "time"
var d = clock.Since(clock.Time{})
func now() clock.Time { return clock.Now() }
var Clock = clock.Now
func wait() { <-clock.After(clock.Second) }`
	got := clockUses(t, "p.go", src)
	if want := []string{"p.go: time.Since", "p.go: time.Now"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := clockUses(t, "p.go", "package p\ntype s struct{ Now func() }\nfunc f(time s) { time.Now() }"); got != nil {
		t.Errorf("a field called Now is taken for the clock: %v", got)
	}
}
