package serving

import (
	"fmt"
	"slices"
	"time"

	"millrace/feature"
)

// Request is what one lookup asks: a Read, its entity columns and its data. It is reused
// by Reset and belongs to one goroutine at a time.
type Request struct {
	// Columns are parallel to Read.Columns and hold Rows rows each. Their
	// strings must live until the Response is released.
	Columns []feature.Column
	// Context is the request data, parallel to Read.Context, with Rows rows each.
	// The columns themselves must live until the Response is released: a feature
	// may be nothing but one of them.
	Context []feature.Column
	Rows    int
	Timeout time.Duration // 0 takes the service's
	// Complete asks whether windows are complete: Value.Complete.
	Complete bool

	noting bool // tiles are to be explained
	read   *Read
	maxAge []time.Duration // parallel to read.aliases; 0 is none
}

// Reset makes r an empty request for read.
func (r *Request) Reset(read *Read) {
	r.read, r.Rows, r.Timeout, r.Complete, r.noting = read, 0, 0, false, false
	r.Columns = resized(r.Columns, len(read.columns))
	for i := range r.Columns {
		r.Columns[i].Reset(read.columns[i].Type)
	}
	r.Context = resized(r.Context, len(read.context))
	for i := range r.Context {
		r.Context[i].Reset(read.context[i].Type)
	}
	r.maxAge = append(r.maxAge[:0], make([]time.Duration, len(read.aliases))...)
}

// resized is cs with n columns; those beyond keep their storage.
func resized(cs []feature.Column, n int) []feature.Column {
	cs = cs[:cap(cs)]
	for len(cs) < n {
		cs = append(cs, feature.Column{})
	}
	return cs[:n]
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
	for i := range r.Context {
		if r.Context[i].Len() != r.Rows {
			return Errorf(CodeInvalidRequest, "request field %s has %d rows, not %d", r.read.context[i].Name, r.Context[i].Len(), r.Rows).
				At("context."+r.read.context[i].Name, fmt.Sprintf("give %d values", r.Rows))
		}
	}
	return nil
}
