package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"millrace/serving"
	"millrace/sinks"
)

// What the refresh of all keys needs of a running process.

// maxPageKeys is how many keys an answer has before it ends: the process keeps
// nothing open while the caller is at work.
const maxPageKeys = 20_000

type keysRequest struct {
	Entity string          `json:"entity"`
	From   sinks.KeyCursor `json:"from,omitempty"`
}

type keysAnswer struct {
	Pages []sinks.KeyPage `json:"pages"`
	Done  bool            `json:"done"` // there are no more
}

var errPageFull = errors.New("the page is full")

func handleKeys(mux *http.ServeMux, store sinks.KeyScanner) {
	mux.HandleFunc("POST /v1/store/keys", func(w http.ResponseWriter, r *http.Request) {
		var q keysRequest
		if !readBody(w, r, &q) {
			return
		}
		var a keysAnswer
		n := 0
		err := store.EachKey(r.Context(), q.Entity, q.From, func(p *sinks.KeyPage) error {
			a.Pages = append(a.Pages, sinks.KeyPage{Keys: append([]string{}, p.Keys...), Next: p.Next, Progress: p.Progress})
			if n += len(p.Keys); n >= maxPageKeys {
				return errPageFull
			}
			return nil
		})
		a.Done = err == nil
		switch {
		case errors.Is(err, sinks.ErrKeyCursor):
			http.Error(w, err.Error(), http.StatusPreconditionFailed)
		case err != nil && !errors.Is(err, errPageFull):
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		default:
			writeJSON(w, a)
		}
	})
}

// EachKey implements sinks.KeyScanner.
func (c *Client) EachKey(ctx context.Context, entity string, from sinks.KeyCursor, fn func(*sinks.KeyPage) error) error {
	for {
		a, err := c.keys(ctx, keysRequest{Entity: entity, From: from})
		if err != nil {
			return err
		}
		for i := range a.Pages {
			if err := fn(&a.Pages[i]); err != nil {
				return err
			}
			from = a.Pages[i].Next
		}
		if a.Done {
			return nil
		}
		if len(a.Pages) == 0 {
			return errors.New("scan keys of the running process: its answer has none and no end")
		}
	}
}

func (c *Client) keys(ctx context.Context, q keysRequest) (a keysAnswer, err error) {
	resp, err := c.post(ctx, "/v1/store/keys", q)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is written to it
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return a, fmt.Errorf("read keys of the running process: %w", err)
	}
	return a, nil
}

// Refresher computes predictions in the process that has the store.
type Refresher interface {
	Refresh(ctx context.Context, model string, keys []string, by string, dst []serving.RefreshEnd) ([]serving.RefreshEnd, error)
}

type refreshRequest struct {
	Model string   `json:"model"`
	Keys  []string `json:"keys"`
	By    string   `json:"by"`
}

type refreshAnswer struct {
	Ends []serving.RefreshEnd `json:"ends"` // base64, a byte per key
}

// HandleRefresh adds the route of refreshes to mux, as Handle does.
func HandleRefresh(mux *http.ServeMux, refresher Refresher) {
	mux.HandleFunc("POST /v1/predictions/refresh", func(w http.ResponseWriter, r *http.Request) {
		var q refreshRequest
		if !readBody(w, r, &q) {
			return
		}
		ends, err := refresher.Refresh(r.Context(), q.Model, q.Keys, q.By, nil)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		writeJSON(w, refreshAnswer{ends})
	})
}

// Refresh has the running process refresh predictions. It waits until ctx ends:
// how long a model may take is in its definition.
func (c *Client) Refresh(ctx context.Context, model string, keys []string, by string, dst []serving.RefreshEnd) ([]serving.RefreshEnd, error) {
	patient := &Client{base: c.base, http: new(http.Client)}
	resp, err := patient.post(ctx, "/v1/predictions/refresh", refreshRequest{Model: model, Keys: keys, By: by})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is written to it
	var a refreshAnswer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return nil, fmt.Errorf("read ends of the running process: %w", err)
	}
	return append(dst, a.Ends...), nil
}
