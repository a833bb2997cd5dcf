//go:build !race

package expr_test

// raceEnabled says that the race detector is on; pools then drop what they hold.
const raceEnabled = false
