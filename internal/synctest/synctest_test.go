package synctest

import (
	"sync"
	"testing"
	"time"
)

// TestDueTimersOfManyGoroutines has eight goroutines that look at tickers which
// are due. Under the race detector of Go 1.26, without the care of Test, it
// crashes within a second.
func TestDueTimersOfManyGoroutines(t *testing.T) {
	Test(t, func(*testing.T) {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				tick := time.NewTicker(time.Millisecond)
				for range 100_000 {
					time.Sleep(10 * time.Millisecond)
					select {
					case <-tick.C:
					default:
						t.Error("a ticker that is due was not ready")
						return
					}
				}
			})
		}
		all.Wait()
	})
}
