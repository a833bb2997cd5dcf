package pipeline

import (
	"time"

	"millrace/feature"
	"millrace/sources"
)

// Events are told to whoever listens; metrics and logs do. Callbacks may be
// nil, are called from many goroutines, and must not block: lanes wait for
// them.
type Events struct {
	Assigned func(sources.Assignment, sources.Start)
	Revoked  func(p sources.Partition, unfinished int) // batches that the next owner reads again
	Lost     func(p sources.Partition)
	Full     func(p sources.Partition)
	Resumed  func(p sources.Partition)
	// BatchDone reports a batch all of whose rows have their end. It is valid
	// during the call only.
	BatchDone func(*BatchStats)
	// Failed reports the first failure of an operation ("letters", "decode", "dead
	// letter", "load tiles", "write", "write tiles", "changelog", "epochs", "adopt") of a lane, Recovered
	// the success after it.
	Failed    func(p sources.Partition, operation string, err error)
	Recovered func(p sources.Partition, operation string, attempts int)
	Retried   func(p sources.Partition, operation string)
	Committed func(marks []sources.Mark)
	// CommitFailed reports a commit that will be tried again.
	CommitFailed func(err error)
	// Expired reports records that the log dropped before they were read.
	Expired func(p sources.Partition, records int64)
	// Repeated reports, once per assignment, that the source delivered records
	// again, which is a bug of it: they were passed over.
	Repeated func(p sources.Partition, records int)
	// Stopped reports a lane that needs a person: what, and the next step.
	Stopped func(source string, a sources.Assignment, err error)
	// TopicRecreated reports that the group's offset belongs to an older topic
	// of the same name and is not used.
	TopicRecreated func(p sources.Partition)
}

// BatchStats is what became of one micro-batch.
type BatchStats struct {
	Source    string
	Partition sources.Partition
	Records   int
	Bytes     int64
	Rows      int // decoded, raw and finished
	LogEnd    int64
	Next      int64 // offset after the batch
	Views     []ViewEnds
	Rejects   []feature.Reject // of records for no view in particular; the others are in Views
	OldestMs  int64            // record time of the oldest record
	Decode    time.Duration
	Transform time.Duration // write halves and encoding
	Write     time.Duration // dead letters, rows, tiles and changes, retries included
	Tiles     int           // written
	Changes   int           // keys that the changelog was told of
	Loaded    int           // tiles that the lane did not hold
	Held      int           // tiles that the lane held when the batch was closed
	HeldBytes int64
}

// ViewEnds counts the ends of one view's rows. Received, which is counted where
// they come in, is the sum of Stored, Filtered and DeadLettered.
type ViewEnds struct {
	View         string
	Received     int // rows decoded for the view and records refused before that
	Absent       int // columns that finished rows left out
	Stored       int // Superseded ones included
	Superseded   int
	Filtered     int
	Late         int // too old for windows, whatever their end
	DeadLettered int // BatchStats.Rejects included
	Kept         int // of these, rows that a former owner had refused: their letters are there
	Rejects      []feature.Reject
	Origins      []feature.Origin // of stored rows, superseded ones included
}

// Tee makes one Events of several; each callback calls all, in order.
func Tee(all ...Events) Events {
	var e Events
	for _, next := range all {
		e.Assigned = tee2(e.Assigned, next.Assigned)
		e.Revoked = tee2(e.Revoked, next.Revoked)
		e.Lost = tee1(e.Lost, next.Lost)
		e.Full = tee1(e.Full, next.Full)
		e.Resumed = tee1(e.Resumed, next.Resumed)
		e.BatchDone = tee1(e.BatchDone, next.BatchDone)
		e.Failed = tee3(e.Failed, next.Failed)
		e.Recovered = tee3(e.Recovered, next.Recovered)
		e.Retried = tee2(e.Retried, next.Retried)
		e.Committed = tee1(e.Committed, next.Committed)
		e.CommitFailed = tee1(e.CommitFailed, next.CommitFailed)
		e.Expired = tee2(e.Expired, next.Expired)
		e.Repeated = tee2(e.Repeated, next.Repeated)
		e.Stopped = tee3(e.Stopped, next.Stopped)
		e.TopicRecreated = tee1(e.TopicRecreated, next.TopicRecreated)
	}
	return e
}

func tee1[A any](f, g func(A)) func(A) {
	if f == nil || g == nil {
		return either(f, g, f == nil)
	}
	return func(a A) { f(a); g(a) }
}

func tee2[A, B any](f, g func(A, B)) func(A, B) {
	if f == nil || g == nil {
		return either(f, g, f == nil)
	}
	return func(a A, b B) { f(a, b); g(a, b) }
}

func tee3[A, B, C any](f, g func(A, B, C)) func(A, B, C) {
	if f == nil || g == nil {
		return either(f, g, f == nil)
	}
	return func(a A, b B, c C) { f(a, b, c); g(a, b, c) }
}

func either[F any](f, g F, second bool) F {
	if second {
		return g
	}
	return f
}

// fill gives every callback a body, so that the engine calls without asking.
func (e Events) fill() Events {
	return Tee(Events{
		Assigned:       func(sources.Assignment, sources.Start) {},
		Revoked:        func(sources.Partition, int) {},
		Lost:           func(sources.Partition) {},
		Full:           func(sources.Partition) {},
		Resumed:        func(sources.Partition) {},
		BatchDone:      func(*BatchStats) {},
		Failed:         func(sources.Partition, string, error) {},
		Recovered:      func(sources.Partition, string, int) {},
		Retried:        func(sources.Partition, string) {},
		Committed:      func([]sources.Mark) {},
		CommitFailed:   func(error) {},
		Expired:        func(sources.Partition, int64) {},
		Repeated:       func(sources.Partition, int) {},
		Stopped:        func(string, sources.Assignment, error) {},
		TopicRecreated: func(sources.Partition) {},
	}, e)
}
