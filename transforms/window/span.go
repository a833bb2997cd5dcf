package window

import (
	"fmt"
	"math"
	"time"
)

// Window is which events a feature covers, as seen from the time of a read.
type Window struct {
	Length    time.Duration
	Hop       time.Duration // span of a tile
	Offset    time.Duration // how long before the read it ends
	Unlimited bool          // one tile without end; the others are zero
}

const day = 24 * time.Hour

// hops are the defaults, greatest first.
var hops = [...]time.Duration{
	day, 6 * time.Hour, 3 * time.Hour, time.Hour, 15 * time.Minute, 5 * time.Minute, time.Minute,
	30 * time.Second, 10 * time.Second, 5 * time.Second, 2 * time.Second, time.Second,
}

// minTiles is how many tiles a default hop gives at least: a window is then at
// most 2 % longer than asked for.
const minTiles = 48

// DefaultHop is the greatest of the usual hops that gives at least 48 tiles,
// else one second.
func DefaultHop(length time.Duration) time.Duration {
	for _, hop := range hops {
		if length >= minTiles*hop {
			return hop
		}
	}
	return time.Second
}

// Check refuses a window that has no tiles, and says what to write.
func (w Window) Check() error {
	switch {
	case w.Unlimited && w.Offset != 0:
		return fmt.Errorf("a window without end has no offset: leave out `offset: %s`, or give the window a length", short(w.Offset))
	case w.Unlimited && w.Hop != 0:
		return fmt.Errorf("a window without end is one tile: leave out `hop: %s`", short(w.Hop))
	case w.Unlimited:
		return nil
	case w.Length <= 0:
		return fmt.Errorf("a window covers some time, not %s: write `window: 1h`, or `window: unlimited`", short(w.Length))
	case w.Offset < 0:
		return fmt.Errorf("an offset goes back in time and is not negative: write `offset: %s`", short(-w.Offset))
	case w.Hop < time.Second || w.Hop%time.Second != 0 || day%w.Hop != 0:
		return fmt.Errorf("a hop of %s does not divide a day in whole seconds: the nearest that does is `hop: %s`", short(w.Hop), short(nearestHop(w.Hop)))
	case w.Length < w.Hop:
		return fmt.Errorf("a window of %s is shorter than its hop of %s: write `hop: %s`, or leave it out",
			short(w.Length), short(w.Hop), short(DefaultHop(w.Length)))
	}
	return nil
}

// nearestHop is the divisor of a day nearest to d, in whole seconds.
func nearestHop(d time.Duration) time.Duration {
	best := time.Second
	for s := time.Second; s <= day; s += time.Second {
		if day%s == 0 && (s-d).Abs() < (best-d).Abs() {
			best = s
		}
	}
	return best
}

// short is a duration as definitions write it.
func short(d time.Duration) string {
	for _, u := range [...]struct {
		unit time.Duration
		name string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d != 0 && d%u.unit == 0 {
			return fmt.Sprintf("%d%s", d/u.unit, u.name)
		}
	}
	return d.String()
}

// Span is a range of event times in microseconds, From included, To not.
type Span struct{ From, To int64 }

// Always is the span of a window without end.
var Always = Span{math.MinInt64, math.MaxInt64}

// TileStart returns the start of the tile that holds an event time; 0 when
// windows have no end (hop 0). It rounds down before 1970, too.
func TileStart(micros int64, hop time.Duration) int64 {
	if hop <= 0 {
		return 0
	}
	h := hop.Microseconds()
	rest := micros % h
	if rest < 0 {
		rest += h
	}
	return max(micros, math.MinInt64+rest) - rest
}

// At returns the span that a read at a time covers: from the start of the tile
// that holds the window's first moment to the end of the one that holds its
// last, so the whole window and at most one hop more.
func (w Window) At(micros int64) Span {
	if w.Unlimited {
		return Always
	}
	t := saturate(micros, -w.Offset.Microseconds())
	return Span{
		From: TileStart(saturate(t, -w.Length.Microseconds()), w.Hop),
		To:   saturate(TileStart(t, w.Hop), w.Hop.Microseconds()),
	}
}

// saturate adds without wrapping.
func saturate(a, b int64) int64 {
	sum := a + b
	switch {
	case b > 0 && sum < a:
		return math.MaxInt64
	case b < 0 && sum > a:
		return math.MinInt64
	}
	return sum
}

// Tiles is how many tiles a read of the window covers at most.
func (w Window) Tiles() int {
	if w.Unlimited {
		return 1
	}
	return int((w.Length+w.Hop-1)/w.Hop) + 1
}

// Cells is how many cells a read of the window touches at most: its tiles of
// every partition.
func (w Window) Cells(partitions int) int { return w.Tiles() * partitions }

// Starts calls yield with the start of every tile of a span of w.
func (w Window) Starts(s Span, yield func(start int64) bool) {
	if w.Unlimited {
		yield(0)
		return
	}
	hop := w.Hop.Microseconds()
	for start := s.From; start < s.To; start += hop {
		if !yield(start) || start > math.MaxInt64-hop {
			return
		}
	}
}
