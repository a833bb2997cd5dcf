package synctest

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

// Test is [synctest.Test], on one processor where timers of a bubble share a
// context of the race detector.
func Test(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if sharedContext {
		enter()
		defer leave()
	}
	synctest.Test(t, f)
}

// Wait is [synctest.Wait].
func Wait() { synctest.Wait() }

var running struct {
	mu         sync.Mutex
	bubbles    int
	processors int // before the first of them
}

func enter() {
	running.mu.Lock()
	defer running.mu.Unlock()
	if running.bubbles++; running.bubbles == 1 {
		running.processors = runtime.GOMAXPROCS(1)
	}
}

func leave() {
	running.mu.Lock()
	defer running.mu.Unlock()
	if running.bubbles--; running.bubbles == 0 {
		runtime.GOMAXPROCS(running.processors)
	}
}
