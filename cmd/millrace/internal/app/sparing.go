package app

import (
	"log/slog"
	"sync"
	"time"
)

// sparingEvery is how often errors of one kind are logged at most.
const sparingEvery = time.Second

// sparing logs errors of requests, of which a store that is away makes one per
// request, and a caller as many as it likes, by a deadline that nothing keeps.
// Metrics count them all. It is safe for concurrent use.
type sparing struct {
	log *slog.Logger

	mu   sync.Mutex
	next time.Time // before it nothing is logged
	more int       // that were not, since the last that was
}

// error returns what logs an error of this kind, or counts it for the next line.
func (s *sparing) error(text string) func(error) {
	return func(err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		now := time.Now()
		if now.Before(s.next) {
			s.more++
			return
		}
		s.log.Error(text, "err", err, "unlogged_before", s.more)
		s.next, s.more = now.Add(sparingEvery), 0
	}
}
