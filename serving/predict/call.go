package predict

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sony/gobreaker/v2"
	"github.com/valyala/fastjson"
)

const headerLength = "Inference-Header-Content-Length"

// newBreaker opens after so many failures in a row, or when half of at least 20
// calls of the last ten seconds have failed.
func newBreaker(s *Settings) *gobreaker.CircuitBreaker[struct{}] {
	failures := uint32(s.BreakerFailures)
	return gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Interval:     10 * time.Second,
		BucketPeriod: time.Second,
		Timeout:      s.BreakerPause,
		ReadyToTrip: func(n gobreaker.Counts) bool {
			return n.ConsecutiveFailures >= failures || n.Requests >= 20 && n.TotalFailures*2 >= n.Requests
		},
		OnStateChange: func(_ string, _, to gobreaker.State) { // it holds its lock
			if s.Events.Breaker != nil {
				s.Events.Breaker(stateOf(to))
			}
		},
		IsExcluded: func(err error) bool {
			e, ok := errors.AsType[*Error](err)
			return ok && !e.charged()
		},
	})
}

func stateOf(s gobreaker.State) BreakerState {
	switch s {
	case gobreaker.StateClosed:
		return BreakerClosed
	case gobreaker.StateHalfOpen:
		return BreakerHalfOpen
	default:
		return BreakerOpen
	}
}

var errShut = errors.New("calls of this model failed lately, so none is made for a while")

// shut is why no call would be made now, or nil.
func (c *Client) shut() *Error {
	if c.breaker.State() != gobreaker.StateOpen {
		return nil
	}
	return c.fail(ReasonBreakerOpen, errShut)
}

// brief is the part of a model's timeout before which callers that leave say
// more about their deadlines than about the model: the breaker must not shut out
// patient callers because of hasty ones.
const brief = 10

// call infers the rows of b, which is sealed, and fills its outputs.
func (c *Client) call(b *batch) *Error {
	_, err := c.breaker.Execute(func() (struct{}, error) {
		began := time.Now()
		if fault := c.attempts(b); fault != nil {
			fault.brief = errors.Is(fault.Err, errLate) && time.Since(began) < c.model.Timeout/brief
			fault.known = b.bane && fault.splits()
			return struct{}{}, fault
		}
		return struct{}{}, nil
	})
	if err == nil {
		return nil
	}
	if fault, ok := errors.AsType[*Error](err); ok {
		return fault
	}
	return c.fail(ReasonBreakerOpen, errShut)
}

var errCallTimeout = errors.New("the model did not answer within its timeout")

// attempts calls once, and once more if that is safe and may help.
func (c *Client) attempts(b *batch) *Error {
	ctx, cancel := context.WithTimeoutCause(b.ctx, c.model.Timeout, errCallTimeout)
	defer cancel()
	body, header := b.rows.body()
	fault := c.attempt(ctx, b, body, header)
	if fault == nil || !fault.again() {
		return fault
	}
	select {
	case <-time.After(10*time.Millisecond + rand.N(10*time.Millisecond)):
	case <-ctx.Done():
		return fault // which says more than that there was no time for another
	}
	if c.settings.Events.Retried != nil {
		c.settings.Events.Retried(fault.Reason)
	}
	return c.attempt(ctx, b, body, header)
}

func (c *Client) attempt(ctx context.Context, b *batch, body []byte, header int) *Error {
	began := time.Now()
	fault := c.infer(ctx, b, body, header)
	if told := c.settings.Events.Call; told != nil {
		reason := ReasonNone
		if fault != nil {
			reason = fault.Reason
		}
		told(b.rows.rows, time.Since(began), reason)
	}
	return fault
}

// infer makes one HTTP call.
func (c *Client) infer(ctx context.Context, b *batch, body []byte, header int) *Error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.modelPath("infer"), bytes.NewReader(body))
	if err != nil {
		return c.fail(ReasonUnreachable, err)
	}
	r.Header.Set("Content-Type", "application/json")
	if b.rows.binary {
		r.Header.Set("Content-Type", "application/octet-stream")
		r.Header.Set(headerLength, strconv.Itoa(header))
	}
	head, text, fault := c.do(ctx, r)
	if fault != nil {
		return fault
	}
	a, bad := split(head, text)
	if bad == nil {
		bad = c.decode(b, a)
	}
	if bad != nil {
		return c.fail(bad.reason, bad.err)
	}
	return nil
}

