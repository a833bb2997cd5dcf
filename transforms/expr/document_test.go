package expr_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/transforms/expr"
)

// documentedFunction is a row of the tables in docs/expressions.md: how the
// function is called, its second names, an example and what that gives.
type documentedFunction struct {
	usage           string
	second          []string
	example, result string
}

func documentedFunctions(t *testing.T) []documentedFunction {
	text, err := os.ReadFile("../../docs/expressions.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text2, _ := strings.Cut(string(text), "\n## Functions\n")
	section, _, _ := strings.Cut(text2, "\n## ")
	quoted := regexp.MustCompile("`([^`]+)`")
	var all []documentedFunction
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.ReplaceAll(line, `\|`, "\x00"), "|")
		if len(cells) < 5 || !strings.Contains(line, "`") {
			continue
		}
		var texts [][]string
		for _, cell := range cells[1:4] {
			var codes []string
			for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
				codes = append(codes, strings.ReplaceAll(m[1], "\x00", "|"))
			}
			texts = append(texts, codes)
		}
		if len(texts[0]) == 0 || len(texts[1]) != 1 || len(texts[2]) != 1 {
			t.Errorf("docs/expressions.md: a row needs function, one example and its result: %s", line)
			continue
		}
		all = append(all, documentedFunction{texts[0][0], texts[0][1:], texts[1][0], texts[2][0]})
	}
	return all
}

// TestEveryFunctionIsDocumented holds docs/expressions.md to the table of
// functions, in both directions.
func TestEveryFunctionIsDocumented(t *testing.T) {
	usages, second := expr.Usages()
	for _, d := range documentedFunctions(t) {
		name, _, _ := strings.Cut(d.usage, "(")
		if usages[name] != d.usage {
			t.Errorf("docs/expressions.md lists %s as %q, the function is called as %q", name, d.usage, usages[name])
		}
		delete(usages, name)
		for _, s := range d.second {
			s, _, _ = strings.Cut(s, "(")
			if second[s] != name {
				t.Errorf("docs/expressions.md has %s as second name of %s, it stands for %q", s, name, second[s])
			}
			delete(second, s)
		}
		if word := regexp.MustCompile(`\b\w+`).FindAllString(d.example, -1); !slices.Contains(word, name) {
			t.Errorf("docs/expressions.md: the example of %s is %q", name, d.example)
		}
	}
	for name, usage := range usages {
		t.Errorf("docs/expressions.md does not list %s as `%s`", name, usage)
	}
	for name, of := range second {
		t.Errorf("docs/expressions.md does not list %s as second name of %s", name, of)
	}
}

// TestDocumentedExamples evaluates the examples of docs/expressions.md, on the
// row that the page says they see.
func TestDocumentedExamples(t *testing.T) {
	in := expr.Input{
		Rows:        1,
		NowMicros:   []int64{time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC).UnixMicro()},
		EventMicros: []int64{time.Date(2024, 5, 1, 11, 59, 0, 0, time.UTC).UnixMicro()},
	}
	for _, d := range documentedFunctions(t) {
		e, err := checked(d.example, table{})
		if err != nil {
			t.Errorf("docs/expressions.md: %s: %v", d.example, err)
			continue
		}
		m := expr.Compile([]*expr.Expr{e}).NewMachine()
		m.Run(in)
		if got := e.Type().String() + " " + show(m, 0, 0); got != d.result {
			t.Errorf("docs/expressions.md: %s is %s, documented as %s", d.example, got, d.result)
		}
	}
}
