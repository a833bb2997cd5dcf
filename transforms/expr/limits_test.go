package expr_test

import (
	"errors"
	"strings"
	"testing"

	"millrace/feature"
	"millrace/transforms/expr"
)

// TestLimits holds what Parse refuses to what it says about it.
func TestLimits(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"long text", strings.Repeat(" ", expr.MaxTextBytes) + "1", "the expression has 65537 bytes, at most 65536 are allowed"},
		{"nesting", strings.Repeat("(", 300) + "1" + strings.Repeat(")", 300), "the expression nests deeper than 200"},
		{"calls", strings.Repeat("abs(", 300) + "1" + strings.Repeat(")", 300), "the expression nests deeper than 200"},
		{"signs", strings.Repeat("- ", 300) + "1", "the expression nests deeper than 200"},
		{"chain", "1" + strings.Repeat("+1", 1100), "the expression is deeper than 1000"},
		{"casts", "1" + strings.Repeat("::int", 1100), "the expression is deeper than 1000"},
		{"list", "1 in (1" + strings.Repeat(",1", 11_000) + ")", "the expression has more than 10000 parts"},
		{"elements", "[1" + strings.Repeat(",1", 11_000) + "]", "the expression has more than 10000 parts"},
	} {
		_, err := expr.Parse(test.text)
		var at *expr.Error
		if !errors.As(err, &at) || at.Message != test.want || at.Hint != "split it into several features" {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
}

// TestMadeTextIsBounded: what makes texts longer fails instead of going on.
func TestMadeTextIsBounded(t *testing.T) {
	s := new(feature.Column)
	s.Reset(feature.Of(feature.KindString))
	s.SetString(s.AppendNull(), strings.Repeat("a", 5<<20))
	tab := table{names: []string{"s"}, columns: []*feature.Column{s}, rows: 1}
	for text, fails := range map[string]bool{
		"length(s || s || s)":                                false,
		"length(s || s || s || s)":                           true,
		"length(concat(s, s, s, s))":                         true,
		"length(concat_ws(',', s, s, s, 'b'))":               false,
		"length(concat_ws(s, s, s))":                         false,
		"length(concat_ws(s, s, s, s))":                      true,
		"length(replace(s, 'aaaaa', 'bbbbbbbbbbbbbbb'))":     false,
		"length(replace(s, 'aaaaa', 'bbbbbbbbbbbbbbbbbbb'))": true,
	} {
		m := mustCompile(t, tab, text).NewMachine()
		m.Run(tab.input())
		f, failed := m.Failure(0, 0)
		if failed != fails || failed && !strings.HasPrefix(f.Message, "text longer than 16 MiB in ") {
			t.Errorf("%s: failed %v %s", text, failed, f.Message)
		}
	}
}

// TestMadeListIsBounded: so does what makes lists longer, and texts of lists.
func TestMadeListIsBounded(t *testing.T) {
	l, s := new(feature.Column), new(feature.Column)
	l.Reset(feature.ListOf(feature.Of(feature.KindInt64)))
	l.Elems.Resize(300_000)
	l.SetList(l.AppendNull(), 0)
	s.Reset(feature.Of(feature.KindString))
	s.SetString(s.AppendNull(), strings.Repeat("a", 5<<20))
	tab := table{names: []string{"l", "s"}, columns: []*feature.Column{l, s}, rows: 1}
	for text, want := range map[string]string{
		"len(l || l || l)":                                  "",
		"len(l || l || l || l)":                             "list longer than 1048576 elements",
		"len(list_concat(l, l, null, l, l))":                "list longer than 1048576 elements",
		"length(cast([s, s, s] as string))":                 "",
		"length(cast([s, s, s, s] as string))":              "text longer than 16 MiB",
		"length(cast([[s, s], [s, s, s, s, s]] as string))": "text longer than 16 MiB",
		"json_array_length(cast([s, s, s] as json))":        "",
		"json_array_length(cast([s, s, s, s, s] as json))":  "text longer than 16 MiB",
	} {
		m := mustCompile(t, tab, text).NewMachine()
		m.Run(tab.input())
		f, failed := m.Failure(0, 0)
		if got, _, _ := strings.Cut(f.Message, " in "); failed != (want != "") || got != want {
			t.Errorf("%s: failed %v %s", text, failed, f.Message)
		}
	}
}
