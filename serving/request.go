package serving

import (
	"fmt"
	"slices"
	"time"

	"millrace/feature"
)

// Request is what one lookup asks: a Read, and its entity columns. It is reused
// by Reset and belongs to one goroutine at a time.
type Request struct {
	// Columns are parallel to Read.Columns and hold Rows rows each. Their
	// strings must live until the Response is released.
	Columns []feature.Column
	Rows    int
	Timeout time.Duration // 0 takes the service's

	read   *Read
	maxAge []time.Duration // parallel to read.aliases; 0 is none
}

// Reset makes r an empty request for read.
func (r *Request) Reset(read *Read) {
	r.read, r.Rows, r.Timeout = read, 0, 0
	for len(r.Columns) < len(read.columns) {
		r.Columns = append(r.Columns, feature.Column{})
	}
	r.Columns = r.Columns[:len(read.columns)]
	for i := range r.Columns {
		r.Columns[i].Reset(read.columns[i].Type)
	}
	r.maxAge = append(r.maxAge[:0], make([]time.Duration, len(read.aliases))...)
}

// Read returns what Reset set.
func (r *Request) Read() *Read { return r.read }

// SetMaxAge tightens how old values of a view may be, for this request. The
// view is named as in the answer.
func (r *Request) SetMaxAge(view string, d time.Duration) *Error {
	i := slices.Index(r.read.aliases, view)
	if i < 0 {
		e := Errorf(CodeInvalidRequest, "max_age names view %s, of which nothing is asked for", Shown(view))
		e.Details = []Detail{{Field: "max_age." + Shown(view), Message: "not part of this request", Suggestion: Nearest(view, r.read.aliases)}}
		return e
	}
	if d <= 0 {
		return Errorf(CodeInvalidRequest, "max_age of view %s is not positive", Shown(view)).
			At("max_age."+Shown(view), "write a duration such as 10m")
	}
	r.maxAge[i] = d
	return nil
}

// check holds the request to the limits and to its own shape.
func (r *Request) check(l *Limits) *Error {
	if r.Rows > l.MaxEntities {
		return Errorf(CodeTooManyEntities, "%d entities are asked for, the limit is %d", r.Rows, l.MaxEntities).
			At("entities", "split the request")
	}
	for i := range r.Columns {
		if r.Columns[i].Len() != r.Rows {
			return Errorf(CodeInvalidRequest, "entity column %s has %d rows, not %d", r.read.columns[i].Name, r.Columns[i].Len(), r.Rows).
				At("entities."+r.read.columns[i].Name, fmt.Sprintf("give %d values", r.Rows))
		}
	}
	return nil
}