// decode fills the outputs of b.
func (c *Client) decode(b *batch, a answer) *fault {
	d := c.decoders.Get().(*decoder) //nolint:forcetypeassert // it holds nothing else
	defer c.decoders.Put(d)
	outputs, bad, fault := d.decode(&c.model, b.rows.rows, a)
	if fault != nil {
		return fault
	}
	b.outputs, b.bytes = outputs, len(a.header)+len(a.tail)
	for row, f := range bad {
		if b.bad == nil {
			b.bad = make(map[int]*Error, len(bad))
		}
		b.bad[row] = c.fail(f.reason, f.err)
	}
	return nil
}

// split separates the JSON of an answer from binary data.
func split(head http.Header, body []byte) (answer, *fault) {
	value := head.Get(headerLength)
	if value == "" {
		return answer{header: body}, nil
	}
	n, err := strconv.ParseUint(value, 10, 32)
	switch {
	case err != nil:
		return answer{}, faultf(ReasonMalformed, "the header %s is no number", headerLength)
	case n > uint64(len(body)):
		return answer{}, faultf(ReasonTruncated, "the answer of %d bytes is shorter than its JSON of %d", len(body), n)
	}
	return answer{header: body[:n], tail: body[n:]}, nil
}

// do sends r and reads the answer, whose status must be 200.
func (c *Client) do(ctx context.Context, r *http.Request) (http.Header, []byte, *Error) {
	response, err := c.http.Do(r)
	if err != nil {
		return nil, nil, c.broken(ctx, err)
	}
	defer response.Body.Close() //nolint:errcheck // it was read as far as it is wanted
	if response.StatusCode != http.StatusOK {
		return nil, nil, c.refused(response)
	}
	if response.ContentLength > c.settings.MaxAnswerBytes {
		return nil, nil, c.fail(ReasonOversized, errOversized)
	}
	var buf bytes.Buffer
	if response.ContentLength > 0 {
		buf.Grow(int(response.ContentLength) + bytes.MinRead)
	}
	_, err = buf.ReadFrom(io.LimitReader(response.Body, c.settings.MaxAnswerBytes+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, nil, c.ended(ctx)
	case err != nil:
		return nil, nil, c.fail(ReasonTruncated, err)
	case int64(buf.Len()) > c.settings.MaxAnswerBytes:
		return nil, nil, c.fail(ReasonOversized, errOversized)
	}
	return response.Header, buf.Bytes(), nil
}

var errOversized = errors.New("the answer is larger than is read")

// broken is why there is no answer at all.
func (c *Client) broken(ctx context.Context, err error) *Error {
	if ctx.Err() != nil {
		return c.ended(ctx)
	}
	if errors.Is(err, errRedirect) {
		return c.fail(ReasonRedirect, errRedirect)
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return c.fail(ReasonTimeout, err)
	}
	return c.fail(ReasonUnreachable, err)
}

// ended is why ctx, which has ended, did.
func (c *Client) ended(ctx context.Context) *Error {
	cause := context.Cause(ctx)
	if errors.Is(cause, errLate) || errors.Is(cause, errCallTimeout) || errors.Is(cause, context.DeadlineExceeded) {
		return c.fail(ReasonTimeout, cause)
	}
	return c.fail(ReasonCanceled, cause)
}

// maxSaid bounds what is kept of a server's own words.
const maxSaid = 300

// refused is what an answer with another status means. Servers fail in JSON and
// in plain text.
func (c *Client) refused(response *http.Response) *Error {
	text, _ := io.ReadAll(io.LimitReader(response.Body, 4096)) // an error says no more than the status
	if said := fastjson.GetString(text, "error"); said != "" {
		text = []byte(said)
	}
	fault := c.fail(ReasonHTTP, nil)
	switch response.StatusCode {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		fault.Reason = ReasonUnavailable
	default:
		if response.StatusCode >= 300 && response.StatusCode < 400 {
			fault.Reason = ReasonRedirect
		}
	}
	fault.Status = response.StatusCode
	fault.Said = strings.ToValidUTF8(strings.TrimSpace(string(text[:min(len(text), maxSaid)])), "�")
	return fault
}
