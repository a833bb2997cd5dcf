// Package sweep brings the predictions of all keys of a model up to date, after
// the model or its inputs have changed: it scans the store's keys, refreshes
// them in batches, and remembers in the store how far it is.
//
// Invariant: the saved place lies behind no key that has not had its end, so
// that a process that dies anywhere leaves no key out. Keys may be refreshed
// twice, also by two processes at once, which is harmless.
package sweep
