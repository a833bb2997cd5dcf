package refresh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace/serving"
)

// Refresher brings predictions up to date: *serving.Service.
type Refresher interface {
	// Refresh brings the predictions of a model for entity keys up to date and
	// appends their ends, parallel to keys, to dst. by says who asks, as
	// transforms.ByWrite does. It returns soon after ctx ends. An error is about
	// all keys: the store or the model cannot be reached, or the process ends.
	Refresh(ctx context.Context, model string, keys []string, by string, dst []serving.RefreshEnd) ([]serving.RefreshEnd, error)
}

// Settings say what a Worker refreshes, and how. Zero values of numbers and
// durations other than Debounce are replaced by the defaults.
type Settings struct {
	Model     string
	Refresher Refresher
	Debounce  time.Duration // of a key, from its first change to its refresh; 0 is none
	// Settle is how long a former owner of a partition may go on without knowing
	// that it is one, and its writes reach the store: keys that are refreshed
	// before are looked at again; 0 is none.
	Settle time.Duration

	MaxBatch int           // keys in one call; default 256
	Calls    int           // at a time; default 4
	Timeout  time.Duration // of one call; default 30 s

	// MaxKeys and MaxKeyBytes bound what waits. Where one of them is passed, no
	// more is to be delivered until Resume; what one delivery holds is over it.
	MaxKeys     int // default 200,000, about 40 MB beside their bytes
	MaxKeyBytes int // default 32 MiB

	// The first retry comes BackoffMin after the failure, each next one after
	// twice the time, up to BackoffMax; all between half of it and the whole.
	BackoffMin time.Duration // default 100 ms
	BackoffMax time.Duration // default 30 s

	Resume func(partition int32) // deliver more of a partition; must not block
	Clock  func() time.Time
	Events Events
}

// Events is what a Worker tells. Any may be nil. They are called one at a time,
// and must neither block nor call the Worker.
type Events struct {
	Delayed   func(d time.Duration) // from a change's record time to the end of its refresh
	Retried   func(keys int)        // so many are refreshed again after a failure
	Pending   func(keys int)        // wait, or are being refreshed
	Failing   func(err error)       // a first key failed
	Recovered func()                // no key is left whose last refresh failed
	Full      func(partition int32) // its delivery stops
}

func (s Settings) withDefaults() Settings {
	def(&s.MaxBatch, 256)
	def(&s.Calls, 4)
	def(&s.Timeout, 30*time.Second)
	def(&s.MaxKeys, 200_000)
	def(&s.MaxKeyBytes, 32<<20)
	def(&s.BackoffMin, 100*time.Millisecond)
	def(&s.BackoffMax, 30*time.Second)
	e := &s.Events
	none(&e.Delayed)
	none(&e.Retried)
	none(&e.Pending)
	none(&e.Failing)
	none(&e.Full)
	if e.Recovered == nil {
		e.Recovered = func() {}
	}
	return s
}

func def[T comparable](to *T, v T) {
	var zero T
	if *to == zero {
		*to = v
	}
}

func none[T any](f *func(T)) {
	if *f == nil {
		*f = func(T) {}
	}
}

// validate returns everything that is wrong with s.
func (s *Settings) validate() error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(s.Model == "", "model: name it")
	wrong(s.Refresher == nil, "refresher: there is none")
	wrong(s.Resume == nil || s.Clock == nil, "resume and clock: both are needed")
	wrong(s.Debounce < 0 || s.Settle < 0, "debounce and settle: %v and %v, one is negative", s.Debounce, s.Settle)
	wrong(s.MaxBatch < 0 || s.Calls < 0 || s.MaxKeys < 0 || s.MaxKeyBytes < 0, "a bound is negative")
	wrong(s.Timeout < 0 || s.BackoffMin < 0 || s.BackoffMin > s.BackoffMax, "timeout and backoff: %v, %v to %v", s.Timeout, s.BackoffMin, s.BackoffMax)
	return errors.Join(errs...)
}
