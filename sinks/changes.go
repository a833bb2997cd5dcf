package sinks

import "context"

// MaxChangedViews bounds the views that a Change names.
const MaxChangedViews = 32

// Change says that what is stored of one entity key has changed, or may have:
// it is sent again for rows that are stored again.
type Change struct {
	Entity string
	Key    string        // entity key, as feature.AppendKey writes it
	Views  []ChangedView // at most MaxChangedViews, each once
	More   bool          // views changed that are not named
}

// ChangedView is one view of a Change.
type ChangedView struct {
	View        string // stored name, view@generation
	EventMicros int64  // of the newest row that was taken in
	// RecordMillis is the record time of that row's sequence. Row is false where
	// tiles alone are stored of it: then RecordMillis is 0.
	RecordMillis int64
	Row          bool
}

// Changes is where changes of stored keys are told: the changelog.
type Changes interface {
	// Publish returns when every change is acknowledged by all replicas in sync,
	// when ctx ends, or when it gives up; an error means that some may be
	// missing and that the whole call is to be repeated, which is harmless.
	// changes and what they point to are the caller's again on return.
	// Concurrent calls are allowed.
	Publish(ctx context.Context, changes []Change) error
}
