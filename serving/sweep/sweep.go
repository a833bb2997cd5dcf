package sweep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sourcegraph/conc"

	"millrace/serving"
	"millrace/sinks"
)

// Store is what a sweep works on.
type Store interface {
	sinks.KeyScanner
	sinks.Meta
}

// Refresher brings predictions of entity keys up to date. It is safe for
// concurrent use.
type Refresher interface {
	// Refresh appends one end per key to dst. by is one of transforms.ByRead….
	// After an error no key has its end.
	Refresh(ctx context.Context, model string, keys []string, by string, dst []serving.RefreshEnd) ([]serving.RefreshEnd, error)
}

// Settings are what Run needs.
type Settings struct {
	Store     Store
	Refresher Refresher
	Model     string
	Entity    string // whose keys
	By        string // what the predictions say of how they came
	// Work names what is to be done: a place that was saved for other work, as
	// for another version of the model, is not gone on from.
	Work     string
	MaxBatch int     // keys of a call, at least 1
	Parallel int     // calls at a time; 0 is 4
	Rate     float64 // keys per second at most; 0 is no bound
	Restart  bool    // begin anew, whatever is saved

	GiveUp    time.Duration // how long nothing but failures is borne; 0 is 30 s
	CallTime  time.Duration // of one call of Refresh; 0 is 30 s
	SaveEvery time.Duration // 0 is 3 s

	// Begin is told where it begins, before anything else; it may be nil.
	Begin func(*Result)
	// Progress is told after every batch, one call at a time; it must not block.
	// It may be nil.
	Progress func(Status)
}

const (
	defaultParallel  = 4
	defaultGiveUp    = 30 * time.Second
	defaultCallTime  = 30 * time.Second
	defaultSaveEvery = 3 * time.Second
	// saveTime bounds the last save, for which a person waits.
	saveTime = 800 * time.Millisecond
)

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Counts is how many keys had which end, by serving.RefreshEnd.
type Counts [serving.Refreshes]int64

// add adds the keys of others.
func (c *Counts) add(others *Counts) {
	for i, n := range others {
		c[i] += n
	}
}

// Keys returns how many keys had an end.
func (c *Counts) Keys() int64 {
	n := int64(0)
	for _, of := range c {
		n += of
	}
	return n
}

// Status is how far a sweep is.
type Status struct {
	Counts   Counts    // of this run
	Progress float64   // 0 to 1, an estimate, of all runs
	Failing  time.Time // since when nothing succeeds; zero while something does
	Err      error     // what failed last, while Failing
}

// Result is what a sweep has come to.
type Result struct {
	Counts  Counts    // of this run
	Earlier Counts    // of runs that this one went on from, up to the place where it did
	Resumed bool      // it went on from a saved place
	Begun   time.Time // when the first of these runs began
	From    float64   // progress at the saved place
	// Progress is how far it came, an estimate from 0 to 1.
	Progress float64
	// Left is how many keys have no end, of a sweep that gave up when it had
	// read all keys: these may be at fault, and not the model. 0 otherwise.
	Left int64
}

// ErrGaveUp is wrapped by the error of a sweep that only failed for too long.
var ErrGaveUp = errors.New("nothing but failures")

// ErrNotSaved is wrapped by the error of a sweep that the next one cannot go on
// from where it stopped, but perhaps from a place before.
var ErrNotSaved = errors.New("the place where it stopped could not be saved")

// Run sweeps until all keys have their ends, ctx ends, or there are nothing but
// failures for Settings.GiveUp. Then the place is saved and the next Run goes
// on from it; at the end of all keys it is removed. A key that fails again and
// again while others succeed is counted as failed and passed over.
func Run(ctx context.Context, s Settings) (*Result, error) {
	if s.MaxBatch < 1 {
		return nil, fmt.Errorf("refresh model %s: batches of %d keys", s.Model, s.MaxBatch)
	}
	orDefault(&s.Parallel, defaultParallel)
	orDefault(&s.GiveUp, defaultGiveUp)
	orDefault(&s.CallTime, defaultCallTime)
	orDefault(&s.SaveEvery, defaultSaveEvery)
	j := &job{s: s, place: place{store: s.Store, model: s.Model}, pace: pace{rate: s.Rate}}
	if err := j.resume(ctx); err != nil {
		return nil, fmt.Errorf("refresh model %s: %w", s.Model, err)
	}
	if s.Begin != nil {
		s.Begin(j.result())
	}
	err := j.run(ctx)
	saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	if err == nil {
		err = j.place.put(saving, nil)
	} else if serr := j.save(saving); serr != nil {
		err = fmt.Errorf("%w; %w: %w", err, ErrNotSaved, serr)
	}
	if err != nil {
		err = fmt.Errorf("refresh model %s: %w", s.Model, err)
	}
	return j.result(), err
}

// job is one Run.
type job struct {
	s       Settings
	pace    pace
	resumed saved           // what it went on from
	place   place           // the saver's while there is one
	savedAt sinks.KeyCursor // the saver's
	keys    []string        // scanned and not handed out yet
	handed  int64           // keys that were handed out
	left    int64           // Result.Left
	tracker tracker
	trouble trouble
}

// run works with three kinds of goroutines: this one scans, workers refresh,
// one saves. The first error ends them all.
func (j *job) run(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	batches := make(chan batch)
	var workers, saver conc.WaitGroup
	for range j.s.Parallel {
		workers.Go(func() {
			for b := range batches {
				if err := j.work(ctx, b); err != nil {
					end(err)
				}
			}
		})
	}
	saving, saved := context.WithCancel(ctx)
	saver.Go(func() { j.saveOften(saving) })
	err := j.scan(ctx, batches)
	close(batches)
	workers.Wait()
	saved()
	saver.Wait()
	if cause := context.Cause(ctx); cause != nil {
		if err == nil && errors.Is(cause, ErrGaveUp) {
			status := j.tracker.status()
			j.left = j.handed - status.Counts.Keys()
		}
		return cause //nolint:wrapcheck // a worker's error, or the caller's end
	}
	return err
}

func (j *job) result() *Result {
	status := j.tracker.status()
	return &Result{
		Counts: status.Counts, Earlier: j.resumed.counts(), Resumed: j.resumed.Cursor != "",
		Begun: j.resumed.Begun, From: j.resumed.Progress, Progress: status.Progress, Left: j.left,
	}
}

// tell reports the state after a change.
func (j *job) tell() {
	if j.s.Progress == nil {
		return
	}
	j.tracker.tell(func(s Status) {
		s.Failing, s.Err = j.trouble.state()
		j.s.Progress(s)
	})
}

// sleep waits for d or the end of ctx, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
