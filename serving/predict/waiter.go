package predict

import (
	"context"
	"errors"
	"slices"
	"time"
)

// waiter is one Predict.
type waiter struct {
	client  *Client
	places  []place
	batches []*batch // that it waits for, each once

	coalesced, reused, remembered int
}

// enter puts rows in batches, or joins those that others have asked for.
func (w *waiter) enter(q *Request, dst *Result) error {
	c := w.client
	spoken := c.wire.Load()
	isBinary := spoken.binary
	for row := range q.Rows {
		if err := unsendable(&c.model, q.Inputs, row, isBinary); err != nil {
			dst.Faults[row] = c.fail(ReasonInput, err)
			dst.Faults[row].passing = !spoken.known && unsendable(&c.model, q.Inputs, row, true) == nil
		}
	}
	shut := c.shut()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return ErrClosed
	}
	now := time.Now()
	for row := range q.Rows {
		if dst.Faults[row] == nil {
			dst.Faults[row] = w.enterRow(q, row, now, shut, isBinary)
		}
	}
	if c.settings.Window < 0 && c.mu.open != nil {
		c.mu.open.seal()
	}
	return nil
}

// enterRow is enter for one row, under Client.mu.
func (w *waiter) enterRow(q *Request, row int, now time.Time, shut *Error, isBinary bool) *Error {
	c := w.client
	var key Key
	if q.Keys != nil {
		key = q.Keys[row]
		if p, ok := c.mu.flights[key]; ok {
			w.coalesced++
			w.wait(p, row)
			return nil
		}
		if p, ok := c.mu.recent.recall(key, now); ok {
			w.reused++
			w.places[row] = p
			return nil
		}
		if f, ok := c.mu.failures.recall(key, now); ok {
			w.remembered++
			return f
		}
	}
	if shut != nil {
		return shut
	}
	if c.mu.pending >= c.settings.MaxPendingRows {
		return c.fail(ReasonOverloaded, errTooMany)
	}
	limit := c.limit(key, now)
	b := c.openBatch(limit)
	if isBinary && !b.rows.binary { // opened before the server was known to speak it
		if err := unsendable(&c.model, q.Inputs, row, false); err != nil {
			fault := c.fail(ReasonInput, err)
			fault.passing = true
			return fault
		}
	}
	p := place{b, b.rows.rows}
	b.rows.append(q.Inputs, row)
	c.mu.pending++
	if q.Keys != nil { // the key outlives the request
		key = key.clone()
		c.mu.flights[key] = p
	}
	b.keys = append(b.keys, key)
	w.wait(p, row)
	if b.limit = min(b.limit, limit); b.rows.rows >= b.limit || b.rows.size() >= c.settings.MaxRequestBytes {
		b.seal()
	}
	return nil
}

// clone copies a key, at once.
func (k Key) clone() Key {
	both := k.Entity + k.Fingerprint
	return Key{both[:len(k.Entity)], both[len(k.Entity):]}
}

var errTooMany = errors.New("too many rows wait for the model")

// wait notes that row's result will be at p. Under Client.mu.
func (w *waiter) wait(p place, row int) {
	w.places[row] = p
	if !slices.Contains(w.batches, p.batch) {
		w.batches = append(w.batches, p.batch)
		p.batch.waiting++
	}
}

// collect waits for the batches and copies results.
func (w *waiter) collect(ctx context.Context, dst *Result) {
	c := w.client
	w.tell()
	var ended *Error
	for _, b := range w.batches {
		if !b.await(ctx) && ended == nil {
			ended = c.ended(ctx)
		}
	}
	for row, p := range w.places {
		if p.batch == nil {
			continue
		}
		select {
		case <-p.batch.done:
			dst.Faults[row] = p.batch.copyRow(p.row, dst, row)
		default:
			dst.Faults[row] = ended
		}
	}
}

// tell counts for the events the rows that cost no call.
func (w *waiter) tell() {
	e := &w.client.settings.Events
	for _, x := range []struct {
		n    int
		told func(int)
	}{{w.coalesced, e.Coalesced}, {w.reused, e.Reused}, {w.remembered, e.Remembered}} {
		if x.n > 0 && x.told != nil {
			x.told(x.n)
		}
	}
}
