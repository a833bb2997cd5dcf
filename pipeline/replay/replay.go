// Package replay takes dead letters in again, under the newest definitions.
// A replay is one more source of rows: its letters get numbers that never go
// back, and a chunk of them is recorded, with its first number and its catalog
// version, before anything of it is applied.
//
// Windows count its rows like those of a lane whose partition is
// sinks.ReplaySource and whose offsets are these numbers.
//
// Invariant: however often and wherever a replay is killed, the next one first
// finishes the recorded chunk under that chunk's catalog version, and a letter
// that has reached its end is never applied under a second number, nor counted
// by one window twice.
package replay

import (
	"context"
	"errors"
	"fmt"
	"math"

	"millrace/feature"
	"millrace/pipeline"
	"millrace/sinks"
)

// Defaults and bounds.
const (
	DefaultMaxAttempts = 5
	maxChunk           = 1000    // letters of a chunk
	maxBatch           = 256     // letters applied at once
	maxBatchBytes      = 8 << 20 // and their bytes
)

// Store is what a replay needs of one.
type Store interface {
	sinks.Sink
	sinks.DeadLetter
	sinks.LetterReader
	sinks.LetterKeeper
	sinks.TileSink
	sinks.TileLoader
	sinks.Meta
}

// Catalog is one applied catalog version, as far as a replay needs it.
type Catalog struct {
	Version int64
	Routes  []pipeline.Route // of every source that feeds a view
}

// Settings is what a replay works with.
type Settings struct {
	Store      Store
	Changes    sinks.Changes // told what was stored of views that ask for it; nil is off
	NewEncoder func() sinks.Encoder
	// Catalog loads an applied version; 0 is the newest.
	Catalog func(ctx context.Context, version int64) (*Catalog, error)
	// Revision returns the revision that a view had in a catalog version; 0
	// when it had none.
	Revision    func(ctx context.Context, version int64, view string) (uint16, error)
	MaxAttempts int  // 0 is DefaultMaxAttempts
	DryRun      bool // run the write half, store and record nothing
	Progress    func(*Result)

	chunk, batch int // letters of a chunk, and of what is applied at once
}

// Result counts what became of letters.
type Result struct {
	Letters      int                    `json:"letters"` // taken in
	Stored       int                    `json:"stored"`
	Filtered     int                    `json:"filtered"`
	RefusedAgain int                    `json:"refused_again"`
	Reasons      map[feature.Reason]int `json:"reasons,omitempty"` // of those
	Gone         int                    `json:"gone,omitempty"`    // dropped or expired meanwhile, or finished before an interruption
	Truncated    int                    `json:"skipped_truncated,omitempty"`
	Exhausted    int                    `json:"skipped_attempts,omitempty"`  // were refused as often as is allowed
	Overtaken    int                    `json:"skipped_overtaken,omitempty"` // written late: a lane under newer definitions gave the record another end
	NoView       int                    `json:"skipped_no_view,omitempty"`   // the view, or the source, is no longer there
	Resumed      bool                   `json:"resumed,omitempty"`           // an interrupted replay was finished first
	DryRun       bool                   `json:"dry_run,omitempty"`
}

// ErrTakenOver means that somebody else began to replay the same source.
var ErrTakenOver = errors.New("another replay of this source has begun and goes on with it")

// Run replays the letters of f.Source that f selects.
func Run(ctx context.Context, s Settings, f sinks.LetterFilter) (*Result, error) {
	if s.MaxAttempts == 0 {
		s.MaxAttempts = DefaultMaxAttempts
	}
	if s.Progress == nil {
		s.Progress = func(*Result) {}
	}
	if s.chunk == 0 {
		s.chunk, s.batch = maxChunk, maxBatch
	}
	r := &run{s: s, result: &Result{Reasons: make(map[feature.Reason]int), DryRun: s.DryRun}, source: f.Source}
	if err := r.all(ctx, f); err != nil {
		return r.result, fmt.Errorf("replay dead letters of source %s: %w", f.Source, err)
	}
	return r.result, nil
}

// run is one call of Run.
type run struct {
	s       Settings
	source  string
	state   state
	text    []byte // state as it is stored; nil when it is not
	applier *applier
	result  *Result
}

func (r *run) all(ctx context.Context, f sinks.LetterFilter) error {
	if r.s.DryRun {
		return r.chunks(ctx, f)
	}
	if err := r.begin(ctx); err != nil {
		return err
	}
	if r.state.Chunk != nil {
		r.result.Resumed = true
		if err := r.finish(ctx); err != nil {
			return err
		}
	}
	return r.chunks(ctx, f)
}

// chunks goes through the letters that f selects. Letters that this run has
// refused again wait for the next one.
func (r *run) chunks(ctx context.Context, f sinks.LetterFilter) error {
	latest, err := r.s.Catalog(ctx, 0)
	if err != nil {
		return err
	}
	// A run that was interrupted goes on, unless definitions changed since: then
	// what the old ones refused is worth another try.
	first := r.state.RunFirst
	if r.s.DryRun {
		first = math.MaxInt64 // nothing is recorded, so nothing is told apart by its number
	} else if !r.result.Resumed || r.applier == nil || r.applier.catalog.Version != latest.Version {
		first = r.state.Next
	}
	left, limited := f.Limit, f.Limit > 0
	f.Limit = 0
	for {
		most := r.s.chunk
		if limited {
			most = min(most, left)
		}
		ids, last, err := r.choose(ctx, &f, first, most)
		if err != nil || last && len(ids) == 0 {
			return err
		}
		if len(ids) == 0 {
			continue
		}
		c := &chunk{First: r.state.Next, Catalog: latest.Version, Letters: ids}
		if err := r.chunk(ctx, c, first); err != nil {
			return err
		}
		if left -= len(ids); limited && left <= 0 {
			return nil
		}
	}
}

