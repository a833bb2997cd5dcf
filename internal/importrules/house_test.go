package importrules

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// listed is what `go list -json` tells of a package.
type listed struct {
	ImportPath, Doc, Dir                        string
	GoFiles, Imports, TestImports, XTestImports []string
}

func (p *listed) path() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

// onlyTests reports whether p has nothing to document.
func (p *listed) onlyTests() bool { return len(p.GoFiles) == 0 }

// house lists all packages of the module, with every build tag that the
// project uses, so that no file hides behind one.
func house(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json", "-tags", "real,soak", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list found %d packages only", len(all))
	}
	return all
}

func TestImportsKeepTheRules(t *testing.T) {
	for _, p := range house(t) {
		for _, fault := range violations(p.path(), p.Imports) {
			t.Error(fault)
		}
	}
}

func TestEveryPackageHasAComment(t *testing.T) {
	for _, p := range house(t) {
		if !p.onlyTests() && p.Doc == "" {
			t.Errorf("package %s has no comment: state its job and one invariant in doc.go", p.path())
		}
	}
}

func TestBubblesAreOurs(t *testing.T) {
	for _, p := range house(t) {
		for _, imports := range [][]string{p.Imports, p.TestImports, p.XTestImports} {
			if p.path() != "internal/synctest" && slices.Contains(imports, "testing/synctest") {
				t.Errorf("package %s imports testing/synctest: import millrace/internal/synctest, which the race detector bears", p.path())
			}
		}
	}
}

const maxChain = 5

// below leaves out the commands, which know everything by design.
func below(path string) bool {
	r, _ := ruleOf(path)
	return !slices.Contains(r.ours, "*")
}

func TestImportChainsAreShort(t *testing.T) {
	graph := make(map[string][]string)
	for _, p := range house(t) {
		graph[p.path()] = nil
		for _, q := range p.Imports {
			graph[p.path()] = append(graph[p.path()], strings.TrimPrefix(q, module+"/"))
		}
	}
	t.Logf("longest chain: %s", strings.Join(longest(graph, func(string) bool { return true }), " > "))
	if chain := longest(graph, below); len(chain) > maxChain {
		t.Errorf("import chain of %d packages, at most %d: %s; let the upper ones meet in cmd/millrace",
			len(chain), maxChain, strings.Join(chain, " > "))
	}
}

// clockless packages get their time from the caller: the same rows must give
// the same result in a replay, and tests decide what time it is.
var clockless = []string{"feature", "feature/*", "transforms", "transforms/*", "pipeline", "pipeline/*"}

func TestNoClockWhereTimeIsPassedIn(t *testing.T) {
	for _, p := range house(t) {
		if !slices.ContainsFunc(clockless, func(c string) bool { return covers(c, p.path()) }) {
			continue
		}
		for _, name := range p.GoFiles {
			for _, use := range clockUses(t, filepath.Join(p.Dir, name), nil) {
				t.Errorf("package %s reads the clock: %s; take the time as an argument, or a Clock in the settings", p.path(), use)
			}
		}
	}
}

// clockUses lists calls of the wall clock in a file; src, when not nil, is its
// text. Naming time.Now as the default of a Clock is no call.
func clockUses(t *testing.T, path string, src any) []string {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	clock := ""
	for _, i := range f.Imports {
		if i.Path.Value == `"time"` {
			clock = "time"
			if i.Name != nil {
				clock = i.Name.Name
			}
		}
	}
	var uses []string
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		s, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := s.X.(*ast.Ident)
		if ok && clock != "" && x.Name == clock && slices.Contains([]string{"Now", "Since", "Until"}, s.Sel.Name) {
			at := fset.Position(s.Pos())
			uses = append(uses, filepath.Base(at.Filename)+": time."+s.Sel.Name)
		}
		return true
	})
	return uses
}
