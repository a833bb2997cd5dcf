package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Rows are objects: entities with their join keys, or rows of a source with
// its fields by name. Values are those that encoding/json writes: integers of
// any size stay exact, a time.Time is RFC 3339, a []byte base64, a nil null.
// JSON has no NaN and no infinities: a row that holds one is refused before
// anything is sent. Text must be UTF-8; of other text encoding/json replaces
// what is not.
type Rows = []map[string]any

// Columns are entities by column: a list with a value per row, or one value
// for all rows.
type Columns = map[string]any

// Include names what an answer says beside values.
type Include string

// What an answer may include.
const (
	IncludeStatus    Include = "status"
	IncludeEventTime Include = "event_time"
	IncludeAge       Include = "age_ms"
	IncludeOrigin    Include = "origin"
	IncludeComplete  Include = "complete"
)

// LookupRequest asks for features of entities. Exactly one of Service and
// Features is given, and one of Entities and Columns.
type LookupRequest struct {
	Service  string
	Features []string // view:feature, or a view for all of it

	Entities Rows
	Columns  Columns

	// Context is request data of all rows, Contexts of each row. Both may be nil.
	Context  map[string]any
	Contexts Rows

	Include []Include
	// MaxAge is, by view, the age beyond which values count as expired for
	// this request.
	MaxAge map[string]time.Duration
}

// wireLookup is the body of POST /v1/lookup.
type wireLookup struct {
	Service  string            `json:"service,omitempty"`
	Features []string          `json:"features,omitempty"`
	Entities any               `json:"entities"`
	Context  map[string]any    `json:"context,omitempty"`
	Contexts Rows              `json:"contexts,omitempty"`
	Include  []Include         `json:"include,omitempty"`
	MaxAge   map[string]string `json:"max_age,omitempty"`
}

// Lookup returns features of entities, in the order of the request. A lookup
// that fails for want of a server is sent again; see Retry. The answer is the
// caller's and is not changed afterwards.
func (c *Client) Lookup(ctx context.Context, q LookupRequest) (*Answer, error) {
	const what = "look features up"
	body, err := q.encode()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	got, err := c.do(ctx, &call{
		what: what, method: http.MethodPost, path: "/v1/lookup", contentType: contentJSON, body: body, safety: always,
	})
	if err != nil {
		return nil, err
	}
	a, err := decodeAnswer(got.body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return a, nil
}

const contentJSON = "application/json"

func (q *LookupRequest) encode() ([]byte, error) {
	if (q.Entities == nil) == (q.Columns == nil) {
		return nil, errors.New("give entities either as Entities or as Columns")
	}
	w := wireLookup{
		Service: q.Service, Features: q.Features, Entities: q.Entities, Context: q.Context, Contexts: q.Contexts, Include: q.Include,
	}
	if q.Entities == nil {
		w.Entities = q.Columns
	}
	if len(q.MaxAge) > 0 {
		w.MaxAge = make(map[string]string, len(q.MaxAge))
		for view, age := range q.MaxAge {
			w.MaxAge[view] = age.String()
		}
	}
	body, err := json.Marshal(w)
	if err != nil {
		return nil, cmp.Or(q.unencodable(), err)
	}
	return body, nil
}

// unencodable finds the value that JSON cannot hold.
func (q *LookupRequest) unencodable() error {
	for i, row := range q.Entities {
		if err := unencodable(fmt.Sprintf("entities[%d]", i), row); err != nil {
			return err
		}
	}
	for i, row := range q.Contexts {
		if err := unencodable(fmt.Sprintf("contexts[%d]", i), row); err != nil {
			return err
		}
	}
	return cmp.Or(unencodable("entities", q.Columns), unencodable("context", q.Context))
}

// unencodable names the first value of a row that JSON cannot hold.
func unencodable(where string, row map[string]any) error {
	for name, v := range row {
		if _, err := json.Marshal(v); err != nil {
			return fmt.Errorf("%s.%s cannot be written as JSON; send nil where there is no value", where, name)
		}
	}
	return nil
}
