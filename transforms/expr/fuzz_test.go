package expr_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/transforms/expr"
)

// seed adds the expressions of all scripts.
func seed(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " => ")
			f.Add(line)
		}
	}
}

func FuzzParse(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, text string) {
		n, err := expr.Parse(text)
		if err != nil {
			var at *expr.Error
			if !errors.As(err, &at) || at.Offset < 0 || at.End < at.Offset || at.End > len(text) || at.Message == "" {
				t.Fatalf("Parse(%q) = %#v", text, err)
			}
			return
		}
		printed := n.String()
		if len(printed) > expr.MaxTextBytes {
			return
		}
		again, err := expr.Parse(printed)
		if err != nil {
			if strings.Contains(err.Error(), "nests deeper") {
				return // the parentheses that printing adds count
			}
			t.Fatalf("Parse(%q) printed %q: %v", text, printed, err)
		}
		if again.String() != printed {
			t.Fatalf("%q printed %q, then %q", text, printed, again)
		}
	})
}

func FuzzEval(f *testing.F) {
	seed(f)
	tab := readTable(f, "fare float64|km float64|status string|a int32|b int64|f float32|t timestamp|"+
		"l list<int64>|m list<float32>|n list<list<string>>|j json|y bytes|ok bool|event_time timestamp|now timestamp\n"+
		"1.5|0|completed|1|-3|2.5|2024-05-01T00:00:00Z|[1]|[1.5, null]|[[a], [null]]|{\"a\": [1, \"b\"]}|aGk=|true|2024-05-01T00:00:00Z|2024-05-02T00:00:00Z\n"+
		"nan|null|é|-2147483648|9223372036854775807|null|null|null|null|null|null|null|false|null|null")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 500 {
			return
		}
		e, err := checked(text, tab)
		if err != nil {
			return
		}
		m := expr.Compile([]*expr.Expr{e, e}).NewMachine()
		in := tab.input()
		m.Run(in)
		first := show(m, 0, 0)
		m.Run(in)
		if again := show(m, 1, 0); again != first {
			t.Fatalf("%q is %s, then %s", text, first, again)
		}
	})
}
