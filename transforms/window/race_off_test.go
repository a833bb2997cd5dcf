//go:build !race

package window

// raceEnabled says that the race detector is on; pools then drop what they hold.
const raceEnabled = false
