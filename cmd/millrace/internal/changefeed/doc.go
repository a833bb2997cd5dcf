// Package changefeed feeds the changelog to what refreshes the predictions of
// one model, as one member of that model's consumer group.
//
// Invariant: an offset is committed only if every record below it was of another
// entity, named no key, or belongs to a key whose refresh, begun after the record
// came, has had its end; and none after its partition was given away.
package changefeed
