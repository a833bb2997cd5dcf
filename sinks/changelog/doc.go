// Package changelog tells, in a compacted topic, which entity keys have changed
// in the store: one compact record per key, whose bytes docs/format/changelog.md
// draws.
//
// Invariant: what Publish acknowledged, all replicas in sync have; of every key
// that changed the topic keeps a record that was sent after the change was
// stored. The views of a record are a hint: compaction drops the record before
// it, which may have named others.
package changelog
