package expr

import (
	"os"
	"strings"
	"testing"
)

// TestEveryFunctionIsDocumented holds docs/expressions.md to the table.
func TestEveryFunctionIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/expressions.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range functions {
		if !strings.Contains(string(text), "`"+f.usage+"`") {
			t.Errorf("docs/expressions.md does not list %s as `%s`", name, f.usage)
		}
	}
	for name := range aliases {
		if !strings.Contains(string(text), "`"+name) {
			t.Errorf("docs/expressions.md does not list the second name %s", name)
		}
	}
}
