// Package transforms compiles a view once into a plan of two halves: what runs
// when a record is written and what runs when features are read. The columns
// that cross the cut between the halves are exactly what is stored.
//
// Invariant: a plan is pure. It performs no I/O, reads no clock and is not
// changed by use, so the same rows give the same result in a lane, in a push
// and in a replay.
package transforms
