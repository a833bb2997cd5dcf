// Package fingerprint is the bytes by which a stored prediction remembers the
// state of its inputs, and the rule by which it is stale
// (docs/format/prediction.md draws them byte by byte).
//
// A fingerprint has two parts. The state, compared for equality: how the model
// takes its inputs, and per view of an input its generation, how its features
// are read, and its row. The tiles: per windowed view and hop a hash of each
// that its windows are merged of, of which only one that was not there is a
// change, because a window that slides lets tiles go.
//
// Rejected: the greatest fence of each partition, which is smaller. Tiles are
// stored at the same time, and one that is seen after another with a greater
// fence would have changed nothing.
//
// Invariant: the bytes depend on what was added, not on the order in which it
// was; equal bytes are equal states; and whatever bytes Compare is given, it
// answers a verdict or an error, never a panic.
package fingerprint
