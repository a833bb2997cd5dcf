package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// tally counts what a run, or a part of one, compared.
type tally struct {
	Pairs    int            `json:"pairs"`    // of an expression and a row set
	Texts    int            `json:"texts"`    // different expressions, counted in each part
	Cells    int            `json:"cells"`    // values
	Failures int            `json:"failures"` // values that failed in both, or are known to differ
	Nulls    int            `json:"nulls"`
	Scripts  int            `json:"scripts"`  // expressions of scripts, among the pairs
	Loose    int            `json:"loose"`    // texts that DuckDB got as they are
	Known    map[string]int `json:"known"`    // differences by id
	Unsteady int            `json:"unsteady"` // DuckDB said one thing among other rows and another alone
	Crashes  int            `json:"crashes"`  // of DuckDB
	Found    []string       `json:"found"`    // differences that are not known, as text

	texts map[string]bool
	kinds map[string]bool // of what was found
}

func newTally() *tally {
	return &tally{Known: make(map[string]int), texts: make(map[string]bool), kinds: make(map[string]bool)}
}

func (t *tally) count(e expression, cells []cell) {
	t.Pairs++
	t.Cells += len(cells)
	for _, c := range cells {
		switch {
		case c.failed:
			t.Failures++
		case c.value == nil:
			t.Nulls++
		}
	}
	t.texts[e.text] = true
}

// found keeps one finding of each kind.
func (t *tally) found(f *finding, seed uint64) {
	if f.conflict != nil {
		kind := f.conflict.expression.node.Label()
		if t.kinds[kind] {
			return
		}
		t.kinds[kind] = true
	}
	t.Found = append(t.Found, f.text(seed))
}

func (t *tally) add(u *tally) {
	t.Pairs += u.Pairs
	t.Texts += u.Texts
	t.Cells += u.Cells
	t.Failures += u.Failures
	t.Nulls += u.Nulls
	t.Scripts += u.Scripts
	t.Loose += u.Loose
	t.Unsteady += u.Unsteady
	t.Crashes += u.Crashes
	t.Found = append(t.Found, u.Found...)
	for id, n := range u.Known {
		t.Known[id] += n
	}
}

func (t *tally) report(out io.Writer, seed uint64, took time.Duration) {
	for _, f := range t.Found {
		fmt.Fprintln(out, f)
	}
	fmt.Fprintf(out, "seed %d: %d pairs of %d expressions and sets of %d rows in %.1f s\n", seed, t.Pairs, t.Texts, rowsPerSet, took.Seconds())
	fmt.Fprintf(out, "  %d values, %d of them failures and %d nulls; %d texts as written, %d of scripts\n", t.Cells, t.Failures, t.Nulls, t.Loose, t.Scripts)
	fmt.Fprintf(out, "  %d times DuckDB said one thing among other rows and another alone; it crashed %d times\n", t.Unsteady, t.Crashes)
	for _, id := range slices.Sorted(maps.Keys(t.Known)) {
		fmt.Fprintf(out, "  %-16s %d known differences\n", id, t.Known[id])
	}
	fmt.Fprintf(out, "  %d other differences\n", len(t.Found))
}

// text shows a finding and how to see it again.
func (f *finding) text(seed uint64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "difference in batch %d\n  from    %s\n", f.batch, f.original)
	if f.note != "" {
		fmt.Fprintln(&b, "  note   ", f.note)
	}
	if f.conflict != nil {
		f.conflict.describe(&b)
	}
	fmt.Fprintf(&b, "  again   make oracle SEED=%d BATCH=%d\n", seed, f.batch)
	return b.String()
}

func (c *conflict) describe(b *strings.Builder) {
	typ := c.expression.typed.Type()
	fmt.Fprintf(b, "  text    %s\n  SQL     %s\n", c.expression.text, c.expression.asked().sql)
	for i, e := range c.operands {
		fmt.Fprintf(b, "  operand %s is %s\n", e.text, c.values[i].show(e.typed.Type()))
	}
	fmt.Fprintf(b, "  here    %s %s\n", typ, c.ours.show(typ))
	if c.refused != nil {
		fmt.Fprintf(b, "  DuckDB  refuses it: %v\n", c.refused)
		return
	}
	fmt.Fprintf(b, "  DuckDB  %s %s\n", c.theirType, c.theirs.show(typ))
}
