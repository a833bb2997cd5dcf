// Command oracle holds the expression language to DuckDB: it generates
// expressions and rows, evaluates both in both, and reports what differs.
//
// An expression that differs on a row is taken apart: its parts are evaluated on
// that row, and those that differ although their operands do not are what the
// difference comes from. Each must be an instance of a row of the table "Where
// DuckDB differs" in docs/expressions.md, which differences has in code; one that
// is not is reported with the values of its operands put in.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	opts := options{}
	flag.Uint64Var(&opts.seed, "seed", 0, "seed of the run; 0 takes the time")
	flag.IntVar(&opts.pairs, "pairs", 100_000, "how many pairs of an expression and a row set to compare")
	flag.Int64Var(&opts.batch, "batch", -1, "run this batch alone")
	flag.StringVar(&opts.root, "root", "..", "root of the repository")
	flag.BoolVar(&opts.part, "part", false, "compare the batches from first to last in this process, and print a tally in JSON")
	flag.Uint64Var(&opts.first, "first", 0, "first batch of a part")
	flag.Uint64Var(&opts.last, "last", 0, "batch after the last of a part")
	flag.Parse()
	if opts.seed == 0 {
		opts.seed = uint64(time.Now().Unix())
	}
	os.Exit(start(opts))
}

func start(opts options) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	compare := run
	if opts.part {
		compare = comparePart
	}
	if err := compare(ctx, opts, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		return 1
	}
	return 0
}
