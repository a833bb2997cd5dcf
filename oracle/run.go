package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// options are what the command line says.
type options struct {
	seed        uint64
	pairs       int
	batch       int64  // the only one to run, or -1
	root        string // of the repository
	first, last uint64 // batches of a part of a run
	part        bool
}

const (
	workers  = 2
	perPart  = 50 // batches
	maxFound = 8  // differences after which a part gives up
	attempts = 3  // at a part that DuckDB does not survive
)

// run compares in parts, each in a process of its own, because DuckDB reads
// memory that it has not written when try(…) falls back to single rows: once in
// some hundred thousand expressions that ends the process. The part, which
// depends on its batches alone, is then begun anew.
func run(ctx context.Context, opts options, out io.Writer) error {
	begin := time.Now()
	parts := parted(opts)
	total, errs := newTally(), make([]error, len(parts))
	var mu sync.Mutex
	var group sync.WaitGroup
	turns := make(chan int, len(parts))
	for i := range parts {
		turns <- i
	}
	close(turns)
	for range workers {
		group.Go(func() {
			for i := range turns {
				t, crashes, err := runPart(ctx, parts[i])
				mu.Lock()
				total.add(t)
				total.Crashes += crashes
				errs[i] = err
				mu.Unlock()
			}
		})
	}
	group.Wait()
	total.report(out, opts.seed, time.Since(begin))
	err := errors.Join(errs...)
	if n := len(total.Found); n > 0 {
		return errors.Join(err, fmt.Errorf("%d differences that docs/expressions.md does not list", n))
	}
	return err
}

// parted splits a run.
func parted(opts options) []options {
	opts.part = true
	opts.last = uint64((opts.pairs + perBatch - 1) / perBatch)
	if opts.batch >= 0 {
		opts.first, opts.last = uint64(opts.batch), uint64(opts.batch)+1
	}
	var all []options
	for first := opts.first; first < opts.last; first += perPart {
		part := opts
		part.first, part.last = first, min(first+perPart, opts.last)
		all = append(all, part)
	}
	return all
}

// runPart starts this program for a part and reads the tally that it prints.
func runPart(ctx context.Context, opts options) (t *tally, crashes int, err error) {
	program, err := os.Executable()
	if err != nil {
		return newTally(), 0, fmt.Errorf("attempted to find this program: %w", err)
	}
	for {
		var said bytes.Buffer
		cmd := exec.CommandContext(ctx, program, "-part", //nolint:gosec // this program itself
			"-seed", strconv.FormatUint(opts.seed, 10), "-root", opts.root,
			"-first", strconv.FormatUint(opts.first, 10), "-last", strconv.FormatUint(opts.last, 10), "-batch", strconv.FormatInt(opts.batch, 10))
		cmd.Stderr = &said
		printed, err := cmd.Output()
		if err == nil {
			t := newTally()
			if err := json.Unmarshal(printed, t); err != nil {
				return t, crashes, fmt.Errorf("attempted to read the tally of batches %d to %d: %w", opts.first, opts.last, err)
			}
			return t, crashes, nil
		}
		crashes++
		if crashes == attempts || ctx.Err() != nil || !bytes.Contains(said.Bytes(), []byte("during cgo execution")) {
			return newTally(), crashes, fmt.Errorf("attempted to compare batches %d to %d: %w\n%s", opts.first, opts.last, err, said.Bytes()[:min(said.Len(), 2000)])
		}
	}
}

// comparePart is run in a process of its own. The first part has the scripts.
func comparePart(ctx context.Context, opts options, out io.Writer) error {
	o, err := newOracle(ctx, opts.seed)
	if err != nil {
		return err
	}
	if opts.first == 0 && opts.batch < 0 {
		err = o.scripts(ctx, filepath.Join(opts.root, "transforms/expr/testdata"))
	}
	for n := opts.first; n < opts.last && len(o.Found) < maxFound && err == nil; n++ {
		err = o.batch(ctx, n)
	}
	o.Texts = len(o.texts)
	if err := errors.Join(err, o.duck.close()); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(o.tally)
}
