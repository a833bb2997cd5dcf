// Package admin lets commands reach the store of a running process, because an
// embedded store can be opened by one process at a time. The process writes
// its address to run.json in its data folder; commands find it there.
//
// Invariant: a Client behaves like the store behind it: the same metadata,
// the same letters, the same errors where callers branch on them.
package admin
