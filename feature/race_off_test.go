//go:build !race

package feature_test

// raceEnabled says that the race detector is on; it keeps the compiler from
// avoiding some allocations.
const raceEnabled = false
