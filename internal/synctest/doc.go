// Package synctest is testing/synctest, whose bubbles of virtual time it keeps
// from a fault of the race detector before Go 1.27. It goes when the module
// asks for that version.
//
// Invariant: where the race detector cannot bear it, no two goroutines of a
// bubble run timers at once.
package synctest
