package sinks

import (
	"cmp"
	"context"
	"time"

	"millrace/feature"
)

// MaxLetterBytes bounds the payload that a letter keeps; longer ones are cut
// and marked.
const MaxLetterBytes = 1 << 20

// positionBits is how many bits of a letter's position the offset takes.
const positionBits = 40

// Position is a letter's place within (source, partition): topic number ·
// 2^40 + offset, so that a topic created again does not write over old letters.
func Position(topicNumber, offset int64) int64 { return topicNumber<<positionBits + offset }

// LetterHeader is one header of the refused record.
type LetterHeader struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// LetterID is where a letter is kept, derived from where its record came from.
// Day follows from the record time, so it is the same whenever it is written.
type LetterID struct {
	Source    string `json:"source"`
	Partition int32  `json:"partition"`
	Day       int32  `json:"day"` // UTC days since the epoch of the record time
	Position  int64  `json:"position"`
	Element   int32  `json:"element"`
	View      string `json:"view"` // "" when the record could not be decoded
}

// Letter is one refused row with the record it came from.
type Letter struct {
	LetterID
	Topic          string         `json:"topic"`
	Offset         int64          `json:"offset"`
	RecordMillis   int64          `json:"record_millis"`
	Stage          feature.Stage  `json:"stage"`
	Reason         feature.Reason `json:"reason"`
	Message        string         `json:"message"`
	Revision       uint16         `json:"revision"` // of the view that refused it
	CatalogVersion int64          `json:"catalog_version"`
	RecordKey      []byte         `json:"key"`
	RecordValue    []byte         `json:"value"`
	Headers        []LetterHeader `json:"headers,omitempty"`
	ValueBytes     int            `json:"value_bytes"` // of the whole record, when Truncated
	Truncated      bool           `json:"truncated,omitempty"`

	// What replays made of it: LetterMark. Put leaves them alone.
	Attempts     int   `json:"attempts,omitempty"`
	ReplayNumber int64 `json:"replay_number,omitempty"`
}

// Compare orders ids as stores list letters.
func (id *LetterID) Compare(o *LetterID) int {
	return cmp.Or(cmp.Compare(id.Source, o.Source), cmp.Compare(id.Partition, o.Partition), cmp.Compare(id.Day, o.Day),
		cmp.Compare(id.Position, o.Position), cmp.Compare(id.Element, o.Element), cmp.Compare(id.View, o.View))
}

// LetterMark is what a replay made of a letter.
type LetterMark struct {
	LetterID
	Attempts     int            `json:"attempts"` // replays that refused it again
	ReplayNumber int64          `json:"replay_number"`
	Done         bool           `json:"done,omitempty"` // its row is stored or filtered now
	Stage        feature.Stage  `json:"stage,omitempty"`
	Reason       feature.Reason `json:"reason,omitempty"`
	Message      string         `json:"message,omitempty"`
}

// LetterKeeper changes letters that were kept.
//
// A letter marked done is gone for every reader, but its mark is kept as long
// as letters are: a lane that reads the record again writes the letter again,
// and a row that a replay has brought to its end must not come back to be
// counted once more.
type LetterKeeper interface {
	// GetLetters calls fn for those of ids that there are, in the order of ids,
	// until it returns false. The letter is fn's only for the call.
	GetLetters(ctx context.Context, ids []LetterID, fn func(*Letter) bool) error
	// MarkLetters records what replays made of letters: stage, reason and
	// message too, unless the letter is done. Marking one twice is marking it
	// once. It has the durability of Put.
	MarkLetters(ctx context.Context, marks []LetterMark) error
	// DropLetters deletes letters, and those that are not there for the second
	// time. A lane that reads the record again writes the letter again.
	DropLetters(ctx context.Context, ids []LetterID) error
}

// DayOf returns the UTC day, counted from the epoch, of a record time.
func DayOf(recordMillis int64) int32 {
	const dayMillis = int64(24 * time.Hour / time.Millisecond)
	day := recordMillis / dayMillis
	if recordMillis%dayMillis < 0 {
		day--
	}
	return int32(max(min(day, 1<<31-1), -1<<31))
}

// LetterFilter selects letters; zero fields select all.
type LetterFilter struct {
	Source      string
	View        string
	Reason      feature.Reason
	SinceMillis int64     // record time
	After       *LetterID // only letters behind it in the order
	Limit       int
}

// Match reports whether l is selected, Limit aside.
func (f *LetterFilter) Match(l *Letter) bool {
	return (f.Source == "" || f.Source == l.Source) &&
		(f.View == "" || f.View == l.View) &&
		(f.Reason == "" || f.Reason == l.Reason) &&
		l.RecordMillis >= f.SinceMillis &&
		(f.After == nil || l.Compare(f.After) > 0)
}

// LetterReader finds letters again.
type LetterReader interface {
	// EachLetter calls fn for every letter that f selects, ordered by
	// LetterID, until fn returns false or f.Limit is reached. The letter is
	// fn's only for the call.
	EachLetter(ctx context.Context, f LetterFilter, fn func(*Letter) bool) error
}

// LetterRange is letters of one day of a partition, by their positions.
type LetterRange struct {
	Source    string
	Partition int32
	Day       int32
	From, To  int64 // positions from From on and below To
}

// Holds reports whether id is in r.
func (r *LetterRange) Holds(id *LetterID) bool {
	return r.Source == id.Source && r.Partition == id.Partition && r.Day == id.Day && r.From <= id.Position && id.Position < r.To
}

// LetterFinder finds the letters of records by where these were.
type LetterFinder interface {
	// LettersAt calls fn for the letters in r, ordered by LetterID, until fn
	// returns false. Its cost is that of the letters there, however many others
	// are kept. The letter is fn's only for the call.
	LettersAt(ctx context.Context, r LetterRange, fn func(*Letter) bool) error
}
