package serving

import (
	"time"

	"millrace/feature"
)

// Response is the answer to a Request. It is reused by Lookup and belongs to
// one goroutine; its columns live until Release.
type Response struct {
	NowMicros int64 // the request's now
	Rows      int

	read   *Read
	st     *state
	counts [Statuses]int
	sinces *sinceTable // nil unless completeness was asked for
}

// cell is what is known of one output for one distinct key.
type cell struct {
	status Status
	origin Origin
}

// Value is one value of an answer: row Row of Column, unless Column is nil,
// which stands for null.
type Value struct {
	Column      *feature.Column
	Row         int
	Status      Status
	Origin      Origin
	Detail      string // more of the origin of a prediction, of a closed set; "" for others
	HasTime     bool   // the entity has a row of the view, or of one that the value is computed from; or a window has a tile
	EventMicros int64  // of that row, or the start of the window's last tile; the oldest of several; when the inputs of a prediction were read
	Complete    Completeness
}

// Release gives back what the response points into. It is harmless to repeat.
func (r *Response) Release() {
	if r.st != nil {
		r.read.release(r.st)
	}
	*r = Response{}
}

// Value returns the value of an output for a row of the request.
func (r *Response) Value(output, row int) Value {
	o := &r.read.outputs[output]
	if o.model >= 0 {
		return r.prediction(o, row)
	}
	if o.onDemand >= 0 {
		return r.onDemandValue(o, row)
	}
	g := &r.st.groups[o.group]
	key := g.slots[row]
	if key < 0 {
		return o.withoutKey()
	}
	c := r.st.cells[r.st.starts[output]+int(key)]
	v := Value{Status: c.status, Origin: c.origin, Row: int(key)}
	switch {
	case o.rowless:
		v.HasTime, v.EventMicros = o.windowsTime(g, int(key))
	case c.status != StatusNotFound:
		v.HasTime, v.EventMicros = true, g.rows[o.view].Origins[key].EventMicros
	}
	if r.sinces != nil {
		v.Complete = o.complete(g, int(key))
	}
	switch c.origin {
	case OriginStored, OriginComputed:
		v.Column = g.readers[o.view].Column(o.nth)
	case OriginDefault:
		v.Column, v.Row = o.dflt, 0
	default:
	}
	return v
}

// withoutKey is the value of a row whose join key is null.
func (o *Output) withoutKey() Value {
	v := Value{Status: StatusNotFound}
	if o.dflt != nil {
		v.Column, v.Origin = o.dflt, OriginDefault
	}
	return v
}

// fill decides the status and origin of every output for every distinct key.
func (r *Response) fill(req *Request, st *state, nowMicros int64, sinces *sinceTable) {
	if r.sinces = sinces; sinces != nil {
		for i := range st.groups {
			st.groups[i].windows.judge(sinces)
		}
	}
	r.read, r.st, r.Rows, r.NowMicros = req.read, st, req.Rows, nowMicros
	st.cells = st.cells[:0]
	for i := range r.read.outputs {
		o := &r.read.outputs[i]
		if o.onDemand >= 0 || o.model >= 0 {
			continue
		}
		limit := o.limit(req.maxAge[o.alias])
		st.starts[i] = len(st.cells)
		g := &st.groups[o.group]
		for key := range g.query.Keys {
			c := o.cell(g, key, limit, nowMicros)
			r.counts[c.status]++
			st.cells = append(st.cells, c)
		}
	}
	r.computeOnDemand(req)
}

// ageLimit is how old a value may be, and what becomes of older ones.
type ageLimit struct {
	age    time.Duration // 0 for ever
	report bool          // older ones are served, with the status
}

// limit joins the view's TTL and the request's max_age. A max_age is the
// caller's own wish, so it holds even where the view ignores its TTL.
func (o *Output) limit(maxAge time.Duration) ageLimit {
	l := ageLimit{age: o.ttl, report: o.mode == feature.TTLReport}
	if o.mode == feature.TTLIgnore {
		l.age = 0
	}
	if maxAge > 0 && (l.age == 0 || maxAge < l.age) {
		l.age = maxAge
	}
	return l
}

func (o *Output) cell(g *groupState, key int, limit ageLimit, nowMicros int64) cell {
	if o.rowless {
		return o.windowsCell(g, key)
	}
	l := g.rows[o.view]
	if !l.Found.Get(key) || (o.missing >= 0 && l.Missing[o.missing].Get(key)) {
		return o.without(StatusNotFound)
	}
	reader := g.readers[o.view]
	null := false
	c := cell{status: StatusPresent, origin: o.origin}
	switch {
	case reader.Failed(o.nth, key):
		c.status, null = StatusError, true
	case reader.Column(o.nth).IsNull(key):
		c.status, null = StatusNull, true
	}
	if limit.age > 0 && older(nowMicros, l.Origins[key].EventMicros, limit.age) {
		if !limit.report || null {
			return o.without(StatusOutsideMaxAge)
		}
		c.status = StatusOutsideMaxAge
		return c
	}
	if c.status == StatusError {
		return cell{status: StatusError}
	}
	if null && o.dflt != nil {
		c.origin = OriginDefault
	}
	return c
}

// older compares without overflow: event times may lie anywhere in 64 bits.
func older(nowMicros, eventMicros int64, age time.Duration) bool {
	oldest := nowMicros - age.Microseconds()
	if oldest > nowMicros { // the age reaches below all of time
		return false
	}
	return eventMicros < oldest
}

// without is a cell that has a default for a value, or none.
func (o *Output) without(s Status) cell {
	if o.dflt != nil {
		return cell{status: s, origin: OriginDefault}
	}
	return cell{status: s}
}
