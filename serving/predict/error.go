package predict

import (
	"errors"
	"net/http"
	"strconv"
)

// Reason is the closed set of why a row has no prediction: a label of metrics
// and of origins.
type Reason uint8

// The reasons.
const (
	ReasonNone          Reason = iota // there is a prediction
	ReasonInput                       // the row's inputs cannot be sent: null, NaN, a list of another length, bytes that are no text
	ReasonUnreachable                 // no connection, or one that broke before an answer began
	ReasonUnavailable                 // 503 or 429: the server wants to be asked later
	ReasonHTTP                        // another status than 200
	ReasonTimeout                     // the model's timeout, or the caller's deadline
	ReasonCanceled                    // the caller went away, or the client was closed
	ReasonBreakerOpen                 // too many calls have failed; none is made for a while
	ReasonOverloaded                  // too many rows wait, or no call ended in time to make place for this one
	ReasonRedirect                    // the server points to another host, or to another method
	ReasonOversized                   // the answer exceeds Settings.MaxAnswerBytes
	ReasonTruncated                   // the answer ended early
	ReasonMalformed                   // the answer is not what the protocol says
	ReasonModel                       // the answer is of another model or version
	ReasonMissingOutput               // an output that was asked for is not in the answer
	ReasonType                        // an output has a datatype that its declaration cannot hold, or a value of another type
	ReasonShape                       // an output has another shape than declared, or another number of values than its shape
	ReasonRows                        // the answer has another number of rows than the request
	ReasonNonFinite                   // NaN or an infinity where that is not declared
)

// Reasons is how many reasons there are, ReasonNone included.
const Reasons = int(ReasonNonFinite) + 1

var reasonNames = [Reasons]string{
	"none", "input", "unreachable", "unavailable", "http", "timeout", "canceled", "breaker_open", "overloaded", "redirect",
	"oversized", "truncated", "malformed", "model", "missing_output", "type", "shape", "rows", "non_finite",
}

// String returns the name that metrics carry.
func (r Reason) String() string {
	if int(r) < Reasons {
		return reasonNames[r]
	}
	return "reason(" + strconv.Itoa(int(r)) + ")"
}

// ErrClosed is returned by Predict after Close.
var ErrClosed = errors.New("predict: the client is closed")

// Error is why rows have no prediction. Rows of one call share it; it is
// immutable.
type Error struct {
	Model, Version string
	Reason         Reason
	Status         int   // of ReasonHTTP and ReasonUnavailable
	Err            error // what happened, without values; may be nil

	// Said is the beginning of what the server said of its own failure. It may
	// repeat values of the request, so it is not part of Error(): never log it
	// at info or above.
	Said string

	known   bool // the request was of a row alone that has failed before
	brief   bool // the callers left too soon to blame the model
	refused bool // of ReasonHTTP: the request was of this row alone, and the model answers others
	passing bool // of ReasonInput: binary tensors could hold it, and the server may turn out to take them
}

// Error names model, reason and cause, and never a key or a value.
func (e *Error) Error() string {
	text := "predict with model " + strconv.Quote(e.Model)
	if e.Version != "" {
		text += " version " + strconv.Quote(e.Version)
	}
	text += ": " + e.Reason.String()
	if e.Status != 0 {
		text += ": status " + strconv.Itoa(e.Status)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives the cause to errors.Is.
func (e *Error) Unwrap() error { return e.Err }

// again reports whether the one retry may help: the call did not begin, or the
// server asked for another. Inference has no effects (the protocol says so), so
// that a call whose connection broke may be made again, too.
func (e *Error) again() bool {
	return e.Reason == ReasonUnreachable || e.Reason == ReasonUnavailable
}

// Lasting reports whether the fault is of the row alone, so that it comes back
// for the same inputs: what it has cannot be sent, or the model finds no number
// for it. All others may go away while the inputs stay: the server comes back, or
// somebody mends it. That goes for answers of another model, type or shape, too.
// And a status of 4xx blames a request that has rows of others, or that the
// server was set up to refuse; but one that blames the content of a request of
// this row alone, while others are answered, is the row's.
func (e *Error) Lasting() bool {
	return e.Reason == ReasonInput && !e.passing || e.Reason == ReasonNonFinite || e.refused
}

// blamesContent reports whether the server says that it cannot make anything of
// what was sent.
func (e *Error) blamesContent() bool {
	return e.Reason == ReasonHTTP && (e.Status == http.StatusBadRequest || e.Status == http.StatusUnprocessableEntity)
}

// remembered reports whether the fault says something about the row, or about
// the model's answer to it, rather than about the caller or this moment's load.
func (e *Error) remembered() bool {
	switch e.Reason {
	case ReasonNone, ReasonInput, ReasonUnavailable, ReasonCanceled, ReasonBreakerOpen, ReasonOverloaded:
		return false
	case ReasonTimeout:
		return !errors.Is(e.Err, errLate)
	default:
		return true
	}
}

// splits reports whether a call of fewer rows may end otherwise: one row may be
// to blame for the fault of all, or there were too many for the time or the size
// of an answer.
func (e *Error) splits() bool {
	switch e.Reason {
	case ReasonHTTP:
		return e.Status >= 500 || e.Status == http.StatusBadRequest || e.Status == http.StatusRequestEntityTooLarge || e.Status == http.StatusUnprocessableEntity
	case ReasonTimeout:
		return errors.Is(e.Err, errCallTimeout)
	case ReasonOversized, ReasonTruncated, ReasonMalformed, ReasonType, ReasonShape, ReasonRows:
		return true
	default:
		return false
	}
}

// charged reports whether the breaker counts the fault against the model. A
// status that blames the request does not, nor a row that is known to fail: one
// bad row must not shut out the others.
func (e *Error) charged() bool {
	switch e.Reason {
	case ReasonNone, ReasonInput, ReasonCanceled, ReasonBreakerOpen, ReasonOverloaded, ReasonNonFinite:
		return false
	case ReasonHTTP:
		return e.Status >= 500 && !e.known
	default:
		return !e.brief && !e.known
	}
}
