//go:build !race

package pipeline

// raceEnabled says that the race detector is on, which allocates by itself.
const raceEnabled = false
