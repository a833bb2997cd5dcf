package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// scripts compares the expressions without columns that the scripts of
// transforms/expr hold to values: what they say is what DuckDB says.
func (o *oracle) scripts(ctx context.Context, dir string) error {
	r := rand.New(rand.NewPCG(o.seed, 0))
	rs := drawRowSet(r)
	if err := o.duck.load(ctx, rs); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("attempted to find scripts in %s: %w", dir, err)
	}
	for _, file := range files {
		all, err := scriptExpressions(file)
		if err != nil {
			return err
		}
		questions := make([]asked, len(all))
		for i, e := range all {
			questions[i] = e.asked()
		}
		o.Scripts += len(all)
		if err := o.compare(ctx, r, rs, 0, all, questions); err != nil {
			return err
		}
	}
	return nil
}

// scriptExpressions reads what stands before => in a script, as far as the
// language accepts it.
func scriptExpressions(file string) ([]expression, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("attempted to read a script: %w", err)
	}
	var all []expression
	for line := range strings.Lines(string(content)) {
		text, _, found := strings.Cut(line, " => ")
		if !found {
			continue
		}
		if e, err := parse(text); err == nil && !strings.Contains(text, "geohash") {
			all = append(all, e)
		}
	}
	return all, nil
}
