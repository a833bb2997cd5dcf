package expr_test

import (
	"os"
	"strings"
	"testing"

	"millrace/transforms/expr"
)

// TestSQL runs testdata/sql/duckdb.txt, whose lines are "expression => SQL".
func TestSQL(t *testing.T) {
	const file = "testdata/sql/duckdb.txt"
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(content)) {
		text, want, found := strings.Cut(strings.TrimSuffix(line, "\n"), " => ")
		if !found {
			out.WriteString(line)
			continue
		}
		n, err := expr.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		got := n.SQL(expr.SQLNames{})
		if got != want && !*rewrite {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
		out.WriteString(text + " => " + got + "\n")
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSQLNames(t *testing.T) {
	n, err := expr.Parse(`trips.fare / epoch(now()) + epoch(event_time(trips)) + "odd name"`)
	if err != nil {
		t.Fatal(err)
	}
	names := expr.SQLNames{
		Name:      func(name string) string { return "f(" + expr.QuoteSQL(name) + ")" },
		EventTime: func(view string) string { return "r" + view + ".at" },
		Now:       "q.asked",
	}
	const want = `((f("trips.fare") / epoch(q.asked)) + epoch(rtrips.at)) + f("odd name")`
	if got := n.SQL(names); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPartsOfNodes(t *testing.T) {
	n, err := expr.Parse("case when a in (1, 2) then -a else cast(b as int) end")
	if err != nil {
		t.Fatal(err)
	}
	var labels []string
	for _, part := range n.Operands() {
		labels = append(labels, part.Label())
	}
	if got := strings.Join(labels, " "); got != "in - cast int32" || n.Label() != "case" {
		t.Errorf("%s of %s", got, n.Label())
	}
	zero, err := expr.Parse("0")
	if err != nil {
		t.Fatal(err)
	}
	if got := n.With(1, zero).String(); got != "case when (a in (1, 2)) then 0 else cast(b as int32) end" {
		t.Errorf("with 0: %s", got)
	}
	if got := n.String(); got != "case when (a in (1, 2)) then (-a) else cast(b as int32) end" {
		t.Errorf("the original is now %s", got)
	}
}

func TestFunctionsLists(t *testing.T) {
	for _, f := range expr.Functions() {
		if f.Name == "ceil" {
			if f.Usage != "ceil(x)" || len(f.Other) != 1 || f.Other[0] != "ceiling" {
				t.Errorf("%+v", f)
			}
			return
		}
	}
	t.Error("no ceil")
}
