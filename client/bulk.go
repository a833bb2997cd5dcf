package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// BulkRequest says how PushAll pushes rows. The members that PushRequest has,
// too, mean the same.
type BulkRequest struct {
	Source           string
	View             string
	TransformOnWrite *bool
	To               To
	Idempotent       bool

	// BatchRows and BatchBytes bound one request, and so the memory of a push:
	// the rows of a request are kept until they are written. Defaults 512 and
	// 256 KiB, as much as a server writes at once.
	BatchRows, BatchBytes int
}

// BulkResult is what became of the rows of a bulk push.
type BulkResult struct {
	Pushed // rows in Errors count from the first row of the push
	// NextRow is where to go on after an error: the rows before it have been
	// written, or refused alone.
	NextRow int
	// Uncounted is how many of these were written by a server that failed in the
	// middle of a request, and did not say how many of them were stored, filtered
	// or refused.
	Uncounted int
}

// PushAll pushes rows as they come, of any number, in bounded memory and in
// their order; bad rows are refused alone and listed. A row is what
// encoding/json writes as an object: a map, a struct, or a json.RawMessage that
// is sent as it is. When a server fails in between, the push goes on at the row
// where it stopped, if rows from there on may be sent again; see Idempotent.
// The result says how far it came, with an error, too, be it one of the rows'
// own.
func (c *Client) PushAll(ctx context.Context, q BulkRequest, rows iter.Seq2[any, error]) (*BulkResult, error) {
	if q.BatchRows <= 0 {
		q.BatchRows = 512
	}
	if q.BatchBytes <= 0 {
		q.BatchBytes = 256 << 10
	}
	b := &bulk{client: c, q: &q, path: q.path(), stamped: true}
	b.result.Views = make(map[string]Ends)
	for row, err := range rows {
		if err == nil {
			err = b.add(ctx, row)
		}
		if err != nil {
			return b.failed(err)
		}
	}
	if err := b.flush(ctx); err != nil {
		return b.failed(err)
	}
	return &b.result, nil
}

func (q *BulkRequest) path() string {
	query := make(url.Values)
	if q.View != "" {
		query.Set("view", q.View)
	}
	if q.TransformOnWrite != nil {
		query.Set("transform_on_write", strconv.FormatBool(*q.TransformOnWrite))
	}
	if q.To != "" {
		query.Set("to", string(q.To))
	}
	if len(query) == 0 {
		return pushPath(q.Source)
	}
	return pushPath(q.Source) + "?" + query.Encode()
}

// bulk is one PushAll.
type bulk struct {
	client *Client
	q      *BulkRequest
	path   string
	result BulkResult

	lines   []byte // rows from result.NextRow on, one per line
	rows    int    // how many
	stamped bool   // each of them carries an event_timestamp
}

// add takes a row in, after sending others if they would be too many.
func (b *bulk) add(ctx context.Context, row any) error {
	line, err := json.Marshal(row)
	if err != nil {
		return b.unencodable(row, err)
	}
	if b.rows > 0 && (b.rows >= b.q.BatchRows || len(b.lines)+len(line)+1 > b.q.BatchBytes) {
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
	b.lines = append(append(b.lines, line...), '\n')
	b.rows++
	if b.stamped && finishedOnline(b.q.TransformOnWrite, b.q.To) {
		b.stamped = isStamped(line)
	}
	return nil
}

func (b *bulk) unencodable(row any, err error) error {
	at := "rows[" + strconv.Itoa(b.result.NextRow+b.rows) + "]"
	if m, ok := row.(map[string]any); ok {
		if named := unencodable(at, m); named != nil {
			return named
		}
	}
	return fmt.Errorf("%s cannot be written as JSON: %w", at, err)
}

func isStamped(line []byte) bool {
	var row map[string]json.RawMessage // names as they are written: a struct's would match in any case
	if json.Unmarshal(line, &row) != nil {
		return false
	}
	at, ok := row[eventTimestamp]
	return ok && string(at) != "null"
}

// flush sends the rows that are held.
func (b *bulk) flush(ctx context.Context) error {
	if b.rows == 0 {
		return nil
	}
	r := &call{
		what: "push rows", method: http.MethodPost, path: b.path, contentType: "application/x-ndjson", body: b.lines,
		safety: onlyUntouched,
	}
	if b.q.Idempotent || b.stamped && finishedOnline(b.q.TransformOnWrite, b.q.To) {
		r.safety = always
	}
	r.resume = func(err error) bool { return b.resume(r, err) }
	got, err := b.client.do(ctx, r)
	if err != nil {
		return err
	}
	var p Pushed
	if err := decode(r.what, got.body, &p); err != nil {
		return err
	}
	b.count(&p)
	b.result.NextRow += b.rows
	// Not the same memory again: a transport may read a body after the answer.
	b.lines, b.rows, b.stamped = make([]byte, 0, cap(b.lines)), 0, true
	return nil
}

// resume drops the rows that a failed request has written.
func (b *bulk) resume(r *call, err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.NextRow <= 0 || e.NextRow > b.rows {
		return false
	}
	for range e.NextRow {
		r.body = r.body[bytes.IndexByte(r.body, '\n')+1:]
	}
	b.rows -= e.NextRow
	if e.Written != nil {
		b.count(e.Written)
	} else {
		b.result.Uncounted += e.NextRow
	}
	b.result.NextRow += e.NextRow
	return true
}

// maxErrors is how many refused rows a result lists.
const maxErrors = 100

// count adds what became of rows, the first of which is the result's NextRow.
func (b *bulk) count(p *Pushed) {
	total := &b.result.Pushed
	total.add(p.Ends)
	total.Published += p.Published
	for view, ends := range p.Views {
		sum := total.Views[view]
		sum.add(ends)
		total.Views[view] = sum
	}
	for _, e := range p.Errors {
		if len(total.Errors) < maxErrors {
			e.Row += b.result.NextRow
			total.Errors = append(total.Errors, e)
		}
	}
}

func (e *Ends) add(more Ends) {
	e.Stored += more.Stored
	e.Filtered += more.Filtered
	e.Rejected += more.Rejected
}

// failed returns how far the push came.
func (b *bulk) failed(err error) (*BulkResult, error) {
	return &b.result, fmt.Errorf("push to source %s, up to row %d: %w", b.q.Source, b.result.NextRow, err)
}
