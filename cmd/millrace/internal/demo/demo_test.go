package demo

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// TestTripsAreAsPromised counts what the demo says of itself.
func TestTripsAreAsPromised(t *testing.T) {
	const events = 100_000
	g := NewGenerator(1, nil)
	seen := make(map[string]bool)
	var malformed, twice, late, unordered int
	var last time.Time
	for range events {
		_, value, _ := g.Next(now)
		var trip Trip
		if json.Unmarshal(value, &trip) != nil {
			malformed++
			continue
		}
		if trip.Driver.ID < firstDriver || trip.Driver.ID >= firstDriver+drivers {
			t.Fatalf("driver %d", trip.Driver.ID)
		}
		at, err := time.Parse(time.RFC3339Nano, trip.CompletedAt)
		if err != nil || at.After(now) {
			t.Fatalf("completed at %s: %v", trip.CompletedAt, err)
		}
		if seen[trip.TripID] {
			twice++
		}
		seen[trip.TripID] = true
		if now.Sub(at) > time.Minute {
			late++
		}
		if at.Before(last) {
			unordered++
		}
		last = at
	}
	if malformed != events/1000 {
		t.Errorf("%d malformed of %d", malformed, events)
	}
	for name, n := range map[string]int{"twice": twice, "late": late, "out of order": unordered} {
		if n < events/1000 || n > events*6/10 {
			t.Errorf("%d events are %s", n, name)
		}
	}
}

func TestOneSeedOneStream(t *testing.T) {
	a, b := NewGenerator(7, nil), NewGenerator(7, nil)
	for range 1000 {
		_, x, _ := a.Next(now)
		_, y, _ := b.Next(now)
		if !bytes.Equal(x, y) {
			t.Fatalf("%s\n%s", x, y)
		}
	}
}
