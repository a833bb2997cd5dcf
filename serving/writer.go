package serving

import (
	"context"
	"time"

	"millrace/feature"
)

// Writer takes rows that come through the API. It is safe for concurrent use.
type Writer interface {
	// Push writes rows. Without an error the answer is what became of them; with
	// one, rows may have been stored or published in part only if its code is
	// unavailable, deadline_exceeded or canceled, and the answer may hold a receipt. It
	// blocks until the rows are where they are to be, or ctx or the request's
	// time ends.
	Push(ctx context.Context, req *PushRequest) (PushAnswer, *Error)
	// Receipt says what has become of the rows of a receipt. timeout of 0 is the
	// default.
	Receipt(ctx context.Context, id string, timeout time.Duration) (ReceiptStatus, *Error)
	// Admit gives a request that holds so many bytes room, or says at once that
	// there is none now. The caller leaves with the Pass.
	Admit(bytes int64) (Pass, *Error)
}

// Pass is the room that a request under way has. It belongs to one goroutine.
type Pass interface {
	// Hold makes bytes what the request holds from now on. A request that would
	// be the only one to hold any gets what it asks for.
	Hold(bytes int64) *Error
	// Leave gives the room back.
	Leave()
}

// PushLimits bound what one request to write, and all of them together, may
// cost. Zero values take the defaults.
type PushLimits struct {
	MaxRows       int           // rows of a request that is not streamed; default 10,000
	MaxBodyBytes  int64         // of such a request; default 4 MiB
	MaxRowBytes   int           // of one row of a streamed request; default 1 MiB
	InFlightBytes int64         // of all requests under way; default 64 MiB
	Concurrency   int           // requests under way; default 256
	Timeout       time.Duration // of a request that does not set its own; default 5 s
	MaxTimeout    time.Duration // of a request that sets its own; default 60 s
}

// WithDefaults returns l with the defaults filled in.
func (l PushLimits) WithDefaults() PushLimits {
	orDefault(&l.MaxRows, 10_000)
	orDefault(&l.MaxBodyBytes, 4<<20)
	orDefault(&l.MaxRowBytes, 1<<20)
	orDefault(&l.InFlightBytes, 64<<20)
	orDefault(&l.Concurrency, 256)
	orDefault(&l.Timeout, 5*time.Second)
	orDefault(&l.MaxTimeout, time.Minute)
	return l
}

// PushTo says where rows go.
type PushTo string

// The destinations; "" is ToOnline.
const (
	ToOnline  PushTo = "online"
	ToOffline PushTo = "offline" // the source's topic, for others than the online store
	ToBoth    PushTo = "online_and_offline"
)

// PushRequest is rows to be written.
type PushRequest struct {
	Source string   // may be "" where View says it
	View   string   // "" is every view of the source
	Rows   [][]byte // JSON objects; they stay the caller's and must not change before Push returns
	Lines  []int    // how the caller numbers Rows in what it is told, ascending; nil is by their indexes

	Transform  *bool // transform_on_write; nil where the caller does not say
	To         PushTo
	Async      bool          // answer once the rows are on the topic
	RejectRows bool          // refuse bad rows alone, not the request
	Frame      bool          // rows are of a data frame: each has the same columns, whose values are taken leniently
	Patient    bool          // wait for a place before a slow store, as a stream does, where others are refused at once
	Timeout    time.Duration // 0 is the default
	Pass       Pass          // that the transport has for the request; without one Push takes its own
}

// PushAnswer is what became of rows.
type PushAnswer struct {
	Stored, Filtered, Rejected int // rows
	Views                      []PushEnds
	Errors                     []RowFault // by row; the first MaxRowFaults
	Published                  int        // rows that are on the topic
	Receipt                    string     // of an asynchronous push, or of one that was not waited for to its end
}

// MaxRowFaults is how many faults an answer lists.
const MaxRowFaults = 100

// PushEnds counts what one view makes of rows; a row may be several of them.
type PushEnds struct {
	View                       string
	Stored, Filtered, Rejected int
}

// RowFault is why a row, or an element of one, is refused.
type RowFault struct {
	Row     int // the caller's number of it, PushRequest.Lines
	Element int32
	View    string // "" when it is for no view in particular
	Reason  feature.Reason
	Message string // names fields, never values
}

// Text is what is wrong, for people: the view if it is one's, reason and
// message.
func (f *RowFault) Text() string {
	text := string(f.Reason) + ": " + f.Message
	if f.View != "" {
		text = "view " + f.View + ": " + text
	}
	return text
}

// ReceiptState is what has become of the rows of a receipt.
type ReceiptState string

// The states.
const (
	ReceiptPending      ReceiptState = "pending" // the lanes have not passed all of them
	ReceiptDone         ReceiptState = "done"
	ReceiptDeadLettered ReceiptState = "dead_lettered" // passed, and some were refused
)

// ReceiptStatus is the answer to a receipt.
type ReceiptStatus struct {
	State    ReceiptState
	Rows     int
	Finished int        // rows that have their end
	Errors   []RowFault // dead letters, by row; the first MaxRowFaults
}
