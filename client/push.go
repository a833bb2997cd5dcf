package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// To says where pushed rows go.
type To string

// The destinations; "" is ToOnline.
const (
	ToOnline           To = "online"
	ToOffline          To = "offline" // the source's topic, for others than the online store
	ToOnlineAndOffline To = "online_and_offline"
)

// PushRequest is rows of a source.
type PushRequest struct {
	Source string
	Rows   Rows

	View string // "" is every view of the source
	// TransformOnWrite overrides what the source says: true for raw rows, false
	// for finished rows, whose features the caller has computed. new(false) is
	// one.
	TransformOnWrite *bool
	To               To
	// RejectRows refuses bad rows alone and writes the others, instead of
	// refusing all.
	RejectRows bool
	// Idempotent is the caller's word that pushing these rows twice is pushing
	// them once, which lets a push be sent again that may have been taken: its
	// rows carry their event times, and no view of the source has windows or the
	// source has an event_id. Finished rows with an event_timestamp, pushed to
	// the online store, are known to be so without it.
	Idempotent bool
}

// Ends counts what became of rows.
type Ends struct {
	Stored   int `json:"stored"`
	Filtered int `json:"filtered"`
	Rejected int `json:"rejected"`
}

// RowError says why a row was refused.
type RowError struct {
	Row     int    `json:"row"`     // its place in the push, from 0
	Element int    `json:"element"` // of an unnested list, from 0
	View    string `json:"view"`    // "" when it is for no view in particular
	Reason  string `json:"reason"`
	Message string `json:"message"` // names fields, never values
}

// Pushed is what became of rows. A row counts once, as stored if any view
// stored it; Views has the counts of each.
type Pushed struct {
	Ends
	Published int             `json:"published"` // rows that are on the source's topic
	Views     map[string]Ends `json:"views"`
	Errors    []RowError      `json:"errors"` // the first 100
}

// Push writes rows and returns when they are durable and readable by any
// server. Without RejectRows one bad row refuses them all: the error has
// CodeInvalidRows and Details that name rows and fields, and nothing was
// written. After any other error some rows may have been written; see
// Error.Receipt.
func (c *Client) Push(ctx context.Context, q PushRequest) (*Pushed, error) {
	got, err := c.push(ctx, &q, "")
	if err != nil {
		return nil, err
	}
	var p Pushed
	if err := decode(q.what(), got.body, &p); err != nil {
		return nil, err
	}
	return &p, nil
}

// Receipt is of rows that are on their source's topic, where they are safe.
type Receipt struct {
	ID       string     `json:"receipt"`
	Accepted int        `json:"accepted"`
	Rejected int        `json:"rejected"`
	Errors   []RowError `json:"errors"` // the first 100
}

// PushAsync puts rows on their source's topic and returns when all replicas
// have them. Rows are checked before that, as Push checks them.
// Receipt and WaitReceipt say what became of them.
func (c *Client) PushAsync(ctx context.Context, q PushRequest) (*Receipt, error) {
	got, err := c.push(ctx, &q, "respond-async")
	if err != nil {
		return nil, err
	}
	var r Receipt
	if err := decode(q.what(), got.body, &r); err != nil {
		return nil, err
	}
	return &r, nil
}

func (q *PushRequest) what() string { return "push to source " + q.Source }

func pushPath(source string) string { return "/v1/push/" + url.PathEscape(source) }

// wirePush is the body of POST /v1/push/{source}.
type wirePush struct {
	Rows             Rows   `json:"rows"`
	View             string `json:"view,omitempty"`
	TransformOnWrite *bool  `json:"transform_on_write,omitempty"`
	To               To     `json:"to,omitempty"`
	OnError          string `json:"on_error,omitempty"`
}

const rejectRow = "reject_row"

func (c *Client) push(ctx context.Context, q *PushRequest, prefer string) (*reply, error) {
	w := wirePush{Rows: q.Rows, View: q.View, TransformOnWrite: q.TransformOnWrite, To: q.To}
	if w.Rows == nil {
		w.Rows = Rows{}
	}
	if q.RejectRows {
		w.OnError = rejectRow
	}
	body, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", q.what(), unencodableRow(q.Rows, err))
	}
	return c.do(ctx, &call{
		what: q.what(), method: http.MethodPost, path: pushPath(q.Source), contentType: contentJSON, body: body, prefer: prefer,
		safety: q.safety(),
	})
}

// unencodableRow names the row and field that err is about.
func unencodableRow(rows Rows, err error) error {
	for i, row := range rows {
		if named := unencodable("rows["+strconv.Itoa(i)+"]", row); named != nil {
			return named
		}
	}
	return err
}

// safety: the caller knows, or rows are finished ones with a time: those are
// never counted, and the same row at the same time is the same row. Rows that
// are also published for others would be there twice.
func (q *PushRequest) safety() safety {
	if q.Idempotent {
		return always
	}
	if !finishedOnline(q.TransformOnWrite, q.To) {
		return onlyUntouched
	}
	for _, row := range q.Rows {
		if row[eventTimestamp] == nil {
			return onlyUntouched
		}
	}
	return always
}

// eventTimestamp is the time's name in finished rows.
const eventTimestamp = "event_timestamp"

func finishedOnline(transform *bool, to To) bool {
	return transform != nil && !*transform && (to == "" || to == ToOnline)
}
