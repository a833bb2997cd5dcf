package predict

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"millrace/feature"
)

// batch is rows that are sent as one request.
//
// It is open from its first row until a call has a slot for it (no earlier than
// after the window), or until it is full. It belongs to nobody: its call runs
// under the model's timeout, not under the deadline of a caller, because the
// shortest of many deadlines would cut off the others. Each caller waits as
// long as its own deadline allows; when the last has left, the call is ended.
// So a deadline reaches the model as soon as nobody has a longer one.
type batch struct {
	client *Client
	ctx    context.Context //nolint:containedctx // its callers have contexts of their own
	cancel context.CancelCauseFunc
	full   chan struct{} // closed when the batch waits for no more rows
	done   chan struct{} // closed when outputs and faults are there

	// Guarded by Client.mu until the batch is closed.
	rows    *encoder
	limit   int   // how many rows it may have
	keys    []Key // of rows that may be joined; parallel to rows, zero if it may not
	waiting int   // callers that have not left
	late    bool  // one of them left because of its deadline
	sealed  bool  // takes no more rows
	bane    bool  // see isBane; of run

	// Written before done is closed.
	outputs []feature.Column
	fault   *Error         // of all rows
	bad     map[int]*Error // of single rows
	bytes   int            // of the answer
	given   []atomic.Bool  // rows whose prediction somebody has been given
}

// place is where a row's result will be; the zero place is nowhere.
type place struct {
	batch *batch
	row   int
}

// errLate is the cause of a call that was ended when the last of its callers had
// left, one of them at least because its deadline had come.
var errLate = errors.New("all deadlines of those who asked passed before an answer")

// errLeft is the same when they all went away by themselves.
var errLeft = errors.New("all who asked went away")

// keepCompany is for how long it is remembered that a row failed with others:
// longer than whoever tries again waits between two tries.
const keepCompany = 2 * time.Minute

// limit is how many rows a batch may have that the row of key is in. One row may
// be why all of a call fail, every time: with half as many at each try it is
// alone in the end, and the others are without it. Nor may it have so many that
// nobody could read the answer. Under Client.mu.
func (c *Client) limit(key Key, now time.Time) int {
	n, ok := c.mu.company.recall(key, now)
	if !ok {
		n = c.model.MaxBatch
	}
	return min(n, c.model.fitting(c.settings.MaxAnswerBytes, c.wire.Load().binary))
}

// isBane reports whether a call is of one row alone that has failed alone before,
// or with one or two others. When it fails again that says nothing new of the
// model: others, however seldom they are asked for, must not be shut out for it.
// Under Client.mu.
func (c *Client) isBane(keys []Key, now time.Time) bool {
	if len(keys) != 1 || keys[0] == (Key{}) {
		return false
	}
	n, ok := c.mu.company.recall(keys[0], now)
	return ok && n == 1
}

// Bytes of an answer beside its values, and of a number in JSON at most: all its
// digits, sign, exponent, comma and space.
const (
	answerHead = 1 << 10
	jsonNumber = 26
)

// fitting is of how many rows, at least one, an answer has at most so many bytes.
// How long text is nobody knows before.
func (m *Model) fitting(bytes int64, isBinary bool) int {
	row := 1
	for i := range m.Outputs {
		p := &m.Outputs[i]
		size := jsonNumber
		if isBinary {
			size = widths[datatypes[p.Type.Kind]]
		}
		row += size * p.width()
	}
	return int(max(1, (bytes-answerHead)/int64(row)))
}

// openBatch returns the batch that takes rows, a new one if there is none or it
// has limit rows already. Under Client.mu.
func (c *Client) openBatch(limit int) *batch {
	if b := c.mu.open; b != nil && b.rows.rows >= limit {
		b.seal()
	}
	if b := c.mu.open; b != nil {
		return b
	}
	b := &batch{client: c, limit: limit, full: make(chan struct{}), done: make(chan struct{}), rows: c.encoders.Get().(*encoder)} //nolint:forcetypeassert // it holds nothing else
	b.ctx, b.cancel = context.WithCancelCause(c.ctx)
	b.rows.reset(&c.model, c.wire.Load())
	c.mu.open = b
	c.done.Go(b.run)
	return b
}

// seal lets no more rows in, and the batch go. Under Client.mu.
func (b *batch) seal() {
	if b.sealed {
		return
	}
	b.sealed = true
	if b.client.mu.open == b {
		b.client.mu.open = nil
	}
	close(b.full)
}

