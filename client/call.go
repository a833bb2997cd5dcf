package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// call is one request of the API, which may be sent several times.
type call struct {
	what        string // for errors: "look features up"
	method      string
	path        string // escaped, with its query
	contentType string // of body, "" without one
	body        []byte
	prefer      string // header Prefer, "" for none
	safety      safety
	// resume, when it is not nil, takes from body what a failed attempt has
	// written, and reports whether that was anything.
	resume func(error) bool
}

// reply is a server's answer with a status below 300.
type reply struct {
	header http.Header
	body   []byte
}

// errMalformed marks an answer that is not what the API answers.
var errMalformed = errors.New("the answer is not as documented")

const (
	// maxReplyBytes bounds the memory of an answer.
	maxReplyBytes = 256 << 20
	// attemptTimeout ends an attempt whose server fell silent. It is longer
	// than any that a server takes for a request.
	attemptTimeout = 75 * time.Second
)

// do sends c until it is answered, may not be sent again, or has been sent
// often enough.
func (c *Client) do(ctx context.Context, r *call) (*reply, error) {
	for attempt := 1; ; attempt++ {
		got, err := c.once(ctx, r)
		if err == nil {
			return got, nil
		}
		if r.resume != nil && r.resume(err) {
			attempt = 1 // it moves: what counts is how often it fails at one place
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s: %w", r.what, causeOf(ctx, err))
		}
		wait, patient := c.retry.wait(attempt, err)
		if !mayRepeat(err, r.safety) || attempt >= c.retry.Attempts || !patient {
			return nil, failed(r.what, attempt, err)
		}
		if !pause(ctx, wait) {
			if ctx.Err() != nil {
				return nil, failed(r.what, attempt, causeOf(ctx, err))
			}
			return nil, failed(r.what, attempt, fmt.Errorf("%w; the deadline leaves no time to try again", err))
		}
	}
}

// causeOf makes sure that the end of a context can be found in err.
func causeOf(ctx context.Context, err error) error {
	if errors.Is(err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("%w: %w", ctx.Err(), err)
}

func failed(what string, attempts int, err error) error {
	if attempts == 1 {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s, %d times: %w", what, attempts, err)
}

// once sends r and reads the answer.
func (c *Client) once(ctx context.Context, r *call) (*reply, error) {
	deadline, bounded := ctx.Deadline() // the caller's own
	ctx, cancel := context.WithTimeoutCause(ctx, attemptTimeout, errSilent)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, err //nolint:wrapcheck // names method and address
	}
	c.setHeaders(req, r)
	if bounded {
		req.Header.Set("X-Request-Timeout", requestTimeout(time.Until(deadline)))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, silent(ctx, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read to its end, or is given up
	body, err := c.readReply(resp.Body)
	if err != nil {
		return nil, silent(ctx, err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return nil, errorOf(resp.StatusCode, resp.Header, body, time.Now())
	}
	return &reply{header: resp.Header, body: body}, nil
}

// errSilent is why an attempt was ended that its caller still waits for.
var errSilent = fmt.Errorf("the server was silent for %s", attemptTimeout)

func silent(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errSilent) {
		return errSilent
	}
	return err
}

func (c *Client) setHeaders(req *http.Request, r *call) {
	maps.Copy(req.Header, c.header)
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if r.prefer != "" {
		req.Header.Set("Prefer", r.prefer)
	}
}

// requestTimeout writes what the server may take of the time that is left: a
// little less, so that its own word about it (a receipt) still arrives.
func requestTimeout(left time.Duration) string {
	const mostOnTheWay = 100 * time.Millisecond
	left -= min(left/10, mostOnTheWay)
	return strconv.FormatInt(max(1, left.Milliseconds()), 10) + "ms"
}

// readReply reads an answer to its end, which lets its connection be used again.
func (c *Client) readReply(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, c.most+1))
	if err != nil {
		return nil, fmt.Errorf("the answer broke off: %w", err)
	}
	if int64(len(body)) > c.most {
		return nil, fmt.Errorf("%w: it is larger than %d bytes; ask for less at once", errMalformed, c.most)
	}
	return body, nil
}

// decode reads an answer's JSON into v.
func decode(what string, body []byte, v any) error {
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%s: %w: %w", what, errMalformed, err)
	}
	return nil
}
