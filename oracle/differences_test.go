package main

import (
	"context"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"millrace/transforms/expr"
)

// documented reads the ids of the table in docs/expressions.md.
func documented(t *testing.T) []string {
	content, err := os.ReadFile("../docs/expressions.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(content), "\n## Where DuckDB differs\n")
	if !found {
		t.Fatal("docs/expressions.md has no section on where DuckDB differs")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var ids []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\|").FindAllStringSubmatch(section, -1) {
		ids = append(ids, row[1])
	}
	return ids
}

func TestDifferencesAreTheDocumentedOnes(t *testing.T) {
	var have []string
	for _, d := range differences {
		have = append(have, d.id)
	}
	want := documented(t)
	for _, id := range have {
		if !slices.Contains(want, id) {
			t.Errorf("docs/expressions.md has no row %s", id)
		}
	}
	for _, id := range want {
		if !slices.Contains(have, id) {
			t.Errorf("differences has no entry for the row %s of docs/expressions.md", id)
		}
	}
}

// TestEveryDifferenceIsReal shows each by its example: SQL writes it away, or it
// explains what the example does.
func TestEveryDifferenceIsReal(t *testing.T) {
	ctx := context.Background()
	o, err := newOracle(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = o.duck.close() }()
	rs := drawRowSet(rand.New(rand.NewPCG(1, 1)))
	if err := o.duck.load(ctx, rs); err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		e, err := parse(d.example)
		if err != nil {
			t.Errorf("%s: %v", d.id, err)
			continue
		}
		q := e.asked()
		if d.spelled {
			q = e.askedAs(d.example)
		}
		if d.optimizer {
			continue // has a test of its own
		}
		ours := compute([]expression{e}, rs.in)[0]
		theirs, err := o.duck.eval(ctx, []asked{q}, "")
		if err != nil {
			t.Fatal(err)
		}
		if len(differentRows(e, ours, theirs[0])) == 0 {
			t.Errorf("%s: %s is the same in DuckDB", d.id, q.sql)
		}
		o.tally = newTally()
		if err := o.compare(ctx, rand.New(rand.NewPCG(1, 1)), rs, 0, []expression{e}, []asked{e.asked()}); err != nil {
			t.Fatal(err)
		}
		for _, f := range o.Found {
			t.Errorf("%s: its example shows something else\n%s", d.id, f)
		}
		if got := slices.Collect(maps.Keys(o.Known)); !d.spelled && !slices.Equal(got, []string{d.id}) {
			t.Errorf("%s: its example shows %v", d.id, got)
		}
	}
}

// TestOptimizerDropsFailures is why runs switch it off.
func TestOptimizerDropsFailures(t *testing.T) {
	ctx := context.Background()
	d, err := openDuck(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.close() }()
	const question = "select a + 1 > 0 from (values (2147483647::integer), (1)) v(a)"
	if err := d.exec(ctx, question); err == nil {
		t.Error("without the optimizer the sum does not overflow")
	}
	if err := d.exec(ctx, "pragma enable_optimizer"); err != nil {
		t.Fatal(err)
	}
	if err := d.exec(ctx, question); err != nil {
		t.Errorf("with the optimizer: %v", err)
	}
}

// unasked are the functions that no form uses.
var unasked = map[string]string{
	"geohash": "DuckDB has none, and writing it out in SQL takes a page; its own tests hold it to published values",
}

func TestEveryFunctionIsAsked(t *testing.T) {
	asks := func(name string) bool {
		for _, all := range forms {
			for _, form := range all {
				if strings.Contains(form, name+"(") && regexp.MustCompile(`(^|[^a-z_0-9])`+name+`\(`).MatchString(form) {
					return true
				}
			}
		}
		return false
	}
	for _, f := range expr.Functions() {
		for _, name := range append([]string{f.Name}, f.Other...) {
			if _, no := unasked[name]; !no && !asks(name) {
				t.Errorf("no form uses %s", name)
			}
		}
	}
}
