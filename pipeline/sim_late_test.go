//go:build !race

package pipeline

import "testing"

// TestLateSnapshotsAreSeenWithoutRace encodes tiles when they are stored, while
// their lane counts on.
func TestLateSnapshotsAreSeenWithoutRace(t *testing.T) { goesWrong(t, lateSnapshot) }
