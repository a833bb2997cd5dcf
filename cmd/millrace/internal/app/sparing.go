package app

import (
	"log/slog"
	"sync"
	"time"
)

// sparingEvery is how often errors of one kind are logged at most.
const sparingEvery = time.Second

// sparing returns what logs errors of one kind, or counts them for the next
// line: of requests a store that is away makes one each, and a caller as many as
// it likes, by a deadline that nothing keeps. Metrics count them all. It is safe
// for concurrent use.
func sparing(log *slog.Logger, text string) func(error) {
	var (
		mu   sync.Mutex
		next time.Time // before it nothing is logged
		more int       // that were not, since the last that was
	)
	return func(err error) {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if now.Before(next) {
			more++
			return
		}
		log.Error(text, "err", err, "unlogged_before", more)
		next, more = now.Add(sparingEvery), 0
	}
}
