package scylla

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/internal/synctest"
)

func TestLimiterNeverExceedsItsPlaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLimiter(rapid.IntRange(1, 10).Draw(t, "max"))
		held := 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "take") {
				if held < l.places() {
					if err := l.acquire(context.Background()); err != nil {
						t.Fatal(err)
					}
					held++
				}
			} else if held > 0 {
				l.release(time.Now(), rapid.SampledFrom([]outcome{outcomeDone, outcomeOverload, outcomePassing}).Draw(t, "outcome"))
				held--
			}
			if p := l.places(); p < 1 || p > l.max {
				t.Fatalf("%d places of %d", p, l.max)
			}
		}
		if l.mu.used != held {
			t.Fatalf("%d used, %d held", l.mu.used, held)
		}
	})
}

func TestOneOverloadHalvesOnce(t *testing.T) {
	l := newLimiter(64)
	began := time.Now()
	for range 32 {
		if err := l.acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 32 {
		l.release(began, outcomeOverload)
	}
	if l.places() != 32 {
		t.Errorf("%d places after one overload, want 32", l.places())
	}
	for range 10 {
		if err := l.acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.release(time.Now().Add(time.Hour), outcomeOverload)
	}
	if l.places() != 1 {
		t.Errorf("%d places after overload upon overload, want 1", l.places())
	}
}

func TestPlacesComeBackOneForEachRound(t *testing.T) {
	l := newLimiter(64)
	l.mu.limit = 8
	rounds := 0
	for ; l.places() < 64 && rounds < 1000; rounds++ {
		n := l.places()
		for range n {
			if err := l.acquire(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for range n {
			l.release(time.Now(), outcomeDone)
		}
	}
	if rounds < 50 || rounds > 70 {
		t.Errorf("from 8 to 64 places in %d rounds, want about 56", rounds)
	}
}

func TestWaitersAreServedInOrderAndMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1)
		if err := l.acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(t.Context())
		var got []int
		var left error
		for i := range 4 {
			go func() {
				if i == 1 {
					left = l.acquire(ctx)
					return
				}
				if err := l.acquire(t.Context()); err != nil {
					t.Error(err)
				}
				got = append(got, i)
				l.release(time.Now(), outcomeDone)
			}()
			synctest.Wait()
		}
		leave()
		synctest.Wait()
		l.release(time.Now(), outcomeDone)
		synctest.Wait()
		if !errors.Is(left, context.Canceled) || len(got) != 3 || got[0] != 0 || got[1] != 2 || got[2] != 3 {
			t.Errorf("served %v, the one who left got %v", got, left)
		}
		if l.mu.used != 0 || l.mu.waiting.Len() != 0 {
			t.Errorf("%d used and %d waiting at the end", l.mu.used, l.mu.waiting.Len())
		}
	})
}

// TestLeavingNeverLosesAPlace lets waiters leave at the moment they are served.
func TestLeavingNeverLosesAPlace(t *testing.T) {
	l := newLimiter(2)
	var wg sync.WaitGroup
	var inside atomic.Int64
	for i := range 200 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%5)*50*time.Microsecond)
			defer cancel()
			if l.acquire(ctx) != nil {
				return
			}
			if inside.Add(1) > 2 {
				t.Error("more than two inside")
			}
			inside.Add(-1)
			l.release(time.Now(), outcomeDone)
		})
	}
	wg.Wait()
	if l.mu.used != 0 || l.mu.waiting.Len() != 0 {
		t.Errorf("%d used and %d waiting at the end", l.mu.used, l.mu.waiting.Len())
	}
}
