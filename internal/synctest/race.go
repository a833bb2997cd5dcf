//go:build race && !go1.27

package synctest

// sharedContext: before Go 1.27 every goroutine of a bubble that finds a timer
// of a channel due runs it in the bubble's one context of the race detector,
// which is damaged when two do so at once, and ends the process with SIGSEGV.
// Since then the context is the processor's (runtime, timer.unlockAndRun).
const sharedContext = true
