//go:build race

package feature_test

const raceEnabled = true