// chunk records a chunk and applies it.
func (r *run) chunk(ctx context.Context, c *chunk, runFirst int64) error {
	if r.s.DryRun {
		return r.apply(ctx, c)
	}
	if err := r.record(ctx, c, runFirst); err != nil {
		return err
	}
	return r.finish(ctx)
}

// choose returns the next letters worth a replay, and moves f behind them. last
// is true when there are no more.
func (r *run) choose(ctx context.Context, f *sinks.LetterFilter, runFirst int64, most int) (ids []sinks.LetterID, last bool, err error) {
	var chosen []sinks.Refusal
	var behind sinks.LetterID
	last = true
	err = r.s.Store.EachLetter(ctx, *f, func(l *sinks.Letter) bool {
		behind = cloneID(&l.LetterID)
		switch {
		case l.ReplayNumber > 0 && l.ReplayNumber >= runFirst:
		case l.Truncated:
			r.result.Truncated++
		case l.Attempts >= r.s.MaxAttempts:
			r.result.Exhausted++
		default:
			chosen = append(chosen, sinks.Refusal{LetterID: behind, CatalogVersion: l.CatalogVersion, ReplayNumber: l.ReplayNumber})
		}
		last = len(chosen) < most
		return last
	})
	if err != nil {
		return nil, false, err //nolint:wrapcheck // says what failed; Run adds where
	}
	f.After = &behind
	ids, err = r.standing(ctx, chosen)
	return ids, last, err
}

// standing leaves letters out that lanes have overtaken. What lanes adopted is
// read after the letters: whoever adopts a version later sees those that are
// left, and keeps them. So a letter of a recorded chunk stands for good, as it
// has to: once its number is passed, nothing would count it.
func (r *run) standing(ctx context.Context, chosen []sinks.Refusal) ([]sinks.LetterID, error) {
	epochs, adopted := sinks.NewEpochs(r.s.Store), make(map[int32][]sinks.Adoption)
	var ids []sinks.LetterID
	for i := range chosen {
		c := &chosen[i]
		all, known := adopted[c.Partition]
		if !known {
			var err error
			if all, err = epochs.Adoptions(ctx, r.source, c.Partition); err != nil {
				return nil, err //nolint:wrapcheck // says what failed; Run adds where
			}
			adopted[c.Partition] = all
		}
		if c.Overtaken(all) {
			r.result.Overtaken++
			continue
		}
		ids = append(ids, c.LetterID)
	}
	return ids, nil
}

// finish applies the recorded chunk and takes the record away.
func (r *run) finish(ctx context.Context) error {
	if err := r.apply(ctx, r.state.Chunk); err != nil {
		return err
	}
	next := r.state
	next.Chunk = nil
	return r.swap(ctx, next)
}

// apply takes the letters of a chunk in, some at a time.
func (r *run) apply(ctx context.Context, c *chunk) error {
	if r.applier == nil || r.applier.catalog.Version != c.Catalog {
		catalog, err := r.s.Catalog(ctx, c.Catalog)
		if err != nil {
			return err
		}
		r.applier = newApplier(&r.s, r.source, catalog)
	}
	for at := 0; at < len(c.Letters); {
		items, next, err := r.load(ctx, c, at)
		if err != nil {
			return err
		}
		b, err := r.batch(c, items, next)
		if err != nil {
			return err
		}
		if err := r.applier.apply(ctx, b, r.result); err != nil {
			return err
		}
		at = next
		r.s.Progress(r.result)
	}
	return nil
}

// batch makes one of letters of c that end before place next.
func (r *run) batch(c *chunk, items []item, next int) (*batch, error) {
	b := &batch{items: items, next: c.First + int64(next), still: r.still}
	if r.s.DryRun || r.applier.route == nil || !r.applier.route.Windowed() {
		return b, nil
	}
	if r.state.Tiles > sinks.MaxEpoch {
		return nil, fmt.Errorf("%d replays were interrupted, which is as often as windows can tell apart: give the source another name", sinks.MaxEpoch)
	}
	b.counter = pipeline.NewCounter(r.applier.route, sinks.ReplaySource, r.state.Tiles, c.First)
	return b, nil
}

// load reads letters from place at of a chunk on, up to what is applied at
// once. Those that are gone had their end, and so had those that carry this
// chunk's number: they were refused again before an interruption.
func (r *run) load(ctx context.Context, c *chunk, at int) (items []item, next int, err error) {
	bytes, place := 0, at
	err = r.s.Store.GetLetters(ctx, c.Letters[at:min(at+r.s.batch, len(c.Letters))], func(l *sinks.Letter) bool {
		for c.Letters[place] != l.LetterID {
			place++
			r.result.Gone++
		}
		number := c.First + int64(place)
		place++
		if l.ReplayNumber == number && !r.s.DryRun {
			r.result.Gone++
			return true
		}
		items = append(items, item{letter: cloneLetter(l), number: number})
		bytes += len(l.RecordValue)
		return bytes < maxBatchBytes
	})
	if err != nil {
		return nil, 0, err //nolint:wrapcheck // says what failed; Run adds where
	}
	if bytes < maxBatchBytes {
		end := min(at+r.s.batch, len(c.Letters))
		r.result.Gone += end - place
		place = end
	}
	return items, place, nil
}
