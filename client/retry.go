package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

// Retry says how often a call is sent, and how long it waits in between. Waits
// double from First to Most, and each is shortened by chance to as little as
// half, so that callers who failed together do not come back together. What a
// server says in Retry-After is waited for in any case, and lengthened by
// chance; when that is longer than Most, or than the context allows, the call
// fails at once and the error says when to come back.
type Retry struct {
	Attempts int           // how often a call is sent in all; default 4
	First    time.Duration // default 50 ms
	Most     time.Duration // default 5 s
}

func (r Retry) withDefaults() Retry {
	if r.Attempts <= 0 {
		r.Attempts = 4
	}
	if r.First <= 0 {
		r.First = 50 * time.Millisecond
	}
	if r.Most <= 0 {
		r.Most = 5 * time.Second
	}
	r.Most = max(r.Most, r.First)
	return r
}

// safety says when a call may be sent again.
type safety uint8

const (
	// onlyUntouched: only after a failure that left no trace.
	onlyUntouched safety = iota
	// always: sending it twice is sending it once.
	always
)

// mayRepeat is the rule of what is sent again, of any failure of one attempt.
func mayRepeat(err error, s safety) bool {
	if e, ok := errors.AsType[*Error](err); ok {
		return mayRepeatAnswer(e, s)
	}
	if errors.Is(err, errMalformed) {
		return false // it would be answered so again
	}
	// The connection could not be made, or broke before the answer was there;
	// in the second case nobody knows what the server did.
	return s == always || notSent(err)
}

func mayRepeatAnswer(e *Error, s safety) bool {
	switch {
	case e.Receipt != "":
		return false // the rows are on the topic: to wait for them is to ask the receipt
	case e.Code == CodeOverloaded, e.HTTPStatus == http.StatusTooManyRequests:
		return true // refused at the door; of a bulk push, from its next row on
	case e.Code == CodeUnavailable, e.Code == CodeDeadlineExceeded:
		return s == always // part of it may be stored
	case e.Code == CodeNone:
		// A proxy's word: its server may have done the work and been lost after.
		return s == always && (e.HTTPStatus == http.StatusBadGateway || e.HTTPStatus == http.StatusServiceUnavailable ||
			e.HTTPStatus == http.StatusGatewayTimeout)
	}
	return false
}

// notSent reports whether a transport failed before there was a connection, so
// that the server cannot have seen the request.
func notSent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// wait returns how long to wait after failed attempts, of which the last one
// ended with err; ok is false when that is longer than the caller would want.
func (r Retry) wait(attempts int, err error) (d time.Duration, ok bool) {
	d = r.First
	for range attempts - 1 {
		if d = min(2*d, r.Most); d == r.Most {
			break
		}
	}
	d -= rand.N(d/2 + 1)
	if e, is := errors.AsType[*Error](err); is && e.RetryAfter > 0 {
		if e.RetryAfter > r.Most {
			return 0, false
		}
		return max(d, e.RetryAfter+rand.N(r.First)), true
	}
	return d, true
}

// pause waits for d. It reports false, at once, when ctx ends before that.
func pause(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	return sleep(ctx, d)
}
