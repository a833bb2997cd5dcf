package sinks

import "context"

// Refusal is what a lane has to know of a letter that was written before it
// began.
type Refusal struct {
	LetterID
	CatalogVersion int64 // under which it was refused; 0 when it is done
	ReplayNumber   int64 // of the replay that took it in; below 0: KeptNumber; 0: none
	Done           bool
}

// KeptNumber stands in the replay number's place of a letter that no replay has
// taken in yet, and that a lane has kept when it adopted a catalog version: the
// row that was refused keeps that end under it.
func KeptNumber(version int64) int64 { return -version }

// Overtaken reports whether a lane that had adopted a greater catalog version
// gave the record another end: the letter was written late, by an owner of the
// partition that did not know yet that it was none. What a replay has taken in
// stands, because it stood then.
func (r *Refusal) Overtaken(adoptions []Adoption) bool {
	if r.Done || r.ReplayNumber > 0 {
		return false
	}
	version := max(r.CatalogVersion, -r.ReplayNumber)
	for _, a := range adoptions {
		if version < a.Version && r.Position >= a.Position {
			return true
		}
	}
	return false
}

// Refusals is what lanes ask of a store's letters: which rows of a partition
// have their end already. Letters that are done count, dropped ones do not.
// Everything that Put acknowledged before, to whichever process, is seen.
type Refusals interface {
	// RefusalDays returns, in order, the days of a source partition that have
	// refusals. It may name others.
	RefusalDays(ctx context.Context, source string, partition int32) ([]int32, error)
	// EachRefusal calls fn for the refusals of a day at or above a position, in
	// order, until it returns false. The refusal is fn's only for the call.
	EachRefusal(ctx context.Context, source string, partition, day int32, position int64, fn func(*Refusal) bool) error
	// KeepLetters gives letters that no replay has taken in the replay number
	// KeptNumber(version), unless they have that of a greater version. It has
	// the durability of Put and may be repeated.
	KeepLetters(ctx context.Context, ids []LetterID, version int64) error
}
