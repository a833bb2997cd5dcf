package refresh

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"millrace/serving"
	"millrace/transforms"
)

// flight is one call of the Refresher.
type flight struct {
	entries []*entry
	keys    []string
	cancel  context.CancelFunc
}

// of reports whether a key of the flight changed in a partition. Worker.mu is
// held.
func (f *flight) of(p *part) bool {
	for _, e := range f.entries {
		if ticketOf(e.flying, p) >= 0 {
			return true
		}
	}
	return false
}

// idleWait is how long Run sleeps when no key waits for its time; it is woken.
const idleWait = time.Hour

// Run refreshes until ctx ends; then it ends the calls under way and waits for
// them. It is called once.
func (w *Worker) Run(ctx context.Context) {
	defer w.calls.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
		timer.Reset(w.dispatch(ctx))
	}
}

// dispatch begins calls for what is due, and returns when to look again. While
// all slots are taken keys gather: the next call takes more of them.
func (w *Worker) dispatch(ctx context.Context) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.s.Clock()
	for len(w.mu.flights) < w.s.Calls {
		es := w.mu.pop(now, w.s.MaxBatch)
		if len(es) == 0 {
			if wait, waits := w.mu.wait(now); waits {
				return wait
			}
			break
		}
		w.begin(ctx, es)
	}
	return idleWait // the end of a call wakes
}

// begin calls for keys.
func (w *Worker) begin(ctx context.Context, es []*entry) {
	f := &flight{entries: es, keys: make([]string, len(es))}
	again := 0
	for i, e := range es {
		f.keys[i] = e.key
		if e.attempts > 0 {
			again++
		}
	}
	if again > 0 {
		w.s.Events.Retried(again)
	}
	ctx, f.cancel = context.WithTimeout(ctx, w.s.Timeout)
	w.mu.flights[f] = struct{}{}
	w.calls.Go(func() {
		defer f.cancel()
		ends, err := w.s.Refresher.Refresh(ctx, w.s.Model, f.keys, transforms.ByWrite, make([]serving.RefreshEnd, 0, len(f.keys)))
		w.settle(f, ends, err)
	})
}

// What is said of keys that fail without an error of their call.
var (
	errFailed = errors.New("the model or the store failed for some keys; millrace_prediction_rows_total and millrace_prediction_writes_total count why")
	errNewer  = errors.New("some keys have predictions of a process with newer definitions, and wait for one; restart this one with them")
)

// settle gives the keys of a call their ends.
func (w *Worker) settle(f *flight, ends []serving.RefreshEnd, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.mu.flights, f)
	now, before, jitter := w.s.Clock(), w.mu.failing, (1+rand.Float64())/2
	why := err
	for i, e := range f.entries {
		end := serving.RefreshFailed
		if err == nil && i < len(ends) {
			end = min(ends[i], serving.RefreshFailed) // an end that none has is no success
		}
		if wait, because := w.s.again(end, e.attempts); because != nil {
			// One draw for all: keys that failed together come again as a batch.
			w.mu.failed(e, now.Add(time.Duration(float64(wait)*jitter)))
			why = cmp.Or(why, because)
			continue
		}
		for _, t := range e.flying {
			if !t.told {
				t.told = true
				w.s.Events.Delayed(max(0, now.Sub(time.UnixMilli(t.millis))))
			}
		}
		w.mu.ended(e)
	}
	w.tell(before, why)
	w.relieve()
	w.note()
}

// tell says that keys began to fail, or that none does any more.
func (w *Worker) tell(before int, err error) {
	switch after := w.mu.failing; {
	case before == 0 && after > 0:
		w.s.Events.Failing(err)
	case before > 0 && after == 0:
		w.s.Events.Recovered()
	}
}

// again is how long a key waits at most whose change has not had its end by a
// refresh that came to end, and why it has not. What a process with newer
// definitions has stored, one of these has to refresh.
func (s *Settings) again(end serving.RefreshEnd, attempts int) (time.Duration, error) {
	switch end {
	case serving.RefreshFailed:
		return s.backoff(attempts), errFailed
	case serving.RefreshNewer:
		return s.BackoffMax, errNewer
	default:
		return 0, nil
	}
}

// backoff is how long a key waits at most that failed after so many failures.
func (s *Settings) backoff(attempts int) time.Duration {
	wait := s.BackoffMin
	for range attempts {
		if wait >= s.BackoffMax/2 {
			return s.BackoffMax
		}
		wait *= 2
	}
	return wait
}
