package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"
)

// State is what has become of the rows of a receipt.
type State string

// The states.
const (
	StatePending      State = "pending"
	StateDone         State = "done"
	StateDeadLettered State = "dead_lettered" // all have their end, and some were refused
)

// ReceiptStatus is the answer to a receipt.
type ReceiptStatus struct {
	ID       string     `json:"id"`
	State    State      `json:"state"`
	Rows     int        `json:"rows"`
	Finished int        `json:"finished"` // rows that have their end
	Errors   []RowError `json:"errors"`   // dead letters, the first 100
}

// Receipt asks what has become of the rows of a receipt so far.
func (c *Client) Receipt(ctx context.Context, id string) (*ReceiptStatus, error) {
	const what = "ask a receipt"
	got, err := c.do(ctx, &call{what: what, method: http.MethodGet, path: "/v1/receipts/" + url.PathEscape(id), safety: always})
	if err != nil {
		return nil, err
	}
	var s ReceiptStatus
	if err := decode(what, got.body, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// How often a receipt is asked: soon at first, as most rows take some 200 ms,
// then ever more seldom.
const (
	firstAsk = 20 * time.Millisecond
	mostAsk  = time.Second
)

// WaitReceipt asks until all rows of a receipt have their end, and returns the
// status then, whose State says whether some were refused; that is no error.
// When ctx ends before that it returns the last status together with the
// error.
func (c *Client) WaitReceipt(ctx context.Context, id string) (*ReceiptStatus, error) {
	var last *ReceiptStatus
	for wait := firstAsk; ; wait = min(2*wait, mostAsk) {
		s, err := c.Receipt(ctx, id)
		if err != nil {
			return last, err
		}
		if s.State != StatePending {
			return s, nil
		}
		last = s
		if !sleep(ctx, wait/2+rand.N(wait/2)) {
			return last, fmt.Errorf("wait for a receipt, %d of %d rows have their end: %w", s.Finished, s.Rows, ctx.Err())
		}
	}
}

// sleep waits for d; it reports false, then, when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
