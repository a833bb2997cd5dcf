// Package refresh brings stored predictions up to date after their inputs have
// changed: it takes changes of entity keys, lets each key wait for its debounce,
// has batches of keys refreshed, and says how far changes have had their end.
//
// Invariant: of a partition of changes everything below its mark has had its
// end, which is the end of a refresh of its key that began after the change was
// taken; a key is in at most one refresh at a time.
package refresh
