// Package serving answers reads: it turns a list of features into a compiled
// Read, the entities of a request into one store read per entity group, and
// stored rows into values with a status each. Transports (serving/rest and
// others) parse requests into typed columns and encode answers; everything
// that decides what an answer is lives here, so that no transport can differ.
//
// Invariant: a value is never served without its status, and what a status
// forbids (not found, expired, failed) is never served but for the feature's
// declared default.
package serving

import (
	"context"
	"fmt"

	"millrace/feature"
)

// Store reads stored rows.
type Store interface {
	// Read resets and fills dst, parallel to q.Views, with one row per key of q. It blocks
	// on the store and returns soon after ctx ends. q is the caller's again on
	// return; strings of dst live until dst is reset or read into again. On
	// error dst is undefined. Concurrent calls with different dst are allowed.
	Read(ctx context.Context, q *feature.Query, dst []feature.Loaded) error
}

// Status says what a value in an answer is.
type Status uint8

// The statuses. Feast's wire has the same names, except INVALID for ERROR.
const (
	StatusPresent       Status = iota // a value
	StatusNull                        // stored or computed, and null
	StatusNotFound                    // nothing is stored for the entity
	StatusOutsideMaxAge               // older than the TTL or the request's max_age
	StatusError                       // computing it failed on this row
)

// Statuses is how many statuses there are.
const Statuses = 5

// String returns the name that answers carry.
func (s Status) String() string {
	switch s {
	case StatusPresent:
		return "PRESENT"
	case StatusNull:
		return "NULL_VALUE"
	case StatusNotFound:
		return "NOT_FOUND"
	case StatusOutsideMaxAge:
		return "OUTSIDE_MAX_AGE"
	case StatusError:
		return "ERROR"
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// Origin says where a value in an answer came from.
type Origin uint8

// The origins.
const (
	OriginNone     Origin = iota // there is no value
	OriginStored                 // read as it was written
	OriginComputed               // computed by this request from stored columns
	OriginDefault                // the feature's declared default

	// OriginFresh and those after it are of outputs of models; Value.Detail says
	// more.
	OriginFresh     // a stored prediction of the inputs just read; by what it was computed
	OriginClient    // a stored prediction that a client wrote
	OriginStale     // a stored prediction that may be served still; by which rule it is stale
	OriginPredicted // computed by this request; because the stored one was missing, or by which rule it was stale
	OriginLastValue // a stored prediction that is served because none could be computed; why not
	OriginFailed    // there is no value, because none could be computed; why not
)

// Origins is how many origins there are.
const Origins = int(OriginFailed) + 1

// String returns the name that answers carry; "" for none.
func (o Origin) String() string {
	switch o {
	case OriginNone:
		return ""
	case OriginStored:
		return "stored"
	case OriginComputed:
		return "computed"
	case OriginDefault:
		return "default"
	case OriginFresh:
		return "prediction_fresh"
	case OriginClient:
		return "client"
	case OriginStale:
		return "prediction_stale"
	case OriginPredicted:
		return "prediction_computed"
	case OriginLastValue:
		return "prediction_last_value"
	case OriginFailed:
		return "prediction_failed"
	}
	return fmt.Sprintf("origin(%d)", uint8(o))
}
