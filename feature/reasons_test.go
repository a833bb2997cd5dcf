package feature_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestEveryReasonIsDocumented holds docs/deadletters.md to the closed set.
func TestEveryReasonIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/deadletters.md")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "reject.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		lit, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			return true
		}
		found++
		if code, err := strconv.Unquote(lit.Value); err != nil || !strings.Contains(string(text), "| `"+code+"` |") {
			t.Errorf("docs/deadletters.md does not explain %s", lit.Value)
		}
		return true
	})
	if found < 10 {
		t.Errorf("only %d reasons were found", found)
	}
}