// detach seals b and lets nobody join its rows any more. Under Client.mu.
func (b *batch) detach() {
	b.seal()
	flights := b.client.mu.flights
	for _, key := range b.keys {
		if flights[key].batch == b {
			delete(flights, key)
		}
	}
}

// run takes b to its end.
func (b *batch) run() {
	c := b.client
	b.gather()
	var fault *Error
	select {
	case c.slots <- struct{}{}:
		c.mu.Lock()
		b.seal()
		b.bane = c.isBane(b.keys, time.Now())
		c.mu.Unlock()
		fault = c.call(b)
		<-c.slots
	case <-b.ctx.Done():
		fault = c.ended(b.ctx)
	case <-time.After(c.model.Timeout):
		fault = c.fail(ReasonOverloaded, errNoSlot)
	}
	b.finish(fault)
}

var errNoSlot = errors.New("no call ended in time to make place for this one")

// gather waits for the window to pass, or for nothing to wait for.
func (b *batch) gather() {
	timer := time.NewTimer(max(0, b.client.settings.Window))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.full:
	case <-b.ctx.Done():
	}
}

// finish publishes what became of b. It is remembered and done at once: who finds
// it remembered takes it, and does not wait.
func (b *batch) finish(fault *Error) {
	c := b.client
	if fault != nil && c.settings.Events.Failed != nil {
		c.settings.Events.Failed(fault)
	}
	rows := b.rows
	c.mu.Lock()
	b.detach()
	now := time.Now()
	b.fault, b.given = c.blame(fault, rows.rows, now), make([]atomic.Bool, rows.rows)
	c.mu.pending -= rows.rows
	b.rows = nil // b may be remembered for a while
	b.remember(now)
	close(b.done)
	c.mu.Unlock()
	b.cancel(nil)
	if rows.size() <= 2*c.settings.MaxRequestBytes {
		c.encoders.Put(rows)
	}
}

// answersFor is for how long a model that has answered is taken for one that
// answers.
const answersFor = time.Minute

// blame is the fault of a call of so many rows: the row's own if it was alone and
// the model answers others. Under Client.mu.
func (c *Client) blame(fault *Error, rows int, now time.Time) *Error {
	switch {
	case fault == nil:
		c.mu.answered = now
	case rows == 1 && fault.blamesContent() && now.Sub(c.mu.answered) < answersFor:
		own := *fault
		own.refused = true
		return &own
	}
	return fault
}

// remember notes what became of the rows that may be joined. Under Client.mu.
func (b *batch) remember(now time.Time) {
	mu := &b.client.mu
	shares := b.fault == nil && mu.recent.takes(b.bytes, now)
	for row, key := range b.keys {
		f := b.faultOf(row)
		switch {
		case key == (Key{}):
			continue
		case f == nil && shares:
			mu.recent.note(key, place{b, row}, now)
		case f != nil && f.remembered():
			mu.failures.note(key, f, now)
		}
		if b.fault == nil {
			mu.company.forget(key)
		} else if f.splits() {
			mu.company.note(key, max(1, len(b.keys)/2), now)
		}
	}
}

func (b *batch) faultOf(row int) *Error {
	if b.fault != nil {
		return b.fault
	}
	return b.bad[row]
}

// await reports whether b is done, and leaves it when ctx ends first.
func (b *batch) await(ctx context.Context) bool {
	select {
	case <-b.done:
		return true
	default:
	}
	select {
	case <-b.done:
		return true
	case <-ctx.Done():
		b.leave(errors.Is(ctx.Err(), context.DeadlineExceeded))
		return false
	}
}

// leave is called once by each caller that does not wait for b to be done.
func (b *batch) leave(late bool) {
	c := b.client
	c.mu.Lock()
	defer c.mu.Unlock()
	b.late = b.late || late
	if b.waiting--; b.waiting > 0 {
		return
	}
	// Nobody may join a call that is about to end.
	b.detach()
	if b.late {
		b.cancel(errLate)
	} else {
		b.cancel(errLeft)
	}
}

// copyRow copies the result of a row, which is there. Who asked first may have
// left, so that the prediction is whose who is given it first.
func (b *batch) copyRow(from int, dst *Result, row int) *Error {
	if f := b.faultOf(from); f != nil {
		return f
	}
	for i := range dst.Outputs {
		dst.Outputs[i].CopyRow(row, &b.outputs[i], from)
	}
	if b.given[from].Swap(true) {
		dst.Shared.Set(row)
	}
	return nil
}
