package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"millrace/sinks"
)

// Client reaches the store of a running process. It implements Store and is
// safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// NewClient returns a Client for the admin address of a process.
func NewClient(addr string) *Client {
	return &Client{base: "http://" + addr, http: &http.Client{Timeout: 30 * time.Second}}
}

// Get implements sinks.Meta.
func (c *Client) Get(ctx context.Context, t sinks.MetaTable, id string) ([]byte, error) {
	var a metaAnswer
	err := c.call(ctx, "get", metaRequest{Table: string(t), ID: id}, &a)
	return a.Value, err
}

// List implements sinks.Meta.
func (c *Client) List(ctx context.Context, t sinks.MetaTable) ([]sinks.MetaEntry, error) {
	var a metaAnswer
	err := c.call(ctx, "list", metaRequest{Table: string(t)}, &a)
	return a.Entries, err
}

// Swap implements sinks.Meta.
func (c *Client) Swap(ctx context.Context, t sinks.MetaTable, id string, old, value []byte) (bool, error) {
	var a metaAnswer
	q := metaRequest{Table: string(t), ID: id, Old: old, Value: value, IsNew: old == nil, Drop: value == nil}
	err := c.call(ctx, "swap", q, &a)
	return a.Swapped, err
}

func (c *Client) call(ctx context.Context, verb string, q metaRequest, a *metaAnswer) error {
	body, err := json.Marshal(q)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	resp, err := c.do(ctx, http.MethodPost, "/v1/meta/"+verb, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is written to it
	if err := json.NewDecoder(resp.Body).Decode(a); err != nil {
		return fmt.Errorf("read the running process's answer: %w", err)
	}
	return nil
}

// EachLetter implements sinks.LetterReader.
func (c *Client) EachLetter(ctx context.Context, f sinks.LetterFilter, fn func(*sinks.Letter) bool) error {
	q := url.Values{
		"source": {f.Source}, "view": {f.View}, "reason": {string(f.Reason)},
		"since": {strconv.FormatInt(f.SinceMillis, 10)}, "limit": {strconv.Itoa(f.Limit)},
	}
	if f.After != nil {
		after, err := json.Marshal(f.After)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		q.Set("after", string(after))
	}
	resp, err := c.do(ctx, http.MethodGet, "/v1/deadletters?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	return readLetters(resp, fn)
}

// readLetters calls fn for every letter of an answer.
func readLetters(resp *http.Response, fn func(*sinks.Letter) bool) error {
	defer resp.Body.Close() //nolint:errcheck // nothing is written to it
	decoder := json.NewDecoder(bufio.NewReader(resp.Body))
	for {
		var l sinks.Letter
		err := decoder.Decode(&l)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read dead letters from the running process: %w", err)
		}
		if !fn(&l) {
			return nil
		}
	}
}

// Status fetches the process's status document.
func (c *Client) Status(ctx context.Context, into any) error {
	resp, err := c.do(ctx, http.MethodGet, "/v1/status", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is written to it
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("read the running process's status: %w", err)
	}
	return nil
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body)) //nolint:gosec // the address is the operator's own
	if err != nil {
		return nil, fmt.Errorf("ask the running process: %w", err)
	}
	resp, err := c.http.Do(req) //nolint:gosec // the address is the operator's own
	if err != nil {
		return nil, fmt.Errorf("ask the running process at %s: %w", c.base, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is written to it
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return nil, fmt.Errorf("read the running process's error: %w", err)
	}
	if resp.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("%w (%s)", sinks.ErrNoEntry, strings.TrimSpace(string(text)))
	}
	if resp.StatusCode == http.StatusPreconditionFailed {
		return nil, fmt.Errorf("%w (%s)", sinks.ErrKeyCursor, strings.TrimSpace(string(text)))
	}
	return nil, fmt.Errorf("the running process answered %d: %s", resp.StatusCode, strings.TrimSpace(string(text)))
}

// aliveTimeout is how long a process may take to say that it is there.
const aliveTimeout = time.Second

// Alive reports whether the process answers.
func (c *Client) Alive(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, aliveTimeout)
	defer cancel()
	resp, err := c.do(ctx, http.MethodGet, "/healthz", nil)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil
}
